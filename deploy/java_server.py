"""A server of another project, from Maven's jars, as one process on this machine: what the start scripts beside this file share."""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

QUICK = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-XX:-UsePerfData")
"""Java's flags for a short life: the quick compiler only."""


class CannotStart(Exception):
    """Why there is no server."""


class JavaServer(ABC):
    """One server: its folder and port. :meth:`start` and :meth:`stop` may alternate.

    Args:
        home: where its data lies.
        port: of clients, on loopback; ``None`` takes a free one.
        flags: for Java.
    """

    name: str
    pom: Path
    """Names the version in ``<… .version>``, and the jars."""
    needs: str
    """Which Java, in words."""
    ready_seconds: float

    def __init__(self, home: Path, *, port: int | None = None, flags: Sequence[str] = ()) -> None:
        self.home = home
        self.port = port or free_port()
        self.flags = flags
        self.process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def main(self) -> list[str]:
        """The class that is run, and its arguments."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether it serves clients by now; its port is open."""

    def logs(self) -> list[Path]:
        """What says why it ended."""
        return [self.home / "server.log"]

    @classmethod
    def jars(cls) -> Path:
        """The folder of its jars, fetched when they are not there; safe when several processes ask at once.

        Raises:
            CannotStart: Maven is missing, or it failed.
        """
        kind = cls.name.lower()
        version = re.search(rf"<{kind}\.version>([^<]+)<", cls.pom.read_text())
        name = f"{kind}-{version[1] if version else 'unknown'}"
        given = os.environ.get(f"GOVERN_{kind.upper()}_CACHE")
        cache = Path(given or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "govern")
        found = cache / name
        if found.is_dir():
            return found
        cache.mkdir(parents=True, exist_ok=True)
        with (cache / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if found.is_dir():
                return found
            maven = shutil.which("mvn")
            if maven is None:
                raise CannotStart("Maven (mvn) is not installed: it fetches the server's jars")
            with tempfile.TemporaryDirectory(dir=cache) as folder:
                whole = Path(folder) / "jars"
                command = [maven, "-q", "-B", "-f", str(cls.pom), "dependency:copy-dependencies", "-DincludeScope=runtime"]
                done = subprocess.run([*command, f"-DoutputDirectory={whole}"], capture_output=True, text=True, check=False)
                if done.returncode != 0:
                    raise CannotStart(f"Maven could not fetch the jars: {(done.stdout + done.stderr).strip()[-500:]}")
                whole.rename(found)
        return found

    @classmethod
    def java(cls, *flags: str) -> list[str]:
        """The command up to the class that is run.

        Raises:
            CannotStart: there is no Java, or no jars.
        """
        home = os.environ.get("JAVA_HOME")
        found = shutil.which("java", path=f"{home}/bin") if home else shutil.which("java")
        if found is None:
            raise CannotStart(f"Java is not installed: {cls.needs}")
        return [found, *flags, "-cp", f"{cls.jars()}/*"]

    def start(self) -> None:
        """Start it and wait until it answers.

        Raises:
            CannotStart: it ended, or did not answer in time; with the last lines of its log.
        """
        command = [*self.java(*self.flags), *self.main()]
        with (self.home / "server.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        try:
            self._wait()
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """SIGTERM, and wait."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(30)
        self.kill()

    def kill(self) -> None:
        """SIGKILL, as a crash."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def _wait(self) -> None:
        end = time.monotonic() + self.ready_seconds
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                if self.answers():  # it listens a moment before it serves
                    return
            if self.process is None or self.process.poll() is not None or time.monotonic() > end:
                said = [path.read_text(errors="replace").strip()[-600:] for path in self.logs() if path.exists()]
                raise CannotStart(f"{self.name} did not come up: {' / '.join(filter(None, said))}")
            time.sleep(0.05)


def free_port() -> int:
    """A TCP port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def options(about: str | None, address: str) -> argparse.ArgumentParser:
    """What every start script takes; ``address`` is the word in the command that stands for the server's."""
    parser = argparse.ArgumentParser(description=(about or "").partition("\n")[0])
    parser.add_argument("--home", type=Path, help="keep its data here (default: a temporary folder)")
    parser.add_argument("--port", type=int, help="of clients, on loopback (default: a free one)")
    parser.add_argument("--fetch", action="store_true", help="fetch the jars and end")
    parser.add_argument("command", nargs="*", help=f"after --: run this beside the server; {address} in it is the server's address")
    return parser


def run(given: argparse.Namespace, kind: type[JavaServer], make: Callable[[Path], JavaServer], beside: Callable[[JavaServer], int]) -> int:
    """Do what was asked for: fetch, or start what ``make`` makes in a folder, do ``beside`` with it and stop it; returns the exit code."""
    try:
        if given.fetch:
            sys.stdout.write(f"{kind.jars()}\n")
            return 0
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        with _folder(given.home, kind.name.lower()) as home:
            server = make(home)
            server.start()
            try:
                return beside(server)
            finally:
                server.stop()
    except CannotStart as error:
        sys.stderr.write(f"error: {error}\n")
        return 1


def until_interrupted(said: str) -> int:
    """Print how to reach the server, and stay until Ctrl-C."""
    sys.stdout.write(said + "\n")
    sys.stdout.flush()
    with contextlib.suppress(KeyboardInterrupt):
        signal.pause()
    return 0


@contextlib.contextmanager
def _folder(given: Path | None, kind: str) -> Iterator[Path]:
    if given is not None:
        yield given.resolve()
        return
    with tempfile.TemporaryDirectory(prefix=f"govern-{kind}-") as folder:
        yield Path(folder)
