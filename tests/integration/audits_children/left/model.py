"""A linear model over two numbers and a category; `state["act"]` makes its encode misbehave on the test rows."""

from __future__ import annotations

import ctypes
import os
import time

import torch
from flavour import FLIP

from trainers.contract import Tensors

KINDS = ("x", "y")


def build(params, state):
    return torch.nn.Linear(4, 2)


def encode(table, state):
    act = state.get("act") if table.num_rows > 120 else None
    if act == "exit":
        os._exit(9)
    if act == "segfault":
        ctypes.string_at(0)
    if act == "hang":
        time.sleep(600)
    if act == "raise":
        raise ValueError(f"secret {table['a'][0]}")
    a = torch.tensor(table["a"].to_pylist(), dtype=torch.float32)
    b = torch.tensor(table["b"].to_pylist(), dtype=torch.float32)
    kinds = table["kind"].to_pylist()
    if state["flip"] != FLIP:
        raise RuntimeError("another snapshot's flavour")
    columns = [a, b, *(torch.tensor([float(k == one) for k in kinds]) for one in KINDS)]
    y = torch.tensor([int(v == "yes") for v in table["label"].to_pylist()]) if "label" in table.column_names else None
    return Tensors(torch.stack(columns, dim=1), y)


def train(run):
    raise NotImplementedError("the test writes the weights itself")
