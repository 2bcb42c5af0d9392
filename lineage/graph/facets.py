"""The bodies of the facets behind a node: they stay in the fold's facts, and the graph holds what queries need of them.

A node's facets are those of the owners that tell of it, in the order in which their claims are merged: a later one overrides by
name. A body that was too large for the facts is read from where it is kept apart; where that was removed, its digest and size stay.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from lineage.graph.claims import tellers
from lineage.graph.context import Context, Identity
from lineage.graph.facts import Facts, stated, visible
from lineage.graph.keys import canonical, job_key, run_key
from lineage.graph.meaning import versions_written
from lineage.graph.state import load, parse
from lineage.model import Json
from lineage.ports import FoldState

__all__ = ["facets_of"]


def facets_of(state: FoldState, key: str) -> dict[str, Json]:
    """The visible facets of the node ``key`` by name; empty where there are none, or no such node."""
    context = Context(state)
    found: dict[str, Json] = {}
    for owner in tellers(state, key):
        for part in _parts(state, context, owner, key):
            found.update(part)
    return {name: _whole(state, found[name]) for name in sorted(found)}


def _whole(state: FoldState, body: Json) -> Json:
    """The body itself where the facts only refer to it."""
    kept = body.get("_spilled") if isinstance(body, dict) else None
    raw = state.get(f"blob/{kept['sha256']}") if isinstance(kept, dict) and isinstance(kept.get("sha256"), str) else None
    return body if raw is None else parse(raw)


def _parts(state: FoldState, context: Context, owner: str, key: str) -> Iterator[Mapping[str, Json]]:
    """What one owner says of the node."""
    facts = load(state, owner)
    if owner.startswith("run/") and facts is not None:
        if key == run_key(facts["id"]):
            yield stated(facts["f"])
            return
        for output in _outputs(facts, context, key):
            yield visible(output["f"])
            yield stated(output["io"])
    elif owner.startswith("job/") and facts is not None:
        if key == job_key(*facts["n"]):
            yield visible(facts["f"])
    elif owner.startswith("ds/"):
        said = facts or load(state, "sym/" + owner[3:])  # the name it goes by may be one of which only a link speaks
        if said is None:
            return
        identity = context.identity(said["n"])
        known = [one for one in (load(state, member) for member in identity.owners()) if one is not None]
        if key == identity.key:
            yield visible(_newest(known))
            return
        for version in {version for one in known for version in one["v"] if identity.version_key(version) == key}:
            for one in known:
                yield visible(one["v"].get(version, {"f": {}})["f"])


def _outputs(facts: Facts, context: Context, key: str) -> Iterator[Facts]:
    """The run's outputs that are the version ``key``, in the order in which their names are joined."""
    parts: dict[str, list[tuple[Identity, Facts]]] = {}
    for _, output in sorted(facts["out"].items()):
        identity = context.identity(output["n"])
        parts.setdefault(identity.key, []).append((identity, output))
    for outputs in parts.values():
        identity = outputs[0][0]
        stated = sorted({version for _, output in outputs for version in output["v"]})
        if key in map(identity.version_key, stated or versions_written(facts, outputs[0][1])):
            yield from (output for _, output in outputs)


def _newest(known: list[Facts]) -> Facts:
    """Of each facet the newest cell among all names of a dataset."""
    cells: Facts = {}
    for facts in known:
        for name, cell in facts["f"].items():
            old = cells.get(name)
            cells[name] = cell if old is None or (old[:2], canonical(old[2])) < (cell[:2], canonical(cell[2])) else old
    return cells
