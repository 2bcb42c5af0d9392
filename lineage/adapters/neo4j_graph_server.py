"""The way to a Neo4j server: one driver with its pool, managed transactions, and every failure as a sentence that names the next step."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from lineage.errors import BadInput, StoreUnavailable

if TYPE_CHECKING:
    from neo4j import Driver, ManagedTransaction

__all__ = ["SCHEMES", "Place", "Server"]

T = TypeVar("T")

SCHEMES = ("neo4j", "bolt", "neo4j+s", "bolt+s", "neo4j+ssc", "bolt+ssc")
_FAST_FAIL_SECONDS = 5.0
"""After a failure reads are refused at once for so long: the projector is trying meanwhile."""
_AUTH_SECONDS = 6.0
"""After a refused password nobody tries for so long: the server locks an account that is tried too often (five seconds)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a Neo4j is and how to speak to it.

    Raises:
        BadInput: the URI is not one of :data:`SCHEMES`, names no host, or carries a password.
    """

    uri: str
    user: str = "neo4j"
    password: str = ""
    database: str | None = None
    """``None`` is the user's home database, which is ``neo4j`` where nobody chose another."""
    pool_size: int = 20
    retry_seconds: float = 3.0
    """How long a transaction is tried again after a deadlock or a lost connection, before it counts as failed."""

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.uri)
            host, _ = parts.hostname, parts.port
        except ValueError as error:
            raise BadInput(f"the graph's URI cannot be read: {error}", hint=_URI_HINT) from error
        if parts.scheme not in SCHEMES or not host:
            raise BadInput(f"{parts.scheme or self.uri[:40]}:// is no address of a Neo4j", hint=_URI_HINT)
        if parts.username or parts.password:
            raise BadInput("the graph's URI carries a user or a password", hint="put them into GOVERN_GRAPH_USER and GOVERN_GRAPH_PASSWORD")
        if parts.path.strip("/"):
            raise BadInput("the graph's URI has a path", hint="name the database in GOVERN_GRAPH_DATABASE")


_URI_HINT = f"GOVERN_GRAPH is sqlite, or {', '.join(f'{scheme}://HOST' for scheme in SCHEMES)}, with :PORT where it is not 7687"


class Server:
    """A Neo4j server that may be away. Threads share it."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self._driver: Driver | None = None
        self._lock = threading.Lock()
        self._failed: tuple[float, bool, StoreUnavailable] | None = None
        self.on_write: Callable[[list[tuple[str, dict[str, Any]]]], None] | None = None
        """Told the statements of every transaction that was written, for who wants to send them again."""

    def read(self, work: Callable[[ManagedTransaction], T]) -> T:
        """The answer of ``work`` in a read transaction; refused at once while the server is known to be away."""
        with self._errors(patient=False) as driver, driver.session(database=self.place.database) as session:
            return session.execute_read(work)

    def write(self, statements: list[tuple[str, dict[str, Any]]], check: Callable[[list[Any]], None]) -> None:
        """Run the statements in one managed transaction; ``check`` gets the rows of the first and may raise to undo everything."""

        def work(tx: ManagedTransaction) -> None:
            for number, (text, params) in enumerate(statements):
                result = tx.run(text, params)
                if number == 0:  # the others are not waited for one by one: the commit brings whatever they say
                    check([record.data() for record in result])

        with self._errors(patient=True) as driver, driver.session(database=self.place.database) as session:
            session.execute_write(work)
        if self.on_write is not None:
            self.on_write(statements)

    def auto(self, text: str, **params: Any) -> list[dict[str, Any]]:
        """The rows of a statement that commits by itself (schema, deletes in steps)."""
        with self._errors(patient=True) as driver, driver.session(database=self.place.database) as session:
            return [record.data() for record in session.run(text, params)]

    def components(self) -> str:
        """What the server says it is: name, version, edition."""
        rows = self.auto("CALL dbms.components() YIELD name, versions, edition RETURN name, versions, edition")
        return ", ".join(f"{row['name']} {' '.join(row['versions'])} {row['edition']}" for row in rows)

    def close(self) -> None:
        """Close every connection."""
        with self._lock:
            driver, self._driver = self._driver, None
        if driver is not None:
            driver.close()

    @contextlib.contextmanager
    def _errors(self, *, patient: bool) -> Iterator[Driver]:
        from neo4j.exceptions import DriverError, Neo4jError

        failed = self._failed
        if failed is not None and time.monotonic() < failed[0] and (failed[1] or not patient):
            raise StoreUnavailable(failed[2].message, hint=failed[2].hint)
        try:
            yield self._open()
        except (DriverError, Neo4jError, OSError) as error:
            said, refused = self._said(error)
            if refused or not isinstance(error, Neo4jError):  # a server that answers, if only with a no, is not away
                self._failed = (time.monotonic() + (_AUTH_SECONDS if refused else _FAST_FAIL_SECONDS), refused, said)
            raise said from error
        self._failed = None

    def _open(self) -> Driver:
        from neo4j import GraphDatabase

        with self._lock:
            if self._driver is None:
                place = self.place
                self._driver = GraphDatabase.driver(
                    place.uri,
                    auth=(place.user, place.password),
                    max_connection_pool_size=place.pool_size,
                    connection_timeout=5.0,
                    connection_acquisition_timeout=10.0,
                    max_transaction_retry_time=place.retry_seconds,
                    keep_alive=True,
                    user_agent="govern-ml",
                    telemetry_disabled=True,
                    notifications_min_severity="OFF",
                )
            return self._driver

    def _said(self, error: Exception) -> tuple[StoreUnavailable, bool]:
        """(the error in our words, whether the credentials were refused)."""
        from neo4j.exceptions import AuthError, ConfigurationError, Neo4jError

        uri = self.place.uri
        code = str(error.code) if isinstance(error, Neo4jError) else ""
        text = " ".join(str(getattr(error, "message", None) or error).split())[:300]
        if isinstance(error, AuthError) or code.startswith("Neo.ClientError.Security.Auth"):
            said = f"Neo4j at {uri} refuses the user {self.place.user!r}: {text}"
            return StoreUnavailable(said, hint="correct GOVERN_GRAPH_USER and GOVERN_GRAPH_PASSWORD and start again"), True
        if code in {"Neo.ClientError.General.WriteOnReadOnlyAccessDatabase", "Neo.ClientError.General.ForbiddenOnReadOnlyDatabase"} or (
            code == "Neo.ClientError.Statement.AccessMode"
        ):
            return StoreUnavailable(
                f"Neo4j at {uri} lets nobody write into the database: {text}",
                hint="make it writable (server.databases.default_to_read_only, server.databases.read_only), or choose another server",
            ), False
        if code == "Neo.ClientError.Security.Forbidden":
            hint = "give the user the rights to read, write, and make constraints and indexes"
            return StoreUnavailable(f"Neo4j at {uri} forbids it to the user {self.place.user!r}: {text}", hint=hint), False
        if code == "Neo.ClientError.Database.DatabaseNotFound":
            return StoreUnavailable(
                f"Neo4j at {uri} has no database {self.place.database!r}", hint="correct GOVERN_GRAPH_DATABASE; Community has one: neo4j"
            ), False
        if code == "Neo.ClientError.Schema.ConstraintValidationFailed":
            hint = "govern lineage rebuild makes the graph anew from the ledger"
            return StoreUnavailable(f"the graph in {uri} was changed by another hand: {text}", hint=hint), False
        if isinstance(error, ConfigurationError):
            return StoreUnavailable(f"the driver cannot use {uri}: {text}", hint=_URI_HINT), False
        if code:
            return StoreUnavailable(f"Neo4j at {uri} cannot do it: {code}: {text}", hint="look at the server's log"), False
        return StoreUnavailable(
            f"Neo4j at {uri} does not answer: {text}",
            hint="start it, or correct GOVERN_GRAPH; events are taken meanwhile and the graph catches up",
        ), False
