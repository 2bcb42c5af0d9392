"""A ``govern serve`` that a test starts, and may start again on the same port."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.support.kafka import ROOT, environment


class GovernServer:
    """A server over a home."""

    def __init__(self, home: Path, log: Path, port: int) -> None:
        self.home, self.log, self.port = home, log, port
        self.process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start, and wait until it says its address."""
        with self.log.open("a") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "governance.cli", "serve", "--home", str(self.home), "--port", str(self.port), "--json"],
                cwd=ROOT, env=environment(), stdout=subprocess.PIPE, stderr=stderr, text=True,
            )  # fmt: skip
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.log.read_text()[-2000:]
        assert json.loads(line)

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(60)
            self.process.stdout.close()
            self.process = None
