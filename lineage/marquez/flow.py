"""The lineage graph of jobs and datasets: one walk over identity edges, and rendered fragments joined to one JSON text.

Marquez walks from job to job over any dataset they share, whichever way data flows, and counts those hops; from a dataset it begins
at the job that wrote it last (else read it last). That is ``direction=None`` here. With a direction only what flows from, or into,
the start is walked, and a hop is a job passed through.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import orjson

from lineage.graph.keys import dataset_key, run_key
from lineage.marquez.datasets import dataset_data
from lineage.marquez.fragments import Fragment, Fragments
from lineage.marquez.jobs import job_data, job_of
from lineage.marquez.known import Known
from lineage.marquez.names import dataset_id, job_id
from lineage.model import Direction, Json, Node
from lineage.ports import GraphStore

__all__ = ["DEEPEST", "EDGES", "Flow", "encode"]

EDGES: Final = ("READ_BY", "WRITES", "DECLARED_INPUT", "DECLARED_OUTPUT")
"""Dataset → Job and Job → Dataset, over all runs and by declaration."""
DEEPEST: Final = 10_000
"""A greater depth is taken as this one."""

Pairs = list[tuple[str, str]]


class Flow:
    """Answers ``GET /lineage``. Safe to use from many threads.

    Args:
        graph: what is walked.
        fragments: what was rendered before; a projector's watcher.
    """

    def __init__(self, graph: GraphStore, fragments: Fragments) -> None:
        self._graph = graph
        self._fragments = fragments

    def answer(self, node: Node, depth: int, direction: Direction | None, max_nodes: int) -> bytes:
        """``{"graph": [...]}`` as JSON, nodes sorted by id; with ``"truncated": true`` where ``max_nodes`` cut it."""
        depth = min(max(depth, 0), DEEPEST)
        turn = self._fragments.begin(self._graph.position())
        known = Known(self._graph.state())

        def fragments(keys: Iterable[str]) -> dict[str, Fragment]:
            return self._rendered(known, list(keys), turn)

        keys, pairs, truncated = self._walk(node, depth, direction, max_nodes, fragments)
        body = _join(fragments(keys), pairs)
        return b'{"graph":[' + body + (b'],"truncated":true}' if truncated else b"]}")

    def _walk(
        self, node: Node, depth: int, direction: Direction | None, max_nodes: int, fragments: Callable[[Iterable[str]], dict[str, Fragment]]
    ) -> tuple[list[str], Pairs, bool]:
        """(keys, edges, whether cut): one question to the store."""
        is_job = node.label == "Job"
        hops = 2 * depth + 1 if is_job else 2 * depth + (0 if direction else 2)
        keys, edges, truncated = self._graph.expand([node.key], EDGES, direction=direction, depth=hops, max_nodes=max_nodes)
        pairs = sorted({(source, target) for _, source, target in edges})
        if is_job or direction is not None:
            return keys, pairs, truncated
        around = _around(pairs)
        distance = _distances(node.key, around, hops)
        if len(distance) < 2 or max(distance.values()) <= 2 * depth:  # all that hangs together: from any job it is the same
            return keys, pairs, truncated
        writers = {source for source, target in pairs if target == node.key}
        near = fragments(writers or around[node.key])
        begin = max(near, key=lambda key: (near[key].last, near[key].ident), default=None)
        if begin is None:
            return [node.key], [], truncated
        reached = _distances(begin, around, 2 * depth + 1)
        return sorted(reached), [pair for pair in pairs if pair[0] in reached and pair[1] in reached], truncated

    def _rendered(self, known: Known, keys: list[str], turn: int) -> dict[str, Fragment]:
        """The fragments of these nodes; what is not kept is made and kept."""
        found = self._fragments.get(keys)
        missing = [key for key in keys if key not in found]
        if missing:
            made = [(node.key, render(known, node)) for node in self._graph.nodes_of(missing)]
            self._fragments.keep(made, turn)
            found.update(made)
        return found


def render(known: Known, node: Node) -> Fragment:
    """The fragment of a Job, Dataset or Model."""
    return _job(known, node) if node.label == "Job" else _dataset(known, node)


def _dataset(known: Known, node: Node) -> Fragment:
    found = known.dataset(node.props["namespace"], node.props["name"])
    data = dataset_data(found, node.recorded_at)
    ident = dataset_id(node.props["namespace"], node.props["name"])
    quoted = encode(ident)
    return Fragment(
        ident=ident,
        quoted=quoted,
        named=encode(data["id"]),
        head=b'{"id":' + quoted + b',"type":"DATASET","data":' + encode(data),
        tail=b"",
        shows=frozenset({node.key, *(dataset_key(*member) for member in found.identity.members)}),
        last=found.last or 0,
    )


def _job(known: Known, node: Node) -> Fragment:
    job = job_of(known, node)
    latest = next(iter(known.runs(job.ident, limit=1)), None)
    data = job_data(job, latest, node.recorded_at)
    ident = job_id(job.namespace, job.name)
    quoted = encode(ident)
    after = {name: data.pop(name) for name in ("location", "description", "latestRun")}
    del data["inputs"], data["outputs"]
    data["currentRunUuid"] = latest.id if latest else None
    shows = {node.key}
    if latest is not None:
        shows.add(run_key(latest.id))
        # Not the datasets it names: when one of them goes by another name, the run's edges change, and that is told of the run.
    return Fragment(
        ident=ident,
        quoted=quoted,
        named=encode(data["id"]),
        head=b'{"id":' + quoted + b',"type":"JOB","data":' + encode(data)[:-1] + b',"inputs":[',
        tail=b"]," + encode(after)[1:],
        shows=frozenset(shows),
        last=job.last or 0,
    )


def _join(fragments: Mapping[str, Fragment], pairs: Pairs) -> bytes:
    """The nodes as JSON, comma separated, each with its edges."""
    order = sorted(fragments, key=lambda key: fragments[key].ident)
    rank = {key: place for place, key in enumerate(order)}
    into: dict[str, list[tuple[str, bytes]]] = {key: [] for key in order}
    out: dict[str, list[tuple[str, bytes]]] = {key: [] for key in order}
    known = [(rank[source], rank[target], source, target) for source, target in pairs if source in rank and target in rank]
    for _, _, source, target in sorted(known):
        edge = b'{"origin":' + fragments[source].quoted + b',"destination":' + fragments[target].quoted + b"}"
        out[source].append((target, edge))
        into[target].append((source, edge))
    parts: list[bytes] = []
    for key in order:
        one = fragments[key]
        before, after = into[key], out[key]
        body = one.head
        if one.tail:
            inputs = b",".join([fragments[other].named for other, _ in before])
            body += inputs + b'],"outputs":[' + b",".join([fragments[other].named for other, _ in after]) + one.tail
        edges = b'],"outEdges":['.join((b",".join([edge for _, edge in before]), b",".join([edge for _, edge in after])))
        parts.append(body + b',"inEdges":[' + edges + b"]}")
    return b",".join(parts)


def _around(pairs: Pairs) -> dict[str, list[str]]:
    """Who is beside whom, whichever way data flows."""
    found: dict[str, list[str]] = {}
    for source, target in pairs:
        found.setdefault(source, []).append(target)
        found.setdefault(target, []).append(source)
    return found


def _distances(start: str, around: Mapping[str, list[str]], most: int) -> dict[str, int]:
    """Key → steps from ``start``, as far as ``most``."""
    found = {start: 0}
    level = [start]
    steps = 0
    while level and steps < most:
        steps += 1
        level = [key for key in dict.fromkeys(other for key in level for other in around.get(key, ())) if key not in found]
        found.update(dict.fromkeys(level, steps))
    return found


def encode(value: Json) -> bytes:
    """JSON bytes, also of integers beyond 64 bits and of halves of surrogate pairs."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(value, separators=(",", ":")).encode("ascii")
