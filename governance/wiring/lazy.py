"""What is heavy and made, or imported, only when it is asked for: torch, the typesetter, the audit process."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from openlineage.client.event_v2 import RunEvent

    from audits.model import AuditRequest, Finding
    from trainers.model import TrainSpec

__all__ = ["Lazy", "WarmAuditor", "environment_digest", "generator", "import_papers", "training_event_of"]


class Lazy:
    """Something heavy that is made when it is first asked for."""

    def __init__(self, make: Any) -> None:
        self._make = make
        self._made: Any = None
        self._lock = threading.Lock()

    def __call__(self) -> Any:
        with self._lock:
            if self._made is None:
                self._made = self._make()
            return self._made

    @property
    def made(self) -> Any:
        return self._made


class WarmAuditor:
    """The auditor port over the lazily started process."""

    def __init__(self, worker: Lazy) -> None:
        self._worker = worker

    def run(self, request: AuditRequest) -> list[Finding]:
        found: list[Finding] = self._worker().run(request)
        return found

    def close(self) -> None:
        if self._worker.made is not None:
            self._worker.made.close()


def training_event_of(spec: TrainSpec, **given: Any) -> RunEvent:
    """The OpenLineage event of a training (:func:`trainers.events.training_event`)."""
    from trainers.events import training_event

    return training_event(spec, **given)


def import_papers() -> None:
    """The first paper, an audit's or a certificate's, need not wait seconds for what typesets and signs it; nor an act for its event."""
    import governance.dossier
    import lineage.emit
    import reports.issue

    assert all((governance.dossier, lineage.emit, reports.issue))


def environment_digest(threads: int) -> str:
    """Of the packages and the machine as a training with so many threads finds them."""
    from trainers.environment import environment

    return environment(threads).digest


def generator() -> str:
    """Who made a paper: the product with its version."""
    from importlib.metadata import version

    return f"Govern {version('govern-ml')}"
