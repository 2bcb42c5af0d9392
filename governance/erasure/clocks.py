"""When an answer is due. Each rule names its source and whether a statute or only our policy sets it."""

from __future__ import annotations

import calendar
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from lineage.errors import BadInput

__all__ = ["RULES", "Clock", "due", "extended"]

_SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """One rule: the limit, its extension, and where it stands."""

    months: int = 0
    days: int = 0
    extension_months: int = 0
    extension_days: int = 0
    source: str
    statutory: bool


RULES: Mapping[str, Clock] = {
    "GDPR": Clock(months=1, extension_months=2, source="Regulation (EU) 2016/679, Article 12(3)", statutory=True),
    "LGPD": Clock(
        days=15, source="Lei 13.709/2018, Article 18: immediate, or reasons why not; 15 days is this installation's policy", statutory=False
    ),
    "CCPA": Clock(days=45, extension_days=45, source="11 CCR § 7021(b)", statutory=True),
}


def due(regulation: str, received_at: int) -> int:
    """UTC nanoseconds by which the answer is due.

    >>> start = int(datetime(2026, 1, 31, tzinfo=UTC).timestamp()) * _SECOND
    >>> datetime.fromtimestamp(due("GDPR", start) // _SECOND, UTC).date().isoformat()
    '2026-02-28'
    """
    rule = _rule(regulation)
    return _add(received_at, rule.months, rule.days)


def extended(regulation: str, due_at: int) -> int:
    """The deadline after its one extension; ``BadInput`` where the law knows none."""
    rule = _rule(regulation)
    if not (rule.extension_months or rule.extension_days):
        raise BadInput(f"{regulation} knows no extension ({rule.source})")
    return _add(due_at, rule.extension_months, rule.extension_days)


def _rule(regulation: str) -> Clock:
    if regulation not in RULES:
        raise BadInput(f"regulation must be one of {', '.join(RULES)}, not {regulation!r}")
    return RULES[regulation]


def _add(at: int, months: int, days: int) -> int:
    seconds, rest = divmod(at, _SECOND)
    moment = datetime.fromtimestamp(seconds, UTC)
    index = moment.month - 1 + months
    year, month = moment.year + index // 12, index % 12 + 1
    moment = moment.replace(year=year, month=month, day=min(moment.day, calendar.monthrange(year, month)[1])) + timedelta(days=days)
    return int(moment.timestamp()) * _SECOND + rest
