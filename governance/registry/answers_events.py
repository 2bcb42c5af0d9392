"""Events out again, as they came in: a page of the ledger's OpenLineage events, of a time window, or of one trace.

What is exported and sent to an empty home folds into the same graph. A payload that was redacted is exported as it stands since; one
that was destroyed is not, and counted.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from lineage.errors import BadInput
from lineage.graph.keys import ident_id
from lineage.graph.state import load, stamp
from lineage.ledger.replaced import Replacements
from lineage.model import Impact, LedgerEntry
from lineage.openlineage import parse_event
from lineage.ports import FoldState, GraphStore, Ledger

__all__ = ["EventPage", "event_page", "trace_events"]

_KIND = "openlineage"
_WINDOW = "ev/"
_STEP = 1000
_MOST_RUNS = 5000


@dataclass(frozen=True, slots=True, kw_only=True)
class EventPage:
    """Lines of NDJSON, each an event as it was received; the cursor of the next page; how many payloads are destroyed."""

    lines: tuple[bytes, ...]
    next: str | None
    destroyed: int


def event_page(
    ledger: Ledger, graph: GraphStore, *, since: int | None = None, until: int | None = None, limit: int = 1000, cursor: str | None = None
) -> EventPage:
    """A page of events: all in ledger order, or those whose event time lies in [since, until), in that order.

    Raises:
        BadInput: the cursor is not one of ours, or the window ends before it begins.
    """
    replaced = Replacements(ledger)
    if since is None and until is None:
        start = int(_read(cursor, digits=True)) if cursor else 0
        entries = ledger.entries(start, limit, _KIND)
        lines, destroyed = _lines(replaced.said(entries))
        more = len(entries) == limit
        return EventPage(lines=lines, next=_write(str(entries[-1].index + 1)) if more else None, destroyed=destroyed)
    if since is not None and until is not None and until < since:
        raise BadInput("the window ends before it begins", hint="give since= before until=")
    low = f"{_WINDOW}{stamp(since if since is not None else -(2**63))}/"
    high = f"{_WINDOW}{stamp(until)}/" if until is not None else "ev0"  # "0" follows "/"
    if cursor:
        low = max(low, _WINDOW + _read(cursor, digits=False) + "0")
    keys = [key for key, _ in graph.state().between(low, high, limit=limit)]
    lines, destroyed = _lines(replaced.said(ledger.entry(_index(key)) for key in keys))
    return EventPage(lines=lines, next=_write(keys[-1][len(_WINDOW) :]) if len(keys) == limit else None, destroyed=destroyed)


def trace_events(ledger: Ledger, graph: GraphStore, impact: Impact) -> EventPage:
    """Every event of the runs of an answer, and every event that speaks of its jobs or datasets alone.

    Raises:
        BadInput: the answer holds more runs than one file should.
    """
    state = graph.state()
    runs = {str(node.props["run_id"]) for node in impact.graph.nodes if node.label == "Run"}
    if len(runs) > _MOST_RUNS:
        hint = "bound it with --depth, or export a time window: govern ledger export --format openlineage --since …"
        raise BadInput(f"the answer holds {len(runs)} runs, more than one file of events should", hint=hint)
    owners = {f"run/{run}" for run in runs}
    owners |= {f"job/{ident}" for ident in _idents(impact, {"Job", "JobVersion"})}
    owners |= {f"ds/{ident}" for ident in _idents(impact, {"Dataset", "DatasetVersion", "Model", "ModelVersion"})}
    found = {index for low, high in _spans(state, owners) for index in _within(state, low, high)}
    entries = Replacements(ledger).said(map(ledger.entry, sorted(found)))
    kept = [entry for entry in entries if entry.payload is None or _speaks_of(entry.payload, owners)]
    lines, destroyed = _lines(kept)
    return EventPage(lines=lines, next=None, destroyed=destroyed)


def _idents(impact: Impact, labels: set[str]) -> set[str]:
    return {
        ident_id(str(node.props["namespace"]), str(node.props["name"]))
        for node in impact.graph.nodes
        if node.label in labels and "namespace" in node.props
    }


def _spans(state: FoldState, owners: Iterable[str]) -> list[tuple[int, int]]:
    """The times in which events spoke of the owners, overlapping ones joined."""
    spans: list[tuple[int, int]] = []
    for owner in owners:
        facts = load(state, owner)
        if facts is not None and "t" in facts:
            first = int(facts["t"])
            spans.append((first, int(facts.get("u") or first)))
    joined: list[tuple[int, int]] = []
    for low, high in sorted(spans):
        if joined and low <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], high))
        else:
            joined.append((low, high))
    return joined


def _within(state: FoldState, low: int, high: int) -> Iterator[int]:
    begin, end = f"{_WINDOW}{stamp(low)}/", f"{_WINDOW}{stamp(high)}0"
    while True:
        page = state.between(begin, end, limit=_STEP)
        yield from (_index(key) for key, _ in page)
        if len(page) < _STEP:
            return
        begin = page[-1][0] + "0"


def _index(key: str) -> int:
    return int(key.rsplit("/", 1)[1])


def _speaks_of(payload: bytes, owners: set[str]) -> bool:
    """Whether an event is one of the runs, or speaks of a job or dataset of the answer apart from any run."""
    event = parse_event(payload)
    if event.run_id is not None:
        return f"run/{event.run_id}" in owners
    if event.job is not None:
        return f"job/{ident_id(event.job.namespace, event.job.name)}" in owners
    return event.dataset is not None and f"ds/{ident_id(event.dataset.namespace, event.dataset.name)}" in owners


def _lines(entries: Iterable[LedgerEntry]) -> tuple[tuple[bytes, ...], int]:
    """The payloads, each on one line: a line break of JSON lies between its tokens, so a blank there says the same."""
    lines, destroyed = [], 0
    for entry in entries:
        if entry.payload is None:
            destroyed += 1
        else:
            lines.append(entry.payload.replace(b"\r", b" ").replace(b"\n", b" ").strip())
    return tuple(lines), destroyed


def _write(place: str) -> str:
    return base64.urlsafe_b64encode(place.encode()).decode().rstrip("=")


def _read(cursor: str, *, digits: bool) -> str:
    try:
        place = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except (binascii.Error, ValueError):
        place = ""
    parts = place.split("/")
    if len(parts) != (1 if digits else 2) or not all(part.isascii() and part.isdigit() and len(part) <= 20 for part in parts):
        raise BadInput("the cursor cannot be read", hint="pass `next` of the page before, with the same window")
    return place
