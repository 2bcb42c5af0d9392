"""A lineage graph as W3C PROV-JSON (Member Submission of 24 April 2013, over PROV-DM).

| in the graph | in PROV |
|---|---|
| DatasetVersion, ModelVersion | entity, ``specializationOf`` its Dataset or Model |
| Run, Deployment | activity |
| Job | agent (``prov:SoftwareAgent``), associated with its runs |
| CodeRevision, JobVersion | entity (``prov:Plan``) of that association |
| ParamSet, Environment | entity that the run used, in that role |
| INPUT_TO, DEPLOYED_AS | ``used`` |
| PRODUCED | ``wasGeneratedBy`` |
| DERIVED, FEEDS | ``wasDerivedFrom`` |
| a version that was erased | ``wasInvalidatedBy`` the activity of that request |
| any other edge | ``wasInfluencedBy``, with its type |

PROV knows no containment of activities and no plan of what was not written: the parent of a run is its attribute
``gov:childOf``, and a planned version is an entity that nothing generated.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from lineage.graph.keys import canonical, job_key, run_key
from lineage.model import Edge, Json, Node

__all__ = ["Invalidated", "prov"]

GOV = "https://github.com/govern-ml/govern/ns#"
KEY = "urn:govern:"

_ACTIVITIES = frozenset({"Run", "Deployment", "Test"})
_PLANS = frozenset({"CodeRevision", "JobVersion"})
_SHOWN = (
    "namespace", "name", "dataset", "version", "status", "state", "row_count", "digest", "run_id", "attempts", "lifecycle", "dataset_type",
    "description", "job_type", "processing", "integration", "live",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Invalidated:
    """That an entity is gone: when, and by which request."""

    by: str
    """The request, never a person."""
    at: int | None = None
    """UTC nanoseconds."""


def prov(nodes: Iterable[Node], edges: Iterable[Edge], *, invalidated: Mapping[str, Invalidated] | None = None) -> dict[str, Json]:
    """The graph as a PROV-JSON document.

    Args:
        nodes: the graph's nodes.
        edges: the graph's edges; one whose end is not among the nodes is left out.
        invalidated: node key → how that entity came to an end.
    """
    return _Document({node.key: node for node in nodes}).made(sorted(edges, key=lambda edge: edge.key), invalidated or {})


class _Document:
    def __init__(self, nodes: Mapping[str, Node]) -> None:
        self._nodes = nodes
        self._parts: dict[str, dict[str, dict[str, Json]]] = {}
        self._plans: dict[str, str] = {}
        self._agents: set[str] = set()

    def made(self, edges: Iterable[Edge], invalidated: Mapping[str, Invalidated]) -> dict[str, Json]:
        found = [edge for edge in edges if edge.source in self._nodes and edge.target in self._nodes]
        for edge in found:  # the plan of a run is its code; where no code is known, its job's version
            if edge.type == "AT_REVISION" or (edge.type == "INSTANCE_OF" and edge.source not in self._plans):
                self._plans[edge.source] = edge.target
        for key in sorted(self._nodes):
            self._node(self._nodes[key])
        for edge in found:
            self._edge(edge)
        for key in sorted(invalidated):
            if key in self._nodes and self._nodes[key].label not in _ACTIVITIES:
                self._gone(key, invalidated[key])
        prefix = {"gov": GOV, "key": KEY, "prov": "http://www.w3.org/ns/prov#", "xsd": "http://www.w3.org/2001/XMLSchema#"}
        return {"prefix": prefix, **{part: dict(sorted(found.items())) for part, found in sorted(self._parts.items())}}

    def _put(self, part: str, ident: str, body: Mapping[str, Json]) -> None:
        self._parts.setdefault(part, {})[ident] = {name: value for name, value in body.items() if value is not None}

    def _node(self, node: Node) -> None:
        props = node.props
        about: dict[str, Json] = {"prov:label": _label(node), "prov:type": [_name(f"gov:{node.label}")]}
        about |= {f"gov:{name}": _value(props[name]) for name in _SHOWN if _value(props.get(name)) is not None}
        for name, prop in (("location", "location"), ("parameters", "params"), ("details", "details")):
            if isinstance(props.get(prop), dict):
                about[f"gov:{name}"] = canonical(props[prop])
        if node.label in _ACTIVITIES:
            start = props.get("start", props.get("active_from"))
            end = props.get("end", props.get("active_to"))
            self._put("activity", _id(node.key), {"prov:startTime": _time(start), "prov:endTime": _time(end), **about})
            if node.label == "Run":
                self._associate(node)
            return
        if node.label == "Job":
            self._agent(node.key, str(props.get("namespace")), str(props.get("name")))
            return
        if node.label in _PLANS:
            about["prov:type"].append(_name("prov:Plan"))
        if props.get("created") is not None:
            about["gov:created"] = _time(props["created"])
        self._put("entity", _id(node.key), about)

    def _associate(self, run: Node) -> None:
        job = run.props.get("job")
        plan = self._plans.get(run.key)
        if not isinstance(job, dict) and plan is None:
            return
        agent = None
        if isinstance(job, dict):
            agent = job_key(str(job.get("namespace")), str(job.get("name")))
            self._agent(agent, str(job.get("namespace")), str(job.get("name")))
        body = {"prov:activity": _id(run.key), "prov:agent": _id(agent) if agent else None, "prov:plan": _id(plan) if plan else None}
        self._put("wasAssociatedWith", f"_:assoc-{_tail(run.key)}", body)

    def _agent(self, key: str, namespace: str, name: str) -> None:
        if key not in self._agents:
            self._agents.add(key)
            kind = [_name("prov:SoftwareAgent"), _name("gov:Job")]
            self._put(
                "agent", _id(key), {"prov:label": f"{namespace} {name}", "prov:type": kind, "gov:namespace": namespace, "gov:name": name}
            )

    def _edge(self, edge: Edge) -> None:
        source, target, ident = _id(edge.source), _id(edge.target), f"_:{edge.type.lower()}-{_tail(edge.key)}"
        since = _time(edge.valid_from) if edge.valid_from else None
        more = _about(edge)
        match edge.type:
            case "INPUT_TO" | "DEPLOYED_AS":
                self._put("used", ident, {"prov:activity": target, "prov:entity": source, "prov:time": since, **more})
            case "WITH_PARAMS" | "IN_ENV":
                role = "parameters" if edge.type == "WITH_PARAMS" else "environment"
                self._put("used", ident, {"prov:activity": source, "prov:entity": target, "prov:role": role})
            case "PRODUCED":
                self._put("wasGeneratedBy", ident, {"prov:entity": target, "prov:activity": source, "prov:time": since, **more})
            case "DERIVED" | "FEEDS":
                run = run_key(edge.props["run"]) if "run" in edge.props else None
                by = _id(run) if run is not None and run in self._nodes else None
                self._put("wasDerivedFrom", ident, {"prov:generatedEntity": target, "prov:usedEntity": source, "prov:activity": by, **more})
            case "HAS_VERSION" if self._nodes[edge.source].label != "Job":
                self._put("specializationOf", ident, {"prov:specificEntity": target, "prov:generalEntity": source})
            case "CHILD_OF":
                self._parts["activity"][source]["gov:childOf"] = _name(target)
            case "PLANNED" | "INSTANCE_OF" | "AT_REVISION":
                pass  # a plan is no evidence that something was made; the others are the run's association
            case "ALIAS_OF":
                self._put("alternateOf", ident, {"prov:alternate1": source, "prov:alternate2": target})
            case "HAS_VERSION":
                pass  # of a Job: its version is the plan of the runs that the agent is associated with
            case _:
                told = {"prov:type": [_name(f"gov:{edge.type}")], **more}
                self._put("wasInfluencedBy", ident, {"prov:influencee": target, "prov:influencer": source, **told})

    def _gone(self, key: str, how: Invalidated) -> None:
        activity = f"key:erasure-{_plain(how.by)}"
        self._put("activity", activity, {"prov:label": f"erasure {how.by}", "prov:type": [_name("gov:Erasure")]})
        body = {"prov:entity": _id(key), "prov:activity": activity, "prov:time": _time(how.at)}
        self._put("wasInvalidatedBy", f"_:gone-{_tail(key)}", body)


def _about(edge: Edge) -> dict[str, Json]:
    props = edge.props
    more = {
        f"gov:{name}": _value(props.get(name)) for name in ("basis", "version_basis", "status", "type", "subtype", "masking", "snapshot_id")
    }
    if props.get("role"):
        more["prov:role"] = str(props["role"])
    stated = props.get("row_sets") or ([props["row_set"]] if isinstance(props.get("row_set"), dict) else [])
    sets = [one for one in stated if isinstance(one, dict)]
    if sets:
        more["gov:rowSet"] = [str(one.get("digest")) for one in sets]
        more["gov:rowCount"] = sum(one["count"] for one in sets if isinstance(one.get("count"), int))
    if props.get("subset") is not None:
        more["gov:subset"] = str(props["subset"])
    if edge.valid_to is not None:
        more["gov:until"] = _time(edge.valid_to)
    return {name: value for name, value in more.items() if value is not None}


def _label(node: Node) -> str:
    props = node.props
    name = props.get("name") or props.get("digest") or props.get("run_id") or _tail(node.key)
    version = props.get("version")
    return f"{name}@{version}" if version is not None and node.label.endswith("Version") else str(name)


def _value(value: Json) -> Json:
    """A PROV-JSON literal, or ``None`` for what is none."""
    if isinstance(value, bool):
        return {"$": str(value).lower(), "type": "xsd:boolean"}
    if isinstance(value, int):
        return {"$": str(value), "type": "xsd:integer"}
    if isinstance(value, float):
        return {"$": repr(value), "type": "xsd:double"}
    return str(value) if isinstance(value, str) else None


def _name(qualified: str) -> dict[str, str]:
    return {"$": qualified, "type": "prov:QUALIFIED_NAME"}


def _id(key: str) -> str:
    return f"key:{key.replace(':', '-')}"


def _tail(key: str) -> str:
    return key.partition(":")[2][:24]


def _plain(text: str) -> str:
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in text)


def _time(when: Json) -> str | None:
    """An ``xsd:dateTime`` in UTC, cut to microseconds (PROV's tools read no more); ``None`` where there is none or it has no calendar."""
    if not isinstance(when, int):
        return None
    try:
        moment = datetime.fromtimestamp(when // 1_000_000_000, UTC)
    except (OverflowError, OSError, ValueError):
        return None
    fraction = when % 1_000_000_000 // 1000
    return moment.replace(tzinfo=None).isoformat(timespec="seconds") + (f".{fraction:06d}" if fraction else "") + "Z"
