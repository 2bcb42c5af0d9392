"""`make setup` in a fresh copy of the tracked files with a warm cache, beside making an empty environment. Only when it is named."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measure import CommandFailed, Line, command, plain_environment

ROOT = Path(__file__).resolve().parents[1]
LIMIT = 30.0


def run() -> Iterator[Line]:
    """Set up twice: the first warms the cache, the second is measured."""
    with tempfile.TemporaryDirectory() as folder:
        where = Path(folder)
        try:
            base = command([sys.executable, "-m", "venv", str(where / "bare")])
            for name in ("first", "second"):
                clone = where / name
                clone.mkdir()
                archive = where / f"{name}.tar"
                command(["git", "-C", str(ROOT), "archive", "--output", str(archive), "HEAD"])
                with tarfile.open(archive) as tar:
                    tar.extractall(clone, filter="data")
                took = command(["make", "setup", f"PYTHON={sys.executable}"], cwd=clone, environment=plain_environment(), timeout=1800)
        except (CommandFailed, OSError, subprocess.SubprocessError) as error:
            yield Line(
                name="setup: make setup, warm cache", value=0.0, unit="s", baseline="python -m venv", baseline_value=0.0, failed=str(error)
            )
            return
    yield Line(
        name="setup: make setup, warm cache", value=took.wall, unit="s", baseline="python -m venv", baseline_value=base.wall, limit=LIMIT,
        cpu=took.cpu, baseline_cpu=base.cpu,
    )  # fmt: skip
