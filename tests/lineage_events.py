"""Hand-made OpenLineage events, short to write and read in tests."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

from lineage.graph import Fold, graph_digest
from lineage.model import RunEvent
from lineage.openlineage import parse_event
from lineage.ports import GraphStore

CORPUS = Path(__file__).parent / "data" / "openlineage"


def recorded() -> list[bytes]:
    """The 14 recorded events."""
    return [path.read_bytes() for path in sorted(CORPUS.glob("*/*.json"))]


def time(minute: int) -> str:
    return (dt.datetime(2026, 1, 1, tzinfo=dt.UTC) + dt.timedelta(minutes=minute)).isoformat()


def nanos(minute: int) -> int:
    return int((dt.datetime(2026, 1, 1, tzinfo=dt.UTC) + dt.timedelta(minutes=minute)).timestamp()) * 10**9


def ds(name: str, version: str | None = None, namespace: str = "s3://lake", *, io: dict | None = None, **facets) -> dict:
    """A dataset; ``columns={"x": ["a"]}`` is column lineage from datasets of the same namespace."""
    columns = facets.pop("columns", None)
    links = facets.pop("links", None)
    if version is not None:
        facets["version"] = {"datasetVersion": version}
    if columns is not None:
        fields = {
            column: {"inputFields": [{"namespace": namespace, "name": source, "field": "f"} for source in sources]}
            for column, sources in columns.items()
        }
        facets["columnLineage"] = {"fields": fields}
    if links is not None:
        facets["symlinks"] = {"identifiers": [{"namespace": ns, "name": other, "type": kind} for ns, other, kind in links]}
    return {"namespace": namespace, "name": name, "facets": facets, "inputFacets": io or {}}


def model(name: str, version: str | None = None, **facets) -> dict:
    return ds(name, version, "mlflow://host", datasetType={"datasetType": "MODEL"}, **facets)


def run(
    run_id: str,
    kind: str,
    minute: int,
    inputs=(),
    outputs=(),
    job: str | None = None,
    facets: dict | None = None,
    job_facets: dict | None = None,
) -> bytes:
    event = {
        "eventType": kind,
        "eventTime": time(minute),
        "producer": "https://example.org/test",
        "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
        "run": {"runId": run_id, "facets": facets or {}},
        "job": {"namespace": "jobs", "name": job or f"job-of-{run_id}", "facets": job_facets or {}},
        "inputs": list(inputs),
        "outputs": list(outputs),
    }
    return json.dumps(event).encode()


def dataset_event(minute: int, dataset: dict) -> bytes:
    return json.dumps({"eventTime": time(minute), "producer": "p", "schemaURL": "s", "dataset": dataset}).encode()


def job_event(minute: int, job: str, inputs=(), outputs=(), facets: dict | None = None) -> bytes:
    body = {"eventTime": time(minute), "job": {"namespace": "jobs", "name": job, "facets": facets or {}}}
    return json.dumps({**body, "inputs": list(inputs), "outputs": list(outputs)}).encode()


def project(store: GraphStore, events: list[bytes] | list[RunEvent], *, batch: bool = False) -> str:
    """Fold the events into the store, recorded one second apart; returns the digest."""
    parsed = [parse_event(one) if isinstance(one, bytes) else one for one in events]
    groups = [parsed] if batch else [[one] for one in parsed]
    position = store.position()
    for group in groups:
        with store.transaction() as state:
            fold = Fold(state)
            for event in group:
                position += 1
                store.apply(fold.fold(event, recorded_at=position * 10**9), position)
    return digest(store)


def digest(store: GraphStore) -> str:
    return graph_digest(store.nodes(), store.edges())
