"""Which days are business days, and how to count them. Pure: a calendar and a day in, a day out."""

from __future__ import annotations

from datetime import date, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from governance.erasure.law import Calendar

__all__ = ["after_business_days", "is_business_day", "next_business_day"]

_WEEK = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_DAY = timedelta(days=1)


def is_business_day(calendar: Calendar, day: date) -> bool:
    """Neither in the weekend nor a public holiday of the calendar's country."""
    if _WEEK[day.weekday()] in calendar.weekend:
        return False
    return calendar.country is None or day not in _holidays(calendar.country, calendar.subdivision, day.year)


def next_business_day(calendar: Calendar, day: date) -> date:
    """The day itself, or the first business day after it."""
    while not is_business_day(calendar, day):
        day += _DAY
    return day


def after_business_days(calendar: Calendar, day: date, count: int) -> date:
    """The ``count``-th business day after ``day``, which itself is not counted; ``day`` for 0."""
    while count > 0:
        day += _DAY
        count -= is_business_day(calendar, day)
    return day


@lru_cache(maxsize=512)
def _holidays(country: str, subdivision: str | None, year: int) -> frozenset[date]:
    """The public holidays of a year, days given for those that fall on a weekend included."""
    import holidays

    return frozenset(holidays.country_holidays(country, subdiv=subdivision, years=year))
