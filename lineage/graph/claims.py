"""Claims: what each owner says the graph holds. An element is a deterministic merge of the claims on it, and gone with the last.

Three ways to claim, so that a node with a hundred thousand readers is merged without reading them all:

* **base**: the element exists, with properties that follow from its key alone; every base claim says the same, the one with
  the smallest witness is read;
* **rich**: more properties of a node, from the few owners that know them; merged in order, the later overrides;
* **sole**: an edge whose key holds its only owner.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from lineage.graph.keys import edge_key
from lineage.graph.state import dump, load, parse
from lineage.model import Edge, Json, Node
from lineage.ports import FoldState

__all__ = ["Claims", "element", "replace_claims", "tellers"]

_Body = dict[str, Json]


class Claims:
    """The claims of one owner, collected while its facts are read."""

    def __init__(self, owner: str) -> None:
        self.owner = owner
        self.found: dict[str, _Body] = {}

    def node(self, key: str, label: str, **props: Json) -> str:
        """Base claim on a node; returns its key."""
        self.found[f"N/{key}/0/{self.owner}"] = {"label": label, "props": props}
        return key

    def tell(self, key: str, order: str, props: Mapping[str, Json]) -> None:
        """Rich claim on a node; ``order`` decides who overrides whom."""
        self.found[f"N/{key}/1/{order}/{self.owner}"] = {"props": dict(props)}

    def link(self, kind: str, source: str, target: str, *, witness: str) -> None:
        """Base claim on a relationship that is structure: no time of its own, never walked."""
        body = {"type": kind, "source": source, "target": target}
        self.found[f"E/{edge_key(kind, source, target)}/0/{witness}/{self.owner}"] = body

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
        """Sole claim on a relationship; ``more`` are the further parts of its natural key."""
        shown = {name: value for name, value in props.items() if value is not None}
        self.found[f"S/{edge_key(kind, source, target, *more)}"] = {
            "type": kind,
            "source": source,
            "target": target,
            "props": shown,
            "walk": walk,
            "witness": witness,
            "from": since or 0,
            "to": until,
        }


def replace_claims(state: FoldState, claims: Claims) -> tuple[dict[str, _Body | None], set[str]]:
    """Put the owner's claims in the place of its former ones.

    Returns:
        the sole edges that changed (key → new body, ``None`` = gone), and the ``N/<key>`` and ``E/<key>`` to merge anew.
    """
    before = load(state, f"own/{claims.owner}") or {}
    after = {}
    sole: dict[str, _Body | None] = {}
    touched: set[str] = set()
    for name, body in claims.found.items():
        raw = dump(body)
        after[name] = hashlib.blake2b(raw, digest_size=9).hexdigest()
        if before.get(name) == after[name]:
            continue
        if name.startswith("S/"):
            sole[name[2:]] = body
        else:
            state.put("c/" + name, raw)
            touched.add(_element_of(name))
    for name in before.keys() - after.keys():
        if name.startswith("S/"):
            sole[name[2:]] = None
        else:
            state.delete("c/" + name)
            touched.add(_element_of(name))
    if after != before:
        if after:
            state.put(f"own/{claims.owner}", dump(after))
        else:
            state.delete(f"own/{claims.owner}")
    return sole, touched


def element(state: FoldState, name: str, recorded_at: int) -> Node | Edge | None:
    """The element ``N/<key>`` or ``E/<key>`` as the claims on it say; ``None`` when no base claim is left."""
    kind, key = name.split("/", 1)
    first = state.between(f"c/{name}/0/", f"c/{name}/00", limit=1)
    if not first:
        return None
    base = parse(first[0][1])
    if kind == "E":
        witness = first[0][0][len(f"c/{name}/0/") :].split("/", 1)[0]
        return edge_of(key, {**base, "props": {}, "walk": False, "witness": witness, "from": 0, "to": None}, recorded_at)
    props = dict(base["props"])
    for _, raw in state.scan(f"c/{name}/1/"):
        for prop, value in parse(raw)["props"].items():
            several = prop == "facets_digest" and prop in props
            props[prop] = _both(props[prop], value) if several else value
    return Node(key=key, label=base["label"], props=props)


def tellers(state: FoldState, key: str) -> list[str]:
    """The owners that tell more of the node ``key`` than that it is there, in the order in which what they say is merged."""
    prefix = f"c/N/{key}/1/"
    orders = [found[len(prefix) :].split("/") for found, _ in state.scan(prefix)]
    return ["/".join(order[_owner_at(order) :]) for order in orders]


def _both(first: str, second: str) -> str:
    """One digest of the facets that two owners say."""
    return "sha256:" + hashlib.sha256(f"{first} {second}".encode("ascii")).hexdigest()


def _owner_at(order: list[str]) -> int:
    """Where the owner begins: its kind follows the order, which holds numbers only."""
    return next(at for at, part in enumerate(order) if part in {"run", "job", "ds"})


def edge_of(key: str, body: _Body, recorded_at: int) -> Edge:
    """The edge of a claim's body."""
    return Edge(
        key=key,
        type=body["type"],
        source=body["source"],
        target=body["target"],
        props=body["props"],
        walk=body["walk"],
        witness=body["witness"],
        valid_from=body["from"],
        valid_to=body["to"],
        recorded_at=recorded_at,
    )


def _element_of(name: str) -> str:
    kind, key, _ = name.split("/", 2)
    return f"{kind}/{key}"
