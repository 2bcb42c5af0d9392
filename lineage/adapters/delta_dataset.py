"""Versioned rows in a Delta Lake table that Govern owns, and a purge that leaves neither files nor log entries behind.

Three things keep the transaction log free of persons: a deletion is a commit of files and names no condition, statistics are kept of
the row id alone (``delta.dataSkippingStatsColumns``), and the table is not partitioned by a value. Each state that is kept has a
checkpoint of its own, so that the log of all others can be removed; their data files are those that no kept state lists. Delta's own
VACUUM is not used: it protects the newest state only, and writes to the log it should shorten.

The table lies in a folder of the home or in a bucket: delta-rs writes there by itself, each commit put only where none was before;
what is removed, and what the bucket keeps of it, goes by :mod:`lineage.adapters.table_files`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc

from lineage.adapters.dataset_catalog import checked_name
from lineage.adapters.delta_log import LOG, log_version, read_log_file
from lineage.adapters.delta_rewrite import can_rewrite, data_files, rewrite_actions, writer_properties
from lineage.adapters.delta_types import delta_schema
from lineage.adapters.parquet_codec import Holders, decoded, found_in
from lineage.adapters.table_dataset import TableDataset
from lineage.adapters.table_files import Content, LocalFiles, TableFiles
from lineage.adapters.table_store import Moved
from lineage.datasets import ROW_ID
from lineage.errors import BadInput, Conflict, Incomplete, Tampered
from lineage.ports import Clock, KeyStore

__all__ = ["DeltaDataset", "DeltaStore"]

_FILE_BYTES = 512 * 1024
"""Aim for a data file: with rows sorted by subject, a deletion rewrites few of many small files instead of all of a few large ones."""
_IDS_PER_DELETE = 50_000
_TABLE = {
    "delta.dataSkippingStatsColumns": ROW_ID,
    "delta.enableExpiredLogCleanup": "false",  # the log is shortened by a purge, by state and not by age
    "delta.targetFileSize": str(_FILE_BYTES),
}


class DeltaDataset(TableDataset):
    """A dataset of kind ``delta`` (port :class:`lineage.ports.VersionedDataset`).

    Args:
        root: folder of all datasets; this one lives in ``root/name``.
        name: its registered name.
        keys: for the committed row sets.
        clock: for the versions' times.
        sort_by: column by which rows are clustered on disk, usually the subject key.
        files: where the table lies, when not in ``root/name``.
    """

    def __init__(
        self, root: Path, name: str, *, keys: KeyStore, clock: Clock, sort_by: str | None = None, files: TableFiles | None = None
    ) -> None:
        folder = root / checked_name(name)
        store = DeltaStore(files or LocalFiles(folder / "delta"), name, sort_by)
        super().__init__(store, folder, name, keys=keys, clock=clock, sort_by=sort_by)


class DeltaStore:
    """The states of one Delta table (:class:`lineage.adapters.table_store.TableStore`); a state's number is Delta's version + 1."""

    def __init__(self, files: TableFiles, name: str, sort_by: str | None) -> None:
        self._files = files
        self._name = name
        self._sort_by = sort_by
        self._holders: Holders | None = None

    def head(self) -> int:
        """The newest version + 1."""
        return int(self._open().version()) + 1 if self._files.sizes(LOG) else 0

    def admit(self, rows: pa.Table) -> pa.Table:
        """The rows in Delta's types: unsigned widened, times in microseconds, lists of any length; nothing is rounded."""
        schema = delta_schema(rows.schema, self._name)
        try:
            return rows.cast(schema)
        except pa.ArrowInvalid as error:
            raise BadInput(f"{self._name}: Delta cannot hold a value as it is: {error}", hint="round or cast the column first") from error

    def put(self, rows: pa.Table, *, fresh: bool) -> int:
        """Append or overwrite, sorted by the sort key, in small files."""
        from deltalake import write_deltalake

        if self._sort_by is not None:
            rows = rows.sort_by([(self._sort_by, "ascending"), (ROW_ID, "ascending")])
        self._files.claim()
        there, access = self.head() > 0, self._files.access()
        with self._errors():
            write_deltalake(
                access.uri,
                rows,
                storage_options=access.options,
                mode="overwrite" if fresh and there else "append",
                schema_mode="overwrite" if fresh and there else None,
                configuration=None if there else _TABLE,
                target_file_size=_FILE_BYTES,
                writer_properties=writer_properties(rows.schema),
                post_commithook_properties=_no_hooks(),
            )
        return self._checkpointed()

    def schema(self, at: int) -> pa.Schema:
        """The columns of a version, in the types that :meth:`admit` gives."""
        return delta_schema(pa.schema(self._open(at).schema().to_arrow()), self._name)

    def table(self, at: int, columns: Sequence[str]) -> pa.Table:
        """These columns of a version."""
        schema = self.schema(at)
        with self._errors():
            rows = self._open(at).to_pyarrow_table(columns=list(columns))
        return rows.cast(pa.schema([schema.field(column) for column in columns]))

    def held(self, row_ids: Collection[int], states: Collection[int]) -> Mapping[int, set[int]]:
        """By the row ids of each file; a file that several states share is decoded once."""
        self._holders, found = Holders(row_ids), {}
        values = pa.array(row_ids, pa.int64())
        for state in states:
            table = self._open(state)
            if can_rewrite(table):
                files = self._holders.among(data_files(table), self._ids_of)
                found[state] = {row for rows in files.values() for row in rows}
            else:
                ids = self.table(state, [ROW_ID]).column(ROW_ID)
                found[state] = set(ids.filter(pc.is_in(ids, value_set=values)).to_pylist())
        return found

    def without(self, row_ids: Sequence[int]) -> int:
        """The touched files are written anew, so no deletion vector is made.

        A table that another program gave features of which files alone do not tell (column mapping, partitions) is the library's.
        """
        holders, self._holders = self._holders, None
        if holders is None or not holders.covers(row_ids):
            holders = Holders(row_ids)
        with self._errors():
            table = self._open()
            if can_rewrite(table):
                holding = holders.among(data_files(table), self._ids_of)
                actions = rewrite_actions(table, row_ids, holding, self._decoded, self._files.write)
                if actions:
                    table.create_write_transaction(actions, "append", table.schema(), post_commithook_properties=_no_hooks())
            else:
                for start in range(0, len(row_ids), _IDS_PER_DELETE):
                    some = row_ids[start : start + _IDS_PER_DELETE]
                    self._open().delete(f"{ROW_ID} IN ({', '.join(map(str, some))})", post_commithook_properties=_no_hooks())
        return self._checkpointed()

    def back_to(self, at: int) -> int:
        """Restore an older version on top; without one all files go."""
        if at == 0:
            self._files.remove(list(self._files.sizes("")))
            self._files.sweep()
            return 0
        if self.head() != at:
            with self._errors():
                self._open().restore(at - 1)
        return self._checkpointed()

    def keep_only(self, states: Collection[int]) -> None:
        """Remove the other states' log entries, then every data file that no state left lists."""
        if not states:
            return
        newest, log = max(states), self._files.sizes(LOG)
        listed: set[str] = set()
        for state in sorted({*states, self.head()}):
            table = self._open(state)
            if state in states and f"{LOG}/{state - 1:020d}.checkpoint.parquet" not in log:
                with self._errors():
                    table.create_checkpoint()  # a crash came before it; without one the state needs the log of all before it
            # By name, which holds a UUID: how a path is spelled in a URI must never decide what is removed.
            listed.update(unquote(uri.rpartition("/")[2]) for uri in table.file_uris())
        self._files.remove([name for name in log if self._old(name, states, newest)])
        self._files.remove([name for name in self.files() if name.rpartition("/")[2] not in listed])
        self._files.sweep()

    def files(self) -> Mapping[str, int]:
        """The files outside of the log."""
        return {name: size for name, size in self._files.sizes("").items() if not name.startswith(f"{LOG}/")}

    def residual(self, row_ids: Sequence[int]) -> tuple[int, int]:
        """The row ids of every data file; every commit and checkpoint, read for what may name a person."""
        contents = self._files.contents()
        found = found_in(self._scanned(contents), pa.array(row_ids, pa.int64()))
        return sum(len(rows) for _, rows in found), len(contents)

    def pins(self) -> Mapping[str, int]:
        """None: Delta's open format has no tags."""
        return {}

    def cannot_purge(self) -> str | None:
        """What the place of the files says."""
        return self._files.cannot_purge()

    # ── inside ──────────────────────────────────────────────────────────────────────────────────
    def _decoded(self, name: str, columns: list[str] | None = None) -> pa.Table:
        try:
            rows = decoded(self._files.open(name), columns)
            return rows.cast(delta_schema(rows.schema, self._name))  # delta-rs writes views of texts, which cannot be filtered
        except (FileNotFoundError, pa.ArrowInvalid) as error:
            message = f"{self._name}: its data file {name} is damaged or not there: {error}"
            raise Tampered(message, hint="restore it from a backup") from error

    def _ids_of(self, name: str) -> pa.ChunkedArray:
        ids = self._decoded(name, [ROW_ID])
        if not ids.num_columns:  # appended by another program just now; it holds no row of ours
            return pa.chunked_array([], pa.int64())
        return ids.column(0).cast(pa.int64())

    def _open(self, at: int | None = None) -> Any:
        from deltalake import DeltaTable
        from deltalake.exceptions import DeltaError

        access = self._files.access()
        try:
            with self._files.answers():
                return DeltaTable(access.uri, version=None if at is None else at - 1, storage_options=access.options)
        except DeltaError as error:
            which = "data" if at is None else f"data of store version {at}"
            message = f"{self._name}: its catalog lists {which} that is not on disk: {error}"
            raise Tampered(message, hint="restore it from a backup") from error

    def _checkpointed(self) -> int:
        table = self._open()
        with self._errors():
            table.create_checkpoint()
        return int(table.version()) + 1

    @staticmethod
    def _old(name: str, states: Collection[int], newest: int) -> bool:
        """Whether a file of the log is of a state that goes, or of no known kind."""
        version = log_version(name.removeprefix(f"{LOG}/"))
        return name != f"{LOG}/_last_checkpoint" and (version is None or (version + 1 not in states and version + 1 < newest))

    def _scanned(self, contents: Sequence[Content]) -> Iterator[tuple[str, pa.ChunkedArray]]:
        """The row ids of each data file; the log is read on the way."""
        for one in contents:
            if one.name.startswith(f"{LOG}/"):
                self._read_log(one)
            else:
                yield str(one), self._row_ids(one)

    def _row_ids(self, one: Content) -> pa.ChunkedArray:
        if not one.name.endswith(".parquet"):
            hint = (
                "purge again with a Delta writer that makes no deletion vectors" if one.name.endswith(".bin") else "remove it, then again"
            )
            raise Incomplete(f"{self._name}: {one} was not scanned, it is no data file of this table", hint=hint)
        try:
            ids = decoded(self._files.open(one.name, one.version), [ROW_ID])
            if ids.num_columns:
                return ids.column(0).cast(pa.int64())
        except pa.ArrowException as error:
            raise Incomplete(f"{self._name}: {one} cannot be decoded: {error}", hint="remove it, then again") from error
        raise Incomplete(f"{self._name}: {one} has no column {ROW_ID} and was not scanned", hint="remove it, then again")

    def _read_log(self, one: Content) -> None:
        if trouble := read_log_file(one.name.removeprefix(f"{LOG}/"), self._files.read(one.name, one.version)):
            raise Incomplete(
                f"{self._name}: {one} {trouble}",
                hint=f"govern dataset scan {self._name}, which writes the present rows anew and shortens the log",
            )

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Delta's errors, as the ones a caller can act on."""
        from deltalake.exceptions import CommitFailedError, DeltaError, DeltaProtocolError

        try:
            with self._files.answers():
                yield
        except CommitFailedError as error:
            raise Moved(str(error)) from error
        except DeltaProtocolError as error:
            raise Conflict(
                f"{self._name}: another program gave the table a feature that cannot be used here: {error}",
                hint="write its rows anew there without it (deletion vectors: REORG TABLE … APPLY (PURGE)), then again",
            ) from error
        except DeltaError as error:
            raise BadInput(f"{self._name}: Delta refuses this: {error}", hint="cast the columns to plain types") from error


def _no_hooks() -> Any:
    """No checkpoint and no clean-up by age after a commit: both are done here, by state."""
    from deltalake import PostCommitHookProperties

    return PostCommitHookProperties(create_checkpoint=False, cleanup_expired_logs=False)
