"""Read one OpenLineage event (RunEvent, JobEvent or DatasetEvent, spec 2-0-2) as producers really send it.

Refused, with :class:`lineage.errors.BadEvent`: what is not JSON; an event without the identity of a run, a job or a dataset;
an identity that is not a string; more than :data:`MAX_BYTES`; deeper than :data:`MAX_DEPTH`.
Nothing else: an unknown facet, field or event type, a missing or odd time, a run id that is no UUID, a number of any size are all taken.

Steps: 1 size · 2 JSON, depth and the identity of the event (:mod:`lineage.openlineage.identity`) · 3 the identities in it; so far
:func:`check_event`, which is all that the door needs to acknowledge it · 4 its parts, for the fold: :func:`read_event`.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass

from lineage.errors import BadEvent
from lineage.model import DatasetRef, JobFlow, JobRef, Json, RunEvent
from lineage.openlineage import facets as read
from lineage.openlineage.explicit import dataset_lineage, with_job_lineage
from lineage.openlineage.identity import MAX_DEPTH, event_digest, load
from lineage.openlineage.identity import SPEC_HINT as _HINT
from lineage.openlineage.names import normalise

__all__ = ["MAX_BYTES", "MAX_DEPTH", "CheckedEvent", "check_event", "event_digest", "parse_event", "read_event"]

MAX_BYTES = 64 * 1024 * 1024
"""Largest event taken, decompressed, in bytes. Real Spark plans reach 23 MB."""

_SMALL = 48 * 1024
"""Bytes of an event below which no facet of it can be too large for the facts, however it is written out."""
_TYPES = frozenset({"START", "RUNNING", "COMPLETE", "ABORT", "FAIL", "OTHER"})
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d(?::\d\d)?)(?:[.,](\d+))?\s*([Zz]|[+-]\d\d:?\d\d|[+-]\d\d)?$")


@dataclass(frozen=True, slots=True)
class CheckedEvent:
    """An event that is taken: what stands in it is read later, without being refused any more."""

    digest: str
    """Its identity, 64 hexadecimal digits."""
    body: Mapping[str, Json]
    size: int = MAX_BYTES
    """Bytes as sent; the largest where nobody counted."""


def parse_event(raw: bytes) -> RunEvent:
    """The event in ``raw``.

    Raises:
        BadEvent: for one of the reasons above, and no other.
    """
    return read_event(check_event(raw))


def check_event(raw: bytes) -> CheckedEvent:
    """The event in ``raw`` with its identity, once it is certain that it is taken.

    Raises:
        BadEvent: for one of the reasons above, and no other.
    """
    if len(raw) > MAX_BYTES:
        raise BadEvent(f"the event has {len(raw)} bytes, the limit is {MAX_BYTES}", hint="send large facets by reference")
    body, digest = load(raw)
    if not isinstance(body, dict):
        raise BadEvent(f"the event is a JSON {_kind(body)}, not an object", hint=_HINT)
    run, job, dataset = body.get("run"), body.get("job"), body.get("dataset")
    if run is not None or job is not None:
        if run is not None:
            _identity(run, "runId", "run")
        _identity(job, "namespace", "job")
        _identity(job, "name", "job")
        _check_datasets(body.get("inputs"), "inputs")
        _check_datasets(body.get("outputs"), "outputs")
    elif dataset is not None:
        _identity(dataset, "namespace", "dataset")
        _identity(dataset, "name", "dataset")
    else:
        raise BadEvent("the event names no run, no job and no dataset", hint=_HINT)
    return CheckedEvent(digest, body, len(raw))


def read_event(checked: CheckedEvent) -> RunEvent:
    """The parts of an event that was taken."""
    body = checked.body
    run, job, dataset = body.get("run"), body.get("job"), body.get("dataset")
    run_id, job_ref, dataset_ref = None, None, None
    inputs: tuple[DatasetRef, ...] = ()
    outputs: tuple[DatasetRef, ...] = ()
    flows: tuple[JobFlow, ...] = ()
    if job is not None:
        kind = "job" if run is None else "run"
        run_id = None if run is None else run["runId"]
        job_ref = JobRef(namespace=job["namespace"], name=job["name"], facets=read.facets(job.get("facets")))
        inputs = _datasets(body.get("inputs"), "inputFacets", job_ref, run_id)
        outputs = _datasets(body.get("outputs"), "outputFacets", job_ref, run_id)
        inputs, outputs, flows = with_job_lineage(job_ref, run_id, inputs, outputs)
    else:
        kind = "dataset"
        dataset_ref = _dataset(dataset, "", None, None)
    event_type = body.get("eventType")
    event_type = event_type.upper() if isinstance(event_type, str) else "OTHER"
    producer = body.get("producer")
    run_facets = read.facets(run.get("facets")) if isinstance(run, dict) else {}
    parent, root = read.parents(run_facets)
    return RunEvent(
        kind=kind,
        digest=checked.digest,
        event_time=_nanoseconds(body.get("eventTime")),
        event_type=event_type if event_type in _TYPES else "OTHER",
        producer=producer if isinstance(producer, str) else "",
        run_id=run_id,
        run_facets=run_facets,
        job=job_ref,
        inputs=inputs,
        outputs=outputs,
        dataset=dataset_ref,
        parent=parent,
        root=root,
        processing=read.processing(job_ref.facets) if job_ref else None,
        explicit=job_ref is not None and isinstance(job_ref.facets.get("lineage"), dict),
        job_flows=flows,
        snapshot=job_ref is not None and read.snapshot(job_ref.facets),
        small=checked.size <= _SMALL,
    )


def _kind(value: Json) -> str:
    names = {type(None): "null", bool: "boolean", int: "number", float: "number", str: "string", list: "array", dict: "object"}
    return names[type(value)]


def _identity(part: Json, field: str, where: str) -> str:
    if not isinstance(part, dict):
        raise BadEvent(f"{where} is {'missing' if part is None else 'a JSON ' + _kind(part)}, not an object with {field}", hint=_HINT)
    value = part.get(field)
    if not isinstance(value, str):
        said = "missing" if value is None else f"a JSON {_kind(value)}"
        raise BadEvent(f"{where}.{field} is {said}, not a string", hint=_HINT)
    if not value:
        raise BadEvent(f"{where}.{field} is empty", hint=_HINT)
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise BadEvent(f"{where}.{field} holds half of a surrogate pair: it is no Unicode string", hint=_HINT) from error
    return value


def _check_datasets(part: Json, where: str) -> None:
    if part is None:
        return
    if not isinstance(part, list):
        raise BadEvent(f"{where} is a JSON {_kind(part)}, not an array of datasets", hint=_HINT)
    for index, one in enumerate(part):
        try:
            plain = type(one["namespace"]) is str is type(one["name"])
        except (TypeError, KeyError, IndexError):
            plain = False
        if not (plain and one["namespace"] and one["name"] and one["namespace"].isascii() and one["name"].isascii()):
            _identity(one, "namespace", f"{where}[{index}]")
            _identity(one, "name", f"{where}[{index}]")


def _datasets(part: Json, io_key: str, job: JobRef, run_id: str | None) -> tuple[DatasetRef, ...]:
    return tuple(_dataset(one, io_key, job, run_id) for one in part or ())


def _dataset(part: Json, io_key: str, job: JobRef | None, run_id: str | None) -> DatasetRef:
    raw = part["namespace"], part["name"]
    namespace, name = normalise(*raw)
    facets: Mapping[str, Json] = read.facets(part.get("facets"))
    io: Mapping[str, Json] = read.facets(part.get(io_key))
    stated = dataset_lineage(facets, job, run_id) if "lineage" in facets else None
    columns = None
    if io_key != "inputFacets":  # what an input's columns come from is the doing of another job
        columns = tuple(sorted(stated.columns)) if stated else read.column_flows(facets)
    return DatasetRef(
        namespace=namespace,
        name=name,
        facets=facets,
        io_facets=io,
        version=read.version(facets, io),
        kind=read.dataset_type(facets),
        symlinks=read.symlinks(facets),
        column_sources=read.column_sources(facets),
        lineage_sources=tuple(sorted(stated.datasets)) if stated else None,
        lineage_from_job=stated is not None and stated.from_own,
        lineage_jobs=tuple(sorted(stated.jobs)) if stated else (),
        columns=columns,
        renamed_from=read.renamed_from(facets),
        raw=None if raw == (namespace, name) else raw,
    )


def _nanoseconds(text: Json) -> int:
    """UTC nanoseconds of an ISO 8601 time, a naive one being UTC; 0, which means unknown, for anything else."""
    match = _TIME.match(text.strip()) if isinstance(text, str) else None
    if match is None:
        return 0
    day, clock, fraction, zone = match.groups()
    if zone is None or zone in "Zz":
        zone = "+00:00"
    elif len(zone) == 3:
        zone += ":00"
    try:
        moment = dt.datetime.fromisoformat(f"{day}T{clock}{zone}")
    except ValueError:
        return 0
    delta = moment - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    seconds = delta.days * 86_400 + delta.seconds
    result = seconds * 1_000_000_000 + int((fraction or "0")[:9].ljust(9, "0"))
    return result if -(2**63) <= result < 2**63 else 0
