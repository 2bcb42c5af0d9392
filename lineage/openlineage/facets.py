"""What Govern reads out of the standard facets. Each function forgives: a facet of the wrong shape says nothing, and stays kept.

camelCase ends here: later stages see the typed fields of :class:`lineage.model.RunEvent`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from lineage.model import ColumnFlow, Json
from lineage.openlineage.names import normalise

__all__ = [
    "column_flows",
    "column_sources",
    "dataset_type",
    "facets",
    "is_text",
    "name_of",
    "objects",
    "parents",
    "processing",
    "renamed_from",
    "snapshot",
    "symlinks",
    "transformations",
    "version",
]

Name = tuple[str, str]
_NONE: Mapping[str, Json] = {}
_LONGEST = 1000
"""Characters of a description that are kept with a column's flow; the whole is in the facet."""


def facets(part: Json) -> dict[str, Json]:
    """The facets of an entity as sent, unknown ones too; empty when there is no object."""
    return part if isinstance(part, dict) else {}


def version(found: Mapping[str, Json], io: Mapping[str, Json] = _NONE) -> str | None:
    """The version that the ``version`` facet states, else the snapshot of an Iceberg scan or commit; a number is taken as its text."""
    for facet, key in (
        (found.get("version"), "datasetVersion"),
        (io.get("icebergScanReport"), "snapshotId"),
        (io.get("icebergCommitReport"), "snapshotId"),
    ):
        value: Json = facet.get(key) if isinstance(facet, dict) else None
        if isinstance(value, int | float) and not isinstance(value, bool):
            return str(value)
        if is_text(value):
            return str(value)
    return None


def dataset_type(found: Mapping[str, Json]) -> str | None:
    """The ``datasetType`` in upper case."""
    facet = found.get("datasetType")
    value = facet.get("datasetType") if isinstance(facet, dict) else None
    return value.upper() if isinstance(value, str) and value else None


def processing(found: Mapping[str, Json]) -> str | None:
    """The ``processingType`` of the job in upper case."""
    facet = found.get("jobType")
    value = facet.get("processingType") if isinstance(facet, dict) else None
    return value.upper() if isinstance(value, str) and value else None


def snapshot(found: Mapping[str, Json]) -> bool:
    """Whether the job says that this event holds all there is: ``eventContentMode`` COMPLETE_SNAPSHOT."""
    facet = found.get("jobType")
    pattern = facet.get("emissionPattern") if isinstance(facet, dict) else None
    return isinstance(pattern, dict) and pattern.get("eventContentMode") == "COMPLETE_SNAPSHOT"


def parents(found: Mapping[str, Json]) -> tuple[tuple[str, str, str] | None, tuple[str, str, str] | None]:
    """(parent, root), each (run id, job namespace, job name), of the parent facet or of its old key ``parentRun``.

    The facets that newer producers forward there are a convenience for readers without the parent's own events, and never read:
    the parent speaks for itself.
    """
    facet = found.get("parent", found.get("parentRun"))
    if not isinstance(facet, dict):
        return None, None
    return _above(facet), _above(facet.get("root"))


def _above(part: Json) -> tuple[str, str, str] | None:
    run, job = (part.get("run"), part.get("job")) if isinstance(part, dict) else (None, None)
    run_id = run.get("runId") if isinstance(run, dict) else None
    if not is_text(run_id):
        return None
    pair = (job.get("namespace"), job.get("name")) if isinstance(job, dict) else (None, None)
    namespace, name = (str(value) if is_text(value) else "" for value in pair)
    return str(run_id), str(namespace), str(name)


def symlinks(found: Mapping[str, Json]) -> tuple[tuple[str, str, str], ...] | None:
    """The other names of this same dataset, normalised and sorted; empty where the facet was deleted, ``None`` without a statement."""
    facet = found.get("symlinks")
    if not isinstance(facet, dict):
        return None
    listed = facet.get("identifiers")
    if not isinstance(listed, list):
        return () if facet.get("_deleted") is True else None
    names = set()
    for one in objects(listed):
        pair = name_of(one)
        if pair is not None:
            kind = one.get("type")
            names.add((*pair, str(kind).upper() if is_text(kind) else ""))
    return tuple(sorted(names))


def renamed_from(found: Mapping[str, Json]) -> Name | None:
    """The name that this dataset had until now, as a ``lifecycleStateChange`` RENAME states."""
    facet = found.get("lifecycleStateChange")
    change = facet.get("lifecycleStateChange") if isinstance(facet, dict) else None
    previous = facet.get("previousIdentifier") if isinstance(facet, dict) else None
    renamed = isinstance(change, str) and change.upper() == "RENAME"
    return name_of(previous) if renamed and isinstance(previous, dict) else None


def column_flows(found: Mapping[str, Json]) -> tuple[ColumnFlow, ...] | None:
    """What the ``columnLineage`` facet says of each column and, with an empty ``field``, of the whole dataset.

    Empty where the facet was deleted, ``None`` where it says nothing.
    """
    facet = found.get("columnLineage")
    if not isinstance(facet, dict):
        return None
    columns = facet.get("fields")
    flows: set[ColumnFlow] = set()
    for column, said in columns.items() if isinstance(columns, dict) else ():
        if is_text(column) and isinstance(said, dict):
            for one in objects(said.get("inputFields")):
                _column(one, column, said, flows)
    for one in objects(facet.get("dataset")):
        _column(one, "", {}, flows)
    return tuple(sorted(flows)) or (() if facet.get("_deleted") is True else None)


def _column(one: Mapping[str, Json], column: str, said: Mapping[str, Json], flows: set[ColumnFlow]) -> None:
    pair, source = name_of(one), one.get("field")
    if pair is not None:
        flows |= {ColumnFlow(column, "DATASET", *pair, str(source) if is_text(source) else "", *how) for how in transformations(one, said)}


def transformations(one: Mapping[str, Json], column: Mapping[str, Json] = _NONE) -> list[tuple[str, str, str, str]]:
    """(type, subtype, masking, description) of every transformation of a source; one of empty texts where none is stated.

    ``column`` is what older producers say of the whole column: ``transformationType`` IDENTITY or MASKED.
    """
    found = []
    for how in objects(one.get("transformations")):
        masking = how.get("masking")
        kind, subtype, text = (str(how[name]) if is_text(how.get(name)) else "" for name in ("type", "subtype", "description"))
        found.append((kind.upper(), subtype.upper(), str(masking).lower() if isinstance(masking, bool) else "", text[:_LONGEST]))
    old = column.get("transformationType")
    if not found and is_text(old):
        said, kind = column.get("transformationDescription"), str(old).upper()
        return [("DIRECT", kind, "true" if kind == "MASKED" else "", str(said)[:_LONGEST] if is_text(said) else "")]
    return found or [("", "", "", "")]


def column_sources(found: Mapping[str, Json]) -> tuple[Name, ...] | None:
    """Every dataset that a column, or the whole output, is said to come from; ``None`` when none is named.

    An empty ``columnLineage`` facet says nothing: reading it as "comes from nowhere" would hide real flows.
    """
    facet = found.get("columnLineage")
    if not isinstance(facet, dict):
        return None
    names: set[Name] = set()
    columns = facet.get("fields")
    lists = [column.get("inputFields") for column in columns.values() if isinstance(column, dict)] if isinstance(columns, dict) else []
    for entries in [*lists, facet.get("dataset")]:
        for one in objects(entries):
            pair = name_of(one)
            if pair is not None:
                names.add(pair)
    return tuple(sorted(names)) or None


def name_of(one: Mapping[str, Json]) -> Name | None:
    """The normalised (namespace, name) of a dataset; ``None`` where one is missing."""
    namespace, name = one.get("namespace"), one.get("name")
    return (
        normalise(namespace, name)
        if isinstance(namespace, str) and isinstance(name, str) and is_text(namespace) and is_text(name)
        else None
    )


def objects(part: Json) -> Iterator[dict[str, Json]]:
    """The objects of a list; none where it is no list."""
    return (one for one in part if isinstance(one, dict)) if isinstance(part, list) else iter(())


def is_text(value: Json) -> bool:
    """Whether this is a name that can be kept: a string, not empty, without half of a surrogate pair."""
    if not isinstance(value, str) or not value:
        return False
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
