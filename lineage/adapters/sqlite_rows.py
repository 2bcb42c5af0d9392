"""The row index on SQLite: subject reference → rows → dataset versions.

Made for a hundred million rows: references, datasets and versions are interned as integers; a posting is three integers; which
rows a version holds is a compressed bitmap per 65 536 row ids, not a row per (version, row). Erasure is physical:
``secure_delete`` overwrites what is freed; after each :meth:`SqliteRowIndex.forget` the file is written anew (``VACUUM``) and the
write-ahead log truncated.
"""

from __future__ import annotations

import re
import sqlite3
import threading
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from lineage.errors import BadInput, NotFound, StoreUnavailable

if TYPE_CHECKING:
    import numpy as np  # imported where bits are touched: opening a home and counting need none

__all__ = ["SqliteRowIndex"]

_SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS dataset (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS version (
    id INTEGER PRIMARY KEY, dataset INTEGER NOT NULL REFERENCES dataset (id), name TEXT NOT NULL, UNIQUE (dataset, name)
);
CREATE TABLE IF NOT EXISTS subject (id INTEGER PRIMARY KEY, ref BLOB NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS posting (
    dataset INTEGER NOT NULL, row INTEGER NOT NULL, subject INTEGER NOT NULL, PRIMARY KEY (dataset, row, subject)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS posting_subject ON posting (subject);
CREATE TABLE IF NOT EXISTS member (
    version INTEGER NOT NULL, chunk INTEGER NOT NULL, rows INTEGER NOT NULL, bits BLOB NOT NULL, PRIMARY KEY (version, chunk)
) WITHOUT ROWID;
"""
_CHUNK_BITS = 16
_CHUNK = 1 << _CHUNK_BITS
_BATCH = 20_000
_REF = re.compile(r"[0-9a-f]{32}")


class SqliteRowIndex:
    """Port :class:`lineage.ports.RowIndex`; one writer process, any number of threads.

    Args:
        path: the database file; made when missing.

    Raises:
        StoreUnavailable: it cannot be opened, or a newer Govern wrote it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.RLock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=30)
            self._db.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA secure_delete=ON; PRAGMA temp_store=MEMORY;")
            (found,) = self._db.execute("PRAGMA user_version").fetchone()
            if found > _SCHEMA_VERSION:
                self._db.close()
                raise StoreUnavailable(
                    f"the row index {path} has schema {found}, newer than {_SCHEMA_VERSION}", hint="use the newer Govern"
                )
            self._db.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version={_SCHEMA_VERSION}; COMMIT;")
        except (sqlite3.Error, OSError) as error:
            raise StoreUnavailable(f"the row index {path} cannot be opened: {error}", hint="govern doctor") from error

    def replace(self, dataset: str, version: str, rows: Iterable[tuple[str, int]]) -> None:
        """Set which (subject reference, row id) the version holds; again with the same rows changes nothing.

        An empty reference says that nobody is known for the row: it counts in the version and belongs to no subject.

        Raises:
            BadInput: a reference that is none (32 hex characters, or empty), or a row id that is no int64 ≥ 0. The index stays as
                it was.
        """
        with self._change() as db:
            dataset_id = self._intern(dataset)
            version_id = self._version(dataset_id, version)
            old = _decoded(db.execute("SELECT chunk, bits FROM member WHERE version=?", (version_id,)))
            db.execute("DELETE FROM member WHERE version=?", (version_id,))
            touched = self._drop_unheld(dataset_id, old)
            chunks: dict[int, np.ndarray] = defaultdict(_empty)
            stream = iter(rows)
            while batch := list(islice(stream, _BATCH)):
                self._insert(dataset_id, batch, chunks)
            db.executemany(
                "INSERT INTO member (version, chunk, rows, bits) VALUES (?, ?, ?, ?)",
                ((version_id, chunk, int(bits.sum()), _packed(bits)) for chunk, bits in sorted(chunks.items())),
            )
            self._drop_orphans(touched)

    def drop(self, dataset: str, version: str) -> None:
        """Forget a version, and the postings of rows that no other version holds; an unknown one is no error."""
        with self._change() as db:
            found = db.execute(
                "SELECT v.id, v.dataset FROM version v JOIN dataset d ON d.id=v.dataset WHERE d.name=? AND v.name=?", (dataset, version)
            ).fetchone()
            if found is None:
                return
            version_id, dataset_id = found
            old = _decoded(db.execute("SELECT chunk, bits FROM member WHERE version=?", (version_id,)))
            db.execute("DELETE FROM member WHERE version=?", (version_id,))
            db.execute("DELETE FROM version WHERE id=?", (version_id,))
            self._drop_orphans(self._drop_unheld(dataset_id, old))
        self._truncate()

    def lookup(self, subject_refs: Sequence[str]) -> dict[str, list[int]]:
        """Dataset → sorted row ids of the subject (all its references, one per epoch), over all versions."""
        found: dict[str, set[int]] = defaultdict(set)
        with self._read() as db:
            for ref in dict.fromkeys(subject_refs):
                cursor = db.execute(
                    "SELECT d.name, p.row FROM subject s JOIN posting p ON p.subject=s.id JOIN dataset d ON d.id=p.dataset WHERE s.ref=?",
                    (_ref_bytes(ref),),
                )
                for name, row in cursor:
                    found[name].add(row)
        return {name: sorted(found[name]) for name in sorted(found)}

    def versions_with(self, dataset: str, row_ids: Sequence[int]) -> list[str]:
        """The versions of the dataset that hold one of the rows, in the order in which they were indexed."""
        with self._read() as db:
            return [
                name
                for version_id, name in self._versions(db, dataset)
                if any(bits[offsets].any() for _, bits, offsets in self._touched(db, version_id, row_ids))
            ]

    def forget(self, dataset: str, row_ids: Sequence[int]) -> int:
        """Remove the rows' postings and their membership in every version, physically; returns how many postings went.

        A reference that is left without a row goes too. Again with the same rows: 0.
        """
        rows = sorted({_row_id(row) for row in row_ids})
        removed = 0
        with self._change() as db:
            found = db.execute("SELECT id FROM dataset WHERE name=?", (dataset,)).fetchone()
            if found is not None:
                subjects = [s for row in rows for s in self._delete_postings(found[0], row)]
                removed = len(subjects)
                for version_id, _ in self._versions(db, dataset):
                    for chunk, bits, offsets in list(self._touched(db, version_id, rows)):
                        bits[offsets] = False
                        self._store_chunk(db, version_id, chunk, bits)
                self._drop_orphans(subjects)
        self._truncate()
        return removed

    def count(self, dataset: str, version: str) -> int:
        """Rows that the version holds; raises ``NotFound`` for a version that was never indexed."""
        with self._read() as db:
            for version_id, name in self._versions(db, dataset):
                if name == version:
                    (rows,) = db.execute("SELECT COALESCE(SUM(rows), 0) FROM member WHERE version=?", (version_id,)).fetchone()
                    return int(rows)
        raise NotFound(f"the row index does not know {dataset}@{version}", hint=f"govern dataset versions {dataset}")

    def row_ids(self, dataset: str, version: str) -> list[int]:
        """The sorted row ids that the version holds; raises ``NotFound``."""
        with self._read() as db:
            for version_id, name in self._versions(db, dataset):
                if name == version:
                    chunks = _decoded(db.execute("SELECT chunk, bits FROM member WHERE version=?", (version_id,)))
                    return [(chunk << _CHUNK_BITS) + int(o) for chunk, bits in sorted(chunks.items()) for o in bits.nonzero()[0]]
        raise NotFound(f"the row index does not know {dataset}@{version}", hint=f"govern dataset versions {dataset}")

    def close(self) -> None:
        """Close the database; the write-ahead log is folded in."""
        with self._lock:
            self._db.close()

    # ── inside ──────────────────────────────────────────────────────────────────────────────────
    @contextmanager
    def _read(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                yield self._db
            except sqlite3.Error as error:
                raise StoreUnavailable(f"the row index {self._path} cannot be read: {error}", hint="govern doctor") from error

    @contextmanager
    def _change(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                try:
                    yield self._db
                except BaseException:
                    self._db.execute("ROLLBACK")
                    raise
                self._db.execute("COMMIT")
            except sqlite3.Error as error:
                raise StoreUnavailable(
                    f"the row index {self._path} cannot be written: {error}", hint="free some disk space, then run it again"
                ) from error

    def _truncate(self) -> None:
        """Write the file anew from what lives, fold the write-ahead log into it and cut the log to nothing.

        ``secure_delete`` overwrites what is freed, but a page that was split earlier may hold a stale copy of a row in its unused part,
        and old page images in the log would outlive the rows.
        """
        with self._read() as db:
            db.execute("VACUUM")
            busy, _, _ = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise StoreUnavailable(f"the write-ahead log of {self._path} could not be truncated: a reader holds it", hint="run it again")

    def _intern(self, dataset: str) -> int:
        self._db.execute("INSERT INTO dataset (name) VALUES (?) ON CONFLICT DO NOTHING", (dataset,))
        return int(self._db.execute("SELECT id FROM dataset WHERE name=?", (dataset,)).fetchone()[0])

    def _version(self, dataset_id: int, version: str) -> int:
        self._db.execute("INSERT INTO version (dataset, name) VALUES (?, ?) ON CONFLICT DO NOTHING", (dataset_id, version))
        return int(self._db.execute("SELECT id FROM version WHERE dataset=? AND name=?", (dataset_id, version)).fetchone()[0])

    def _versions(self, db: sqlite3.Connection, dataset: str) -> list[tuple[int, str]]:
        return db.execute(
            "SELECT v.id, v.name FROM version v JOIN dataset d ON d.id=v.dataset WHERE d.name=? ORDER BY v.id", (dataset,)
        ).fetchall()

    def _insert(self, dataset_id: int, batch: list[tuple[str, int]], chunks: dict[int, np.ndarray]) -> None:
        import numpy as np

        refs = {ref: _ref_bytes(ref) for ref in {ref for ref, _ in batch} if ref}
        self._db.executemany("INSERT INTO subject (ref) VALUES (?) ON CONFLICT DO NOTHING", ((r,) for r in refs.values()))
        ids = {ref: self._db.execute("SELECT id FROM subject WHERE ref=?", (raw,)).fetchone()[0] for ref, raw in refs.items()}
        rows = np.array([_row_id(row) for _, row in batch], dtype=np.int64)
        self._db.executemany(
            "INSERT INTO posting (dataset, row, subject) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
            ((dataset_id, row, ids[ref]) for ref, row in batch if ref),
        )
        for chunk in sorted(set((rows >> _CHUNK_BITS).tolist())):
            chunks[chunk][rows[rows >> _CHUNK_BITS == chunk] & (_CHUNK - 1)] = True

    def _touched(self, db: sqlite3.Connection, version_id: int, row_ids: Sequence[int]) -> Iterator[tuple[int, np.ndarray, list[int]]]:
        """(chunk, its bits, the offsets asked for) for each chunk of the version that could hold one of the rows."""
        offsets: dict[int, list[int]] = defaultdict(list)
        for row in row_ids:
            offsets[_row_id(row) >> _CHUNK_BITS].append(row & (_CHUNK - 1))
        for chunk, wanted in offsets.items():
            found = db.execute("SELECT bits FROM member WHERE version=? AND chunk=?", (version_id, chunk)).fetchone()
            if found is not None:
                bits = _unpacked(found[0])
                if bits[wanted].any():
                    yield chunk, bits, wanted

    def _store_chunk(self, db: sqlite3.Connection, version_id: int, chunk: int, bits: np.ndarray) -> None:
        rows = int(bits.sum())
        if rows:
            db.execute("UPDATE member SET rows=?, bits=? WHERE version=? AND chunk=?", (rows, _packed(bits), version_id, chunk))
        else:
            db.execute("DELETE FROM member WHERE version=? AND chunk=?", (version_id, chunk))

    def _drop_unheld(self, dataset_id: int, chunks: dict[int, np.ndarray]) -> list[int]:
        """Delete the postings of the rows in ``chunks`` that no version of the dataset holds any more; returns their subjects."""
        subjects: list[int] = []
        for chunk, bits in chunks.items():
            left = bits.copy()
            others = self._db.execute(
                "SELECT m.bits FROM member m JOIN version v ON v.id=m.version WHERE v.dataset=? AND m.chunk=?", (dataset_id, chunk)
            )
            for (other,) in others:
                left &= ~_unpacked(other)
            for offset in left.nonzero()[0]:
                subjects += self._delete_postings(dataset_id, (chunk << _CHUNK_BITS) + int(offset))
        return subjects

    def _delete_postings(self, dataset_id: int, row: int) -> list[int]:
        found = self._db.execute("DELETE FROM posting WHERE dataset=? AND row=? RETURNING subject", (dataset_id, row)).fetchall()
        return [subject for (subject,) in found]

    def _drop_orphans(self, subjects: Iterable[int]) -> None:
        """Forget those of the subjects that own no row any more."""
        self._db.executemany(
            "DELETE FROM subject WHERE id=? AND NOT EXISTS (SELECT 1 FROM posting WHERE posting.subject=subject.id)",
            ((subject,) for subject in set(subjects)),
        )


def _empty() -> np.ndarray:
    import numpy as np

    return np.zeros(_CHUNK, dtype=bool)


def _packed(bits: np.ndarray) -> bytes:
    import numpy as np

    return zlib.compress(np.packbits(bits).tobytes(), 1)


def _unpacked(data: bytes) -> np.ndarray:
    import numpy as np

    return np.unpackbits(np.frombuffer(zlib.decompress(data), dtype=np.uint8)).astype(bool)


def _decoded(rows: Iterable[tuple[int, bytes]]) -> dict[int, np.ndarray]:
    return {chunk: _unpacked(bits) for chunk, bits in rows}


def _row_id(row: int) -> int:
    if isinstance(row, bool) or not isinstance(row, int) or not 0 <= row < 2**63:
        raise BadInput(f"row id {row!r} is not an integer from 0 to 2^63 - 1")
    return row


def _ref_bytes(ref: str) -> bytes:
    if not isinstance(ref, str) or not _REF.fullmatch(ref):
        # The value is not repeated: it may be an identifier that somebody forgot to turn into a reference.
        raise BadInput("a subject reference is 32 lower case hex characters; this is something else", hint="use lineage.rows.subject_ref")
    return bytes.fromhex(ref)
