"""The parent of a training: rows, code, parameters, seed and environment in; a record and an artifact out."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from lineage.errors import BadInput, GovernError, NotFound, Tampered
from trainers.artifact import write_artifact
from trainers.child import Child
from trainers.contract import ROW_ID
from trainers.environment import environment
from trainers.errors import ChildFailed, ChildTimeout
from trainers.frames import to_ipc
from trainers.model import ArtifactInfo, PrivacySpend, TrainRecord, TrainSpec
from trainers.params import canonical, params_digest
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
            outcome = _converse(process, spec, ordered, progress, cancelled)
    except GovernError as error:
        return record("FAIL", error.message)
    if outcome is None:
        return record("ABORT", "cancelled")
    parts, header = outcome
    artifact = _store(artifacts, spec, parts)
    spend = PrivacySpend(**header["spend"]) if header["spend"] else None
    return record("COMPLETE", artifact=artifact, metrics=header["metrics"], spend=spend)


def _converse(
    child: Child,
    spec: TrainSpec,
    tables: Mapping[str, pa.Table],
    progress: Progress | None,
    cancelled: Callable[[], bool] | None,
) -> tuple[dict[str, bytes], dict[str, Any]] | None:
    """The parts and the closing header; ``None`` when it was cancelled."""
    deadline = time.monotonic() + spec.timeout_s
    stop_at = float("inf")
    for role, table in tables.items():
        child.send("table", {"role": role}, to_ipc(table), timeout=spec.timeout_s)
    child.send("train", _job(spec, child.scratch / "code"))
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
    return {role: table.sort_by(ROW_ID).combine_chunks() for role, table in sorted(tables.items())}


def _store(artifacts: Path, spec: TrainSpec, parts: Mapping[str, bytes]) -> ArtifactInfo:
    manifest = {
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
