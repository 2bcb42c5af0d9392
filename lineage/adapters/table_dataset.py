"""A versioned dataset over any :class:`~lineage.adapters.table_store.TableStore`: what all tables promise, written once.

The order of every act is the same. What must not be lost is in the catalog, durable, before the store is touched: the next row
id before a write, intent and tombstones before a purge. What a crash left is undone (a write) or finished (a purge) by whoever
opens the dataset next.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

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
from lineage.adapters.table_dataset_ids import RowIds, claimed_row_ids, keep_row_ids
from lineage.adapters.table_redaction import new_ids, redacted_rows, redactions
from lineage.adapters.table_store import Moved, TableStore, store_errors
from lineage.datasets import ROW_ID, dataset_digest, row_hashes, row_set
from lineage.errors import BadInput, Conflict, Gone, NotFound
from lineage.model import DatasetVersionInfo, PurgeReport
from lineage.ports import Clock, KeyStore

__all__ = ["TableDataset"]

_ATTEMPTS = 5


class TableDataset:
    """A dataset of rows in columns (port :class:`lineage.ports.VersionedDataset`).

    Args:
        store: where its states lie.
        folder: the dataset's own folder, for the catalog.
        name: its registered name.
        keys: for the committed row sets.
        clock: for the versions' times.
        sort_by: column by which rows are clustered, which every write must bring.
    """

    def __init__(self, store: TableStore, folder: Path, name: str, *, keys: KeyStore, clock: Clock, sort_by: str | None = None) -> None:
        self.name = checked_name(name)
        self._store = store
        self._keys = keys
        self._clock = clock
        self._sort_by = sort_by
        self._file = CatalogFile(folder / "catalog.json", name)
        self._lock = dataset_lock(folder)

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
            held = self._held(catalog.live(), wanted)
            return [v.version for v in catalog.live() if held[v.version]]

    def pins(self) -> Mapping[str, str]:
        """The store's own tags and the version each holds (``""``: none that the catalog knows)."""
        with self._catalog() as catalog:
            known = {v.at: v.version for v in catalog.live()}
            return {name: known.get(at, "") for name, at in self._store.pins().items()}

    def cannot_purge(self) -> str | None:
        """Why erased bytes would stay here after a purge; ``None`` when none do."""
        with store_errors(self.name, "scanned"):
            return self._store.cannot_purge()

    # ── writing ─────────────────────────────────────────────────────────────────────────────────
    def write(self, table: pa.Table, *, mode: str = "replace", key: str | None = None) -> DatasetVersionInfo:
        """A new version: all rows (``replace``) or the last version's rows and these (``append``).

        With ``replace`` and ``key``, a row whose key value was there keeps its row id, whatever else changed in it (the digest
        says that it changed); among rows of one key value, equal ones are matched first, the others in order. A null key
        names nothing. All other rows get new ids, above every id ever given out.

        Raises:
            BadInput: no columns, a ``govern_row_id`` column, an unknown key, another schema on append.
            StoreUnavailable: the disk is full or broken; the last version stands.
            Conflict: another program committed at the same moment; what it wrote stands.
        """
        rows = self._store.admit(self._checked(table, mode, key))
        with self._catalog() as catalog:
            self._take_in(catalog)
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
            try:
                at = self._put(rows.add_column(0, ROW_ID, pa.array(ids, pa.int64())), fresh=fresh)
            except Conflict:  # nothing of ours is there to undo; what the other program committed stays
                catalog.writing = False
                self._file.save(catalog)
                raise
            return self._written(catalog, at)

    def scan(self) -> DatasetVersionInfo:
        """The table's present state: what another program committed to it becomes a version, else the latest one.

        A row that carries the id of a row of the last version is that row; all others get new ids. What a place refused to remove
        at a purge (object lock, a missing right) is tried again.

        Raises:
            NotFound: nothing was ever written.
        """
        with self._catalog() as catalog:
            self._take_in(catalog)
            self._try_again(catalog)
            return self._existing(catalog).info(self.name)

    def delete(self, row_ids: Sequence[int]) -> DatasetVersionInfo:
        """A new version without the rows; older versions still show them (level L0). The latest one when it holds none of them.

        Raises:
            NotFound: nothing was ever written. Conflict: others keep committing to the table.
        """
        wanted = checked_row_ids(self.name, row_ids)
        with self._catalog() as catalog:
            self._take_in(catalog)
            latest = self._existing(catalog)
            held = sorted(self._held([latest], wanted)[latest.version])
            if not held:
                return latest.info(self.name)
            catalog.writing = True
            self._file.save(catalog)
            info = self._written(catalog, self._without(held))
            with store_errors(self.name, "cleaned"):
                self._store.keep_only([v.at for v in catalog.live()])  # states on the way to this one, which may rest on deletion files
            return info

    def purge(self, row_ids: Sequence[int], *, request: str, redact: Mapping[int, Sequence[str]] | None = None) -> PurgeReport:
        """Delete the rows from every version, physically, and remove each version that held one; the others stay.

        Rows of ``redact`` that the latest version holds stay in the new one without the columns, each as another row with a new id.

        The intent and the tombstones are durable before the first row is touched; after a crash the next call on this dataset
        finishes the work. The same request for the same rows deletes nothing more and answers with what it did, the residual
        scanned anew. What another program committed meanwhile is kept, as a version.

        Raises:
            NotFound: the dataset has no version. BadInput: a column to redact is none. StoreUnavailable: the disk failed; call again to
                finish. Conflict: others keep committing to the table; call again to finish.
        """
        wanted = checked_row_ids(self.name, row_ids)
        if not request:
            raise BadInput(f"{self.name}: a purge needs the id of its request")
        asked = row_set(self._keys, self.name, wanted).digest
        with self._catalog() as catalog:
            if catalog.purge_record(request, asked) is None:
                self._take_in(catalog)
                latest = self._existing(catalog)
                held = self._held(catalog.live(), wanted)
                affected = [version for version, rows in held.items() if rows]
                names = self._store.schema(latest.at).names
                stay = redactions(self.name, redact or {}, held[latest.version], names, catalog.next_row_id)
                catalog.next_row_id += len(new_ids(stay))
                intent = PendingPurge(
                    request=request,
                    asked=asked,
                    row_ids=sorted(set().union(*held.values())),
                    versions=affected,
                    rewrite=latest.version in affected,
                    files=sorted(self._store.files()),
                    redacted=stay,
                    source=latest.at,
                )
                catalog.begin_purge(intent)
                self._file.save(catalog)
                self._finish_purge(catalog)
            else:
                self._try_again(catalog)
            done = catalog.purge_record(request, asked)
            assert done is not None
            residual, files = self._residual(wanted)
            return PurgeReport(
                dataset=self.name,
                rows_deleted=done.rows_deleted,
                versions_removed=tuple(done.versions),
                new_version=self._existing(catalog).info(self.name),
                bytes_rewritten=done.bytes_rewritten,
                residual_rows=residual,
                files_scanned=files,
                unpurged=self.cannot_purge(),
                redacted=tuple((row, tuple(one["columns"])) for one in done.redacted for row in one["new"]),
            )

    def residual_scan(self, row_ids: Sequence[int]) -> tuple[int, int]:
        """(rows found, files decoded): every file of the store is decoded, whether or not a version refers to it.

        Raises:
            Incomplete: there is a file that is no data, manifest or log of this store, or a log that may name a person.
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

    def _existing(self, catalog: Catalog) -> StoredVersion:
        latest = catalog.latest()
        if latest is None:
            raise NotFound(f"{self.name} has no version: nothing was ever written", hint=f"govern dataset write {self.name} FILE")
        return latest

    def _living(self, catalog: Catalog, version: str) -> StoredVersion:
        found = catalog.version(version)
        if found.gone:
            raise Gone(
                f"{self.name}@{version} was erased by request {found.request}: {found.rows} rows, digest {found.digest}",
                hint=f"govern dataset versions {self.name}",
            )
        return found

    def _read(self, version: StoredVersion, columns: Sequence[str] | None) -> pa.Table:
        names = [n for n in self._store.schema(version.at).names if n != ROW_ID]
        unknown = [c for c in columns or () if c not in names and c != ROW_ID]
        if unknown:
            raise NotFound(f"{self.name}@{version.version} has no column {unknown[0]!r}; it has {', '.join(names)}")
        wanted = names if columns is None else [c for c in columns if c != ROW_ID]
        with store_errors(self.name, "read"):
            return self._store.table(version.at, [ROW_ID, *wanted]).sort_by(ROW_ID)

    def _ids(self, version: StoredVersion) -> pa.ChunkedArray:
        with store_errors(self.name, "read"):
            return self._store.table(version.at, [ROW_ID]).column(ROW_ID)

    def _held(self, versions: Sequence[StoredVersion], wanted: list[int]) -> dict[str, set[int]]:
        with store_errors(self.name, "read"):
            held = self._store.held(wanted, {v.at for v in versions})
        return {v.version: set(held[v.at]) for v in versions}

    def _residual(self, wanted: list[int]) -> tuple[int, int]:
        with store_errors(self.name, "scanned"):
            return self._store.residual(wanted)

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
        # Dictionaries are unpacked: a filtered dictionary array keeps the values of the rows that were left out.
        plain = [pa.field(f.name, f.type.value_type if pa.types.is_dictionary(f.type) else f.type, nullable=True) for f in table.schema]
        plain_table: pa.Table = table.cast(pa.schema(plain))
        dataset_digest(plain_table.slice(0, 0))  # a type without a canonical encoding is refused before anything is written
        return plain_table

    def _same_schema(self, latest: StoredVersion, rows: pa.Table) -> None:
        expected = {f.name: f.type for f in self._store.schema(latest.at) if f.name != ROW_ID}
        given = {f.name: f.type for f in rows.schema}
        if expected != given:
            differ = sorted(n for n in expected.keys() | given.keys() if expected.get(n) != given.get(n))
            raise BadInput(
                f"{self.name}: rows cannot be appended to version {latest.version}, these columns differ: {', '.join(differ)}",
                hint="bring the columns to the version's types, or write with mode=replace",
            )

    # ── states into versions ────────────────────────────────────────────────────────────────────
    def _take_in(self, catalog: Catalog) -> None:
        """Enter what another program committed as a version of its own, written anew so that nothing rests on its deletion files."""
        latest, head = catalog.latest(), self._store.head()
        if head == (latest.at if latest else 0):
            return
        known = self._read(latest, None) if latest else None
        at = self._numbered(catalog, head, known)
        self._record(catalog, at)
        self._file.save(catalog)
        with store_errors(self.name, "cleaned"):
            self._store.keep_only([v.at for v in catalog.live()])

    def _numbered(self, catalog: Catalog, at: int, known: pa.Table | None) -> int:
        """Write state ``at`` anew with an id for each row: its own when it is one of ``known``, else a new one."""
        names = self._store.schema(at).names
        with store_errors(self.name, "read"):
            rows = self._store.table(at, names)
        plain = self._store.admit(self._checked(rows.select([n for n in names if n != ROW_ID]), "replace", None))
        claimed = rows.column(ROW_ID).to_pylist() if ROW_ID in names else [None] * rows.num_rows
        kept = claimed_row_ids(claimed, row_hashes(plain), known)
        first = max([catalog.next_row_id, *(n + 1 for n in claimed if isinstance(n, int))])
        catalog.next_row_id = first + kept.count(None)
        self._file.save(catalog)
        return self._put(plain.add_column(0, ROW_ID, pa.array(_minted(kept, first), pa.int64())), fresh=True)

    def _put(self, rows: pa.Table, *, fresh: bool) -> int:
        try:
            with store_errors(self.name, "written"):
                return self._store.put(rows, fresh=fresh)
        except Moved as error:
            raise Conflict(f"{self.name}: another program committed to it at the same moment: {error}", hint="run it again") from error

    def _written(self, catalog: Catalog, at: int) -> DatasetVersionInfo:
        stored = self._record(catalog, at)
        catalog.writing = False
        self._file.save(catalog)
        return stored.info(self.name)

    def _record(self, catalog: Catalog, at: int) -> StoredVersion:
        """Enter a state in the catalog, measured on what the store gives back."""
        stored = StoredVersion(version=self._next_version(catalog, at), rows=0, digest="", row_set="", created_at=self._clock.now(), at=at)
        table = self._read(stored, None)
        ids = table.column(ROW_ID).combine_chunks()
        if not _sound(ids, catalog.next_row_id):  # rows of another program came in between: they get ids of their own
            ours = table.filter(pc.is_in(table.column(ROW_ID), value_set=pa.array(range(1, catalog.next_row_id), pa.int64())))
            stored.at = self._numbered(catalog, at, ours)
            table = self._read(stored, None)
            ids = table.column(ROW_ID)
        committed = row_set(self._keys, self.name, ids.to_pylist())
        stored.rows, stored.digest, stored.row_set = committed.count, dataset_digest(table), committed.digest
        catalog.versions.append(stored)
        return stored

    @staticmethod
    def _next_version(catalog: Catalog, at: int) -> str:
        """The state's own number, or the next one that no version ever had (a state can get an old number again)."""
        highest = max((int(v.version) for v in catalog.versions), default=0)
        return str(max(at, highest + 1))

    def _undo_write(self, catalog: Catalog) -> None:
        """A write that was not recorded did not happen: the last version is brought back on top, the orphan removed."""
        latest = catalog.latest()
        with store_errors(self.name, "restored"):
            at = self._store.back_to(latest.at if latest else 0)
        if latest is not None:
            latest.at = at
        catalog.writing = False
        self._file.save(catalog)
        with store_errors(self.name, "cleaned"):
            self._store.keep_only([v.at for v in catalog.live()])

    # ── purging ─────────────────────────────────────────────────────────────────────────────────
    def _finish_purge(self, catalog: Catalog) -> None:
        intent = catalog.pending
        assert intent is not None
        if intent.rewrite:
            self._record(catalog, self._redacted(catalog, intent) if intent.redacted else self._without(intent.row_ids))
            intent.rewrite = False
            intent.bytes_rewritten = sum(size for path, size in self._store.files().items() if path not in intent.files)
            self._file.save(catalog)
        with store_errors(self.name, "purged"):
            self._store.keep_only([v.at for v in catalog.live()])
        catalog.end_purge()
        self._file.save(catalog)

    def _try_again(self, catalog: Catalog) -> None:
        """Remove what the place would not give up before; where nothing was kept from going there is nothing to do."""
        live = [v.at for v in catalog.live()]
        if live and self.cannot_purge() is not None:
            with store_errors(self.name, "purged"):
                self._store.keep_only(live)

    def _redacted(self, catalog: Catalog, intent: PendingPurge) -> int:
        """The state without the rows, and with what stays of some; again after a crash, what was added before it goes first."""
        source = next(v for v in catalog.versions if v.at == intent.source and v.version in intent.versions)
        stay = redacted_rows(self._read(source, None), intent.redacted)
        self._without(sorted([*intent.row_ids, *new_ids(intent.redacted)]))
        for _ in range(_ATTEMPTS):
            try:
                return self._put(stay, fresh=False)
            except Conflict:
                continue
        raise self._outpaced()

    def _without(self, row_ids: list[int]) -> int:
        for _ in range(_ATTEMPTS):
            try:
                with store_errors(self.name, "purged"):
                    return self._store.without(row_ids)
            except Moved:
                continue
        raise self._outpaced()

    def _outpaced(self) -> Conflict:
        return Conflict(
            f"{self.name}: another program commits to it faster than rows can be deleted ({_ATTEMPTS} attempts)",
            hint="stop the job that writes it, then again: what was begun is finished",
        )


def _minted(kept: RowIds, first: int) -> list[int]:
    ids: list[int] = []
    for old in kept:
        ids.append(first if old is None else old)
        first += old is None
    return ids


def _sound(ids: pa.Array, limit: int) -> bool:
    """Whether sorted ids are there, distinct, and given out by us."""
    if not len(ids):
        return True
    if ids.null_count or ids[0].as_py() < 1 or ids[-1].as_py() >= limit:
        return False
    return bool(pc.all(pc.greater(ids[1:], ids[:-1])).as_py()) if len(ids) > 1 else True
