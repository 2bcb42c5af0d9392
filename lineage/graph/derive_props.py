"""What the standard facets say, as flat properties that a query can ask for: a scalar, or a list of texts.

The bodies stay in the fold's state. A node shows of them only these properties and their digest, so that a changed body is seen
against the graph. A facet of the wrong shape says nothing.
"""

from __future__ import annotations

import datetime as dt
import functools
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping

import orjson

from lineage.graph.keys import canonical
from lineage.model import Json

__all__ = ["dataset_props", "evaluations", "facets_digest", "input_props", "job_props", "plain_uri", "run_props", "version_props"]

_LONGEST = 1000
"""Characters of a text that are shown; the whole is in the facet."""
_SCHEMA = 8192
"""Bytes of a schema up to which its columns are remembered."""
_URI = re.compile(r"(?s)^((?:[\w.+-]+:)*//)?(?:[^/?#;]*@)?([^?#;]*)")


def facets_digest(bodies: Mapping[str, Json]) -> str:
    """``sha256:`` of the sorted JSON of the facets.

    >>> facets_digest({"b": {"x": 1}, "a": {}}) == facets_digest({"a": {}, "b": {"x": 1}})
    True
    """
    try:
        raw = orjson.dumps(bodies, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # an integer beyond 64 bits, or half of a surrogate pair
        raw = canonical(bodies).encode("ascii")
    return f"sha256:{hashlib.sha256(raw).hexdigest()}"


def dataset_props(facets: Mapping[str, Json]) -> dict[str, Json]:
    """Of a Dataset or Model."""
    kind = _facet(facets, "datasetType")
    return _known(
        description=_text(_facet(facets, "documentation").get("description")),
        owners=_owners(facets),
        tags=_tags(facets),
        source_uri=plain_uri(_facet(facets, "dataSource").get("uri")),
        lifecycle=_upper(_facet(facets, "lifecycleStateChange").get("lifecycleStateChange")),
        dataset_type=_upper(kind.get("datasetType")),
        sub_type=_upper(kind.get("subType")),
    )


def job_props(facets: Mapping[str, Json]) -> dict[str, Json]:
    """Of a Job."""
    kind, query = _facet(facets, "jobType"), _facet(facets, "sql").get("query")
    return _known(
        description=_text(_facet(facets, "documentation").get("description")),
        owners=_owners(facets),
        tags=_tags(facets),
        integration=_upper(kind.get("integration")),
        job_type=_upper(kind.get("jobType")),
        sql_digest=f"sha256:{hashlib.sha256(query.encode('utf-8', 'replace')).hexdigest()}" if isinstance(query, str) else None,
    )


def run_props(facets: Mapping[str, Json]) -> dict[str, Json]:
    """Of a Run."""
    if not facets:
        return {}
    engine, nominal = _facet(facets, "processing_engine"), _facet(facets, "nominalTime")
    return _known(
        nominal_start=_nanoseconds(nominal.get("nominalStartTime")),
        nominal_end=_nanoseconds(nominal.get("nominalEndTime")),
        error=_text(_facet(facets, "errorMessage").get("message")),
        engine=_text(engine.get("name")),
        engine_version=_text(engine.get("version")),
        tags=_tags(facets),
        extraction_error=True if "extractionError" in facets else None,
    )


def version_props(facets: Mapping[str, Json], io: Mapping[str, Json]) -> dict[str, Json]:
    """Of a DatasetVersion or ModelVersion: its dataset facets, and the output facets of who wrote it."""
    statistics, condition = _facet(io, "outputStatistics"), _facet(io, "subset").get("outputCondition")
    return _known(
        subset=canonical(condition) if condition else None,
        row_count=_count(statistics.get("rowCount")),
        size=_count(statistics.get("size")),
        columns=_schema(_facet(facets, "schema").get("fields")) or None,
        lifecycle=_upper(_facet(facets, "lifecycleStateChange").get("lifecycleStateChange")),
    )


def input_props(io: Mapping[str, Json]) -> dict[str, Json]:
    """Of an INPUT_TO: which part of the version was read."""
    if not io:
        return {}
    subset = _facet(io, "subset").get("inputCondition")
    scan = _facet(io, "icebergScanReport")
    condition = subset if isinstance(subset, dict | list | str) and subset else scan.get("filterDescription")
    snapshot = scan.get("snapshotId")
    return _known(
        subset=canonical(condition) if condition else None,
        snapshot_id=str(snapshot) if isinstance(snapshot, int | str) and not isinstance(snapshot, bool) else None,
        row_count=_first(_count(_facet(io, name).get("rowCount")) for name in ("inputStatistics", "dataQualityMetrics")),
    )


def evaluations(facet: Json, key: str) -> list[dict[str, Json]]:
    """The results of a ``test`` (``key`` "tests") or ``dataQualityAssertions`` ("assertions") facet, as flat properties.

    ``status`` is pass, fail or skip, whatever the facet's own words; results of one name are told apart by their number.
    """
    if facet is None:
        return []
    found: dict[str, dict[str, Json]] = {}
    listed = facet.get(key) if isinstance(facet, dict) else None
    for one in _objects(listed):
        kind, column = _text(one.get("assertion")) or _text(one.get("type")), _text(one.get("column"))
        name = _text(one.get("name")) or " ".join(part for part in (kind, column) if part)
        if not name:
            continue
        success, status = one.get("success"), _text(one.get("status"))
        if isinstance(success, bool):
            status = "pass" if success else "fail"
        number, unique = 2, name
        while unique in found:
            unique, number = f"{name} ({number})", number + 1
        found[unique] = _known(
            name=unique,
            status=status.lower() if status else "unknown",
            severity=_text(one.get("severity")),
            type=kind,
            column=column,
            description=_text(one.get("description")),
            expected=_scalar(one.get("expected")),
            actual=_scalar(one.get("actual")),
        )
    return list(found.values())


def plain_uri(uri: Json) -> str | None:
    """A URI without user, password, query and parameters: where something lies, and no secret.

    >>> plain_uri("jdbc:postgresql://me:secret@db:5432/shop?password=x")
    'jdbc:postgresql://db:5432/shop'
    >>> plain_uri("s3://lake/orders"), plain_uri("file"), plain_uri(7)
    ('s3://lake/orders', 'file', None)
    """
    if not isinstance(uri, str) or not uri:
        return None
    match = _URI.match(uri)
    return _text("".join(part or "" for part in match.groups()) if match else None)


def _facet(facets: Mapping[str, Json], name: str) -> Mapping[str, Json]:
    found = facets.get(name)
    return found if isinstance(found, dict) else {}


def _known(**props: Json) -> dict[str, Json]:
    return {name: value for name, value in props.items() if value is not None}


def _first(values: Iterable[int | None]) -> int | None:
    return next((value for value in values if value is not None), None)


def _text(value: Json) -> str | None:
    return value[:_LONGEST] if isinstance(value, str) and value else None


def _scalar(value: Json) -> str | None:
    """A number or text as text; what is larger stays in the facet."""
    return _text(value) if isinstance(value, str) else canonical(value) if isinstance(value, int | float) else None


def _upper(value: Json) -> str | None:
    return value[:_LONGEST].upper() if isinstance(value, str) and value else None


def _count(value: Json) -> int | None:
    whole = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63
    return value if whole else None


def _owners(facets: Mapping[str, Json]) -> list[str] | None:
    """``name (type)`` of every owner."""
    found = {
        f"{owner['name']} ({owner['type']})" if isinstance(owner.get("type"), str) and owner["type"] else owner["name"]
        for owner in _objects(_facet(facets, "ownership").get("owners"))
        if _text(owner.get("name"))
    }
    return sorted(found) or None


def _tags(facets: Mapping[str, Json]) -> list[str] | None:
    """``key=value`` of every tag; that of a column has the column in front: ``column: key=value``."""
    found = set()
    for tag in _objects(_facet(facets, "tags").get("tags")):
        if _text(tag.get("key")):
            value, column = tag.get("value"), tag.get("field")
            text = tag["key"] if value is None else f"{tag['key']}={value if isinstance(value, str) else canonical(value)}"
            found.add(f"{column}: {text}" if _text(column) else text)
    return sorted(found) or None


def _schema(fields: Json) -> list[str]:
    """The columns of a schema: one job writes the same again and again."""
    if not isinstance(fields, list):
        return []
    try:
        raw = orjson.dumps(fields)
    except TypeError:  # an integer beyond 64 bits, or half of a surrogate pair
        return list(_columns(fields))
    return list(_columns_in(raw) if len(raw) <= _SCHEMA else _columns(fields))


@functools.lru_cache(maxsize=1 << 12)
def _columns_in(raw: bytes) -> tuple[str, ...]:
    return tuple(_columns(orjson.loads(raw)))


def _columns(fields: Json, above: str = "", depth: int = 0) -> Iterator[str]:
    """``name:type`` of every column, that of a nested one with the names above it."""
    for one in _objects(fields):
        name, kind = one.get("name"), one.get("type")
        if not _text(name):
            continue
        yield f"{above}{name}:{kind}" if _text(kind) else f"{above}{name}"
        if depth < 16 and "fields" in one:
            yield from _columns(one.get("fields"), f"{above}{name}.", depth + 1)


def _objects(part: Json) -> Iterable[dict[str, Json]]:
    return (one for one in part if isinstance(one, dict)) if isinstance(part, list) else ()


def _nanoseconds(text: Json) -> int | None:
    """UTC nanoseconds of an ISO 8601 time, a naive one being UTC."""
    if not isinstance(text, str):
        return None
    try:
        moment = dt.datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    delta = moment.replace(tzinfo=moment.tzinfo or dt.UTC) - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    return ((delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds) * 1000
