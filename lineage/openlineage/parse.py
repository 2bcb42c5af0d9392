"""Read one OpenLineage event (RunEvent, JobEvent or DatasetEvent, spec 2-0-2) as producers really send it.

Refused, with :class:`lineage.errors.BadEvent`: what is not JSON; an event without the identity of a run, a job or a dataset;
an identity that is not a string; more than :data:`MAX_BYTES`, deeper than :data:`MAX_DEPTH`, a number no float64 holds.
Nothing else: an unknown facet, field or event type, a missing or odd time, a run id that is no UUID are all taken.

Steps: 1 size · 2 JSON · 3 depth · 4 identity of the event · 5 which kind it is · 6 its parts.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
from collections.abc import Mapping
from typing import NoReturn

from lineage.errors import BadEvent
from lineage.model import DatasetRef, JobRef, Json, RunEvent
from lineage.openlineage import facets as read
from lineage.openlineage.names import normalise

__all__ = ["MAX_BYTES", "MAX_DEPTH", "event_digest", "parse_event"]

MAX_BYTES = 64 * 1024 * 1024
"""Largest event taken, decompressed, in bytes. Real Spark plans reach 23 MB."""
MAX_DEPTH = 256
"""Deepest nesting of objects and arrays taken."""

_TYPES = frozenset({"START", "RUNNING", "COMPLETE", "ABORT", "FAIL", "OTHER"})
_HINT = "see the OpenLineage specification 2-0-2, https://openlineage.io/spec/2-0-2/OpenLineage.json"
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d(?::\d\d)?)(?:[.,](\d+))?\s*([Zz]|[+-]\d\d:?\d\d|[+-]\d\d)?$")


def parse_event(raw: bytes) -> RunEvent:
    """The event in ``raw``.

    Raises:
        BadEvent: for one of the reasons above, and no other.
    """
    if len(raw) > MAX_BYTES:
        raise BadEvent(f"the event has {len(raw)} bytes, the limit is {MAX_BYTES}", hint="send large facets by reference")
    body = _load(raw)
    if not isinstance(body, dict):
        raise BadEvent(f"the event is a JSON {_kind(body)}, not an object", hint=_HINT)
    _check_depth(body)
    digest = event_digest(body)
    run: Json = body.get("run")
    job: Json = body.get("job")
    dataset: Json = body.get("dataset")
    run_id, job_ref, dataset_ref = None, None, None
    inputs: tuple[DatasetRef, ...] = ()
    outputs: tuple[DatasetRef, ...] = ()
    if run is not None or job is not None:
        kind = "run" if run is not None else "job"
        if run is not None:
            run_id = _identity(run, "runId", "run")
        job_ref = JobRef(
            namespace=_identity(job, "namespace", "job"),
            name=_identity(job, "name", "job"),
            facets=read.facets((job or {}).get("facets")),
        )
        inputs = _datasets(body.get("inputs"), "inputs", "inputFacets", job_ref, run_id)
        outputs = _datasets(body.get("outputs"), "outputs", "outputFacets", job_ref, run_id)
        inputs, outputs = read.with_job_lineage(job_ref, run_id, inputs, outputs)
    elif dataset is not None:
        kind = "dataset"
        dataset_ref = _dataset(dataset, "dataset", "", None, None)
    else:
        raise BadEvent("the event names no run, no job and no dataset", hint=_HINT)
    event_type = body.get("eventType")
    event_type = event_type.upper() if isinstance(event_type, str) else "OTHER"
    producer = body.get("producer")
    run_facets = read.facets(run.get("facets")) if isinstance(run, dict) else {}
    return RunEvent(
        kind=kind,
        digest=digest,
        event_time=_nanoseconds(body.get("eventTime")),
        event_type=event_type if event_type in _TYPES else "OTHER",
        producer=producer if isinstance(producer, str) else "",
        run_id=run_id,
        run_facets=run_facets,
        job=job_ref,
        inputs=inputs,
        outputs=outputs,
        dataset=dataset_ref,
        parent=read.parent(run_facets),
        processing=read.processing(job_ref.facets) if job_ref else None,
    )


def event_digest(body: Json) -> str:
    """The event's identity: SHA-256, hex, of its JSON with sorted keys, no white space and ASCII escapes.

    >>> event_digest({"b": 1, "a": "é"}) == event_digest({"a": "é", "b": 1})
    True
    """
    try:
        text = json.dumps(body, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except ValueError as error:
        raise BadEvent("the event holds a number that no float64 can hold", hint=_HINT) from error
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")


def _load(raw: bytes) -> Json:
    try:
        return json.loads(raw.decode("utf-8-sig"), parse_constant=_no_constant)
    except RecursionError as error:
        raise BadEvent(f"the event is nested deeper than {MAX_DEPTH}", hint="flatten the facet") from error
    except ValueError as error:  # JSONDecodeError and UnicodeDecodeError are ValueErrors
        raise BadEvent(f"the event is not JSON: {error}", hint=_HINT) from error


def _check_depth(body: Json) -> None:
    level, depth = [body], 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise BadEvent(f"the event is nested deeper than {MAX_DEPTH}", hint="flatten the facet")
        level = [
            child for value in level for child in (value.values() if isinstance(value, dict) else value) if isinstance(child, dict | list)
        ]


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


def _datasets(part: Json, where: str, io_key: str, job: JobRef, run_id: str | None) -> tuple[DatasetRef, ...]:
    if part is None:
        return ()
    if not isinstance(part, list):
        raise BadEvent(f"{where} is a JSON {_kind(part)}, not an array of datasets", hint=_HINT)
    return tuple(_dataset(one, f"{where}[{index}]", io_key, job, run_id) for index, one in enumerate(part))


def _dataset(part: Json, where: str, io_key: str, job: JobRef | None, run_id: str | None) -> DatasetRef:
    namespace, name = normalise(_identity(part, "namespace", where), _identity(part, "name", where))
    facets: Mapping[str, Json] = read.facets(part.get("facets"))
    sources, from_job = read.lineage_sources(facets, job, run_id)
    return DatasetRef(
        namespace=namespace,
        name=name,
        facets=facets,
        io_facets=read.facets(part.get(io_key)),
        version=read.version(facets),
        kind=read.dataset_type(facets),
        symlinks=read.symlinks(facets),
        column_sources=read.column_sources(facets),
        lineage_sources=sources,
        lineage_from_job=from_job,
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
