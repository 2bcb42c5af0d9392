"""The differences from Marquez that are meant: each with a rule that says where it may stand and what the two values must be."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["ANSWERS", "CALLS", "DATA", "DIFFERENCES", "EVENTS", "MISSING", "Difference", "differences"]

DATA = Path(__file__).parents[1] / "data" / "marquez"
EVENTS: list[dict[str, Any]] = json.loads((DATA / "events.json").read_text())
CALLS: dict[str, dict[str, Any]] = {
    name: call for name, call in json.loads((DATA / "index.json").read_text()).items() if call["method"] == "GET"
}
ANSWERS: dict[str, Any] = {name: json.loads((DATA / "answers" / f"{name}.json").read_text()) for name in CALLS}

MISSING = "(missing)"
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True)
class Difference:
    """One intended difference.

    ``at`` matches the whole of ``call/path/in/the/answer``, list places as numbers; ``so(ours, theirs)`` says whether it is this one.
    """

    name: str
    """As the documentation names it."""
    at: str
    so: Callable[[Any, Any], bool]


def _ids(ours: Any, theirs: Any) -> bool:
    return bool(UUID.fullmatch(str(ours)) and UUID.fullmatch(str(theirs)))


def _nothing_said(ours: Any, theirs: Any) -> bool:
    return ours == MISSING and theirs is None


DIFFERENCES: tuple[Difference, ...] = (
    Difference("ids of versions", r".*/(version|currentVersion|datasetVersion|currentSchemaVersion)", _ids),
    Difference("nominal times of a run", r".*/nominalStartTime", lambda ours, theirs: ours == "2026-11-21T01:00:00Z" and theirs is None),
    Difference(
        "times of arrival",
        r"(datasets|lineage_.*)/.*/updatedAt",
        lambda ours, theirs: ours == "2026-11-21T01:10:00Z" and theirs == "2026-11-21T02:09:02.368892Z",
    ),
    Difference("no default namespace", r"namespaces/namespaces/default", lambda ours, theirs: ours == MISSING),
    Difference("order of jobs", r"jobs(_all)?/jobs", lambda ours, theirs: ours == sorted(theirs) and theirs != sorted(theirs)),
    Difference(
        "facets of a job version's run",
        r"job_versions/versions/0/latestRun/facets/(jobType|sourceCodeLocation|nominalTime)",
        lambda ours, theirs: MISSING in (ours, theirs),
    ),
    Difference(
        "transformations of a column",
        r"(datasets?|column_lineage_.*)/.*/transformationType",
        lambda ours, theirs: ours == "IDENTITY" and theirs is None,
    ),
    Difference("types of source columns", r"column_lineage_.*/fieldType", lambda ours, theirs: ours in ("INT", "BIGINT") and theirs == ""),
    Difference(
        "version facet of what was only read",
        r"datasets/datasets/raw.users/facets/version/_(producer|schemaURL)",
        lambda ours, theirs: ours == MISSING,
    ),
    Difference("errors of Marquez", r"(sources|run_lineage_upstream)/status", lambda ours, theirs: (ours, theirs) == (200, 500)),
    Difference("events as they were sent", r"events_lineage(_page)?/events/.*", _nothing_said),
    Difference(
        "events as they were sent",
        r"events_lineage(_page)?/events/\d/eventTime",
        lambda ours, theirs: ours.replace(".000Z", "Z") == theirs,
    ),
    Difference(
        "events are counted at once",
        r"stats_lineage_events_day/\d+/(start|complete)",
        lambda ours, theirs: ours in (1, 2) and theirs == 0,
    ),
)


def differences(name: str, ours: Any, theirs: Any) -> Iterator[tuple[str, Any, Any]]:
    """(where, ours, theirs) of all that differs; things with a name of their own in a list are compared by it, and their order apart."""
    yield from _walk(name, ours, theirs)


def _walk(at: str, ours: Any, theirs: Any) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in sorted({*ours, *theirs}):
            if key not in ours or key not in theirs:
                yield f"{at}/{key}", ours.get(key, MISSING), theirs.get(key, MISSING)
            else:
                yield from _walk(f"{at}/{key}", ours[key], theirs[key])
    elif isinstance(ours, list) and isinstance(theirs, list):
        if at.rsplit("/", maxsplit=1)[-1] in ("namespaces", "jobs", "datasets"):
            yield from _named(at, {one["name"]: one for one in ours}, {one["name"]: one for one in theirs})
            return
        for place in range(max(len(ours), len(theirs))):
            if place >= min(len(ours), len(theirs)):
                yield f"{at}/{place}", *(found[place] if place < len(found) else MISSING for found in (ours, theirs))
            else:
                yield from _walk(f"{at}/{place}", ours[place], theirs[place])
    elif ours != theirs or type(ours) is not type(theirs):
        yield at, ours, theirs


def _named(at: str, ours: dict[str, Any], theirs: dict[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    both = [name for name in ours if name in theirs]
    if both != [name for name in theirs if name in ours]:
        yield at, list(ours), list(theirs)
    yield from _walk(
        at, {name.replace("/", "."): one for name, one in ours.items()}, {name.replace("/", "."): one for name, one in theirs.items()}
    )
