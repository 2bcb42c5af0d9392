"""The row index answers as sets in memory do, whatever is replaced, dropped and forgotten in which order."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from lineage.adapters.sqlite_rows import SqliteRowIndex

REFS = [f"{n:032x}" for n in range(5)]
# Row ids around the border of two chunks of 65 536.
ROWS = st.integers(65_530, 65_542)
# A row belongs to one person for ever (its id is never used again), or to nobody.
OWNER = {row: (REFS[row % 6] if row % 6 < 5 else "") for row in range(65_530, 65_543)}

actions = st.lists(
    st.one_of(
        st.tuples(st.just("replace"), st.sampled_from("ab"), st.sampled_from("123"), st.lists(ROWS, max_size=8)),
        st.tuples(st.just("drop"), st.sampled_from("ab"), st.sampled_from("123"), st.just([])),
        st.tuples(st.just("forget"), st.sampled_from("ab"), st.just(""), st.lists(ROWS, max_size=4)),
    ),
    min_size=1,
    max_size=10,
)


@given(actions)
@settings(max_examples=40, deadline=None)
def test_as_sets(steps: list[tuple[str, str, str, list[int]]]) -> None:
    held: dict[tuple[str, str], set[int]] = {}
    with tempfile.TemporaryDirectory() as folder:
        index = SqliteRowIndex(Path(folder) / "rows.db")
        for what, dataset, version, rows in steps:
            if what == "replace":
                index.replace(dataset, version, [(OWNER[row], row) for row in rows])
                held[dataset, version] = set(rows)
            elif what == "drop":
                index.drop(dataset, version)
                held.pop((dataset, version), None)
            else:
                owned = {row for (d, _), there in held.items() if d == dataset for row in there if row in rows and OWNER[row]}
                assert index.forget(dataset, rows) == len(owned)
                held = {(d, v): there - set(rows) if d == dataset else there for (d, v), there in held.items()}
            for ref in REFS:
                expected = {
                    d: sorted({row for (e, _), there in held.items() if e == d for row in there if OWNER[row] == ref}) for d in "ab"
                }
                assert index.lookup([ref]) == {d: found for d, found in expected.items() if found}
            for (d, v), there in held.items():
                assert index.row_ids(d, v) == sorted(there)
                assert index.count(d, v) == len(there)
            for row in (65_535, 65_536):
                assert sorted(index.versions_with("a", [row])) == sorted(v for (d, v), there in held.items() if d == "a" and row in there)
        index.close()
