"""Whether a Lance table still holds rows: every data file decoded, every transaction read, and whatever a bucket keeps of removed ones.

A present file is read where it lies. A content that is not present any more has no path that Lance could open, so it is put into a folder
of the home for the moment of its reading; it is there only after a purge that the bucket refused to end. A folder that a
crash left is removed by the next scan and the next purge.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from lineage.adapters.table_files import Access, Content, TableFiles
from lineage.datasets import ROW_ID
from lineage.errors import Incomplete

__all__ = ["LanceScan"]

_BATCH = 8192
_OWN_CONDITION = re.compile(rf"(?:{ROW_ID}|[0-9]+|\bIN\b|\bOR\b|[=(), ])+")
"""A condition on row ids alone, however the library words it."""
_POSITIONS = re.compile(r"_deletions/\d+-\d+-\d+\.(?:arrow|bin)")
"""Deletion files: numbers of rows in a data file, and no value of any (Lance format, "Deletion files")."""


class LanceScan:
    """The decoding of one dataset's files.

    Args:
        scratch: a folder that is this scan's own, for contents that are not present.
        name: the dataset's registered name, for messages.
    """

    def __init__(self, scratch: Path, name: str) -> None:
        self._scratch = scratch
        self._name = name

    def clear(self) -> None:
        """Remove what a scan that was killed left in the home."""
        if self._scratch.exists():
            shutil.rmtree(self._scratch)

    def residual(self, files: TableFiles, contents: Sequence[Content], dataset: Any, row_ids: Sequence[int]) -> tuple[int, int]:
        """(rows found, files decoded).

        Args:
            files: the table's place.
            contents: all that it holds.
            dataset: the table, opened; ``None`` when no manifest is there.
            row_ids: the rows that must not be found.

        Raises:
            Incomplete: a file is no data, manifest or log of a table, or a transaction may name a person.
        """
        self.clear()
        values, access = pa.array(row_ids, pa.int64()), files.access()
        logged = self._transactions(dataset)
        read, found = 0, 0
        for one in contents:
            place = PurePosixPath(one.name)
            if one.name.startswith("_refs/tags/"):  # a tag's name and number
                continue
            if one.name in logged:  # Lance has read it
                read += 1
            elif place.parts[0] == "_versions":
                if one.version is not None:
                    logged |= self._old_manifest(files, one)
                read += 1
            elif one.version is not None and (one.name.startswith("_transactions/") or _POSITIONS.fullmatch(one.name)):
                continue  # the first are seen with the manifests below, the others say nothing about anybody
            elif place.parts[0] == "data" and place.suffix == ".lance":
                found += self._rows(files, one, access, values)
                read += 1
            else:
                raise Incomplete(f"{self._name}: {one} was not scanned, it is no data file of this table", hint=_hint(place, self._name))
        for one in contents:
            if one.version is not None and one.name.startswith("_transactions/"):
                if one.name not in logged:
                    raise Incomplete(
                        f"{self._name}: {one} is of no manifest that is kept and was not scanned", hint="remove it, then again"
                    )
                read += 1
        return found, read

    # ── inside ──────────────────────────────────────────────────────────────────────────────────
    def _rows(self, files: TableFiles, one: Content, access: Access, values: pa.Array) -> int:
        from lance.file import LanceFileReader

        found = 0
        try:
            with self._path(files, one, access) as (path, options):
                reader = LanceFileReader(path, storage_options=options, columns=[ROW_ID])
                for batch in reader.read_all(batch_size=_BATCH).to_batches():
                    found += pc.sum(pc.is_in(batch.column(0), value_set=values)).as_py() or 0
        except (OSError, ValueError) as error:
            raise Incomplete(f"{self._name}: {one} cannot be decoded: {error}", hint="remove it, then again") from error
        return found

    @contextmanager
    def _path(self, files: TableFiles, one: Content, access: Access) -> Iterator[tuple[str, dict[str, str] | None]]:
        """Where Lance can open a content, and with what."""
        if one.version is None:
            yield f"{access.uri}/{one.name}", access.options
            return
        with self._copied(files, one) as folder:
            yield str(folder / one.name), None

    @contextmanager
    def _copied(self, files: TableFiles, one: Content) -> Iterator[Path]:
        """A folder like the table's with this content alone."""
        path = self._scratch / one.name
        path.parent.mkdir(parents=True, mode=0o700)
        try:
            path.write_bytes(files.read(one.name, one.version))
            yield self._scratch
        finally:
            self.clear()

    def _old_manifest(self, files: TableFiles, one: Content) -> set[str]:
        """The transaction's file of a manifest that is not present: a manifest repeats its transaction, so it is read alone."""
        import lance

        try:
            with self._copied(files, one) as folder:
                return self._transactions(lance.dataset(str(folder)))
        except (OSError, ValueError) as error:
            raise Incomplete(f"{self._name}: {one} cannot be decoded: {error}", hint="remove it, then again") from error

    def _transactions(self, dataset: Any) -> set[str]:
        """The files of the versions' transactions; raises ``Incomplete`` when one keeps a condition that is not on row ids."""
        files: set[str] = set()
        for version in dataset.versions() if dataset is not None else ():
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


def _hint(place: PurePosixPath, name: str) -> str:
    if place.parts[0] == "_indices":
        return f"an index repeats values: drop it (lance: drop_index), then run the purge of {name} again"
    if place.parts[0] == "tree":
        return f"a branch is a copy: delete it (lance: branches.delete), then run the purge of {name} again"
    return "remove it, then again"
