"""A copy of a home's files: one moment, whole, without keys, and nothing that was deleted."""

from __future__ import annotations

import json
import sqlite3
import tarfile
import threading
from pathlib import Path

import pytest

from governance.adapters import home_copy
from lineage.errors import BadInput, NotFound, StoreUnavailable, Tampered
from tests.support.scanner import scan

SECRET = b"master-zyxwv-secret"
GONE = "deleted-zyxwv-row"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    for folder in (*home_copy.FOLDERS, "keys", "scratch"):
        (home / folder).mkdir(parents=True)
    (home / "govern.json").write_text("{}")
    (home / "lock").write_text("{}")
    (home / "keys" / "master.key").write_bytes(SECRET)
    (home / "scratch" / "x").write_bytes(SECRET)
    (home / "landing" / "a.txt").write_text("one\n")
    (home / "datasets" / "d").mkdir()
    (home / "datasets" / "d" / "part").write_bytes(b"\0" * 100)
    for name in home_copy.DATABASES:
        db = sqlite3.connect(home / name)
        db.executescript("PRAGMA journal_mode=WAL; PRAGMA secure_delete=OFF; CREATE TABLE t (v TEXT);")
        db.executemany("INSERT INTO t VALUES (?)", [(f"row {at}",) for at in range(100)])
        db.execute("INSERT INTO t VALUES (?)", (GONE,))
        db.commit()
        db.execute("DELETE FROM t WHERE v=?", (GONE,))
        db.commit()
        db.close()
    return home


def made(home: Path, target: Path) -> dict:
    return home_copy.write_manifest(target, {"backup": "b"}, home_copy.copy_home(home, target))


def test_it_holds_what_there_is_and_neither_keys_nor_what_was_deleted(home: Path, tmp_path: Path) -> None:
    assert scan(home / "rows.db", [GONE.encode()]).hits, "a file copy would have had it"
    manifest = made(home, tmp_path / "copy")
    assert set(manifest["files"]) == {*home_copy.DATABASES, "govern.json", "landing/a.txt", "datasets/d/part"}
    assert scan(tmp_path / "copy", [SECRET, GONE.encode()], opaque=("*/part",)).clean
    db = sqlite3.connect(tmp_path / "copy" / "rows.db")
    assert db.execute("SELECT count(*) FROM t").fetchone() == (100,)
    db.close()
    assert {path.stat().st_mode & 0o077 for path in (tmp_path / "copy").rglob("*")} == {0}


def test_a_write_under_way_is_in_it_whole_or_not_at_all(home: Path, tmp_path: Path) -> None:
    writer = sqlite3.connect(home / "ledger.db", isolation_level=None)
    writer.execute("INSERT INTO t VALUES ('done')")  # stands in the write-ahead log
    writer.execute("BEGIN")
    writer.execute("INSERT INTO t VALUES ('not yet')")
    made(home, tmp_path / "copy")
    writer.execute("COMMIT")
    writer.close()
    db = sqlite3.connect(tmp_path / "copy" / "ledger.db")
    assert [v for (v,) in db.execute("SELECT v FROM t WHERE v NOT LIKE 'row%'")] == ["done"]
    db.close()


def test_a_folder_that_changes_is_copied_until_it_does_not(home: Path, tmp_path: Path) -> None:
    stop, rounds = threading.Event(), []

    def change(_seconds: float) -> None:
        rounds.append(1)
        stop.set()

    original = home_copy._file

    def slow(source: Path, target: Path):
        if source.name == "part" and not stop.is_set():
            (home / "datasets" / "d" / "late").write_text("late")
            (home / "datasets" / "d" / "part").write_bytes(b"\1" * 50)
        return original(source, target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(home_copy, "_file", slow)
        files = home_copy.copy_home(home, tmp_path / "copy", pause=change)
    assert rounds == [1]
    assert (tmp_path / "copy" / "datasets" / "d" / "part").read_bytes() == b"\1" * 50
    assert files["datasets/d/part"].size == 50
    assert files["datasets/d/late"].size == 4


def test_what_was_taken_away_meanwhile_is_not_in_it_and_what_never_rests_is_refused(home: Path, tmp_path: Path) -> None:
    def vanish(_seconds: float) -> None:
        (home / "datasets" / "d" / "part").unlink(missing_ok=True)

    original = home_copy._file
    touched = []

    def touching(source: Path, target: Path):
        found = original(source, target)
        if source.name == "part" and not touched:
            touched.append(1)
            source.write_bytes(b"\2" * 9)
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(home_copy, "_file", touching)
        files = home_copy.copy_home(home, tmp_path / "copy", pause=vanish)
    assert "datasets/d/part" not in files
    assert not (tmp_path / "copy" / "datasets" / "d" / "part").exists()

    def restless(_seconds: float = 0) -> None:
        (home / "landing" / "a.txt").write_text((home / "landing" / "a.txt").read_text() + "x")

    def always(source: Path, target: Path):
        found = original(source, target)
        if source.name == "a.txt":
            restless()
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(home_copy, "_file", always)
        with pytest.raises(StoreUnavailable, match="landing changes all the time"):
            home_copy.copy_home(home, tmp_path / "copy2", pause=lambda _s: None)


def test_a_tar_file_comes_back_as_it_was_and_names_nobody(home: Path, tmp_path: Path) -> None:
    manifest = made(home, tmp_path / "copy")
    home_copy.packed(tmp_path / "copy", tmp_path / "b.tar")
    assert (tmp_path / "b.tar").stat().st_mode & 0o077 == 0
    with tarfile.open(tmp_path / "b.tar") as archive:
        assert {(one.uid, one.uname, one.mode & 0o077) for one in archive} == {(0, "", 0)}
    assert home_copy.manifest_of(tmp_path / "b.tar") == manifest == home_copy.manifest_of(tmp_path / "copy")
    assert home_copy.unpacked(tmp_path / "b.tar", tmp_path / "back") == manifest
    assert (tmp_path / "back" / "landing" / "a.txt").read_text() == "one\n"
    assert home_copy.unpacked(tmp_path / "copy", tmp_path / "back2") == manifest


@pytest.mark.parametrize(
    ("spoil", "kind", "match"),
    [
        (lambda copy: (copy / "landing" / "a.txt").write_text("two\n"), Tampered, "landing/a.txt is not what was backed up"),
        (lambda copy: (copy / "landing" / "a.txt").unlink(), Tampered, "does not hold the files"),
        (lambda copy: (copy / "landing" / "b.txt").write_text("x"), Tampered, "landing/b.txt"),
        (lambda copy: (copy / "backup.json").unlink(), BadInput, "never finished"),
        (lambda copy: (copy / "backup.json").write_text("{"), Tampered, "no manifest"),
        (lambda copy: (copy / "backup.json").write_text(json.dumps({"format": 9})), StoreUnavailable, "has format 9"),
    ],
)
def test_a_backup_that_was_altered_is_refused(home: Path, tmp_path: Path, spoil, kind: type[Exception], match: str) -> None:
    made(home, tmp_path / "copy")
    spoil(tmp_path / "copy")
    with pytest.raises(kind, match=match):
        home_copy.unpacked(tmp_path / "copy", tmp_path / "back")


def test_what_is_no_backup_is_refused(home: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="there is no"):
        home_copy.unpacked(tmp_path / "nowhere.tar", tmp_path / "back")
    (tmp_path / "x.tar").write_bytes(b"no tar at all" * 100)
    with pytest.raises(BadInput, match="is no backup"):
        home_copy.unpacked(tmp_path / "x.tar", tmp_path / "back")
    assert home_copy.manifest_of(tmp_path / "x.tar") is None
    (home / "ledger.db").unlink()
    with pytest.raises(NotFound, match=r"has no ledger\.db"):
        home_copy.copy_home(home, tmp_path / "copy")
    with tarfile.open(tmp_path / "evil.tar", "w") as archive:
        archive.add(home / "govern.json", arcname="../../evil")
    with pytest.raises(BadInput, match="is no backup"):
        home_copy.unpacked(tmp_path / "evil.tar", tmp_path / "back3")
    assert not (tmp_path.parent / "evil").exists()
