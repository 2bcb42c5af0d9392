"""Claims: what each owner says the graph holds. An element is a deterministic merge of the claims on it, and gone with the last.

Four ways to claim, so that an element with a hundred thousand claimants is kept without reading them all:

* **node**: it exists, with properties that follow from its key (and from nothing that two claimants could see differently), so
  claims need only be counted;
* **tell**: more properties of a node, from the few owners that know them; merged in order, the later overrides;
* **link**: a relationship that is structure: counted, and its smallest witnesses are kept;
* **edge**: a relationship whose key holds its only owner.

==================  =====================================================================================================
``own/<owner>``     ``[{node key: label}, {"node key order": digest}, {link key: witness}, {edge key: [digest, source, target]}]``
``n/<node key>``    ``[claims, label, properties, {"order/owner": what it tells}]``
``l/<link key>``    ``[claims, ["witness/owner", …] in order, type, source, target]``, the smallest :data:`KEPT` of them
``w/<link key>/…``  a further claim on the link: ``<witness>/<owner>``
==================  =====================================================================================================
"""

from __future__ import annotations

import bisect
import hashlib
from collections.abc import Mapping
from typing import Any

from lineage.graph.elements import make_edge, make_node
from lineage.graph.keys import edge_key
from lineage.graph.state import dump
from lineage.model import GraphDelta, Json
from lineage.ports import FoldState

__all__ = ["KEPT", "Changes", "Claims", "tellers"]

KEPT = 4
"""Claims on a link that are kept in its own row; most links have no more than this."""
_WITNESS = 64
"""Characters of a witness: a SHA-256 in hexadecimal digits."""

_NOTHING: tuple[dict[str, Any], ...] = ({}, {}, {}, {})
_Body = tuple[str, str, str, dict[str, Json], bool, str, int, int | None]
"""Type, source, target, properties, walk, witness, valid from, valid to."""


class Claims:
    """The claims of one owner, collected while its facts are read."""

    __slots__ = ("edges", "links", "nodes", "owner", "told")

    def __init__(self, owner: str) -> None:
        self.owner = owner
        self.nodes: dict[str, tuple[str, dict[str, Json]]] = {}
        self.told: dict[tuple[str, str], dict[str, Json]] = {}
        self.links: dict[str, tuple[str, str, str, str]] = {}
        self.edges: dict[str, _Body] = {}

    def node(self, key: str, label: str, **props: Json) -> str:
        """Claim that a node exists; returns its key."""
        self.nodes[key] = (label, props)
        return key

    def tell(self, key: str, order: str, props: Mapping[str, Json]) -> None:
        """Say more of a node that is claimed too; ``order`` decides who overrides whom."""
        self.told[key, order] = dict(props)

    def link(self, kind: str, source: str, target: str, *, witness: str) -> None:
        """Claim a relationship that is structure: no time of its own, never walked."""
        key = edge_key(kind, source, target)
        known = self.links.get(key)
        if known is None or witness < known[3]:
            self.links[key] = (kind, source, target, witness)

    def edge(
        self,
        kind: str,
        source: str,
        target: str,
        *,
        witness: str,
        walk: bool = False,
        since: int | None = None,
        until: int | None = None,
        more: tuple[Json, ...] = (),
        **props: Json,
    ) -> None:
        """Claim a relationship as its only owner; ``more`` are the further parts of its natural key."""
        shown = {name: value for name, value in props.items() if value is not None}
        self.edges[edge_key(kind, source, target, *more)] = (kind, source, target, shown, walk, witness, since or 0, until)


class Changes:
    """What the claims of some owners change in the graph, when they are put in the place of their former ones.

    Args:
        state: where claims are kept.
        recorded_at: when Govern learned of it.
    """

    def __init__(self, state: FoldState, recorded_at: int) -> None:
        self._state = state
        self._at = recorded_at
        self._nodes: dict[str, bool] = {}  # nodes to be merged anew, and whether they were there before
        self._links: dict[str, tuple[str | None, tuple[str, str]]] = {}  # links to be looked at: witness before, ends
        self._edges: dict[str, _Body] = {}
        self._ended: dict[str, tuple[str, str]] = {}
        self._fresh: set[str] = set()

    def replace(self, claims: Claims) -> bool:
        """Put the owner's claims in the place of its former ones; returns whether they are others."""
        state, place = self._state, f"own/{claims.owner}"
        before = state.load(place) or _NOTHING
        state.preload([f"n/{key}" for key in claims.nodes if key not in before[0]] + [f"l/{key}" for key in claims.links])
        nodes = self._count(before[0], claims)
        told = self._tell(before[1], claims)
        for key in before[0].keys() - nodes.keys():
            self._uncount(key)
        now = [nodes, told, self._link(before[2], claims), self._claim(before[3], before[0], claims)]
        if now == [*before]:
            return False
        if any(now):
            state.store(place, now)
        else:
            state.delete(place)
        return True

    def delta(self) -> GraphDelta:
        """All that changed, as the claims say now."""
        nodes, gone, at = [], [], self._at
        for key, known in sorted(self._nodes.items()):
            row = self._state.load(f"n/{key}")
            if row is not None:
                nodes.append(make_node(key, row[1], _merged(row[2], row[3]), 0))
            elif known:
                gone.append(key)
        bodies, ended = self._edges, self._ended
        for key, (witness, ends) in self._links.items():
            row = self._state.load(f"l/{key}")
            if row is None:
                if witness is not None:
                    ended[key] = ends
            elif row[1][0][:_WITNESS] != witness:
                bodies[key] = (row[2], row[3], row[4], {}, False, row[1][0][:_WITNESS], 0, None)
                if witness is None:
                    self._fresh.add(key)
        return GraphDelta(
            nodes=tuple(nodes),
            edges=tuple([make_edge(key, *bodies[key], at) for key in sorted(bodies)]),
            fresh=frozenset(self._fresh),
            removed_nodes=tuple(gone),
            removed_edges=tuple(sorted(ended)),
            removed_ends=tuple(ended[key] for key in sorted(ended)),
            recorded_at=at,
        )

    # ── nodes ───────────────────────────────────────────────────────────────────────────────
    def _count(self, before: dict[str, str], claims: Claims) -> dict[str, str]:
        state, now = self._state, {}
        for key, (label, props) in claims.nodes.items():
            now[key] = label
            said = before.get(key)
            if said == label:
                continue
            place = f"n/{key}"
            row = state.load(place)
            if row is None:
                row = [0, label, props, {}]
                self._nodes.setdefault(key, False)
            elif row[1] != label:
                self._nodes.setdefault(key, True)
                row[1], row[2] = label, props
            if said is None:
                row[0] += 1
            state.store(place, row)
        return now

    def _uncount(self, key: str) -> None:
        row = self._state.load(f"n/{key}")
        row[0] -= 1
        if row[0]:
            self._state.store(f"n/{key}", row)
        else:
            self._nodes.setdefault(key, True)
            self._state.delete(f"n/{key}")

    def _tell(self, before: dict[str, str], claims: Claims) -> dict[str, str]:
        state, owner, now = self._state, claims.owner, {}
        for (key, order), props in claims.told.items():
            if key not in claims.nodes:
                raise ValueError(f"{owner} tells of {key}, which it does not claim")
            name = f"{key} {order}"
            now[name] = _digest(props)
            if before.get(name) != now[name]:
                row = state.load(f"n/{key}")
                row[3][f"{order}/{owner}"] = props
                state.store(f"n/{key}", row)
                self._nodes.setdefault(key, True)
        for name in before.keys() - now.keys():
            key, order = name.split(" ", 1)
            row = state.load(f"n/{key}")
            del row[3][f"{order}/{owner}"]
            state.store(f"n/{key}", row)
            self._nodes.setdefault(key, True)
        return now

    # ── relationships ───────────────────────────────────────────────────────────────────────
    def _link(self, before: dict[str, str], claims: Claims) -> dict[str, str]:
        state, owner, now = self._state, claims.owner, {}
        for key, (kind, source, target, witness) in claims.links.items():
            now[key] = witness
            said = before.get(key)
            if said == witness:
                continue
            place = f"l/{key}"
            row = state.load(place) or [0, [], kind, source, target]
            self._look(key, row)
            self._add(key, row, f"{witness}/{owner}")
            if said is not None:
                self._remove(key, row, f"{said}/{owner}")
            state.store(place, row)
        for key in before.keys() - now.keys():
            row = state.load(f"l/{key}")
            self._look(key, row)
            self._remove(key, row, f"{before[key]}/{owner}")
            if row[0]:
                state.store(f"l/{key}", row)
            else:
                state.delete(f"l/{key}")
        return now

    def _look(self, key: str, row: list[Any]) -> None:
        if key not in self._links:
            self._links[key] = (row[1][0][:_WITNESS] if row[1] else None, (row[3], row[4]))

    def _add(self, key: str, row: list[Any], claim: str) -> None:
        """One claim more: the smallest stay in the row."""
        kept = row[1]
        if len(kept) == row[0] < KEPT:
            bisect.insort(kept, claim)
        elif claim < kept[-1]:
            bisect.insort(kept, claim)
            self._state.put(f"w/{key}/{kept.pop()}", b"")
        else:
            self._state.put(f"w/{key}/{claim}", b"")
        row[0] += 1

    def _remove(self, key: str, row: list[Any], claim: str) -> None:
        """One claim less."""
        kept = row[1]
        row[0] -= 1
        if claim not in kept:
            self._state.delete(f"w/{key}/{claim}")
            return
        kept.remove(claim)
        if row[0] > len(kept):
            place = self._state.between(f"w/{key}/", f"w/{key}0", limit=1)[0][0]
            kept.append(place[len(f"w/{key}/") :])
            self._state.delete(place)

    def _claim(self, before: dict[str, list[Any]], nodes: Mapping[str, str], claims: Claims) -> dict[str, list[Any]]:
        """Edges of this owner alone; their ends are kept as places among its nodes."""
        places = {key: place for place, key in enumerate(claims.nodes)}
        now: dict[str, list[Any]] = {}
        for key, body in claims.edges.items():
            now[key] = said = [_digest(body[3:]), places.get(body[1], body[1]), places.get(body[2], body[2])]
            known = before.get(key)
            if known is None or known[0] != said[0]:
                self._edges[key] = body
                if self._ended.pop(key, None) is None and known is None:
                    self._fresh.add(key)
        if before:
            order = [*nodes]
            for key in before.keys() - now.keys():
                if key not in self._edges:
                    source, target = (order[end] if isinstance(end, int) else end for end in before[key][1:])
                    self._ended[key] = (source, target)
                self._fresh.discard(key)
        return now


def tellers(state: FoldState, key: str) -> list[str]:
    """The owners that tell more of the node ``key`` than that it is there, in the order in which what they say is merged."""
    row = state.load(f"n/{key}")
    orders = [name.split("/") for name in sorted(row[3])] if row else []
    return ["/".join(order[_owner_at(order) :]) for order in orders]


def _owner_at(order: list[str]) -> int:
    """Where the owner begins: its kind follows the order, which holds numbers only."""
    return next(at for at, part in enumerate(order) if part in {"run", "job", "ds"})


def _merged(props: dict[str, Json], told: dict[str, dict[str, Json]]) -> dict[str, Json]:
    """The properties of a node: those that follow from its key, then what is told in order."""
    if len(told) == 1:
        (more,) = told.values()
        return {**props, **more}
    merged = dict(props)
    for _, more in sorted(told.items()):
        several = "facets_digest" in merged and "facets_digest" in more
        first = merged.get("facets_digest")
        merged.update(more)
        if several:
            merged["facets_digest"] = _both(str(first), str(more["facets_digest"]))
    return merged


def _both(first: str, second: str) -> str:
    """One digest of the facets that two owners say."""
    return "sha256:" + hashlib.sha256(f"{first} {second}".encode("ascii")).hexdigest()


def _digest(value: Json) -> str:
    return hashlib.blake2b(dump(value), digest_size=9).hexdigest()
