"""Serving: the active deployment's version in its own process, raw named features in, labels out, and a receipt for each answer."""

from __future__ import annotations

import contextlib
import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from governance.evidence import canonical, new_id
from governance.ports import PredictionStore, Runner, Runners
from governance.registry.deployments import Deployments
from governance.registry.models import Models
from governance.registry.policies import Policies, Snapshots
from governance.registry.references import References
from governance.registry.suppression import Suppression
from governance.serving.tensors import outputs_of, table_of
from lineage.errors import BadInput, Conflict, GovernError, NotFound
from lineage.ports import Clock
from lineage.rows import canonical_subject

__all__ = ["Serving"]

_MOST_RUNNERS = 4


class Serving:
    """Runs predictions. A version that is not deployed is never served, by whatever door."""

    def __init__(
        self,
        *,
        models: Models,
        deployments: Callable[[], Deployments],
        snapshots: Snapshots,
        predictions: PredictionStore,
        references: References,
        clock: Clock,
        runners: Runners,
        policies: Policies,
        suppression: Suppression,
    ) -> None:
        self._models = models
        self._policies = policies
        self._suppression = suppression
        self._deployments = deployments
        self._snapshots = snapshots
        self._predictions = predictions
        self._references = references
        self._clock = clock
        self._start = runners
        self._running: OrderedDict[tuple[str, int], Runner] = OrderedDict()
        self._lock = threading.Lock()
        self._closed = False
        self._starting: dict[tuple[str, int], threading.Lock] = {}

    def _deployment(self, model: str, version: str | None) -> dict[str, Any]:
        self._models.get(model)
        if version is None:
            found = self._deployments().active(model)
        else:
            number = self._models.resolve(model, version)["version"]
            living = self._deployments().list(model, active=True)["deployments"]
            found = next((body for body in living if body["version"] == number), None)
        if found is None:
            what = model if version is None else f"{model}@{version}"
            raise Conflict(f"{what} is not deployed", hint=f"govern release {model}@latest --to production")
        return found

    def metadata(self, model: str, version: str | None = None) -> dict[str, Any]:
        """The OIP model metadata of what is deployed."""
        body = self._models.resolve(model, self._deployment(model, version)["version"])
        signature = self._signature(body)
        inputs = [{"name": name, "datatype": signature[name], "shape": [-1]} for name in body["spec"]["features"]]
        return {
            "name": model,
            "versions": [str(body["version"])],
            "platform": "govern_torch",
            "inputs": inputs,
            "outputs": [{"name": "label", "datatype": "BYTES", "shape": [-1]}, {"name": "scores", "datatype": "FP64", "shape": [-1, -1]}],
        }

    def _signature(self, body: Mapping[str, Any]) -> dict[str, str]:
        written = json.loads((self._models.living_artifact(body) / "signature.json").read_text())
        return {item["name"]: item["type"] for item in written["inputs"]}

    def ready(self, model: str, version: str | None = None) -> bool:
        """True when it is deployed."""
        try:
            self._deployment(model, version)
        except (Conflict, NotFound):
            return False
        return True

    def infer(self, model: str, version: str | None, request: Mapping[str, Any], *, actor: str) -> dict[str, Any]:  # noqa: ARG002 - the door names who asks
        """Predict, keep the receipt, answer. ``parameters.govern_subject`` (``type:value``) is HMACed and dropped.

        Raises:
            BadInput: the tensors are not the model's features, or the policy refuses an unknown subject and none is named.
            Conflict: the model or version is not deployed.
            Suppressed: the erasure of the person was approved.
        """
        deployment = self._deployment(model, version)
        number = deployment["version"]
        body = self._models.resolve(model, number)
        table = table_of(request, body["spec"]["features"])
        person = self._person((request.get("parameters") or {}).get("govern_subject"))
        if person is None and self._policies.get(body["policy"]).serving.unknown_subject == "refuse":
            raise BadInput(
                f"the policy of {model}@{number} answers no prediction whose subject is unknown",
                hint='name the person: {"parameters": {"govern_subject": "applicant:17"}}',
            )
        predicted = self._runner(body).predict(table)
        outputs = outputs_of(predicted.labels, predicted.scores, predicted.classes)
        now = self._clock.now()
        ident = new_id(now)
        with self._references.in_use():
            epoch, reference = self._reference(person)
            self._predictions.record(
                id=ident,
                at=now,
                deployment=deployment["id"],
                model=model,
                version=str(number),
                subject_ref=reference,
                epoch=epoch,
                inputs=canonical(
                    {"inputs": [{field: tensor[field] for field in ("name", "datatype", "shape", "data")} for tensor in request["inputs"]]}
                ),
                outputs=canonical({"outputs": outputs}),
            )
        return {
            "model_name": model,
            "model_version": str(number),
            "id": ident,
            "parameters": {"deployment": deployment["id"]},
            "outputs": outputs,
        }

    def _person(self, given: Any) -> str | None:
        """The canonical identifier of the person whom the prediction is about: held in memory until the record is kept."""
        if given is None:
            return None
        kind, separator, value = str(given).partition(":")
        if not separator:
            raise BadInput("parameters.govern_subject must be `type:value`", hint="e.g. applicant:17")
        canonical_id = canonical_subject(kind, value)
        self._suppression.refuse(canonical_id)
        return canonical_id

    def _reference(self, person: str | None) -> tuple[str | None, str | None]:
        if person is None:
            return None, None
        epoch, (reference,) = self._references.newest([person])
        return epoch, reference

    def _runner(self, body: Mapping[str, Any]) -> Runner:
        key = (body["model"], body["version"])
        with self._lock:
            if key in self._running:
                self._running.move_to_end(key)
                return self._running[key]
            starting = self._starting.setdefault(key, threading.Lock())
        with starting:
            with self._lock:
                if key in self._running:
                    return self._running[key]
            started = self._start(
                artifact=self._models.living_artifact(body),
                snapshot=self._snapshots.path(body["spec"]["code"]),
                spec=body["spec"],
            )
            with self._lock:
                if self._closed:
                    started.close()
                    raise Conflict("the server is stopping", hint="ask again when it serves")
                self._running[key] = started
                extra = [self._running.pop(next(iter(self._running))) for _ in range(len(self._running) - _MOST_RUNNERS)]
        for old in extra:
            old.close()
        return started

    def prepare(self, body: Mapping[str, Any]) -> None:
        """Start the version's process in the background, so that its first answer does not wait for imports."""
        threading.Thread(target=self._prepare, args=(dict(body),), name=f"start-{body['model']}@{body['version']}", daemon=True).start()

    def _prepare(self, body: Mapping[str, Any]) -> None:
        with contextlib.suppress(GovernError):  # the first prediction meets the same error, and its caller is told
            self._runner(body)

    def retire(self, model: str, version: int) -> None:
        """Stop a version's runner; its weights leave memory with the process."""
        with self._lock:
            starting = self._starting.setdefault((model, version), threading.Lock())
        with starting:  # a start that is under way ends first, then its process is stopped too
            with self._lock:
                runner = self._running.pop((model, version), None)
            if runner is not None:
                runner.close()

    def close(self) -> None:
        """Stop all runners."""
        with self._lock:
            self._closed = True
            running, self._running = list(self._running.values()), OrderedDict()
        for runner in running:
            runner.close()
