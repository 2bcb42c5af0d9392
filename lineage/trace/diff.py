"""What two model versions differ in, from the graph alone: so it answers for models that were trained anywhere.

A :class:`Recipe` is what the graph knows of how one version was made; :func:`diff_recipes` compares two, and :func:`diff_upstream`
compares all that lies above them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from lineage.graph.keys import canonical, run_key
from lineage.model import Edge, Impact, Json, Node
from lineage.ports import GraphStore

__all__ = ["Read", "Recipe", "changes", "diff_recipes", "diff_upstream", "metric_changes", "recipe"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """One read of the run that made a version."""

    namespace: str
    name: str
    version: str | None
    role: str | None = None
    digest: str | None = None
    """Of the row set that was stated."""
    rows: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How one version was made, as far as the graph knows."""

    run_id: str | None = None
    job: str | None = None
    created: int | None = None
    code: Json = None
    params: Mapping[str, Json] | None = None
    environment: Mapping[str, Json] | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    tests: Mapping[str, str] = field(default_factory=dict)
    """Name of an evaluation → its status."""
    reads: tuple[Read, ...] = ()


def recipe(store: GraphStore, answer: Impact, version: str) -> Recipe:
    """The recipe of the version under the key ``version``, from its upward trace; evaluations are read from the store beside it."""
    nodes = {node.key: node for node in answer.graph.nodes}
    node = nodes.get(version)
    made = next((edge for edge in answer.graph.edges if edge.type == "PRODUCED" and edge.target == version), None)
    run = nodes.get(made.source) if made is not None else None
    if run is None:
        derived = next((edge for edge in answer.graph.edges if edge.type == "DERIVED" and edge.target == version), None)
        run = nodes.get(run_key(derived.props["run"])) if derived is not None and "run" in derived.props else None
    tests = _tests(store, version, answer)
    metrics = _metrics(store, version)
    created = node.props.get("created") if node is not None else None
    if run is None:
        return Recipe(created=created, metrics=metrics, tests=tests)
    beside = {edge.type: nodes[edge.target] for edge in answer.graph.edges if edge.source == run.key and edge.target in nodes}
    code, params, environment = (beside.get(kind) for kind in ("AT_REVISION", "WITH_PARAMS", "IN_ENV"))
    job = run.props.get("job")
    reads = [one for edge in answer.graph.edges if edge.type == "INPUT_TO" and edge.target == run.key for one in _reads(edge, nodes)]
    return Recipe(
        run_id=run.props.get("run_id"),
        job=f"{job['namespace']} {job['name']}" if isinstance(job, dict) else None,
        created=created,
        code=code.props.get("location") if code is not None else None,
        params=params.props.get("params") if params is not None else None,
        environment=environment.props.get("details") if environment is not None else None,
        metrics=metrics,
        tests=tests,
        reads=tuple(sorted(reads, key=lambda read: (read.namespace, read.name, read.role or "", read.version or "", read.digest or ""))),
    )


def _reads(edge: Edge, nodes: Mapping[str, Node]) -> Iterable[Read]:
    source = nodes[edge.source].props
    stated = edge.props.get("row_sets") or ([edge.props["row_set"]] if isinstance(edge.props.get("row_set"), dict) else [{}])
    for one in stated:
        yield Read(
            namespace=str(source.get("namespace")),
            name=str(source.get("name")),
            version=source.get("version"),
            role=one.get("role") or edge.props.get("role"),
            digest=one.get("digest"),
            rows=one.get("count", source.get("row_count") if not one else None),
        )


def _tests(store: GraphStore, version: str, answer: Impact) -> dict[str, str]:
    beside = store.neighbours([version], ["AUDITED_BY"], as_of=answer.as_of, known_at=answer.known_at)
    found = [node for node in beside.nodes if node.label == "Test" and node.props.get("name")]
    return {str(node.props["name"]): str(node.props.get("status") or "unknown") for node in sorted(found, key=lambda node: node.key)}


def _metrics(store: GraphStore, version: str) -> dict[str, float]:
    stated = store.facets(version).get("govern_model")
    metrics = stated.get("metrics") if isinstance(stated, dict) else None
    if not isinstance(metrics, dict):
        return {}
    return {str(name): value for name, value in metrics.items() if isinstance(value, int | float) and not isinstance(value, bool)}


# ── two of them ─────────────────────────────────────────────────────────────────────────────────
def diff_recipes(before: Recipe, after: Recipe) -> dict[str, Json]:
    """What two recipes differ in: ``params``, ``environment``, ``code``, ``metrics``, ``tests``."""
    return {
        "job": {"from": before.job, "to": after.job, "same": before.job == after.job},
        "code": {"from": before.code, "to": after.code, "same": before.code == after.code and before.code is not None},
        "params": changes(before.params or {}, after.params or {}),
        "environment": changes(before.environment or {}, after.environment or {}),
        "metrics": metric_changes(before.metrics, after.metrics),
        "tests": changes(before.tests, after.tests),
    }


def changes(before: Mapping[str, Json], after: Mapping[str, Json]) -> dict[str, Json]:
    """``added``, ``removed``, ``changed`` (from, to) and how many are the ``same``.

    >>> changes({"a": 1, "b": 2}, {"b": 3, "c": 4})
    {'added': {'c': 4}, 'removed': {'a': 1}, 'changed': {'b': {'from': 2, 'to': 3}}, 'same': 0}
    """
    both = sorted(before.keys() & after.keys())
    differ = {name: {"from": before[name], "to": after[name]} for name in both if canonical(before[name]) != canonical(after[name])}
    return {
        "added": {name: after[name] for name in sorted(after.keys() - before.keys())},
        "removed": {name: before[name] for name in sorted(before.keys() - after.keys())},
        "changed": differ,
        "same": len(both) - len(differ),
    }


def metric_changes(before: Mapping[str, float], after: Mapping[str, float]) -> list[dict[str, Json]]:
    """Every metric of either side with both values and the difference, where there are both."""
    rows: list[dict[str, Json]] = []
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        rows.append({"metric": name, "from": old, "to": new, "delta": new - old if old is not None and new is not None else None})
    return rows


def diff_upstream(before: Impact, after: Impact) -> dict[str, Json]:
    """What lies above the two: dataset versions by dataset, and the code of the jobs that made them."""
    old, new = _versions(before), _versions(after)
    codes = [_codes(one) for one in (before, after)]
    rows: list[dict[str, Json]] = [
        {
            "namespace": place[0],
            "name": place[1],
            "from": sorted(old.get(place, ()), key=str),
            "to": sorted(new.get(place, ()), key=str),
        }
        for place in sorted(old.keys() | new.keys())
    ]
    return {
        "datasets": {
            "added": [row for row in rows if not row["from"]],
            "removed": [row for row in rows if not row["to"]],
            "changed": [row for row in rows if row["from"] and row["to"] and row["from"] != row["to"]],
            "same": sum(row["from"] == row["to"] for row in rows),
        },
        "code": [
            {"job": job, "from": codes[0].get(job), "to": codes[1].get(job)}
            for job in sorted(codes[0].keys() | codes[1].keys())
            if codes[0].get(job) != codes[1].get(job)
        ],
    }


def _versions(answer: Impact) -> dict[tuple[str, str], set[str | None]]:
    found: dict[tuple[str, str], set[str | None]] = {}
    for node in answer.graph.nodes:
        if node.label == "DatasetVersion":
            found.setdefault((str(node.props["namespace"]), str(node.props["name"])), set()).add(node.props.get("version"))
    return found


def _codes(answer: Impact) -> dict[str, list[Json]]:
    """Job → the revisions its runs in this answer were at."""
    nodes = {node.key: node for node in answer.graph.nodes}
    found: dict[str, dict[str, Json]] = {}
    for edge in answer.graph.edges:
        if edge.type == "AT_REVISION" and edge.source in nodes and edge.target in nodes:
            job = nodes[edge.source].props.get("job")
            if isinstance(job, dict):
                location = nodes[edge.target].props.get("location")
                found.setdefault(f"{job['namespace']} {job['name']}", {})[canonical(location)] = location
    return {job: [codes[text] for text in sorted(codes)] for job, codes in found.items()}
