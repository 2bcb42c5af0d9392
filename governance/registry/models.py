"""Models and their versions: numbered in ledger order, each pinned to the run that made it."""

from __future__ import annotations

import dataclasses
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from governance.errors import Held
from governance.registry import fence
from governance.registry.acts import SYSTEM, act
from governance.registry.find import Parsed, bodies, must_find, nearest
from lineage.errors import BadInput, Gone, NotFound
from lineage.ports import Clock, Ledger, LedgerTx
from trainers.model import (
    ArtifactInfo,
    Checkpoint,
    InputSpec,
    PrivacySpec,
    PrivacySpend,
    Replay,
    Replayed,
    Retrained,
    Sharding,
    TrainRecord,
    TrainSpec,
)

__all__ = ["CHECKPOINTS", "Models", "record_of", "spec_from_json", "spec_to_json", "version_ident"]

CHECKPOINTS = "checkpoints"
"""Folder of a home in which each run of a replayed training has a folder of its own."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def _must_not_be_held(tx: LedgerTx, *assets: str) -> None:
    for hold in bodies(tx, "hold"):
        if hold["released_at"] is None and hold["asset"] in assets:
            raise Held(f"{hold['asset']} is held: {hold['ground']}", hint="GET /api/v1/holds names its ground and its day of review")


def version_ident(model: str, version: int) -> str:
    """The record identifier of a version; zero-padded, so that identifiers sort as numbers do."""
    return f"{model}@{version:06d}"


def spec_to_json(spec: TrainSpec) -> dict[str, Any]:
    """A TrainSpec as JSON."""
    body = dataclasses.asdict(spec)
    body["inputs"] = list(body["inputs"])
    body["features"] = list(body["features"])
    body["params"] = dict(spec.params)
    return body


def spec_from_json(body: Mapping[str, Any]) -> TrainSpec:
    """The TrainSpec that :func:`spec_to_json` wrote."""
    return TrainSpec(
        **{
            **body,
            "inputs": tuple(InputSpec(**item) for item in body["inputs"]),
            "features": tuple(body["features"]),
            "privacy": PrivacySpec(**body["privacy"]) if body.get("privacy") else None,
            "sharding": Sharding(**body["sharding"]) if body.get("sharding") else None,
            "replay": Replay(**body["replay"]) if body.get("replay") else None,
        }
    )


def record_of(version: Mapping[str, Any]) -> TrainRecord:
    """The record of the completed run that a registered version was made from."""
    return TrainRecord(
        run_id=version["run_id"],
        spec=spec_from_json(version["spec"]),
        status="COMPLETE",
        started_at=version["started_at"],
        ended_at=version["ended_at"],
        artifact=ArtifactInfo(**version["artifact"]),
        metrics=version["metrics"],
        spend=PrivacySpend(**version["spend"]) if version["spend"] else None,
        retrained=_retrained(version.get("retrained")),
        replayed=_replayed(version.get("replayed")),
    )


def _retrained(body: Mapping[str, Any] | None) -> Retrained | None:
    return Retrained(**{name: value for name, value in body.items() if name != "retrain_fraction"}) if body else None


def _replayed(body: Mapping[str, Any] | None) -> Replayed | None:
    if not body:
        return None
    plain = {name: value for name, value in body.items() if name != "retrain_fraction"}
    return Replayed(**{**plain, "checkpoints": tuple(Checkpoint(**one) for one in body["checkpoints"])})


def _told(done: Retrained | Replayed | None) -> dict[str, Any] | None:
    """How much of a sharded or replayed training was done, with the share as a number."""
    if done is None:
        return None
    body = dataclasses.asdict(done) | {"retrain_fraction": done.retrain_fraction}
    return body | {"checkpoints": list(body["checkpoints"])} if isinstance(done, Replayed) else body


class Models:
    """The model registry over the control records; artifacts lie content-addressed under ``artifacts``, checkpoints by run beside it."""

    def __init__(self, ledger: Ledger, clock: Clock, artifacts: Path) -> None:
        self._ledger = ledger
        self._versions = Parsed(ledger, "version")
        self._clock = clock
        self._artifacts = artifacts
        self._checkpoints = artifacts.with_name(CHECKPOINTS)

    # ── writing ─────────────────────────────────────────────────────────────────────────────────
    def declare(self, name: str, config: Mapping[str, Any], *, actor: str) -> dict[str, Any]:
        """Make the model known with what its ``govern.yaml`` says now; its versions stay."""
        if not _NAME.fullmatch(name):
            raise BadInput(f"{name!r} is no model name: letters, digits, dot, dash, underscore; at most 128")

        def work(tx: LedgerTx) -> dict[str, Any]:
            found = tx.record("model", name)
            before = found[0] if found else {"name": name, "latest": 0, "aliases": {}}
            after = before | {"purpose": config.get("purpose"), "owner": config.get("owner"), "config": dict(config)}
            if after != before:
                tx.append(act("model.declared", actor=actor, records={("model", name): after}))
            return after

        return self._ledger.transact(work)

    def register(
        self, record: TrainRecord, *, policy: str, operation: str, predecessor: int | None = None, actor: str = SYSTEM
    ) -> dict[str, Any]:
        """The version that a completed run made; the same run again answers the version it has already."""
        model = record.spec.model
        if record.artifact is None:
            raise BadInput(f"run {record.run_id} of {model} left no artifact: {record.reason}")
        artifact = {"digest": record.artifact.digest, "files": dict(record.artifact.files), "size": record.artifact.size}
        guard = fence.guard()

        def work(tx: LedgerTx) -> dict[str, Any]:
            guard(tx)
            for body in bodies(tx, "version", prefix=f"{model}@"):
                if body["run_id"] == record.run_id:
                    return body
            owner = must_find(tx, "model", model, what="model")
            number = owner["latest"] + 1
            body = {
                "model": model,
                "version": number,
                "run_id": record.run_id,
                "operation": operation,
                "created_at": self._clock.now(),
                "started_at": record.started_at,
                "ended_at": record.ended_at,
                "status": "candidate",
                "artifact": artifact,
                "spec": spec_to_json(record.spec),
                "policy": policy,
                "metrics": dict(record.metrics),
                "spend": dataclasses.asdict(record.spend) if record.spend else None,
                "retrained": _told(record.retrained),
                "replayed": _told(record.replayed),
                "predecessor": predecessor,
                "destroyed_at": None,
                "destroyed_by": None,
            }
            changed = {("version", version_ident(model, number)): body, ("model", model): owner | {"latest": number}}
            tx.append(act("version.registered", actor=actor, records=changed, identity=f"version:{model}:{record.run_id}"))
            return body

        return self._ledger.transact(work)

    def record_run(self, record: TrainRecord, *, operation: str) -> None:
        """Keep how a run ended, also when it failed."""
        body = {
            "run_id": record.run_id,
            "model": record.spec.model,
            "status": record.status,
            "reason": record.reason,
            "started_at": record.started_at,
            "ended_at": record.ended_at,
            "operation": operation,
        }
        self._ledger.append([act("run.ended", actor=SYSTEM, records={("run", record.run_id): body}, identity=f"run-ended:{record.run_id}")])

    def set_status(self, model: str, version: int, status: str, *, aliases: Mapping[str, int] | None = None, actor: str = SYSTEM) -> None:
        """Change a version's status and the model's aliases together."""

        def work(tx: LedgerTx) -> None:
            body = must_find(tx, "version", version_ident(model, version), what="model version")
            owner = must_find(tx, "model", model, what="model")
            changed = {
                ("version", version_ident(model, version)): body | {"status": status},
                ("model", model): owner | {"aliases": owner["aliases"] | dict(aliases or {})},
            }
            tx.append(act("version.status", actor=actor, records=changed))

        self._ledger.transact(work)

    def destroy(self, model: str, version: int, *, request: str) -> bool:
        """Mark the version destroyed and remove its artifact unless another living version refers to the same; idempotent.

        Its checkpoints go in any case: a successor that may keep some of them has them as its own.

        Returns:
            True when neither weights nor checkpoints are on disk any more.

        Raises:
            Held: the version, or its model, is under a hold; nothing was changed.
        """
        guard = fence.guard()

        def work(tx: LedgerTx) -> dict[str, Any]:
            guard(tx)
            ident = version_ident(model, version)
            body = must_find(tx, "version", ident, what="model version")
            if body["destroyed_at"] is None:
                _must_not_be_held(tx, f"model:{model}", f"model:{model}@{version}")
                body = body | {"status": "destroyed", "destroyed_at": self._clock.now(), "destroyed_by": request}
                owner = must_find(tx, "model", model, what="model")
                aliases = {name: number for name, number in owner["aliases"].items() if number != version}
                changed = {("version", ident): body, ("model", model): owner | {"aliases": aliases}}
                tx.append(act("version.destroyed", actor=SYSTEM, records=changed, identity=f"version-destroyed:{ident}"))
            return body

        body = self._ledger.transact(work)
        shutil.rmtree(self.checkpoints_path(body["run_id"]), ignore_errors=True)
        digest = body["artifact"]["digest"]
        if any(other["artifact"]["digest"] == digest and other["destroyed_at"] is None for other in bodies(self._ledger, "version")):
            return False
        shutil.rmtree(self.artifact_path(digest, must_exist=False), ignore_errors=True)
        return not (self.artifact_path(digest, must_exist=False).exists() or self.checkpoints_path(body["run_id"]).exists())

    # ── reading ─────────────────────────────────────────────────────────────────────────────────
    def list(self) -> dict[str, Any]:
        """Every model in short."""
        fields = ("name", "latest", "aliases", "purpose", "owner")
        return {"models": [{field: body[field] for field in fields} for body in bodies(self._ledger, "model")]}

    def get(self, name: str) -> dict[str, Any]:
        """One model with its versions, oldest first."""
        body = must_find(self._ledger, "model", name, what="model")
        return body | {"versions": bodies(self._ledger, "version", prefix=f"{name}@")}

    def resolve(self, name: str, reference: str | int | None = None) -> dict[str, Any]:
        """The record of a version by number, alias or ``latest``; without a reference the one in production, else the latest."""
        model = must_find(self._ledger, "model", name, what="model")
        if not model["latest"]:
            raise NotFound(f"model {name} has no version yet", hint=f"govern train {name}")
        wanted = str(reference) if reference not in (None, "") else ("production" if "production" in model["aliases"] else "latest")
        number = model["latest"] if wanted == "latest" else model["aliases"].get(wanted)
        if number is None and wanted.isdigit():
            number = int(wanted)
        found = self._ledger.record("version", version_ident(name, number)) if number is not None else None
        if found is None:
            known = (
                [str(body["version"]) for body in bodies(self._ledger, "version", prefix=f"{name}@")]
                + sorted(model["aliases"])
                + ["latest"]
            )
            raise NotFound(f"model {name} has no version {wanted!r}", hint=nearest(wanted, known, listing=f"govern models {name}"))
        body: dict[str, Any] = found[0]
        return body

    def by_run(self, run_id: str) -> dict[str, Any] | None:
        """The version that a run made."""
        return next((body for body in bodies(self._ledger, "version") if body["run_id"] == run_id), None)

    def all_versions(self) -> Sequence[dict[str, Any]]:
        """Every version of every model, to be read and not changed (:class:`governance.registry.find.Parsed`)."""
        return self._versions.bodies()

    def artifact_path(self, digest: str, *, must_exist: bool = True) -> Path:
        """The folder of an artifact; ``Gone`` when it was destroyed."""
        path = self._artifacts / digest.removeprefix("sha256:")
        if must_exist and not path.is_dir():
            raise Gone(f"the weights {digest[:19]}… are not in this home", hint="they were destroyed, or never released here")
        return path

    def checkpoints_path(self, run_id: str) -> Path:
        """The folder of a run's checkpoints, whether it exists or not; only a replayed training has one."""
        return self._checkpoints / run_id

    def living_artifact(self, body: Mapping[str, Any]) -> Path:
        """The artifact folder of a version that was not destroyed."""
        if body["destroyed_at"] is not None:
            raise Gone(
                f"{body['model']}@{body['version']} was destroyed by request {body['destroyed_by']}",
                hint="its metadata and papers remain: govern trace",
            )
        return self.artifact_path(body["artifact"]["digest"])
