"""Judges an event against the schemas: the core's, every standard facet's, every one of ours; a facet without a schema is a fault."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry, Resource

SPEC = Path(__file__).parents[1] / "data" / "openlineage_spec"
OURS = Path(__file__).parents[2] / "lineage" / "emit" / "schemas"
CORE = "https://openlineage.io/spec/2-0-2/OpenLineage.json"
BASES = {"RunFacet": "run", "JobFacet": "job", "DatasetFacet": "dataset", "InputDatasetFacet": "input", "OutputDatasetFacet": "output"}
"""Base facet of the core → the entity that such a facet speaks of."""


def base_of(schema: dict[str, Any], name: str) -> str:
    """The base facet of the core that a facet extends."""
    references = [part["$ref"] for part in schema["$defs"][name]["allOf"] if "$ref" in part]
    assert len(references) == 1, references
    found: str = references[0]
    assert found.startswith(f"{CORE}#/$defs/"), found
    return found.rpartition("/")[2]


@functools.cache
def schemas() -> tuple[Registry, dict[tuple[str, str], str]]:
    """(every schema by its ``$id``, (entity, key) of each facet → reference to its definition); of ours the newest version."""
    registry: Registry = Registry()
    known: dict[tuple[str, str], str] = {}
    for path in [SPEC / "OpenLineage.json", *sorted((SPEC / "facets").glob("*.json")), *sorted(OURS.glob("*/*.json"))]:
        body = json.loads(path.read_text())
        registry = registry.with_resource(body["$id"], Resource.from_contents(body))
        for key, reference in body.get("properties", {}).items():
            name = reference["$ref"].rpartition("/")[2]
            known[BASES[base_of(body, name)], key] = f"{body['$id']}#/$defs/{name}"
    return registry, known


def facets_of(event: dict[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """(entity, key, facet) of every facet in the event."""
    for entity, holder in (("run", event.get("run")), ("job", event.get("job")), ("dataset", event.get("dataset"))):
        yield from ((entity, key, facet) for key, facet in ((holder or {}).get("facets") or {}).items())
    for side, field in (("input", "inputs"), ("output", "outputs")):
        for one in event.get(field) or []:
            yield from (("dataset", key, facet) for key, facet in (one.get("facets") or {}).items())
            yield from ((side, key, facet) for key, facet in (one.get(f"{side}Facets") or {}).items())


def problems(event: dict[str, Any], *, urls: bool = True) -> list[str]:
    """What is wrong with the event: each a sentence; none where it is as the schemas say.

    ``urls``: each facet's ``_schemaURL`` must be the reference of the very schema it is judged by.
    """
    registry, known = schemas()
    found = [f"event: {fault.message}" for fault in _judge(registry, {"$ref": f"{CORE}#/$defs/RunEvent"}, event)]
    for entity, key, facet in facets_of(event):
        reference = known.get((entity, key))
        if reference is None:
            found.append(f"{entity} facet {key}: there is no schema of it")
            continue
        found += [f"{entity} facet {key}: {fault.message}" for fault in _judge(registry, {"$ref": reference}, facet)]
        if urls and facet.get("_schemaURL") != reference:
            found.append(f"{entity} facet {key}: says {facet.get('_schemaURL')}, is {reference}")
    return found


def _judge(registry: Registry, schema: dict[str, Any], value: Any) -> list[Any]:
    validator = Draft202012Validator(schema, registry=registry, format_checker=Draft202012Validator.FORMAT_CHECKER)
    return sorted(validator.iter_errors(value), key=str)
