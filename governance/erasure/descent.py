"""What descends from a dataset: rows of every registered dataset that was made from it, in whole or in part (bulk disgorgement).

The FTC's orders name "affected work product": whatever was developed in whole or in part with the data (Everalbum 2021, WW/Kurbo
2022). So a version that lineage shows to be made from rows of the dataset counts with all its rows, and the walk goes on from every
version that holds one of them. Two ways lead on, and both are needed:

1. lineage, from version to version, but never through a purge of ours: what a purge leaves is what was *not* made from the rows;
2. identity, from row to row: a version that holds the same rows under the same ids, or the same commitments where the rows are gone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any

from governance.registry.datasets import Datasets
from lineage.errors import Gone, Incomplete, NotFound
from lineage.graph import keys
from lineage.model import DatasetVersionInfo, Direction
from lineage.ports import GraphStore

__all__ = ["Descent", "Versions", "descend", "own_descendants"]

_PURGE = "govern.purge."
_MOST_ROUNDS = 1000
Versions = Mapping[str, AbstractSet[str]]


@dataclass(slots=True, kw_only=True)
class Descent:
    """What was found, by dataset."""

    rows: dict[str, set[int]] = field(default_factory=dict)
    """Row ids that are still somewhere, or were frozen before."""
    commitments: dict[str, set[bytes]] = field(default_factory=dict)
    """Of all rows, the purged ones too: by these a model's row sets are asked."""
    reached: dict[str, set[str]] = field(default_factory=dict)
    """Versions that count with all their rows: those of the dataset itself, and those that lineage leads to."""
    versions: dict[str, set[str]] = field(default_factory=dict)
    """Versions that hold one of the rows, or held it."""
    unknown: set[str] = field(default_factory=set)
    """``dataset@version`` whose rows are purged and whose commitments are not kept here: of these nothing can be said."""


def descend(
    datasets: Datasets,
    reached: Callable[[Versions], Versions],
    *,
    dataset: str,
    version: str | None,
    frozen: Mapping[str, Any] | None = None,
) -> Descent:
    """Everything that descends from a dataset, or from one version of it.

    Args:
        datasets: the registered ones.
        reached: the versions of registered datasets that lineage leads to (:func:`own_descendants`).
        dataset: the name.
        version: one version; ``None``: all there are.
        frozen: what an earlier search found (``rows``, ``reached``, ``versions``): it stays.

    Raises:
        NotFound: no such dataset or version. StoreUnavailable: a store is away, and without it nobody knows what descends.
        Incomplete: lineage is too large to be walked whole.
    """
    started = {info.version for info in datasets.infos(dataset)} if version is None else {datasets.version(dataset, version).version}
    found = Descent()
    waiting: dict[str, set[str]] = {dataset: set(started)}
    before = frozen or {}
    for name, listed in before.get("reached", {}).items():
        waiting.setdefault(name, set()).update(listed)
    found.rows = {name: set(ids) for name, ids in before.get("rows", {}).items()}
    found.versions = {name: set(listed) for name, listed in before.get("versions", {}).items()}
    for _ in range(_MOST_ROUNDS):
        for name, listed in waiting.items():
            _take(datasets, found, name, listed - found.reached.setdefault(name, set()))
            found.reached[name] |= listed
        waiting = {name: set(listed) for name, listed in reached(found.versions).items()}
        if version is not None:  # of the dataset itself the rows of this version count, and no others
            waiting.pop(dataset, None)
        if all(listed <= found.reached.get(name, set()) for name, listed in waiting.items()):
            return found
    raise Incomplete(f"what descends from {dataset} was not found in {_MOST_ROUNDS} steps")


def _take(datasets: Datasets, found: Descent, name: str, fresh: AbstractSet[str]) -> None:
    """Take these versions, and every other version of the dataset that holds one of their rows; an empty version leads nowhere."""
    infos = {info.version: info for info in datasets.infos(name)}
    rows, committed = found.rows.setdefault(name, set()), found.commitments.setdefault(name, set())
    versions = found.versions.setdefault(name, set())
    purged: set[bytes] = set()
    for one in sorted(fresh & infos.keys()):
        ids = _row_ids(datasets, infos[one])
        if ids is not None:
            rows |= ids
        if ids is None:
            try:
                purged |= set(datasets.commitments(infos[one].row_set.digest))
            except NotFound:
                found.unknown.add(f"{name}@{one}")
        if ids is None or ids:
            versions.add(one)
    for one, info in infos.items():
        ids = _row_ids(datasets, info) or set()
        same = {row for row in ids if row in rows or (purged and datasets.commitment(name, row) in purged)}
        if same:
            rows |= same
            versions.add(one)
    committed |= purged | {datasets.commitment(name, row) for row in rows}


def _row_ids(datasets: Datasets, info: DatasetVersionInfo) -> set[int] | None:
    """The row ids of a version; ``None`` where they are purged, or a landing file holds another state by now."""
    if info.gone:
        return None
    try:
        return set(datasets.row_ids(info.dataset, info.version))
    except Gone:
        return None


def own_descendants(graph: GraphStore, datasets: Datasets, namespace: str, versions: Versions) -> dict[str, set[str]]:
    """The versions of registered datasets downstream of these, as events show, without those that only a purge leads to.

    A version that no event names counts as every version of its dataset.

    Raises:
        Incomplete: more lies downstream than is walked.
    """
    starts = [keys.version_key(namespace, name, version) for name, listed in versions.items() for version in sorted(listed)]
    starts = [key for key in starts if graph.node(key) is not None]
    if not starts:
        return {}
    whole = graph.closure(starts, Direction.DOWN)
    if whole.truncated:
        raise Incomplete(f"more than {len(whole.nodes)} things descend from it: lineage was not walked whole", hint="govern lineage status")
    nodes = {node.key: node for node in whole.nodes}
    skipped = _purges(graph, [node.key for node in whole.nodes if node.label == "Run"], namespace)
    following: dict[str, list[str]] = {}
    for edge in whole.edges:
        following.setdefault(edge.source, []).append(edge.target)
    seen, waiting = set(starts), list(starts)
    while waiting:
        fresh = [key for key in following.get(waiting.pop(), ()) if key in nodes and key not in seen and key not in skipped]
        seen.update(fresh)
        waiting += fresh
    found: dict[str, set[str]] = {}
    registered = set(datasets.names())
    for node in (nodes[key] for key in seen if key in nodes):
        name = str(node.props.get("name"))
        if node.label == "DatasetVersion" and node.props.get("namespace") == namespace and name in registered:
            version = node.props.get("version")
            found.setdefault(name, set()).update({str(version)} if version is not None else _all(datasets, name))
    return found


def _all(datasets: Datasets, name: str) -> set[str]:
    return {info.version for info in datasets.infos(name)}


def _purges(graph: GraphStore, runs: Sequence[str], namespace: str) -> set[str]:
    """Which of these runs are purges of ours."""
    if not runs:
        return set()
    beside = graph.neighbours(runs, ["INSTANCE_OF"])
    jobs = {
        node.key
        for node in beside.nodes
        if node.label == "JobVersion" and node.props.get("namespace") == namespace and str(node.props.get("name")).startswith(_PURGE)
    }
    return {edge.source for edge in beside.edges if edge.target in jobs}
