"""Govern as a consumer of the suite: in process, and over a real socket."""

from __future__ import annotations

import contextlib
import gzip
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import httpx2

from governance.api.server import bind, run
from governance.wiring import init_home, open_system
from lineage.graph import Fold, graph_digest
from lineage.model import Edge, Node
from lineage.openlineage import parse_event
from lineage.ports import GraphStore
from lineage.trace import MemoryGraph

__all__ = ["InProcess", "OverHttp", "neutral", "serving"]

_DATASETS = frozenset({"Dataset", "Model"})
_VERSIONS = frozenset({"DatasetVersion", "ModelVersion"})


class InProcess:
    """The fold over a graph in memory."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """A new graph."""
        self._graph = MemoryGraph()

    def send(self, event: bytes) -> None:
        """One event in a transaction of its own."""
        self.send_batch([event])

    def send_batch(self, events: Sequence[bytes]) -> None:
        """All events in one transaction."""
        position = self._graph.position()
        with self._graph.transaction() as state:
            fold = Fold(state)
            for number, event in enumerate(events, 1):
                self._graph.apply(fold.fold(parse_event(event), recorded_at=position + number), position + number)

    def graph(self) -> dict[str, Any]:
        """In neutral words."""
        return neutral(self._graph)

    def digest(self) -> str:
        """Of the graph in Govern's own words: more than the neutral ones show."""
        return graph_digest(self._graph.nodes(), self._graph.edges())


class OverHttp:
    """A server on a socket, with one client. Each ``way`` is another way to send the same events."""

    WAYS = ("single", "single gzip", "single gzip chunked", "array", "events", "ndjson", "array gzip", "array gzip chunked")

    def __init__(self, url: str, key: str, system: Any, way: str = "single") -> None:
        self._client = httpx2.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=60)
        self._system = system
        self.way = way

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def reset(self) -> None:
        """A home cannot forget: a new one is made for each run of the suite."""
        raise NotImplementedError("a home is append-only; open another one")

    def send(self, event: bytes) -> None:
        """One event, as the way says."""
        self._post("/api/v1/lineage", event, "application/json")

    def send_batch(self, events: Sequence[bytes]) -> None:
        """Many events, as the way says."""
        if self.way.startswith("single"):
            for event in events:
                self.send(event)
        elif self.way == "events":
            self._post("/api/v1/lineage/batch", b'{"events":[' + b",".join(events) + b"]}", "application/json")
        elif self.way == "ndjson":
            lines = b"\n".join(event.replace(b"\r", b"").replace(b"\n", b" ") for event in events)
            self._post("/api/v1/lineage/batch", lines, "application/x-ndjson")
        else:
            self._post("/api/v1/lineage/batch", b"[" + b",".join(events) + b"]", "application/json")

    def _post(self, path: str, body: bytes, media: str) -> None:
        headers = {"Content-Type": media}
        content: bytes | Iterable[bytes] = body
        if "gzip" in self.way:
            headers["Content-Encoding"] = "gzip"
            content = gzip.compress(body)
        if "chunked" in self.way:
            packed = content
            content = (packed[at : at + 1000] for at in range(0, len(packed), 1000))
        answer = self._client.post(path, content=content, headers=headers)
        assert answer.status_code in {200, 201}, (self.way, answer.status_code, answer.text[:500])
        if answer.content:
            assert answer.json()["summary"]["failed"] == 0, answer.text[:500]

    def graph(self) -> dict[str, Any]:
        """In neutral words, once all that was acknowledged is folded."""
        assert self._system.ingestor.wait(60) == 0
        return neutral(self._system.graph)

    def digest(self) -> str:
        """Of the graph in Govern's own words."""
        assert self._system.ingestor.wait(60) == 0
        return graph_digest(self._system.graph.nodes(), self._system.graph.edges())


@contextlib.contextmanager
def serving(home: Path) -> Iterator[tuple[str, str, Any]]:
    """(URL, key, system) of a server over a fresh home, in a thread of this process."""
    made = init_home(home)
    system = open_system(home, worker=False)
    ready, stop, found = threading.Event(), threading.Event(), []
    sock = bind("127.0.0.1", 0)

    def answers(url: str) -> None:
        found.append(url)
        ready.set()

    thread = threading.Thread(target=run, args=(system, sock), kwargs={"on_ready": answers, "stop": stop})
    thread.start()
    try:
        assert ready.wait(60)
        body = {"name": "suite", "roles": ["ingest"]}
        answer = httpx2.post(f"{found[0]}/api/v1/keys", json=body, headers={"X-API-Key": made["api_key"]})
        key = answer.json()["api_key"]
        yield found[0], key, system
    finally:
        stop.set()
        thread.join(20)
        sock.close()
        system.close()


# ── our graph in neutral words ──────────────────────────────────────────────────────────────────
def neutral(store: GraphStore) -> dict[str, Any]:
    """The neutral graph (README.md)."""
    nodes = {node.key: node for node in store.nodes()}
    edges = list(store.edges())
    by_type: dict[str, list[Edge]] = {}
    for edge in edges:
        by_type.setdefault(edge.type, []).append(edge)
    above = {kind: {edge.source: nodes[edge.target].props["run_id"] for edge in by_type.get(kind, [])} for kind in ("CHILD_OF", "ROOT")}
    runs = [node for node in nodes.values() if node.label == "Run"]
    return {
        "datasets": _sorted(_dataset(node) for node in nodes.values() if node.label in _DATASETS),
        "jobs": _sorted(_name(node) for node in nodes.values() if node.label == "Job"),
        "runs": _sorted(_run(node, above) for node in runs),
        "reads": _sorted([_name(nodes[edge.target]), _name(nodes[edge.source])] for edge in by_type.get("READ_BY", [])),
        "writes": _sorted([_name(nodes[edge.source]), _name(nodes[edge.target])] for edge in by_type.get("WRITES", [])),
        "planned": _sorted([nodes[edge.source].props["run_id"], _name(nodes[edge.target])] for edge in by_type.get("PLANNED", [])),
        "flows": _sorted(_flows(nodes, by_type)),
        "declared": _sorted(_ends(nodes, edge) for edge in by_type.get("DECLARED_FLOW", [])),
        "columns": _sorted(_column(nodes, edge) for edge in by_type.get("FEEDS", [])),
        "tests": _sorted(
            {"run": node.props["run"], "name": node.props["name"], "status": node.props["status"]}
            for node in nodes.values()
            if node.label == "Test"
        ),
        "facets": _facets(store, nodes),
    }


def _sorted(found: Iterable[Any]) -> list[Any]:
    texts = {repr(one): one for one in found}
    return [texts[text] for text in sorted(texts)]


def _name(node: Node) -> list[str]:
    return [node.props["namespace"], node.props["name"]]


def _dataset(node: Node) -> dict[str, Any]:
    names = node.props.get("names", [])
    return {"name": _name(node), **({"names": names} if len(names) > 1 else {})}


def _run(node: Node, above: dict[str, dict[str, str]]) -> dict[str, Any]:
    job = node.props.get("job")
    found = {"id": node.props["run_id"], "job": job and [job["namespace"], job["name"]], "state": node.props.get("state")}
    return found | {name: above[kind].get(node.key) for name, kind in (("parent", "CHILD_OF"), ("root", "ROOT"))}


def _end(node: Node) -> list[str]:
    """A dataset or a job; a run stands for its job."""
    if node.label == "Run":
        job = node.props.get("job")
        return ["job", job["namespace"], job["name"]] if job else ["run", node.props["run_id"]]
    if node.label == "Field":
        return ["column", node.props["namespace"], node.props["dataset"], node.props["name"]]
    return ["job" if node.label == "Job" else "dataset", *_name(node)]


def _ends(nodes: dict[str, Node], edge: Edge) -> dict[str, Any]:
    return {"from": _end(nodes[edge.source]), "to": _end(nodes[edge.target]), "basis": edge.props["basis"]}


def _flows(nodes: dict[str, Node], by_type: dict[str, list[Edge]]) -> Iterator[dict[str, Any]]:
    """What flows from dataset to dataset, or between datasets and jobs that hand data over."""
    yield from (_ends(nodes, edge) for edge in by_type.get("DERIVED", []))
    read: dict[str, list[Edge]] = {}
    for edge in by_type.get("INPUT_TO", []):
        read.setdefault(edge.target, []).append(edge)
        if "run_basis" in edge.props:
            yield _ends(nodes, edge)
    for made in by_type.get("PRODUCED", []):
        for edge in read.get(made.source, []) if made.walk else ():
            yield {"from": _end(nodes[edge.source]), "to": _end(nodes[made.target]), "basis": "cartesian"}


def _column(nodes: dict[str, Node], edge: Edge) -> dict[str, Any]:
    said = {name: edge.props[name] for name in ("type", "subtype", "masking") if name in edge.props}
    return {"from": _end(nodes[edge.source]), "to": _end(nodes[edge.target]), **said}


def _facets(store: GraphStore, nodes: dict[str, Node]) -> dict[str, Any]:
    found = {}
    for node in nodes.values():
        if node.label in _DATASETS | _VERSIONS | {"Job", "Run"} and "facets_digest" in node.props:
            kind = "run" if node.label == "Run" else "job" if node.label == "Job" else "dataset"
            name = node.props["run_id"] if kind == "run" else " ".join(_name(node))
            found.setdefault(f"{kind} {name}", {}).update(store.facets(node.key))
    return {name: found[name] for name in sorted(found)}
