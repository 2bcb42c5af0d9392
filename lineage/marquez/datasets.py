"""Datasets, their versions and their columns as Marquez shows them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from lineage.graph.context import Identity
from lineage.graph.facets import facets_of
from lineage.marquez.known import DatasetFacts, Known
from lineage.marquez.names import instant, uuid_of, version_id
from lineage.marquez.runs import run_view
from lineage.model import Json, Node
from lineage.openlineage.names import normalise

__all__ = ["column_lineage", "dataset_data", "dataset_view", "fields_of", "newest_first", "tags_of", "version_view"]

_STREAMS = frozenset({"TOPIC", "STREAM"})


def dataset_data(found: DatasetFacts, recorded_at: int) -> dict[str, Json]:
    """A dataset as a node of the lineage graph shows it.

    Args:
        found: what is known of it.
        recorded_at: when Govern first knew of it, shown where no event says a time of its own.
    """
    facets, identity = found.facets, found.identity
    first = found.first or recorded_at
    return {
        "id": {"namespace": identity.namespace, "name": identity.name},
        "type": "STREAM" if (found.kind or "") in _STREAMS else "DB_TABLE",
        "name": identity.name,
        "physicalName": identity.name,
        "createdAt": instant(first),
        "updatedAt": instant(found.last or first),
        "namespace": identity.namespace,
        "sourceName": _text(_facet(facets, "dataSource").get("name")) or "default",
        "fields": fields_of(facets),
        "tags": tags_of(facets),
        "lastModifiedAt": None,
        "description": _text(_facet(facets, "documentation").get("description")),
        "lastLifecycleState": _text(_facet(facets, "lifecycleStateChange").get("lifecycleStateChange")) or "",
    }


def dataset_view(known: Known, node: Node, read: Sequence[Node] = ()) -> dict[str, Json]:
    """A dataset, as in ``GET /namespaces/{namespace}/datasets/{dataset}``.

    Args:
        known: the facts.
        node: the Dataset or Model.
        read: its versions, for one that nobody is known to have written (:func:`newest_first`).
    """
    found = known.dataset(node.props["namespace"], node.props["name"])
    facets = dict(found.facets)
    latest = known.latest_version(found.identity)
    version = latest[0] if latest else next((str(one.props["version"]) for one in read), None)
    key = None
    if version is not None:
        key = found.identity.version_key(version)
        facets = dict(sorted({**_stated(version), **facets_of(known.state, key), **facets}.items()))
    return {
        **dataset_data(found, node.recorded_at),
        "currentVersion": version_id(key) if key else None,
        "columnLineage": column_lineage(known, facets),
        "facets": facets,
        "deleted": _facet(facets, "lifecycleStateChange").get("lifecycleStateChange") == "DROP",
    }


def version_view(known: Known, node: Node) -> dict[str, Json]:
    """A dataset version, as in ``GET …/versions/{version}``.

    Args:
        known: the facts.
        node: a DatasetVersion or ModelVersion.
    """
    found = known.dataset(node.props["namespace"], node.props["name"])
    facets = dict(sorted({**found.facets, **_stated(node.props.get("version")), **facets_of(known.state, node.key)}.items()))
    run = known.run(str(node.props["run"])) if node.props.get("run") else None
    data = dataset_data(found, node.recorded_at)
    return {
        "id": data["id"],
        "type": data["type"],
        "name": data["name"],
        "physicalName": data["physicalName"],
        "createdAt": instant(node.props.get("created") or node.recorded_at),
        "version": version_id(node.key),
        "namespace": data["namespace"],
        "sourceName": data["sourceName"],
        "fields": fields_of(facets),
        "tags": data["tags"],
        "lifecycleState": _text(_facet(facets, "lifecycleStateChange").get("lifecycleStateChange")) or "",
        "description": data["description"],
        "currentSchemaVersion": uuid_of("schema", fields_of(facets)),
        "createdByRun": run_view(run) if run is not None else None,
        "facets": facets,
    }


def newest_first(versions: Iterable[Node]) -> list[Node]:
    """The versions that have a name, the one that was made last first; those that were only read come after, by name."""
    named = [node for node in versions if node.props.get("version") is not None]
    return sorted(named, key=lambda node: (node.props.get("created") or 0, str(node.props["version"]), node.key), reverse=True)


def fields_of(facets: Mapping[str, Json]) -> list[dict[str, Json]]:
    """The columns that the ``schema`` facet names, each with the tags of its column."""
    tags: dict[str, set[str]] = {}
    for tag in _objects(_facet(facets, "tags").get("tags")):
        if _text(tag.get("field")) and _text(tag.get("key")):
            tags.setdefault(tag["field"], set()).add(tag["key"])
    return [
        {
            "name": one["name"],
            "type": _text(one.get("type")),
            "tags": sorted(tags.get(one["name"], ())),
            "description": _text(one.get("description")),
        }
        for one in _objects(_facet(facets, "schema").get("fields"))
        if _text(one.get("name"))
    ]


def tags_of(facets: Mapping[str, Json]) -> list[str]:
    """The keys of the tags of the whole."""
    found = _objects(_facet(facets, "tags").get("tags"))
    return sorted({tag["key"] for tag in found if _text(tag.get("key")) and not _text(tag.get("field"))})


def column_lineage(known: Known, facets: Mapping[str, Json]) -> list[dict[str, Json]] | None:
    """What the ``columnLineage`` facet says of each column; ``None`` when it says nothing."""
    columns = _facet(facets, "columnLineage").get("fields")
    if not isinstance(columns, dict) or not columns:
        return None
    found = []
    for name, column in sorted(columns.items()):
        if not isinstance(column, dict):
            continue
        said = _transformation(column, ())
        inputs = []
        for one in _objects(column.get("inputFields")):
            namespace, dataset, field = one.get("namespace"), one.get("name"), one.get("field")
            if not (isinstance(namespace, str) and isinstance(dataset, str) and isinstance(field, str)):
                continue
            identity = _identity(known, namespace, dataset)
            inputs.append(
                {
                    "namespace": identity.namespace,
                    "dataset": identity.name,
                    "field": field,
                    **_transformation(column, _objects(one.get("transformations"))),
                }
            )
        found.append({"name": name, "inputFields": inputs, **said})
    return found


def _transformation(column: Mapping[str, Json], steps: Iterable[Mapping[str, Json]]) -> dict[str, Json]:
    """How a column comes about: as the column says, else as the first of the steps does."""
    first: Mapping[str, Json] = next(iter(steps), {})
    return {
        "transformationDescription": _text(column.get("transformationDescription")) or _text(first.get("description")),
        "transformationType": _text(column.get("transformationType")) or _text(first.get("subtype")),
    }


def _identity(known: Known, namespace: str, name: str) -> Identity:
    return known.context.identity(normalise(namespace, name))


def _stated(version: Json) -> dict[str, Json]:
    """The ``version`` facet of a version that was only read: what was stated, without who stated it; none for one we named."""
    return {"version": {"datasetVersion": version}} if isinstance(version, str) and not version.startswith("run:") else {}


def _facet(facets: Mapping[str, Json], name: str) -> Mapping[str, Json]:
    found = facets.get(name)
    return found if isinstance(found, dict) else {}


def _objects(part: Json) -> Sequence[dict[str, Json]]:
    return [one for one in part if isinstance(one, dict)] if isinstance(part, list) else ()


def _text(value: Json) -> str | None:
    return value if isinstance(value, str) and value else None
