"""Versioned rows in a Lance folder: stable row ids, time travel, and a purge that leaves nothing behind.

Every state that is kept is made by a plain append or overwrite, or ends with a compaction at threshold 0, so none rests on a
deletion file: what a state does not show, its files do not hold. Removing states is Lance's cleanup with exactly the numbers it
is given; tags, which would stop it, are moved to the newest state first.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from lineage.adapters.dataset_catalog import checked_name
from lineage.adapters.table_dataset import TableDataset
from lineage.adapters.table_store import Moved, store_errors
from lineage.datasets import ROW_ID
from lineage.errors import Incomplete, Tampered
from lineage.ports import Clock, KeyStore

__all__ = ["LanceDataset", "LanceStore"]

_ROWS_PER_FILE = 8192
"""Rows of a fragment: small enough that a purge rewrites little, large enough to scan fast (measured at 5 million rows)."""
_MERGED_BELOW = _ROWS_PER_FILE // 2
"""Rows below which compaction takes a fragment up that lost none: at the whole size, every later purge would write anew all that an
earlier one had made a little smaller (measured: 1.7 times the touched fragments at the second erasure)."""
_IDS_PER_DELETE = 10_000
_OWN_CONDITION = re.compile(rf"(?:{ROW_ID}|[0-9]+|\bIN\b|\bOR\b|[=(), ])+")
"""A condition on row ids alone, however the library words it."""


class LanceDataset(TableDataset):
    """A dataset of kind ``lance`` (port :class:`lineage.ports.VersionedDataset`).

    Args:
        root: folder of all datasets; this one lives in ``root/name``.
        name: its registered name.
        keys: for the committed row sets.
        clock: for the versions' times.
        sort_by: column by which rows are clustered on disk, usually the subject key: one person's rows then lie in few files.
    """

    def __init__(self, root: Path, name: str, *, keys: KeyStore, clock: Clock, sort_by: str | None = None) -> None:
        folder = root / checked_name(name)
        super().__init__(LanceStore(folder / "data.lance", name, sort_by), folder, name, keys=keys, clock=clock, sort_by=sort_by)


class LanceStore:
    """The states of one Lance folder (:class:`lineage.adapters.table_store.TableStore`); a state's number is Lance's version."""

    def __init__(self, folder: Path, name: str, sort_by: str | None) -> None:
        self._folder = folder
        self._name = name
        self._sort_by = sort_by

    def head(self) -> int:
        """Lance's newest version; 0 when there is no folder."""
        return int(self._open().version) if self._folder.exists() else 0

    def admit(self, rows: pa.Table) -> pa.Table:
        """As they are: Lance holds every type that has a canonical encoding."""
        return rows

    def put(self, rows: pa.Table, *, fresh: bool) -> int:
        """Append or overwrite, clustered by the sort key."""
        import lance

        if self._sort_by is not None:
            rows = rows.sort_by([(self._sort_by, "ascending"), (ROW_ID, "ascending")])
        self._folder.parent.mkdir(parents=True, exist_ok=True)
        with _commits():
            lance.write_dataset(
                rows,
                str(self._folder),
                mode="create" if not self._folder.exists() else "overwrite" if fresh else "append",
                max_rows_per_file=_ROWS_PER_FILE,
                enable_stable_row_ids=True,
            )
        return self.head()

    def schema(self, at: int) -> pa.Schema:
        """The columns of a version."""
        return self._open(at).schema

    def table(self, at: int, columns: Sequence[str]) -> pa.Table:
        """These columns of a version, in the order of the files."""
        return self._open(at).to_table(columns=list(columns))

    def without(self, row_ids: Sequence[int]) -> int:
        """Delete, then write the touched fragments anew without what was deleted."""
        with _commits():
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
        """Restore an older version on top; without one the folder goes."""
        if at == 0:
            if self._folder.exists():
                shutil.rmtree(self._folder)
            return 0
        if self.head() != at:
            self._open(at).restore()
        return self.head()

    def keep_only(self, states: Collection[int]) -> None:
        """Lance's cleanup of exactly the versions that go, and of each file that only they needed."""
        if not states:
            return
        dataset, newest = self._open(), max(states)
        for tag, version in self.pins().items():
            if version not in states and version < newest:
                dataset.tags.update(tag, newest)  # a tag would keep its version, and the rows in it
        unlisted = [int(v["version"]) for v in dataset.versions() if int(v["version"]) not in states and int(v["version"]) < newest]
        if unlisted:
            dataset.cleanup_old_versions(
                older_than=timedelta(0), versions=unlisted, delete_unverified=True, error_if_tagged_old_versions=True
            )

    def files(self) -> Mapping[str, int]:
        """The data files by name."""
        folder = self._folder / "data"
        return {p.name: p.stat().st_size for p in folder.iterdir()} if folder.exists() else {}

    def residual(self, row_ids: Sequence[int]) -> tuple[int, int]:
        """Every data file, decoded; every transaction, read for conditions; whatever else lies there is named."""
        from lance.file import LanceFileReader

        logged = self._read_transactions()
        found, files = 0, 0
        values = pa.array(row_ids, pa.int64())
        for path in sorted(p for p in self._folder.rglob("*") if p.is_file()):
            place = path.relative_to(self._folder)
            if place.parts[0] == "_versions" or str(place) in logged:  # Lance has read them: every manifest, and these transactions
                files += 1
                continue
            if place.parts[0] == "_refs" and place.parts[1] == "tags":  # a tag's name and number
                continue
            if place.parts[0] != "data" or path.suffix != ".lance":
                raise Incomplete(f"{self._name}: {place} was not scanned, it is no data file of this table", hint=_hint(place, self._name))
            try:
                for batch in LanceFileReader(str(path), columns=[ROW_ID]).read_all(batch_size=_ROWS_PER_FILE).to_batches():
                    found += pc.sum(pc.is_in(batch.column(0), value_set=values)).as_py() or 0
            except (OSError, ValueError) as error:
                raise Incomplete(f"{self._name}: {place} cannot be decoded: {error}", hint="remove it, then again") from error
            files += 1
        return found, files

    def pins(self) -> Mapping[str, int]:
        """Lance's tags."""
        if not self._folder.exists():
            return {}
        return {name: int(tag["version"]) for name, tag in self._open().tags.list().items()}

    def cannot_purge(self) -> str | None:
        """Nothing stands against it in a local folder."""
        return None

    def _read_transactions(self) -> set[str]:
        """The files of the versions' transactions; raises ``Incomplete`` when one keeps a condition that is not on row ids."""
        if not self._folder.exists():
            return set()
        dataset, files = self._open(), set()
        for version in dataset.versions():
            transaction = dataset.read_transaction(int(version["version"]))
            if transaction is None:
                continue
            files.add(f"_transactions/{transaction.read_version}-{transaction.uuid}.txn")
            condition = getattr(transaction.operation, "predicate", None)
            if condition and not _OWN_CONDITION.fullmatch(condition):
                raise Incomplete(
                    f"{self._name}: transaction {version['version']} in Lance's log keeps a condition on values, which may name a person",
                    hint=f"govern dataset scan {self._name}, which writes the present rows anew and drops that version",
                )
        return files

    def _open(self, at: int | None = None) -> Any:
        import lance

        try:
            with store_errors(self._name, "opened"):
                return lance.dataset(str(self._folder), version=at)
        except ValueError as error:
            which = "data" if at is None else f"data of store version {at}"
            message = f"{self._name}: its catalog lists {which} that is not on disk: {error}"
            raise Tampered(message, hint="restore it from a backup") from error


@contextmanager
def _commits() -> Iterator[None]:
    """Lance's own words for a commit that lost against another one, as :class:`Moved`."""
    try:
        yield
    except OSError as error:
        if "conflict" in str(error).lower():
            raise Moved(str(error)) from error
        raise


def _hint(place: Path, name: str) -> str:
    if place.parts[0] == "_indices":
        return f"an index repeats values: drop it (lance: drop_index), then run the purge of {name} again"
    if place.parts[0] == "tree":
        return f"a branch is a copy: delete it (lance: branches.delete), then run the purge of {name} again"
    return "remove it, then again"
