"""The lineage graph in Neo4j: the graph of record, with the fold's state in a local file beside it.

**What is written, in which order.** A transaction of the fold ends with its state and what it changes durable in the file; then one
transaction of the server writes the changes and moves the position by compare-and-set; then the file forgets them. Changes are full
new values, so what waits in the file after a crash is sent again as it is. File and server carry one pairing id: halves of two
different graphs are refused, not mixed.

**How it lies there.** Every node carries the label ``Lineage`` beside its own, every relationship its own type; ``key`` is unique among
the nodes, in each label and in each type. A relationship that changes is kept as ``RETIRED`` beside the new one, a node that is gone
as ``Gone``: a walk over what lives never meets them.

The server is a separate process that is spoken to over Bolt; nothing of it is part of Govern.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from lineage.adapters import neo4j_graph_read as reading
from lineage.adapters.neo4j_graph_batch import Batch
from lineage.adapters.neo4j_graph_courier import Courier
from lineage.adapters.neo4j_graph_cypher import CLAIM, LABELS, TYPES, WIPE, schema, warming
from lineage.adapters.neo4j_graph_fold import FoldFile
from lineage.adapters.neo4j_graph_props import RETIRED
from lineage.adapters.neo4j_graph_read import When
from lineage.adapters.neo4j_graph_server import Place, Server
from lineage.adapters.sqlite_graph_state import SqliteState
from lineage.errors import Conflict, StoreUnavailable
from lineage.graph.facets import facets_of
from lineage.model import Direction, Edge, GraphDelta, Json, Node, Subgraph
from lineage.ports import FoldState

if TYPE_CHECKING:
    from neo4j import ManagedTransaction

__all__ = ["Neo4jGraph", "Place"]

T = TypeVar("T")
VERSION = 1
"""Of what lies in the server; a newer one is refused."""

_PAGE = 5000
"""Nodes or relationships that one read of the whole graph takes."""
_log = logging.getLogger(__name__)


class Neo4jGraph:
    """A :class:`lineage.ports.GraphStore` in a Neo4j, with the fold's state in the file ``fold``. Threads may read while one writes.

    Opening asks nothing of the server: while it is away, all but reads works, and :meth:`position` says how far it was.

    Args:
        place: where the server is.
        fold: the local file; it belongs to this graph alone.
        owner: whose graph it is, said in the graph and in refusals.
        ahead: how many transactions may be on their way to the server while the next one is folded.
        warm: have the server plan the common statements at the first contact.

    Raises:
        StoreUnavailable: the file cannot be used, or another process has it.
    """

    def __init__(self, place: Place, fold: Path, *, owner: str = "govern", ahead: int = 0, warm: bool = False) -> None:
        self.server = Server(place)
        self._owner = owner
        self._fold = FoldFile(fold)
        self._courier = Courier(self.server, ahead=ahead)
        self._lock = threading.RLock()
        self._batch: Batch | None = None
        self._ready = False
        self._made: set[str] = set()
        self._warm = warm
        self._labels: set[str] = set()
        self._types: set[str] = set()
        self._walked: set[str] = set()
        self._courier.begin(int(self._fold.meta("reached")), self._fold.waiting())
        self._learn()

    # ── writing ─────────────────────────────────────────────────────────────────────────────────
    @contextlib.contextmanager
    def transaction(self) -> Iterator[SqliteState]:
        """The fold's state; what is applied inside goes to the server when it ends.

        Raises:
            StoreUnavailable: the server is away or not ours. Raised at the end, the state is kept and what was applied waits in the
                file: :meth:`settle` delivers it.
        """
        with self._lock:
            self._prepare()
            self._courier.room()
            with self._fold.transaction() as state:
                self._fold.written(self._courier.take_done())
                self._batch = batch = Batch()
                try:
                    yield state
                finally:
                    self._batch = None
                posted = [] if batch.position is None else self._fold.post(batch, batch.position)
            if posted:
                if batch.labels - self._labels or batch.types - self._types or batch.walked - self._walked:
                    self._learn()
                self._courier.send(posted)

    def apply(self, delta: GraphDelta, position: int) -> None:
        """Add a delta to the transaction and move the position; inside :meth:`transaction`."""
        if self._batch is None or not self._fold.mine:
            raise RuntimeError("apply() outside of transaction(): the graph and its state would part")
        self._batch.add(delta, position)

    def settle(self) -> None:
        """Deliver what waits for the server.

        Raises:
            StoreUnavailable: why it cannot be.
        """
        with self._lock:
            if not self._ready or self._courier.behind():
                self._prepare()
                self._learn()
                self._courier.settle()

    def position(self) -> int:
        """Ledger entries that the server's graph has seen, as far as is known here."""
        return self._courier.position

    def clear(self, *, force: bool = False) -> None:
        """Forget everything: the position is 0 again.

        Raises:
            Conflict: the database holds what is not this graph's, and ``force`` does not say to delete that too.
            StoreUnavailable: the server is away.
        """
        with self._lock:
            if not force:
                self._must_be_ours()
            self._courier.settle_thread()
            self._fold.forget()
            self._ready = False
            self._learn()
            self._prepare()

    def begin(self, *, force: bool = False) -> None:
        """Start with an empty graph in an empty database.

        Raises:
            Conflict: the database holds something, and ``force`` does not say to delete it.
        """
        held = self.server.auto("MATCH (n) RETURN count(n) AS nodes")[0]["nodes"]
        if held and not force:
            raise Conflict(f"the database in {self.server.place.uri} holds {held} nodes", hint="to delete them all and begin anew: --force")
        self.clear(force=True)

    def close(self) -> None:
        """Close file and connections; what waits is delivered when they are opened again."""
        self._courier.close()
        with self._lock:
            self._fold.close()
            self.server.close()

    # ── reading ─────────────────────────────────────────────────────────────────────────────────
    def node(self, key: str) -> Node | None:
        """The node under ``key``."""
        return next(iter(self.nodes_of([key])), None)

    def nodes_of(self, keys: Sequence[str]) -> list[Node]:
        """The nodes under these keys that live, sorted by key."""
        return self._read(lambda tx: reading.nodes_of(tx, keys))

    def find(self, label: str, where: Mapping[str, Json] | None = None, limit: int = 1000, *, after: str | None = None) -> list[Node]:
        """Nodes of a label whose properties equal ``where``, sorted by key; those that come after the key ``after``."""
        if label not in self._labels:
            return []
        return self._read(lambda tx: reading.find(tx, label, dict(where or {}), limit, after))

    def page(
        self, label: str, *, namespace: str | None = None, text: str | None = None, limit: int = 100, offset: int = 0
    ) -> tuple[list[Node], int]:
        """(nodes of a label by (namespace, name, key), how many there are in all)."""
        if label not in self._labels:
            return [], 0
        return self._read(lambda tx: reading.page(tx, label, namespace=namespace, text=text, limit=limit, offset=offset))

    def closure(
        self,
        start: Sequence[str],
        direction: Direction,
        *,
        as_of: int | None = None,
        known_at: int | None = None,
        depth: int | None = None,
        max_nodes: int = 100_000,
    ) -> Subgraph:
        """All that is reached along walked edges, start included."""
        when, up = When(as_of, known_at), direction is Direction.UP
        return self._read(lambda tx: reading.closure(tx, start, self._walked, when, up=up, depth=depth, limit=max_nodes))

    def reach(
        self,
        start: Sequence[str],
        direction: Direction,
        *,
        as_of: int | None = None,
        known_at: int | None = None,
        depth: int | None = None,
        max_nodes: int = 100_000,
    ) -> tuple[list[str], bool]:
        """The keys of :meth:`closure`'s nodes."""
        when, up = When(as_of, known_at), direction is Direction.UP
        seen, cut = self._read(lambda tx: reading.reach(tx, start, self._walked, when, up=up, depth=depth, limit=max_nodes))
        return sorted(seen), cut

    def expand(
        self, start: Sequence[str], types: Sequence[str], *, direction: Direction | None, depth: int | None = None, max_nodes: int = 100_000
    ) -> tuple[list[str], list[tuple[str, str, str]], bool]:
        """What is reached along living edges of these types, and the edges between."""
        known = sorted(self._types & set(types))
        return self._read(lambda tx: reading.expand(tx, start, known, direction=direction, depth=depth, limit=max_nodes))

    def neighbours(
        self,
        keys: Sequence[str],
        types: Sequence[str] | None = None,
        *,
        as_of: int | None = None,
        known_at: int | None = None,
        limit: int | None = None,
    ) -> Subgraph:
        """The given nodes, the edges of these types that touch them, and the nodes at the other end."""
        chosen = self._types if types is None else self._types & set(types)
        return self._read(lambda tx: reading.neighbours(tx, keys, chosen, When(as_of, known_at), limit))

    def facets(self, key: str) -> Mapping[str, Json]:
        """The bodies of the facets that speak of a node."""
        return facets_of(self._fold.state(), key) if self.node(key) is not None else {}

    def state(self) -> FoldState:
        """The fold's state as last committed, to read."""
        return self._fold.state()

    def nodes(self) -> Iterable[Node]:
        """Every live node, sorted by key; those of another hand too."""
        return self._read(reading.nodes)

    def edges(self) -> Iterable[Edge]:
        """Every live edge, sorted by key; those of another hand too."""
        return self._read(reading.edges)

    def counts(self) -> Mapping[str, int]:
        """``nodes`` and ``edges`` that live."""
        return self._read(reading.counts)

    def kept_nodes(self) -> Iterator[tuple[Node, bool]]:
        """Every node by key, and whether it is gone; read in pages."""
        after = ""
        while some := self._read(partial(reading.kept_nodes, after=after, limit=_PAGE)):
            yield from some
            after = some[-1][0].key

    def kept_edges(self) -> Iterator[tuple[Edge, int | None]]:
        """Every edge that was, then every edge that is, by type and key; read in pages."""
        for kind in (RETIRED, *sorted(self._types)):
            after = ""
            while some := self._read(partial(reading.kept_edges, kind=kind, after=after, limit=_PAGE)):
                yield from ((edge, until) for _, edge, until in some)
                after = some[-1][0]

    # ── whose graph it is ───────────────────────────────────────────────────────────────────────
    def _read(self, work: Callable[[ManagedTransaction], T]) -> T:
        if not self._ready:
            self._prepare()
        return self.server.read(work)

    def _prepare(self) -> None:
        """Once: make the schema, and see that the server holds this file's other half."""
        with self._lock:
            if not self._ready:
                self._meet()
                self._ready = True

    def _meet(self) -> None:
        self._make_schema(self._labels.union(LABELS), self._types.union(TYPES))
        found = self._found()
        if self._fold.meta("clearing"):
            self._begin_anew(found)
        elif found is None:
            self._claim()
        else:
            self._must_fit(found)
        self._courier.begin(int(self._fold.meta("reached")), self._fold.waiting())
        self._courier.pairing = self._fold.meta("pairing")
        for statement in warming() if self._warm else ():
            self.server.auto(statement, rows=[])

    def _found(self) -> dict[str, object] | None:
        rows = self.server.auto(
            "MATCH (m:GovernGraph {key: 'graph'}) RETURN m.version AS version, m.pairing AS pairing, m.batch AS batch, m.owner AS owner"
        )
        return rows[0] if rows else None

    def _claim(self) -> None:
        """Begin in an empty database."""
        place = self.server.place
        if self._fold.meta("last") != "begin":
            raise StoreUnavailable(
                f"{place.uri} holds no graph, but {self._fold.meta('position')} ledger entries were projected into the one of this home",
                hint="correct GOVERN_GRAPH, or make it anew: govern lineage rebuild",
            )
        others = self.server.auto("MATCH (n) RETURN count(n) AS nodes")[0]["nodes"]
        if others:
            raise StoreUnavailable(
                f"the database in {place.uri} holds {others} nodes that are not Govern's",
                hint="give Govern an empty database, or delete them: govern lineage rebuild --force",
            )
        self.server.auto(CLAIM, version=VERSION, pairing=self._fold.meta("pairing"), owner=self._owner)

    def _must_fit(self, found: Mapping[str, object]) -> None:
        """The server's half is of our version, of this file, and at a place that the file knows."""
        place = self.server.place
        if int(str(found["version"])) > VERSION:
            raise StoreUnavailable(
                f"the graph in {place.uri} has version {found['version']}, this Govern knows {VERSION}", hint="upgrade govern-ml"
            )
        if found["pairing"] != self._fold.meta("pairing"):
            whose, hint = (
                f"that of {found['owner']}",
                "give each home a database of its own, or take this one: govern lineage rebuild --force",
            )
            if found["owner"] == self._owner:
                whose, hint = "an earlier one of this home", "govern lineage rebuild makes the graph anew from the ledger"
            raise StoreUnavailable(f"the graph in {place.uri} does not belong to {self._fold.path}: it is {whose}", hint=hint)
        if found["batch"] not in {self._fold.meta("written"), *(one.batch for one in self._fold.waiting())}:
            raise StoreUnavailable(
                f"the graph in {place.uri} and {self._fold.path} are of different times: one was restored, or another projector wrote",
                hint="govern lineage rebuild makes the graph anew from the ledger",
            )

    def _must_be_ours(self) -> None:
        """What would be deleted is this home's own graph."""
        found = self._found()
        if found is not None and found["owner"] != self._owner:
            raise Conflict(f"the graph in {self.server.place.uri} is that of {found['owner']}", hint="to delete it all the same: --force")
        if found is None:
            others = self.server.auto("MATCH (n) RETURN count(n) AS nodes")[0]["nodes"]
            if others:
                raise Conflict(
                    f"the database in {self.server.place.uri} holds {others} nodes that are not Govern's",
                    hint="to delete them all the same: --force",
                )

    def _begin_anew(self, found: Mapping[str, object] | None) -> None:
        """Delete what the server holds, in steps; begun again after a crash until it is done."""
        if found is not None:
            self.server.auto(
                "MATCH (m:GovernGraph {key: 'graph'}) SET m.pairing = $pairing, m.batch = 'clearing', m.position = 0, m.owner = $owner, "
                "m.version = $version",
                pairing=self._fold.meta("pairing"), owner=self._owner, version=VERSION,
            )  # fmt: skip
        self.server.auto(WIPE)
        if found is None:
            self.server.auto(CLAIM, version=VERSION, pairing=self._fold.meta("pairing"), owner=self._owner)
        else:
            self.server.auto("MATCH (m:GovernGraph {key: 'graph'}) SET m.batch = 'begin'")
        self._fold.set_meta(clearing="")

    # ── small things ────────────────────────────────────────────────────────────────────────────
    def _learn(self) -> None:
        """Every label and type that was ever written, each with its constraint in the server before its first row is."""
        labels, types = self._fold.words("label"), self._fold.words("type")
        if self._ready:
            self._make_schema(labels - self._labels, types - self._types)
        self._labels, self._types, self._walked = labels, types, self._fold.words("walked")
        self._courier.types = types

    def _make_schema(self, labels: Iterable[str], types: Iterable[str]) -> None:
        wanted = schema(set(labels), set(types))
        missing = wanted.keys() - self._made
        if missing:
            there = {row["name"] for row in self.server.auto("SHOW INDEXES YIELD name")}
            for name in sorted(missing - there):
                self.server.auto(wanted[name])
            if missing - there:
                self.server.auto("CALL db.awaitIndexes(600)")
            self._made |= missing
