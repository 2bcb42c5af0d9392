"""Every row index under one fixture: a suite that takes ``rows_index`` from here is held by all of them, one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pytest

from lineage.adapters.postgres_rows import PostgresRowIndex
from lineage.adapters.sql_rows import SqlRowIndex
from lineage.adapters.sqlite_rows import SqliteRowIndex
from lineage.errors import Conflict, NotFound

__all__ = ["PlainRowIndex", "rows_index"]


@pytest.fixture(params=["sqlite", "postgres"])
def rows_index(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqlRowIndex]:
    """An empty row index in each store."""
    if request.param == "sqlite":
        index: SqlRowIndex = SqliteRowIndex(tmp_path / "rows.db")
    else:
        index = PostgresRowIndex(request.getfixturevalue("postgres_uri"))
    yield index
    index.close()


class PlainRowIndex:
    """What the others must answer: (reference, row) pairs of each version as sets, an empty reference for nobody."""

    def __init__(self) -> None:
        self.held: dict[tuple[str, str], set[tuple[str, int]]] = {}

    def replace(self, dataset: str, version: str, rows: Iterable[tuple[str, int]]) -> None:
        stated = set(rows)
        owned = {row for ref, row in stated if ref}
        stated = {(ref, row) for ref, row in stated if ref or row not in owned}
        if self.held.get((dataset, version)) != stated:
            self.held.pop((dataset, version), None)
            self.held[dataset, version] = stated

    def extend(self, dataset: str, version: str, *, base: str, rows: Iterable[tuple[str, int]], removed: Sequence[int] = ()) -> None:
        if self.versions(dataset)[-1:] != [base] or (dataset, version) in self.held:
            raise Conflict("not the last version")
        stated = set(rows)
        touched = {row for _, row in stated}
        kept = {(ref, row) for ref, row in self.held[dataset, base] if row not in touched and row not in removed}
        self.replace(dataset, version, stated | kept)

    def drop(self, dataset: str, version: str) -> None:
        self.held.pop((dataset, version), None)

    def forget(self, dataset: str, rows: Iterable[int]) -> int:
        gone = set(rows)
        pairs = {pair for (d, _), there in self.held.items() if d == dataset for pair in there if pair[1] in gone and pair[0]}
        for (d, v), there in self.held.items():
            if d == dataset:
                self.held[d, v] = {pair for pair in there if pair[1] not in gone}
        return len(pairs)

    def rekey(self, dataset: str, moves: dict[str, str]) -> tuple[int, int]:
        pairs = {pair for (d, _), there in self.held.items() if d == dataset for pair in there if pair[0]}
        moved = sum(ref in moves for ref, _ in pairs)
        left = sum(ref not in moves and ref not in moves.values() for ref, _ in pairs)
        for (d, v), there in self.held.items():
            if d == dataset:
                self.held[d, v] = {(moves.get(ref, ref), row) for ref, row in there}
        return moved, left

    def find(self, refs: Sequence[str]) -> dict[str, tuple[list[int], list[str]]]:
        answer = {}
        for dataset in sorted({d for d, _ in self.held}):
            theirs = {v: {row for ref, row in there if ref in refs} for (d, v), there in self.held.items() if d == dataset}
            rows = sorted(set().union(*theirs.values()))
            if rows:
                answer[dataset] = (rows, [v for v in self.versions(dataset) if theirs[v]])
        return answer

    def versions(self, dataset: str) -> list[str]:
        return [v for d, v in self.held if d == dataset]

    def versions_with(self, dataset: str, rows: Iterable[int]) -> list[str]:
        wanted = set(rows)
        return [v for (d, v), there in self.held.items() if d == dataset and any(row in wanted for _, row in there)]

    def shared(self, dataset: str, rows: Iterable[int]) -> list[int]:
        pairs = {pair for (d, _), there in self.held.items() if d == dataset for pair in there if pair[0]}
        return [row for row in sorted(set(rows)) if sum(found == row for _, found in pairs) > 1]

    def row_ids(self, dataset: str, version: str) -> list[int]:
        if (dataset, version) not in self.held:
            raise NotFound("no such version")
        return sorted({row for _, row in self.held[dataset, version]})
