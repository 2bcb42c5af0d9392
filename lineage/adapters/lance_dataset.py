"""Versioned rows in a Lance folder: stable row ids, time travel, and a purge that leaves nothing behind.

Every state that is kept is made by a plain append or overwrite, or ends with a compaction at threshold 0, so none rests on a
deletion file: what a state does not show, its files do not hold. Removing states is Lance's cleanup with exactly the numbers it
is given; tags, which would stop it, are moved to the newest state first.

The table lies in a folder of the home or in a bucket: Lance writes there by itself, each manifest put only where none was before;
what a bucket keeps of what Lance removed goes by :mod:`lineage.adapters.table_files`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from lineage.adapters.dataset_catalog import checked_name
from lineage.adapters.lance_scan import LanceScan
from lineage.adapters.table_dataset import TableDataset
from lineage.adapters.table_files import LocalFiles, TableFiles
from lineage.adapters.table_store import Moved, store_errors
from lineage.datasets import ROW_ID
from lineage.errors import Tampered
from lineage.ports import Clock, KeyStore

__all__ = ["LanceDataset", "LanceStore"]

_ROWS_PER_FILE = 8192
"""Rows of a fragment: small enough that a purge rewrites little, large enough to scan fast (measured at 5 million rows)."""
_MERGED_BELOW = _ROWS_PER_FILE // 2
"""Rows below which compaction takes a fragment up that lost none: at the whole size, every later purge would write anew all that an
earlier one had made a little smaller (measured: 1.7 times the touched fragments at the second erasure)."""
_IDS_PER_DELETE = 10_000


class LanceDataset(TableDataset):
    """A dataset of kind ``lance`` (port :class:`lineage.ports.VersionedDataset`).

    Args:
        root: folder of all datasets; this one lives in ``root/name``.
        name: its registered name.
        keys: for the committed row sets.
        clock: for the versions' times.
        sort_by: column by which rows are clustered on disk, usually the subject key: one person's rows then lie in few files.
        files: where the table lies, when not in ``root/name``.
    """

    def __init__(
        self, root: Path, name: str, *, keys: KeyStore, clock: Clock, sort_by: str | None = None, files: TableFiles | None = None
    ) -> None:
        folder = root / checked_name(name)
        store = LanceStore(files or LocalFiles(folder / "data.lance"), name, sort_by, LanceScan(folder / ".scan", name))
        super().__init__(store, folder, name, keys=keys, clock=clock, sort_by=sort_by)


class LanceStore:
    """The states of one Lance folder (:class:`lineage.adapters.table_store.TableStore`); a state's number is Lance's version."""

    def __init__(self, files: TableFiles, name: str, sort_by: str | None, scan: LanceScan) -> None:
        self._files = files
        self._name = name
        self._sort_by = sort_by
        self._scan = scan

    def head(self) -> int:
        """Lance's newest version; 0 when there is no manifest."""
        return int(self._open().version) if self._files.sizes("_versions") else 0

    def admit(self, rows: pa.Table) -> pa.Table:
        """As they are: Lance holds every type that has a canonical encoding."""
        return rows

    def put(self, rows: pa.Table, *, fresh: bool) -> int:
        """Append or overwrite, clustered by the sort key."""
        import lance

        if self._sort_by is not None:
            rows = rows.sort_by([(self._sort_by, "ascending"), (ROW_ID, "ascending")])
        self._files.claim()
        access = self._files.access()
        mode = ("overwrite" if fresh else "append") if self._files.sizes("_versions") else "create"
        with self._commits():
            lance.write_dataset(
                rows,
                access.uri,
                mode=mode,
                max_rows_per_file=_ROWS_PER_FILE,
                enable_stable_row_ids=True,
                storage_options=access.options,
            )
        return self.head()

    def schema(self, at: int) -> pa.Schema:
        """The columns of a version."""
        return self._open(at).schema

    def table(self, at: int, columns: Sequence[str]) -> pa.Table:
        """These columns of a version, in the order of the files."""
        with self._files.answers():
            return self._open(at).to_table(columns=list(columns))

    def held(self, row_ids: Collection[int], states: Collection[int]) -> Mapping[int, set[int]]:
        """By the row ids of each version."""
        values, found = pa.array(row_ids, pa.int64()), {}
        for state in states:
            ids = self.table(state, [ROW_ID]).column(ROW_ID)
            found[state] = set(ids.filter(pc.is_in(ids, value_set=values)).to_pylist())
        return found

    def without(self, row_ids: Sequence[int]) -> int:
        """Delete, then write the touched fragments anew without what was deleted."""
        with self._commits():
            for start in range(0, len(row_ids), _IDS_PER_DELETE):
                some = row_ids[start : start + _IDS_PER_DELETE]
                # By row id and never by a value: the condition is written to Lance's transaction log.
                self._open().delete(f"{ROW_ID} IN ({', '.join(map(str, some))})")
            self._open().optimize.compact_files(
                target_rows_per_fragment=_MERGED_BELOW,
                materialize_deletions=True,
                materialize_deletions_threshold=0.0,
                compaction_mode="reencode",
            )
        return self.head()

    def back_to(self, at: int) -> int:
        """Restore an older version on top; without one all files go."""
        if at == 0:
            self._files.remove(list(self._files.sizes("")))
            self._files.sweep()
            return 0
        if self.head() != at:
            with self._files.answers():
                self._open(at).restore()
        return self.head()

    def keep_only(self, states: Collection[int]) -> None:
        """Lance's cleanup of exactly the versions that go, and of each file that only they needed; then what the place keeps of them."""
        if not states:
            return
        dataset, newest = self._open(), max(states)
        with self._files.answers():
            for tag, version in self.pins().items():
                if version not in states and version < newest:
                    dataset.tags.update(tag, newest)  # a tag would keep its version, and the rows in it
            unlisted = [int(v["version"]) for v in dataset.versions() if int(v["version"]) not in states and int(v["version"]) < newest]
            if unlisted:
                dataset.cleanup_old_versions(
                    older_than=timedelta(0), versions=unlisted, delete_unverified=True, error_if_tagged_old_versions=True
                )
        self._files.sweep()
        self._scan.clear()

    def files(self) -> Mapping[str, int]:
        """The data files by name."""
        return {name.removeprefix("data/"): size for name, size in self._files.sizes("data").items()}

    def residual(self, row_ids: Sequence[int]) -> tuple[int, int]:
        """Every data file, decoded; every transaction, read for conditions; whatever else lies there is named."""
        contents = self._files.contents()
        present = any(one.version is None and one.name.startswith("_versions/") for one in contents)
        with self._files.answers():
            return self._scan.residual(self._files, contents, self._open() if present else None, row_ids)

    def pins(self) -> Mapping[str, int]:
        """Lance's tags."""
        if not self._files.sizes("_versions"):
            return {}
        return {name: int(tag["version"]) for name, tag in self._open().tags.list().items()}

    def cannot_purge(self) -> str | None:
        """What the place of the files says."""
        return self._files.cannot_purge()

    def _open(self, at: int | None = None) -> Any:
        import lance

        access = self._files.access()
        try:
            with store_errors(self._name, "opened"), self._files.answers():
                return lance.dataset(access.uri, version=at, storage_options=access.options)
        except ValueError as error:
            which = "data" if at is None else f"data of store version {at}"
            message = f"{self._name}: its catalog lists {which} that is not on disk: {error}"
            raise Tampered(message, hint="restore it from a backup") from error

    @contextmanager
    def _commits(self) -> Iterator[None]:
        """Lance's own words for a commit that lost against another one, as :class:`Moved`."""
        try:
            with self._files.answers():
                yield
        except OSError as error:
            if "conflict" in str(error).lower():
                raise Moved(str(error)) from error
            raise
