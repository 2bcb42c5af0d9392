"""What decisions need from the outside: durable steps, trainers, auditors, runners, prediction records, paper issuers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    import pyarrow as pa

    from audits.model import AuditRequest, Finding
    from lineage.ports import Progress
    from trainers.model import TrainRecord, TrainSpec

__all__ = ["Auditor", "Durable", "Predicted", "PredictionStore", "Runner", "Runners", "Steps", "Trainer"]

T = TypeVar("T")


class Steps(Protocol):
    """Inside a durable workflow: each named step runs at least once, and its JSON result is remembered."""

    def run(self, name: str, work: Callable[[], T]) -> T:
        """The step's result; remembered when the workflow is resumed after a crash."""
        ...


class Durable(Protocol):
    """Workflows that survive a kill: started once by id, resumed where they stopped. Inputs hold ids only, never a person's."""

    def define(self, name: str, body: Callable[[Steps, str], None]) -> None:
        """Name a workflow before :meth:`launch`; ``body(steps, argument)``."""
        ...

    def start(self, name: str, ident: str, argument: str) -> None:
        """Start it, or do nothing when ``ident`` was started before."""
        ...

    def launch(self) -> None:
        """Resume what was interrupted and accept new starts."""
        ...

    def stop(self) -> None: ...


class Trainer(Protocol):
    """Runs one training in its own process; a failure of the user's code is a record with a reason, not an exception."""

    def __call__(
        self,
        spec: TrainSpec,
        *,
        run_id: str,
        tables: Mapping[str, pa.Table],
        snapshot: Path,
        artifacts: Path,
        progress: Progress | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> TrainRecord: ...


class Auditor(Protocol):
    """A warm process that audits model versions from their own code snapshots."""

    def run(self, request: AuditRequest) -> list[Finding]: ...
    def close(self) -> None: ...


class Predicted(Protocol):
    """What a runner answers for a table of rows."""

    @property
    def labels(self) -> Sequence[Any]: ...
    @property
    def scores(self) -> Sequence[Sequence[float]]: ...
    @property
    def classes(self) -> Sequence[Any]: ...


class Runner(Protocol):
    """One served model version in its own process."""

    def predict(self, table: pa.Table) -> Predicted: ...
    def close(self) -> None: ...


class Runners(Protocol):
    """Starts a runner for an artifact and a code snapshot."""

    def __call__(self, *, artifact: Path, snapshot: Path, spec: Mapping[str, Any]) -> Runner: ...


class PredictionStore(Protocol):
    """Prediction receipts with erasable inputs and outputs."""

    def record(
        self,
        *,
        id: str,  # noqa: A002 - the field's name
        at: int,
        deployment: str,
        model: str,
        version: str,
        subject_ref: str | None,
        inputs: bytes,
        outputs: bytes,
    ) -> None: ...
    def get(self, id: str) -> dict[str, Any]: ...  # noqa: A002 - the field's name
    def receipt(self, id: str) -> dict[str, Any]:  # noqa: A002 - the field's name
        """What stays for ever: id, at, deployment, model, version, and the request that erased it (or ``None``)."""
        ...

    def by_subject(self, refs: Sequence[str]) -> list[str]: ...
    def forget(self, ids: Sequence[str], *, request: str) -> int: ...
    def residual(self, ids: Sequence[str]) -> int: ...
    def count(self, model: str | None = None) -> int: ...
    def unknown_subjects(self, model: str | None = None) -> int: ...
    def close(self) -> None: ...
