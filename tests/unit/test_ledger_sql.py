"""The ledger on SQLite: its files, and what makes them unusable; what every ledger does is in ``tests/contract/test_ledger_stores.py``."""

from __future__ import annotations

import json
import sqlite3
import stat

import pytest

from lineage.adapters.sql_ledger_file import SqliteFile
from lineage.errors import BadInput, StoreUnavailable, Tampered
from lineage.ledger import fsck
from lineage.model import NewEntry, RecordChange


def entry(n, kind="test.noted", identity=None, **body):
    return NewEntry(kind=kind, payload=json.dumps({"n": n, **body}).encode(), actor="key:test", identity=identity)


def counting(new, read):
    """A reducer: how often a name was noted, and its last number; ``forget`` removes the record."""
    if not new.kind.startswith("test."):
        return
    body = json.loads(new.payload)
    name = body.get("name", "x")
    if new.kind == "test.forgotten":
        yield RecordChange(kind="count", ident=name, body=None)
        return
    before = read("count", name) or {"times": 0}
    yield RecordChange(kind="count", ident=name, body={"times": before["times"] + 1, "last": body["n"]})


def test_a_bad_origin_is_refused_before_a_file_is_made(open_ledger, tmp_path):
    with pytest.raises(BadInput):
        open_ledger(origin="two words")
    assert not (tmp_path / "ledger.db").exists()


def test_only_the_owner_can_read_the_files(open_ledger, tmp_path):
    ledger = open_ledger()
    ledger.append([entry(0)])
    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in tmp_path.iterdir()}
    assert set(modes) == {"ledger.db", "ledger.db-wal", "ledger.db-shm"}
    assert set(modes.values()) == {0o600}


# ── what cannot be used ─────────────────────────────────────────────────────────────────────────
def test_a_locked_file_is_an_error_and_nothing_is_half_written(open_ledger, tmp_path):
    ledger = open_ledger(SqliteFile(tmp_path / "ledger.db", busy_timeout_ms=100))
    ledger.append([entry(0)])
    raw = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
    raw.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match="locked"):
        ledger.append([entry(1)])
    raw.execute("ROLLBACK")
    raw.close()
    assert ledger.append([entry(2)])[0].index == 1
    assert fsck(ledger).ok


def test_a_full_disk_is_an_error_and_nothing_is_half_written(open_ledger, tmp_path):
    ledger = open_ledger(reducer=counting)
    ledger.append([entry(n) for n in range(5)])
    pages = ledger._writer.writing.engine.connect().exec_driver_sql("PRAGMA page_count").scalar_one()
    ledger._writer.writing.connection.exec_driver_sql(f"PRAGMA max_page_count={pages + 4}")
    with pytest.raises(StoreUnavailable, match="full") as caught:
        ledger.append([entry(5), entry(6, text="x" * 100_000)])
    assert caught.value.hint
    assert ledger.size() == 5
    assert ledger.record("count", "x")[0]["times"] == 5
    ledger._writer.writing.connection.exec_driver_sql("PRAGMA max_page_count=1000000")
    assert ledger.append([entry(6, text="x" * 100_000)])[0].index == 5
    assert fsck(ledger).ok


def test_another_database_is_not_taken_for_a_ledger(open_ledger, tmp_path):
    with sqlite3.connect(tmp_path / "other.db") as raw:
        raw.execute("CREATE TABLE t(x)")
    raw.close()
    with pytest.raises(StoreUnavailable, match="no ledger"):
        open_ledger(tmp_path / "other.db")


def test_a_file_that_is_no_database_is_tampered(open_ledger, tmp_path):
    (tmp_path / "ledger.db").write_bytes(b"not a database, " * 100)
    with pytest.raises(Tampered, match="damaged"):
        open_ledger()


def test_a_folder_that_cannot_be_made_is_named(open_ledger, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailable, match="cannot be made"):
        open_ledger(tmp_path / "file" / "ledger.db")
