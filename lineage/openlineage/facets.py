"""What Govern reads out of the standard facets. Each function forgives: a facet of the wrong shape says nothing, and stays kept.

camelCase ends here: later stages see the typed fields of :class:`lineage.model.RunEvent`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

from lineage.model import DatasetRef, JobRef, Json
from lineage.openlineage.names import normalise

__all__ = [
    "column_sources",
    "dataset_type",
    "facets",
    "lineage_sources",
    "parent",
    "processing",
    "symlinks",
    "version",
    "with_job_lineage",
]

Name = tuple[str, str]


def facets(part: Json) -> dict[str, Json]:
    """The facets of an entity as sent, unknown ones too; empty when there is no object."""
    return part if isinstance(part, dict) else {}


def version(found: Mapping[str, Json]) -> str | None:
    """The version that the ``version`` facet states; a number is taken as its text."""
    facet = found.get("version")
    value: Json = facet.get("datasetVersion") if isinstance(facet, dict) else None
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return str(value) if _text(value) else None


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


def parent(found: Mapping[str, Json]) -> tuple[str, str, str] | None:
    """(run id, job namespace, job name) of the parent facet, or of its old key ``parentRun``."""
    facet = found.get("parent", found.get("parentRun"))
    if not isinstance(facet, dict):
        return None
    run, job = facet.get("run"), facet.get("job")
    run_id = run.get("runId") if isinstance(run, dict) else None
    if not _text(run_id):
        return None
    pair = (job.get("namespace"), job.get("name")) if isinstance(job, dict) else (None, None)
    namespace, name = (value if _text(value) else "" for value in pair)
    return str(run_id), str(namespace), str(name)


def symlinks(found: Mapping[str, Json]) -> tuple[tuple[str, str, str], ...]:
    """The other names of this same dataset, normalised and sorted."""
    facet = found.get("symlinks")
    names = set()
    for one in _list(facet.get("identifiers") if isinstance(facet, dict) else None):
        pair = _name(one)
        if pair is not None:
            kind = one.get("type")
            names.add((*pair, kind.upper() if isinstance(kind, str) else ""))
    return tuple(sorted(names))


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
        for one in _list(entries):
            pair = _name(one)
            if pair is not None:
                names.add(pair)
    return tuple(sorted(names)) or None


def lineage_sources(found: Mapping[str, Json], job: JobRef | None, run_id: str | None) -> tuple[tuple[Name, ...] | None, bool]:
    """(sources, whether the event's own job is one) of a dataset's explicit ``lineage`` facet (1-0-0, experimental).

    Sources are ``None`` without the facet; empty where it states ``inputs: []`` ("no tracked upstream").
    """
    facet = found.get("lineage")
    if not isinstance(facet, dict):
        return None, False
    return _sources(facet, job, run_id)


def with_job_lineage(
    job: JobRef, run_id: str | None, inputs: tuple[DatasetRef, ...], outputs: tuple[DatasetRef, ...]
) -> tuple[tuple[DatasetRef, ...], tuple[DatasetRef, ...]]:
    """Inputs and outputs with what the job's explicit ``lineage`` facet adds: its entries become statements of the datasets."""
    facet = job.facets.get("lineage")
    if not isinstance(facet, dict):
        return inputs, outputs
    listed_in = {(one.namespace, one.name) for one in inputs}
    more_in: set[Name] = set()
    stated: dict[Name, tuple[set[Name], bool]] = {}
    for entry in _list(facet.get("entries")):
        kind = entry.get("type")
        if kind == "DATASET" and (target := _name(entry)) is not None:
            sources, from_job = _sources(entry, job, run_id)
            if sources is not None:
                known = stated.get(target, (set(), False))
                stated[target] = (known[0] | set(sources), known[1] or from_job)
        elif kind == "JOB" and _is_own(entry, job, run_id):
            more_in |= set(_sources(entry, job, run_id)[0] or ())
    result = []
    for one in outputs:
        names, from_job = stated.pop((one.namespace, one.name), (None, False))
        if names is None:
            result.append(one)
            continue
        together = tuple(sorted(names | set(one.lineage_sources or ())))
        result.append(dataclasses.replace(one, lineage_sources=together, lineage_from_job=from_job or one.lineage_from_job))
    result.extend(
        DatasetRef(namespace=namespace, name=name, lineage_sources=tuple(sorted(names)), lineage_from_job=from_job)
        for (namespace, name), (names, from_job) in sorted(stated.items())
    )
    added = tuple(DatasetRef(namespace=namespace, name=name) for namespace, name in sorted(more_in - listed_in))
    return inputs + added, tuple(result)


def _sources(holder: Mapping[str, Json], job: JobRef | None, run_id: str | None) -> tuple[tuple[Name, ...] | None, bool]:
    names: set[Name] = set()
    from_job = False
    columns = holder.get("fields")
    lists = [column.get("inputs") for column in columns.values() if isinstance(column, dict)] if isinstance(columns, dict) else []
    for entries in [*lists, holder.get("inputs")]:
        for one in _list(entries):
            pair = _name(one)
            if one.get("type") == "JOB":
                from_job = from_job or (job is not None and _is_own(one, job, run_id))
            elif pair is not None:
                names.add(pair)
    if not names and not from_job and holder.get("inputs") != []:
        return None, False
    return tuple(sorted(names)), from_job


def _is_own(entry: Mapping[str, Json], job: JobRef, run_id: str | None) -> bool:
    named = entry.get("namespace"), entry.get("name")
    return named in ((None, None), (job.namespace, job.name)) and entry.get("runId") in (None, run_id)


def _name(one: Mapping[str, Json]) -> Name | None:
    namespace, name = one.get("namespace"), one.get("name")
    return normalise(namespace, name) if isinstance(namespace, str) and isinstance(name, str) and _text(namespace) and _text(name) else None


def _list(part: Json) -> Iterator[dict[str, Json]]:
    return (one for one in part if isinstance(one, dict)) if isinstance(part, list) else iter(())


def _text(value: Json) -> bool:
    """Whether this is a name that can be kept: a string, not empty, without half of a surrogate pair."""
    if not isinstance(value, str) or not value:
        return False
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
