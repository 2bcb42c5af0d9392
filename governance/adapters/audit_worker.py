"""Audits in a warm subprocess: started at the first job, kept for the next, started again after a crash.

User code (``build``, ``encode``) never runs in the process that holds the keys. Whatever happens in the child, a job ends with one finding
per planned audit; when it could not be made, with ERROR findings, which block.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from audits.model import AuditRequest, Finding, finding_from_json
from audits.run import error_findings, planned
from lineage.errors import BadInput, GovernError
from trainers.child import Child
from trainers.errors import ChildDied, ChildFailed, ChildTimeout
from trainers.frames import to_ipc

__all__ = ["AuditWorker"]

_MODULE: Final = "governance.adapters.audit_main"
_START_S: Final = 180.0


class AuditWorker:
    """One warm child that runs audits. Safe to call from several threads; jobs run one after another.

    Args:
        threads: threads of the numeric libraries in the child.
        timeout_s: for one fork of a job (the production version's answers, then the audits).
        scratch: where the child's private folder is made.
    """

    def __init__(self, threads: int = 2, *, timeout_s: float = 300.0, scratch: Path | None = None) -> None:
        self._threads = threads
        self._timeout = timeout_s
        self._scratch = scratch
        self._lock = threading.Lock()
        self._child: Child | None = None
        self._closed = False
        self._importing = False
        """The child was told to import and has not said yet that it did."""
        self.libraries: Mapping[str, str] = {}
        """Versions of what the child imported; empty before it is warm."""

    def warm(self) -> float:
        """Start the child now and wait for its imports; returns their seconds, 0 when it is warm already.

        Raises:
            ChildFailed: it could not be started.
        """
        with self._lock:
            return self._warm()

    def run(self, request: AuditRequest) -> list[Finding]:
        """One finding per planned audit, ERROR findings when they could not be made."""
        with self._lock:
            if self._closed:
                return error_findings(request, "the audit worker is closed")
            try:
                self._warm()
                found = self._ask(request)
            except (ChildDied, ChildTimeout) as error:
                self._drop()
                return error_findings(request, f"the audit worker failed: {error.message}")
            except ChildFailed as error:
                return error_findings(request, f"the audit could not be made: {error.message}")
            except GovernError as error:
                self._drop()  # it answered nonsense: a new child for the next job
                return error_findings(request, error.message)
        missing = set(planned(request)) - {f.audit for f in found}
        return found + [f for f in error_findings(request, "the audit worker gave no finding") if f.audit in missing]

    def pid(self) -> int | None:
        """Process id of the child, or ``None`` when none runs."""
        return None if self._child is None else self._child.pid

    def close(self) -> None:
        """End the child; jobs asked for later give ERROR findings. Again: nothing happens."""
        self._closed = True
        child = self._child
        if child is not None:
            child.kill()  # a job that runs holds the lock: it ends with its child
        with self._lock:
            self._drop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None) -> None:
        self.close()

    def prepare(self) -> None:
        """Start the child now if none runs, and return at once: it imports its libraries meanwhile."""
        with self._lock:
            if not self._closed and not (self._child is not None and self._child.alive()):
                self._start()

    def _start(self) -> None:
        self._drop()
        # shap's numba and matplotlib keep caches; the scratch folder is private and goes with the child
        self._child = Child(_MODULE, threads=self._threads, env={"MPLBACKEND": "agg"}, scratch=self._scratch)
        self._child.send("warm", {"threads": self._threads})
        self._importing = True

    def _warm(self) -> float:
        if self._child is None or not self._child.alive():
            self._start()
        if not self._importing or self._child is None:
            return 0.0
        _, header, _ = self._child.receive(_START_S)
        self._importing = False
        self.libraries = header["libraries"]
        return float(header["seconds"])

    def _ask(self, request: AuditRequest) -> list[Finding]:
        child = self._child
        assert child is not None
        header, body = _message(request)
        child.send("audit", {**header, "threads": self._threads, "timeout_s": self._timeout}, body)
        # two forks at most, each with its own limit
        kind, answer, _ = child.receive(2 * self._timeout + 30)
        if kind != "findings" or not isinstance(answer.get("findings"), list):
            raise BadInput(f"the audit worker answered {kind!r} instead of findings")
        found = [finding_from_json(f) for f in answer["findings"]]
        strangers = [f for f in found if (f.model, f.version, f.model_digest) != (request.model, request.version, request.model_digest)]
        if strangers:
            raise BadInput(f"the audit worker answered about {strangers[0].model}@{strangers[0].version}")
        return found

    def _drop(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child = None


def _message(request: AuditRequest) -> tuple[dict[str, Any], bytes]:
    """The request as a header of plain JSON and the tables, one after another."""
    parts = [(role, to_ipc(table)) for role, table in sorted(request.tables.items())]
    cases = request.cases
    if cases is not None:
        parts.append(("\0cases", to_ipc(cases.table)))
    header: dict[str, Any] = {
        "model": request.model,
        "version": request.version,
        "model_digest": request.model_digest,
        "artifact": str(request.artifact),
        "snapshot": str(request.snapshot),
        "spec": dict(request.spec),
        "config": {audit: dict(config) for audit, config in request.config.items()},
        "data": dict(request.data),
        "production": None if request.production is None else asdict(request.production),
        "cases": None if cases is None else {"ids": list(cases.ids), "expected": list(cases.expected)},
        "seed": request.seed,
        "tables": [(role, len(data)) for role, data in parts],
    }
    return header, b"".join(data for _, data in parts)
