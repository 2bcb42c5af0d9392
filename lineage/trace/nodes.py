"""Find nodes by a part of their name, in pages whose cursor names the last one seen, so that what is new never shifts a page."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence

import orjson

from lineage.errors import BadInput
from lineage.graph.keys import run_key
from lineage.model import Node
from lineage.ports import GraphStore

__all__ = ["LABELS", "exact", "find_nodes"]

LABELS = ("Model", "Dataset", "Job", "DatasetAlias", "Deployment", "Field")
"""Labels that are searched by name, in the order of an answer that asks for all."""

_DIGESTS = {"RowSet": "digest", "ParamSet": "digest", "CodeRevision": "version"}
"""Labels found by the whole of a digest or a revision."""


def exact(store: GraphStore, text: str) -> list[Node]:
    """What bears this very identifier: a run by its id, row sets and parameters by their digest, code by its revision."""
    run = store.node(run_key(text))
    found = [run] if run is not None else []
    if len(text) >= 7:
        for label, prop in _DIGESTS.items():
            found += store.find(label, {prop: text}, limit=20)
    return found


def find_nodes(
    store: GraphStore,
    text: str | None = None,
    *,
    labels: Sequence[str] = LABELS,
    namespace: str | None = None,
    limit: int = 100,
    cursor: str | None = None,
) -> tuple[list[Node], str | None, int]:
    """(nodes by label and then by (namespace, name, key), cursor of the next page or ``None``, how many there are in all).

    Raises:
        BadInput: the cursor is not one of ours.
    """
    at, offset, last = _read(cursor, labels) if cursor else (0, 0, None)
    found: list[Node] = []
    totals = [store.page(label, namespace=namespace, text=text, limit=1)[1] for label in labels]
    while at < len(labels) and len(found) < limit:
        if last is not None:
            offset = _after(store, labels[at], namespace, text, (offset, last, totals[at]))
        nodes, _ = store.page(labels[at], namespace=namespace, text=text, limit=limit - len(found), offset=offset)
        found += nodes
        offset, last = offset + len(nodes), None
        if offset >= totals[at] or not nodes:
            at, offset = at + 1, 0
    if at >= len(labels) or totals[at] - offset + sum(totals[at + 1 :]) <= 0:
        return found, None, sum(totals)
    return found, _write(labels[at], offset, _place(found[-1]) if offset and found else None), sum(totals)


def _place(node: Node) -> tuple[str, str, str]:
    return str(node.props.get("namespace") or ""), str(node.props.get("name") or ""), node.key


def _after(store: GraphStore, label: str, namespace: str | None, text: str | None, seen: tuple[int, tuple[str, str, str], int]) -> int:
    """The offset of the first node after the last one seen: where it was, else by halving, for nodes came or went before it."""
    offset, last, total = seen

    def at(place: int) -> tuple[str, str, str] | None:
        nodes, _ = store.page(label, namespace=namespace, text=text, limit=1, offset=place)
        return _place(nodes[0]) if nodes else None

    if offset and at(offset - 1) == last:
        return offset
    low, high = 0, total
    while low < high:
        middle = (low + high) // 2
        there = at(middle)
        if there is None or there > last:
            high = middle
        else:
            low = middle + 1
    return low


def _write(label: str, offset: int, last: tuple[str, str, str] | None) -> str:
    return base64.urlsafe_b64encode(orjson.dumps([label, offset, last])).decode().rstrip("=")


def _read(cursor: str, labels: Sequence[str]) -> tuple[int, int, tuple[str, str, str] | None]:
    try:
        label, offset, last = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (binascii.Error, ValueError, TypeError):
        label, offset, last = None, -1, None
    whole = isinstance(offset, int) and not isinstance(offset, bool) and 0 <= offset < 2**53
    placed = last is None or (isinstance(last, list) and len(last) == 3 and all(isinstance(part, str) for part in last))
    if label not in labels or not whole or not placed:
        raise BadInput("the cursor cannot be read", hint="pass `next` of the page before, with the same text and label")
    return labels.index(label), offset, None if last is None else (last[0], last[1], last[2])
