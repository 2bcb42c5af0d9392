"""How the graph lies in the SQLite file, and how its keys, names and properties are written there.

Nodes have numbers, and edges join numbers: what is walked together lies together, whatever the hash in its key. Two indexes hold
all that a walk asks for, one for each way. There is no index of edges by key: it would be the largest, and written in random
order. An edge is found by its ends.

A key ``<kind>:<64 hex digits>`` is kept as the kind, a colon and 32 bytes (as BLOB), any other as it is (as TEXT); of an edge whose
kind is its type in lower case only the 32 bytes. Namespace and name of a node are columns, its other properties JSON.
"""

from __future__ import annotations

import functools
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import orjson

from lineage.graph.elements import make_edge, make_node
from lineage.model import Edge, Json, Node

__all__ = [
    "EDGE",
    "EMPTY",
    "NODE",
    "SCHEMA",
    "VERSION",
    "Row",
    "begin_anew",
    "edges_of",
    "kept_edges",
    "node_of",
    "pack",
    "pack_edge",
    "pack_hash",
    "pack_props",
    "unpack",
    "version_of",
]

Row = tuple[Any, ...]

VERSION = 2
"""Schema version. A file with a greater one is refused; one with a smaller one is emptied, and the ledger is projected again."""

SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE types (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE kinds (label TEXT, kind TEXT, PRIMARY KEY (label, kind)) WITHOUT ROWID;
CREATE TABLE nodes (
  id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, label TEXT NOT NULL, namespace TEXT, name TEXT,
  props TEXT NOT NULL, recorded_at INTEGER NOT NULL, gone INTEGER NOT NULL DEFAULT 0);
CREATE INDEX nodes_listed ON nodes(label, namespace, name, gone);
CREATE TABLE edges (
  id INTEGER PRIMARY KEY, key BLOB NOT NULL, type INTEGER NOT NULL, source INTEGER NOT NULL, target INTEGER NOT NULL,
  props TEXT NOT NULL, walk INTEGER NOT NULL, witness BLOB NOT NULL, valid_from INTEGER NOT NULL, valid_to INTEGER,
  recorded_at INTEGER NOT NULL, retracted_at INTEGER);
CREATE INDEX edges_out ON edges(source, type, target, walk, valid_from, valid_to, retracted_at);
CREATE INDEX edges_in ON edges(target, type, source, walk, valid_from, valid_to, retracted_at);
"""

NODE = "n.id, n.key, n.label, n.namespace, n.name, n.props, n.recorded_at"
EDGE = "e.key, e.type, e.source, e.target, e.props, e.walk, e.witness, e.valid_from, e.valid_to, e.recorded_at"

EMPTY = "{}"
"""No properties."""


def pack_hash(text: str) -> bytes | str:
    """32 bytes for 64 hexadecimal digits, any other text as it is."""
    if len(text) != 64:
        return text
    try:
        raw = bytes.fromhex(text)
    except ValueError:
        return text
    return raw if raw.hex() == text else text


def pack(key: str) -> bytes | str:
    """A node's key as it is kept.

    >>> unpack(pack("run:" + "ab" * 32)) == "run:" + "ab" * 32, unpack(pack("n:1")), len(pack("run:" + "ab" * 32))
    (True, 'n:1', 36)
    """
    kind, _, text = key.partition(":")
    raw = pack_hash(text)
    return key if isinstance(raw, str) else kind.encode() + b":" + raw


def unpack(kept: bytes | str) -> str:
    """The key that :func:`pack` wrote."""
    return kept if isinstance(kept, str) else _KINDS[kept[:-32]] + kept[-32:].hex()


class _Kinds(dict[bytes, str]):
    """What stands before the hash in a key, read once for each kind."""

    def __missing__(self, raw: bytes) -> str:
        self[raw] = kind = raw.decode()
        return kind


_KINDS = _Kinds()


def pack_edge(key: str, kind: str) -> bytes | str:
    """An edge's key as it is kept beside its type."""
    if key[-65:-64] != ":" or key[:-65] != _lower(kind):
        return key
    raw = pack_hash(key[-64:])
    return key if isinstance(raw, str) else raw


@functools.lru_cache(maxsize=256)
def _lower(kind: str) -> str:
    return kind.lower()


def pack_props(props: Mapping[str, Json]) -> str:
    """Properties as sorted JSON."""
    if not props:
        return EMPTY
    try:
        return orjson.dumps(props, option=orjson.OPT_SORT_KEYS).decode()
    except TypeError:  # an integer beyond 64 bits, or half of a surrogate pair
        return json.dumps(dict(props), sort_keys=True, separators=(",", ":"))


def node_of(row: Row) -> Node:
    """The node of a row of :data:`NODE`."""
    _, key, label, namespace, name, props, recorded_at = row
    found = _props(props)
    if namespace is not None:
        found["namespace"] = namespace
    if name is not None:
        found["name"] = name
    return make_node(unpack(key), label, found, recorded_at)


def edges_of(rows: Iterable[Row], keys: Mapping[int, str], types: Mapping[int, str]) -> Iterator[Edge]:
    """The edges of rows of :data:`EDGE`; ``keys`` are those of their ends, ``types`` the names of all types.

    Most edges of a graph have the same few properties and witnesses: each text is read once.
    """
    kinds = {ident: (name, f"{name.lower()}:") for ident, name in types.items()}
    read: dict[str, dict[str, Json]] = {}
    for key, type_id, source, target, text, walk, witness, valid_from, valid_to, recorded_at in rows:
        kind, prefix = kinds[type_id]
        props = read.get(text)
        if props is None:
            props = read[text] = _props(text)
        yield make_edge(
            key if isinstance(key, str) else prefix + key.hex(),
            kind,
            keys[source],
            keys[target],
            props,
            walk != 0,
            witness if isinstance(witness, str) else witness.hex(),
            valid_from,
            valid_to,
            recorded_at,
        )


def kept_edges(where: str) -> str:
    """The query for rows of :data:`EDGE`, when each was retracted, and the kept keys of its source and target, in order of number."""
    ends = "JOIN nodes s ON s.id = e.source JOIN nodes t ON t.id = e.target"
    return f"SELECT {EDGE}, e.retracted_at, s.key, t.key FROM edges e CROSS {ends} WHERE {where} ORDER BY e.id"  # noqa: S608 - constants


def _props(text: str) -> dict[str, Json]:
    try:
        found: dict[str, Json] = orjson.loads(text)
    except orjson.JSONDecodeError:  # half of a surrogate pair
        found = json.loads(text)
    return found


def version_of(connection: sqlite3.Connection) -> int:
    """The schema version of a file; 0 when it is new."""
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone():
        return 0
    row = connection.execute("SELECT value FROM meta WHERE name = 'version'").fetchone()
    return int(row[0]) if row else 0


def begin_anew(connection: sqlite3.Connection) -> None:
    """Make the tables of this version, empty, in the place of all others."""
    connection.execute("BEGIN IMMEDIATE")
    for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'").fetchall():
        connection.execute(f'DROP TABLE "{table}"')
    for statement in filter(str.strip, SCHEMA.split(";")):
        connection.execute(statement)
    connection.execute("INSERT INTO meta VALUES ('version', ?), ('position', 0)", (VERSION,))
    connection.execute("COMMIT")
