"""A training from request to registered version: rows read from their versions, code from its snapshot, events through the front door."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from governance.errors import Held
from governance.evidence import derived_id, new_id
from governance.ports import Durable, Steps, Trainer
from governance.registry.budgets import Budgets, lifetime_limit
from governance.registry.committed import read_committed, without_suppressed
from governance.registry.datasets import Datasets
from governance.registry.find import bodies
from governance.registry.models import Models, record_of, spec_from_json, spec_to_json
from governance.registry.operations import Operations
from governance.registry.policies import Policies, Snapshots
from governance.registry.subject_keys import subject_keys
from lineage.errors import BadInput, GovernError, NotFound
from lineage.ports import Clock, Ledger, Progress
from trainers.cost import expected_replay
from trainers.model import STRATEGIES, InputSpec, PrivacySpec, Replay, Sharding, TrainRecord, TrainSpec
from trainers.replay import MOST_CHECKPOINTS, well_formed
from trainers.shards import PLACE, packed

if TYPE_CHECKING:
    import pyarrow as pa
    from openlineage.client.event_v2 import RunEvent

__all__ = ["WORKFLOW", "Trainings"]

WORKFLOW = "training"

MOST_SHARDS = 1000
"""Each is a model of its own, and holds a thousandth of the rows."""

Emit = Callable[["RunEvent"], None]
EventMaker = Callable[..., "RunEvent"]


class Trainings:
    """Starts trainings and carries them out; the erasure workflow uses :meth:`carry_out` for successors."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        clock: Clock,
        models: Models,
        datasets: Datasets,
        policies: Policies,
        snapshots: Snapshots,
        operations: Operations,
        budgets: Budgets,
        trainer: Trainer,
        event: EventMaker,
        emit: Emit,
        environment: Callable[[int], str],
        installation: str,
        artifacts: Path,
        engine: Callable[[], Durable],
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._models = models
        self._datasets = datasets
        self._policies = policies
        self._snapshots = snapshots
        self._operations = operations
        self._budgets = budgets
        self._trainer = trainer
        self._event = event
        self._emit = emit
        self._environment = environment
        self._installation = installation
        self._artifacts = artifacts
        self._engine = engine

    # ── the door ────────────────────────────────────────────────────────────────────────────────
    def start(self, model: str, body: Mapping[str, Any], *, actor: str, idempotency: str | None = None) -> dict[str, Any]:
        """Check everything that can be checked, enter the operation, start the work; answers ``{operation, run_id, left_out}``.

        Rows of persons whose erasure was approved are left out of what the training is given; ``left_out`` counts them.
        """
        config, code = body.get("config"), str(body.get("code") or "")
        if not isinstance(config, Mapping):
            raise BadInput("config must be the model's section of govern.yaml as an object", hint="govern train packs it for you")
        self._snapshots.path(code)
        policy = self._policies.keep(str(body.get("policy_text") or ""), actor=actor)
        spec = self._spec(model, config, code if code.startswith("snapshot:") else f"snapshot:{code}")
        lifetime_limit(config, policy)
        self._must_not_be_held(model)
        ident = derived_id("training", actor, idempotency) if idempotency else new_id(self._clock.now())
        given = {"spec": spec_to_json(spec), "policy": policy.digest}
        run_id = derived_id("run", ident)
        # the declaration stands also where its budget refuses: a limit that was lowered holds for the retrains of erasures too
        self._models.declare(model, config, actor=actor)
        if self._ledger.record("operation", ident) is None:
            self._budgets.check(spec, run_id, policy=policy.digest)
        if self._operations.queue(ident, "training", subject=model, given=given, actor=actor):
            self._engine().start(WORKFLOW, f"training:{ident}", ident)
        whole = sum(self._datasets.version(one.dataset, one.version).rows for one in spec.inputs)
        return {"operation": ident, "run_id": run_id, "left_out": whole - sum(one.rows for one in spec.inputs)}

    def _spec(self, model: str, config: Mapping[str, Any], code: str) -> TrainSpec:
        section = config.get("datasets") or {}
        declared = (
            section
            if isinstance(section, list)
            else [{"role": role, **(item if isinstance(item, dict) else {"name": item})} for role, item in section.items()]
        )
        inputs, label, features, subject = [], config.get("label"), config.get("features"), config.get("subject_key")
        for item in declared:
            label, features, subject = item.get("label", label), item.get("features", features), item.get("subject_key", subject)
            info = self._datasets.version(item["name"], str(item.get("version", "latest")))
            inputs.append(
                InputSpec(role=item["role"], dataset=item["name"], version=info.version, row_set=info.row_set.digest, rows=info.rows)
            )
        if not any(given.role == "train" for given in inputs):
            raise BadInput(f"model {model} names no dataset of role train", hint="add it to `datasets` in govern.yaml")
        if not label or not features or not config.get("entrypoint"):
            raise BadInput(f"model {model} must name entrypoint, label and features in govern.yaml", hint="govern doctor govern.yaml")
        threads = int(config.get("threads") or 1)
        privacy = config.get("privacy")
        return TrainSpec(
            model=model,
            entrypoint=str(config["entrypoint"]),
            code=code,
            params=dict(config.get("params") or {}),
            seed=int(config.get("seed") or 0),
            threads=threads,
            inputs=without_suppressed(self._datasets, inputs),
            environment=self._environment(threads),
            label=str(label),
            features=tuple(features),
            subject_key=subject,
            privacy=PrivacySpec(**privacy) if privacy else None,
            timeout_s=float(config.get("timeout_s") or 600.0),
            strategy=str(config.get("strategy") or "full"),
            sharding=self._sharding(model, config, inputs),
            replay=_replay(model, config),
        )

    def _sharding(self, model: str, config: Mapping[str, Any], inputs: Sequence[InputSpec]) -> Sharding | None:
        """How the rows are divided; refused here are a strategy that cannot be kept, and rows that name no subjects."""
        strategy = config.get("strategy") or "full"
        if strategy not in STRATEGIES:
            raise BadInput(f"model {model}: there is no strategy {strategy!r}; there are {', '.join(STRATEGIES)}", hint="govern doctor")
        if strategy != "sisa":
            return None
        if config.get("privacy"):
            hint = "a private model is trained again as a whole: `strategy: full`"
            raise BadInput(f"model {model}: `strategy: sisa` and `privacy` exclude each other; noise cannot be taken over", hint=hint)
        shards = (config.get("sisa") or {}).get("shards")
        if not isinstance(shards, int) or isinstance(shards, bool) or not 2 <= shards <= MOST_SHARDS:
            raise BadInput(
                f"model {model}: `strategy: sisa` needs `sisa: {{shards: NUMBER}}`, from 2 to {MOST_SHARDS}", hint="govern doctor"
            )
        for given in inputs:
            people = subject_keys(self._datasets.record(given.dataset)) if given.role == "train" else ()
            if len(people) > 1:
                raise BadInput(
                    f"model {model}: the rows of dataset {given.dataset} are about several people, and a shard holds all rows of one",
                    hint="use `strategy: full`",
                )
            if given.role == "train" and not people:
                raise BadInput(
                    f"model {model}: dataset {given.dataset} has no subject key, and `strategy: sisa` makes shards of persons",
                    hint="register the dataset with a subject_key, or use `strategy: full`",
                )
        return Sharding(shards=shards)

    def _must_not_be_held(self, model: str) -> None:
        for hold in bodies(self._ledger, "hold"):
            if hold["released_at"] is None and hold["asset"] == f"model:{model}":
                raise Held(f"model {model} is held: {hold['ground']}", hint="govern incident list")

    # ── the work ────────────────────────────────────────────────────────────────────────────────
    def define(self, engine: Durable) -> None:
        """Name the durable workflow."""
        engine.define(WORKFLOW, self._run)

    def _run(self, steps: Steps, ident: str) -> None:
        operation = self._operations.record(ident)

        def train() -> dict[str, Any]:
            self._operations.start(ident)
            spec = spec_from_json(operation["input"]["spec"])
            try:
                return self.carry_out(
                    spec,
                    run_id=derived_id("run", ident),
                    policy=operation["input"]["policy"],
                    operation=ident,
                    progress=lambda done, total, what: self._operations.progress(ident, done, total, what),
                )
            except GovernError as error:
                return {"status": "FAIL", "reason": error.message, "hint": error.hint}

        outcome = steps.run("train", train)

        def finish() -> None:
            if outcome["status"] == "COMPLETE":
                self._operations.finish(ident, result=outcome)
            else:
                hint = outcome.get("hint") or "mend it and run `govern train` again; what served before still serves"
                self._operations.finish(
                    ident, error={"detail": f"training ended with {outcome['status']}: {outcome['reason']}", "hint": hint}
                )

        steps.run("finish", finish)

    def carry_out(
        self,
        spec: TrainSpec,
        *,
        run_id: str,
        policy: str,
        operation: str,
        predecessor: int | None = None,
        progress: Progress | None = None,
    ) -> dict[str, Any]:
        """One run: START, the training itself, COMPLETE or FAIL, and the version. The same ``run_id`` again makes nothing twice.

        Returns:
            ``{status, model, version, run_id, artifact, metrics, reason}``; ``version`` is ``None`` unless it completed.
        """
        made = self._models.by_run(run_id)
        if made is not None:
            # Told again, in the same words: a kill may have come between the version and its event.
            self._speaker(spec, run_id, made["policy"])("COMPLETE", record_of(made))
            return _outcome(
                "COMPLETE", made["model"], made["version"], run_id, artifact=made["artifact"]["digest"], metrics=made["metrics"]
            )
        # Again, for an erasure may have been approved since the training was asked for.
        spec = dataclasses.replace(spec, inputs=without_suppressed(self._datasets, spec.inputs))
        self._budgets.reserve(spec, run_id, policy=policy)
        say = self._speaker(spec, run_id, policy)
        say("START", None)
        tables = self.tables(spec)
        say("RUNNING", None)
        record = self._trainer(
            spec,
            run_id=run_id,
            tables=tables,
            snapshot=self._snapshots.path(spec.code),
            artifacts=self._artifacts,
            progress=progress,
            **self._shortcut(spec, run_id, predecessor),
        )
        record = self._measured(record, predecessor)
        self._models.record_run(record, operation=operation)
        if record.status != "COMPLETE":
            say(record.status, record)
            return _outcome(record.status, spec.model, None, run_id, reason=record.reason)
        self._budgets.settle(record)
        body = self._models.register(record, policy=policy, operation=operation, predecessor=predecessor)
        say("COMPLETE", record)
        return _outcome("COMPLETE", spec.model, body["version"], run_id, artifact=body["artifact"]["digest"], metrics=dict(record.metrics))

    def tables(self, spec: TrainSpec) -> dict[str, pa.Table]:
        """The rows that a training reads, by role; those of a sharded one with the shard of each."""
        read = {
            given.role: (given.dataset, read_committed(self._datasets, given.dataset, given.version, given.row_set))
            for given in spec.inputs
            if given.role != "test"
        }
        tables = {role: table for role, (_name, table) in read.items()}
        if spec.sharding is not None:
            import pyarrow as pa

            name, table = read["train"]
            places = self._datasets.places(name, table, model=spec.model, shards=spec.sharding.shards)
            tables["train"] = table.append_column(PLACE, pa.array(places, pa.int32()))
        return tables

    def _shortcut(self, spec: TrainSpec, run_id: str, predecessor: int | None) -> dict[str, Any]:
        """What the training may take over from the version before, and where it keeps what its successor may take over."""
        before = None if predecessor is None else self._models.resolve(spec.model, predecessor)
        if spec.sharding is not None and before is not None:
            return {"before": self._models.artifact_path(before["artifact"]["digest"], must_exist=False)}
        if spec.replay is None:
            return {}
        own = {"checkpoints": self._models.checkpoints_path(run_id)}
        if before is None:
            return own
        done = record_of(before).replayed
        return own | {"before": self._models.checkpoints_path(before["run_id"]), "known": done.checkpoints if done else ()}

    def _measured(self, record: TrainRecord, predecessor: int | None) -> TrainRecord:
        """A replayed successor's record with the share that was to be expected for as many rows as differ from the version before's."""
        done, replay = record.replayed, record.spec.replay
        if done is None or replay is None or predecessor is None:
            return record
        before = spec_from_json(self._models.resolve(record.spec.model, predecessor)["spec"])
        try:
            old, new = (self._datasets.committed(_train_input(spec).row_set) for spec in (before, record.spec))
        except NotFound:
            return record  # not known: nothing is expected
        changed = len(old ^ new)
        expected = expected_replay(replay.epochs, changed, replay.checkpoints)
        return dataclasses.replace(record, replayed=dataclasses.replace(done, changed=changed, expected=expected))

    def _speaker(self, spec: TrainSpec, run_id: str, policy: str) -> Callable[[str, TrainRecord | None], None]:
        def say(event_type: str, record: TrainRecord | None) -> None:
            self._emit(
                self._event(
                    record.spec if record else spec,
                    run_id=run_id,
                    event_type=event_type,
                    at=record.ended_at if record else self._clock.now(),
                    installation=self._installation,
                    record=record,
                    policy_digest=policy,
                )
            )

        return say

    def reproduction(self, model: str, version: str) -> dict[str, Any]:
        """What another worker needs to make the version again: spec, code, inputs, and the digest to reach."""
        body = self._models.resolve(model, version)
        return {
            "model": model,
            "version": body["version"],
            "spec": body["spec"],
            "code": body["spec"]["code"],
            "inputs": body["spec"]["inputs"],
            "artifact_digest": body["artifact"]["digest"],
            "exempt": body["spec"]["privacy"] is not None,
            "places": self._places(spec_from_json(body["spec"])),
        }

    def _places(self, spec: TrainSpec) -> str | None:
        """The shard of each training row in row-id order, for whoever trains elsewhere and has no key (:func:`trainers.shards.packed`)."""
        if spec.sharding is None:
            return None
        return packed(self.tables(spec)["train"].sort_by("govern_row_id")[PLACE].to_pylist())


def _train_input(spec: TrainSpec) -> InputSpec:
    return next(given for given in spec.inputs if given.role == "train")


def _replay(model: str, config: Mapping[str, Any]) -> Replay | None:
    """How the steps are taken; refused here is what cannot be replayed."""
    if (config.get("strategy") or "full") != "replay":
        return None
    if config.get("privacy"):
        hint = "a private model is trained again as a whole: `strategy: full`"
        raise BadInput(f"model {model}: `strategy: replay` and `privacy` exclude each other; noise cannot be drawn again", hint=hint)
    given = config.get("replay")
    names = {"batch_size", "epochs", "checkpoints"}
    whole = isinstance(given, Mapping) and set(given) <= names and all(type(value) is int for value in given.values())
    if not isinstance(given, Mapping) or not whole or "batch_size" not in given or not well_formed(Replay(**given)):
        raise BadInput(
            f"model {model}: `strategy: replay` needs `replay: {{batch_size: NUMBER}}` and may have `epochs` and `checkpoints`, from 1 to "
            f"{MOST_CHECKPOINTS}",
            hint="govern doctor",
        )
    return Replay(**given)


def _outcome(status: str, model: str, version: int | None, run_id: str, **more: Any) -> dict[str, Any]:
    return {"status": status, "model": model, "version": version, "run_id": run_id, "artifact": None, "metrics": {}, "reason": None} | more
