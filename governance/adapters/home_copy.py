"""A consistent copy of a home's files, made beside the process that owns it, without its keys.

Order and repetition make it one moment. Databases are copied by SQLite itself (``VACUUM INTO``: one read transaction, and no free page with
what was deleted in it): the graph before the ledger, so that it is never ahead; then the folders, so that they hold all that the ledger
speaks of; then the index and the predictions, so that every copied row is indexed. A folder is copied until it did not change meanwhile.
Whether something was *taken away* while it was copied (an erasure) the caller asks the ledger, and then begins anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import tarfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lineage.errors import BadInput, NotFound, StoreUnavailable, Tampered

__all__ = [
    "DATABASES",
    "FOLDERS",
    "LEFT_OUT",
    "MANIFEST",
    "Copied",
    "copy_home",
    "manifest_of",
    "packed",
    "read_manifest",
    "unpacked",
    "write_manifest",
]

MANIFEST = "backup.json"
"""In a folder it says: this is a backup, and not yet a home again."""
FOLDERS = ("public", "landing", "datasets", "artifacts", "snapshots", "rowsets", "reports", "scopes")
DATABASES = ("graph.db", "ledger.db", "rows.db", "predictions.db")
LEFT_OUT = ("keys", "scratch", "lock", "workflows.db", "fold.db", "checkpoints")
"""Never copied: secrets; what belongs to a process; step progress, which is begun again from the ledger; half of a graph kept elsewhere;
checkpoints, which rest on persons and only save work: without them a training is made from scratch."""
_FORMAT = 1
_ATTEMPTS = 6
_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Copied:
    """One file of a copy."""

    size: int
    sha256: str


def copy_home(home: Path, target: Path, *, pause: Callable[[float], None] = time.sleep) -> dict[str, Copied]:
    """Copy into an empty folder; returns the files by their path in it.

    Raises:
        StoreUnavailable: a folder keeps changing, the disk is full, or a database cannot be read.
        NotFound: the home holds no ledger of its own.
    """
    if not (home / "ledger.db").is_file():
        raise NotFound(
            f"{home} has no ledger.db: its ledger lies in another database", hint="docs/how-to/backup.md says how PostgreSQL is backed up"
        )
    files: dict[str, Copied] = {}
    try:
        _private(target)
        for name in DATABASES[:2]:
            _database(home, target, name, files)
        files["govern.json"] = _file(home / "govern.json", target / "govern.json")
        for name in FOLDERS:
            _folder(home, target, name, files, pause)
        for name in DATABASES[2:]:
            _database(home, target, name, files)
    except OSError as error:
        raise StoreUnavailable(f"{home} cannot be copied to {target}: {error.strerror}", hint="check the free space") from error
    return files


def _database(home: Path, target: Path, name: str, files: dict[str, Copied]) -> None:
    if not (home / name).is_file():
        return
    try:
        source = sqlite3.connect(home / name, timeout=60, isolation_level=None)
        try:
            source.execute("VACUUM INTO ?", (str(target / name),))
        finally:
            source.close()
    except sqlite3.Error as error:
        raise StoreUnavailable(f"{home / name} cannot be copied: {error}", hint="check the free space of the target") from error
    (target / name).chmod(0o600)
    files[name] = _digest(target / name)


def _folder(home: Path, target: Path, name: str, files: dict[str, Copied], pause: Callable[[float], None]) -> None:
    """Copy one folder until it is the same before and after; what did not change is copied once."""
    done: dict[str, tuple[int, int, int]] = {}
    wait = 0.05
    for _ in range(_ATTEMPTS):
        before = _listing(home / name)
        try:
            for path in [path for path in done if path not in before]:
                (target / name / path).unlink()
                del done[path], files[f"{name}/{path}"]
            for path, state in before.items():
                if done.get(path) != state:
                    files[f"{name}/{path}"] = _file(home / name / path, target / name / path)
                    done[path] = state
        except FileNotFoundError:  # taken away while it was copied
            pass
        else:
            if _listing(home / name) == before:
                return
        pause(wait)
        wait *= 3
    raise StoreUnavailable(f"{home / name} changes all the time", hint="make the backup at a quieter hour, or stop the server first")


def _listing(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Every file below, with what changes when it does. Links are followed by nobody: one in a landing folder is its owner's affair."""
    found: dict[str, tuple[int, int, int]] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or path.name.endswith(".govern-tmp"):
            continue
        try:
            status = path.stat()
        except FileNotFoundError:
            continue
        if path.is_file():
            found[str(path.relative_to(folder))] = (status.st_ino, status.st_size, status.st_mtime_ns)
    return found


def _file(source: Path, target: Path) -> Copied:
    """Copy the bytes, durable; their digest on the way."""
    _private(target.parent)
    digest, size = hashlib.sha256(), 0
    handle = os.open(target, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "wb") as out, source.open("rb") as given:
        while piece := given.read(_PIECE):
            out.write(piece)
            digest.update(piece)
            size += len(piece)
        out.flush()
        os.fsync(out.fileno())
    return Copied(size, digest.hexdigest())


def _private(folder: Path) -> None:
    """Make a folder, and those above it, for its owner only."""
    if not folder.is_dir():
        _private(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


def _digest(path: Path) -> Copied:
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
            size += len(piece)
        os.fsync(file.fileno())
    return Copied(size, digest.hexdigest())


def write_manifest(folder: Path, said: Mapping[str, Any], files: Mapping[str, Copied]) -> dict[str, Any]:
    """Say what the copy is and of which files it consists; without it a copy is unfinished."""
    body = {"format": _FORMAT, **said, "files": {name: {"size": one.size, "sha256": one.sha256} for name, one in sorted(files.items())}}
    path = folder / MANIFEST
    path.write_text(json.dumps(body, indent=1) + "\n")
    path.chmod(0o600)
    _sync(path)
    _sync(folder)
    return body


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """What a folder says of itself; ``None`` where it is no backup.

    Raises:
        Tampered: the manifest cannot be read. StoreUnavailable: a newer Govern wrote it.
    """
    path = folder / MANIFEST
    if not path.is_file():
        return None
    try:
        body: dict[str, Any] = json.loads(path.read_text())
        newer = body["format"] > _FORMAT
    except (ValueError, KeyError, TypeError) as error:
        raise Tampered(f"{path} cannot be read: it is no manifest of a backup", hint="take another copy of the backup") from error
    if newer:
        raise StoreUnavailable(f"{path} has format {body['format']}; this Govern reads {_FORMAT}", hint="use the newer Govern")
    return body


def manifest_of(source: Path) -> dict[str, Any] | None:
    """The manifest of a backup, a folder or a tar file; ``None`` where it has none."""
    if source.is_dir():
        return read_manifest(source)
    try:
        with tarfile.open(source) as archive:
            member = archive.extractfile(MANIFEST)
            body: dict[str, Any] | None = json.loads(member.read()) if member is not None else None
    except (tarfile.TarError, OSError, KeyError, ValueError):
        return None
    return body


def packed(folder: Path, target: Path) -> None:
    """One tar file of a copy, durable and whole or not there; it names no user, and only its owner can read it."""
    half = target.with_name(f".{target.name}.part")
    try:
        handle = os.open(half, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as file:
            with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
                for path in sorted(folder.rglob("*")):
                    archive.add(path, arcname=str(path.relative_to(folder)), recursive=False, filter=_nobody)
            file.flush()
            os.fsync(file.fileno())
        half.replace(target)
        _sync(target.parent)
    finally:
        half.unlink(missing_ok=True)


def unpacked(source: Path, folder: Path) -> dict[str, Any]:
    """Copy a backup (a folder or a tar file) into a new folder and hold every file against its manifest; returns the manifest.

    Raises:
        NotFound: there is nothing. BadInput: it is no backup. Tampered: a file is missing, too many, or not what was written.
    """
    if not source.exists():
        raise NotFound(f"there is no {source}", hint="name the folder or tar file that govern backup wrote")
    try:
        if source.is_dir():
            shutil.copytree(source, folder)
        else:
            folder.mkdir(mode=0o700)
            with tarfile.open(source) as archive:
                archive.extractall(folder, filter="data")
    except tarfile.TarError as error:
        raise BadInput(f"{source} is no backup: {error}", hint="name the folder or tar file that govern backup wrote") from error
    except OSError as error:
        raise StoreUnavailable(f"{source} cannot be unpacked to {folder}: {error.strerror}", hint="check the free space") from error
    folder.chmod(0o700)
    manifest = read_manifest(folder)
    if manifest is None:
        raise BadInput(f"{source} is no backup: it has no {MANIFEST}, so it was never finished", hint="take another backup")
    there = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST}
    differ = sorted(set(there) ^ set(manifest["files"]))
    if differ:
        raise Tampered(f"{source} does not hold the files it was made of: {', '.join(differ[:3])}", hint="take another copy of the backup")
    for name, said in manifest["files"].items():
        found = _digest(there[name])
        if (found.size, found.sha256) != (said["size"], said["sha256"]):
            raise Tampered(f"{source}: {name} is not what was backed up", hint="take another copy of the backup")
        there[name].chmod(0o600)
    return manifest


def _nobody(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mode = 0o700 if member.isdir() else 0o600
    return member


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
