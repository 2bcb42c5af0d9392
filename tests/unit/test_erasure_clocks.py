"""Deadlines of the law packs: dates worked out by hand from the sources, and what holds of every date."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from governance.erasure.clocks import ALERTS, DAY, SECOND, clock_of, day_in, deadline, end_of_day, passed, suspended
from governance.erasure.days import after_business_days, is_business_day, next_business_day
from governance.erasure.law import parse_pack
from governance.erasure.packs import Packs, shipped_texts

PACKS = {pack.id: pack for pack in Packs().all()}
GERMAN = parse_pack(
    shipped_texts()["gdpr-1.yaml"]
    .replace("version: 1", "version: 2")
    .replace("weekend: [saturday, sunday]", "weekend: [saturday, sunday]\n  country: DE\n  subdivision: BE")
    .replace("Europe/Brussels", "Europe/Berlin")
)


def at(text: str, zone: str = "UTC") -> int:
    moment = datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))
    return int(moment.timestamp()) * SECOND


# ── tabled ──────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    ("received", "due", "longer"),
    [
        # Reg. 1182/71 art. 3(2)(c): the same date of the next month; art. 3(4): a Saturday or Sunday moves to Monday.
        ("2026-03-05", "2026-04-06", "2026-06-05"),  # 5 April 2026 is a Sunday
        ("2026-01-15", "2026-02-16", "2026-04-15"),  # 15 February is a Sunday
        ("2026-08-31", "2026-09-30", "2026-11-30"),  # September has 30 days
        ("2026-01-31", "2026-03-02", "2026-04-30"),  # 28 February is a Saturday; three months: 30 April, no compound of short months
        ("2027-01-31", "2027-03-01", "2027-04-30"),  # 28 February 2027 is a Sunday
        ("2028-01-29", "2028-02-29", "2028-05-01"),  # a leap year; 29 April 2028 is a Saturday
        ("2028-01-31", "2028-02-29", "2028-05-01"),  # 30 April 2028 is a Sunday
        ("2028-02-29", "2028-03-29", "2028-05-29"),
        ("2026-12-31", "2027-02-01", "2027-03-31"),  # 31 January 2027 is a Sunday
        ("2026-11-30", "2026-12-30", "2027-03-01"),  # 28 February 2027 is a Sunday
        ("2026-10-25", "2026-11-25", "2027-01-25"),  # the night in which the clock goes back
        ("2026-02-28", "2026-03-30", "2026-05-28"),  # 28 March 2026 is a Saturday; the clock goes forward on the 29th
    ],
)
def test_a_month_by_the_gdpr(received: str, due: str, longer: str) -> None:
    pack = PACKS["GDPR"]
    for hour in ("00:00", "12:00", "23:59"):
        start = at(f"{received}T{hour}", pack.zone)
        assert day_in(pack.zone, deadline(pack, "answer", start)).isoformat() == due
        assert day_in(pack.zone, deadline(pack, "answer", start, extended=True)).isoformat() == longer


@pytest.mark.parametrize(
    ("received", "due"),
    [
        ("2026-04-01", "2026-05-04"),  # 1 May is Labour Day, a Friday: the Monday after
        ("2026-11-25", "2026-12-28"),  # 25 December is Christmas, a Friday
        ("2026-02-08", "2026-03-09"),  # 8 March is Women's Day in Berlin, and a Sunday
    ],
)
def test_public_holidays_of_the_state_are_no_last_day(received: str, due: str) -> None:
    assert day_in(GERMAN.zone, deadline(GERMAN, "answer", at(f"{received}T09:00", GERMAN.zone))).isoformat() == due


@pytest.mark.parametrize(
    ("received", "acknowledged", "due", "longer"),
    [
        # 11 CCR 7021: 10 business days, 45 and 90 calendar days; the first day is left out (Gov. Code 6800).
        ("2026-01-02", "2026-01-16", "2026-02-16", "2026-04-02"),  # ten business days in 14 days: 16 January
        ("2026-06-18", "2026-07-06", "2026-08-02", "2026-09-16"),  # 19 June and 3 July (4 July observed) are off
        ("2026-11-20", "2026-12-07", "2027-01-04", "2027-02-18"),  # Thanksgiving
        ("2028-01-31", "2028-02-14", "2028-03-16", "2028-04-30"),  # over 29 February
        ("2026-12-24", "2027-01-11", "2027-02-07", "2027-03-24"),  # Christmas, New Year
    ],
)
def test_the_clocks_of_the_ccpa(received: str, acknowledged: str, due: str, longer: str) -> None:
    pack = PACKS["CCPA"]
    start = at(f"{received}T23:30", pack.zone)
    assert day_in(pack.zone, deadline(pack, "acknowledge", start)).isoformat() == acknowledged
    assert day_in(pack.zone, deadline(pack, "answer", start)).isoformat() == due, "calendar days: a Sunday does not move it"
    assert day_in(pack.zone, deadline(pack, "answer", start, extended=True)).isoformat() == longer


def test_the_lgpd_has_a_policy_of_fifteen_days_and_no_extension() -> None:
    pack = PACKS["LGPD"]
    assert day_in(pack.zone, deadline(pack, "answer", at("2026-02-20T22:00", pack.zone))) == date(2026, 3, 7)
    assert pack.rules["answer"].basis == "policy"
    assert pack.rules["answer"].extension is None


def test_a_day_is_the_day_of_the_zone() -> None:
    """Half past eleven at night in Los Angeles is the next day in Brussels."""
    moment = at("2026-03-31T23:30", "America/Los_Angeles")
    assert day_in(PACKS["CCPA"].zone, deadline(PACKS["CCPA"], "answer", moment)) == date(2026, 5, 15)
    assert day_in(PACKS["GDPR"].zone, deadline(PACKS["GDPR"], "answer", moment)) == date(2026, 5, 1)


@pytest.mark.parametrize(
    ("zone", "day", "utc"),
    [
        ("Europe/Brussels", "2026-03-29", "2026-03-29T22:00:00"),  # summer time has begun that night
        ("Europe/Brussels", "2026-10-25", "2026-10-25T23:00:00"),
        ("America/Los_Angeles", "2026-03-08", "2026-03-09T07:00:00"),
        ("America/Sao_Paulo", "2018-11-03", "2018-11-04T03:00:00"),  # midnight did not exist: the clocks went from 24:00 to 1:00
    ],
)
def test_a_day_ends_at_its_midnight_whatever_the_clocks_did(zone: str, day: str, utc: str) -> None:
    end = end_of_day(zone, date.fromisoformat(day))
    assert datetime.fromtimestamp((end + 1) // SECOND, UTC).isoformat() == f"{utc}+00:00"
    assert (end + 1) % SECOND == 0
    assert day_in(zone, end) < day_in(zone, end + 1)


# ── suspension, extension ───────────────────────────────────────────────────────────────────────
def record(start: int, **more: object) -> dict[str, object]:
    return {"received_at": start, "created_at": start, "suspensions": [], **more}


def test_the_gdpr_clock_stands_still_while_identity_is_asked_for_and_the_ccpa_clock_does_not() -> None:
    start = at("2026-03-02T09:00", "Europe/Brussels")
    spans = [{"since": start + DAY, "until": start + 6 * DAY + DAY // 2, "why": "asked"}]
    for ident, due in (("GDPR", date(2026, 4, 7)), ("CCPA", date(2026, 4, 16))):
        clock = clock_of(PACKS[ident], "answer", record(start, suspensions=spans), start + 7 * DAY)
        assert day_in(clock.zone, clock.due_at) == due, "five whole days; the half one is not counted"
    still = clock_of(
        PACKS["GDPR"], "answer", record(start, suspensions=[{"since": start + DAY, "until": None, "why": "asked"}]), start + 21 * DAY
    )
    assert still.suspended_since == start + DAY
    assert still.percent == clock_of(PACKS["GDPR"], "answer", record(start), start + DAY).percent
    assert not still.late


def test_a_clock_that_was_set_back_moves_no_deadline_and_opens_no_period() -> None:
    start = at("2026-03-02T09:00", "Europe/Brussels")
    back = [{"since": start + 5 * DAY, "until": start + DAY, "why": "the clock was set back"}]
    pack = PACKS["GDPR"]
    assert suspended(back, start) == 0
    clock = clock_of(pack, "answer", record(start, suspensions=back), start - 30 * DAY)
    assert (clock.due_at, clock.percent, clock.late) == (deadline(pack, "answer", start), 0, False)


def test_an_acknowledgement_stops_its_own_clock_and_an_answer_stops_both() -> None:
    pack, start = PACKS["CCPA"], at("2026-03-02T09:00", "America/Los_Angeles")
    told = record(start, acknowledged={"at": start + DAY})
    assert clock_of(pack, "acknowledge", told, start + 60 * DAY).late is False
    assert clock_of(pack, "answer", told, start + 60 * DAY).late is True
    answered = record(start, answered_at=start + 44 * DAY)
    assert clock_of(pack, "answer", answered, start + 60 * DAY).late is False
    assert clock_of(pack, "acknowledge", answered, start + 60 * DAY).late is True, "the answer came, the confirmation did not come in time"


def test_alerts_come_at_half_three_quarters_nine_tenths_and_when_it_is_late() -> None:
    pack, start = PACKS["CCPA"], at("2026-03-02T00:00", "America/Los_Angeles")
    due = deadline(pack, "answer", start)
    seen = {
        part: next(day for day in range(60) if part in passed(clock_of(pack, "answer", record(start), start + day * DAY)))
        for part in ALERTS
    }
    assert seen == {50: 23, 75: 35, 90: 42, 100: 46}
    assert 100 not in passed(clock_of(pack, "answer", record(start), due)), "the last nanosecond is in time"
    assert 100 in passed(clock_of(pack, "answer", record(start), due + 1))
    assert passed(clock_of(pack, "answer", record(start, answered_at=start + DAY), due + DAY)) == ()


# ── what holds of every date ────────────────────────────────────────────────────────────────────
MOMENTS = st.integers(at("2018-06-01"), at("2060-01-01")).map(lambda seconds: seconds + seconds % 977)
LAWS = st.sampled_from([*PACKS.values(), GERMAN])


@settings(max_examples=50, deadline=None)
@given(pack=LAWS, start=MOMENTS, gap=st.integers(0, 40 * DAY), still=st.integers(0, 400 * DAY))
def test_no_deadline_is_before_receipt_and_none_comes_earlier_for_a_later_request(pack, start: int, gap: int, still: int) -> None:
    for rule, law in pack.rules.items():
        due = deadline(pack, rule, start)
        assert due >= start + DAY
        assert deadline(pack, rule, start + gap) >= due
        assert deadline(pack, rule, start, stood_still=still) >= due
        assert deadline(pack, rule, start, stood_still=still) - due <= still + 6 * DAY, (
            "whole days, and a weekend with its holidays at most"
        )
        if law.extension:
            assert deadline(pack, rule, start, extended=True) > due
        if law.rolls:
            assert is_business_day(pack.calendar, day_in(pack.zone, due))
        assert day_in(pack.zone, due + 1) == day_in(pack.zone, due) + timedelta(days=1)


@settings(max_examples=50, deadline=None)
@given(start=MOMENTS)
def test_a_month_is_the_same_date_or_the_last_day_before_weekends_move_it(start: int) -> None:
    pack = PACKS["GDPR"]
    day, due = day_in(pack.zone, start), day_in(pack.zone, deadline(pack, "answer", start))
    following = date(day.year + day.month // 12, day.month % 12 + 1, 1)
    last = date(following.year + following.month // 12, following.month % 12 + 1, 1) - timedelta(days=1)
    plain = min(following + timedelta(days=day.day - 1), last)
    assert due == plain + timedelta(days={5: 2, 6: 1}.get(plain.weekday(), 0))


@settings(max_examples=50, deadline=None)
@given(pack=LAWS, start=MOMENTS, spent=st.integers(-10 * DAY, 200 * DAY), since=st.integers(0, 90 * DAY), length=st.integers(0, 90 * DAY))
def test_time_alone_never_takes_an_alert_back(pack, start: int, spent: int, since: int, length: int) -> None:
    body = record(start, suspensions=[{"since": start + since, "until": start + since + length, "why": "asked"}])
    now = start + since + length + max(0, spent)
    early, later = clock_of(pack, "answer", body, now), clock_of(pack, "answer", body, now + DAY)
    assert early.percent <= later.percent
    assert set(passed(early)) <= set(passed(later))
    assert clock_of(pack, "answer", body, start + spent).percent >= 0


@settings(max_examples=50, deadline=None)
@given(pack=LAWS, start=st.dates(date(2019, 1, 1), date(2040, 1, 1)), count=st.integers(0, 40))
def test_business_days_are_counted_one_by_one(pack, start: date, count: int) -> None:
    end = after_business_days(pack.calendar, start, count)
    days = [start + timedelta(days=n) for n in range(1, (end - start).days + 1)]
    assert sum(is_business_day(pack.calendar, day) for day in days) == count
    assert count == 0 or is_business_day(pack.calendar, end)
    assert next_business_day(pack.calendar, end) >= end
