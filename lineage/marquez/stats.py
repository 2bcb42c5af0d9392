"""How much there is, hour by hour of the last day or day by day of the last week."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

from lineage.graph.state import load, stamp
from lineage.marquez.lists import DATASETS, sources
from lineage.marquez.names import instant
from lineage.model import Json
from lineage.ports import FoldState, GraphStore

__all__ = ["counts", "event_counts", "intervals"]

_HOUR = 3_600_000_000_000
_TYPES = ("FAIL", "START", "COMPLETE", "ABORT")


def intervals(now: int, period: str, zone: ZoneInfo) -> list[tuple[int, int, int, int]]:
    """The intervals of a period, each as (begin, end, begin as shown, end as shown), UTC nanoseconds.

    Of a day the last 24 hours; of a week the last 7 days of ``zone``, shown as Marquez does: the day's local midnight as if in UTC.
    """
    if period == "DAY":
        begin = now // _HOUR * _HOUR
        return [(at, at + _HOUR, at, at + _HOUR) for at in range(begin - 23 * _HOUR, begin + 1, _HOUR)]
    today = dt.datetime.fromtimestamp(now // 1_000_000_000, zone).date()
    days = [today + dt.timedelta(days=day) for day in range(-6, 2)]
    real = [_nanoseconds(dt.datetime.combine(day, dt.time(), zone)) for day in days]
    shown = [_nanoseconds(dt.datetime.combine(day, dt.time(), dt.UTC)) for day in days]
    return [(real[place], real[place + 1], shown[place], shown[place + 1]) for place in range(7)]


def event_counts(state: FoldState, places: list[tuple[int, int, int, int]]) -> list[dict[str, Json]]:
    """Events that took place in each interval, by type; an hour counts where it begins."""
    answer = []
    for begin, end, shown, until in places:
        total = dict.fromkeys(_TYPES, 0)
        for key, _ in state.between(f"hr/{stamp(begin)}", f"hr/{stamp(end)}"):
            found = load(state, key) or {}
            for kind in _TYPES:
                total[kind] += found.get(kind, 0)
        times = {"startInterval": instant(shown), "endInterval": instant(until)}
        answer.append({**times, **{kind.lower(): total[kind] for kind in _TYPES}})
    return answer


def counts(graph: GraphStore, state: FoldState, asset: str, places: list[tuple[int, int, int, int]]) -> list[dict[str, Json]]:
    """How many jobs, datasets or sources were there at the end of each interval, by the first event that spoke of them."""
    if asset == "sources":
        first = sorted(str(source["createdAt"]) for source in sources(state))
        found = [sum(1 for one in first if one < str(instant(end))) for _, end, _, _ in places]
    else:
        kind, labels = ("j", ("Job",)) if asset == "jobs" else ("d", DATASETS)
        total = sum(graph.page(label, limit=1)[1] for label in labels)
        later = [state.count(f"born/{kind}/{stamp(end)}", f"born/{kind}0") for _, end, _, _ in places]
        found = [max(0, total - after) for after in later]
    return [
        {"startInterval": instant(shown), "endInterval": instant(until), "count": count}
        for (_, _, shown, until), count in zip(places, found, strict=True)
    ]


def _nanoseconds(moment: dt.datetime) -> int:
    return int(moment.timestamp()) * 1_000_000_000
