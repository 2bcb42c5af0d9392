"""The row index in a file: what it refuses, what it brings over, and that no byte of a forgotten row's block stays in it."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from lineage.adapters import sql_rows_tables as tables
from lineage.adapters import sqlite_rows
from lineage.adapters.sql_rows import SqlRowIndex
from lineage.adapters.sqlite_rows import SqliteRowIndex
from lineage.errors import StoreUnavailable, Tampered
from lineage.model import OwnedRows, SubjectRows
from tests.support.scanner import scan


def ref(n: int) -> str:
    return hashlib.sha256(str(n).encode()).hexdigest()[:32]


def batch(people: range, rows: range) -> OwnedRows:
    return OwnedRows(b"".join(bytes.fromhex(ref(n)) for n in people), np.array(rows, dtype=np.int64))


def contents(index: SqlRowIndex) -> list[bytes]:
    """Every block and every key."""
    with index._place.read() as connection:
        found = connection.execute(sa.select(tables.block.c.first, tables.block.c.data)).all()
    return [bytes(value) for row in found for value in row]


def pieces_of(blocks: list[bytes], *, but: list[bytes] = ()) -> set[bytes]:  # type: ignore[assignment]
    """Pieces of 24 bytes: small enough to lie whole in a page, long enough to be nowhere by chance; none that lies in ``but``."""
    pieces = {data[at : at + 24] for data in blocks for at in range(0 if len(data) == 24 else 100, len(data) - 23, 8)}
    there = b"|".join(but)
    return {piece for piece in some(pieces, 3000) if piece not in there}


def left_behind(folder: Path, pieces: set[bytes]) -> int:
    """How many of the pieces, or of three hundred of them, any file holds, at any place."""
    files = [path.read_bytes() for path in folder.iterdir() if path.is_file()]
    return sum(any(piece in data for data in files) for piece in some(pieces))


def some(pieces: set[bytes], most: int = 300) -> list[bytes]:
    """So many of them at most, from everywhere."""
    return sorted(pieces)[:: 1 + len(pieces) // most]


def churned(folder: Path) -> tuple[SqliteRowIndex, set[bytes]]:
    """An index whose blocks were split, merged and struck, and the pieces of blocks that a forget has just changed."""
    index = SqliteRowIndex(folder / "rows.db")
    index.replace("a", "0", [batch(range(4000), range(4000))])
    for version in range(1, 10):
        new = range(4000 + 50 * version, 4050 + 50 * version)
        index.extend("a", str(version), base=str(version - 1), rows=[batch(new, new)], removed=list(range(version, 4000, 200)))
    before = contents(index)
    gone = [int.from_bytes(hashlib.sha256(bytes([n])).digest()[:2], "big") % 4000 for n in range(60)]
    index.forget("a", gone)
    return index, pieces_of(before, but=contents(index))


def test_forgetting_is_physical(tmp_path: Path) -> None:
    index, pieces = churned(tmp_path)
    assert len(pieces) > 100
    assert (tmp_path / "rows.db-wal").stat().st_size == 0
    assert left_behind(tmp_path, pieces) == 0
    assert left_behind(tmp_path, pieces_of(contents(index))) > 150, "the search finds what is there"
    with index._place.read() as connection:
        assert connection.exec_driver_sql("PRAGMA freelist_count").scalar() == 0
    index.close()
    assert left_behind(tmp_path, pieces) == 0


def test_without_the_guards_the_bytes_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_rows, "_PRAGMAS", (*(p for p in sqlite_rows._PRAGMAS if "secure_delete" not in p), "secure_delete=OFF"))
    monkeypatch.setattr(sqlite_rows.SqliteRows, "erase", lambda _self: None)
    index, pieces = churned(tmp_path)
    assert left_behind(tmp_path, pieces) > 20
    index.close()


def test_a_reference_is_in_no_file_after_the_forget(tmp_path: Path) -> None:
    """The keys of blocks hold whole references; a scanner that decodes SQLite pages finds none of them."""
    index = SqliteRowIndex(tmp_path / "rows.db")
    index.replace("a", "1", [batch(range(3000), range(3000))])
    with index._place.read() as connection:
        firsts = [bytes(first)[:16] for first in connection.execute(sa.select(tables.block.c.first)).scalars() if len(first) == 24]
    assert len(firsts) >= 2
    assert not scan(tmp_path, firsts).clean
    gone = [row for row in range(3000) if bytes.fromhex(ref(row)) in firsts]
    assert index.forget("a", gone) == len(firsts)
    assert scan(tmp_path, firsts).hits == []
    index.close()


def test_what_is_no_index_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "rows.db").write_bytes(b"not a database, by far " * 50)
    with pytest.raises(StoreUnavailable, match=r"rows\.db"):
        SqliteRowIndex(tmp_path / "rows.db")
    newer = sqlite3.connect(tmp_path / "newer.db")
    newer.execute("PRAGMA user_version=99")
    newer.close()
    with pytest.raises(StoreUnavailable, match="newer"):
        SqliteRowIndex(tmp_path / "newer.db")


def test_a_closed_index_says_so(tmp_path: Path) -> None:
    index = SqliteRowIndex(tmp_path / "rows.db")
    index.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        index.lookup([ref(1)])


def test_a_look_up_that_the_database_refuses_names_the_file(tmp_path: Path) -> None:
    index = SqliteRowIndex(tmp_path / "rows.db")
    index.replace("a", "1", [batch(range(10), range(10))])
    with index._place.change() as connection:
        connection.exec_driver_sql("DROP TABLE rows_block")
    with pytest.raises(StoreUnavailable, match=r"rows\.db cannot be read: no such table"):
        index.lookup([ref(1)])
    index.close()


def test_a_damaged_block_is_tampering_and_no_empty_answer(tmp_path: Path) -> None:
    index = SqliteRowIndex(tmp_path / "rows.db")
    index.replace("a", "1", [batch(range(10), range(10))])
    with index._place.change() as connection:
        connection.execute(sa.update(tables.block).values(data=b"\x02cut"))
    for ask in (lambda: index.lookup([ref(1)]), lambda: index.versions_with("a", [1]), lambda: index.forget("a", [1])):
        with pytest.raises(Tampered, match="damaged"):
            ask()
    index.close()


def test_a_full_disk_leaves_the_index_as_it_was(tmp_path: Path) -> None:
    index = SqliteRowIndex(tmp_path / "rows.db")
    index.replace("a", "1", [batch(range(10), range(10))])
    with index._place.read() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages + 2}")
    with pytest.raises(StoreUnavailable, match="full"):
        index.replace("a", "2", [batch(range(50_000), range(50_000))])
    assert index.versions("a") == ["1"]
    with index._place.read() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count=1073741823")
    index.replace("a", "2", [batch(range(50_000), range(50_000))])
    assert index.count("a", "2") == 50_000
    index.close()


FIRST_SCHEMA = """
CREATE TABLE dataset (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE version (id INTEGER PRIMARY KEY, dataset INTEGER NOT NULL, name TEXT NOT NULL, UNIQUE (dataset, name));
CREATE TABLE subject (id INTEGER PRIMARY KEY, ref BLOB NOT NULL UNIQUE);
CREATE TABLE posting (dataset INTEGER NOT NULL, row INTEGER NOT NULL, subject INTEGER NOT NULL, PRIMARY KEY (dataset, row, subject)) WITHOUT ROWID;
CREATE TABLE member (version INTEGER NOT NULL, chunk INTEGER NOT NULL, rows INTEGER NOT NULL, bits BLOB NOT NULL, PRIMARY KEY (version, chunk)) WITHOUT ROWID;
PRAGMA user_version=1;
"""


def test_an_index_of_the_first_schema_is_brought_over(tmp_path: Path) -> None:
    old = sqlite3.connect(tmp_path / "rows.db")
    old.executescript(FIRST_SCHEMA)
    old.execute("INSERT INTO dataset VALUES (1, 'a')")
    old.executemany("INSERT INTO version VALUES (?, 1, ?)", [(1, "1"), (2, "2")])
    old.executemany("INSERT INTO subject VALUES (?, ?)", [(n, bytes.fromhex(ref(n))) for n in (1, 2)])
    old.executemany("INSERT INTO posting VALUES (1, ?, ?)", [(5, 1), (70_000, 2), (70_000, 1)])
    for version, rows in ((1, [5, 6, 70_000]), (2, [70_000])):
        for chunk in {row >> 16 for row in rows}:
            bits = np.zeros(1 << 16, dtype=bool)
            bits[[row & 0xFFFF for row in rows if row >> 16 == chunk]] = True
            packed = zlib.compress(np.packbits(bits).tobytes())
            old.execute("INSERT INTO member VALUES (?, ?, ?, ?)", (version, chunk, int(bits.sum()), packed))
    old.commit()
    old.close()
    index = SqliteRowIndex(tmp_path / "rows.db")
    assert index.find([ref(1)]) == [SubjectRows(dataset="a", rows=(5, 70_000), versions=("1", "2"))]
    assert index.find([ref(2)]) == [SubjectRows(dataset="a", rows=(70_000,), versions=("1", "2"))]
    assert (index.row_ids("a", "1"), index.row_ids("a", "2")) == ([5, 6, 70_000], [70_000])
    index.close()
    again = sqlite3.connect(tmp_path / "rows.db")
    assert {name for (name,) in again.execute("SELECT name FROM sqlite_master WHERE type='table'")} == {
        t.name for t in tables.metadata.tables.values()
    }
    again.close()


CHILD = """
import sys
from pathlib import Path
from lineage.adapters.sqlite_rows import SqliteRowIndex
index = SqliteRowIndex(Path(sys.argv[1]))
ref = lambda n: f"{n * 2654435761 % 2**128:032x}"
version = len(index.versions("a"))
print("ready", flush=True)
while True:
    rows = [(ref(version * 50 + n), version * 50 + n) for n in range(50)]
    if version:
        index.extend("a", str(version), base=str(version - 1), rows=rows, removed=[version * 50 - 1])
    else:
        index.replace("a", "0", rows)
    if version % 3 == 2:
        index.forget("a", [version * 50])
    version += 1
    print(version, flush=True)
"""


@pytest.mark.crash
def test_killed_at_any_moment_it_holds_whole_versions(tmp_path: Path) -> None:
    rng, acknowledged = random.Random(5), 0
    for _ in range(4):
        child = subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path / "rows.db")], stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        said = [child.stdout.readline() for _ in range(rng.randint(1, 4))]
        time.sleep(rng.uniform(0, 0.1))
        os.kill(child.pid, signal.SIGKILL)
        said += child.stdout.read().split()
        child.wait()
        child.stdout.close()
        acknowledged = max(acknowledged, *map(int, said))
        index = SqliteRowIndex(tmp_path / "rows.db")
        versions = index.versions("a")
        assert acknowledged <= len(versions)
        assert versions == list(map(str, range(len(versions))))
        for version in versions:
            assert index.count("a", version) == len(index.row_ids("a", version))
        index.close()
    assert acknowledged > 3
