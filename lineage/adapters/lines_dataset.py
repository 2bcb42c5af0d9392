"""A raw landing file as a versioned dataset: one line one row, the line's number its row id for ever.

The file belongs to whoever delivers it; we keep digests of its states, never copies. An earlier state can still be read as
long as the present lines contain it unchanged (a file that only grew), which its digest decides. A purge empties the line
and keeps the line break, so that no other line changes its number.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from lineage.adapters.dataset_catalog import (
    Catalog,
    CatalogFile,
    PendingPurge,
    StoredVersion,
    checked_name,
    checked_row_ids,
    dataset_lock,
    from_ranges,
    temporary_of,
    to_ranges,
    write_atomic,
)
from lineage.datasets import ROW_ID, dataset_digest, row_set
from lineage.errors import BadInput, Conflict, Gone, NotFound, StoreUnavailable
from lineage.model import DatasetVersionInfo, PurgeReport
from lineage.ports import Clock, KeyStore

__all__ = ["LinesDataset"]

_LINE = "line"
_ATTEMPTS = 5


class LinesDataset:
    """A dataset of kind ``lines`` (port :class:`lineage.ports.VersionedDataset`).

    Args:
        path: the landing file, UTF-8 text.
        root: folder of all datasets' own state; this one's lies in ``root/name``.
        name: its registered name.
        keys: for the committed row sets.
        clock: for the versions' times.
    """

    def __init__(self, path: Path, root: Path, name: str, *, keys: KeyStore, clock: Clock) -> None:
        self.name = checked_name(name)
        self._path = path
        self._keys = keys
        self._clock = clock
        self._file = CatalogFile(root / name / "catalog.json", name)
        self._lock = dataset_lock(root / name)

    # ── reading ─────────────────────────────────────────────────────────────────────────────────
    def versions(self) -> list[DatasetVersionInfo]:
        """Every version, tombstones included, oldest first."""
        with self._catalog() as catalog:
            return [v.info(self.name) for v in catalog.versions]

    def latest(self) -> DatasetVersionInfo | None:
        """The newest version, ``None`` before the first scan."""
        with self._catalog() as catalog:
            latest = catalog.latest()
            return latest.info(self.name) if latest else None

    def scan(self) -> DatasetVersionInfo:
        """The file's present state: a new version when its lines changed, else the latest one.

        Raises:
            NotFound: there is no such file. BadInput: it is not UTF-8 text. Conflict: an erased line holds text again.
        """
        with self._catalog() as catalog:
            return self._scan(catalog).info(self.name)

    def read(self, version: str, columns: Sequence[str] | None = None) -> pa.Table:
        """The lines of a version (or ``latest``) with their numbers as ``govern_row_id``; blank lines are no rows.

        Raises:
            Gone: the version was purged, or the file no longer holds its lines. Conflict: the file changed since the last scan.
        """
        with self._catalog() as catalog:
            table = self._read(catalog, version)
        unknown = [c for c in columns or () if c not in table.column_names]
        if unknown:
            raise NotFound(f"{self.name} has no column {unknown[0]!r}; it has {', '.join(table.column_names)}")
        return table if columns is None else table.select([ROW_ID, *(c for c in columns if c != ROW_ID)])

    def count(self, version: str) -> int:
        """Rows of a version, recounted in the file."""
        with self._catalog() as catalog:
            return int(self._read(catalog, version).num_rows)

    def row_ids(self, version: str) -> list[int]:
        """The sorted line numbers of a version. Raises ``Gone`` for a purged one."""
        with self._catalog() as catalog:
            return from_ranges(self._living(catalog, version).members)

    def versions_with(self, row_ids: Sequence[int]) -> list[str]:
        """The live versions that held one of the lines."""
        wanted = set(checked_row_ids(self.name, row_ids))
        with self._catalog() as catalog:
            return [v.version for v in catalog.live() if wanted.intersection(from_ranges(v.members))]

    def pins(self) -> dict[str, str]:
        """None: a file has no tags."""
        return {}

    def cannot_purge(self) -> str | None:
        """Nothing stands against it: the file is written anew."""
        return None

    # ── writing ─────────────────────────────────────────────────────────────────────────────────
    def write(self, table: pa.Table, *, mode: str = "append", key: str | None = None) -> DatasetVersionInfo:
        """Append the table's ``line`` column to the end of the file, atomically, and scan it.

        Raises:
            BadInput: another mode (the file's owner replaces it, then :meth:`scan`), a key, no ``line`` column, a blank line
                or one with a line break in it.
        """
        if mode != "append" or key is not None:
            raise BadInput(
                f"{self.name} is a landing file: rows can be appended, with no key; mode {mode!r}, key {key!r} cannot be done",
                hint=f"replace the file and run: govern dataset scan {self.name}",
            )
        if _LINE not in table.column_names:
            raise BadInput(f"{self.name}: the table has no column {_LINE!r}; it has {', '.join(table.column_names) or 'none'}")
        lines = table.column(_LINE).cast(pa.string()).to_pylist()
        for number, line in enumerate(lines, start=1):
            if line is None or not line.strip() or "\n" in line or "\r" in line:
                raise BadInput(f"{self.name}: row {number} to append is not one line of text")
        with self._catalog() as catalog:
            self._scan(catalog)

            def appended(data: bytes) -> bytes:
                ended = data if not data or data.endswith(b"\n") else data + b"\n"
                return ended + "".join(f"{line}\n" for line in lines).encode()

            self._rewrite(appended)
            return self._scan(catalog).info(self.name)

    def delete(self, row_ids: Sequence[int]) -> DatasetVersionInfo:
        """Never: a landing file keeps no old states, so whatever deletes a line there purges it. Raises ``BadInput``."""
        raise BadInput(
            f"{self.name} is a landing file, which keeps no older version: {len(row_ids)} row(s) can be purged, not deleted",
            hint="erase them by a request: govern erasure request",
        )

    def purge(self, row_ids: Sequence[int], *, request: str, redact: Mapping[int, Sequence[str]] | None = None) -> PurgeReport:
        """Empty the lines in the file, physically; every version that held one becomes a tombstone.

        Intent and tombstones are durable first; after a crash the next call on this dataset finishes the work. The same
        request for the same lines deletes nothing more and answers with what it did, the residual scanned anew.

        Raises:
            NotFound: the file is not there or was never scanned.
        """
        wanted = checked_row_ids(self.name, row_ids)
        if not request:
            raise BadInput(f"{self.name}: a purge needs the id of its request")
        if redact:
            raise BadInput(f"{self.name}: a landing file is purged by whole lines; nothing of one stays", hint="choose purge or retain")
        asked = row_set(self._keys, self.name, wanted).digest
        with self._catalog() as catalog:
            if catalog.latest() is None:
                raise NotFound(f"{self.name} was never scanned", hint=f"govern dataset scan {self.name}")
            if catalog.purge_record(request, asked) is None:
                # What an unscanned change brought is first a version of its own, so that its lines are known.
                latest = self._scan(catalog, erasing=wanted)
                held = {v.version: set(wanted).intersection(from_ranges(v.members)) for v in catalog.live()}
                affected = [version for version, rows in held.items() if rows]
                intent = PendingPurge(
                    request=request,
                    asked=asked,
                    row_ids=sorted(set().union(*held.values())),
                    versions=affected,
                    rewrite=latest.version in affected,
                )
                catalog.erased = to_ranges([*from_ranges(catalog.erased), *intent.row_ids])
                catalog.begin_purge(intent)
                self._file.save(catalog)
                self._finish_purge(catalog)
            done = catalog.purge_record(request, asked)
            newest = catalog.latest()
            assert done is not None
            assert newest is not None
            return PurgeReport(
                dataset=self.name,
                rows_deleted=done.rows_deleted,
                versions_removed=tuple(done.versions),
                new_version=newest.info(self.name),
                bytes_rewritten=done.bytes_rewritten,
                residual_rows=self._residual(wanted),
                files_scanned=1,
            )

    def residual_scan(self, row_ids: Sequence[int]) -> tuple[int, int]:
        """(lines that hold text, files read)."""
        wanted = checked_row_ids(self.name, row_ids)
        with self._catalog():
            return self._residual(wanted), 1

    # ── inside ──────────────────────────────────────────────────────────────────────────────────
    @contextmanager
    def _catalog(self) -> Iterator[Catalog]:
        with self._lock:
            catalog = self._file.load()
            temporary_of(self._path).unlink(missing_ok=True)  # left by a crash in the middle of a rewrite
            if catalog.pending is not None:
                self._finish_purge(catalog)
            yield catalog

    def _bytes(self) -> bytes:
        try:
            return self._path.read_bytes()
        except FileNotFoundError as error:
            raise NotFound(
                f"{self.name}: its landing file {self._path} is not there", hint="put it back, or register the dataset with its new path"
            ) from error
        except OSError as error:
            raise StoreUnavailable(f"{self.name}: its landing file {self._path} cannot be read: {error}") from error

    def _table(self) -> pa.Table:
        """Number and text of every line that holds text."""
        numbers, texts = [], []
        for number, raw in enumerate(self._bytes().split(b"\n"), start=1):
            try:
                text = raw.removesuffix(b"\r").decode()
            except UnicodeDecodeError as error:
                raise BadInput(
                    f"{self.name}: line {number} of {self._path.name} is not UTF-8 (byte {error.start + 1})",
                    hint="convert it, e.g. iconv -f latin1 -t utf-8",
                ) from error
            if text.strip():
                numbers.append(number)
                texts.append(text)
        return pa.table({ROW_ID: pa.array(numbers, pa.int64()), _LINE: pa.array(texts, pa.string())})

    def _scan(self, catalog: Catalog, *, erasing: Sequence[int] = (), always: bool = False) -> StoredVersion:
        """Enter the file's state as a version when it changed (or ``always``); ``erasing`` may hold text once more."""
        table = self._table()
        numbers = table.column(ROW_ID).to_pylist()
        risen = sorted(set(numbers).intersection(from_ranges(catalog.erased)).difference(erasing))
        if risen:
            raise Conflict(
                f"{self.name}: line {risen[0]} of {self._path.name} was erased and holds text again ({len(risen)} such lines): "
                "a backup was restored, or the blank lines were removed and the others moved",
                hint="keep the blank lines and append new rows at the end",
            )
        digest = dataset_digest(table)
        committed = row_set(self._keys, self.name, numbers)
        latest = catalog.latest()
        if not always and latest is not None and (latest.digest, latest.row_set) == (digest, committed.digest):
            return latest
        stored = StoredVersion(
            version=str(len(catalog.versions) + 1),
            rows=committed.count,
            digest=digest,
            row_set=committed.digest,
            created_at=self._clock.now(),
            members=to_ranges(numbers),
        )
        catalog.versions.append(stored)
        catalog.next_row_id = max(catalog.next_row_id, numbers[-1] + 1 if numbers else 1)
        self._file.save(catalog)
        return stored

    def _living(self, catalog: Catalog, version: str) -> StoredVersion:
        found = catalog.version(version)
        if found.gone:
            raise Gone(
                f"{self.name}@{version} was erased by request {found.request}: {found.rows} rows, digest {found.digest}",
                hint=f"govern dataset versions {self.name}",
            )
        return found

    def _read(self, catalog: Catalog, version: str) -> pa.Table:
        found = self._living(catalog, version)
        table = self._table()
        members = set(from_ranges(found.members))
        kept = table.filter(pa.array([number in members for number in table.column(ROW_ID).to_pylist()], pa.bool_()))
        if dataset_digest(kept) == found.digest and kept.num_rows == found.rows:
            return kept
        if found is catalog.latest():
            raise Conflict(
                f"{self.name}: {self._path.name} changed since it was scanned as version {found.version}",
                hint=f"govern dataset scan {self.name}",
            )
        raise Gone(
            f"{self.name}@{found.version}: {self._path.name} no longer holds its {found.rows} lines; a landing file keeps no old states",
            hint=f"govern dataset versions {self.name}",
        )

    def _finish_purge(self, catalog: Catalog) -> None:
        intent = catalog.pending
        assert intent is not None
        if intent.rewrite:
            erased = set(intent.row_ids)

            def blanked(data: bytes) -> bytes:
                lines = data.split(b"\n")
                for number in erased:
                    if number <= len(lines):
                        lines[number - 1] = b"\r" if lines[number - 1].endswith(b"\r") else b""
                return b"\n".join(lines)

            intent.bytes_rewritten = self._rewrite(blanked)
            intent.rewrite = False
            self._scan(catalog, always=True)
        catalog.end_purge()
        self._file.save(catalog)

    def _rewrite(self, change: Callable[[bytes], bytes]) -> int:
        """Replace the file by a changed copy, atomically; returns the bytes written. Its mode stays.

        Whoever appends at the same moment keeps their lines: when the file moved on meanwhile, the change is made again on
        what is there then.
        """
        for _ in range(_ATTEMPTS):
            try:
                seen = self._path.stat()
                changed = change(self._bytes())
                if _state(self._path.stat()) != _state(seen):
                    continue
                write_atomic(self._path, changed, mode=stat.S_IMODE(seen.st_mode))
            except OSError as error:
                raise StoreUnavailable(
                    f"{self.name}: {self._path} cannot be rewritten: {error}", hint="free some disk space, then run it again"
                ) from error
            return len(changed)
        raise Conflict(
            f"{self.name}: {self._path} keeps changing while it is to be rewritten", hint="stop the job that writes it, then again"
        )

    def _residual(self, wanted: list[int]) -> int:
        return len(set(wanted).intersection(self._table().column(ROW_ID).to_pylist()))


def _state(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_ino, status.st_size, status.st_mtime_ns
