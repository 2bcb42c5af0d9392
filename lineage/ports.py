"""What lineage needs from the outside: small Protocols, high enough for a store to answer natively."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol, TypeVar, runtime_checkable

if TYPE_CHECKING:
    import pyarrow as pa

    from lineage.model import (
        Checkpoint,
        DatasetVersionInfo,
        Direction,
        Edge,
        GraphDelta,
        Json,
        LedgerEntry,
        NewEntry,
        Node,
        PurgeReport,
        RecordChange,
        StatedRow,
        Subgraph,
        SubjectRows,
    )

__all__ = [
    "Clock",
    "FoldState",
    "GraphStore",
    "KeyStore",
    "Ledger",
    "LedgerTx",
    "Progress",
    "Reducer",
    "RetiringLedger",
    "RowIndex",
    "SnapshotFiles",
    "VersionedDataset",
]

T = TypeVar("T")


class Clock(Protocol):
    """The time, so that a month can be simulated."""

    def now(self) -> int:
        """UTC nanoseconds."""
        ...


class Progress(Protocol):
    """Told how far a long work is."""

    def __call__(self, done: int, total: int | None, what: str) -> None: ...


class KeyStore(Protocol):
    """Secret keys by name; files wrapped by a master key, or a KMS. Never in a backup."""

    def sign_ed25519(self, name: str, message: bytes) -> bytes: ...
    def public_ed25519(self, name: str) -> bytes:
        """The 32 raw bytes of the public key."""
        ...

    def hmac(self, name: str, message: bytes) -> bytes:
        """HMAC-SHA256 under the key ``name`` (created on first use when ``name`` is a known kind)."""
        ...

    def hmacs(self, name: str, messages: Iterable[bytes]) -> list[bytes]:
        """:meth:`hmac` of each message, in order: the key is looked up once, which counts where there are millions."""
        ...

    def secret(self, name: str) -> bytes:
        """The raw secret bytes (used for PEM private keys); raises ``NotFound``."""
        ...

    def living(self, prefix: str) -> list[str]:
        """Names of the keys that begin with ``prefix`` and were not destroyed, newest first (epochs)."""
        ...

    def canonicalisation(self, name: str) -> int:
        """The version of the rules (:mod:`lineage.rows.identifiers`) under which an epoch's references are made."""
        ...

    def rotate(self, family: str = "epoch", *, to: str | None = None) -> str:
        """Make the next key of a numbered family, or the one named ``to``, which may be there already; returns its name."""
        ...

    def destroy(self, name: str) -> None: ...


class Reducer(Protocol):
    """Folds one appended entry into control records: pure, so that the records can be rebuilt from the log."""

    def __call__(self, entry: LedgerEntry, read: Callable[[str, str], Json | None]) -> Iterable[RecordChange]:
        """What the entry changes; ``read(kind, ident)`` gives a record's present body."""
        ...


class LedgerTx(Protocol):
    """Inside one durable transaction: append entries and change control records together."""

    def append(self, entry: NewEntry) -> LedgerEntry: ...
    def record(self, kind: str, ident: str) -> tuple[Json, int] | None:
        """The record's body and revision."""
        ...

    def records(self, kind: str, *, prefix: str = "", limit: int | None = None) -> list[tuple[str, Json, int]]:
        """(ident, body, revision) of the records of a kind whose ident begins with ``prefix``, by ident; the first ``limit`` of them."""
        ...


class Ledger(Protocol):
    """The append-only log with its Merkle tree, and the control records changed in the same transaction.

    Control records are a fold over entries: ``reducer(entry, read) -> changes`` given at construction.
    """

    def append(self, entries: Sequence[NewEntry]) -> list[LedgerEntry]:
        """Append and return once durable (group commit); duplicates by identity are returned with ``duplicate=True``."""
        ...

    def transact(self, work: Callable[[LedgerTx], T]) -> T:
        """Run ``work`` in the writer; what it appended and its record changes are durable together, or none is."""
        ...

    def record(self, kind: str, ident: str) -> tuple[Json, int] | None: ...
    def records(self, kind: str, *, prefix: str = "", limit: int | None = None) -> list[tuple[str, Json, int]]:
        """(ident, body, revision) of the records of a kind whose ident begins with ``prefix``, by ident; the first ``limit`` of them."""
        ...

    def count(self, kind: str, *, prefix: str = "") -> int:
        """How many records of a kind have an ident that begins with ``prefix``."""
        ...

    def changed(self, kind: str, since: int) -> tuple[list[tuple[str, Json, int]], int]:
        """The records of a kind that an entry from index ``since`` on set, by ident, and how many records of the kind there are."""
        ...

    def entry(self, index: int) -> LedgerEntry: ...
    def entries(self, start: int = 0, limit: int = 1000, kind: str | None = None) -> list[LedgerEntry]: ...
    def by_identity(self, identity: str) -> LedgerEntry | None: ...
    def size(self) -> int: ...
    def root(self, size: int | None = None) -> bytes: ...
    def inclusion(self, index: int, size: int) -> list[bytes]: ...
    def consistency(self, first: int, second: int) -> list[bytes]: ...
    def checkpoint(self) -> Checkpoint:
        """Sign the present tree and store the note; the last one again when nothing was added."""
        ...

    def checkpoints(self) -> list[Checkpoint]: ...
    def close(self) -> None: ...


class RetiringLedger(Ledger, Protocol):
    """A ledger whose old payloads can be destroyed many at a time, the proofs kept."""

    def old_payloads(self, kind: str, *, start: int, end: int, until: int, limit: int) -> list[tuple[int, int]]:
        """(index, bytes) of entries of a kind in [start, end) that were recorded at ``until`` or before and still have their payload."""
        ...

    def retire(self, indexes: Sequence[int], *, actor: str, reason: str, snapshot: int, position: int) -> LedgerEntry | None:
        """Destroy these payloads, with the entry that says so, in one transaction; ``None`` when none was left."""
        ...

    def empty_wal(self) -> None:
        """Leave no destroyed byte beside the store's main file; raises ``StoreUnavailable`` when that has to be repeated."""
        ...


class SnapshotFiles(Protocol):
    """Where snapshots of the graph lie, each under the SHA-256 of its bytes."""

    def write(self, chunks: Iterable[bytes]) -> str:
        """Keep the bytes, durable when this returns; gives their hex SHA-256.

        Raises:
            StoreUnavailable: they cannot be written; nothing is kept.
        """
        ...

    def read(self, digest: str, start: int = 0) -> Iterator[bytes]:
        """The bytes from ``start`` on, in pieces; raises ``NotFound`` when there is no such file."""
        ...

    def names(self) -> set[str]:
        """The digests of the files that are there."""
        ...

    def remove(self, digest: str) -> None:
        """Delete a file, if it is there."""
        ...


@runtime_checkable
class FoldState(Protocol):
    """An ordered key-value store in which the fold keeps its facts; changed in the graph's own transaction."""

    def get(self, key: str) -> bytes | None: ...
    def put(self, key: str, value: bytes) -> None: ...
    def delete(self, key: str) -> None: ...
    def load(self, key: str) -> Json:
        """The JSON value under ``key``, or ``None``; it may be the store's own: who changes it gives it back with :meth:`store`."""
        ...

    def store(self, key: str, value: Json) -> None:
        """Set a JSON value; its bytes are made when the transaction ends."""
        ...

    def preload(self, keys: Iterable[str]) -> None:
        """Say which keys will be loaded one by one, so that they can be read together."""
        ...

    def scan(self, prefix: str) -> Iterator[tuple[str, bytes]]:
        """Pairs whose key begins with ``prefix``, in key order; a snapshot (the caller may write meanwhile)."""
        ...

    def between(self, low: str, high: str, *, reverse: bool = False, limit: int | None = None) -> list[tuple[str, bytes]]:
        """Pairs with ``low <= key < high`` in key order (``reverse``: descending), at most ``limit``; keys compare by code point."""
        ...

    def count(self, low: str, high: str) -> int:
        """How many keys there are with ``low <= key < high``."""
        ...


class GraphStore(Protocol):
    """The lineage graph as a projection of the ledger. No Cypher or SQL leaks out of it."""

    def transaction(self) -> AbstractContextManager[FoldState]:
        """Everything applied inside is there together or not at all; yields the fold's state."""
        ...

    def apply(self, delta: GraphDelta, position: int) -> None:
        """Write a delta and move the position (ledger index + 1); inside :meth:`transaction`."""
        ...

    def settle(self) -> None:
        """Bring to the store what earlier transactions left on its way; nothing to do for a store that commits at once.

        Raises:
            StoreUnavailable: why it cannot be brought there now.
        """
        ...

    def position(self) -> int:
        """Ledger entries that a reader of the store sees."""
        ...

    def node(self, key: str) -> Node | None: ...
    def nodes_of(self, keys: Sequence[str]) -> list[Node]:
        """The nodes under these keys that live, sorted by key."""
        ...

    def find(self, label: str, where: Mapping[str, Json] | None = None, limit: int = 1000, *, after: str | None = None) -> list[Node]:
        """Nodes of a label whose properties equal ``where``, sorted by key; with ``after``, those whose key comes later (a cursor)."""
        ...

    def page(
        self, label: str, *, namespace: str | None = None, text: str | None = None, limit: int = 100, offset: int = 0
    ) -> tuple[list[Node], int]:
        """(nodes of a label by (namespace, name, key), how many there are in all).

        ``namespace`` is the exact one; ``text`` is a part of the name, ASCII letters of either case alike.
        """
        ...

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
        """All that is reached from ``start`` along edges with ``walk``, start included, with the edges walked."""
        ...

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
        """(the sorted keys of :meth:`closure`'s nodes, whether the limit cut it); nothing else is read."""
        ...

    def expand(
        self, start: Sequence[str], types: Sequence[str], *, direction: Direction | None, depth: int | None = None, max_nodes: int = 100_000
    ) -> tuple[list[str], list[tuple[str, str, str]], bool]:
        """A walk over living edges of the given types, whatever their ``walk``; ``direction`` ``None`` walks them both ways.

        Returns:
            the sorted keys reached (start included, as far as it lives), the sorted (type, source, target) of every such edge
            between two of them, and whether the limit cut it (the smallest keys of the last level stay).
        """
        ...

    def neighbours(
        self,
        keys: Sequence[str],
        types: Sequence[str] | None = None,
        *,
        as_of: int | None = None,
        known_at: int | None = None,
        limit: int | None = None,
    ) -> Subgraph:
        """The given nodes, every edge of the given types that touches them, and the nodes at the other end.

        ``as_of`` and ``known_at`` choose the edges as in :meth:`closure`. With ``limit`` at most so many edges, the smallest keys,
        and ``truncated`` says so.
        """
        ...

    def facets(self, key: str) -> Mapping[str, Json]:
        """The bodies of the facets that speak of a node now, by name, as they were sent; empty where there are none."""
        ...

    def state(self) -> FoldState:
        """The fold's state to read, outside of any transaction; what is written through it is refused."""
        ...

    def nodes(self) -> Iterable[Node]: ...
    def edges(self) -> Iterable[Edge]: ...
    def counts(self) -> Mapping[str, int]: ...
    def kept_nodes(self) -> Iterator[tuple[Node, bool]]:
        """Every node that the store keeps and whether it is gone, one after the other; the graph must not change meanwhile."""
        ...

    def kept_edges(self) -> Iterator[tuple[Edge, int | None]]:
        """Every edge as it was (until when), then every edge as it is (``None``), one after the other."""
        ...

    def clear(self, *, force: bool = False) -> None:
        """Forget everything: the position is 0 again. ``force`` also deletes what another made in the same store.

        Raises:
            Conflict: the store holds what is not this graph's, without ``force``.
        """
        ...

    def close(self) -> None: ...


class VersionedDataset(Protocol):
    """A store of versioned rows, each with an int64 ``govern_row_id`` minted by us and never reused."""

    name: str

    def versions(self) -> list[DatasetVersionInfo]: ...
    def latest(self) -> DatasetVersionInfo | None: ...
    def write(self, table: pa.Table, *, mode: str = "replace", key: str | None = None) -> DatasetVersionInfo:
        """A new version. ``mode`` is ``replace`` (rows whose ``key`` column is unchanged keep their row id) or ``append``."""
        ...

    def read(self, version: str, columns: Sequence[str] | None = None) -> pa.Table:
        """The rows in row-id order with ``govern_row_id`` first; ``Gone`` for a purged version."""
        ...

    def count(self, version: str) -> int:
        """Rows, recounted from the store's files."""
        ...

    def row_ids(self, version: str) -> list[int]: ...
    def scan(self) -> DatasetVersionInfo:
        """The store's present state: a new version when another program changed it, else the latest one; ``NotFound`` before the first."""
        ...

    def delete(self, row_ids: Sequence[int]) -> DatasetVersionInfo:
        """A new version without the rows, older ones untouched (level L0); ``BadInput`` where a store keeps no old states."""
        ...

    def pins(self) -> Mapping[str, str]:
        """The store's own names (tags) and the version each holds; a purge moves those of a version that it removes."""
        ...

    def cannot_purge(self) -> str | None:
        """Why bytes stay after a purge, or ``None``; a certificate then says L0."""
        ...

    def purge(self, row_ids: Sequence[int], *, request: str, redact: Mapping[int, Sequence[str]] | None = None) -> PurgeReport:
        """Delete the rows from every version, physically; idempotent: again with the same rows deletes nothing and reports residual.

        ``redact`` names rows of which another stays in the new version, without these columns; ``BadInput`` where a store cannot.
        """
        ...

    def residual_scan(self, row_ids: Sequence[int]) -> tuple[int, int]:
        """(rows found, files decoded) over every file that remains."""
        ...


class RowIndex(Protocol):
    """subject reference → dataset → row ids → dataset versions. Holds references only, never an identifier.

    A row may be about several people, and an item of ``rows`` names one of them; :class:`lineage.model.OwnedRows` names many at once.
    """

    @property
    def remains(self) -> str | None:
        """What of a forgotten row may outlive :meth:`forget` in this store, in words; ``None``: nothing above the file system."""
        ...

    def replace(self, dataset: str, version: str, rows: Iterable[StatedRow]) -> None:
        """Set which (subject_ref, row_id) the version holds; only what differs from the version before it is written."""
        ...

    def extend(self, dataset: str, version: str, *, base: str, rows: Iterable[StatedRow], removed: Sequence[int] = ()) -> None:
        """Set what a version holds by what it changes against ``base``, the last one; ``Conflict`` when it is not the last one."""
        ...

    def drop(self, dataset: str, version: str) -> None:
        """Forget a version, and what no other one holds."""
        ...

    def lookup(self, subject_refs: Sequence[str]) -> dict[str, list[int]]:
        """Dataset → sorted row ids, over all versions."""
        ...

    def find(self, subject_refs: Sequence[str]) -> list[SubjectRows]:
        """The subject's rows over all versions and the versions that hold one of them, for each dataset, by name."""
        ...

    def versions(self, dataset: str) -> list[str]:
        """The dataset's versions, in the order in which they were indexed."""
        ...

    def versions_with(self, dataset: str, row_ids: Sequence[int]) -> list[str]: ...
    def shared(self, dataset: str, row_ids: Sequence[int]) -> list[int]:
        """Those of the rows that are about more than one reference."""
        ...

    def forget(self, dataset: str, row_ids: Sequence[int]) -> int:
        """Remove the rows' postings, physically as far as :attr:`remains` says; returns how many."""
        ...

    def rekey(self, dataset: str, moves: Iterable[tuple[str, str]]) -> tuple[int, int]:
        """Put new references in place of old ones; returns (postings moved, postings under references not named, old or new)."""
        ...

    def count(self, dataset: str, version: str) -> int: ...
    def row_ids(self, dataset: str, version: str) -> list[int]: ...
    def close(self) -> None: ...
