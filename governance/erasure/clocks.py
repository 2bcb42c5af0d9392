"""When an answer is due, by the rules of a law pack. Pure: times in, times out; nothing here looks at a clock.

How a period is counted (:func:`deadline`), after Regulation (EEC, Euratom) 1182/71, Article 3, which the packs name where it applies:

1. Days are days of the pack's zone, and the day of receipt is not counted.
2. A period of months ends on the same date of the last month, or on its last day where there is no such date.
3. An extension is counted together with the limit, from receipt: one month and two further months are three months.
4. While a clock stands still for a question of identity, whole days of it are added; parts of a day are not.
5. Where the pack says so, a last day that is no business day moves to the next one.
6. The period ends with the last nanosecond of its last day in the zone, whatever the clocks there did that night.

No deadline is before its receipt, and a clock that was set back moves none.
"""

from __future__ import annotations

import calendar
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from governance.erasure.days import after_business_days, next_business_day

if TYPE_CHECKING:
    from governance.erasure.law import Pack, Period

__all__ = [
    "ALERTS",
    "DAY",
    "SECOND",
    "Clock",
    "clock_of",
    "clocks_of",
    "day_in",
    "deadline",
    "end_of_day",
    "passed",
    "period_end",
    "suspended",
]

SECOND = 1_000_000_000
DAY = 86_400 * SECOND

ALERTS = (50, 75, 90, 100)
"""Parts of a clock, in percent, that are told when they have passed; 100 is overdue."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """One clock of one request."""

    rule: str
    """``answer`` or ``acknowledge``."""
    source: str
    basis: str
    """statutory | policy."""
    zone: str
    started_at: int
    due_at: int
    """UTC nanoseconds of the last instant that is in time."""
    due_day: str
    """The day of ``due_at`` in the zone, ISO 8601."""
    stopped_at: int | None
    """When its duty was done."""
    suspended_since: int | None
    """Since when it stands still; ``due_at`` moves with every whole day of it."""
    suspended_ns: int
    """How long it stood still, ended and present suspensions together."""
    extended: bool
    percent: int
    """How much of it has passed, 0 and up; above 100 it is overdue."""
    late: bool
    """Its duty was done, or is still undone, after ``due_at``."""


def day_in(zone: str, at: int) -> date:
    """The day of an instant (UTC nanoseconds) in a zone.

    >>> day_in("Europe/Brussels", 1_767_222_000 * SECOND)  # 2025-12-31T23:00:00Z is midnight there
    datetime.date(2026, 1, 1)
    """
    return (_EPOCH + timedelta(seconds=at // SECOND)).astimezone(_zone(zone)).date()


def end_of_day(zone: str, day: date) -> int:
    """UTC nanoseconds of the last nanosecond of a day in a zone.

    >>> day_in("America/Los_Angeles", end_of_day("America/Los_Angeles", date(2026, 3, 8)))
    datetime.date(2026, 3, 8)
    """
    morrow = day + timedelta(days=1)
    midnight = datetime(morrow.year, morrow.month, morrow.day, tzinfo=_zone(zone)).astimezone(UTC)
    return (midnight - _EPOCH) // timedelta(seconds=1) * SECOND - 1


def deadline(pack: Pack, rule: str, received_at: int, *, extended: bool = False, stood_still: int = 0) -> int:
    """UTC nanoseconds of the last instant in which the duty of a rule is done in time.

    Args:
        pack: the law.
        rule: ``answer`` or ``acknowledge``.
        received_at: UTC nanoseconds.
        extended: with the rule's extension, which it must have.
        stood_still: nanoseconds for which the clock was suspended; whole days of them count.
    """
    law = pack.rules[rule]  # type: ignore[index]
    periods = [law.limit]
    if extended:
        assert law.extension is not None
        periods.append(law.extension.limit)
    last = _last_day(pack, day_in(pack.zone, received_at), periods) + timedelta(days=max(0, stood_still) // DAY)
    if law.rolls:
        last = next_business_day(pack.calendar, last)
    return end_of_day(pack.zone, last)


def period_end(pack: Pack, period: Period, start: int) -> int:
    """The last instant of a plain period from ``start``: of an appeal, or of the time to prove an identity."""
    return end_of_day(pack.zone, _last_day(pack, day_in(pack.zone, start), [period]))


def suspended(spans: Iterable[Mapping[str, Any]], now: int) -> int:
    """Nanoseconds that ``[{since, until}]`` cover up to ``now``; an open span ends now, one that runs backwards counts 0."""
    return sum(max(0, (now if span["until"] is None else span["until"]) - span["since"]) for span in spans)


def clock_of(pack: Pack, rule: str, record: Mapping[str, Any], now: int) -> Clock:
    """One clock of a request's record, as it stands at ``now``.

    Reads ``received_at`` (``created_at`` without it), ``suspensions``, ``extended``, ``acknowledged``, ``answered_at``.
    """
    law = pack.rules[rule]  # type: ignore[index]
    start = int(record.get("received_at") or record["created_at"])
    spans = (record.get("suspensions") or ()) if law.suspended_while else ()
    done = record.get("answered_at") if rule == "answer" else ((record.get("acknowledged") or {}).get("at") or record.get("answered_at"))
    until = max(start, now if done is None else done)
    still = suspended(spans, until)
    extended = rule == "answer" and bool(record.get("extended"))
    order = record.get("order")
    due = int(order["due_at"]) if order else deadline(pack, rule, start, extended=extended, stood_still=still)
    spent, whole = until - start - still, due - start - (still // DAY) * DAY
    since = next((span["since"] for span in spans if span["until"] is None), None)
    return Clock(
        rule=rule,
        source=f"order {order['reference']}" if order else law.source,
        basis=law.basis,
        zone=pack.zone,
        started_at=start,
        due_at=due,
        due_day=day_in(pack.zone, due).isoformat(),
        stopped_at=done,
        suspended_since=None if done is not None else since,
        suspended_ns=still,
        extended=extended,
        percent=max(0, 100 * spent // max(1, whole)),
        late=until > due,
    )


def clocks_of(pack: Pack, record: Mapping[str, Any], now: int) -> list[Clock]:
    """Every clock of a request, the answer first."""
    return [clock_of(pack, rule, record, now) for rule in ("answer", "acknowledge") if rule in pack.rules]


def passed(clock: Clock) -> tuple[int, ...]:
    """Which parts of a running clock have passed (:data:`ALERTS`); of one that stopped, none is news."""
    if clock.stopped_at is not None:
        return ()
    # The last nanosecond of a period is in time: 100 is told of what is late, and of nothing else.
    return tuple(part for part in ALERTS if (clock.late if part == 100 else clock.percent >= part))


def _last_day(pack: Pack, day: date, periods: Iterable[Period]) -> date:
    periods = list(periods)
    business = sum(period.business_days for period in periods)
    if business:
        return after_business_days(pack.calendar, day, business)
    return _after_months(day, sum(period.months for period in periods)) + timedelta(days=sum(period.days for period in periods))


def _after_months(day: date, months: int) -> date:
    index = day.month - 1 + months
    year, month = day.year + index // 12, index % 12 + 1
    return date(year, month, min(day.day, calendar.monthrange(year, month)[1]))


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)
