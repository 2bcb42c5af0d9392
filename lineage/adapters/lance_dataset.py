"""Versioned rows in a Lance folder: stable row ids, time travel, and a purge that leaves nothing behind.

Every version that the catalog lists is made by a plain append or overwrite, or ends with a compaction at threshold 0, so
none rests on a deletion file: what a version does not show, its files do not hold. A purge then needs three steps: delete
and compact the latest version, remove the versions that held the rows (Lance removes exactly the numbers it is given and
each file that no other version needs), decode every file that is left. Pins are the catalog's, never Lance tags, which
would stop the cleanup.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from lineage.adapters.dataset_catalog import (
    Catalog,
    CatalogFile,
    PendingPurge,
    StoredVersion,
    checked_name,
    checked_row_ids,
    dataset_lock,
)
from lineage.adapters.lance_dataset_ids import RowIds, keep_row_ids
from lineage.datasets import ROW_ID, dataset_digest, row_set
from lineage.errors import BadInput, Gone, Incomplete, NotFound, StoreUnavailable, Tampered
from lineage.model import DatasetVersionInfo, PurgeReport
from lineage.ports import Clock, KeyStore

__all__ = ["LanceDataset"]

_ROWS_PER_FILE = 8192
"""Rows of a fragment: small enough that a purge rewrites little, large enough to scan fast (measured at 5 million rows)."""
_IDS_PER_DELETE = 10_000


class LanceDataset:
    """A dataset of kind ``lance`` (port :class:`lineage.ports.VersionedDataset`).

    Args:
        root: folder of all datasets; this one lives in ``root/name``.
        name: its registered name.
        keys: for the committed row sets.
        clock: for the versions' times.
        sort_by: column by which rows are clustered on disk, usually the subject key: one person's rows then lie in few files.
    """

    def __init__(self, root: Path, name: str, *, keys: KeyStore, clock: Clock, sort_by: str | None = None) -> None:
        self.name = checked_name(name)
        self._folder = root / name
        self._data = self._folder / "data.lance"
        self._keys = keys
        self._clock = clock
        self._sort_by = sort_by
        self._file = CatalogFile(self._folder / "catalog.json", name)
        self._lock = dataset_lock(self._folder)

    # ── reading ─────────────────────────────────────────────────────────────────────────────────
    def versions(self) -> list[DatasetVersionInfo]:
        """Every version, tombstones included, oldest first."""
        with self._catalog() as catalog:
            return [v.info(self.name) for v in catalog.versions]

    def latest(self) -> DatasetVersionInfo | None:
        """The newest version with rows to read, ``None`` before the first write."""
        with self._catalog() as catalog:
            latest = catalog.latest()
            return latest.info(self.name) if latest else None

    def read(self, version: str, columns: Sequence[str] | None = None) -> pa.Table:
        """The rows of a version (or ``latest``) in row-id order, ``govern_row_id`` first.

        Raises:
            Gone: the version was purged. NotFound: there is no such version or column.
        """
        with self._catalog() as catalog:
            return self._read(self._living(catalog, version), columns)

    def count(self, version: str) -> int:
        """Rows of a version, recounted by decoding its row-id column from the files."""
        with self._catalog() as catalog:
            return len(self._ids(self._living(catalog, version)))

    def row_ids(self, version: str) -> list[int]:
        """The sorted row ids of a version, read from the files."""
        with self._catalog() as catalog:
            return sorted(self._ids(self._living(catalog, version)).to_pylist())

    def versions_with(self, row_ids: Sequence[int]) -> list[str]:
        """The live versions that hold one of the rows, found in the files."""
        wanted = checked_row_ids(self.name, row_ids)
        with self._catalog() as catalog:
            return [v.version for v in catalog.live() if self._held(v, wanted)]

    # ── writing ─────────────────────────────────────────────────────────────────────────────────
    def write(self, table: pa.Table, *, mode: str = "replace", key: str | None = None) -> DatasetVersionInfo:
        """A new version: all rows (``replace``) or the last version's rows and these (``append``).

        With ``replace`` and ``key``, a row whose key value was there keeps its row id, whatever else changed in it (the digest
        says that it changed); among rows of one key value, equal ones are matched first, the others in order. A null key
        names nothing. All other rows get new ids, above every id ever given out.

        Raises:
            BadInput: no columns, a ``govern_row_id`` column, an unknown key, another schema on append.
            StoreUnavailable: the disk is full or broken; the last version stands.
        """
        rows = self._checked(table, mode, key)
        with self._catalog() as catalog:
            latest = catalog.latest()
            fresh = latest is None or mode == "replace"
            if latest is not None and mode == "append":
                self._same_schema(latest, rows)
            kept: RowIds = [None] * rows.num_rows
            if latest is not None and key is not None:
                kept = keep_row_ids(self._read(latest, None), rows, key)
            ids = _minted(kept, catalog.next_row_id)
            # Durable before the data: an id that a crashed write used is never given to another row.
            catalog.next_row_id += sum(1 for old in kept if old is None)
            catalog.writing = True
            self._file.save(catalog)
            with self._store("written"):
                self._append(rows.add_column(0, ROW_ID, pa.array(ids, pa.int64())), create=not self._data.exists(), overwrite=fresh)
            stored = self._record(catalog)
            catalog.writing = False
            self._file.save(catalog)
            return stored.info(self.name)

    def purge(self, row_ids: Sequence[int], *, request: str) -> PurgeReport:
        """Delete the rows from every version, physically, and remove each version that held one; the others stay.

        The intent and the tombstones are durable before the first row is touched; after a crash the next call on this dataset
        finishes the work. The same request for the same rows deletes nothing more and answers with what it did, the residual
        scanned anew.

        Raises:
            NotFound: the dataset has no version. StoreUnavailable: the disk failed; call again to finish.
        """
        wanted = checked_row_ids(self.name, row_ids)
        if not request:
            raise BadInput(f"{self.name}: a purge needs the id of its request")
        asked = row_set(self._keys, self.name, wanted).digest
        with self._catalog() as catalog:
            latest = catalog.latest()
            if latest is None:
                raise NotFound(f"{self.name} has no version: nothing was ever written", hint=f"govern dataset versions {self.name}")
            if catalog.purge_record(request, asked) is None:
                held = {v.version: self._held(v, wanted) for v in catalog.live()}
                found = sorted(set().union(*held.values()))
                affected = [version for version, rows in held.items() if rows]
                intent = PendingPurge(
                    request=request,
                    asked=asked,
                    row_ids=found,
                    versions=affected,
                    rewrite=latest.version in affected,
                    files=sorted(self._files()),
                )
                catalog.begin_purge(intent)
                self._file.save(catalog)
                self._finish_purge(catalog)
            done = catalog.purge_record(request, asked)
            newest = catalog.latest()
            assert done is not None
            assert newest is not None
            residual, files = self._residual(wanted)
            return PurgeReport(
                dataset=self.name,
                rows_deleted=done.rows_deleted,
                versions_removed=tuple(done.versions),
                new_version=newest.info(self.name),
                bytes_rewritten=done.bytes_rewritten,
                residual_rows=residual,
                files_scanned=files,
            )

    def residual_scan(self, row_ids: Sequence[int]) -> tuple[int, int]:
        """(rows found, files decoded): every data file in the folder is decoded, whether or not a version refers to it.

        Raises:
            Incomplete: there is a file among the data that is no Lance data file.
        """
        wanted = checked_row_ids(self.name, row_ids)
        with self._catalog():
            return self._residual(wanted)

    # ── inside ──────────────────────────────────────────────────────────────────────────────────
    @contextmanager
    def _catalog(self) -> Iterator[Catalog]:
        """The catalog under the lock, after what a crash left was finished or undone."""
        with self._lock:
            catalog = self._file.load()
            if catalog.writing:
                self._undo_write(catalog)
            if catalog.pending is not None:
                self._finish_purge(catalog)
            yield catalog

    @contextmanager
    def _store(self, what: str) -> Iterator[None]:
        try:
            yield
        except (NotImplementedError, pa.ArrowInvalid) as error:
            raise BadInput(f"{self.name} could not be {what}: {error}", hint="cast the column to a plain type") from error
        except OSError as error:
            raise StoreUnavailable(f"{self.name} could not be {what}: {error}", hint="free some disk space, then run it again") from error

    def _lance(self, at: int | None = None) -> Any:
        import lance

        try:
            with self._store("opened"):
                return lance.dataset(str(self._data), version=at)
        except ValueError as error:
            which = "data" if at is None else f"data of store version {at}"
            message = f"{self.name}: its catalog lists {which} that is not on disk: {error}"
            raise Tampered(message, hint="restore it from a backup") from error

    def _living(self, catalog: Catalog, version: str) -> StoredVersion:
        found = catalog.version(version)
        if found.gone:
            raise Gone(
                f"{self.name}@{version} was erased by request {found.request}: {found.rows} rows, digest {found.digest}",
                hint=f"govern dataset versions {self.name}",
            )
        return found

    def _read(self, version: StoredVersion, columns: Sequence[str] | None) -> pa.Table:
        dataset = self._lance(version.at)
        names = [n for n in dataset.schema.names if n != ROW_ID]
        unknown = [c for c in columns or () if c not in names and c != ROW_ID]
        if unknown:
            raise NotFound(f"{self.name}@{version.version} has no column {unknown[0]!r}; it has {', '.join(names)}")
        wanted = names if columns is None else [c for c in columns if c != ROW_ID]
        with self._store("read"):
            table: pa.Table = dataset.to_table(columns=[ROW_ID, *wanted])
        return table.sort_by(ROW_ID)

    def _ids(self, version: StoredVersion) -> pa.ChunkedArray:
        dataset = self._lance(version.at)
        with self._store("read"):
            ids: pa.ChunkedArray = dataset.to_table(columns=[ROW_ID]).column(ROW_ID)
        return ids

    def _held(self, version: StoredVersion, wanted: list[int]) -> set[int]:
        ids = self._ids(version)
        return set(ids.filter(pc.is_in(ids, value_set=pa.array(wanted, pa.int64()))).to_pylist())

    def _checked(self, table: pa.Table, mode: str, key: str | None) -> pa.Table:
        if mode not in {"replace", "append"}:
            raise BadInput(f"{self.name}: mode {mode!r} is neither replace nor append")
        if not table.column_names:
            raise BadInput(f"{self.name}: the table has no columns")
        if ROW_ID in table.column_names:
            raise BadInput(
                f"{self.name}: the table brings a column {ROW_ID}; row ids are minted by each dataset",
                hint=f"drop the column or rename it, e.g. source_row_id; with mode=replace and key=COLUMN rows keep the ids of {self.name}",
            )
        if key is not None and mode == "append":
            raise BadInput(f"{self.name}: key={key} goes with mode replace; an append mints new row ids")
        for column, role in ((key, "key"), (self._sort_by, "sort key")):
            if column is not None and column not in table.column_names:
                raise BadInput(f"{self.name}: the {role} {column!r} is no column; the table has {', '.join(table.column_names)}")
        plain = [pa.field(f.name, f.type.value_type if pa.types.is_dictionary(f.type) else f.type, nullable=True) for f in table.schema]
        plain_table: pa.Table = table.cast(pa.schema(plain))
        dataset_digest(plain_table.slice(0, 0))  # a type without a canonical encoding is refused before anything is written
        return plain_table

    def _same_schema(self, latest: StoredVersion, rows: pa.Table) -> None:
        theirs = [f for f in self._lance(latest.at).schema if f.name != ROW_ID]
        expected = {f.name: f.type for f in theirs}
        given = {f.name: f.type for f in rows.schema}
        if expected != given:
            differ = sorted(n for n in expected.keys() | given.keys() if expected.get(n) != given.get(n))
            raise BadInput(
                f"{self.name}: rows cannot be appended to version {latest.version}, these columns differ: {', '.join(differ)}",
                hint="bring the columns to the version's types, or write with mode=replace",
            )

    def _append(self, rows: pa.Table, *, create: bool, overwrite: bool) -> None:
        import lance

        if self._sort_by is not None:
            rows = rows.sort_by([(self._sort_by, "ascending"), (ROW_ID, "ascending")])
        self._folder.mkdir(parents=True, exist_ok=True)
        lance.write_dataset(
            rows,
            str(self._data),
            mode="create" if create else "overwrite" if overwrite else "append",
            max_rows_per_file=_ROWS_PER_FILE,
            enable_stable_row_ids=True,
        )

    def _record(self, catalog: Catalog) -> StoredVersion:
        """Enter Lance's newest version in the catalog, measured on what the store gives back."""
        at = int(self._lance().version)
        stored = StoredVersion(version=str(at), rows=0, digest="", row_set="", created_at=self._clock.now(), at=at)
        table = self._read(stored, None)
        committed = row_set(self._keys, self.name, table.column(ROW_ID).to_pylist())
        stored.rows, stored.digest, stored.row_set = committed.count, dataset_digest(table), committed.digest
        catalog.versions.append(stored)
        return stored

    def _undo_write(self, catalog: Catalog) -> None:
        """A write that was not recorded did not happen: the last version is brought back on top, the orphan removed."""
        latest = catalog.latest()
        if latest is None:
            with self._store("cleaned"):
                shutil.rmtree(self._data, ignore_errors=False) if self._data.exists() else None
        elif int(self._lance().version) != latest.at:
            with self._store("restored"):
                self._lance(latest.at).restore()
            latest.at = int(self._lance().version)
        catalog.writing = False
        self._file.save(catalog)
        if latest is not None:
            self._remove_unlisted(catalog)

    def _finish_purge(self, catalog: Catalog) -> None:
        intent = catalog.pending
        assert intent is not None
        with self._store("purged"):
            if intent.rewrite:
                self._delete(intent.row_ids)
                self._lance().optimize.compact_files(
                    target_rows_per_fragment=_ROWS_PER_FILE,
                    materialize_deletions=True,
                    materialize_deletions_threshold=0.0,
                    compaction_mode="reencode",
                )
                self._record(catalog)
                intent.rewrite = False
                intent.bytes_rewritten = sum(size for path, size in self._files().items() if path not in intent.files)
                self._file.save(catalog)
            self._remove_unlisted(catalog)
        catalog.end_purge()
        self._file.save(catalog)

    def _delete(self, row_ids: list[int]) -> None:
        for start in range(0, len(row_ids), _IDS_PER_DELETE):
            some = row_ids[start : start + _IDS_PER_DELETE]
            # By row id and never by a value: the predicate is written to Lance's transaction log.
            self._lance().delete(f"{ROW_ID} IN ({', '.join(map(str, some))})")

    def _remove_unlisted(self, catalog: Catalog) -> None:
        """Remove every Lance version that the catalog does not list as live, with each file that only they needed."""
        keep = {v.at for v in catalog.live()}
        dataset = self._lance()
        unlisted = [int(v["version"]) for v in dataset.versions() if int(v["version"]) not in keep]
        if unlisted:
            dataset.cleanup_old_versions(
                older_than=timedelta(0), versions=unlisted, delete_unverified=True, error_if_tagged_old_versions=False
            )

    def _files(self) -> dict[str, int]:
        folder = self._data / "data"
        return {p.name: p.stat().st_size for p in folder.iterdir()} if folder.exists() else {}

    def _residual(self, wanted: list[int]) -> tuple[int, int]:
        from lance.file import LanceFileReader

        found, files = 0, 0
        values = pa.array(wanted, pa.int64())
        for name in sorted(self._files()):
            if not name.endswith(".lance"):
                raise Incomplete(f"{self.name}: {name} among its data is no Lance file and was not scanned", hint="remove it, then again")
            with self._store("scanned"):
                reader = LanceFileReader(str(self._data / "data" / name), columns=[ROW_ID])
                for batch in reader.read_all(batch_size=_ROWS_PER_FILE).to_batches():
                    found += pc.sum(pc.is_in(batch.column(0), value_set=values)).as_py() or 0
            files += 1
        return found, files


def _minted(kept: RowIds, first: int) -> list[int]:
    ids: list[int] = []
    for old in kept:
        ids.append(first if old is None else old)
        first += old is None
    return ids
