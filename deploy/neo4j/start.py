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

import os
import secrets
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

if not __package__:  # run as a file
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from deploy.java_server import CannotStart, JavaServer, options, run, until_interrupted

CONF = """\
server.bolt.listen_address=127.0.0.1:{port}
server.http.enabled=false
server.https.enabled=false
dbms.usage_report.enabled=false
server.memory.pagecache.size={pages}
db.tx_log.preallocate=false
"""


class Neo4j(JavaServer):
    """One server with its password.

    Args:
        home, port, flags: as of every server.
        settings: further lines of ``neo4j.conf``.
        pages: size of the page cache.
    """

    name = "Neo4j"
    pom = Path(__file__).with_name("pom.xml")
    needs = "Neo4j 5.26 needs 17 or later"
    ready_seconds = 180.0
    user = "neo4j"

    def __init__(
        self, home: Path, *, port: int | None = None, flags: Sequence[str] = ("-Xmx1g",), settings: str = "", pages: str = "256m"
    ) -> None:
        super().__init__(home, port=port, flags=flags)
        self.password_file = home / "password"
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

    def environment(self) -> dict[str, str]:
        """What Govern reads to use it."""
        return {"GOVERN_GRAPH": self.uri, "GOVERN_GRAPH_USER": self.user, "GOVERN_GRAPH_PASSWORD": self.password}

    def main(self) -> list[str]:
        """The entry point of the Community edition."""
        return ["org.neo4j.server.CommunityEntryPoint", f"--home-dir={self.home}", f"--config-dir={self.home / 'conf'}"]

    def answers(self) -> bool:
        """Bolt answers a moment before the database does."""
        from neo4j import GraphDatabase
        from neo4j.exceptions import DriverError, Neo4jError

        try:
            with GraphDatabase.driver(self.uri, auth=(self.user, self.password)) as driver:
                driver.verify_connectivity()
        except (DriverError, Neo4jError):
            return False
        return True

    def logs(self) -> list[Path]:
        """Of the process, and of the server."""
        return [*super().logs(), self.home / "logs" / "neo4j.log"]

    def _set_password(self, password: str) -> None:
        command = [*self.java("-XX:TieredStopAtLevel=1"), "org.neo4j.server.startup.Neo4jAdminCommand", "dbms", "set-initial-password"]
        environment = os.environ | {"NEO4J_HOME": str(self.home), "NEO4J_CONF": str(self.home / "conf")}
        done = subprocess.run([*command, password], env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise CannotStart(f"the password could not be set: {done.stderr.strip()[-300:]}")
        self.password_file.touch(mode=0o600)
        self.password_file.write_text(password)


def main() -> int:
    """The command."""
    parser = options(__doc__, "{uri}")
    parser.add_argument("--heap", default="1g", help="Java's heap (default: 1g)")
    given = parser.parse_args()

    def beside(server: JavaServer) -> int:
        assert isinstance(server, Neo4j)
        if not given.command:
            return until_interrupted("\n".join(f"export {name}={value}" for name, value in server.environment().items()))
        command = [word.replace("{uri}", server.uri) for word in given.command]
        return subprocess.run(command, env=os.environ | server.environment(), check=False).returncode

    return run(given, Neo4j, lambda home: Neo4j(home, port=given.port, flags=(f"-Xmx{given.heap}",)), beside)


if __name__ == "__main__":
    raise SystemExit(main())
