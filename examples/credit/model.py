"""The credit model: a small network over standardised numbers and one-hot categories.

Sex and age are features here because the bank's form holds them, so that the audits have something to measure.
In many countries the law forbids it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attributes
import pyarrow as pa
import torch

from trainers.contract import Tensors, Trained, TrainingRun
from trainers.errors import BadFeature

LABEL = "credit"
CLASSES = ("bad", "good")
NUMERIC = tuple(attributes.NUMBERS)
CATEGORICAL = {**{name: tuple(codes.values()) for name, codes in attributes.CODES.items()}, "sex": attributes.SEXES}
"""Feature → its values: public, from german.names, not from the rows."""


def build(params: Mapping[str, Any], state: Mapping[str, Any]) -> torch.nn.Module:
    """The empty network: one hidden layer, one logit per class."""
    width = len(NUMERIC) + sum(len(values) for values in state["categories"].values())
    return torch.nn.Sequential(torch.nn.Linear(width, params["hidden"]), torch.nn.ReLU(), torch.nn.Linear(params["hidden"], len(CLASSES)))


def encode(table: pa.Table, state: Mapping[str, Any]) -> Tensors:
    """Numbers as (value - mean) / scale, categories as one-hot.

    Raises:
        BadFeature: a feature is missing, empty, not a number, or a category that the training did not know.
    """
    columns = []
    for name in NUMERIC:
        values = column(table, name)
        if not all(isinstance(value, int | float) for value in values):
            raise BadFeature(f"feature {name!r} is not a number in every row")
        scale = state["numbers"][name]
        columns.append((torch.tensor(values, dtype=torch.float64) - scale["mean"]) / scale["scale"])
    for name, known in state["categories"].items():
        values = column(table, name)
        if not set(values) <= set(known):
            raise BadFeature(f"feature {name!r} holds a category that the model does not know", hint=f"known: {', '.join(known)}")
        columns += [torch.tensor([float(value == one) for value in values], dtype=torch.float64) for one in known]
    x = torch.stack(columns, dim=1).to(torch.float32)
    if LABEL not in table.column_names:
        return Tensors(x)
    return Tensors(x, torch.tensor([CLASSES.index(value) for value in table[LABEL].to_pylist()]))


def column(table: pa.Table, name: str) -> list[Any]:
    """The values of one raw feature."""
    if name not in table.column_names:
        raise BadFeature(f"no feature {name!r}")
    values = table[name].to_pylist()
    if any(value is None for value in values):
        raise BadFeature(f"feature {name!r} is empty in some row")
    return values


def fit(rows: pa.Table, *, listed: bool = False) -> dict[str, Any]:
    """Means, scales and categories as the training rows have them: derived from persons, made anew at each retrain.

    With ``listed`` the categories are those of the form: a shard of the rows lacks some, and a model trained on it would refuse them.
    """
    numbers = {}
    for name in NUMERIC:
        values = torch.tensor(column(rows, name), dtype=torch.float64)
        numbers[name] = {"mean": float(values.mean()), "scale": float(values.std(correction=0)) or 1.0}
    known = CATEGORICAL if listed else {name: set(column(rows, name)) for name in CATEGORICAL}
    return {"numbers": numbers, "categories": {name: sorted(values) for name, values in known.items()}}


def public_state(_params: Mapping[str, Any]) -> dict[str, Any]:
    """The state of a private model: the form's own bounds and lists, nothing that was fitted on applicants."""
    numbers = {name: {"mean": (low + high) / 2, "scale": (high - low) / 4} for name, (low, high) in attributes.NUMBERS.items()}
    return {"numbers": numbers, "categories": {name: sorted(values) for name, values in CATEGORICAL.items()}}


def train(run: TrainingRun) -> Trained:
    """Cross-entropy by Adam; with ``privacy``, DP-SGD."""
    rows = run.rows("train")
    state = public_state(run.params) if run.privacy else fit(rows, listed=run.params.get("categories") == "listed")
    tensors = encode(rows, state)
    model = build(run.params, state)
    loss_of = torch.nn.CrossEntropyLoss()
    size = {"batch_size": run.params["batch_size"], "epochs": run.params["epochs"]}
    if run.privacy:
        plain = torch.optim.SGD(model.parameters(), lr=run.params["learning_rate"])
        for private_model, private, batch in run.private_batches(model, plain, tensors, **size):
            private.zero_grad()
            loss_of(private_model(batch.x), batch.y).backward()
            private.step()
        return Trained(model=model, state=state, classes=CLASSES)
    optimizer = torch.optim.Adam(model.parameters(), lr=run.params["learning_rate"], weight_decay=run.params["weight_decay"])
    for batch in run.batches(tensors, **size):
        optimizer.zero_grad()
        loss = loss_of(model(batch.x), batch.y)
        loss.backward()
        optimizer.step()
        run.log(loss=loss.item())
    with torch.no_grad():
        logits = model(tensors.x)
    accuracy = float((logits.argmax(dim=1) == tensors.y).double().mean())
    return Trained(
        model=model, state=state, classes=CLASSES, metrics={"train_accuracy": accuracy, "train_loss": float(loss_of(logits, tensors.y))}
    )
