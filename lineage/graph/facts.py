"""What is known of one run, job or dataset: facts that only join, so that neither order nor repetition of events matters.

Every fact is one of four shapes, each with a join that is commutative, associative and idempotent:

* a cell ``[time, digest, value]``: the greatest (time, digest, value) wins (last writer wins);
* a smallest or greatest value (``w``, the witness; ``t`` and ``u``, the first and the last time);
* a set that only grows (starts, ends, peers, stated versions);
* a mapping whose values join.

Facts are plain JSON, kept in the fold's state. What they *mean* is decided in :mod:`lineage.graph.derive`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import orjson

from lineage.graph.keys import canonical, ident_id
from lineage.model import DatasetRef, Json, RunEvent

__all__ = ["Facts", "add_dataset", "add_job", "add_link", "add_run", "cell", "stated", "value_of", "visible"]

Facts = dict[str, Any]

INLINE = 16 * 1024
"""Bytes of JSON above which an uninterpreted facet is kept by reference to its ledger entry, not copied into the graph."""

_WIDEST = 3
"""Canonical text has at most so many characters for one byte of orjson's: two bytes of UTF-8 become ``\\u00e9``."""
_WHOLE = frozenset({"executionParameters", "govern_environment", "sourceCodeLocation", "test", "govern_rowSet"})
"""Facets that the graph reads: never kept by reference."""
_PER_VERSION = frozenset({"version", "columnLineage", "lineage", "govern_rowSet"})
"""Dataset facets that speak of one version or one read, so not of the dataset."""
_ROWS = "govern_rowSet"
_TERMINAL = frozenset({"COMPLETE", "ABORT", "FAIL"})


def cell(old: list[Json] | None, event: RunEvent, value: Json) -> list[Json]:
    """The winner of an old cell and what this event says."""
    new = [event.event_time, event.digest, value]
    if old is None or old[:2] < new[:2]:
        return new
    if old[:2] == new[:2] and canonical(old[2]) < canonical(value):
        return new  # one event that says two things of one entity: the greater text wins, whatever the order in the list
    return old


def value_of(found: list[Json] | None) -> Json:
    """The value in a cell, ``None`` where there is no cell."""
    return None if found is None else found[2]


def visible(cells: Mapping[str, list[Json]]) -> dict[str, Json]:
    """The present facets in name order; one that was ``_deleted`` is not shown."""
    shown = {name: found[2] for name, found in sorted(cells.items())}
    return {name: value for name, value in shown.items() if not (isinstance(value, dict) and value.get("_deleted") is True)}


def stated(cells: Mapping[str, list[Json]]) -> dict[str, Json]:
    """The facets of a run or of what it read and wrote, in name order: there ``_deleted`` has no meaning and is a field as any other."""
    return {name: found[2] for name, found in sorted(cells.items())}


def add_run(facts: Facts | None, event: RunEvent) -> Facts:
    """The run's facts joined with what a RunEvent says of it."""
    facts = facts or {"id": event.run_id, "starts": [], "ends": [], "ran": False, "f": {}, "in": {}, "out": {}}
    _witness(facts, event)
    when = event.event_time
    _times(facts, event)
    if event.event_type == "START" and when and when not in facts["starts"]:
        facts["starts"] = sorted([*facts["starts"], when])
    if event.event_type in _TERMINAL and [when, event.event_type] not in facts["ends"]:
        facts["ends"] = sorted([*facts["ends"], [when, event.event_type]])
    facts["ran"] = facts["ran"] or event.event_type == "RUNNING"
    if event.job is not None:
        facts["job"] = cell(facts.get("job"), event, [event.job.namespace, event.job.name])
        if "sourceCodeLocation" in event.job.facets:
            facts["code"] = cell(facts.get("code"), event, event.job.facets["sourceCodeLocation"])
    if event.processing is not None:
        facts["proc"] = cell(facts.get("proc"), event, event.processing)
    if event.parent is not None:
        facts["parent"] = cell(facts.get("parent"), event, list(event.parent))
    _facets(facts["f"], event, event.run_facets)
    rows = _row_sets(event)
    for ref in event.inputs:
        entry = _mention(facts["in"], event, ref)
        told = dict(ref.io_facets)
        if stated_rows := rows.get((ref.namespace, ref.name, ref.version)):
            told[_ROWS] = stated_rows
        if ref.version is None:
            _facets(entry["io"], event, told)
        else:
            stated = entry["v"].setdefault(ref.version, {"io": {}})
            _witness(stated, event)
            _facets(stated["io"], event, told)
    for ref in event.outputs:
        entry = _mention(facts["out"], event, ref)
        if ref.version is not None:
            _witness(entry["v"].setdefault(ref.version, {}), event)
        _facets(entry["io"], event, ref.io_facets)
        _facets(entry.setdefault("f", {}), event, ref.facets)
        if ref.column_sources is not None:
            entry["col"] = cell(entry.get("col"), event, [list(name) for name in ref.column_sources])
        if ref.lineage_sources is not None:  # in a RunEvent explicit lineage accumulates over the run
            known = entry.setdefault("exp", {"src": [], "job": False})
            known["src"] = sorted({tuple(name) for name in known["src"]} | set(ref.lineage_sources))
            known["job"] = known["job"] or ref.lineage_from_job
    return facts


def add_job(facts: Facts | None, event: RunEvent) -> Facts:
    """The job's facts joined with what a RunEvent or JobEvent says of it."""
    if event.job is None:
        raise ValueError("an event without a job says nothing of a job")
    facts = facts or {"n": [event.job.namespace, event.job.name], "f": {}}
    _witness(facts, event)
    _times(facts, event)
    _facets(facts["f"], event, event.job.facets)
    if event.processing is not None:
        facts["proc"] = cell(facts.get("proc"), event, event.processing)
    if event.kind == "job":  # a JobEvent replaces what the job declared before
        declared = [sorted({(ref.namespace, ref.name) for ref in refs}) for refs in (event.inputs, event.outputs)]
        facts["io"] = cell(facts.get("io"), event, [[list(name) for name in names] for names in declared])
    return facts


def add_dataset(facts: Facts | None, event: RunEvent, ref: DatasetRef) -> Facts:
    """The dataset's facts joined with what an event says of it."""
    facts = facts or {"n": [ref.namespace, ref.name], "f": {}, "v": {}}
    _witness(facts, event)
    _times(facts, event)
    _facets(facts["f"], event, {name: value for name, value in ref.facets.items() if name not in _PER_VERSION})
    if ref.kind is not None:
        facts["kind"] = cell(facts.get("kind"), event, ref.kind)
    if event.kind == "dataset" and ref.version is not None:  # a DatasetEvent states that this version is there
        stated = facts["v"].setdefault(ref.version, {"f": {}})
        _witness(stated, event)
        if event.event_time:
            stated["t"] = min(stated.get("t", event.event_time), event.event_time)
        _facets(stated["f"], event, ref.facets)
        if ref.lineage_sources is not None:  # and its explicit lineage replaces what was said before
            stated["src"] = cell(stated.get("src"), event, [list(name) for name in ref.lineage_sources])
    return facts


def add_link(facts: Facts | None, ref: tuple[str, str], peer: tuple[str, str], named_as: str | None) -> Facts:
    """The names known to mean the same dataset as ``ref``, with ``peer`` among them."""
    facts = facts or {"n": list(ref), "peers": {}, "types": []}
    facts["peers"][ident_id(*peer)] = list(peer)
    if named_as is not None:
        facts["types"] = sorted({*facts["types"], named_as})
    return facts


def _witness(facts: Facts, event: RunEvent) -> None:
    facts["w"] = min(facts.get("w", event.digest), event.digest)


def _times(facts: Facts, event: RunEvent) -> None:
    """``t`` and ``u``: when the first and the last event that spoke of it took place."""
    when = event.event_time
    if when:
        facts["t"] = min(facts.get("t", when), when)
        facts["u"] = max(facts.get("u", when), when)


def _row_sets(event: RunEvent) -> dict[tuple[str, str, str | None], list[Json]]:
    """Every row set that the event states of a read, sent as an input facet or as a dataset facet.

    One version may be read twice in two roles (train and test rows of one table): both sets count.
    """
    found: dict[tuple[str, str, str | None], dict[str, Json]] = {}
    for ref in event.inputs:
        stated = ref.io_facets.get(_ROWS, ref.facets.get(_ROWS))
        if isinstance(stated, dict):
            found.setdefault((ref.namespace, ref.name, ref.version), {})[canonical(stated)] = stated
    return {place: [sets[text] for text in sorted(sets)] for place, sets in found.items()}


def _mention(entries: Facts, event: RunEvent, ref: DatasetRef) -> Facts:
    entry: Facts = entries.setdefault(ident_id(ref.namespace, ref.name), {"n": [ref.namespace, ref.name], "v": {}, "io": {}})
    _witness(entry, event)
    return entry


def _facets(cells: Facts, event: RunEvent, found: Mapping[str, Json]) -> None:
    for name, value in found.items():
        old = cells.get(name)
        if old is None or old[:2] <= [event.event_time, event.digest]:
            cells[name] = cell(old, event, value if name in _WHOLE else _small(value, event))


def _small(value: Json, event: RunEvent) -> Json:
    """The facet itself, or where its bytes lie: the payload of the ledger entry whose identity is the event's digest."""
    try:
        if len(orjson.dumps(value)) * _WIDEST <= INLINE:
            return value
    except TypeError:  # an integer beyond 64 bits, or half of a surrogate pair: the canonical text decides
        pass
    text = canonical(value)
    if len(text) <= INLINE:
        return value
    return {"_elided": {"sha256": hashlib.sha256(text.encode("ascii")).hexdigest(), "bytes": len(text), "event": event.digest}}
