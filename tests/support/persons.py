"""A home of persons: two datasets, a model trained on one, predictions; only trainer, auditor and workflow engine are fakes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from governance.evidence import new_id
from governance.settings import Settings
from governance.wiring import System
from lineage.rows import canonical_subject
from tests.support.core import Auditor, Engine, Trainer, policy_text

__all__ = ["PERSONS", "Persons", "opened_persons"]

PERSONS = tuple(f"person{number}-zyxwv@example.org" for number in range(6))


class Persons(System):
    """The home, with work that is done when it is asked for (:meth:`work`)."""

    def _make_engine(self) -> Any:
        engine = Engine()
        for workflow in (self.trainings, self.audits, self._erasing, self._retraining, self._rekeying):
            workflow.define(engine)
        self.fake = engine
        return engine

    def _make_auditor(self) -> Any:
        return Auditor()

    def _train(self, spec: Any, **given: Any) -> Any:
        return Trainer(self.clock)(spec, **given)

    def work(self) -> None:
        """Do what was started, and what the plan of the batches makes of it."""
        self._engine()
        self.fake.run()
        self._plan_batches()
        self.fake.run()

    def filled(self) -> None:
        """Rows of six persons in two datasets, a released model on them, a prediction for each."""
        for name in ("people", "people.copy"):
            self.datasets.register({"name": name, "kind": "lance", "subject_key": "mail", "subject_type": "email"}, actor="key:1")
            table = pa.table({"mail": list(PERSONS), "x": [float(at) for at in range(6)], "y": [at % 2 for at in range(6)]})
            self.datasets.write(name, table, mode="replace", key="mail", actor="key:1")
        data = b"the code"
        digest = hashlib.sha256(data).hexdigest()
        self.snapshots.put(digest, data, actor="key:1")
        config = {"entrypoint": "model", "label": "y", "features": ["x"], "subject_key": "mail", "datasets": {"train": "people"}}
        body = {"code": f"snapshot:{digest}", "config": config, "policy_text": policy_text()}
        self.trainings.start("m", body, actor="key:1")
        self.work()
        self.audits.start("m", "1", actor="key:1")
        self.work()
        self.findings.gate("m", "1")
        self.deployments.release("m", "1", "production", actor="key:1")
        self.predict(*PERSONS)

    def predict(self, *persons: str) -> list[str]:
        """A record of a prediction about each."""
        found = []
        for person in persons:
            now = self.clock.now()
            epoch, (ref,) = self.datasets.references.newest([canonical_subject("email", person)])
            found.append(new_id(now))
            self._predictions.record(
                id=found[-1], at=now, deployment="d", model="m", version="1", subject_ref=ref, epoch=epoch, inputs=person.encode(),
                outputs=b"1",
            )  # fmt: skip
        return found

    def erase(self, person: str) -> dict[str, Any]:
        """Ask for it, verify, approve by another key, work; the request as it ended."""
        request = self.erasures.request({"subject": {"type": "email", "value": person}}, actor="key:desk")["id"]
        self.erasures.verify(request, {"method": "document"}, actor="key:desk")
        self.erasures.approve(request, {}, actor="key:dpo")
        self.work()
        return self.erasures.get(request)

    def mails(self, dataset: str = "people") -> set[str]:
        """The persons in the latest version."""
        return set(self.datasets.read(dataset, "latest")["mail"].to_pylist())


@contextmanager
def opened_persons(home: Path, **given: Any) -> Iterator[Persons]:
    """The home, opened without a worker."""
    with Persons(home, worker=False, settings=Settings(), **given) as system:
        yield system
