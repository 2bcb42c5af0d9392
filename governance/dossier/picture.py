"""The lineage picture of a trace: the nodes that data flows through, with short labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from governance.dossier.facts import at, items, mapping, short, text, when
from reports.model import Drawing

__all__ = ["lineage_drawing"]

_KINDS = {
    "DatasetVersion": "dataset",
    "Dataset": "dataset",
    "RowSet": "rows",
    "Run": "run",
    "Job": "job",
    "JobVersion": "job",
    "ModelVersion": "model",
    "Model": "model",
    "Deployment": "deployment",
    "CodeRevision": "code",
    "ParamSet": "parameters",
    "Environment": "environment",
}
_MOST_EDGES = 120


def lineage_drawing(answer: Mapping[str, Any], caption: str) -> Drawing | None:
    """The picture of a trace answer, or ``None`` when it holds no edge that data flows along."""
    numbers = {str(one.get("key")): one.get("version") for one in map(mapping, items(answer.get("models"))) if one.get("own")}
    nodes = {
        str(node["key"]): _numbered(mapping(node), numbers)
        for node in items(answer.get("nodes"))
        if isinstance(node, Mapping) and node.get("key")
    }
    edges = [
        mapping(edge)
        for edge in items(answer.get("edges"))
        if isinstance(edge, Mapping) and edge.get("walk", True) and edge.get("source") and edge.get("target")
    ]
    edges.sort(key=lambda e: (str(e.get("source")), str(e.get("target")), str(e.get("type"))))
    seen: dict[tuple[str, str], str] = {}
    for edge in edges:
        ends = (str(edge["source"]), str(edge["target"]))
        if ends not in seen and ends[0] in nodes and ends[1] in nodes:
            seen[ends] = _how(edge)
    if not seen:
        return None
    kept = dict(list(seen.items())[:_MOST_EDGES])
    order = _flow_order(kept)
    if len(kept) < len(seen):
        caption += f" The first {len(kept)} of {len(seen)} arrows; the evidence holds the others."
    return Drawing(
        nodes=tuple((key, _label(nodes[key]), _kind(nodes[key])) for key in order),
        edges=tuple((a, b, kept[a, b]) for a, b in sorted(kept, key=lambda ends: (order.index(ends[0]), order.index(ends[1])))),
        caption=caption,
    )


def _numbered(node: Mapping[str, Any], numbers: Mapping[str, Any]) -> Mapping[str, Any]:
    """The node, a model version of ours under its number instead of its run's id."""
    number = numbers.get(str(node.get("key")))
    return node if number is None else {**node, "props": {**mapping(node.get("props")), "version": number}}


def _flow_order(edges: Mapping[tuple[str, str], str]) -> list[str]:
    """Nodes from the sources on, so that their numbers rise with the flow; cycles are cut where they are met."""
    before: dict[str, set[str]] = {}
    for a, b in edges:
        before.setdefault(a, set())
        before.setdefault(b, set()).add(a)
    order: list[str] = []
    while len(order) < len(before):
        done = set(order)
        ready = sorted(key for key in before if key not in done and before[key] <= done)
        order += ready or [min(key for key in before if key not in done)]
    return order


def _kind(node: Mapping[str, Any]) -> str:
    label = str(node.get("label") or "")
    return _KINDS.get(label, label.lower() or "node")


def _label(node: Mapping[str, Any]) -> str:
    props = mapping(node.get("props"))
    job = props.get("job")
    name = text(props.get("name")) or text(at(job, "name") if isinstance(job, Mapping) else job) or text(props.get("id")) or ""
    version = props.get("version")
    label = str(node.get("label") or "")
    if label == "Run":
        return f"{name or 'run'} · {short(props.get('run_id'))}"
    if label == "Deployment":
        place = text(props.get("environment")) or name or "deployment"
        since = when(props.get("active_from")) or when(props.get("start"))
        return f"{place} since {since[:10]}" if since else place
    if version is not None and label in {"DatasetVersion", "ModelVersion"}:
        return f"{name or label} @ {short(version)}"
    return name or short(node.get("key"))


def _how(edge: Mapping[str, Any]) -> str:
    props = mapping(edge.get("props"))
    parts = [str(edge.get("type") or "").lower().replace("_", " ")]
    if basis := text(props.get("basis")):
        parts.append(f"{basis} lineage")
    if version_basis := text(props.get("version_basis")):
        parts.append(f"version {version_basis}")
    if (rows := at(props, "row_set", "count")) is not None:
        parts.append(f"{rows} rows")
    return ", ".join(part for part in parts if part)
