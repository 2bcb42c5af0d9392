"""Backups of a home, and a home from a backup: the adapters that copy, the ledger that says whether the copy is one moment, the replay."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from governance.adapters import home_copy
from governance.erasure.erased import opened
from governance.evidence import new_id
from governance.wiring.home import FOLDERS, describe
from governance.wiring.ledgers import FILE
from governance.wiring.system import System
from lineage.adapters.file_keys import FileKeyStore
from lineage.adapters.sql_ledger_file import SqliteFile
from lineage.adapters.sql_ledger_reads import LedgerReads
from lineage.clock import SystemClock
from lineage.errors import Conflict, Incomplete, NotFound, StoreUnavailable, Tampered
from lineage.ledger.notes import verify_checkpoint
from lineage.ports import Clock
from lineage.standing import MENDED

__all__ = ["make_backup", "restore"]

_ATTEMPTS = 4
_TAKES_AWAY = ("govern.erasure.", "govern.version.destroyed", "govern.ledger.redacted", "govern.case.void", "govern.record.restored")
"""Kinds of entries after which a home holds less than before: a copy over which one of them came is made again."""
_BUSY_MS = 30_000


def make_backup(home: Path, target: Path, *, keep: int, checkpoint: str, clock: Clock | None = None, generator: str = "") -> dict[str, Any]:
    """Copy a home into a folder, or a ``.tar`` file; the process that owns the home may serve meanwhile.

    Args:
        home: whose files are copied; its keys are not.
        target: what is made; there must be nothing.
        keep: nanoseconds after which the backup is to be deleted.
        checkpoint: a note that the ledger signed just now, kept in the manifest.
        clock: when it is made.
        generator: name and version of this program.

    Returns:
        The manifest.

    Raises:
        Conflict: there is something at the target. StoreUnavailable: the home keeps losing what is copied, or the disk is full.
    """
    if target.exists():
        raise Conflict(f"{target} is there already", hint="name a file or folder that does not exist yet")
    described = describe(home)
    if described.get("ledger", FILE) != FILE:
        raise Conflict(
            f"the ledger of {home} lies in a PostgreSQL database, which this copy would not hold",
            hint="back up database and home together with your database's own tools",
        )
    now = (clock or SystemClock()).now()
    keys = FileKeyStore(home / "keys")
    origin = f"govern.{described['installation']}"
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        files, size, root = _one_moment(home, scratch / "copy", keys=keys, origin=origin)
        said = {
            "backup": new_id(now),
            "installation": described["installation"],
            "made_at": now,
            "until": now + keep,
            "generator": generator,
            "ledger": {"size": size, "root": root, "checkpoint": checkpoint},
            "left_out": list(home_copy.LEFT_OUT),
        }
        manifest = home_copy.write_manifest(scratch / "copy", said, files)
        if target.suffix == ".tar":
            home_copy.packed(scratch / "copy", target)
        else:
            (scratch / "copy").replace(target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return manifest


def _one_moment(home: Path, copy: Path, *, keys: FileKeyStore, origin: str) -> tuple[dict[str, home_copy.Copied], int, str]:
    """The files of a copy over which nothing was taken away, with size and root of its ledger."""
    for _ in range(_ATTEMPTS):
        with _reading(home / "ledger.db", keys, origin) as live:
            before = live.size()
            files = home_copy.copy_home(home, copy)
            with _reading(copy / "ledger.db", keys, origin) as copied:
                size, root = copied.size(), copied.root().hex()
            if not _took_away(live, before):
                return files, size, root
        shutil.rmtree(copy)
    raise StoreUnavailable(
        f"{home} kept losing what was copied: erasures are under way", hint="make the backup when they have ended: govern erasure list"
    )


def _took_away(ledger: LedgerReads, start: int) -> bool:
    while page := ledger.entries(start):
        if any(entry.kind.startswith(_TAKES_AWAY) for entry in page):
            return True
        start = page[-1].index + 1
    return False


class _reading(LedgerReads):  # noqa: N801 - read as a verb where it is used
    """A ledger's file, to read, as a context manager."""

    def __init__(self, path: Path, keys: FileKeyStore, origin: str) -> None:
        super().__init__(SqliteFile(path, busy_timeout_ms=_BUSY_MS), keys=keys, origin=origin)

    def __enter__(self) -> LedgerReads:
        return self

    def __exit__(self, *_: object) -> None:
        self._close_readers()


def restore(
    home: Path,
    *,
    source: Path | None = None,
    keys: Path | None = None,
    replay: Path | None = None,
    clock: Clock | None = None,
    seen: Callable[[str], None] = lambda _what: None,
) -> dict[str, Any]:
    """A home from a backup, open only once what was erased since was erased again; what was cut off is gone on with.

    Args:
        home: where it is made; there must be nothing, or a restore that has not ended.
        source: the backup; ``None`` goes on with one that is unpacked.
        keys: the folder ``keys`` of the installation, kept elsewhere.
        replay: the list of what was erased (:class:`governance.erasure.erased.ErasedList`).
        clock: the time.
        seen: told what is being done.

    Returns:
        What was replayed (:meth:`governance.erasure.replay.Replay.run`), with the backup's ``made_at`` and the list's.

    Raises:
        Incomplete: it is unpacked, and what was erased since is not known (no ``replay``).
        Conflict: there is something else at ``home``, or another backup.
        NotFound: there are no keys. Tampered: keys, backup and list do not belong together.
    """
    manifest = _unpack(home, source, seen)
    _give_keys(home, keys)
    backup = _verified(home, manifest)
    if replay is None:
        raise Incomplete(
            f"{home} is unpacked and serves nobody: what was erased since the backup was made is still in it",
            hint=f"govern restore --into {home} --replay LIST (made by: govern erasure export-suppression)",
        )
    if not replay.is_file():
        raise NotFound(f"there is no {replay}", hint="name the file that govern erasure export-suppression wrote")
    origin = f"govern.{manifest['installation']}"
    listed = opened(replay.read_bytes(), origin=origin, public=FileKeyStore(home / "keys").public_ed25519("checkpoint"))
    seen("what was erased since is erased again")
    with System(home, worker=False, clock=clock, restoring=True) as system:
        told = system.replay.run(listed, backup=backup)
        projector, state = system.ingestor.projector, system.graph.state()
        stale = [index for index in told["redactions"] if state.get(f"{MENDED}{index:020d}") is None]  # folded as they were before
        if stale:
            system.log.empty_wal()
            projector.archive.forget_redacted()
        if stale or system.graph.position() > system.log.size():  # or a graph elsewhere is of the lost history
            projector.begin_anew()
        system.log.checkpoint()
    (home / home_copy.MANIFEST).unlink()
    _sync(home)
    return told | {"home": str(home), "backup_made_at": backup["made_at"], "list_made_at": listed["made_at"]}


def _unpack(home: Path, source: Path | None, seen: Callable[[str], None]) -> dict[str, Any]:
    """The manifest of what lies at ``home``, after the backup was brought there whole."""
    there = home_copy.read_manifest(home) if home.is_dir() else None
    if there is not None:
        if source is not None and (home_copy.manifest_of(source) or {}).get("backup") != there["backup"]:
            raise Conflict(f"{home} holds another backup whose restore has not ended", hint=f"govern restore --into {home} --replay LIST")
        return there
    if home.exists() and (not home.is_dir() or any(home.iterdir())):
        raise Conflict(f"{home} is not empty", hint="restore into a folder that does not exist yet")
    if source is None:
        raise NotFound(f"there is nothing to go on with at {home}", hint=f"govern restore BACKUP --into {home} --keys DIR --replay LIST")
    seen("the backup is unpacked and checked")
    half = home.with_name(f".{home.name}.restoring")
    shutil.rmtree(half, ignore_errors=True)  # left by one that was cut off: it was nobody's home yet
    half.parent.mkdir(parents=True, exist_ok=True)
    try:
        manifest = home_copy.unpacked(source, half)
        for folder in FOLDERS:
            if folder != "keys":
                (half / folder).mkdir(exist_ok=True, mode=0o700)
        if home.exists():
            home.rmdir()
        half.replace(home)
        _sync(home.parent)
    finally:
        shutil.rmtree(half, ignore_errors=True)
    return manifest


def _give_keys(home: Path, keys: Path | None) -> None:
    if (home / "keys" / "master.key").exists():
        return
    if keys is None:
        raise NotFound(
            f"{home} has no keys: a backup never holds them", hint=f"govern restore --into {home} --keys DIR (the kept folder `keys`)"
        )
    FileKeyStore(keys)  # refuses what is none, or not private, before it is copied
    half = home / ".keys.restoring"
    shutil.rmtree(half, ignore_errors=True)
    shutil.rmtree(home / "keys", ignore_errors=True)
    try:
        shutil.copytree(keys, half)
        half.chmod(0o700)
        half.replace(home / "keys")
        _sync(home)
    except OSError as error:
        raise StoreUnavailable(f"the keys in {keys} cannot be copied: {error.strerror}", hint="check the folder") from error


def _verified(home: Path, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Size and root of the restored ledger, which the signed checkpoint of the manifest must be of."""
    origin, said = f"govern.{manifest['installation']}", manifest["ledger"]
    keys = FileKeyStore(home / "keys")
    point = verify_checkpoint(said["checkpoint"], name=origin, public=keys.public_ed25519("checkpoint"))
    with _reading(home / "ledger.db", keys, origin) as ledger:
        if ledger.size() < said["size"] or ledger.root(said["size"]).hex() != said["root"]:
            raise Tampered(f"the ledger in {home} is not the one that was backed up", hint="take another copy of the backup")
        if point.size > said["size"] or ledger.root(point.size) != point.root:
            raise Tampered(f"the ledger in {home} is not the one whose checkpoint was signed", hint="take another copy of the backup")
    return {"backup": manifest["backup"], "made_at": manifest["made_at"], "size": said["size"], "root": said["root"]}


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
