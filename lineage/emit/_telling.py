"""Events through the official client: a run that tells its start and its end, a deployment, and the transport into our own ledger."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, RunEvent
from openlineage.client.facet_v2 import RunFacet, error_message_run, test_run
from openlineage.client.serde import Serde
from openlineage.client.transport.transport import Transport
from openlineage.client.uuid import generate_new_uuid

from lineage.emit._parts import job as make_job
from lineage.emit._parts import model_input, run_event

__all__ = ["Emitter", "LedgerTransport", "Telling", "deployment", "evaluation", "telling"]

_log = logging.getLogger(__name__)


class Emitter(Protocol):
    """What takes an event: an ``OpenLineageClient``, or any of its transports."""

    def emit(self, event: RunEvent) -> Any:
        """Send one event."""


@dataclass(slots=True)
class Telling:
    """What is known of a run while it runs; everything in here is told when it ends."""

    run_id: str
    """UUID of the run; a good version for the model it makes."""
    inputs: list[InputDataset] = field(default_factory=list)
    outputs: list[OutputDataset] = field(default_factory=list)
    facets: dict[str, RunFacet] = field(default_factory=dict)


@contextmanager
def telling(
    client: Emitter,
    job: Job,
    *,
    producer: str,
    inputs: Sequence[InputDataset] = (),
    facets: Mapping[str, RunFacet] | None = None,
    run_id: str | None = None,
) -> Iterator[Telling]:
    """START now; at the end COMPLETE with what was added meanwhile, or FAIL when the work raises, with the kind of error only.

    A start or an end that cannot be told raises what the client raises: work that nobody can trace is not begun. An interrupt is ABORT.

    Args:
        client: an ``OpenLineageClient``.
        job: as :func:`lineage.emit.job` makes it.
        producer: URI of your script or project.
        inputs: what is known to be read before it starts; more may be added.
        facets: run facets, such as ``executionParameters`` and ``govern_environment``; more may be added.
        run_id: a UUID; a new one by default.
    """
    told = Telling(run_id or str(generate_new_uuid()), list(inputs), [], dict(facets or {}))

    def say(state: str, **more: RunFacet) -> None:
        outputs = told.outputs if state != "START" else []
        client.emit(
            run_event(
                state, at=time.time_ns(), run_id=told.run_id, job=job, producer=producer,
                inputs=told.inputs, outputs=outputs, facets={**told.facets, **more},
            )
        )  # fmt: skip

    say("START")
    try:
        yield told
    except BaseException as error:
        # the message may quote a row; the kind of error never does
        kind = error_message_run.ErrorMessageRunFacet(message=type(error).__name__, programmingLanguage="Python")
        try:
            say("ABORT" if isinstance(error, KeyboardInterrupt) else "FAIL", errorMessage=kind)
        except Exception as unsent:  # noqa: BLE001  # the caller must see why the work failed, whatever ails the network
            _log.warning("run %s failed, and that could not be told: %s", told.run_id, type(unsent).__name__)
        raise
    say("COMPLETE")


def deployment(
    state: str,
    *,
    at: int,
    run_id: str,
    namespace: str,
    name: str,
    model: tuple[str, str, str],
    producer: str,
    integration: str = "PYTHON",
) -> RunEvent:
    """A deployment as a run of a SERVICE job whose input is the model version.

    Args:
        state: START when it goes live, COMPLETE when it ends.
        at: that time, UTC nanoseconds.
        run_id: UUID of this deployment, the same at its start and its end.
        namespace: of the job.
        name: of the job: where it serves, e.g. ``churn.production``.
        model: (namespace, name, version).
        producer: URI of who says so.
        integration: what deploys.
    """
    return run_event(
        state,
        at=at,
        run_id=run_id,
        job=make_job(namespace, name, "DEPLOYMENT", integration=integration),
        producer=producer,
        inputs=[model_input(*model)],
    )


def evaluation(
    results: Mapping[str, bool | None] | Iterable[tuple[str, bool | None]], *, kind: str, severity: str = "error"
) -> test_run.TestRunFacet:
    """Verdicts by name as the ``test`` run facet: true is ``pass``, false is ``fail``, ``None`` (not decided) is ``skip``.

    >>> [(one.name, one.status) for one in evaluation({"accuracy": True, "fairness": None}, kind="sklearn").tests]
    [('accuracy', 'pass'), ('fairness', 'skip')]
    """
    status = {True: "pass", False: "fail", None: "skip"}
    pairs = results.items() if isinstance(results, Mapping) else results
    return test_run.TestRunFacet(
        tests=[test_run.TestExecution(name=name, status=status[verdict], severity=severity, type=kind) for name, verdict in pairs]
    )


class LedgerTransport(Transport):
    """The client's serialisation into a function that makes the bytes durable, such as ``Ingestor.accept``.

    Govern's own acts go this way. They do not go by an ``OpenLineageClient``, which obeys the process's environment: with
    ``OPENLINEAGE_DISABLED``, a filter or a tag there, an act of ours would be silent, or its bytes would be others when it is told again.
    """

    kind = "govern_ledger"

    def __init__(self, accept: Callable[[bytes], object]) -> None:
        self._accept = accept

    def emit(self, event: RunEvent) -> None:  # type: ignore[override]  # the client's own union has its older classes too
        """Durable when it returns."""
        self._accept(Serde.to_json(event).encode())
