"""How a property lies in Neo4j: plain values as they are, so that a person can ask for them in Cypher; all else as JSON in ``more``.

Plain are booleans, 64-bit integers, finite numbers, texts and lists of texts. ``more`` holds maps, nulls, mixed lists, larger
integers, texts that are no valid Unicode or too long for an index, and properties whose name is ours or no identifier. What is read
back is exactly what was written. A text in ``more`` also stands beside it in a form that can be searched (cut, repaired); ``more`` is
what counts as long as the two agree.
"""

from __future__ import annotations

import functools
import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from lineage.model import Edge, Json, Node

__all__ = ["GONE", "LINEAGE", "META", "RETIRED", "edge_of", "edge_row", "is_short", "node_of", "node_row"]

LINEAGE = "Lineage"
"""The label that every node carries beside its own: the one under which keys are unique."""
GONE = "Gone"
"""The second label of a node that is no more; it stays for questions about what was known."""
META = "GovernGraph"
"""The label of the one node that says whose graph this is and how far it is."""
RETIRED = "RETIRED"
"""The type of a relationship that was replaced or taken back; ``was`` holds its type and ``retracted_at`` when."""

_NODE_OWN = frozenset({"key", "recorded_at", "was", "more"})
_EDGE_OWN = frozenset({"key", "walk", "witness", "valid_from", "valid_to", "recorded_at", "retracted_at", "was", "more"})
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_LONGEST = 2000
_LONGEST_NAME = 900
"""Characters: an index of Neo4j takes 8 kB a key, of several properties together, and a character is 4 bytes at most."""
_INT64 = range(-(2**63), 2**63)


def node_row(node: Node) -> dict[str, Any]:
    """The properties of a node as Neo4j keeps them, without the time it was first known."""
    return _encoded(node.props, _NODE_OWN, {"key": node.key})


def edge_row(edge: Edge) -> dict[str, Any]:
    """The properties of a relationship as Neo4j keeps them."""
    own = {
        "key": edge.key,
        "walk": edge.walk,
        "witness": edge.witness,
        "valid_from": edge.valid_from,
        "recorded_at": edge.recorded_at,
    }
    if edge.valid_to is not None:
        own["valid_to"] = edge.valid_to
    return _encoded(edge.props, _EDGE_OWN, own)


def node_of(labels: Iterable[str], found: dict[str, Any]) -> Node:
    """The node of what Neo4j holds; one that was changed by another hand comes out changed, never as it was."""
    own = [label for label in labels if label not in {LINEAGE, GONE}]
    label = ":".join(sorted(own)) if own else str(found.pop("was", ""))
    recorded_at, key = found.pop("recorded_at", 0), found.pop("key", "")
    return Node(key=key, label=label, props=_decoded(found), recorded_at=recorded_at)


def edge_of(kind: str, source: str, target: str, found: dict[str, Any]) -> Edge:
    """The edge of what Neo4j holds."""
    key = found.pop("key", "")
    if kind == RETIRED:
        kind, key = found.pop("was", ""), str(key).rsplit("@", 1)[0]
        del found["retracted_at"]
    walk, witness = found.pop("walk", None), found.pop("witness", None)
    valid_from, valid_to, recorded_at = found.pop("valid_from", None), found.pop("valid_to", None), found.pop("recorded_at", 0)
    return Edge(
        key=key,
        type=kind,
        source=source,
        target=target,
        props=_decoded(found),
        walk=walk,
        witness=witness,
        valid_from=valid_from,
        valid_to=valid_to,
        recorded_at=recorded_at,
    )


def _encoded(props: Mapping[str, Json], own: frozenset[str], row: dict[str, Any]) -> dict[str, Any]:
    more: dict[str, Json] = {}
    for name, value in props.items():
        if name in own or not _identifier(name):
            more[name] = value
        elif _plain(name, value):
            row[name] = value
        else:
            more[name] = value
            if isinstance(value, str):
                row[name] = _searchable(name, value)
    if more:
        row["more"] = json.dumps(more, sort_keys=True, separators=(",", ":"))
    return row


@functools.lru_cache(maxsize=4096)
def _identifier(name: str) -> bool:
    """A name that may stand in Cypher as it is; the fold writes a few dozen names, a million times."""
    return _NAME.fullmatch(name) is not None


def _plain(name: str, value: Json) -> bool:
    kind = type(value)
    if kind is str:
        return len(value) <= _longest(name) and (value.isascii() or _unicode(value))
    if kind is bool:
        return True
    if kind is int:
        return value in _INT64
    if kind is float:
        return math.isfinite(value)
    return kind is list and all(type(item) is str and (item.isascii() or _unicode(item)) for item in value)


def is_short(text: str) -> bool:
    """A text that always lies in Neo4j as it is, whatever property it is."""
    return len(text) <= _LONGEST_NAME and _unicode(text)


def _unicode(text: str) -> bool:
    """No half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _longest(name: str) -> int:
    return _LONGEST_NAME if name in {"namespace", "name"} else _LONGEST


def _searchable(name: str, text: str) -> str:
    return text[: _longest(name)].encode("utf-8", "replace").decode()


def _decoded(found: dict[str, Any]) -> dict[str, Json]:
    raw = found.pop("more", None)
    if raw is None:
        return found
    try:
        more = dict(json.loads(raw))
    except (TypeError, ValueError):
        return found | {"more": raw}
    for name, value in more.items():
        beside = found.get(name)
        if beside is None or (isinstance(value, str) and beside == _searchable(name, value)):
            found[name] = value
    return found
