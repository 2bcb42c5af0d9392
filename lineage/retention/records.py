"""A snapshot as bytes: gzip over lines of JSON, written and read as a stream.

::

    {"fold":1,"format":1,"kind":"govern-lineage-snapshot"}
    ["s", key, value]                                      the fold's state, by key; a value that is no text is ["b", key, base64]
    ["n", key, label, props, recorded_at, gone]            every node, those that are gone too
    ["e", key, type, source, target, props, walk, witness, valid_from, valid_to, recorded_at, retracted_at]
                                                           every edge that was (retracted_at), then every edge that is (null)
    ["z", state, nodes, past edges, edges]                 how many of each there are

It is all of the projection and nothing else: no payload of an event is in it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from lineage.errors import StoreUnavailable, Tampered
from lineage.graph.digest import GraphDigest
from lineage.graph.elements import make_edge, make_node
from lineage.graph.state import VERSION, dump, parse
from lineage.model import Edge, Node
from lineage.ports import FoldState, GraphStore

__all__ = ["FORMAT", "KIND", "Record", "Tally", "packed", "records_of", "unpacked"]

FORMAT = 1
KIND = "govern-lineage-snapshot"
_PAGE = 1000
_CHUNK = 1 << 18
_LONGEST_LINE = 1 << 30
_END = "\U0010ffff"

Record = tuple[str, bytes] | tuple[Node, bool] | tuple[Edge, int | None]
"""A pair of the state; a node and whether it is gone; an edge and when it was retracted."""


@dataclass(slots=True)
class Tally:
    """What a stream of records comes to: counts, the digest of the graph that lives, one digest of all in its order."""

    state: int = 0
    nodes: int = 0
    past: int = 0
    edges: int = 0
    _graph: GraphDigest = field(default_factory=GraphDigest)
    _all: Any = field(default_factory=hashlib.sha256)

    def add(self, record: Record) -> None:
        """Take in the next record."""
        thing, beside = record
        if isinstance(thing, Node):
            self.nodes += 1
            said = self._graph.node(thing, live=not beside) + b"%d %a" % (thing.recorded_at, beside)
        elif isinstance(thing, Edge):
            self.past, self.edges = (self.past, self.edges + 1) if beside is None else (self.past + 1, self.edges)
            said = self._graph.edge(thing, live=beside is None) + b"%d %a" % (thing.recorded_at, beside)
        else:
            self.state += 1
            assert isinstance(beside, bytes)
            said = hashlib.sha256(thing.encode("utf-8", "surrogatepass")).digest() + hashlib.sha256(beside).digest()
        self._all.update(b"%d %b" % (len(said), said))

    def counts(self) -> dict[str, int]:
        """``{state, nodes, past_edges, edges}``."""
        return {"state": self.state, "nodes": self.nodes, "past_edges": self.past, "edges": self.edges}

    def said(self) -> dict[str, Any]:
        """What a manifest says of the content: ``{counts, graph_digest, content}``."""
        return {"counts": self.counts(), "graph_digest": self._graph.text(), "content": f"sha256:{self._all.hexdigest()}"}


def records_of(graph: GraphStore) -> Iterator[Record]:
    """Everything that the graph holds, its state first; it must not change meanwhile."""
    yield from _pairs(graph.state())
    yield from graph.kept_nodes()
    yield from graph.kept_edges()


def _pairs(state: FoldState) -> Iterator[tuple[str, bytes]]:
    low = ""
    while page := state.between(low, _END, limit=_PAGE):
        yield from page
        low = page[-1][0] + "\0"


def packed(records: Iterable[Record], tally: Tally) -> Iterator[bytes]:
    """The bytes of a snapshot, in pieces; ``tally`` is told each record as it came."""
    engine = zlib.compressobj(level=3, wbits=31)
    head = json.dumps({"format": FORMAT, "fold": VERSION, "kind": KIND}, sort_keys=True, separators=(",", ":"))
    waiting = [head.encode() + b"\n"]
    size = 0
    for record in records:
        tally.add(record)
        line = dump(_plain(record)) + b"\n"
        waiting.append(line)
        size += len(line)
        if size >= _CHUNK:
            yield engine.compress(b"".join(waiting))
            waiting, size = [], 0
    waiting.append(dump(["z", *tally.counts().values()]) + b"\n")
    yield engine.compress(b"".join(waiting)) + engine.flush()


def unpacked(pieces: Iterable[bytes]) -> Iterator[Record]:
    """The records of a snapshot.

    Raises:
        StoreUnavailable: it has a format or a version of the fold's state that this Govern does not read.
        Tampered: it is no snapshot, is cut off, or holds a line that is none of ours.
    """
    lines = _lines(pieces)
    _must_be_readable(next(lines, b""))
    met = {"s": 0, "n": 0, "past": 0, "e": 0}
    for line in lines:
        try:
            found = parse(line)
            tag = found[0]
            if tag == "z":
                whole = list(met.values()) == found[1:] and next(lines, None) is None
                break
            record = _record(tag, found)
        except (ValueError, LookupError, TypeError, binascii.Error) as error:
            raise Tampered(f"line {sum(met.values()) + 2} of the snapshot cannot be read: {type(error).__name__}") from error
        met["past" if tag == "e" and record[1] is not None else "s" if tag == "b" else tag] += 1
        yield record
    else:
        whole = False
    if not whole:
        raise Tampered("the snapshot does not hold what its last line says: it was cut off or changed")


def _plain(record: Record) -> list[Any]:
    thing, beside = record
    if isinstance(thing, Node):
        return ["n", thing.key, thing.label, dict(thing.props), thing.recorded_at, beside]
    if isinstance(thing, Edge):
        ends = [thing.key, thing.type, thing.source, thing.target, dict(thing.props), thing.walk, thing.witness]
        return ["e", *ends, thing.valid_from, thing.valid_to, thing.recorded_at, beside]
    assert isinstance(beside, bytes)
    try:
        return ["s", thing, beside.decode()]
    except UnicodeDecodeError:
        return ["b", thing, base64.b64encode(beside).decode()]


def _record(tag: str, found: list[Any]) -> Record:
    if tag == "s":
        return str(found[1]), found[2].encode()
    if tag == "n":
        _, key, label, props, recorded_at, gone = found
        return make_node(key, label, props, recorded_at), bool(gone)
    if tag == "e":
        _, key, kind, source, target, props, walk, witness, valid_from, valid_to, recorded_at, retracted_at = found
        return make_edge(key, kind, source, target, props, walk, witness, valid_from, valid_to, recorded_at), retracted_at
    if tag == "b":
        return str(found[1]), base64.b64decode(found[2], validate=True)
    raise ValueError(tag)


def _must_be_readable(line: bytes) -> None:
    try:
        head = json.loads(line)
        kind, versions = head["kind"], (head["format"], head["fold"])
    except (ValueError, LookupError, TypeError) as error:
        raise Tampered("it is no snapshot of a lineage graph: its first line cannot be read") from error
    if kind != KIND:
        raise Tampered("it is no snapshot of a lineage graph")
    if versions != (FORMAT, VERSION):
        raise StoreUnavailable(
            f"the snapshot has format {versions[0]} and state version {versions[1]}; this Govern reads {FORMAT} and {VERSION}",
            hint="install the release of govern-ml that wrote it",
        )


def _lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The lines of the gzip stream; bounded pieces are decompressed at a time."""
    engine = zlib.decompressobj(wbits=31)
    rest = b""
    try:
        for piece in pieces:
            while piece:
                *whole, rest = (rest + engine.decompress(piece, _CHUNK * 4)).split(b"\n")
                yield from whole
                if len(rest) > _LONGEST_LINE or engine.unused_data:
                    raise Tampered("the snapshot holds what no snapshot holds")
                piece = engine.unconsumed_tail  # noqa: PLW2901 - what is left of this piece
        *whole, rest = (rest + engine.flush()).split(b"\n")  # what had no room in the last step
        yield from whole
    except zlib.error as error:
        raise Tampered("the snapshot is not gzip, or was changed") from error
    if rest or not engine.eof:
        raise Tampered("the snapshot is cut off")
