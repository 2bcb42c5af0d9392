"""OpenLineage events for the lineage benchmarks: made from a seed alone, so that two servers, or two days, get the same bytes.

* **training**: one job, one run, three inputs and one output with ten columns each, about 5.1 kB; what a pipeline of models sends.
* **shapes**: the chain, the tree and the hub, one event a job, to be asked for through ``GET /api/v1/lineage``.
* **grid**: small events of a layered pipeline in which every job reads two datasets of the layer before, so that a graph grows by
  five nodes an event and its closures are full of diamonds.
"""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

__all__ = ["JOBS", "Shape", "encode", "fresh", "grid_events", "shapes", "training_events"]

PRODUCER = "https://example.com/bench"
FACETS = "https://openlineage.io/spec/facets/"
SCHEMA_URL = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
TYPES = ("BIGINT", "DOUBLE", "VARCHAR", "TIMESTAMP", "BOOLEAN")
JOBS = 500
"""Training jobs among which the events are spread."""

Event = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A graph to be asked for: its events, how many datasets and jobs they make, and the nodes to ask from."""

    name: str
    events: list[Event]
    nodes: int
    ask: dict[str, str]


def encode(event: Event) -> bytes:
    """The event as the bytes that are sent."""
    return json.dumps(event, separators=(",", ":")).encode()


def training_events(count: int, *, seed: int = 1, jobs: int = JOBS, prefix: str = "bench", columns: int = 10) -> list[bytes]:
    """``count`` COMPLETE events of training jobs: each reads features, labels and a base model, and writes a version of one model."""
    chance = random.Random(f"{seed}/{prefix}")
    lake, models = f"s3://{prefix}-features", f"s3://{prefix}-models"
    events = []
    for number in range(count):
        job = chance.randrange(jobs)
        inputs = [
            _dataset(lake, f"features/f{chance.randrange(jobs // 2 + 1)}", f"v{number // 50}", columns),
            _dataset(lake, f"labels/l{chance.randrange(jobs // 10 + 1)}", None, columns),
            _dataset(models, f"base/b{chance.randrange(10)}", "v1", columns),
        ]
        outputs = [_dataset(models, f"model/m{job}", f"r{number}", columns)]
        when = BEGIN + timedelta(seconds=10 * number + 9)
        events.append(encode(_event(f"{prefix}-pipelines", f"train.m{job}", _uuid(chance), inputs, outputs, when=when)))
    return events


def shapes(*, seed: int = 1, tag: str = "bench") -> list[Shape]:
    """The chain of 20 jobs, the tree of 1 344 nodes and the hub of 1 000 trainings, each in namespaces of its own."""
    made = [_shape("chain of 20", [(f"step{n}", [f"d{n}"], [f"d{n + 1}"]) for n in range(20)], seed, f"{tag}-chain")]
    tree: list[tuple[str, list[str], list[str]]] = []
    level = ["root"]
    for fan in (11, 10, 10):
        tree += [(f"split.{name}", [name], [f"{name}.{n}" for n in range(fan)]) for name in level]
        level = [f"{name}.{n}" for name in level for n in range(fan)]
    made.append(_shape("tree of 1 344", tree, seed, f"{tag}-tree"))
    made.append(_shape("hub of 1 000", [(f"train{n}", ["hub"], [f"model{n}"]) for n in range(1000)], seed, f"{tag}-hub"))
    return made


def fresh(event: Event, number: int) -> Event:
    """The same job run once more, later: an event that changes what a read of this graph must look at."""
    run = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{event['run']['runId']}/{number}"))
    when = datetime.fromisoformat(event["eventTime"]) + timedelta(days=1, seconds=number)
    return event | {"run": {"runId": run, "facets": {}}, "eventTime": when.isoformat()}


def grid_events(width: int, layers: Iterable[int], *, spread: int = 4, prefix: str = "grid") -> Iterator[bytes]:
    """Events of the layers, in order: job (layer, place) reads places ``p`` and ``p + 1 .. spread`` of the layer before."""
    for layer in layers:
        chance = random.Random(f"{prefix}/{layer}")
        when = BEGIN + timedelta(minutes=layer)
        for place in range(width):
            other = (place + chance.randrange(1, spread + 1)) % width
            inputs = [_dataset(prefix, f"d{layer - 1}.{near}", f"v{layer - 1}", 2) for near in (place, other)]
            outputs = [_dataset(prefix, f"d{layer}.{place}", f"v{layer}", 2)]
            yield encode(_event(prefix, f"job{layer}.{place}", _uuid(chance), inputs, outputs, when=when))


def _shape(name: str, edges: list[tuple[str, list[str], list[str]]], seed: int, tag: str) -> Shape:
    chance, namespace = random.Random(f"{seed}/{name}"), f"s3://{tag}"
    events, nodes = [], set()
    for number, (job, inputs, outputs) in enumerate(edges):
        read, written = [_dataset(namespace, one, None, 10) for one in inputs], [_dataset(namespace, one, "v1", 10) for one in outputs]
        events.append(_event(tag, job, _uuid(chance), read, written, when=BEGIN + timedelta(seconds=number)))
        nodes |= {("job", job), *(("dataset", one) for one in inputs + outputs)}
    ask = {
        "first dataset": f"dataset:{namespace}:{edges[0][1][0]}",
        "last dataset": f"dataset:{namespace}:{edges[-1][2][-1]}",
        "last job": f"job:{tag}:{edges[-1][0]}",
    }
    return Shape(name=name, events=events, nodes=len(nodes), ask=ask)


def _event(namespace: str, job: str, run: str, inputs: list[Event], outputs: list[Event], *, when: datetime) -> Event:
    source = _facet(
        "1-0-1", "SourceCodeLocationJobFacet", type="git", url=f"https://example.com/ml/{job}.py", repoUrl="https://example.com/ml.git",
        path=f"{job}.py", version="4f5a9c1d", branch="main",
    )  # fmt: skip
    return {
        "eventType": "COMPLETE",
        "eventTime": when.isoformat().replace("+00:00", "Z"),
        "producer": PRODUCER,
        "schemaURL": SCHEMA_URL,
        "run": {"runId": run, "facets": {}},
        "job": {"namespace": namespace, "name": job, "facets": {"sourceCodeLocation": source}},
        "inputs": inputs,
        "outputs": outputs,
    }


def _dataset(namespace: str, name: str, version: str | None, columns: int) -> Event:
    fields = [{"name": f"c{n:02d}", "type": TYPES[n % 5], "description": f"column {n} of {name}"} for n in range(columns)]
    facets = {"schema": _facet("1-1-1", "SchemaDatasetFacet", fields=fields)}
    if version:
        facets["version"] = _facet("1-0-1", "DatasetVersionDatasetFacet", datasetVersion=version)
    return {"namespace": namespace, "name": name, "facets": facets}


def _facet(spec: str, name: str, **body: Any) -> Event:
    return {"_producer": PRODUCER, "_schemaURL": f"{FACETS}{spec}/{name}.json#/$defs/{name}", **body}


def _uuid(chance: random.Random) -> str:
    return str(uuid.UUID(int=chance.getrandbits(128), version=4))
