"""The governance core put together over real stores in a folder; only the trainer, the auditor and the workflow engine are fakes.

The fakes keep their ports' rules: a training is a pure function of its rows and spec and never raises, a workflow starts once per id and
remembers the JSON of each step, so that it can be killed at any step and resumed.
"""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from audits.finding import Context, Measured, conclude
from audits.model import Metric
from governance.adapters.predictions import SqlitePredictions
from governance.dossier import disgorgement_certificate, erasure_certificate
from governance.erasure.descent import own_descendants
from governance.erasure.rekey import Rekey
from governance.erasure.requests import Erasures
from governance.erasure.rotation import Rotation
from governance.erasure.scope import ScopeFiles, Searcher, suppressed_rows
from governance.erasure.shredding import Shredding
from governance.erasure.subjects import Subjects, foreign_reach
from governance.erasure.tasks import Tasks
from governance.evidence import canonical, derived_id, digest_json
from governance.incident.service import Incidents
from governance.registry.acts import act, reduce_entry
from governance.registry.answers import Answers
from governance.registry.audits import Findings
from governance.registry.budgets import Budgets, lifetime_limit
from governance.registry.datasets import Datasets
from governance.registry.deployments import Deployments
from governance.registry.events import audit_event, deployment_event, purge_event
from governance.registry.models import Models
from governance.registry.operations import Operations
from governance.registry.policies import Policies, Snapshots
from governance.wiring.datasets import open_dataset
from governance.workflows.attending import Attending
from governance.workflows.auditing import Audits
from governance.workflows.batching import Batching
from governance.workflows.erasing import Erasing
from governance.workflows.preview import Previews
from governance.workflows.purging import Purging
from governance.workflows.rekeying import Rekeying
from governance.workflows.retraining import Retraining
from governance.workflows.scoping import Scoping
from governance.workflows.successors import Successors
from governance.workflows.training import Trainings
from governance.workflows.verifying import Verifying
from lineage.adapters.sql_ledger import SqlLedger
from lineage.adapters.sqlite_graph import SqliteGraph
from lineage.adapters.sqlite_rows import SqliteRowIndex
from lineage.emit import LedgerTransport
from lineage.errors import NotFound
from lineage.ingest import Ingestor
from lineage.rows import canonical_subject, subject_ref
from trainers.events import training_event
from trainers.model import ArtifactInfo, TrainRecord

__all__ = ["Core", "Killed", "policy_text"]

INSTALLATION = "test"


def policy_text(threshold: float = 0.7, *, on_gate_failure: str = "keep", reproduce: bool = False, more: str = "") -> str:
    """A policy with one gate on accuracy."""
    return f"""
name: core
version: 1
audits:
  perf.noninferior: {{}}
gates:
  - {{gate: floor, finding: perf.noninferior, metric: accuracy, op: ">=", threshold: {threshold}}}
erasure:
  on_gate_failure: {on_gate_failure}
  reproduce: {str(reproduce).lower()}
{more}
"""


class Killed(BaseException):
    """The process died here."""


class Engine:
    """The durable-step port in memory: ``run`` works off what was started; ``die_before`` names a step before which the process dies."""

    def __init__(self) -> None:
        self._bodies: dict[str, Callable[..., None]] = {}
        self._started: dict[str, tuple[str, str]] = {}
        self._remembered: dict[tuple[str, str], str] = {}
        self.waiting: deque[str] = deque()
        self.die_before: str | None = None
        self.ran: list[str] = []

    def define(self, name, body):
        self._bodies[name] = body

    def start(self, name, ident, argument):
        if ident not in self._started:
            self._started[ident] = (name, argument)
            self.waiting.append(ident)

    def launch(self):
        pass

    def stop(self):
        pass

    def run_until(self, step: str) -> None:
        """Work off until the first step of that name is about to begin; the next :meth:`run` goes on there."""
        self.die_before = step
        try:
            self.run()
        except Killed:
            return
        raise AssertionError(f"no step {step} came")

    def forget(self, ident: str) -> None:
        """As if it had never been started: the process died in between."""
        del self._started[ident]

    def run(self) -> None:
        """Work everything off, one after the other; what dies stays first in line."""
        while self.waiting:
            ident = self.waiting[0]
            name, argument = self._started[ident]
            self._bodies[name](_Steps(self, ident), argument)
            self.waiting.popleft()


class _Steps:
    def __init__(self, engine: Engine, ident: str) -> None:
        self._engine, self._ident = engine, ident

    def run(self, name, work):
        key = (self._ident, name)
        if key not in self._engine._remembered:
            if self._engine.die_before is not None and name.startswith(self._engine.die_before):
                self._engine.die_before = None
                raise Killed(name)
            self._engine.ran.append(name)
            self._engine._remembered[key] = json.dumps(work())
        return json.loads(self._engine._remembered[key])


class Trainer:
    """The weights are a digest over rows and spec; ``fail`` makes the next training end with that reason."""

    def __init__(self, clock: Any) -> None:
        self._clock = clock
        self.fail: str | None = None
        self.rows: list[set[int]] = []
        self.before: Callable[[], None] | None = None

    def __call__(self, spec, *, run_id, tables, snapshot, artifacts, progress=None, cancelled=None, before=None, alone=False):
        started = self._clock.now()
        if self.before is not None:
            before, self.before = self.before, None
            before()
        rows = {role: sorted(table["govern_row_id"].to_pylist()) for role, table in tables.items()}
        if self.fail is not None:
            reason, self.fail = self.fail, None
            return TrainRecord(run_id=run_id, spec=spec, status="FAIL", started_at=started, ended_at=self._clock.now(), reason=reason)
        self.rows.append(set(rows["train"]))
        weights = canonical({"rows": rows, "params": dict(spec.params), "seed": spec.seed, "code": spec.code})
        name = hashlib.sha256(weights).hexdigest()
        folder = artifacts / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "weights.safetensors").write_bytes(weights)
        signature = {"inputs": [{"name": feature, "type": "FP64"} for feature in spec.features]}
        (folder / "signature.json").write_text(json.dumps(signature))
        artifact = ArtifactInfo(digest=f"sha256:{name}", files={"weights.safetensors": name}, size=len(weights))
        return TrainRecord(
            run_id=run_id,
            spec=spec,
            status="COMPLETE",
            started_at=started,
            ended_at=self._clock.now(),
            artifact=artifact,
            metrics={"loss": 0.1},
        )


class Auditor:
    """Measures every version with ``accuracy``, or with what ``of`` says for it."""

    def __init__(self) -> None:
        self.accuracy = 0.9
        self.of: dict[tuple[str, str], float] = {}
        self.requests: list[Any] = []
        self.before: Callable[[], None] | None = None

    def run(self, request):
        self.requests.append(request)
        if self.before is not None:
            before, self.before = self.before, None
            before()
        value = self.of.get((request.model, request.version), self.accuracy)
        context = Context(model=request.model, version=request.version, model_digest=request.model_digest)
        measured = Measured(
            metrics=(Metric(name="accuracy", value=value, low=value - 0.05, high=value + 0.05, method="wilson 95%", n=300),)
        )
        count = len(request.cases.ids) if request.cases else 0
        cases = Measured(
            metrics=(
                Metric(name="failed_cases", value=0.0, low=0.0, high=0.0, direction="lower"),
                Metric(name="cases", value=float(count), low=float(count), high=float(count)),
            )
        )
        return [
            conclude("perf.noninferior", measured, request.config["perf.noninferior"], context, 0.0),
            conclude("regression.cases", cases, request.config["regression.cases"], context, 0.0),
        ]

    def close(self):
        pass


class Core:
    """All services, joined as a home joins them."""

    def __init__(self, root: Path, *, keys: Any, clock: Any) -> None:
        self.root, self.keys, self.clock = root, keys, clock
        for folder in ("landing", "rowsets", "artifacts", "snapshots", "scopes", "scratch", "datasets"):
            (root / folder).mkdir(exist_ok=True, parents=True)
        self.ledger = SqlLedger(root / "ledger.db", keys=keys, origin="govern.test/log", clock=clock, reducer=reduce_entry)
        self.graph = SqliteGraph(root / "graph.db")
        self.index = SqliteRowIndex(root / "rows.db")
        self.predictions = SqlitePredictions(root / "predictions.db")
        self.ingestor = Ingestor(self.ledger, self.graph, clock)
        self.ingestor.start()
        self.engine, self.trainer, self.auditor = Engine(), Trainer(clock), Auditor()
        self.retired: list[tuple[str, int]] = []
        self.papers: dict[str, Any] = {}
        self.datasets = Datasets(
            self.ledger, keys, clock, self.index, self._open, installation=INSTALLATION, landing=root / "landing", rowsets=root / "rowsets"
        )
        self.models = Models(self.ledger, clock, root / "artifacts")
        self.policies = Policies(self.ledger)
        self.snapshots = Snapshots(root / "snapshots", self.ledger, clock)
        self.operations = Operations(self.ledger, clock)
        self.budgets = Budgets(self.ledger, clock, self._limit)
        self.findings = Findings(self.ledger, clock, self.models, self.policies)
        self.deployments = Deployments(
            self.ledger,
            clock,
            self.models,
            announce=lambda deployment, kind, version: self.emit(deployment_event(INSTALLATION, deployment, version, kind)),
            suppressed=lambda version: suppressed_rows(self.ledger, self.datasets, version),
            retired=lambda model, version: self.retired.append((model, version)),
            went_live=lambda version: None,
        )
        self.answers = Answers(
            graph=self.graph,
            ledger=self.ledger,
            datasets=self.datasets,
            models=self.models,
            findings=self.findings,
            deployments=self.deployments,
            predictions=self.predictions,
            settle=self.ingestor.wait,
            installation=INSTALLATION,
        )
        self.searcher = Searcher(
            self.ledger,
            self.datasets,
            self.models,
            self.deployments,
            self.predictions,
            foreign=lambda versions: foreign_reach(self.graph, self.datasets, self.models, f"govern://{INSTALLATION}", versions),
            reached=lambda versions: own_descendants(self.graph, self.datasets, f"govern://{INSTALLATION}", versions),
        )
        self.scopes = ScopeFiles(root / "scopes")
        self.subjects = Subjects(
            keystore=keys,
            graph=self.graph,
            searcher=self.searcher,
            datasets=self.datasets,
            models=self.models,
            deployments=self.deployments,
            settle=self.ingestor.wait,
            installation=INSTALLATION,
        )
        self.erasures = Erasures(
            self.ledger,
            keys,
            clock,
            self.searcher,
            self.scopes,
            enqueue=self._enqueue,
        )
        self.incidents = Incidents(
            self.ledger,
            clock,
            self.predictions,
            trace=lambda ident: self.answers.trace(prediction=ident),
            released=self.erasures.resume_released,
        )
        self.trainings = Trainings(
            ledger=self.ledger,
            clock=clock,
            models=self.models,
            datasets=self.datasets,
            policies=self.policies,
            snapshots=self.snapshots,
            operations=self.operations,
            budgets=self.budgets,
            trainer=self.trainer,
            event=training_event,
            emit=self.emit,
            environment=lambda threads: digest_json({"threads": threads}),
            installation=INSTALLATION,
            artifacts=root / "artifacts",
            engine=lambda: self.engine,
        )
        self.audits = Audits(
            ledger=self.ledger,
            clock=clock,
            models=self.models,
            datasets=self.datasets,
            policies=self.policies,
            snapshots=self.snapshots,
            operations=self.operations,
            findings=self.findings,
            deployments=self.deployments,
            predictions=self.predictions,
            auditor=self.auditor,
            engine=lambda: self.engine,
            announce=lambda version, findings: self.emit(audit_event(INSTALLATION, version, findings)),
        )
        self.successors = Successors(
            erasures=self.erasures,
            searcher=self.searcher,
            models=self.models,
            datasets=self.datasets,
            deployments=self.deployments,
            policies=self.policies,
            snapshots=self.snapshots,
            findings=self.findings,
            trainings=self.trainings,
            audits=self.audits,
            trainer=self.trainer,
            retire=lambda model, version: self.retired.append((model, version)),
            scratch=root / "scratch",
        )
        self.scoping = Scoping(
            erasures=self.erasures, searcher=self.searcher, scopes=self.scopes, datasets=self.datasets, settle=self.ingestor.wait
        )
        self.tasks = Tasks(ledger=self.ledger, clock=clock, wake=self.wake)
        self.purging = Purging(
            ledger=self.ledger,
            erasures=self.erasures,
            scopes=self.scopes,
            datasets=self.datasets,
            predictions=self.predictions,
            tasks=self.tasks,
            announce_purge=self._announce_purge,
        )
        self.verifying = Verifying(
            erasures=self.erasures,
            scoping=self.scoping,
            scopes=self.scopes,
            datasets=self.datasets,
            predictions=self.predictions,
            successors=self.successors,
            certify=self._certify,
        )
        self.batching = Batching(ledger=self.ledger, clock=clock, erasures=self.erasures, models=self.models, policies=self.policies)
        self.attending = Attending(
            ledger=self.ledger,
            clock=clock,
            erasures=self.erasures,
            scoping=self.scoping,
            successors=self.successors,
            tasks=self.tasks,
            position=self.graph.position,
            enqueue=self._enqueue,
        )
        self.previews = Previews(erasures=self.erasures, batching=self.batching, clock=clock)
        self.erasing = Erasing(
            ledger=self.ledger,
            clock=clock,
            erasures=self.erasures,
            scoping=self.scoping,
            purging=self.purging,
            successors=self.successors,
            verifying=self.verifying,
            wake=self.wake,
        )
        self.retraining = Retraining(
            ledger=self.ledger,
            clock=clock,
            erasures=self.erasures,
            batching=self.batching,
            erasing=self.erasing,
            successors=self.successors,
            deployments=self.deployments,
            wake=self.wake,
        )
        self.rekey = Rekey(keys, self.datasets, self.predictions)
        self.rotation = Rotation(self.ledger, keys, clock, rekey=self.rekey, start=self._enqueue_rekey)
        self.rekeying = Rekeying(keys=keys, datasets=self.datasets, rekey=self.rekey, operations=self.operations)
        self.shredding = Shredding(self.ledger, keys, self.datasets, self.predictions)
        for workflow in (self.trainings, self.audits, self.erasing, self.retraining, self.rekeying):
            workflow.define(self.engine)

    def wake(self) -> int | None:
        """Plan now, as a home's alarm clock does; what is due waits for the engine to run."""
        self.attending.look()
        return self.batching.wake(self.engine)

    def _enqueue(self, request: str, round_: int) -> None:
        self.engine.start("erasure", f"erasure:{request}.{round_}", f"{request}.{round_}")

    def _enqueue_rekey(self, operation: str) -> None:
        self.engine.start("rekey", f"rekey:{operation}", operation)

    # ── the joints ──────────────────────────────────────────────────────────────────────────────
    def _open(self, record):
        return open_dataset(record, self.root, keys=self.keys, clock=self.clock)

    def _limit(self, model, policy):
        found = self.ledger.record("model", model)
        return lifetime_limit(found[0]["config"] if found else {}, self.policies.get(policy) if policy else None)

    def emit(self, event) -> None:
        LedgerTransport(lambda raw: self.ingestor.accept(raw, actor="system")).emit(event)

    def _announce_purge(self, request, report) -> None:
        infos = self.datasets.infos(report.dataset)
        position = next(place for place, info in enumerate(infos) if info.version == report.new_version.version)
        if position:
            self.emit(purge_event(INSTALLATION, request, infos[position - 1].version, report, self.clock.now()))

    def _certify(self, request, ended):
        body = {**self.erasures.get(request), **ended}
        body["tasks"] = self.tasks.of(body)
        ident = derived_id("certificate", request, str(body["round"]))
        certificate = disgorgement_certificate if body.get("order") else erasure_certificate
        self.papers[ident] = certificate(body, now=self.clock.now(), installation=INSTALLATION, generator="test")
        return {"id": ident}

    # ── a world ─────────────────────────────────────────────────────────────────────────────────
    def people(self, name: str, persons: list[int], *, mode: str = "replace") -> dict[str, Any]:
        """A version of a dataset with one row per person."""
        try:
            self.datasets.record(name)
        except NotFound:
            self.datasets.register({"name": name, "kind": "lance", "subject_key": "person", "subject_type": "applicant"}, actor="key:e")
        table = pa.table(
            {
                "person": [str(person) for person in persons],
                "age": [20.0 + person for person in persons],
                "y": ["good" if person % 2 else "bad" for person in persons],
            }
        )
        return self.datasets.write(name, table, mode=mode, key="person" if mode == "replace" else None, actor="key:e")

    def code(self) -> str:
        data = b"the code"
        digest = hashlib.sha256(data).hexdigest()
        self.snapshots.put(digest, data, actor="key:e")
        return f"snapshot:{digest}"

    def train(self, model: str = "m", *, dataset: str = "credit.train", policy: str | None = None, **config: Any) -> int:
        """One training through its door; returns the number of the version."""
        body = {
            "code": self.code(),
            "policy_text": policy or policy_text(),
            "config": {
                "entrypoint": "model",
                "label": "y",
                "features": ["age"],
                "subject_key": "person",
                "datasets": {"train": dataset},
                **config,
            },
        }
        operation = self.trainings.start(model, body, actor="key:e")["operation"]
        self.engine.run()
        ended = self.operations.get(operation)
        assert ended["state"] == "done", ended["error"]
        return ended["result"]["version"]

    def release(self, model: str = "m", version: int = 1, environment: str = "production", **more: Any) -> dict[str, Any]:
        """Audit, gate, deploy."""
        self.audits.carry_out(model, version)
        self.findings.gate(model, str(version))
        return self.deployments.release(model, str(version), environment, actor="key:e", **more)

    def predict(self, ident: str, person: int | None, *, model: str = "m", version: int = 1) -> str:
        """A receipt, as serving keeps it."""
        epoch, ref = None, None
        if person is not None:
            epoch, (ref,) = self.datasets.references.newest([canonical_subject("applicant", str(person))])
        outputs = [
            {"name": "label", "datatype": "BYTES", "shape": [1], "data": ["good"]},
            {"name": "scores", "datatype": "FP64", "shape": [1, 2], "parameters": {"classes": "bad,good"}, "data": [0.2, 0.8]},
        ]
        self.predictions.record(
            id=ident,
            at=self.clock.now(),
            deployment="d",
            model=model,
            version=str(version),
            subject_ref=ref,
            epoch=epoch,
            inputs=canonical({"inputs": [{"name": "age", "datatype": "FP64", "shape": [1], "data": [33.0]}]}),
            outputs=canonical({"outputs": outputs}),
        )
        return ident

    def request(self, person: int, *, actor: str = "key:asks", **more: Any) -> str:
        """A request that is verified; returns its id."""
        body = {"subject": {"type": "applicant", "value": str(person)}, "regulation": "GDPR"}
        ident = self.erasures.request(body, actor=actor, **more)["id"]
        self.erasures.verify(ident, {"method": "passport"}, actor="key:asks")
        return ident

    def approve(self, person: int) -> str:
        """A request that is approved and waits for the worker."""
        ident = self.request(person)
        self.erasures.approve(ident, {}, actor="key:other")
        return ident

    def erase(self, person: int) -> dict[str, Any]:
        """The whole way."""
        ident = self.approve(person)
        self.engine.run()
        return self.erasures.get(ident)

    def hold(self, asset: str, *, incident: str = "i-1") -> str:
        """A hold as an incident sets it."""
        ident = derived_id("hold", incident, asset)
        body = {
            "id": ident,
            "asset": asset,
            "ground": "under investigation",
            "incident": incident,
            "since": self.clock.now(),
            "review_at": None,
        }
        self.ledger.append([act("hold.set", actor="key:e", records={("hold", ident): body | {"released_at": None}})])
        return ident

    def unhold(self, asset: str, *, incident: str = "i-1") -> list[str]:
        """End the hold and tell the requests."""
        ident = derived_id("hold", incident, asset)
        body = self.ledger.record("hold", ident)[0] | {"released_at": self.clock.now()}
        self.ledger.append([act("hold.released", actor="key:e", records={("hold", ident): body})])
        return list(self.erasures.resume_released([asset]))

    def rows_of(self, model: str, version: int, person_rows: dict[str, list[int]]) -> int:
        """How many of the rows the version's committed row sets hold."""
        spec = self.models.resolve(model, version)["spec"]
        return sum(
            self.datasets.committed_among(given["row_set"], self.datasets.commitments_of(given["dataset"], person_rows[given["dataset"]]))
            for given in spec["inputs"]
            if given["dataset"] in person_rows
        )

    def located(self, person: int) -> dict[str, list[int]]:
        """Dataset → row ids of a person now."""
        return self.index.lookup([subject_ref(self.keys, canonical_subject("applicant", str(person)))])

    def close(self) -> None:
        self.ingestor.stop()
        for store in (self.predictions, self.index, self.graph, self.ledger):
            store.close()


@contextmanager
def opened(root: Path, *, keys: Any, clock: Any) -> Iterator[Core]:
    core = Core(root, keys=keys, clock=clock)
    try:
        yield core
    finally:
        core.close()


def assets(request: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """A request's assets by id."""
    return {item["id"]: item for item in request["assets"]}
