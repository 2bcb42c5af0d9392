"""Where the demo happens: a folder with home, project and papers, a server of its own, and the two public doors."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

from governance.cli.client import Api
from governance.cli.demo.story import DemoFailed

__all__ = ["World"]

_READY_SECONDS = 60.0
_STOP_SECONDS = 20.0


class World:
    """The demo's folder and its server. Commands run as a user would run them: in a subprocess, with two variables set."""

    def __init__(self, folder: Path, graph: str | None = None) -> None:
        self.folder = folder
        self.graph = graph
        """The Neo4j in which the server keeps the graph; ``None``: in a file."""
        self.home = folder / "home"
        self.project = folder / "project"
        self.papers = folder / "papers"
        self.log = folder / "server.log"
        self.url = ""
        self.keys: dict[str, str] = {}
        """role or name → API key."""
        self.papers.mkdir(parents=True, exist_ok=True)

    # ── the command line ────────────────────────────────────────────────────────────────────────
    def govern(self, *args: str, who: str | None = None, cwd: Path | None = None, stdin: str | None = None, expect: int = 0) -> str:
        """Run ``govern ARGS`` with the key of ``who``; its standard output.

        Raises:
            DemoFailed: it ended with another code than ``expect``; the message is its own.
        """
        # -P: the project's folder must not stand on the import path of the command itself.
        return self._run(
            [sys.executable, "-P", "-m", "governance.cli", *args], f"govern {args[0]}", who=who, cwd=cwd, stdin=stdin, expect=expect
        )

    def govern_json(self, *args: str, who: str | None = None, cwd: Path | None = None, stdin: str | None = None) -> Any:
        """The same with ``--json``, parsed."""
        return json.loads(self.govern(*args, "--json", who=who, cwd=cwd, stdin=stdin))

    def script(self, name: str, who: str) -> str:
        """Run a script of the project as a user would."""
        return self._run([sys.executable, name], name, who=who, cwd=self.project)

    def _run(
        self, command: list[str], name: str, *, who: str | None, cwd: Path | None = None, stdin: str | None = None, expect: int = 0
    ) -> str:
        done = subprocess.run(
            command, cwd=cwd or self.folder, env=self._environment(who), input=stdin or "", capture_output=True, text=True, check=False
        )
        if done.returncode != expect:
            said = (done.stderr.strip() or done.stdout.strip()).splitlines()
            raise DemoFailed(f"{name} ended with {done.returncode}, not {expect}: {' / '.join(said[-3:])}", hint=f"see {self.log}")
        return done.stdout

    def _environment(self, who: str | None) -> Mapping[str, str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("GOVERN_", "OPENLINEAGE_"))}
        # A file:// or console transport configured by openlineage.yml of the user must not take the demo's events.
        clean["OPENLINEAGE_CONFIG"] = os.devnull
        if who is None:
            return clean
        return clean | {"GOVERN_URL": self.url, "GOVERN_API_KEY": self.keys[who]}

    def _graph_settings(self) -> Mapping[str, str]:
        """For the server alone: a graph that the user's own shell names must not take the demo's events by accident."""
        if self.graph is None:
            return {}
        given = ("GOVERN_GRAPH_USER", "GOVERN_GRAPH_PASSWORD", "GOVERN_GRAPH_DATABASE")
        return {"GOVERN_GRAPH": self.graph} | {name: os.environ[name] for name in given if name in os.environ}

    # ── HTTP ────────────────────────────────────────────────────────────────────────────────────
    @contextmanager
    def api(self, who: str) -> Iterator[Api]:
        """The HTTP door with the key of ``who``."""
        import httpx2

        with httpx2.Client(base_url=self.url, headers={"Authorization": f"Bearer {self.keys[who]}"}, timeout=120.0) as http:
            yield Api(http, self.url)

    # ── server and example ──────────────────────────────────────────────────────────────────────
    @contextmanager
    def server(self) -> Iterator[None]:
        """Start ``govern serve`` on a free loopback port, and stop it (SIGTERM) at the end."""
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "governance.cli", "serve", "--home", str(self.home), "--port", "0", "--json"],
                cwd=self.folder,
                env={**self._environment(None), **self._graph_settings()},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
            try:
                self.url = self._ready(process)
                yield
            finally:
                self._stop(process)

    def _ready(self, process: subprocess.Popen[str]) -> str:
        if process.stdout is None:
            raise DemoFailed("the server has no standard output")
        # A server that neither speaks nor ends is ended, so that the read below ends too.
        watch = threading.Timer(_READY_SECONDS, process.kill)
        watch.start()
        try:
            line = process.stdout.readline()
        finally:
            watch.cancel()
        try:
            return str(json.loads(line)["url"])
        except (ValueError, KeyError) as error:
            tail = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-3:]
            raise DemoFailed(f"govern serve did not come up: {' / '.join(tail) or 'it said nothing'}", hint=f"see {self.log}") from error

    @staticmethod
    def _stop(process: subprocess.Popen[str]) -> None:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if process.stdout is not None:
            process.stdout.close()

    def copy_example(self) -> Path:
        """Copy the credit example into the project folder; returns its raw file."""
        inside = Path(str(files("governance").joinpath("examples", "credit")))
        source = inside if inside.is_dir() else Path(str(files("governance"))).parent / "examples" / "credit"
        if not (source / "govern.yaml").is_file():
            raise DemoFailed(f"the credit example is not installed ({source} has no govern.yaml)", hint="install govern-ml again")
        shutil.copytree(source, self.project, ignore=shutil.ignore_patterns("__pycache__"))
        return self.project / "german.data"
