"""The erasure itself, in durable steps: purge, forget, wait for the models' batches, look again, certify.

Every step can be repeated: a purge that is done finds nothing to do, a training has its run id from its batch, a deployment its id.
The order of the steps follows from their results; so a restart goes on where the work stopped. Models are not retrained here but in
batches (:mod:`governance.workflows.retraining`), one training for all requests that wait for it. One of both runs at a time in a home:
a purge would take away the rows of a training that has just begun.

A request ends only when a search for it finds nothing more to do: what came meanwhile is dealt with first.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from governance.erasure.requests import Erasures
from governance.errors import Superseded
from governance.model import ErasureState as S
from governance.ports import Durable, Steps
from governance.registry import fence
from governance.workflows.purging import Purging
from governance.workflows.scoping import Scoping, waits_for_batch
from governance.workflows.successors import Successors
from governance.workflows.verifying import Verifying
from lineage.errors import Conflict, GovernError
from lineage.ports import Clock, Ledger

__all__ = ["WORKFLOW", "Erasing"]

WORKFLOW = "erasure"

_MOST_TURNS = 20
"""Searches that find something new before the request is given up: a pipeline copies faster than rows are erased."""


class Erasing:
    """Carries requests out. ``wake`` plans batches: models wait for one."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        clock: Clock,
        erasures: Erasures,
        scoping: Scoping,
        purging: Purging,
        successors: Successors,
        verifying: Verifying,
        wake: Callable[[], None],
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._erasures = erasures
        self._scoping = scoping
        self._purging = purging
        self._successors = successors
        self._verifying = verifying
        self._wake = wake
        self._one_at_a_time = threading.Lock()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """While inside, no other erasure and no batch does anything in this process."""
        with self._one_at_a_time:
            yield

    def define(self, engine: Durable) -> None:
        """Name the durable workflow."""
        engine.define(WORKFLOW, self._run)

    def _run(self, steps: Steps, argument: str) -> None:
        request, _, _round = argument.rpartition(".")
        with self.alone():
            token = fence.take(self._ledger, "erasure", request)
            try:
                with fence.held("erasure", request, token):
                    work = steps.run("begin", lambda: self._scoping.begin(request))
                    self._execute(steps, request, work)
            except Superseded:
                return  # whoever took it over ends it
            except GovernError as error:
                self.fail(request, error)
        self._wake()

    def fail(self, request: str, error: GovernError) -> None:
        """The request failed, and says why; nothing when it is not at work."""
        state = self._erasures.record(request)["state"]
        if state in (S.QUEUED, S.EXECUTING, S.VERIFYING):
            fields = {"error": {"detail": error.message, "hint": error.hint}}
            self._erasures.change(request, S.FAILED, kind="failed", reason=error.message, fields=fields)

    def _execute(self, steps: Steps, request: str, work: Mapping[str, Any]) -> None:
        if work["execute"]:
            self._rows(steps, request, work["assets"], 0)
            self._loop(steps, request, "")
            return
        self._close(steps, request, "")

    def rows_again(self, steps: Steps, request: str) -> None:
        """Before a batch: what came since the rows were purged is purged as well, so that the training does not rest on it."""
        for turn in range(1, _MOST_TURNS):
            late = steps.run(f"look again {request} {turn}", partial(self._scoping.again, request))
            if not late:
                return
            self._rows(steps, request, late, turn, of=f" {request}")

    def go_on(self, steps: Steps, request: str) -> None:
        """After a batch: the request goes on, to its end when no other model of it waits; its failure is its own."""
        token = fence.take(self._ledger, "erasure", request)
        try:
            with fence.held("erasure", request, token):
                self._loop(steps, request, f" {request}")
        except Superseded:
            return  # the request is another's now; whether the batch is too, its next step sees
        except GovernError as error:
            self.fail(request, error)

    def _loop(self, steps: Steps, request: str, of: str) -> None:
        """Until a search finds nothing more to do: then the end, unless models wait for a batch or a human has to decide."""
        for turn in range(_MOST_TURNS):
            if steps.run(f"waits{of} {turn}", partial(self._waits, request)):
                return
            late = steps.run(f"again{of} {turn}", partial(self._scoping.again, request))
            if not late:
                self._close(steps, request, of)
                return
            self._rows(steps, request, late, _MOST_TURNS + turn, of=of)
        raise Conflict(
            f"{_MOST_TURNS} searches found new copies of what request {request} erases",
            hint="stop the pipeline that copies them, then govern erasure decide ID retry",
        )

    def _rows(self, steps: Steps, request: str, assets: Sequence[Mapping[str, Any]], turn: int, *, of: str = "") -> None:
        """Purge, forget, and what else needs no training."""
        for asset in [item for item in assets if item["kind"] == "dataset"]:
            steps.run(f"purge {asset['id']}{of} {turn}", partial(self._purging.purge, request, asset))
        steps.run(f"forget predictions{of} {turn}", partial(self._purging.forget, request))
        for asset in [item for item in assets if item["kind"] == "model"]:
            self._successors.settle(steps, request, asset, turn)

    def _waits(self, request: str) -> bool:
        """Whether models wait for their batch: it takes the request up again. The rows are gone from now on."""
        record = self._erasures.record(request)
        if record["state"] != S.EXECUTING:
            return bool(record["state"] != S.VERIFYING)
        models = sorted({asset["detail"]["model"] for asset in record["assets"] if waits_for_batch(asset)})
        if models and record.get("purged_at") is None:
            reason = f"the rows are gone; {', '.join(models)}: retrained in the next batch"
            self._erasures.note(request, kind="purged", reason=reason, fields={"purged_at": self._clock.now()})
        return bool(models)

    def _close(self, steps: Steps, request: str, of: str) -> None:
        if steps.run(f"may end{of}", partial(self._verifying.may_end, request)):
            steps.run(f"verify{of}", partial(self._verifying.verify, request))
            steps.run(f"certificate{of}", partial(self._verifying.finish, request))
