"""The facade in memory for the tests of the door: keeps the contract's shapes and rules, records every call."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pyarrow as pa

from governance.errors import BudgetExceeded, GateRefused, Held
from lineage.errors import BadEvent, Conflict, Forbidden, Gone, NotFound
from tests.fakes.marquez_reads import MarquezReads

KEYS = {f"key-of-{role}": role for role in ("ingest", "predict", "engineer", "privacy", "auditor", "admin", "controller")}


@dataclass(frozen=True)
class KeyHolder:
    id: str
    roles: frozenset[str]


@dataclass
class Part:
    """A part of the facade; ``calls`` is shared, so that a test sees the order."""

    system: FakeSystem

    def note(self, call: str, /, **what: Any) -> None:
        with self.system.lock:
            self.system.calls.append((call, what))


class Keys(Part):
    def authenticate(self, api_key: str) -> KeyHolder:
        role = KEYS.get(api_key)
        if role is None:
            raise Forbidden("this API key is not known", hint="govern keys create NAME --role ROLE")
        return KeyHolder(f"key:k-{role}", frozenset({role}))

    def known(self, api_key: str) -> KeyHolder | None:
        return KeyHolder(f"key:k-{KEYS[api_key]}", frozenset({KEYS[api_key]})) if self.system.fast and api_key in KEYS else None

    def create(self, name: str, roles: list[str], *, actor: str) -> dict[str, Any]:
        self.note("keys.create", name=name, roles=roles, actor=actor)
        return {"id": "k-1", "api_key": "gk_secret", "roles": roles}

    def list(self) -> dict[str, Any]:
        return {"keys": [{"id": "k-1", "name": "ci", "roles": ["ingest"]}]}

    def revoke(self, ident: str, *, actor: str) -> dict[str, Any]:
        self.note("keys.revoke", id=ident, actor=actor)
        if ident != "k-1":
            raise NotFound(f"no key {ident}")
        return {"id": ident, "revoked_at": 1}

    def public(self) -> dict[str, Any]:
        return {
            "installation": "test",
            "checkpoint": {"name": "test", "key": "AA"},
            "evidence": {"keyid": "1", "key": "AA"},
            "pdf": {"certificate": ""},
        }


class Lineage(Part):
    """Keeps events by content, as the ledger does."""

    def give_way(self, busy: Callable[[], bool]) -> None:
        """Nothing is folded here."""

    def accept(self, raw: bytes, *, actor: str) -> dict[str, Any]:
        time.sleep(self.system.delay)
        try:
            event = json.loads(raw)
        except (ValueError, RecursionError):
            raise BadEvent("the event is not JSON") from None
        if not isinstance(event, dict) or not ({"run", "job"} <= set(event) or "dataset" in event or "job" in event):
            raise BadEvent("the event has neither a run, a job nor a dataset", hint="see the OpenLineage specification")
        identity = hashlib.sha256(json.dumps(event, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
        if self.system.broken is not None:
            raise self.system.broken
        with self.system.lock:
            self.system.events.setdefault(identity, raw)
        self.note("lineage.accept", actor=actor)
        return {"identity": identity}

    def scans(self, raws: list[bytes]) -> bool:
        return False

    def accept_many(self, raws: list[bytes], *, actor: str | list[str]) -> list[Any]:
        results: list[Any] = []
        for raw, one in zip(raws, [actor] * len(raws) if isinstance(actor, str) else actor, strict=True):
            try:
                results.append(self.accept(raw, actor=one))
            except BadEvent as error:
                results.append(error)
        return results

    def status(self, *, digest: bool | None = None) -> dict[str, Any]:
        count = len(self.system.events)
        return {
            "events": count,
            "retired": 0,
            "entries": count,
            "lag": 0,
            "dead_letters": 0,
            "nodes": 3,
            "edges": 2,
            "graph_digest": "sha256:" + "0" * 64,
        }

    def dead_letters(self) -> dict[str, Any]:
        return {"dead_letters": []}

    def replay(self, start: int | None = None) -> dict[str, int]:
        self.note("lineage.replay", start=start)
        return {"tried": 0, "folded": 0, "dead": 0}

    def rebuild(self, *, force: bool = False) -> dict[str, int]:
        self.note("lineage.rebuild", force=force)
        return {"entries": 0}

    def receipt(self, identity: str) -> dict[str, Any]:
        if identity == "0" * 64:
            raise NotFound("no event with this identity was taken")
        return {"identity": identity, "index": 0, "recorded_at": 1, "state": "applied", "reason": None}


class Retention(Part):
    def state(self, older_than: str | None = None) -> dict[str, Any]:
        would = {"would": {"events": 0, "dry_run": True}} if older_than else {}
        return {"policy": None, "run": None, **would}

    def start(self, older_than: str, *, actor: str) -> dict[str, Any]:
        self.note("retention.start", older_than=older_than, actor=actor)
        return {"policy": None, "run": {"state": "running"}}

    def snapshots(self) -> dict[str, Any]:
        return {"snapshots": [], "needed": 0, "unusable": []}

    def piece(self, sha256: str, start: int) -> bytes:
        if sha256 != hashlib.sha256(b"tar").hexdigest():
            raise NotFound("there is no such snapshot")
        return b"bytes"[start:]


class Datasets(Part):
    def register(self, body: dict[str, Any], *, actor: str) -> dict[str, Any]:
        self.note("datasets.register", body=body, actor=actor)
        return {"name": body["name"], "kind": body["kind"]}

    def list(self) -> dict[str, Any]:
        return {"datasets": [{"name": "credit.train"}]}

    def write(self, name: str, table: pa.Table | None, *, mode: str, key: str | None, actor: str, repair: bool = False) -> dict[str, Any]:
        self.note("datasets.write", name=name, rows=None if table is None else table.num_rows, mode=mode, key=key, actor=actor)
        return {"dataset": name, "version": "1", "rows": 0 if table is None else table.num_rows}

    def versions(self, name: str) -> dict[str, Any]:
        if name != "credit.train":
            raise NotFound(f"no dataset {name}", hint="nearest: credit.train; see govern dataset versions")
        return {"versions": [{"version": "1"}]}

    def read(self, name: str, version: str) -> pa.Table:
        if version == "0":
            raise Gone(f"version 0 of {name} was erased", hint="govern trace shows its tombstone")
        return pa.table({"govern_row_id": [1, 2], "age": [30, 40]})


class Snapshots(Part):
    def put(self, name: str, data: bytes, *, actor: str) -> bool:
        with self.system.lock:
            new = name not in self.system.snapshots_kept
            self.system.snapshots_kept[name] = data
        return new

    def get(self, name: str) -> bytes:
        if name not in self.system.snapshots_kept:
            raise NotFound(f"no snapshot {name[:12]}…")
        return self.system.snapshots_kept[name]


class Models(Part):
    """One model, ``credit-risk`` with version 1; ``broken`` raises whatever a test wants."""

    def _known(self, name: str, version: str = "1") -> None:
        if self.system.broken is not None:
            raise self.system.broken
        if name != "credit-risk":
            raise NotFound(f"no model {name}", hint="nearest: credit-risk; next: govern trace credit-risk")
        if version not in ("1", "latest", "production"):
            raise NotFound(f"credit-risk has no version {version}")

    def start(self, model: str, body: dict[str, Any], *, actor: str, idempotency: str | None) -> dict[str, Any]:
        self.note("trainings.start", model=model, body=body, actor=actor, idempotency=idempotency)
        return {"operation": self.system.once(idempotency, "op")}

    def list(self) -> dict[str, Any]:
        return {"models": [{"name": "credit-risk", "latest": "1", "aliases": {}, "purpose": "p", "owner": "o"}]}

    def get(self, name: str) -> dict[str, Any]:
        self._known(name)
        return {"name": name, "versions": ["1"], "aliases": {}}

    def version(self, name: str, ref: str) -> dict[str, Any]:
        self._known(name, ref)
        return {"name": name, "version": "1", "aliases": self.system.aliases}

    def lineage(self, name: str, ref: str) -> dict[str, Any]:
        self._known(name, ref)
        return {"model": name}

    audits = rows = lineage


class Operations(Part):
    def get(self, ident: str) -> dict[str, Any]:
        return {
            "id": ident,
            "kind": "training",
            "state": "running",
            "progress": {"done": 1, "total": 2, "what": "epochs"},
            "result": None,
            "error": None,
        }


class Audits(Part):
    def start(self, model: str, version: str, *, actor: str) -> dict[str, Any]:
        self.note("audits.start", model=model, version=version, actor=actor)
        return {"operation": "op-1"}

    def gate(self, model: str, version: str, *, actor: str) -> dict[str, Any]:
        self.note("audits.gate", model=model, version=version, actor=actor)
        return {
            "model": model,
            "version": version,
            "outcome": "fail",
            "gates": [{"gate": "auc", "severity": "block", "outcome": "fail", "reason": "0.5"}],
        }


class Answers(Part):
    def deployed(self, **query: Any) -> dict[str, Any]:
        self.note("answers.deployed", **query)
        return {"deployments": [{"id": f"d-{n}", "model": "credit-risk"} for n in range(5)]}

    def exported(self, form: str, **query: Any) -> tuple[str, bytes, bool]:
        self.note("answers.exported", form=form, **query)
        media = {"dot": "text/vnd.graphviz", "svg": "image/svg+xml", "prov": "application/prov+json"}
        return media.get(form, "application/x-ndjson"), b"{}", True

    def diff(self, name: str, before: str | None, after: str | None, **times: Any) -> dict[str, Any]:
        self.note("answers.diff", name=name, before=before, after=after, **times)
        return {"model": name}

    def find(self, **query: Any) -> dict[str, Any]:
        self.note("answers.find", **query)
        return {"nodes": [], "exact": [], "next": None, "total": 0}

    def events(self, **query: Any) -> Any:
        self.note("answers.events", **query)
        return SimpleNamespace(lines=(b"{}",), next="abc", destroyed=1)


class Deployments(Part):
    def release(self, model: str, version: str, environment: str, *, actor: str, idempotency: str | None) -> dict[str, Any]:
        self.note("deployments.release", model=model, version=version, environment=environment, actor=actor, idempotency=idempotency)
        refusals = {
            "refused": GateRefused("gate auc: 0.5 is below 0.7"),
            "held": Held("an incident holds it"),
            "spent": BudgetExceeded("epsilon is spent"),
        }
        if version in refusals:
            raise refusals[version]
        return {"id": self.system.once(idempotency, "d"), "model": model, "version": version, "environment": environment, "active_from": 1}

    def rollback(self, model: str, environment: str, *, actor: str) -> dict[str, Any]:
        raise Conflict(f"{model} has no earlier version in {environment}")

    def list(self, model: str | None = None, active: bool | None = None) -> dict[str, Any]:
        self.note("deployments.list", model=model, active=active)
        return {"deployments": [{"id": f"d-{n}", "model": "credit-risk"} for n in range(5)]}


class Serving(Part):
    def metadata(self, model: str, version: str | None = None) -> dict[str, Any]:
        if model != "credit-risk":
            raise NotFound(f"no model {model}", hint="nearest: credit-risk")
        return {"name": model, "versions": [version or "1"], "platform": "govern", "inputs": [], "outputs": []}

    def ready(self, model: str, version: str | None = None) -> bool:
        return model == "credit-risk"

    def infer(self, model: str, version: str | None, request: dict[str, Any], *, actor: str) -> dict[str, Any]:
        self.metadata(model)
        self.note("serving.infer", model=model, version=version, request=request, actor=actor)
        return {"model_name": model, "model_version": version or "1", "id": "p-1", "outputs": []}


class Predictions(Part):
    def get(self, ident: str) -> dict[str, Any]:
        if ident == "erased":
            raise Gone("the input of prediction erased was erased")
        return {"id": ident}

    def trace(self, ident: str) -> dict[str, Any]:
        return {"subject": {"kind": "prediction", "ref": ident}}


class Subjects(Part):
    def trace(self, kind: str, value: str, *, actor: str) -> dict[str, Any]:
        self.note("subjects.trace", actor=actor)
        return {
            "subject_ref": "0" * 32,
            "datasets": [],
            "runs": [],
            "models": [],
            "deployments": [],
            "predictions": 0,
            "completeness": {"complete": True},
        }


class ErasurePlans(Part):
    def plan(self, ident: str) -> dict[str, Any]:
        self.note("erasure_plans.plan", id=ident)
        return {"request": ident, "retrain": [], "purge": []}


class Erasures(Part):
    def request(self, body: dict[str, Any], *, actor: str, idempotency: str | None) -> dict[str, Any]:
        self.note("erasures.request", actor=actor, idempotency=idempotency)
        return {"id": self.system.once(idempotency, "er"), "state": "received"}

    def disgorge(self, body: dict[str, Any], *, actor: str, idempotency: str | None) -> dict[str, Any]:
        self.note("erasures.disgorge", body=body, actor=actor, idempotency=idempotency)
        return {"order": body} | ({} if body.get("dry_run") else {"id": self.system.once(idempotency, "er"), "state": "in_review"})

    def list(self, state: str | None = None) -> dict[str, Any]:
        return {"requests": [{"id": f"er-{n}", "state": "received"} for n in range(3)]}

    def get(self, ident: str) -> dict[str, Any]:
        if not ident.startswith("er-"):
            raise NotFound(f"no erasure request {ident}")
        return {"id": ident, "state": "received", "assets": [{"id": "dataset:credit.train"}, {"id": "model:credit-risk@1"}]}

    def verify(self, ident: str, body: dict[str, Any], *, actor: str) -> dict[str, Any]:
        self.note("erasures.step", id=ident, body=body, actor=actor)
        return self.get(ident)

    refuse = extend = withdraw = decide = challenge = acknowledge = lift = lift_approve = verify

    def hold(self, ident: str, body: dict[str, Any], *, actor: str) -> dict[str, Any]:
        if body["asset"] not in {asset["id"] for asset in self.get(ident)["assets"]}:
            raise NotFound(f"request {ident} has no asset {body['asset']}", hint=f"govern erasure show {ident}")
        return self.verify(ident, body, actor=actor)

    release = hold

    def packs(self) -> dict[str, Any]:
        return {"packs": [{"pack": "GDPR", "version": 1}]}

    def approve(self, ident: str, body: dict[str, Any], *, actor: str) -> dict[str, Any]:
        if ident == "er-own":
            raise Forbidden("the requester's key may not approve", hint="use another key with the role privacy")
        return self.verify(ident, body, actor=actor)

    def proofs(self, ident: str, digest: str) -> bytes:
        self.get(ident)
        return digest.encode()

    def certificate(self, ident: str) -> bytes:
        return b"%PDF-1.7 certificate"

    def dossier(self, ident: str) -> dict[str, Any]:
        return {"kind": "erasure-certificate", "id": ident}


class Webhooks(Part):
    def add(self, body: dict[str, Any], *, actor: str) -> dict[str, Any]:
        self.note("webhooks.add", body=body, actor=actor)
        return {"id": "w-1", "url": body["url"], "secret": "whsec_x"}

    def list(self) -> dict[str, Any]:
        return {"webhooks": []}

    def get(self, ident: str) -> dict[str, Any]:
        return {"id": ident}

    def remove(self, ident: str, *, actor: str) -> dict[str, Any]:
        self.note("webhooks.change", id=ident, actor=actor)
        return {"id": ident}

    rotate = resume = replay = remove


class Recipients(Part):
    def add(self, body: dict[str, Any], *, actor: str) -> dict[str, Any]:
        self.note("recipients.add", body=body, actor=actor)
        return {"id": "rc-1"}

    def list(self) -> dict[str, Any]:
        return {"recipients": []}

    def remove(self, ident: str, *, actor: str) -> dict[str, Any]:
        return {"id": ident}

    def tasks(self, request: str) -> dict[str, Any]:
        return {"tasks": [{"request": request}]}

    def acknowledge(self, request: str, task: str, body: dict[str, Any], *, actor: str) -> dict[str, Any]:
        self.note("recipients.end", request=request, task=task, body=body, actor=actor)
        return {"id": task}

    excuse = acknowledge


class Tasks(Part):
    def list(self, *, request: str | None = None, state: str | None = None) -> dict[str, Any]:
        return {"tasks": [{"id": "task-1", "request": request, "state": state}]}

    def get(self, ident: str) -> dict[str, Any]:
        return {"id": ident}

    def answer(self, ident: str, body: dict[str, Any], *, actor: str, officer: bool) -> dict[str, Any]:
        self.note("tasks.answer", task=ident, body=body, actor=actor, officer=officer)
        return {"id": ident, "state": "answered_done"}


class OpenDsr(Part):
    """Signs by saying the length of what is signed, so that a test sees that the bytes sent are the bytes signed."""

    certificate_pem = b"-----BEGIN CERTIFICATE-----"

    def signer(self) -> OpenDsr:
        return self

    def headers(self, body: bytes) -> dict[str, str]:
        return {"X-OpenDSR-Processor-Domain": "dsr.test", "X-OpenDSR-Signature": hashlib.sha256(body).hexdigest()}

    def discovery(self) -> dict[str, Any]:
        return {"api_version": "2.0"}

    def receive(self, body: dict[str, Any], raw: bytes, *, key: str) -> dict[str, Any]:
        if self.system.broken is not None:
            raise self.system.broken
        self.note("opendsr.receive", body=body, raw=raw, key=key)
        return {"subject_request_id": body["subject_request_id"]}

    def status(self, sent_id: str, *, key: str) -> dict[str, Any]:
        if sent_id == "er-unknown":
            raise NotFound("no such request")
        return {"subject_request_id": sent_id, "request_status": "pending"}

    def cancel(self, sent_id: str, *, key: str) -> dict[str, Any]:
        if sent_id == "er-late":
            raise Conflict("only a pending one can be cancelled")
        return {"subject_request_id": sent_id}

    def add(self, body: dict[str, Any], *, actor: str) -> dict[str, Any]:
        return {"id": "c-1", "api_key": "gv_x"}

    def list(self) -> dict[str, Any]:
        return {"controllers": []}

    def remove(self, ident: str, *, actor: str) -> dict[str, Any]:
        return {"id": ident}


class Bulk(Part):
    def take(self, lines: Any, form: str, *, actor: str, idempotency: str | None, dry_run: bool) -> dict[str, Any]:
        self.note("bulk.take", lines=list(lines), form=form, actor=actor, idempotency=idempotency, dry_run=dry_run)
        return {"dry_run": dry_run, "summary": {}, "rows": []}


class Incidents(Part):
    def open(self, body: dict[str, Any], *, actor: str, idempotency: str | None) -> dict[str, Any]:
        self.note("incidents.open", body=body, actor=actor)
        return {"id": self.system.once(idempotency, "in"), "trace": {}, "holds": [], "case": "c-1"}

    def list(self) -> dict[str, Any]:
        return {"incidents": [{"id": "in-1"}]}

    def get(self, ident: str) -> dict[str, Any]:
        return {"id": ident}

    def close(self, ident: str, body: dict[str, Any], *, actor: str) -> dict[str, Any]:
        self.note("incidents.close", id=ident, body=body, actor=actor)
        return {"id": ident, "state": "closed"}

    def holds(self) -> dict[str, Any]:
        return {"holds": []}


class Reports(Part):
    def create(self, body: dict[str, Any], *, actor: str, idempotency: str | None = None) -> dict[str, Any]:
        self.note("reports.create", body=body, actor=actor, idempotency=idempotency)
        return {"id": "r-1", "kind": body["kind"], "subject": body["subject"], "sha256": "0" * 64, "ledger_index": 7}

    def list(self) -> dict[str, Any]:
        return {"reports": [{"id": "r-1"}]}

    def pdf(self, ident: str) -> bytes:
        return b"%PDF-1.7 report"


class Ledger(Part):
    def checkpoint_note(self) -> str:
        return "test\n3\nAAAA\n\n— test AAAA\n"

    def entries_json(self, start: int, limit: int, kind: str | None = None) -> dict[str, Any]:
        return {"entries": [{"index": index, "kind": "openlineage"} for index in range(start, min(start + limit, 5))], "size": 5}

    def proof(
        self, index: int | None = None, size: int | None = None, first: int | None = None, second: int | None = None
    ) -> dict[str, Any]:
        self.note("ledger.proof", index=index, size=size, first=first, second=second)
        return {"proof": []}

    def fsck(self) -> dict[str, Any]:
        return {"ok": True, "problems": [], "size": 5}


class Redactions(Part):
    def redact(self, body: dict[str, Any], *, actor: str) -> dict[str, Any]:
        self.note("redactions.redact", body=body, actor=actor)
        return {"redacted": [{"entry": 3, "by": 9, "places": 1}], "snapshots_deleted": 0, "rebuild": "under way"}


class Shredding(Part):
    def epochs(self) -> dict[str, Any]:
        use = [{"epoch": "epoch-2", "predictions": 4, "requests": 1}, {"epoch": "epoch-1", "predictions": 2, "requests": 0}]
        return {"epochs": ["epoch-2", "epoch-1"], "use": use, "rekeyed": None}

    def destroy(self, name: str, *, actor: str, unlink: bool = False) -> dict[str, Any]:
        self.note("shredding.destroy", name=name, actor=actor, unlink=unlink)
        return {"epoch": name, "entry": 9, "living": ["epoch-2"]}


class Rotation(Part):
    def plan(self) -> dict[str, Any]:
        return {"epoch": "epoch-3", "before": "epoch-2", "datasets": [], "predictions": {"named": 0, "unknown": 0}}

    def rotate(self, *, actor: str, idempotency: str | None = None) -> dict[str, Any]:
        self.note("rotation.rotate", actor=actor)
        return {"epoch": "epoch-3", "operation": self.system.once(idempotency, "op"), "living": ["epoch-3", "epoch-2"]}

    def rekey(self, *, actor: str, idempotency: str | None = None) -> dict[str, Any]:
        self.note("rotation.rekey", actor=actor)
        return {"epoch": "epoch-2", "operation": self.system.once(idempotency, "op"), "living": ["epoch-2", "epoch-1"]}


class Backups(Part):
    def made(self, body: dict[str, Any], *, actor: str) -> dict[str, Any]:
        self.note("backups.made", body=body, actor=actor)
        return {**body, "entered_at": 5, "deleted_at": None}

    def deleted(self, ident: str, *, actor: str) -> dict[str, Any]:
        self.note("backups.deleted", id=ident, actor=actor)
        return {"id": ident, "deleted_at": 6}

    def list(self) -> dict[str, Any]:
        return {"backups": []}


class Erased(Part):
    def export(self) -> bytes:
        return b'{"note":"","statement":{}}'


class Budgets(Part):
    def list(self) -> dict[str, Any]:
        return {"budgets": []}


@dataclass
class FakeSystem:
    """What ``create_app`` needs, without a disk."""

    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    events: dict[str, bytes] = field(default_factory=dict)
    snapshots_kept: dict[str, bytes] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    broken: Exception | None = None
    delay: float = 0.0
    state: str = "ready"
    closed: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    installation: str = "test"
    fast: bool = True
    """Whether keys are known at once, so that the fast lane takes what it can; else everything goes the long way."""

    def __post_init__(self) -> None:
        self._minted: dict[str, str] = {}
        self.keys = Keys(self)
        self.lineage = Lineage(self)
        self.retention = Retention(self)
        self.datasets = Datasets(self)
        self.snapshots = Snapshots(self)
        self.models = self.trainings = Models(self)
        self.operations = Operations(self)
        self.audits = Audits(self)
        self.answers = Answers(self)
        self.deployments = Deployments(self)
        self.serving = Serving(self)
        self.predictions = Predictions(self)
        self.subjects = Subjects(self)
        self.erasures = Erasures(self)
        self.webhooks = Webhooks(self)
        self.recipients = Recipients(self)
        self.opendsr = OpenDsr(self)
        self.bulk = Bulk(self)
        self.erasure_plans = ErasurePlans(self)
        self.tasks = Tasks(self)
        self.incidents = Incidents(self)
        self.reports = Reports(self)
        self.ledger = Ledger(self)
        self.budgets = Budgets(self)
        self.redactions = Redactions(self)
        self.shredding = Shredding(self)
        self.rotation = Rotation(self)
        self.backups = Backups(self)
        self.erased = Erased(self)
        self.marquez = MarquezReads()

    def once(self, key: str | None, prefix: str) -> str:
        """The id under an idempotency key: the same key, the same id."""
        with self.lock:
            if key is None:
                key = f"#{len(self._minted)}"
            return self._minted.setdefault(key, f"{prefix}-{len(self._minted) + 1}")

    def trace(self, **query: Any) -> dict[str, Any]:
        self.calls.append(("trace", query))
        if self.broken is not None:
            raise self.broken
        if query["model"] and query["model"].partition("@")[0] != "credit-risk":
            raise NotFound(f"no model {query['model']}", hint="nearest: credit-risk; next: govern trace credit-risk")
        return {
            "subject": {"kind": "model", "ref": query["model"]},
            "direction": query["direction"],
            "completeness": {"complete": True, "reasons": [], "lag": 0},
        }

    def reproduction(self, model: str, version: str) -> dict[str, Any]:
        return {"spec": {}, "code": "snapshot:" + "0" * 64, "inputs": [], "artifact_digest": "sha256:0"}

    def local_owner(self) -> KeyHolder:
        return KeyHolder("key:local", frozenset(KEYS.values()))

    def announce_url(self, url: str) -> None:
        self.calls.append(("announce_url", {"url": url}))
        if self.broken is not None:
            raise self.broken

    def ready(self) -> dict[str, Any]:
        return {"status": self.state, "checks": {"ledger": self.state == "ready"}}

    def close(self) -> None:
        self.closed += 1
