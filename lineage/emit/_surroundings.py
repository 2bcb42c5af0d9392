"""What a script stands in: its code and revision, its packages, the version of a file. Reads files, asks git; sends nothing."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path

from openlineage.client.facet_v2 import source_code_location_job

from lineage.emit._facets import GovernEnvironmentRunFacet

__all__ = ["code_location", "environment", "file_version"]


def code_location(script: str | Path) -> source_code_location_job.SourceCodeLocationJobFacet:
    """Where the code of ``script`` is, and exactly which: the git commit, with a digest of what is not committed; else the file's digest.

    ``version`` is ``<sha>`` in a clean repository, ``<sha>+<digest of the difference>`` in a changed one; without git it is
    ``sha256:<hex>`` of the file. A password in the repository's URL is not told.
    """
    path = Path(script).resolve()
    revision = _git(path, "rev-parse", "HEAD")
    if revision is None:
        return source_code_location_job.SourceCodeLocationJobFacet(
            type="file", url=path.as_uri(), path=path.name, version=file_version(path)
        )
    root = _git(path, "rev-parse", "--show-toplevel") or str(path.parent)
    relative = path.relative_to(Path(root).resolve()).as_posix()
    changed = _git(path, "diff", "HEAD") or ""
    if _git(path, "ls-files", "--error-unmatch", path.name) is None:  # a script that git does not know yet is part of the difference
        changed += file_version(path)
    version = f"{revision}+{hashlib.sha256(changed.encode()).hexdigest()[:16]}" if changed else revision
    remote = _git(path, "config", "--get", "remote.origin.url")
    return source_code_location_job.SourceCodeLocationJobFacet(
        type="git", url=path.as_uri() if remote is None else _plain(remote), repoUrl=None if remote is None else _plain(remote),
        path=relative, version=version,
    )  # fmt: skip


def environment(threads: int | None = None) -> GovernEnvironmentRunFacet:
    """The interpreter and every installed package with its version, by digest."""
    packages = _packages()
    python = f"{platform.python_implementation()} {platform.python_version()}"
    details = {"packages": packages, "python": python, "machine": platform.machine(), "threads": threads}
    digest = hashlib.sha256(json.dumps(details, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    return GovernEnvironmentRunFacet(digest=f"sha256:{digest}", threads=threads, python=python)


def file_version(path: str | Path) -> str:
    """``sha256:<hex>`` of a file's bytes: a version for a dataset that is a file."""
    with Path(path).open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


@cache
def _packages() -> dict[str, str]:
    """Every installed package with its version; read once, for they are many files."""
    return {name.lower().replace("_", "-"): one.version for one in metadata.distributions() if (name := one.metadata["Name"])}


def _git(path: Path, *words: str) -> str | None:
    """What git says in the script's folder; ``None`` without git, without a repository, or when it says no."""
    try:
        done = subprocess.run(["git", *words], cwd=path.parent, capture_output=True, text=True, check=False, timeout=10)  # noqa: S607  # the user's git
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _plain(url: str) -> str:
    """A URL without a user and a password; ``git@host:path`` names no secret and stays."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        return url
    authority, slash, path = rest.partition("/")
    return f"{scheme}://{authority.rpartition('@')[2]}{slash}{path}"
