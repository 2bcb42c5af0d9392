"""A small model that learns from a stream and can be replayed; `params["act"]` makes it misbehave."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import numpy as np
import torch

from trainers.contract import Tensors, Trained


class Meter(torch.nn.Module):
    """A figure that is kept with the state."""

    def __init__(self):
        super().__init__()
        self.register_buffer("right", torch.zeros((), dtype=torch.float64))
        self.register_buffer("seen", torch.zeros((), dtype=torch.float64))


def public_state(params):
    return {"a": {"mean": 5.0, "scale": 2.0}, "b": {"mean": 0.0, "scale": 1.0}}


def build(params, state):
    return torch.nn.Sequential(
        torch.nn.Linear(2, params["hidden"]), torch.nn.ReLU(), torch.nn.Dropout(0.2), torch.nn.Linear(params["hidden"], 2)
    )


def encode(table, state):
    columns = [(torch.tensor(table[name].to_pylist(), dtype=torch.float32) - one["mean"]) / one["scale"] for name, one in state.items()]
    y = torch.tensor([int(one == "yes") for one in table["label"].to_pylist()]) if "label" in table.column_names else None
    return Tensors(torch.stack(columns, dim=1), y)


def train(run):
    act = run.params.get("act")
    state = public_state(run.params)
    if act == "rows":
        run.rows("train")
    if act == "batches":
        next(run.batches(Tensors(torch.zeros(1, 2), torch.zeros(1, dtype=torch.int64)), batch_size=1, epochs=1))
    model = build(run.params, state)
    optimizer = torch.optim.Adam(model.parameters(), lr=run.params["lr"])
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.99)
    meter, loss_of, beside = Meter(), torch.nn.CrossEntropyLoss(), 0.0
    keep = {"model": model, "optimizer": optimizer, "schedule": schedule, "meter": meter}
    if act == "unkeepable":
        keep["list"] = []
    if act == "forget":
        del keep["optimizer"]
    log = Path(run.params["log"]) if "log" in run.params else None
    model.train()
    for batch in () if act == "no batches" else run.replay(**keep):
        if log is not None:
            with log.open("a") as file:
                file.write(f"{batch.step} {len(batch.x)}\n")
        noise = random.random() * 0.01 + np.random.rand() * 0.01  # noqa: NPY002 - the global generators must go on where they stopped
        optimizer.zero_grad()
        logits = model(batch.x + noise)
        loss_of(logits, batch.y).backward()
        optimizer.step()
        schedule.step()
        beside += float(logits.detach().sum())
        meter.right += (logits.argmax(dim=1) == batch.y).sum()
        meter.seen += len(batch.y)
        run.log(loss=0.0)
        if act == "slow":
            time.sleep(0.05)
        if act == "die" and batch.step == 4:
            os.kill(os.getpid(), signal.SIGKILL)
    if act == "twice":
        next(run.replay(**keep))
    if act == "state":
        state = {**state, "a": {"mean": beside, "scale": 1.0}}
    metrics = {"accuracy": float(meter.right / meter.seen)} if act != "no batches" else {}
    if act == "beside":
        metrics["beside"] = beside
    return Trained(model=model, state=state, classes=("no", "yes"), metrics=metrics)
