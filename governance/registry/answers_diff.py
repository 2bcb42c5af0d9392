"""What two versions of a model differ in: rows, data, code, parameters, environment, metrics, audits, decision.

What the registry knows of our own versions is told from it; the rest, and all of models trained elsewhere, from the graph. Rows are
told as counts and as one digest over their commitments: a commitment is keyed, so nobody outside this home finds a row by it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from governance.registry.answers_start import Start
from governance.registry.audits import Findings
from governance.registry.datasets import Datasets
from lineage.errors import GovernError
from lineage.model import Impact
from lineage.ports import GraphStore
from lineage.trace import Gaps, completeness_json
from lineage.trace.diff import Read, Recipe, changes, diff_recipes, diff_upstream, metric_changes, recipe

__all__ = ["diff_answer"]


def diff_answer(
    graph: GraphStore, datasets: Datasets, findings: Findings, *, namespace: str, before: tuple[Start, Impact], after: tuple[Start, Impact]
) -> dict[str, Any]:
    """The DiffAnswer of two versions, each with its upward trace."""
    recipes = [recipe(graph, impact, start.keys[0]) for start, impact in (before, after)]
    rows = _Rows(datasets, namespace)
    by_dataset = rows.compare(*(_reads(start, made, namespace) for (start, _), made in zip((before, after), recipes, strict=True)))
    told = diff_recipes(*recipes)
    ours = [start.version for start, _ in (before, after)]
    if ours[0] is not None and ours[1] is not None:
        told |= _registered(ours[0], ours[1])
    audits, decision = _judged(findings, ours)
    upstream = diff_upstream(before[1], after[1])
    gaps = Gaps()
    gaps.join(before[1].completeness)
    gaps.join(after[1].completeness)
    for entry in by_dataset:
        if entry["added"] is None:
            place = (entry["namespace"], entry["dataset"], entry["role"])
            gaps.add("rows_not_compared", place, lambda: _uncompared(entry))  # noqa: B023 - called at once
    hops = {
        basis: before[1].completeness.hops_by_basis.get(basis, 0) + after[1].completeness.hops_by_basis.get(basis, 0)
        for basis in {*before[1].completeness.hops_by_basis, *after[1].completeness.hops_by_basis}
    }
    completeness = gaps.finish(hops, max(before[1].completeness.lag, after[1].completeness.lag))
    sides = [_side(start, made) for (start, _), made in zip((before, after), recipes, strict=True)]
    return {
        "from": sides[0],
        "to": sides[1],
        "as_of": before[1].as_of,
        "known_at": before[1].known_at,
        "rows": _totals(by_dataset),
        "datasets": upstream["datasets"],
        **told,
        "upstream_code": upstream["code"],
        "audits": audits,
        "decision": decision,
        "completeness": completeness_json(completeness),
    }


def _uncompared(entry: Mapping[str, Any]) -> dict[str, Any]:
    reason = f"which rows of {entry['namespace']} {entry['dataset']} came and went cannot be told: their row sets are not kept here"
    return {"reason": reason, "namespace": entry["namespace"], "name": entry["dataset"], "role": entry["role"]}


def _side(start: Start, made: Recipe) -> dict[str, Any]:
    version = start.version
    if version is None:
        return {"ref": start.ref, "key": start.keys[0], "run_id": made.run_id, "created": made.created, "status": None}
    return {
        "ref": start.ref,
        "key": start.keys[0],
        "run_id": version["run_id"],
        "created": version["created_at"],
        "status": version["status"],
    }


def _reads(start: Start, made: Recipe, namespace: str) -> list[Read]:
    """What the training read: as its specification says where it is ours."""
    if start.version is None:
        return list(made.reads)
    return [
        Read(
            namespace=namespace,
            name=given["dataset"],
            version=given["version"],
            role=given["role"],
            digest=given.get("row_set"),
            rows=given.get("rows"),
        )
        for given in start.version["spec"]["inputs"]
    ]


def _registered(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters, code, environment and metrics of two versions that were trained here."""
    old, new = before["spec"], after["spec"]
    recipe_of = [
        {"seed": spec["seed"], "threads": spec["threads"], "strategy": spec.get("strategy", "full")}
        | {name: spec.get(name) for name in ("sharding", "replay")}
        for spec in (old, new)
    ]
    return {
        "params": changes(old["params"], new["params"]),
        "recipe": changes(*[{name: value for name, value in one.items() if value is not None} for one in recipe_of]),
        "code": {"from": old["code"], "to": new["code"], "same": old["code"] == new["code"]},
        "environment_digest": {"from": old["environment"], "to": new["environment"], "same": old["environment"] == new["environment"]},
        "metrics": metric_changes(_numbers(before["metrics"]), _numbers(after["metrics"])),
    }


def _numbers(metrics: Mapping[str, Any] | None) -> dict[str, float]:
    return {name: value for name, value in (metrics or {}).items() if isinstance(value, int | float) and not isinstance(value, bool)}


def _judged(findings: Findings, ours: Sequence[Mapping[str, Any] | None]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Verdicts by audit, and the decision, of both versions."""
    found: list[dict[str, Any]] = [
        {item["audit"]: item for item in findings.get(one["model"], one["version"])["findings"]} if one else {} for one in ours
    ]
    rows = []
    for name in sorted({*found[0], *found[1]}):
        sides = [side.get(name) for side in found]
        values = [{_metric(metric): metric["value"] for metric in side["metrics"]} if side else {} for side in sides]
        rows.append(
            {
                "audit": name,
                "from": sides[0]["verdict"] if sides[0] else None,
                "to": sides[1]["verdict"] if sides[1] else None,
                "metrics": metric_changes(_numbers(values[0]), _numbers(values[1])),
            }
        )
    decisions = [findings.decision(one["model"], one["version"]) if one else None for one in ours]
    shown = [{name: one[name] for name in ("outcome", "policy", "policy_digest") if name in one} if one else None for one in decisions]
    return rows, {"from": shown[0], "to": shown[1]}


def _metric(metric: Mapping[str, Any]) -> str:
    return f"{metric['name']} ({metric['group']})" if metric.get("group") else str(metric["name"])


# ── rows ────────────────────────────────────────────────────────────────────────────────────────
class _Rows:
    """Compares row sets by the commitments that this home keeps of them."""

    def __init__(self, datasets: Datasets, namespace: str) -> None:
        self._datasets = datasets
        self._namespace = namespace

    def compare(self, before: Sequence[Read], after: Sequence[Read]) -> list[dict[str, Any]]:
        """One entry for each dataset and role of either side."""
        sides = [{(read.namespace, read.name, read.role): read for read in reads} for reads in (before, after)]
        places = sorted({*sides[0], *sides[1]}, key=lambda place: (place[2] != "train", str(place[2]), place[0], place[1]))
        return [self._entry(place, *(side.get(place) for side in sides)) for place in places]

    def _entry(self, place: tuple[str, str, str | None], old: Read | None, new: Read | None) -> dict[str, Any]:
        entry: dict[str, Any] = {
            "namespace": place[0],
            "dataset": place[1],
            "role": place[2],
            "from": _read_json(old),
            "to": _read_json(new),
            "added": None,
            "removed": None,
            "kept": None,
            "added_digest": None,
            "removed_digest": None,
            "basis": "unknown",
        }
        sets = [self._commitments(read) for read in (old, new)]
        if sets[0] is not None and sets[1] is not None:
            added, removed = sets[1] - sets[0], sets[0] - sets[1]
            told = {"added": len(added), "removed": len(removed), "kept": len(sets[0] & sets[1]), "basis": "committed"}
            return entry | told | {"added_digest": _digest(added), "removed_digest": _digest(removed)}
        if old is not None and new is not None and old.digest is not None and old.digest == new.digest:
            return entry | {"added": 0, "removed": 0, "kept": old.rows, "basis": "same row set"}
        if (old is None) != (new is None):
            read = old or new
            rows = read.rows if read is not None else None
            whole = {"added": rows, "removed": 0} if old is None else {"added": 0, "removed": rows}
            return entry | whole | {"kept": 0, "basis": "stated" if rows is not None else "unknown"}
        return entry

    def _commitments(self, read: Read | None) -> set[bytes] | None:
        if read is None:
            return set()
        if read.digest is None or read.namespace != self._namespace:
            return None
        try:
            return set(self._datasets.commitments(read.digest))
        except GovernError:
            return None


def _read_json(read: Read | None) -> dict[str, Any] | None:
    return None if read is None else {"version": read.version, "rows": read.rows, "row_set": read.digest}


def _digest(commitments: set[bytes]) -> str | None:
    """SHA-256 over the sorted commitments: two people who compare the same versions see the same rows."""
    return f"sha256:{hashlib.sha256(b''.join(sorted(commitments))).hexdigest()}" if commitments else None


def _totals(by_dataset: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    def total(name: str, chosen: Callable[[Mapping[str, Any]], bool]) -> int | None:
        values = [entry[name] for entry in by_dataset if chosen(entry)]
        return None if not values or None in values else sum(values)

    train = any(entry["role"] == "train" for entry in by_dataset)

    def chosen(entry: Mapping[str, Any]) -> bool:
        return entry["role"] == "train" if train else True

    return {
        "of": "train" if train else "all",
        "added": total("added", chosen),
        "removed": total("removed", chosen),
        "kept": total("kept", chosen),
        "by_dataset": list(by_dataset),
    }
