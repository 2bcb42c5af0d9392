#!/usr/bin/env python3
"""Start the unmodified Neo4j Community server on this machine, from Maven's jars, without containers.

    start.py                                  run one until Ctrl-C; prints how to connect
    start.py --home DIR --port 7687           keep its data in DIR
    start.py -- COMMAND {uri} ...             run COMMAND beside a fresh one (GOVERN_GRAPH… are set), then stop it

The jars are fetched once (`mvn`, about 125 MB) into a cache folder. The server is GPLv3 software of its own: a separate process that
is spoken to over Bolt; it is neither linked with Govern nor shipped with it. It listens on loopback, with a random password, and
sends no usage reports. Needs Java 17 or later, and Maven for the first start.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

POM = Path(__file__).with_name("pom.xml")
READY_SECONDS = 180.0
CONF = """\
server.bolt.listen_address=127.0.0.1:{port}
server.http.enabled=false
server.https.enabled=false
dbms.usage_report.enabled=false
server.memory.pagecache.size={pages}
db.tx_log.preallocate=false
"""


class CannotStart(Exception):
    """Why there is no server."""


def jars() -> Path:
    """The folder of the server's jars, fetched when they are not there; safe when several processes ask at once.

    Raises:
        CannotStart: Maven is missing, or it failed.
    """
    version = re.search(r"<neo4j\.version>([^<]+)<", POM.read_text())
    name = f"neo4j-{version[1] if version else 'unknown'}"
    cache = Path(os.environ.get("GOVERN_NEO4J_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "govern")
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
            command = [
                maven,
                "-q",
                "-B",
                "-f",
                str(POM),
                "dependency:copy-dependencies",
                "-DincludeScope=runtime",
                f"-DoutputDirectory={whole}",
            ]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise CannotStart(f"Maven could not fetch the jars: {(done.stdout + done.stderr).strip()[-500:]}")
            whole.rename(found)
    return found


def java() -> str:
    """The Java to run it with.

    Raises:
        CannotStart: there is none.
    """
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("java", path=f"{home}/bin") if home else shutil.which("java")
    if found is None:
        raise CannotStart("Java is not installed: Neo4j 5.26 needs 17 or later")
    return found


class Neo4j:
    """One server: its folder, port and password. :meth:`start` and :meth:`stop` may alternate.

    Args:
        home: where its data lies.
        port: of Bolt, on loopback; ``None`` takes a free one.
        flags: for Java.
        settings: further lines of ``neo4j.conf``.
    """

    user = "neo4j"

    def __init__(
        self, home: Path, *, port: int | None = None, flags: Sequence[str] = ("-Xmx1g",), settings: str = "", pages: str = "256m"
    ) -> None:
        self.home = home
        self.port = port or _free_port()
        self.flags = flags
        self.password_file = home / "password"
        self.process: subprocess.Popen[bytes] | None = None
        (home / "conf").mkdir(parents=True, exist_ok=True, mode=0o700)
        self.configure(settings, pages=pages)
        if not self.password_file.exists():
            self._set_password(secrets.token_hex(18))  # never a leading dash: the command would take it for an option

    @property
    def uri(self) -> str:
        """Where it answers."""
        return f"bolt://127.0.0.1:{self.port}"

    @property
    def password(self) -> str:
        """Of the user ``neo4j``."""
        return self.password_file.read_text()

    def configure(self, settings: str, *, pages: str = "256m") -> None:
        """Write ``neo4j.conf``, for the next start."""
        (self.home / "conf" / "neo4j.conf").write_text(CONF.format(port=self.port, pages=pages) + settings)

    def start(self) -> None:
        """Start it and wait until it answers.

        Raises:
            CannotStart: it ended, or did not answer in time; with the last lines of its log.
        """
        command = [java(), *self.flags, "-cp", f"{jars()}/*", "org.neo4j.server.CommunityEntryPoint"]
        command += [f"--home-dir={self.home}", f"--config-dir={self.home / 'conf'}"]
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

    def environment(self) -> dict[str, str]:
        """What Govern reads to use it."""
        return {"GOVERN_GRAPH": self.uri, "GOVERN_GRAPH_USER": self.user, "GOVERN_GRAPH_PASSWORD": self.password}

    def _set_password(self, password: str) -> None:
        command = [java(), "-XX:TieredStopAtLevel=1", "-cp", f"{jars()}/*", "org.neo4j.server.startup.Neo4jAdminCommand"]
        environment = os.environ | {"NEO4J_HOME": str(self.home), "NEO4J_CONF": str(self.home / "conf")}
        done = subprocess.run(
            [*command, "dbms", "set-initial-password", password], env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise CannotStart(f"the password could not be set: {done.stderr.strip()[-300:]}")
        self.password_file.touch(mode=0o600)
        self.password_file.write_text(password)

    def _wait(self) -> None:
        from neo4j import GraphDatabase
        from neo4j.exceptions import DriverError, Neo4jError

        end = time.monotonic() + READY_SECONDS
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                try:
                    with GraphDatabase.driver(self.uri, auth=(self.user, self.password)) as driver:
                        driver.verify_connectivity()
                except (DriverError, Neo4jError):
                    pass  # Bolt answers a moment before the database does
                else:
                    return
            if self.process is None or self.process.poll() is not None or time.monotonic() > end:
                logs = [
                    path.read_text(errors="replace").strip()[-600:]
                    for path in (self.home / "server.log", self.home / "logs" / "neo4j.log")
                    if path.exists()
                ]
                raise CannotStart(f"Neo4j did not come up: {' / '.join(filter(None, logs))}")
            time.sleep(0.1)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def _folder(given: Path | None) -> Iterator[Path]:
    if given is not None:
        yield given.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="govern-neo4j-") as folder:
        yield Path(folder)


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--home", type=Path, help="keep its data here (default: a temporary folder)")
    parser.add_argument("--port", type=int, help="of Bolt, on loopback (default: a free one)")
    parser.add_argument("--heap", default="1g", help="Java's heap (default: 1g)")
    parser.add_argument("--fetch", action="store_true", help="fetch the jars and end")
    parser.add_argument("command", nargs="*", help="after --: run this beside the server; {uri} in it is the server's address")
    given = parser.parse_args()
    if given.fetch:
        sys.stdout.write(f"{jars()}\n")
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with _folder(given.home) as home:
        server = Neo4j(home, port=given.port, flags=(f"-Xmx{given.heap}",))
        server.start()
        try:
            if given.command:
                command = [word.replace("{uri}", server.uri) for word in given.command]
                return subprocess.run(command, env=os.environ | server.environment(), check=False).returncode
            for name, value in server.environment().items():
                sys.stdout.write(f"export {name}={value}\n")
            sys.stdout.flush()
            with contextlib.suppress(KeyboardInterrupt):
                signal.pause()
        finally:
            server.stop()
    return 0


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except CannotStart as error:
        sys.stderr.write(f"error: {error}\n")
        raise SystemExit(1) from None
