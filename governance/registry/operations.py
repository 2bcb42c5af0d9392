"""Long work that a caller may poll: queued, running, done or failed; its end is durable, its progress is not."""

from __future__ import annotations

import threading
from typing import Any

from governance.registry.acts import SYSTEM, act
from governance.registry.find import must_find
from lineage.errors import Conflict
from lineage.ports import Clock, Ledger, LedgerTx

__all__ = ["Operations"]


class Operations:
    """Operations by id."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock
        self._progress: dict[str, dict[str, Any]] = {}
        self._lock = threading.Lock()

    @staticmethod
    def body(ident: str, kind: str, *, subject: str, given: dict[str, Any], actor: str, now: int) -> dict[str, Any]:
        """The record of an operation that waits, for an act that enters more than it."""
        return {
            "id": ident, "kind": kind, "state": "queued", "subject": subject, "input": given, "result": None, "error": None,
            "created_at": now, "ended_at": None, "actor": actor,
        }  # fmt: skip

    def queue(self, ident: str, kind: str, *, subject: str, given: dict[str, Any], actor: str) -> bool:
        """Enter an operation; false when the same was entered before; ``Conflict`` when the id stands for other work."""

        def work(tx: LedgerTx) -> bool:
            found = tx.record("operation", ident)
            if found is not None:
                if found[0]["input"] != given or found[0]["kind"] != kind or found[0]["subject"] != subject:
                    raise Conflict("this Idempotency-Key was used for another request", hint="use a new key for new work")
                return False
            body = self.body(ident, kind, subject=subject, given=given, actor=actor, now=self._clock.now())
            tx.append(act("operation.queued", actor=actor, records={("operation", ident): body}))
            return True

        return self._ledger.transact(work)

    def record(self, ident: str) -> dict[str, Any]:
        """The operation with its input."""
        return must_find(self._ledger, "operation", ident, what="operation")

    def start(self, ident: str) -> None:
        """It runs now."""
        body = self.record(ident)
        if body["state"] == "queued":
            self._ledger.append([act("operation.started", actor=SYSTEM, records={("operation", ident): body | {"state": "running"}})])

    def finish(self, ident: str, *, result: dict[str, Any] | None = None, error: dict[str, Any] | None = None) -> None:
        """It ended: with a result, or with ``{detail, hint}``. A second end is ignored."""
        body = self.record(ident)
        if body["state"] in ("done", "failed"):
            return
        state = "failed" if error else "done"
        body = body | {"state": state, "result": result, "error": error, "ended_at": self._clock.now()}
        self._ledger.append(
            [act(f"operation.{state}", actor=SYSTEM, records={("operation", ident): body}, identity=f"operation-end:{ident}")]
        )
        with self._lock:
            self._progress.pop(ident, None)

    def progress(self, ident: str, done: int, total: int | None, what: str) -> None:
        """How far it is; kept in memory only."""
        with self._lock:
            self._progress[ident] = {"done": done, "total": total, "what": what}

    def get(self, ident: str) -> dict[str, Any]:
        """The operation as a caller sees it."""
        body = self.record(ident)
        with self._lock:
            progress = self._progress.get(ident)
        shown = {name: value for name, value in body.items() if name != "input"}
        return shown | {"progress": progress or {"done": 0, "total": None, "what": body["state"]}}
