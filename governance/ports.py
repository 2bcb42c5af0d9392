"""What decisions need from the outside: durable steps, trainers, auditors, runners, prediction records, paper issuers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    import pyarrow as pa

    from audits.model import AuditRequest, Finding
    from governance.model import Sent
    from lineage.ports import Progress
    from trainers.model import Checkpoint, TrainRecord, TrainSpec

__all__ = [
    "Auditor",
    "Durable",
    "IdentityClaims",
    "Notifier",
    "Predicted",
    "PredictionStore",
    "ResponseSigner",
    "Runner",
    "Runners",
    "Sender",
    "Steps",
    "Trainer",
]

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
        before: Path | None = None,
        checkpoints: Path | None = None,
        known: Sequence[Checkpoint] = (),
        alone: bool = False,
    ) -> TrainRecord:
        """From scratch, unless ``before`` says what may be taken over from the version before.

        That is the artifact of a sharded training, and of a replayed one the folder of its checkpoints ``known``. ``checkpoints`` is the
        folder for this run's own.

        ``alone``: in a process that shares nothing with any other, not even the libraries it has imported.
        """
        ...


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


class Sender(Protocol):
    """Brings a body to a receiver's URL, and never to a place inside that was not allowed."""

    def check(self, url: str) -> None:
        """Raises ``BadInput`` when nothing would be sent there: no https, no such host, an address that is not public."""
        ...

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Sent:
        """One attempt; a failure is a value with its reason, not an exception."""
        ...


class ResponseSigner(Protocol):
    """Signs what a processor says in OpenDSR, for the domain of its certificate."""

    @property
    def domain(self) -> str: ...
    @property
    def certificate_pem(self) -> bytes:
        """The certificate and what leads to its root, PEM."""
        ...

    def sign(self, body: bytes) -> bytes:
        """The signature over the SHA-256 digest of a body."""
        ...


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
        epoch: str | None,
        inputs: bytes,
        outputs: bytes,
    ) -> None:
        """Keep one prediction; ``epoch`` is that of ``subject_ref``, and ``None`` with it."""
        ...

    def get(self, id: str) -> dict[str, Any]: ...  # noqa: A002 - the field's name
    def receipt(self, id: str) -> dict[str, Any]:  # noqa: A002 - the field's name
        """What stays for ever: id, at, deployment, model, version, and the request that erased it (or ``None``)."""
        ...

    def by_subject(self, refs: Sequence[str]) -> list[str]: ...
    def forget(self, ids: Sequence[str], *, request: str) -> int: ...
    def residual(self, ids: Sequence[str]) -> int: ...
    def erased(self) -> Mapping[str, Sequence[str]]:
        """Request → the ids of the predictions that it erased."""
        ...

    def named(self) -> Sequence[tuple[str, str, int]]:
        """(epoch, reference, records) of every reference that names the person of a record."""
        ...

    def rekey(self, moves: Mapping[str, str], *, epoch: str) -> int:
        """Put new references, made under ``epoch``, in place of old ones; returns how many records changed."""
        ...

    def unlink(self, epoch: str) -> int:
        """Make the records whose person only this epoch names those of unknown persons; returns how many."""
        ...

    def count(self, model: str | None = None) -> int: ...
    def unknown_subjects(self, model: str | None = None) -> int: ...
    def close(self) -> None: ...


class Notifier(Protocol):
    """Hands a message over for one person. Implementations write the address nowhere but into the message itself."""

    def send(self, *, address: str, subject: str, text: str, reference: str) -> None:
        """Hand over; returns once the next station has taken it.

        Args:
            address: one e-mail address, checked.
            subject: one line.
            text: plain text.
            reference: the request's id, by which a repeated message is known.

        Raises:
            StoreUnavailable: it was not taken; the message names the station, never the address.
        """
        ...


class IdentityClaims(Protocol):
    """Reads the ID token of an OpenID Provider (OpenID Connect Core 1.0)."""

    @property
    def issuer(self) -> str: ...
    @property
    def claim(self) -> str:
        """The claim that names the data subject."""
        ...

    def verify(self, token: str, *, nonce: str, now: int) -> str:
        """The value of the claim, once signature, issuer, audience, times and nonce are right (§3.1.3.7).

        Raises:
            NotVerified: one of them is not; says which, never what the token held.
            StoreUnavailable: the provider's keys cannot be read.
        """
        ...
