"""From run to run over the dataset versions between them: where a run's data came from, and where it went."""

from __future__ import annotations

from collections.abc import Iterable

from lineage.graph.keys import run_key
from lineage.marquez.flow import DEEPEST
from lineage.marquez.known import Known, Part, RunFacts
from lineage.marquez.names import instant, version_id
from lineage.marquez.runs import job_version, run_view
from lineage.model import Direction, Json
from lineage.ports import GraphStore

__all__ = ["run_lineage"]


def run_lineage(graph: GraphStore, known: Known, run_id: str, *, depth: int, direction: Direction, max_nodes: int) -> dict[str, Json]:
    """``{"runs": [...]}``, the run itself first, then by hops and by job name, as in ``GET /runlineage/upstream``.

    Upstream each run shows what it read and who made it; downstream what it wrote and who read it. With ``"truncated": true``
    where ``max_nodes`` (runs and versions) cut it.
    """
    up = direction is Direction.UP
    depth = min(max(depth, 0), DEEPEST)
    start = run_key(run_id)
    keys, edges, truncated = graph.expand([start], ("INPUT_TO", "PRODUCED"), direction=direction, depth=2 * depth + 2, max_nodes=max_nodes)
    ids = {node.key: str(node.props["run_id"]) for node in graph.nodes_of(keys) if node.label == "Run"}
    beyond: dict[str, list[str]] = {}  # version → the runs on its other side
    for kind, source, target in edges:
        if kind == ("PRODUCED" if up else "INPUT_TO"):
            version, run = (target, source) if up else (source, target)
            beyond.setdefault(version, []).append(run)
    shown: list[dict[str, Json]] = []
    seen = {start}
    level = [start]
    for _ in range(depth + 1):
        runs = [run for run in (known.run(ids[key]) for key in level if key in ids) if run is not None]
        shown += [_summary(run, beyond, ids, up=up) for run in sorted(runs, key=lambda run: (run.job or ("", ""), run.id))]
        level = sorted({key for run in runs for part in _parts(run, up=up) for key in beyond.get(part.key, ())} - seen)
        seen.update(level)
    return {"runs": shown, "truncated": True} if truncated else {"runs": shown}


def _parts(run: RunFacts, *, up: bool) -> tuple[Part, ...]:
    return run.inputs if up else run.outputs


def _summary(run: RunFacts, beyond: dict[str, list[str]], ids: dict[str, str], *, up: bool) -> dict[str, Json]:
    view = run_view(run)
    namespace, name = run.job or (None, None)
    times = {"start": view["startedAt"], "end": instant(run.meaning.end)}
    summary: dict[str, Json] = {
        "job": {"namespace": namespace, "name": name, "version": job_version(run)},
        "run": {"id": run.id, **times, "status": view["state"]},
    }
    if not up:
        return summary | {"outputs": [{**_place(part), "readByRunIds": _known(beyond.get(part.key, ()), ids)} for part in run.outputs]}
    inputs: list[dict[str, Json]] = []
    for part in run.inputs:
        makers = _known(beyond.get(part.key, ()), ids)
        inputs += [{**_place(part), "producedByRunId": maker} for maker in makers] or [{**_place(part), "producedByRunId": None}]
    return summary | {"inputs": inputs}


def _place(part: Part) -> dict[str, Json]:
    return {"namespace": part.identity.namespace, "name": part.identity.name, "version": version_id(part.key)}


def _known(keys: Iterable[str], ids: dict[str, str]) -> list[str]:
    return sorted(ids[key] for key in keys if key in ids)
