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
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from lineage.graph.keys import canonical, ident_id
from lineage.model import DatasetRef, Json, RunEvent

__all__ = ["Blobs", "Facts", "add_dataset", "add_job", "add_run", "cell", "dataset_again", "job_again", "stated", "value_of", "visible"]

Facts = dict[str, Any]
Blobs = dict[str, bytes]
"""Bodies of large facets by the SHA-256, hex, of their bytes: the fold keeps each once, under ``blob/<sha256>``."""

INLINE = 256 * 1024
"""Bytes of JSON above which a facet's body is kept apart from the facts, and the facts refer to it by digest."""

_WHOLE = frozenset({"executionParameters", "govern_environment", "sourceCodeLocation", "test", "govern_rowSet"})
"""Facets that the graph reads as they are: never kept apart."""
_PER_VERSION = frozenset({"version", "columnLineage", "lineage", "govern_rowSet", "dataQualityAssertions"})
"""Dataset facets that speak of one version or one read, so not of the dataset."""
_ROWS, _TESTS = "govern_rowSet", "dataQualityAssertions"
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
    if not cells:
        return {}
    shown = {name: found[2] for name, found in sorted(cells.items())}
    return {name: value for name, value in shown.items() if not (isinstance(value, dict) and value.get("_deleted") is True)}


def stated(cells: Mapping[str, list[Json]]) -> dict[str, Json]:
    """The facets of a run or of what it read and wrote, in name order: there ``_deleted`` has no meaning and is a field as any other."""
    return {name: found[2] for name, found in sorted(cells.items())} if cells else {}


def add_run(facts: Facts | None, event: RunEvent, blobs: Blobs | None = None) -> Facts:
    """The run's facts joined with what a RunEvent says of it; bodies too large for them go into ``blobs``."""
    facts = facts or {"id": event.run_id, "starts": [], "ends": [], "ran": False, "f": {}, "in": {}, "out": {}}
    _witness(facts, event)
    when = event.event_time
    _times(facts, event)
    if event.event_type == "START" and when and when not in facts["starts"]:
        facts["starts"] = sorted([*facts["starts"], when])
    if event.event_type in _TERMINAL and [when, event.event_type] not in facts["ends"]:
        facts["ends"] = sorted([*facts["ends"], [when, event.event_type]])
    facts["ran"] = facts["ran"] or event.event_type == "RUNNING"
    if event.snapshot and when:
        facts["snap"] = max(facts.get("snap", 0), when)
    if event.job is not None:
        facts["job"] = cell(facts.get("job"), event, [event.job.namespace, event.job.name])
        if "sourceCodeLocation" in event.job.facets:
            facts["code"] = cell(facts.get("code"), event, event.job.facets["sourceCodeLocation"])
    if event.processing is not None:
        facts["proc"] = cell(facts.get("proc"), event, event.processing)
    if event.parent is not None:
        facts["parent"] = cell(facts.get("parent"), event, list(event.parent))
    if event.root is not None:
        facts["root"] = cell(facts.get("root"), event, list(event.root))
    _facets(facts["f"], event, event.run_facets, blobs)
    rows = _row_sets(event)
    for ref in event.inputs:
        entry = _mention(facts["in"], event, ref)
        told = dict(ref.io_facets)
        if _TESTS in ref.facets and _TESTS not in told:
            told[_TESTS] = ref.facets[_TESTS]
        if stated_rows := rows.get((ref.namespace, ref.name, ref.version)):
            told[_ROWS] = stated_rows
        if ref.version is None:
            _facets(entry["io"], event, told, blobs)
        else:
            stated = entry["v"].setdefault(ref.version, {"io": {}})
            _witness(stated, event)
            _last(stated, event)
            _facets(stated["io"], event, told, blobs)
    for ref in event.outputs:
        entry = _mention(facts["out"], event, ref)
        if ref.version is not None:
            stated = entry["v"].setdefault(ref.version, {})
            _witness(stated, event)
            _last(stated, event)
        _facets(entry["io"], event, ref.io_facets, blobs)
        _facets(entry.setdefault("f", {}), event, ref.facets, blobs)
        if ref.column_sources is not None:
            entry["col"] = cell(entry.get("col"), event, [list(name) for name in ref.column_sources])
        if ref.lineage_sources is not None:  # in a RunEvent explicit lineage accumulates over the run
            known = entry.setdefault("exp", {"src": [], "job": False, "jobs": []})
            known["src"] = _union(known["src"], ref.lineage_sources)
            known["jobs"] = _union(known["jobs"], ref.lineage_jobs)
            known["job"] = known["job"] or ref.lineage_from_job
    if event.explicit:
        facts["lin"] = True
        flows = facts.setdefault("jf", {})
        for flow in event.job_flows:
            known = flows.setdefault(canonical(flow[:3]), {"d": [], "j": []})
            known["d"] = _union(known["d"], flow.datasets)
            known["j"] = _union(known["j"], flow.jobs)
    return facts


def add_job(facts: Facts | None, event: RunEvent, blobs: Blobs | None = None) -> Facts:
    """The job's facts joined with what a RunEvent or JobEvent says of it."""
    if event.job is None:
        raise ValueError("an event without a job says nothing of a job")
    facts = facts or {"n": [event.job.namespace, event.job.name], "f": {}}
    _witness(facts, event)
    _times(facts, event)
    _facets(facts["f"], event, event.job.facets, blobs)
    if event.processing is not None:
        facts["proc"] = cell(facts.get("proc"), event, event.processing)
    if event.kind == "job":  # a JobEvent replaces what the job declared before
        facts["io"] = cell(facts.get("io"), event, _declared(event))
    return facts


def _declared(event: RunEvent) -> list[Json]:
    """What a JobEvent declares: [inputs, outputs, [source, target] of datasets, [target job, datasets, jobs]]."""
    sides = [_union([], [(ref.namespace, ref.name) for ref in refs]) for refs in (event.inputs, event.outputs)]
    flows = [
        [list(source), [ref.namespace, ref.name], "explicit" if ref.lineage_sources is not None else "column"]
        for ref in event.outputs
        for source in (ref.lineage_sources if ref.lineage_sources is not None else ref.column_sources or ())
    ]
    own = [event.job.namespace, event.job.name, ""] if event.job else []
    jobs = [[list(flow[:3]), _union([], flow.datasets), _union([], flow.jobs)] for flow in event.job_flows]
    handed = [[own, [ref.namespace, ref.name], _union([], ref.lineage_jobs)] for ref in event.outputs if ref.lineage_jobs]
    return [*sides, sorted(flows), jobs, handed]


def add_dataset(facts: Facts | None, event: RunEvent, ref: DatasetRef, blobs: Blobs | None = None) -> Facts:
    """The dataset's facts joined with what an event says of it."""
    facts = facts or {"n": [ref.namespace, ref.name], "f": {}, "v": {}}
    _witness(facts, event)
    _times(facts, event)
    whole = event.kind == "dataset" and ref.version is None  # it speaks of the dataset with all its facets
    _facets(facts["f"], event, {name: value for name, value in ref.facets.items() if whole or name not in _PER_VERSION}, blobs)
    if ref.kind is not None:
        facts["kind"] = cell(facts.get("kind"), event, ref.kind)
    if ref.raw is not None and list(ref.raw) not in facts.get("raw", ()):
        facts["raw"] = _union(facts.get("raw", ()), [ref.raw])
    if ref.symlinks is not None:  # a facet is atomic: the names that a later one does not state are no longer names
        facts["sym"] = cell(facts.get("sym"), event, [list(link) for link in ref.symlinks])
    if ref.renamed_from is not None and ref.renamed_from != (ref.namespace, ref.name):
        renamed = [event.event_time, *ref.renamed_from]
        facts["ren"] = sorted([*(one for one in facts.get("ren", ()) if one != renamed), renamed])
    if ref.columns is not None:
        _columns(facts, event, ref)
    if event.kind != "dataset":
        return facts
    source = _structure(ref)
    if ref.version is not None:  # a DatasetEvent states that this version is there
        stated = facts["v"].setdefault(ref.version, {"f": {}})
        _witness(stated, event)
        if event.event_time:
            stated["t"] = min(stated.get("t", event.event_time), event.event_time)
        _facets(stated["f"], event, ref.facets, blobs)
        if source is not None:  # and its lineage replaces what was said of it before
            stated["src"] = cell(stated.get("src"), event, source)
    elif source is not None:  # a view: whoever reads it reads what it is made of
        facts["src"] = cell(facts.get("src"), event, source)
    return facts


def dataset_again(facts: Facts, event: RunEvent, ref: DatasetRef) -> bool:
    """Whether the event says of the dataset only what is known of it, at a later time.

    Then :func:`add_dataset` was done with it, and nothing that is derived from the facts can be other than before.
    """
    plain = ref.symlinks is None and ref.renamed_from is None and ref.columns is None and event.kind != "dataset"
    if not plain or (ref.raw is not None and list(ref.raw) not in facts.get("raw", ())):
        return False
    if ref.kind is not None and value_of(facts.get("kind")) != ref.kind:
        return False
    if not _again(facts, event, {name: value for name, value in ref.facets.items() if name not in _PER_VERSION}):
        return False
    if ref.kind is not None:
        facts["kind"] = cell(facts["kind"], event, ref.kind)
    return True


def job_again(facts: Facts, event: RunEvent) -> bool:
    """Whether a run's event says of its job only what is known of it, at a later time; as :func:`dataset_again`."""
    if event.kind != "run" or event.job is None or (event.processing is not None and value_of(facts.get("proc")) != event.processing):
        return False
    if not _again(facts, event, event.job.facets):
        return False
    if event.processing is not None:
        facts["proc"] = cell(facts["proc"], event, event.processing)
    return True


def _again(facts: Facts, event: RunEvent, found: Mapping[str, Json]) -> bool:
    """Bring the times of facets along, if the event is neither the first nor the witness, and each facet is there byte for byte."""
    when, digest, cells = event.event_time, event.digest, facts["f"]
    if not when or facts.get("t", when + 1) > when or digest < facts["w"]:
        return False
    for name, value in found.items():
        if name not in cells or not _same(cells[name][2], value):
            return False
    for name in found:
        old = cells[name]
        if old[:2] < [when, digest]:
            old[0], old[1] = when, digest
    facts["u"] = max(facts["u"], when)
    return True


def _same(first: Json, second: Json) -> bool:
    """Whether both are the same JSON: unlike ``==``, which takes 1 for 1.0 and for ``true``."""
    try:
        return orjson.dumps(first) == orjson.dumps(second)
    except TypeError:  # an integer beyond 64 bits, or half of a surrogate pair
        return False


def _structure(ref: DatasetRef) -> Facts | None:
    """What a DatasetEvent says its dataset is made of: ``d`` datasets, ``j`` jobs, ``b`` the basis."""
    if ref.lineage_sources is not None:
        return {"d": _union([], ref.lineage_sources), "j": _union([], ref.lineage_jobs), "b": "explicit"}
    if ref.column_sources is not None:
        return {"d": _union([], ref.column_sources), "j": [], "b": "column"}
    return None


def _columns(facts: Facts, event: RunEvent, ref: DatasetRef) -> None:
    """Keep each different statement of column lineage that a job, or a DatasetEvent, made, with its first and last time."""
    who = canonical([event.job.namespace, event.job.name]) if event.job else ""
    basis = "explicit" if ref.lineage_sources is not None else "column"
    rows = [list(flow) for flow in ref.columns or ()]
    statements = facts.setdefault("cl", {}).setdefault(who, {})
    named = _union([], {(row[2], row[3]) for row in rows if row[1] == "DATASET"})
    known = statements.setdefault(_digest([basis, rows]), {"b": basis, "r": rows, "n": named})
    when = event.event_time
    known["t"], known["u"] = min(known.get("t", when), when), max(known.get("u", when), when)


def _witness(facts: Facts, event: RunEvent) -> None:
    facts["w"] = min(facts.get("w", event.digest), event.digest)


def _last(entry: Facts, event: RunEvent) -> None:
    """``u``: when it was last mentioned."""
    entry["u"] = max(entry.get("u", 0), event.event_time)


def _union(known: Iterable[Sequence[Json]], more: Iterable[Sequence[Json]]) -> list[list[Json]]:
    """Both lists of names as one, sorted, each once."""
    return [list(one) for one in sorted({tuple(one) for one in known} | {tuple(one) for one in more})]


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
    _last(entry, event)
    return entry


def _facets(cells: Facts, event: RunEvent, found: Mapping[str, Json], blobs: Blobs | None) -> None:
    for name, value in found.items():
        old = cells.get(name)
        if old is None or old[:2] <= [event.event_time, event.digest]:
            cells[name] = cell(old, event, value if name in _WHOLE or event.small else _small(value, blobs))


def _small(value: Json, blobs: Blobs | None) -> Json:
    """The facet itself, or the digest and size of its body, which goes to ``blobs``."""
    raw = _bytes(value)
    if len(raw) <= INLINE:
        return value
    digest = hashlib.sha256(raw).hexdigest()
    if blobs is not None:
        blobs[digest] = raw
    return {"_spilled": {"sha256": digest, "bytes": len(raw)}}


def _digest(value: Json) -> str:
    return hashlib.sha256(_bytes(value)).hexdigest()[:24]


def _bytes(value: Json) -> bytes:
    """Sorted JSON."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # an integer beyond 64 bits, or half of a surrogate pair: the blank tells who wrote it, as in the fold's state
        return b" " + canonical(value).encode("ascii")
