"""The parent of a training: rows, code, parameters, seed and environment in; a record and an artifact out.

With the strategy ``full`` one run of the user's ``train`` makes the model; with ``sisa`` one run per shard (:mod:`trainers.constituents`);
with ``replay`` one run, which may go on from a checkpoint (:mod:`trainers.replaying`).
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from lineage.errors import BadInput, GovernError, NotFound, Tampered
from trainers.artifact import write_artifact
from trainers.checkpoints import CheckpointFolder
from trainers.child import Child
from trainers.constituents import Parts, Sharded, train_sharded
from trainers.contract import ROW_ID
from trainers.environment import environment
from trainers.errors import ChildFailed, ChildTimeout
from trainers.frames import to_ipc
from trainers.model import STRATEGIES, ArtifactInfo, Checkpoint, PrivacySpend, TrainRecord, TrainSpec
from trainers.params import canonical, params_digest
from trainers.replay import well_formed
from trainers.replaying import Ran, train_replayed
from trainers.shards import PLACE
from trainers.snapshot import unpack

if TYPE_CHECKING:
    import pyarrow as pa

    from lineage.ports import Clock, Progress

__all__ = ["train"]

_POLL_S: Final = 0.2
_CANCEL_GRACE_S: Final = 5.0


def train(
    spec: TrainSpec,
    *,
    run_id: str,
    tables: Mapping[str, pa.Table],
    snapshot: Path,
    artifacts: Path,
    clock: Clock,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
    scratch: Path | None = None,
    child: Callable[[int], Child] | None = None,
    before: Path | None = None,
    checkpoints: Path | None = None,
    known: Sequence[Checkpoint] = (),
) -> TrainRecord:
    """Train in a subprocess and store the artifact; how it ended is in the record (COMPLETE, FAIL with a reason, ABORT when cancelled).

    The record's spec names the environment that really was; it differs from the one asked for when packages or machine differ.

    Args:
        spec: what determines the weights.
        run_id: id of the OpenLineage run.
        tables: role → rows with ``govern_row_id``, in any order; trained in row-id order. Roles that train nothing may be left out.
        snapshot: the code's tar.
        artifacts: folder of content-addressed artifacts.
        clock: for the record's times.
        progress: told (done steps, all steps, figures).
        cancelled: asked a few times per second.
        scratch: where the child's private folder is made.
        child: gives the training's process for a number of threads (:class:`trainers.spare.Spare`); a new one without it.
        before: what a successor may take over from the version before: of a sharded training its artifact, of a replayed one its folder of
            checkpoints. From scratch without it.
        checkpoints: folder for those of this run, of a replayed training; none are taken without it.
        known: those that the version before recorded; only these are taken from ``before``.

    Raises:
        Tampered: the snapshot is not the one the spec names.
        BadInput: the tables are not what the spec's inputs say.
        NotFound: no such snapshot.
        StoreUnavailable: the artifact could not be written.
    """
    code = _code(spec, snapshot)
    ordered = _ordered(spec, tables)
    spec = dataclasses.replace(spec, environment=environment(spec.threads).digest)
    started = clock.now()

    def record(status: str, reason: str | None = None, **more: Any) -> TrainRecord:
        return TrainRecord(run_id=run_id, spec=spec, status=status, started_at=started, ended_at=clock.now(), reason=reason, **more)

    try:
        with child(spec.threads) if child else Child("trainers.main", threads=spec.threads, scratch=scratch) as process:
            unpack(code, process.scratch / "code")
            talk = _Talk(process, spec, progress, cancelled)
            if spec.sharding is not None:
                made: Any = train_sharded(spec, ordered, run=talk.constituent, before=before)
            elif spec.replay is not None:
                made = train_replayed(
                    spec,
                    ordered,
                    run=talk.replayed,
                    checkpoints=CheckpointFolder(checkpoints) if checkpoints else None,
                    before=CheckpointFolder(before) if before else None,
                    known=known,
                )
            else:
                made = talk.whole(ordered)
    except GovernError as error:
        return record("FAIL", error.message)
    if made is None:
        return record("ABORT", "cancelled")
    if isinstance(made, Sharded):
        artifact = _store(artifacts, spec, made.parts, sharding=dict(made.manifest))
        return record("COMPLETE", artifact=artifact, metrics=made.metrics, retrained=made.retrained)
    if isinstance(made, Ran):
        artifact = _store(artifacts, spec, made.parts)
        return record("COMPLETE", artifact=artifact, metrics=made.metrics, replayed=made.replayed)
    parts, header = made
    artifact = _store(artifacts, spec, parts)
    spend = PrivacySpend(**header["spend"]) if header["spend"] else None
    return record("COMPLETE", artifact=artifact, metrics=header["metrics"], spend=spend)


class _Talk:
    """The conversations with one training process; the spec's time is for all of them together."""

    def __init__(self, child: Child, spec: TrainSpec, progress: Progress | None, cancelled: Callable[[], bool] | None) -> None:
        self._child = child
        self._spec = spec
        self._progress = progress
        self._cancelled = cancelled
        self._deadline = time.monotonic() + spec.timeout_s

    def whole(self, tables: Mapping[str, pa.Table]) -> Parts | None:
        """One run over all rows."""
        return self._converse(_job(self._spec, self._child.scratch / "code"), tables, self._progress)

    def constituent(self, more: Mapping[str, Any], tables: Mapping[str, pa.Table], position: int, count: int) -> Parts | None:
        """One run over a shard's rows, told as a part of the whole."""

        def told(done: int, total: int | None, what: str) -> None:
            if self._progress is not None:
                all_steps = None if total is None else total * count
                done_steps = done if total is None else total * position + done
                self._progress(done_steps, all_steps, f"constituent {position + 1} of {count} {what}".rstrip())

        return self._converse(_job(self._spec, self._child.scratch / "code") | dict(more), tables, told)

    def replayed(
        self, steps: Mapping[str, Any], tables: Mapping[str, pa.Table], state: bytes | None, save: Callable[[int, bytes], None]
    ) -> Parts | None:
        """One run over the rows' steps, from a checkpoint's ``state`` on where there is one; ``save`` is told each state to be kept."""
        if state is not None:
            self._child.send("resume", {"position": steps["resume_at"]}, state, timeout=self._spec.timeout_s)
        job = _job(self._spec, self._child.scratch / "code") | {"apart": True, "replay": dict(steps)}
        return self._converse(job, tables, self._progress, save)

    def _converse(
        self,
        job: Mapping[str, Any],
        tables: Mapping[str, pa.Table],
        progress: Progress | None,
        save: Callable[[int, bytes], None] | None = None,
    ) -> Parts | None:
        """The parts and the closing header; ``None`` when it was cancelled."""
        child, spec, deadline, cancelled = self._child, self._spec, self._deadline, self._cancelled
        stop_at = float("inf")
        for role, table in tables.items():
            child.send("table", {"role": role}, to_ipc(table), timeout=spec.timeout_s)
        child.send("train", job)
        parts: dict[str, bytes] = {}
        while True:
            now = time.monotonic()
            if now >= stop_at:
                return None
            if now >= deadline:
                raise ChildTimeout(f"the training did not end within {spec.timeout_s:g} s")
            if stop_at == float("inf") and cancelled is not None and cancelled():
                child.send("cancel")
                stop_at = now + _CANCEL_GRACE_S
            try:
                kind, header, body = child.receive(min(_POLL_S, deadline - now))
            except ChildTimeout:
                continue
            if kind == "progress" and progress is not None:
                progress(header["done"], header["total"], header["what"])
            elif kind == "checkpoint" and save is not None:
                save(header["position"], body)
            elif kind == "part":
                parts[header["name"]] = body
            elif kind == "cancelled":
                return None
            elif kind == "trained":
                return parts, header
            elif kind != "progress":
                raise ChildFailed(f"the training sent an unknown message {kind!r}")


def _job(spec: TrainSpec, code: Path) -> dict[str, Any]:
    return {
        "code": str(code),
        "entrypoint": spec.entrypoint,
        "params": json.loads(canonical(dict(spec.params))),  # as the artifact will hold them
        "seed": spec.seed,
        "threads": spec.threads,
        "label": spec.label,
        "features": list(spec.features),
        "privacy": dataclasses.asdict(spec.privacy) if spec.privacy else None,
        "apart": False,
        "replay": None,
    }


def _code(spec: TrainSpec, snapshot: Path) -> bytes:
    """The snapshot's bytes, if they are what the spec names."""
    try:
        data = snapshot.read_bytes()
    except FileNotFoundError:
        raise NotFound(f"no code snapshot {snapshot.name} in the store", hint="`govern train` uploads it with the project") from None
    digest = hashlib.sha256(data).hexdigest()
    if spec.code.startswith("snapshot:") and spec.code != f"snapshot:{digest}":
        raise Tampered(f"code snapshot {snapshot.name} holds other bytes than {spec.code[:25]}… says")
    return data


def _ordered(spec: TrainSpec, tables: Mapping[str, pa.Table]) -> dict[str, pa.Table]:
    """The tables in row-id order, if they are what the spec's inputs say."""
    stated = {one.role: one for one in spec.inputs}
    if not set(tables) <= set(stated) or "train" not in tables:  # the test rows may stay away: they train nothing
        raise BadInput(f"the training of {spec.model} got the roles {sorted(tables)}, its spec says {sorted(stated)}")
    for role, table in tables.items():
        if ROW_ID not in table.column_names:
            raise BadInput(f"the rows of {stated[role].dataset} ({role}) have no column {ROW_ID}")
        if table.num_rows != stated[role].rows:
            raise BadInput(f"{table.num_rows} rows of {stated[role].dataset} ({role}), its spec says {stated[role].rows}")
    if spec.sharding is None:
        tables = {role: table.drop_columns([PLACE]) if PLACE in table.column_names else table for role, table in tables.items()}
    elif PLACE not in tables["train"].column_names:
        raise BadInput(f"the rows of {stated['train'].dataset} have no column {PLACE}: which shard each row belongs to")
    if (spec.strategy == "sisa") != (spec.sharding is not None) or spec.strategy not in STRATEGIES:
        raise BadInput(
            f"the training of {spec.model} has the strategy {spec.strategy!r} and {'no' if spec.sharding is None else 'a'} sharding"
        )
    if (spec.strategy == "replay") != (spec.replay is not None):
        raise BadInput(f"the training of {spec.model} has the strategy {spec.strategy!r} and {'no' if spec.replay is None else 'a'} replay")
    if spec.replay is not None and not (well_formed(spec.replay) and spec.privacy is None):
        raise BadInput(f"the training of {spec.model}: replay needs sizes of 1 or more, and no privacy", hint="govern doctor govern.yaml")
    if spec.sharding is not None and (spec.sharding.shards < 2 or spec.privacy is not None):
        raise BadInput(f"the training of {spec.model}: sisa needs two or more shards, and no privacy", hint="govern doctor govern.yaml")
    return {role: table.sort_by(ROW_ID).combine_chunks() for role, table in sorted(tables.items())}


def _store(artifacts: Path, spec: TrainSpec, parts: Mapping[str, bytes], **more: Any) -> ArtifactInfo:
    manifest = more | {
        "format": 1,
        "code": spec.code,
        "entrypoint": spec.entrypoint,
        "params": dict(spec.params),
        "params_digest": params_digest(spec.params),
        "seed": None if spec.privacy else spec.seed,
        "threads": spec.threads,
        "environment": spec.environment,
        "privacy": dataclasses.asdict(spec.privacy) if spec.privacy else None,
    }
    return write_artifact(artifacts, {**parts, "manifest.json": canonical(manifest)})
