"""The write-ahead log stays small under load, and nobody waits for that."""

from __future__ import annotations

import sqlite3
import threading
import time
from pathlib import Path

from lineage.adapters import sql_ledger_wal
from lineage.adapters.sql_ledger_wal import WalKeeper
from lineage.model import NewEntry


def entries(start: int, many: int = 50) -> list[NewEntry]:
    return [NewEntry(kind="k", payload=bytes(5000), actor="a", identity=str(number)) for number in range(start, start + many)]


def test_the_log_is_begun_anew_while_it_is_written(open_ledger, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(sql_ledger_wal, "_MOVE", 1024 * 1024)
    ledger = open_ledger()
    sizes = []
    for turn in range(60):
        ledger.append(entries(turn * 50))
        sizes.append(max(path.stat().st_size for path in tmp_path.glob("*.db-wal")))
    assert ledger.size() == 3000
    assert sizes[-1] < 12 * 1024 * 1024, "fifteen megabytes of payload went through it"
    ledger.close()
    assert not list(tmp_path.glob("*.db-wal")), "closing moves what is left"


def test_a_reader_that_stays_holds_the_log_back_and_nothing_else(open_ledger, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(sql_ledger_wal, "_MOVE", 256 * 1024)
    ledger = open_ledger()
    ledger.append(entries(0))
    (file,) = tmp_path.glob("*.db")
    reader = sqlite3.connect(file, isolation_level=None)
    reader.execute("BEGIN")
    assert reader.execute("SELECT count(*) FROM entries").fetchone() == (50,)
    for turn in range(1, 30):
        ledger.append(entries(turn * 50))
    assert reader.execute("SELECT count(*) FROM entries").fetchone() == (50,)
    reader.execute("COMMIT")
    reader.close()
    for turn in range(30, 40):
        ledger.append(entries(turn * 50))
    assert ledger.size() == 2000


def test_closing_at_any_moment_ends_the_thread(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(sql_ledger_wal, "_MOVE", 1)
    for turn in range(60):
        writer = sqlite3.connect(tmp_path / "x.db", isolation_level=None)
        writer.execute("PRAGMA journal_mode=WAL").fetchall()
        writer.execute("CREATE TABLE IF NOT EXISTS t (x)")
        keeper = WalKeeper(tmp_path / "x.db", writer)
        keeper.wrote(10)
        time.sleep(turn / 20_000)
        closing = threading.Thread(target=keeper.close)
        closing.start()
        closing.join(10)
        assert not closing.is_alive()
        writer.close()
