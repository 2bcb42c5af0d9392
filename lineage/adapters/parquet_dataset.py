"""Versioned rows in Parquet files: one file a bucket of subjects, one small manifest a state, nothing but pyarrow.

The files lie in a folder of the home or in an object store (:mod:`lineage.adapters.object_files`).

A file is written once. A state is the list of files in its manifest, so states share what did not change, and deleting a
person's rows writes only the files of their buckets anew. Removing a state is removing its manifest and each file that no other
manifest lists. Manifests hold file names and counts; a file's name holds numbers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lineage.adapters.dataset_catalog import checked_name
from lineage.adapters.parquet_buckets import bucket_count, buckets
from lineage.adapters.parquet_codec import Holders, decoded, encoded, found_in
from lineage.adapters.table_dataset import TableDataset
from lineage.adapters.table_files import Content, LocalFiles, TableFiles
from lineage.datasets import ROW_ID
from lineage.errors import BadInput, Incomplete, Tampered
from lineage.ports import Clock, KeyStore

__all__ = ["ParquetDataset", "ParquetStore"]

_ROWS_PER_FILE = 8192
_MANIFEST = re.compile(r"manifests/(\d{8})\.json")
_DATA = re.compile(r"data/\d{8}-\d{4}\.parquet")


class ParquetDataset(TableDataset):
    """A dataset of kind ``parquet`` (port :class:`lineage.ports.VersionedDataset`).

    Args:
        root: folder of all datasets; this one lives in ``root/name``.
        name: its registered name.
        keys: for the committed row sets and the buckets.
        clock: for the versions' times.
        sort_by: the subject key, by which rows are put into buckets; without one, rows lie in the order they came.
        files: where the data lies, when not in ``root/name``.
    """

    def __init__(
        self, root: Path, name: str, *, keys: KeyStore, clock: Clock, sort_by: str | None = None, files: TableFiles | None = None
    ) -> None:
        folder = root / checked_name(name)
        store = ParquetStore(files or LocalFiles(folder / "parquet"), name, sort_by, keys)
        super().__init__(store, folder, name, keys=keys, clock=clock, sort_by=sort_by)


class ParquetStore:
    """The states of one set of Parquet files (:class:`lineage.adapters.table_store.TableStore`); a state's number is its manifest's."""

    def __init__(self, files: TableFiles, name: str, bucket_by: str | None, keys: KeyStore) -> None:
        self._files = files
        self._name = name
        self._bucket_by = bucket_by
        self._keys = keys
        self._holders: Holders | None = None

    def head(self) -> int:
        """The newest manifest's number."""
        return max(self._states(), default=0)

    def admit(self, rows: pa.Table) -> pa.Table:
        """The rows without the table's free metadata, which may hold anything; a type that Parquet lacks is refused."""
        for field in rows.schema:
            try:
                pq.write_table(pa.table({field.name: pa.array([], field.type)}), pa.BufferOutputStream())
            except pa.ArrowException as error:
                raise BadInput(f"{self._name}: Parquet cannot hold column {field.name!r}: {error}", hint="cast it first") from error
        return rows.cast(pa.schema([pa.field(f.name, f.type) for f in rows.schema]))

    def put(self, rows: pa.Table, *, fresh: bool) -> int:
        """One file for each bucket that has rows, then the manifest."""
        self._holders = None
        before = self.head()
        state = before + 1
        listed = [] if fresh or not before else self._manifest(before)
        count = bucket_count(rows.num_rows, _ROWS_PER_FILE)
        new = [self._write(state, n, part) for n, part in buckets(rows, self._bucket_by, count, self._key())]
        if not listed and not new:  # an empty table is a state too: its schema lies in an empty file
            new = [self._write(state, 0, rows)]
        return self._publish(state, [*listed, *new])

    def schema(self, at: int) -> pa.Schema:
        """The columns, from the first file."""
        with self._open(Content(name=self._manifest(at)[0], size=0)) as file:
            return pq.read_schema(file).remove_metadata()

    def table(self, at: int, columns: Sequence[str]) -> pa.Table:
        """These columns of every file that the manifest lists."""
        return pa.concat_tables([self._read(name, columns) for name in self._manifest(at)])

    def held(self, row_ids: Collection[int], states: Collection[int]) -> Mapping[int, set[int]]:
        """By the row ids of each file; a file that several states share is decoded once."""
        self._holders = Holders(row_ids)
        found = {}
        for state in states:
            files = self._holders.among(self._manifest(state), self._row_ids)
            found[state] = {row for rows in files.values() for row in rows}
        return found

    def without(self, row_ids: Sequence[int]) -> int:
        """The files that hold one of the rows, written anew without them; all others are shared with the state before."""
        state, values = self.head() + 1, pa.array(row_ids, pa.int64())
        holders, self._holders = self._holders, None
        if holders is None or not holders.covers(row_ids):
            holders = Holders(row_ids)
        listed = self._manifest(state - 1)
        touched = holders.among(listed, self._row_ids)
        kept = [name for name in listed if name not in touched]
        new: list[str] = []
        empty: pa.Table | None = None
        for name in sorted(touched):
            before = self._read(name, None)
            rows = before.filter(pc.invert(pc.is_in(before.column(ROW_ID), value_set=values)))
            if rows.num_rows:
                new.append(self._write(state, len(new), rows))
            else:
                empty = rows
        if not kept and not new and empty is not None:
            new = [self._write(state, 0, empty)]
        return self._publish(state, [*kept, *new])

    def back_to(self, at: int) -> int:
        """Drop the newer manifests; their files go with :meth:`keep_only`."""
        self._holders = None
        self._files.remove([name for state, name in self._states().items() if state > at])
        if at == 0:
            self._files.remove(list(self.files()))
        self._files.sweep()
        return at

    def keep_only(self, states: Collection[int]) -> None:
        """Remove the other manifests first, then every file that no manifest lists, then what the place keeps of removed files."""
        if not states:
            return
        listed = {name for state in states for name in self._manifest(state)}
        manifests = {f"manifests/{state:08d}.json" for state in states}
        self._files.remove([name for name in self._files.sizes("manifests") if name not in manifests])
        self._files.remove([name for name in self.files() if name not in listed])
        self._files.sweep()

    def files(self) -> Mapping[str, int]:
        """Every file among the data."""
        return self._files.sizes("data")

    def residual(self, row_ids: Sequence[int]) -> tuple[int, int]:
        """The row ids of every data file, and every manifest, decoded: the present ones and what the place keeps of removed ones."""
        contents = self._files.contents()
        found = found_in(self._scanned(contents), pa.array(row_ids, pa.int64()))
        return sum(len(rows) for _, rows in found), len(contents)

    def pins(self) -> Mapping[str, int]:
        """None: nothing but the catalog keeps a state."""
        return {}

    def cannot_purge(self) -> str | None:
        """What the place of the files says."""
        return self._files.cannot_purge()

    # ── files ───────────────────────────────────────────────────────────────────────────────────
    def _row_ids(self, name: str) -> pa.ChunkedArray:
        return self._read(name, [ROW_ID]).column(0)

    def _scanned(self, contents: Sequence[Content]) -> Iterator[tuple[str, pa.ChunkedArray]]:
        """The row ids of each data file; manifests are read on the way, and what is neither is named."""
        for one in contents:
            if match := _MANIFEST.fullmatch(one.name):
                self._listed(one, int(match[1]))
            elif _DATA.fullmatch(one.name):
                ids = self._decoded(one, [ROW_ID])
                if not ids.num_columns:
                    raise Incomplete(f"{self._name}: {one} has no column {ROW_ID} and was not scanned", hint="remove it, then again")
                yield str(one), ids.column(0)
            else:
                raise Incomplete(f"{self._name}: {one} is no file of this dataset and was not scanned", hint="remove it, then again")

    def _key(self) -> bytes:
        return self._keys.hmac("rowset", b"buckets\x00" + self._name.encode())

    def _states(self) -> dict[int, str]:
        names = self._files.sizes("manifests")
        return {int(match[1]): name for name in names if (match := _MANIFEST.fullmatch(name))}

    def _manifest(self, at: int) -> list[str]:
        return self._listed(Content(name=f"manifests/{at:08d}.json", size=0), at)

    def _listed(self, manifest: Content, at: int) -> list[str]:
        try:
            body = json.loads(self._files.read(manifest.name, manifest.version))
            listed = body["files"]
            if body["state"] == at and listed and all(_DATA.fullmatch(one) for one in listed):
                return list(listed)
        except FileNotFoundError as error:
            message = f"{self._name}: its catalog lists data of store version {at} that is not on disk: {manifest}"
            raise Tampered(message, hint="restore it from a backup") from error
        except (ValueError, KeyError, TypeError) as error:
            raise Tampered(f"{self._name}: {manifest} is damaged: {error!r}", hint="restore it from a backup") from error
        raise Tampered(f"{self._name}: {manifest} is not the manifest of state {at}", hint="restore it from a backup")

    def _publish(self, state: int, names: list[str]) -> int:
        body = {"schema": 1, "state": state, "files": names}
        self._files.publish(f"manifests/{state:08d}.json", json.dumps(body, separators=(",", ":")).encode())
        return state

    def _write(self, state: int, number: int, rows: pa.Table) -> str:
        name = f"data/{state:08d}-{number:04d}.parquet"
        self._files.write(name, encoded(rows, "zstd").to_pybytes())
        return name

    def _open(self, one: Content) -> pa.NativeFile:
        try:
            return self._files.open(one.name, one.version)
        except FileNotFoundError as error:
            raise Tampered(f"{self._name}: its data file {one} is not there", hint="restore it from a backup") from error

    def _read(self, name: str, columns: Sequence[str] | None) -> pa.Table:
        return self._decoded(Content(name=name, size=0), columns)

    def _decoded(self, one: Content, columns: Sequence[str] | None) -> pa.Table:
        file = self._open(one)
        try:
            return decoded(file, list(columns) if columns is not None else None)
        except (pa.ArrowInvalid, OSError) as error:
            raise Tampered(f"{self._name}: its data file {one} is damaged: {error}", hint="restore it from a backup") from error
