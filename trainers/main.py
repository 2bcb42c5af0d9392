"""The child of a training: receives rows over its pipe, runs the user's ``train``, sends back the parts of the artifact.

Messages in: ``warm`` (imports only), ``table`` {role} × n, ``resume`` {position} for a replay, then ``train`` {…}.
Out: ``progress`` × n, ``checkpoint`` {position} × n, ``part`` {name} × 3, then ``trained`` {metrics, spend, columns}.

A ``train`` with ``apart`` is run in a fork of this process, with a folder of its own: the constituents of a sharded training follow each
other, so do a replayed training and its trial, and what user code does to its process must end with each. The fork is cheap, for this
process imports and computes nothing more.
"""

from __future__ import annotations

import dataclasses
import json
import math
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from trainers.child import Channel, in_fork, serve_child
from trainers.contract import ROW_ID, Cancelled, Trained, TrainingRun, batch_order
from trainers.errors import BadModule
from trainers.frames import Message, from_ipc
from trainers.model import PrivacySpec
from trainers.params import canonical

__all__ = ["main", "warm"]

_REPORT_EVERY_S = 0.1


def main() -> None:
    """Serve one training."""
    bodies: dict[str, bytes] = {}
    resumed: dict[int, bytes] = {}

    def handle(kind: str, header: dict[str, Any], body: bytes, channel: Channel) -> Message | None:
        if kind == "warm":
            warm()
            return None
        if kind == "table":
            bodies[header["role"]] = body
            return None
        if kind == "resume":
            resumed.clear()
            resumed[header["position"]] = body
            return None
        if kind != "train":
            raise BadModule(f"a training child knows no message {kind!r}")

        def work() -> Message:
            tables = {role: from_ipc(data) for role, data in bodies.items()}
            try:
                return _train(header, tables, channel, resumed)
            except Cancelled:
                return "cancelled", {}, b""

        if not header["apart"]:
            return work()
        warm()
        in_fork(work, channel)
        return None

    serve_child(handle)


def warm() -> None:
    """Import what a training imports, and compute nothing."""
    import numpy as np
    import torch
    import torch._dynamo  # the first optimizer imports it, for seconds

    import trainers.determinism
    import trainers.loading

    assert all((np, torch, trainers.determinism, trainers.loading))


def _train(job: Mapping[str, Any], tables: Mapping[str, pa.Table], channel: Channel, resumed: Mapping[int, bytes]) -> Message:
    from trainers.determinism import pin
    from trainers.loading import UserCode

    privacy = PrivacySpec(**job["privacy"]) if job["privacy"] else None
    seed = job["seed"] if privacy is None else secrets.randbits(63)  # a private run keeps no seed: knowing it would undo the noise
    pin(job["threads"], seed)
    user = UserCode(Path(job["code"]), job["entrypoint"])
    run = TrainingRun(
        tables=tables,
        params=job["params"],
        seed=seed,
        label=job["label"],
        features=job["features"],
        privacy=privacy,
        steps=_steps(user, job, tables["train"], channel, resumed) if job["replay"] else None,
        report=_reporter(channel),
    )
    trained = user.call("train", run)
    if not isinstance(trained, Trained):
        raise BadModule(f"train() returned {type(trained).__name__} instead of Trained")
    parts, columns = _parts(user, job, tables, trained)
    if privacy is not None:
        _check_private(user, job, run, parts["state.json"])
    if job["replay"]:
        _check_replayed(user, job, run, parts["state.json"])
    for name, data in parts.items():
        channel.send("part", {"name": name}, data)
    spend = dataclasses.asdict(run.spend) if run.spend is not None else None
    return "trained", {"metrics": {} if privacy else _metrics(trained), "spend": spend, "columns": columns}, b""


def _steps(user: Any, job: Mapping[str, Any], table: pa.Table, channel: Channel, resumed: Mapping[int, bytes]) -> Any:
    """What ``run.replay`` gives: encoded by the user's code, sent to the parent where a checkpoint is taken."""
    import numpy as np

    from trainers.loading import checked
    from trainers.shards import without_traces
    from trainers.steps import Steps

    if not user.has("public_state"):
        raise BadModule("a model with `strategy: replay` needs public_state(params): a state fitted on rows would change with each erasure")
    table = without_traces(table)
    ids = np.asarray(table[ROW_ID].to_numpy(), dtype=np.int64)
    given = job["replay"]
    return Steps(
        table=table,
        batch_size=given["batch_size"],
        epochs=given["epochs"],
        order=lambda epoch: batch_order(job["seed"], epoch, ids),
        encode=lambda rows, state: checked(user.call("encode", rows, state), rows.num_rows),
        public_state=lambda: user.call("public_state", job["params"]),
        save=lambda position, state: channel.send("checkpoint", {"position": position}, state),
        save_at=frozenset(given["save_at"]),
        resumed_at=given["resume_at"],
        resumed=resumed[given["resume_at"]] if given["resume_at"] else None,
    )


def _reporter(channel: Channel) -> Any:
    last = 0.0

    def report(done: int, total: int | None, what: str) -> None:
        nonlocal last
        message = channel.receive(0)
        if message is not None and message[0] == "cancel":
            raise Cancelled
        if what or time.monotonic() - last >= _REPORT_EVERY_S:
            last = time.monotonic()
            channel.send("progress", {"done": done, "total": total, "what": what})

    return report


def _parts(user: Any, job: Mapping[str, Any], tables: Mapping[str, pa.Table], trained: Trained) -> tuple[dict[str, bytes], int]:
    """Weights, state and signature as bytes, after the model was restored from them and answered for some rows; and the width of x."""
    import safetensors.torch
    import torch

    from trainers.loading import checked, probabilities, restore

    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in trained.model.state_dict().items()}
    bad = sorted(name for name, value in tensors.items() if value.is_floating_point() and not bool(torch.isfinite(value).all()))
    if bad:
        raise BadModule(
            f"the trained weights are not finite (NaN or infinity in {', '.join(bad[:3])})",
            hint="lower the learning rate, or check the data",
        )
    classes = [_plain(one) for one in trained.classes]
    if len(set(classes)) < 2 or len(set(classes)) != len(classes):
        raise BadModule("train() must name two or more different classes")
    weights = safetensors.torch.save(tensors)
    state = _state(trained.state)
    features = list(job["features"])
    table = tables["train"]
    signature = canonical(
        {
            "classes": classes,
            "inputs": [{"name": name, "type": _type(table, name)} for name in features],
            "label": job["label"],
        }
    )
    module = restore(user, job["params"], json.loads(state), weights)
    some = table.select(features).slice(0, 64)
    before = checked(user.call("encode", some, trained.state), some.num_rows).x
    after = checked(user.call("encode", some, json.loads(state)), some.num_rows).x
    if not torch.equal(before, after):
        raise BadModule(
            "encode() gives other values once the state was written to JSON and read back", hint="keep to lists, texts, numbers"
        )
    with torch.no_grad():
        scores = probabilities(module(after), len(classes))
    if not bool(torch.isfinite(scores).all()):
        raise BadModule("the trained model gives scores that are not finite")
    return {"weights.safetensors": weights, "state.json": state, "signature.json": signature}, after.shape[1]


def _state(state: Mapping[str, Any]) -> bytes:
    """The state as JSON. Its keys keep their order: ``encode`` may go through them, and a sorted file would swap columns."""
    try:
        return json.dumps(dict(state), ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError) as error:
        raise BadModule(f"the state is not a JSON value ({type(error).__name__})") from None


def _check_private(user: Any, job: Mapping[str, Any], run: TrainingRun, state: bytes) -> None:
    """A private run spent its budget through us, and its state holds nothing that was fitted on rows."""
    if run.spend is None:
        raise BadModule("the model declares `privacy`, but train() did not take all its batches from run.private_batches(…)")
    if not user.has("public_state"):
        raise BadModule("a model with `privacy` needs public_state(params): its state from declared public bounds alone")
    if _state(user.call("public_state", job["params"])) != state:
        raise BadModule(
            "train() returned another state than public_state(params); a private model's state comes from declared bounds alone"
        )


def _check_replayed(user: Any, job: Mapping[str, Any], run: TrainingRun, state: bytes) -> None:
    """A replayed run took its batches from us, and its state holds nothing that was fitted on rows."""
    if not run.replayed:
        raise BadModule("the model has `strategy: replay`, but train() did not take its batches from run.replay(…)")
    if _state(user.call("public_state", job["params"])) != state:
        raise BadModule("train() returned another state than public_state(params), which its batches were encoded with")


def _metrics(trained: Trained) -> dict[str, float]:
    metrics = {name: float(value) for name, value in trained.metrics.items()}
    bad = sorted(name for name, value in metrics.items() if not math.isfinite(value))
    if bad:
        raise BadModule(f"train() gave metrics that are not finite: {', '.join(bad)}")
    return metrics


def _plain(value: Any) -> str | int:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise BadModule(f"a class is a string or an integer, not {type(value).__name__}")
    return value


def _type(table: pa.Table, name: str) -> str:
    """The Open Inference Protocol's datatype of a raw feature."""
    if name not in table.column_names:
        raise BadModule(f"the training rows have no feature {name!r}", hint="`features:` in govern.yaml names columns of the dataset")
    kind = table.schema.field(name).type
    if pa.types.is_boolean(kind):
        return "BOOL"
    if pa.types.is_integer(kind):
        return "INT64"
    if pa.types.is_floating(kind):
        return "FP64"
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_dictionary(kind):
        return "BYTES"
    raise BadModule(f"feature {name!r} has the type {kind}; a feature is text, a number or a truth value")
