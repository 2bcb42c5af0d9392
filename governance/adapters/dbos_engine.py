"""Durable workflows on DBOS over SQLite (WAL, synchronous FULL, portable JSON, a pinned application version).

A workflow's steps run at least once: every step keeps its own idempotency. Inputs and results hold ids and digests only. DBOS is one per
process (its registry is global), therefore there is one engine per process at a time.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from dbos import DBOS, DBOSConfig, DBOSPortableJSONSerializer, SetWorkflowID
from sqlalchemy import event

from governance.ports import Steps
from lineage.errors import StoreUnavailable

__all__ = ["DbosEngine", "give_subseconds"]

T = TypeVar("T")

APPLICATION_VERSION = "govern-workflows-1"
"""Pinned: a workflow that was interrupted by an upgrade is resumed; changed on purpose when steps change their meaning."""

_EXECUTOR = "home"


class _DbosSteps:
    """Steps of the workflow that runs in this thread."""

    def run(self, name: str, work: Callable[[], T]) -> T:
        return DBOS.run_step({"name": name}, work)


class DbosEngine:
    """The durable-step port on DBOS.

    Args:
        path: the SQLite file of step progress.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._bodies: dict[str, Callable[[str], None]] = {}
        self._defined: dict[str, Callable[[Steps, str], None]] = {}
        self._lock = threading.Lock()
        self._launched = False
        self._stopped = False

    def define(self, name: str, body: Callable[[Steps, str], None]) -> None:
        """Name a workflow; before :meth:`launch`."""
        self._defined[name] = body

    def launch(self) -> None:
        """Open the file, resume what a crash interrupted, accept starts. Calling it again does nothing."""
        with self._lock:
            if self._launched:
                return
            self._stopped = False
            try:
                with sqlite3.connect(self._path) as connection:
                    connection.execute("PRAGMA journal_mode=WAL")
                connection.close()
                self._path.chmod(0o600)
            except (sqlite3.Error, OSError) as error:
                raise StoreUnavailable(f"the workflow store {self._path} cannot be opened: {error}", hint="govern doctor") from error
            engine = sa.create_engine(f"sqlite:///{self._path}", connect_args={"timeout": 30})
            event.listen(engine, "connect", self._connected)
            config: DBOSConfig = {
                "name": "govern",
                "system_database_url": f"sqlite:///{self._path}",
                "system_database_engine": engine,
                "serializer": DBOSPortableJSONSerializer(),
                "application_version": APPLICATION_VERSION,
                "executor_id": _EXECUTOR,
                "log_level": "WARNING",
                "enable_otlp": False,
                "max_executor_threads": 8,
            }
            logging.getLogger("dbos").setLevel(logging.WARNING)
            DBOS(config=config)
            for name, body in self._defined.items():
                self._bodies[name] = _workflow(name, body)
            DBOS.launch()
            self._launched = True

    def start(self, name: str, ident: str, argument: str) -> None:
        """Start a workflow under an id; the same id again does nothing."""
        self.launch()
        if DBOS.get_workflow_status(ident) is not None:
            return  # also when its recovery waits in a queue: it is not started beside it
        with SetWorkflowID(ident):
            DBOS.start_workflow(self._bodies[name], argument)

    def _connected(self, connection: Any, _record: Any) -> None:
        if self._stopped:
            raise StoreUnavailable("the workflow engine was stopped", hint="what was interrupted goes on at the next start")
        cursor = connection.cursor()
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.close()
        give_subseconds(connection)

    def stop(self) -> None:
        """Stop at once; what runs is resumed at the next launch, for nothing that it still does is written any more."""
        with self._lock:
            self._stopped = True
            if self._launched:
                DBOS.destroy(destroy_registry=True)
                self._launched = False


def give_subseconds(connection: sqlite3.Connection) -> None:
    """Teach an older SQLite ``unixepoch('subsec')``, seconds with their fraction, which SQLite has since 3.42.

    From Python 3.12 on DBOS 3.4 writes its times with it, but Python's version says nothing of SQLite's: Debian 12 has 3.40 under every
    Python, where the call gives NULL and the first insert fails.
    """
    if sqlite3.sqlite_version_info < (3, 42):
        connection.create_function("unixepoch", 1, _unixepoch)


def _unixepoch(modifier: str) -> float:
    if modifier != "subsec":
        raise ValueError(f"unixepoch({modifier!r}) is not known here")
    return time.time()


def _workflow(name: str, body: Callable[[Steps, str], None]) -> Callable[[str], None]:
    @DBOS.workflow(name=name)
    def run(argument: str) -> None:
        body(_DbosSteps(), argument)

    return run
