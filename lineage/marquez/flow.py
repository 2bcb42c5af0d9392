"""The lineage graph of jobs and datasets: a walk over identity edges, and rendered fragments joined to one JSON text.

Marquez walks from job to job over any dataset they share, whichever way data flows, and counts those hops; from a dataset it begins
at the job that wrote it last (else read it last). That is ``direction=None`` here. With a direction only what flows from, or into,
the start is walked, and a hop is a job passed through.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

import orjson

from lineage.graph.keys import dataset_key, run_key
from lineage.marquez.datasets import dataset_data
from lineage.marquez.fragments import Fragment
from lineage.marquez.jobs import job_data, job_of
from lineage.marquez.kept import Kept
from lineage.marquez.known import Known
from lineage.marquez.links import Ask, Ends, Walked
from lineage.marquez.names import dataset_id, job_id
from lineage.model import Direction, Json, Node
from lineage.ports import GraphStore

__all__ = ["DEEPEST", "EDGES", "Flow", "encode"]

EDGES: Final = ("READ_BY", "WRITES", "DECLARED_INPUT", "DECLARED_OUTPUT")
"""Dataset → Job and Job → Dataset, over all runs and by declaration."""
DEEPEST: Final = 10_000
"""A greater depth is taken as this one."""


class Flow:
    """Answers ``GET /lineage``. Safe to use from many threads.

    Args:
        graph: what is walked.
        kept: what is known from before.
    """

    def __init__(self, graph: GraphStore, kept: Kept) -> None:
        self._graph = graph
        self._kept = kept

    def answer(self, node: Node, depth: int, direction: Direction | None, max_nodes: int) -> bytes:
        """``{"graph": [...]}`` as JSON, nodes sorted by id; with ``"truncated": true`` where ``max_nodes`` cut it."""
        depth = min(max(depth, 0), DEEPEST)
        turn = self._kept.begin(self._graph.position())
        known = Known(self._graph.state())
        walked = self._walk(known, node, turn, depth=depth, direction=direction, max_nodes=max_nodes)
        body = self._join(known, walked, turn)
        return b'{"graph":[' + body + (b'],"truncated":true}' if walked.truncated else b"]}")

    def _walk(self, known: Known, node: Node, turn: int, *, depth: int, direction: Direction | None, max_nodes: int) -> Walked:
        is_job = node.label == "Job"
        hops = 2 * depth + 1 if is_job else 2 * depth + (0 if direction else 2)
        walked = self._kept.links.walk(node.key, self._asker(max_nodes), direction=direction, depth=hops, max_nodes=max_nodes)
        if walked is None:
            keys, edges, truncated = self._graph.expand([node.key], EDGES, direction=direction, depth=hops, max_nodes=max_nodes)
            walked = _plain(node.key, keys, {(source, target) for _, source, target in edges}, hops, truncated=truncated)
        if is_job or direction is not None or walked.deepest <= 2 * depth:
            return walked  # where all that hangs together was reached, it is the same from any job
        near = self._rendered(known, walked.into(node.key) or walked.out(node.key), turn)
        begin = max(near, key=lambda key: (near[key].last, near[key].ident))
        pairs = {(key, other) for key in walked.seen for other in walked.out(key)}
        return _plain(begin, walked.seen, pairs, 2 * depth + 1, truncated=walked.truncated)

    def _asker(self, max_nodes: int) -> Ask:
        """How the links ask the store."""

        def ask(keys: Sequence[str], depth: int) -> tuple[list[str], list[tuple[str, str]], bool]:
            most = 2 * max_nodes + len(keys)
            if depth == 1:  # the links of these nodes, and not those between all their neighbours
                near = self._graph.neighbours(keys, EDGES, limit=most)
                pairs = [(edge.source, edge.target) for edge in near.edges]
                return sorted({end for pair in pairs for end in pair}), pairs, near.truncated
            found, edges, truncated = self._graph.expand(keys, EDGES, direction=None, depth=depth, max_nodes=most)
            return found, [(source, target) for _, source, target in edges], truncated

        return ask

    def _rendered(self, known: Known, keys: list[str], turn: int) -> dict[str, Fragment]:
        """The fragments of these nodes; what is not kept is made and kept."""
        found = self._kept.fragments.get(keys)
        missing = [key for key in keys if key not in found]
        if missing:
            made = [(node.key, render(known, node)) for node in self._graph.nodes_of(missing)]
            self._kept.fragments.keep(made, turn)
            found.update(made)
        return found

    def _join(self, known: Known, walked: Walked, turn: int) -> bytes:
        """The nodes as JSON, comma separated, each with its edges."""
        order = walked.order
        fragments: dict[str, Fragment] = {}
        if not order:
            fragments = self._rendered(known, list(walked.seen), turn)
            order = sorted(fragments, key=lambda key: fragments[key].ident)
            if len(order) == len(walked.seen):
                walked.order[:] = order
        bodies = self._kept.fragments.whole(order if walked.alone else filter(walked.whole, order))
        missing = [key for key in order if key not in bodies]
        if missing:
            needed = {*missing, *(other for key in missing for other in (*walked.into(key), *walked.out(key)))}
            fragments = fragments or self._rendered(known, list(needed), turn)
            for key in missing:
                if key in fragments:
                    bodies[key] = _node(fragments[key], *(_sorted(ends, fragments) for ends in (walked.into(key), walked.out(key))))
            made = [(key, fragments[key], bodies[key]) for key in missing if key in fragments and walked.whole(key)]
            self._kept.fragments.keep_whole(made, turn)
        return b",".join([bodies[key] for key in order if key in bodies])


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


def _sorted(ends: Collection[str], fragments: Mapping[str, Fragment]) -> list[Fragment]:
    return sorted((fragments[key] for key in ends if key in fragments), key=lambda one: one.ident)


def _node(one: Fragment, into: Sequence[Fragment], out: Sequence[Fragment]) -> bytes:
    """One node of the answer."""
    body = one.head
    if one.tail:
        body += b",".join([other.named for other in into]) + b'],"outputs":[' + b",".join([other.named for other in out]) + one.tail
    before = b",".join([b'{"origin":' + other.quoted + b',"destination":' + one.quoted + b"}" for other in into])
    after = b",".join([b'{"origin":' + one.quoted + b',"destination":' + other.quoted + b"}" for other in out])
    return body + b',"inEdges":[' + before + b'],"outEdges":[' + after + b"]}"


def _plain(start: str, keys: Iterable[str], pairs: Iterable[tuple[str, str]], most: int, *, truncated: bool) -> Walked:
    """What lies within ``most`` steps of ``start`` among these nodes and links, whichever way data flows."""
    around: dict[str, Ends] = {key: Ends() for key in keys}
    for source, target in pairs:
        around[source].out[target] = None
        around[target].into[source] = None
    found = {start: around[start]} if start in around else {}
    level = list(found)
    steps = 0
    while level and steps < most:
        near = dict.fromkeys(other for key in level for other in (*around[key].into, *around[key].out))
        level = [key for key in near if key not in found]
        steps += bool(level)
        found.update((key, around[key]) for key in level)
    return Walked(found, steps, truncated=truncated, all_links=False)


def encode(value: Json) -> bytes:
    """JSON bytes, also of integers beyond 64 bits and of halves of surrogate pairs."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(value, separators=(",", ":")).encode("ascii")
