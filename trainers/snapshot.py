"""A project folder as one deterministic tar, named by its SHA-256: the code that a retrain runs, whatever the working tree says today."""

from __future__ import annotations

import fnmatch
import hashlib
import io
import os
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Final

from trainers.errors import BadSnapshot

__all__ = ["DEFAULT_PATTERNS", "MAX_BYTES", "MAX_FILES", "pack", "unpack"]

DEFAULT_PATTERNS: Final = ("*.py", "*.yaml", "*.yml")
"""Code and configuration. Data is never part of a snapshot unless a pattern says so."""
MAX_BYTES: Final = 64 * 1024 * 1024
MAX_FILES: Final = 10_000
_SKIPPED: Final = frozenset({"__pycache__", "node_modules", "build", "dist"})


def pack(folder: Path, patterns: Sequence[str] = DEFAULT_PATTERNS) -> tuple[str, bytes]:
    """The files of ``folder`` that match, as (sha256 hex, tar bytes): sorted, without times, owners or modes.

    A pattern without a slash matches file names at any depth; one with a slash matches the path from ``folder``.
    Hidden folders and caches are left out.

    Raises:
        BadSnapshot: no such folder, a pattern or symbolic link leads outside, nothing matches, or too large.
    """
    root = folder.resolve()
    if not root.is_dir():
        raise BadSnapshot(f"no folder {folder} to make a code snapshot from")
    for pattern in patterns:
        if pattern.startswith("/") or ".." in PurePosixPath(pattern).parts:
            raise BadSnapshot(f"snapshot pattern {pattern!r} leads outside the project", hint="write it relative to govern.yaml")
    files = sorted((path for path in _walk(root) if _matches(path, patterns)), key=lambda path: path.encode())
    if not files:
        raise BadSnapshot(f"nothing in {folder} matches {', '.join(patterns)}")
    if len(files) > MAX_FILES:
        raise BadSnapshot(f"{len(files)} files match in {folder}; a snapshot holds at most {MAX_FILES}")
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name in files:
            real = (root / name).resolve()
            if not real.is_relative_to(root):
                raise BadSnapshot(f"{name} is a link that leads outside {folder}")
            data = real.read_bytes()
            if sink.tell() + len(data) > MAX_BYTES:
                raise BadSnapshot(f"the snapshot of {folder} would be larger than {MAX_BYTES} bytes", hint="declare fewer patterns")
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o644
            tar.addfile(info, io.BytesIO(data))
    content = sink.getvalue()
    return hashlib.sha256(content).hexdigest(), content


def unpack(tar: bytes | Path, dest: Path) -> Path:
    """Write the snapshot's files under ``dest`` (made if absent, empty if present) and return it.

    Nothing is written unless every member is a plain file whose path stays inside.

    Raises:
        BadSnapshot: not a tar, a member that is no plain file, a path that escapes or comes twice, or too large.
    """
    data = tar.read_bytes() if isinstance(tar, Path) else tar
    files: dict[PurePosixPath, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
            for member in archive:
                path = _safe(member)
                if path in files or len(files) >= MAX_FILES or member.size > MAX_BYTES:
                    raise BadSnapshot(f"snapshot member {member.name!r} comes twice, is too large, or is one too many")
                content = archive.extractfile(member)
                if content is None:
                    raise BadSnapshot(f"snapshot member {member.name!r} has no content")
                files[path] = content.read()
                if len(files[path]) != member.size:
                    raise BadSnapshot(f"the snapshot is cut off in {member.name!r}")
    except tarfile.TarError as error:
        raise BadSnapshot(f"not a readable snapshot: {error}") from error
    if not files:
        raise BadSnapshot("the snapshot holds no file")
    for path in files:
        if any(parent in files for parent in path.parents):
            raise BadSnapshot(f"snapshot member {str(path)!r} lies inside a file")
    dest.mkdir(parents=True, exist_ok=True)
    if any(dest.iterdir()):
        raise BadSnapshot(f"{dest} is not empty")
    for path, content_bytes in files.items():
        target = dest.joinpath(*path.parts)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content_bytes)
    return dest


def _walk(root: Path) -> Iterator[str]:
    """Paths of the files under ``root``, with slashes; raises for a folder that is a link."""
    for at, folders, names in os.walk(root):
        here = Path(at)
        folders[:] = [name for name in folders if not name.startswith(".") and name not in _SKIPPED]
        for name in folders:
            if (here / name).is_symlink():
                raise BadSnapshot(f"{(here / name).relative_to(root)} is a linked folder; a snapshot holds plain folders")
        for name in names:
            if not name.startswith("."):
                yield (here / name).relative_to(root).as_posix()


def _matches(path: str, patterns: Sequence[str]) -> bool:
    name = path.rpartition("/")[2]
    return any(fnmatch.fnmatchcase(path if "/" in pattern else name, pattern) for pattern in patterns)


def _safe(member: tarfile.TarInfo) -> PurePosixPath:
    """The member's path if it is a plain file that stays inside."""
    if not member.isreg():
        raise BadSnapshot(f"snapshot member {member.name!r} is no plain file")
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts or not path.parts or "\\" in member.name or "\0" in member.name:
        raise BadSnapshot(f"snapshot member {member.name!r} leads outside")
    return path
