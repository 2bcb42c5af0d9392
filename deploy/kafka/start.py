#!/usr/bin/env python3
"""Start the unmodified Apache Kafka server on this machine (KRaft, one node), from Maven's jars, without containers.

    start.py                                  run one until Ctrl-C; prints its address
    start.py --home DIR --port 9092           keep its data in DIR
    start.py -- COMMAND {brokers} ...         run COMMAND beside a fresh one, then stop it

The jars are fetched once (`mvn`, about 45 MB) into a cache folder. It listens on loopback, without a password; --properties adds lines
to its server.properties. Needs Java 17 or later, and Maven for the first start.
"""

from __future__ import annotations

import base64
import subprocess
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path

if not __package__:  # run as a file
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from deploy.java_server import QUICK, CannotStart, JavaServer, free_port, options, run, until_interrupted

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


class Kafka(JavaServer):
    """One broker that is its own controller.

    Args:
        home, port, flags: as of every server.
        properties: further lines of ``server.properties``; a later line wins over an earlier one.
    """

    name = "Kafka"
    pom = Path(__file__).with_name("pom.xml")
    needs = "Kafka 4 needs 17 or later"
    ready_seconds = 120.0

    def __init__(self, home: Path, *, port: int | None = None, flags: Sequence[str] = ("-Xmx256m", *QUICK), properties: str = "") -> None:
        super().__init__(home, port=port, flags=flags)
        self._conf = home / "server.properties"
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._conf.write_text(CONF.format(port=self.port, controller=free_port(), data=home / "data") + properties)
        self._conf.chmod(0o600)

    @property
    def brokers(self) -> str:
        """Where it answers, as ``bootstrap.servers`` wants it."""
        return f"127.0.0.1:{self.port}"

    @classmethod
    def java(cls, *flags: str) -> list[str]:
        """With less in its log."""
        return super().java(*flags, "-Dorg.apache.logging.log4j.level=WARN")

    def start(self) -> None:
        """Give its folder an identity the first time, start it and wait until it answers."""
        if not (self.home / "data").exists():
            self._format()
        super().start()

    def main(self) -> list[str]:
        """The broker."""
        return ["kafka.Kafka", str(self._conf)]

    def answers(self) -> bool:
        """Whether it tells who it is."""
        from confluent_kafka import KafkaException
        from confluent_kafka.admin import AdminClient

        try:
            return bool(AdminClient({"bootstrap.servers": self.brokers, "log_level": 0}).list_topics(timeout=5).brokers)
        except KafkaException:
            return False

    def _format(self) -> None:
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode().replace("-", "_")
        command = [*self.java(*self.flags), "kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(self._conf)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise CannotStart(f"its data folder could not be made: {done.stderr.strip()[-500:]}")


def main() -> int:
    """The command."""
    parser = options(__doc__, "{brokers}")
    parser.add_argument("--properties", type=Path, help="a file with further lines of server.properties")
    given = parser.parse_args()

    def beside(server: JavaServer) -> int:
        assert isinstance(server, Kafka)
        if not given.command:
            return until_interrupted(f"kafka://{server.brokers}")
        return subprocess.run([word.replace("{brokers}", server.brokers) for word in given.command], check=False).returncode

    properties = given.properties.read_text() if given.properties else ""
    return run(given, Kafka, lambda home: Kafka(home, port=given.port, flags=("-Xmx512m",), properties=properties), beside)


if __name__ == "__main__":
    raise SystemExit(main())
