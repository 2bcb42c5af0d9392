"""The pieces of a home put together: every service over the adapters that are chosen here."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from governance.adapters.file_gate import FileGate
from governance.erasure.bulk import Bulk
from governance.erasure.descent import own_descendants
from governance.erasure.door import ErasureDoor
from governance.erasure.erased import ErasedList
from governance.erasure.opendsr import OpenDsr
from governance.erasure.recipients import Recipients
from governance.erasure.rekey import Rekey
from governance.erasure.replay import Replay
from governance.erasure.rotation import OPERATION as REKEY
from governance.erasure.rotation import Rotation
from governance.erasure.scope import ScopeFiles, Searcher, suppressed_rows
from governance.erasure.shredding import Shredding
from governance.erasure.subjects import Subjects, foreign_reach
from governance.erasure.tasks import Tasks
from governance.erasure.watch import Watch
from governance.incident.service import Incidents
from governance.registry.access import Access, Principal
from governance.registry.acts import reduce_entry
from governance.registry.answers import Answers
from governance.registry.audits import Findings
from governance.registry.backups import Backups
from governance.registry.budgets import Budgets, lifetime_limit
from governance.registry.datasets import Datasets
from governance.registry.deployments import Deployments
from governance.registry.doors import LedgerDoor, LineageDoor
from governance.registry.events import audit_event, deployment_event, purge_event
from governance.registry.marquez import MarquezDoor
from governance.registry.model_door import ModelDoor
from governance.registry.operations import Operations
from governance.registry.papers import Papers
from governance.registry.policies import Policies, Snapshots
from governance.registry.redactions import Redactions
from governance.registry.retention import RetentionDoor
from governance.serving.receipts import PredictionDoor
from governance.serving.service import Serving
from governance.settings import Settings
from governance.wiring.home import describe
from governance.wiring.identity import request_parts
from governance.wiring.lazy import Lazy, WarmAuditor, environment_digest, generator, import_papers, training_event_of
from governance.wiring.ledgers import ledger_place, open_predictions, open_rows, step_store
from governance.wiring.ownership import Ownership, fence_of, ownership
from governance.wiring.posting import Posting
from governance.wiring.stores import open_graph
from governance.workflows.attending import Attending
from governance.workflows.auditing import Audits
from governance.workflows.batching import Batching
from governance.workflows.erasing import WORKFLOW as ERASURE
from governance.workflows.erasing import Erasing
from governance.workflows.preview import Previews
from governance.workflows.purging import Purging
from governance.workflows.recovery import resume, sweep
from governance.workflows.rekeying import Rekeying
from governance.workflows.retraining import Retraining
from governance.workflows.scoping import Scoping
from governance.workflows.successors import Successors
from governance.workflows.training import Trainings
from governance.workflows.verifying import Verifying
from governance.workflows.waking import Waker
from lineage.adapters.file_keys import FileKeyStore
from lineage.adapters.snapshot_files import SnapshotFolder
from lineage.adapters.sql_ledger import SqlLedger
from lineage.clock import SystemClock
from lineage.ingest import Ingestor
from lineage.marquez import Marquez
from lineage.model import PurgeReport
from lineage.openlineage.redact import Redaction
from lineage.ports import Clock, VersionedDataset
from lineage.retention import Archive, Retention

if TYPE_CHECKING:
    from openlineage.client.event_v2 import RunEvent

    from governance.ports import Durable, Runner
    from reports.evidence import Signers
    from reports.model import Dossier
    from trainers.model import TrainRecord, TrainSpec

__all__ = ["System"]


class System:
    """A home, opened: every service the doors call, as attributes. One process has it at a time.

    ``owned``: this process owns it already (:func:`governance.wiring.ownership.stand_by`); it is given back at the end all the same.
    """

    def __init__(
        self,
        home: Path,
        *,
        worker: bool = True,
        clock: Clock | None = None,
        settings: Settings | None = None,
        restoring: bool = False,
        owned: Ownership | None = None,
    ) -> None:
        self.home = home
        self.clock = clock or SystemClock()
        self._settings = settings or Settings.read()
        self._described = describe(home, restoring=restoring)
        self.installation: str = self._described["installation"]
        self._lock = owned or ownership(self._settings, home, self._described).__enter__()
        try:
            self._open()
            sweep(home, self.log)
            if worker:
                self._engine().launch()
                self._spare().prepare()
                threading.Thread(target=import_papers, name="import-papers", daemon=True).start()
                resume(self.log, self.erasures, self._engine())
                self.deadlines.start()
                self._batching.resume(self._engine())
                self._waker.start()
                self.retention.daily()
                self.posting.start()
        except BaseException:
            self.close()
            raise

    # ── putting it together ─────────────────────────────────────────────────────────────────────
    def _open(self) -> None:
        home, clock = self.home, self.clock
        origin = f"govern.{self.installation}"
        self.keystore = FileKeyStore(home / "keys")
        fence = fence_of(self._lock)
        place = ledger_place(self._settings, home, origin=origin, fence=fence)
        self.log = SqlLedger(place, keys=self.keystore, origin=origin, clock=clock, reducer=reduce_entry)
        self.graph = open_graph(self._settings, home, owner=self.installation)
        self._index = open_rows(self._settings, home, self._described, fence=fence)
        self._predictions = open_predictions(self._settings, home, fence=fence)
        files = SnapshotFolder(home / "snapshots" / "lineage")
        archive = Archive(self.log, files, origin=origin, public=lambda: self.keystore.public_ed25519("checkpoint"))
        redaction = Redaction(source_code=bool(self._settings.redact_source_code))
        self.ingestor = Ingestor(self.log, self.graph, clock, redaction=redaction, archive=archive)
        self.ingestor.start()
        retention = Retention(
            ledger=self.log, graph=self.graph, hold=self.ingestor.projector.hold, wait=lambda: self.ingestor.wait(10.0), archive=archive,
            files=files, keys=self.keystore, clock=clock, origin=origin, generator=generator(),
        )  # fmt: skip
        self.retention = RetentionDoor(retention, archive, files, clock, policy=self._settings.retain_events)
        projector = self.ingestor.projector
        self.redactions = Redactions(self.log, archive, forget=projector.parsed.forget, rebuild=projector.begin_anew)
        self._engine = Lazy(self._make_engine)
        self._auditor = Lazy(self._make_auditor)
        self._spare = Lazy(self._make_spare)

        self.datasets = Datasets(
            self.log, self.keystore, clock, self._index, self._open_dataset,
            installation=self.installation, landing=home / "landing", rowsets=home / "rowsets",
            gate=FileGate(home),
        )  # fmt: skip
        self.keys = Access(
            self.log,
            self.keystore,
            clock,
            installation=self.installation,
            origin=origin,
            certificate=lambda: self.keystore.certificate("pdf"),
        )
        self._request_parts = request_parts(self.home, self.keystore)
        self.posting = Posting(self.log, self.keystore, clock, self._settings)
        self.webhooks = self.posting.webhooks
        self.recipients = Recipients(self.log, clock, self.webhooks)
        self.opendsr = OpenDsr(
            self.log, self.keystore, clock, access=self.keys, webhooks=self.webhooks, erasures=lambda: self.erasures,
            signer=self.posting.signer,
        )  # fmt: skip
        self.posting.answers_with(self.opendsr.headers)
        self.bulk = Bulk(lambda: self.erasures, clock, regulations=self._request_parts["packs"].ids)
        self.shredding = Shredding(self.log, self.keystore, self.datasets, self._predictions)
        rekey = Rekey(self.keystore, self.datasets, self._predictions)
        self.rotation = Rotation(self.log, self.keystore, clock, rekey=rekey, start=self._enqueue_rekey)
        self.lineage = LineageDoor(self.ingestor, self.datasets)
        views = Marquez(self.graph, self.log, clock, self.ingestor.projector.watch)
        self.marquez = MarquezDoor(views, settle=self.ingestor.wait, lag=self.ingestor.lag)
        self.ledger = LedgerDoor(self.log)
        self.models = ModelDoor(self.log, clock, home / "artifacts")
        self.policies = Policies(self.log)
        self.snapshots = Snapshots(home / "snapshots", self.log, clock)
        self.operations = Operations(self.log, clock)
        self._rekeying = Rekeying(keys=self.keystore, datasets=self.datasets, rekey=rekey, operations=self.operations)
        self.budgets = Budgets(self.log, clock, self._budget_of)
        self.findings = Findings(self.log, clock, self.models, self.policies)
        self.serving = Serving(
            models=self.models, deployments=lambda: self.deployments, snapshots=self.snapshots, predictions=self._predictions,
            references=self.datasets.references, clock=clock, runners=self._start_runner, policies=self.policies,
            suppression=self.datasets.suppression,
        )  # fmt: skip
        self.deployments = Deployments(
            self.log,
            clock,
            self.models,
            announce=self._announce_deployment,
            suppressed=self._suppressed_rows,
            retired=self.serving.retire,
            went_live=self.serving.prepare,
        )
        self.answers = Answers(
            graph=self.graph, ledger=self.log, datasets=self.datasets, models=self.models, findings=self.findings,
            deployments=self.deployments, predictions=self._predictions, settle=self.ingestor.wait, installation=self.installation,
        )  # fmt: skip
        self.trace = self.answers.trace
        self.models.bind(self.answers, self.findings)
        self.searcher = Searcher(
            self.log, self.datasets, self.models, self.deployments, self._predictions,
            foreign=lambda versions: foreign_reach(self.graph, self.datasets, self.models, f"govern://{self.installation}", versions),
            reached=lambda versions: own_descendants(self.graph, self.datasets, f"govern://{self.installation}", versions),
        )  # fmt: skip
        self.scopes = ScopeFiles(home / "scopes")
        self.subjects = Subjects(
            keystore=self.keystore, graph=self.graph, searcher=self.searcher, datasets=self.datasets, models=self.models,
            deployments=self.deployments, settle=self.ingestor.wait, installation=self.installation,
        )  # fmt: skip
        requests = ErasureDoor(
            self.log, self.keystore, clock, self.searcher, self.scopes, enqueue=self._enqueue_erasure, **self._request_parts
        )
        self.erasures = requests
        self.deadlines = Watch(requests.sweep)
        self.erased = ErasedList(
            ledger=self.log, keys=self.keystore, clock=clock, datasets=self.datasets, predictions=self._predictions,
            installation=self.installation, origin=origin,
        )  # fmt: skip
        self.replay = Replay(
            ledger=self.log, keys=self.keystore, clock=clock, datasets=self.datasets, predictions=self._predictions,
            models=self.models, deployments=self.deployments, rekey=rekey, announce=self._announce_purge,
        )  # fmt: skip
        self.backups = Backups(self.log, clock)
        self.predictions = PredictionDoor(self._predictions, self.answers)
        self.incidents = Incidents(
            self.log, clock, self._predictions, trace=lambda ident: self.trace(prediction=ident), released=requests.resume_released
        )
        self.reports = Papers(
            self.log, clock, home / "reports", self._signers, lambda: self.keystore.public_ed25519("checkpoint"),
            compilers=self._compilers(),
        )  # fmt: skip
        requests.bind(self.reports, self._certificate_dossier, self.datasets)
        self.trainings = Trainings(
            ledger=self.log, clock=clock, models=self.models, datasets=self.datasets, policies=self.policies, snapshots=self.snapshots,
            operations=self.operations, budgets=self.budgets, trainer=self._train, event=training_event_of, emit=self._emit,
            environment=environment_digest, installation=self.installation, artifacts=home / "artifacts", engine=self._engine,
        )  # fmt: skip
        self.audits = Audits(
            ledger=self.log, clock=clock, models=self.models, datasets=self.datasets, policies=self.policies, snapshots=self.snapshots,
            operations=self.operations, findings=self.findings, deployments=self.deployments, predictions=self._predictions,
            auditor=WarmAuditor(self._auditor), engine=self._engine, announce=self._announce_audit,
        )  # fmt: skip
        self.reproduction = self.trainings.reproduction
        successors = Successors(
            erasures=requests, searcher=self.searcher, models=self.models, datasets=self.datasets, deployments=self.deployments,
            policies=self.policies, snapshots=self.snapshots, findings=self.findings, trainings=self.trainings, audits=self.audits,
            trainer=self._train, retire=self.serving.retire, scratch=home / "scratch",
        )  # fmt: skip
        self.tasks = Tasks(ledger=self.log, clock=clock, wake=self._wake)
        scoping = Scoping(erasures=requests, searcher=self.searcher, scopes=self.scopes, datasets=self.datasets, settle=self.ingestor.wait)
        purging = Purging(
            ledger=self.log, erasures=requests, scopes=self.scopes, datasets=self.datasets, predictions=self._predictions,
            tasks=self.tasks, announce_purge=self._announce_purge,
        )  # fmt: skip
        verifying = Verifying(
            erasures=requests, scoping=scoping, scopes=self.scopes, datasets=self.datasets, predictions=self._predictions,
            successors=successors, certify=requests.certify,
        )  # fmt: skip
        self._batching = Batching(ledger=self.log, clock=clock, erasures=requests, models=self.models, policies=self.policies)
        self._attending = Attending(
            ledger=self.log, clock=clock, erasures=requests, scoping=scoping, successors=successors, tasks=self.tasks,
            position=self.graph.position, enqueue=self._enqueue_erasure,
        )  # fmt: skip
        self._waker = Waker(self._plan_batches, clock)
        self._erasing = Erasing(
            ledger=self.log, clock=clock, erasures=requests, scoping=scoping, purging=purging, successors=successors, verifying=verifying,
            wake=self._waker.poke,
        )  # fmt: skip
        self._retraining = Retraining(
            ledger=self.log, clock=clock, erasures=requests, batching=self._batching, erasing=self._erasing, successors=successors,
            deployments=self.deployments, wake=self._waker.poke,
        )  # fmt: skip
        self.erasure_plans = Previews(erasures=requests, batching=self._batching, clock=clock)

    def _make_engine(self) -> Durable:
        from governance.adapters.dbos_engine import DbosEngine

        engine = DbosEngine(step_store(self._settings, self.home, fence=fence_of(self._lock)))
        for workflow in (self.trainings, self.audits, self._erasing, self._retraining, self._rekeying):
            workflow.define(engine)
        return engine

    def _make_auditor(self) -> Any:
        from governance.adapters.audit_worker import AuditWorker

        return AuditWorker(threads=self._settings.audit_threads, scratch=self.home / "scratch")

    def _make_spare(self) -> Any:
        from trainers.spare import Spare

        return Spare(self.home / "scratch", keep=self._settings.spare_trainings)

    def _open_dataset(self, record: Mapping[str, Any]) -> VersionedDataset:
        from governance.wiring.datasets import open_dataset

        return open_dataset(record, self.home, keys=self.keystore, clock=self.clock)

    def _start_runner(self, *, artifact: Path, snapshot: Path, spec: Mapping[str, Any]) -> Runner:
        from trainers.serve import Runner as TorchRunner

        return TorchRunner(
            artifact=artifact, snapshot=snapshot, spec=spec, threads=self._settings.runner_threads, scratch=self.home / "scratch",
            child=self._spare().take,
        )  # fmt: skip

    def _train(self, spec: TrainSpec, *, alone: bool = False, **given: Any) -> TrainRecord:
        from trainers.training import train

        self._auditor().prepare()  # a training is followed by audits: their process imports its libraries meanwhile
        spare = self._spare()
        return train(spec, clock=self.clock, scratch=self.home / "scratch", child=spare.started if alone else spare.take, **given)

    def _budget_of(self, model: str, policy: str | None) -> dict[str, float] | None:
        found = self.log.record("model", model)
        return lifetime_limit((found[0].get("config") or {}) if found else {}, self.policies.get(policy) if policy else None)

    def _suppressed_rows(self, version: Mapping[str, Any]) -> int:
        """Rows on the suppression list in a version's committed training rows (:func:`governance.erasure.scope.suppressed_rows`)."""
        return suppressed_rows(self.log, self.datasets, version)

    # ── events and papers ───────────────────────────────────────────────────────────────────────
    def _emit(self, event: RunEvent) -> None:
        from lineage.emit import LedgerTransport

        LedgerTransport(lambda raw: self.ingestor.accept(raw, actor="system")).emit(event)

    def _announce_deployment(self, deployment: Mapping[str, Any], event_type: str, version: Mapping[str, Any]) -> None:
        self._emit(deployment_event(self.installation, deployment, version, event_type))

    def _announce_audit(self, version: Mapping[str, Any], findings: Mapping[str, Any]) -> None:
        self._emit(audit_event(self.installation, version, findings))

    def _announce_purge(self, request: str, report: PurgeReport) -> None:
        infos = self.datasets.infos(report.dataset)
        position = next(place for place, info in enumerate(infos) if info.version == report.new_version.version)
        if position:
            self._emit(purge_event(self.installation, request, infos[position - 1].version, report, self.clock.now()))

    def _signers(self) -> Signers:
        from reports.evidence import Signers as Made

        return Made(
            pdf_key_pem=self.keystore.secret("pdf"),
            pdf_certificate_pem=self.keystore.certificate("pdf"),
            sign_evidence=lambda message: self.keystore.sign_ed25519("evidence", message),
            evidence_public=self.keystore.public_ed25519("evidence"),
        )

    def _compilers(self) -> dict[str, Any]:
        def compiled(maker: str, answer: Any) -> Dossier:
            from governance import dossier

            made: Dossier = getattr(dossier, maker)(answer, now=self.clock.now(), installation=self.installation, generator=generator())
            return made

        return {
            "model-trace": lambda subject, **times: compiled("model_trace", self.trace(model=subject, **times)),
            "dataset-impact": lambda subject, **times: compiled("dataset_impact", self.answers.impact(subject, **times)),
            "prediction-trace": lambda subject: compiled("prediction_trace", self.trace(prediction=subject)),
            "incident-trace": lambda subject: compiled("incident_trace", self.incidents.paper(subject)),
        }

    def _certificate_dossier(self, request: Mapping[str, Any]) -> Dossier:
        from governance.dossier import disgorgement_certificate, erasure_certificate

        law, terms = request.get("law"), self.erasures.terms(request["id"])
        more = {
            "recipients": self.recipients.of(request["id"]), "tasks": self.tasks.of(request), "copies": self.backups.holding(request),
        }  # fmt: skip
        request = {**request, **more} | ({"law": {**law, "terms": terms}} if law else {})
        certificate = disgorgement_certificate if request.get("order") else erasure_certificate
        return certificate(request, now=self.clock.now(), installation=self.installation, generator=generator())

    def _enqueue_erasure(self, request: str, round_: int) -> None:
        self._engine().start(ERASURE, f"erasure:{request}.{round_}", f"{request}.{round_}")

    def _wake(self) -> None:
        self._waker.poke()

    def _enqueue_rekey(self, operation: str) -> None:
        self._engine().start(REKEY, f"{REKEY}:{operation}", operation)

    def _plan_batches(self) -> int | None:
        """Start the batches of retrains that are due; when to look again."""
        moments = [self._attending.look(), self._batching.wake(self._engine())]
        return min((moment for moment in moments if moment is not None), default=None)

    # ── the whole ───────────────────────────────────────────────────────────────────────────────
    def announce_url(self, url: str) -> None:
        """Tell others who own no home where this one answers."""
        self._lock.announce(url)

    def local_owner(self) -> Principal:
        """The principal of the process that holds the home."""
        return self.keys.local_owner()

    def ready(self) -> dict[str, Any]:
        """Whether each store answers. A graph that is away makes it ``degraded``: events are taken, and the graph catches up."""
        lag, trouble = self.ingestor.lag(), self.ingestor.projector.trouble
        checks = {"ledger": self.log.size() >= 0, "graph": trouble is None, "projected": lag < 10_000}
        status = "ready" if all(checks.values()) else "degraded" if trouble else "not ready"
        return {"status": status, "checks": checks, "lag": lag} | ({"trouble": trouble} if trouble else {})

    def close(self) -> None:
        """Stop the worker, the runners and the projector, close every store, give the home back."""
        self._end(getattr(self, "_waker", None), "close")
        engine, auditor, spare = (getattr(self, name, None) for name in ("_engine", "_auditor", "_spare"))
        if engine is not None and engine.made is not None:
            engine.made.stop()
        self._end(getattr(self, "posting", None), "close")
        # the log closes before any child is ended: what an interrupted training or audit would say of itself must not be entered
        for name, method in (("deadlines", "close"), ("retention", "close"), ("ingestor", "stop"), ("log", "close")):
            self._end(getattr(self, name, None), method)
        for lazy in (spare, auditor):
            self._end(lazy.made if lazy is not None else None, "close")
        for name in ("serving", "_predictions", "_index", "graph"):
            self._end(getattr(self, name, None), "close")
        self._lock.__exit__(None, None, None)

    @staticmethod
    def _end(piece: Any, method: str) -> None:
        if piece is not None:
            getattr(piece, method)()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
