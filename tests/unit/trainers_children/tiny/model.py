"""A small model for the tests of training; `params["act"]` makes it misbehave."""

from __future__ import annotations

import os
import time
from pathlib import Path

import torch
from tiny_words import KINDS

from trainers.contract import Tensors, Trained
from trainers.errors import BadFeature

SEEN = []
"""What a training leaves in its process, where the next one could find it."""


class Half(dict):
    """A dict that says other things than it writes."""

    def __getitem__(self, name):
        return super().__getitem__(name) / 2


def build(params, state):
    return torch.nn.Sequential(torch.nn.Linear(2 + len(KINDS), params["hidden"]), torch.nn.ReLU(), torch.nn.Linear(params["hidden"], 2))


def encode(table, state):
    if table.num_rows and table["kind"][0].as_py() == "crash":
        os._exit(9)
    if table.num_rows and table["kind"][0].as_py() == "hang":
        time.sleep(600)
    kinds = table["kind"].to_pylist()
    if not set(kinds) <= set(KINDS):
        raise BadFeature("feature 'kind' holds a value the model does not know", hint=f"known: {', '.join(KINDS)}")
    columns = [
        (torch.tensor(table[name].to_pylist(), dtype=torch.float32) - one["mean"]) / one["scale"] for name, one in state.items()
    ]  # in the state's own order, which is not the alphabet's
    columns += [torch.tensor([float(one == kind) for one in kinds]) for kind in KINDS]
    y = torch.tensor([int(one == "yes") for one in table["label"].to_pylist()]) if "label" in table.column_names else None
    return Tensors(torch.stack(columns, dim=1), y)


def public_state(params):
    return {name: {"mean": low, "scale": high - low} for name, (low, high) in params["bounds"].items()}


def fitted(rows):
    state = {}
    for name in ("b", "a"):
        values = torch.tensor(rows[name].to_pylist(), dtype=torch.float64)
        state[name] = {"mean": float(values.mean()), "scale": float(values.std())}
    return state


def train(run):
    act = run.params.get("act")
    rows = run.rows("train")
    if act == "raise":
        raise ValueError(f"bad row {rows['a'][0]}")
    if act == "exit":
        os._exit(7)
    if act == "leave":
        os._exit(0)
    SEEN.append(rows.num_rows)
    left = Path.home() / "left-behind"
    first = not left.exists()
    left.write_text("by an earlier run")
    if act == "hang":
        time.sleep(600)
    if act == "print":
        print("secret", rows.to_pylist())
    state = public_state(run.params) if run.privacy and act != "fit" else fitted(rows)
    tensors = encode(rows, state)
    model = build(run.params, state)
    optimizer = torch.optim.SGD(model.parameters(), lr=run.params["lr"])
    loss_of = torch.nn.CrossEntropyLoss()
    size = {"batch_size": run.params["batch_size"], "epochs": run.params["epochs"]}
    if run.privacy and act != "skip":
        for wrapped, private, batch in run.private_batches(model, optimizer, tensors, **size):
            private.zero_grad()
            loss_of(wrapped(batch.x), batch.y).backward()
            private.step()
            if act == "stop":
                break
    elif not run.privacy:
        for batch in run.batches(tensors, **size):
            optimizer.zero_grad()
            loss = loss_of(model(batch.x), batch.y)
            loss.backward()
            optimizer.step()
            run.log(loss=loss.item())
            if act == "slow":
                time.sleep(0.05)
    if act == "nan":
        model[0].weight.data[0, 0] = float("nan")
    if act == "nothing":
        return None
    if act == "unstable":
        state = {name: Half(one) for name, one in state.items()}
    accuracy = float((model(tensors.x).argmax(dim=1) == tensors.y).float().mean())
    classes = ("no", "yes")
    if act == "classes of the rows":
        classes = classes if rows["govern_row_id"][0].as_py() == 0 else ("never", "always")
    metrics = {"accuracy": accuracy}
    if act == "look around":
        metrics |= {"runs_here": len(SEEN), "alone": float(first), "columns": len(rows.column_names)}
    return Trained(model=model, state=state, classes=classes, metrics=metrics)
