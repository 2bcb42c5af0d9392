"""Durable workflows on DBOS: portable JSON, a pinned application version, no telemetry and no coordinator.

A workflow's steps run at least once: every step keeps its own idempotency. Inputs and results hold ids and digests only. DBOS is one per
process (its registry is global), therefore there is one engine per process at a time.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any, Final, TypeVar

import sqlalchemy as sa
from dbos import DBOS, DBOSConfig, DBOSPortableJSONSerializer, SetWorkflowID
from sqlalchemy import event

from governance.adapters.dbos_stores import StepStore
from governance.ports import Steps
from lineage.errors import StoreUnavailable

__all__ = ["APPLICATION_VERSION", "DbosEngine"]

T = TypeVar("T")

APPLICATION_VERSION: Final = "govern-workflows-2"
"""Of the workflows' steps. It is raised with every change of their names, their order or the meaning of a remembered result (ADR 26):
what an older version left half done is then begun anew from the ledger. What changes no step keeps it, and goes on where it was."""

_EXECUTOR: Final = "home"
"""The same for every process: one of them owns the home at a time, and takes up what the one before left."""
_OPEN: Final = ["PENDING", "ENQUEUED"]


class _DbosSteps:
    """Steps of the workflow that runs in this thread."""

    def run(self, name: str, work: Callable[[], T]) -> T:
        return DBOS.run_step({"name": name}, work)


class DbosEngine:
    """The durable-step port on DBOS.

    Args:
        store: where the progress of steps is kept.
        version: of the workflows' steps.
    """

    def __init__(self, store: StepStore, *, version: str = APPLICATION_VERSION) -> None:
        self._store = store
        self._version = version
        self._bodies: dict[str, Callable[[str], None]] = {}
        self._defined: dict[str, Callable[[Steps, str], None]] = {}
        self._lock = threading.Lock()
        self._pool: sa.Engine | None = None
        self._launched = False
        self._stopped = False

    def define(self, name: str, body: Callable[[Steps, str], None]) -> None:
        """Name a workflow; before :meth:`launch`."""
        self._defined[name] = body

    def launch(self) -> None:
        """Open the store, resume what a crash interrupted, accept starts. Calling it again does nothing.

        Raises:
            StoreUnavailable: the store cannot be used.
        """
        with self._lock:
            if self._launched:
                return
            self._stopped = False
            with self._store.explained():
                self._launch()
            self._launched = True

    def _launch(self) -> None:
        self._pool = self._store.engine()
        event.listen(self._pool, "checkout", self._checked_out)
        config: DBOSConfig = {
            "name": "govern",
            "system_database_url": self._store.url,
            "system_database_engine": self._pool,
            "serializer": DBOSPortableJSONSerializer(),
            "application_version": self._version,
            "executor_id": _EXECUTOR,
            "log_level": "WARNING",
            "enable_otlp": False,
            "max_executor_threads": 8,
            "use_listen_notify": False,  # no workflow here waits for a message, and a pooler may stand before the server
        }
        if self._store.schema is not None:
            config["dbos_system_schema"] = self._store.schema
        logging.getLogger("dbos").setLevel(logging.WARNING)
        try:
            DBOS(config=config)
            for name, body in self._defined.items():
                self._bodies[name] = _workflow(name, body)
            DBOS.launch()
            self._forget_older()
        except BaseException:
            self._end()
            raise

    def start(self, name: str, ident: str, argument: str) -> None:
        """Start a workflow under an id; the same id again does nothing."""
        self.launch()
        if DBOS.get_workflow_status(ident) is not None:
            return  # also when its recovery waits in a queue: it is not started beside it
        with SetWorkflowID(ident):
            DBOS.start_workflow(self._bodies[name], argument)

    def stop(self) -> None:
        """Stop at once; what runs is resumed at the next launch, for nothing that it still does is written any more."""
        with self._lock:
            self._stopped = True
            if self._launched:
                self._end()
                self._launched = False

    def _end(self) -> None:
        DBOS.destroy(destroy_registry=True)
        if self._pool is not None:
            self._pool.dispose()

    def _forget_older(self) -> None:
        """Forget what another version of the steps left half done: its remembered results would be given to other steps."""
        older = DBOS.list_workflows(status=_OPEN, load_input=False, load_output=False)
        idents = [workflow.workflow_id for workflow in older if workflow.app_version != self._version]
        if idents:
            DBOS.delete_workflows(idents)

    def _checked_out(self, *_: Any) -> None:
        if self._stopped:
            raise StoreUnavailable("the workflow engine was stopped", hint="what was interrupted goes on at the next start")


def _workflow(name: str, body: Callable[[Steps, str], None]) -> Callable[[str], None]:
    @DBOS.workflow(name=name)
    def run(argument: str) -> None:
        body(_DbosSteps(), argument)

    return run
