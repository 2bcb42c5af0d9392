#!/usr/bin/env python3
"""Start the unmodified Apache Kafka server on this machine (KRaft, one node), from Maven's jars, without containers.

    start.py                                  run one until Ctrl-C; prints its address
    start.py --home DIR --port 9092           keep its data in DIR
    start.py -- COMMAND {brokers} ...         run COMMAND beside a fresh one, then stop it

The jars are fetched once (`mvn`, about 45 MB) into a cache folder. It listens on loopback, without a password; --properties adds lines
to its server.properties. Needs Java 17 or later, and Maven for the first start.
"""

from __future__ import annotations

import argparse
import base64
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
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

POM = Path(__file__).with_name("pom.xml")
READY_SECONDS = 120.0
QUICK = ("-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-XX:-UsePerfData")
"""Java's flags for a short life: the quick compiler only."""
CONF = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
log.dirs={data}
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
"""


class CannotStart(Exception):
    """Why there is no server."""


def jars() -> Path:
    """The folder of the server's jars, fetched when they are not there; safe when several processes ask at once.

    Raises:
        CannotStart: Maven is missing, or it failed.
    """
    version = re.search(r"<kafka\.version>([^<]+)<", POM.read_text())
    name = f"kafka-{version[1] if version else 'unknown'}"
    cache = Path(os.environ.get("GOVERN_TEST_KAFKA_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "govern")
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
            command = [maven, "-q", "-B", "-f", str(POM), "dependency:copy-dependencies", "-DincludeScope=runtime"]
            done = subprocess.run([*command, f"-DoutputDirectory={whole}"], capture_output=True, text=True, check=False)
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
        raise CannotStart("Java is not installed: Kafka 4 needs 17 or later")
    return found


class Kafka:
    """One server: its folder and ports. :meth:`start` and :meth:`stop` may alternate.

    Args:
        home: where its data lies.
        port: of clients, on loopback; ``None`` takes a free one.
        flags: for Java.
        properties: further lines of ``server.properties``; a later line wins over an earlier one.
    """

    def __init__(self, home: Path, *, port: int | None = None, flags: Sequence[str] = QUICK, properties: str = "") -> None:
        self.home = home
        self.port = port or free_port()
        self.flags = flags
        self.process: subprocess.Popen[bytes] | None = None
        self._conf = home / "server.properties"
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._conf.write_text(CONF.format(port=self.port, controller=free_port(), data=home / "data") + properties)
        self._conf.chmod(0o600)

    @property
    def brokers(self) -> str:
        """Where it answers, as ``bootstrap.servers`` wants it."""
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait until it answers.

        Raises:
            CannotStart: it ended, or did not answer in time; with the last lines of its log.
        """
        if not (self.home / "data").exists():
            self._format()
        with (self.home / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                self._java("kafka.Kafka", str(self._conf)), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
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

    def _java(self, main: str, *args: str) -> list[str]:
        return [java(), *self.flags, "-Dorg.apache.logging.log4j.level=WARN", "-cp", f"{jars()}/*", main, *args]

    def _format(self) -> None:
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode().replace("-", "_")
        command = self._java("kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(self._conf))
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise CannotStart(f"its data folder could not be made: {done.stderr.strip()[-500:]}")

    def _wait(self) -> None:
        from confluent_kafka import KafkaException
        from confluent_kafka.admin import AdminClient

        end = time.monotonic() + READY_SECONDS
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                try:
                    if AdminClient({"bootstrap.servers": self.brokers, "log_level": 0}).list_topics(timeout=5).brokers:
                        return
                except KafkaException:
                    pass  # it listens a moment before it answers
            if self.process is None or self.process.poll() is not None or time.monotonic() > end:
                log = (self.home / "server.log").read_text(errors="replace").strip()[-900:]
                raise CannotStart(f"Kafka did not come up: {log}")
            time.sleep(0.05)


def free_port() -> int:
    """A TCP port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def _folder(given: Path | None) -> Iterator[Path]:
    if given is not None:
        yield given.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="govern-kafka-") as folder:
        yield Path(folder)


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--home", type=Path, help="keep its data here (default: a temporary folder)")
    parser.add_argument("--port", type=int, help="of clients, on loopback (default: a free one)")
    parser.add_argument("--properties", type=Path, help="a file with further lines of server.properties")
    parser.add_argument("--fetch", action="store_true", help="fetch the jars and end")
    parser.add_argument("command", nargs="*", help="after --: run this beside the server; {brokers} in it is the server's address")
    given = parser.parse_args()
    if given.fetch:
        sys.stdout.write(f"{jars()}\n")
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with _folder(given.home) as home:
        server = Kafka(home, port=given.port, flags=("-Xmx512m",), properties=given.properties.read_text() if given.properties else "")
        server.start()
        try:
            if given.command:
                command = [word.replace("{brokers}", server.brokers) for word in given.command]
                return subprocess.run(command, check=False).returncode
            sys.stdout.write(f"kafka://{server.brokers}\n")
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
