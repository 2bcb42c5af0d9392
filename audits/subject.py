"""The model under audit: what an audit may ask of it, and the checked way to ask. The user's ``encode`` is never trusted blindly.

Torch is imported where it is used.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa

from lineage.errors import GovernError

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

__all__ = ["AuditError", "ModelUnderAudit", "Scores", "encode", "feature_groups", "logit_module", "scores", "truth"]


class AuditError(GovernError):
    """An audit could not be made; its finding is an ERROR with this message, never a pass."""


class ModelUnderAudit(Protocol):
    """What an audit needs of a model.

    ``module`` maps encoded rows (float32, ``[n, d]``) to logits: ``[n, k]`` in the order of ``classes``, or ``[n, 1]`` or ``[n]``
    for two classes, then the logit of ``classes[1]``. It is in eval mode.
    """

    @property
    def module(self) -> torch.nn.Module: ...
    @property
    def classes(self) -> Sequence[str | int]: ...
    @property
    def label(self) -> str: ...
    @property
    def features(self) -> Sequence[str]: ...
    @property
    def groups(self) -> Mapping[str, Sequence[int]]:
        """Raw feature → the encoded columns it makes (see :func:`feature_groups`)."""
        ...

    def encode(self, table: pa.Table) -> tuple[torch.Tensor, torch.Tensor | None]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """What a model says about a table: logits ``[n, k]`` and the index of the largest."""

    logits: NDArray[np.float64]
    predicted: NDArray[np.int64]


def encode(model: ModelUnderAudit, table: pa.Table) -> torch.Tensor:
    """The encoded rows, float32 ``[n, d]``.

    Raises:
        AuditError: another number of rows than the table has, another shape, or a value that is not finite.
    """
    import torch

    x, _ = model.encode(table)
    x = torch.as_tensor(x).detach().to(torch.float32)
    if x.ndim != 2 or x.shape[0] != table.num_rows:
        raise AuditError(f"encode gave a tensor of shape {tuple(x.shape)} for {table.num_rows} rows")
    if not bool(torch.isfinite(x).all()):
        raise AuditError("encode gave values that are not finite")
    return x


def logit_module(model: ModelUnderAudit) -> torch.nn.Module:
    """The module with one logit per class, whatever form its output has; in eval mode."""
    import torch

    class _Logits(torch.nn.Module):
        def __init__(self, inner: torch.nn.Module, classes: int) -> None:
            super().__init__()
            self.inner = inner
            self.classes = classes

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            z: torch.Tensor = self.inner(x)
            if z.ndim == 1:
                z = z.unsqueeze(1)
            if z.shape[1] == 1 and self.classes == 2:
                # sigmoid(z) = softmax([-z/2, z/2])[1]
                return torch.cat([-z / 2, z / 2], dim=1)
            if z.shape[1] != self.classes:
                raise AuditError(f"the module gives {z.shape[1]} outputs for {self.classes} classes")
            return z

    return _Logits(model.module, len(model.classes)).eval()


def scores(model: ModelUnderAudit, table: pa.Table) -> Scores:
    """What the model says about every row of ``table``.

    Raises:
        AuditError: see :func:`encode`; or a logit is not finite.
    """
    import torch

    with torch.no_grad():
        logits = logit_module(model)(encode(model, table)).double().numpy()
    bad = int((~np.isfinite(logits).all(axis=1)).sum())
    if bad:
        raise AuditError(f"the model gives outputs that are not finite for {bad} of {table.num_rows} rows")
    return Scores(logits=logits, predicted=logits.argmax(axis=1).astype(np.int64))


def class_indices(values: Sequence[Any], classes: Sequence[str | int]) -> NDArray[np.int64]:
    """Index of each value in ``classes``, by its text.

    Raises:
        AuditError: a value is no class.
    """
    index = {str(c): i for i, c in enumerate(classes)}
    found = [index.get(str(v), -1) for v in values]
    missing = sum(1 for i in found if i < 0)
    if missing:
        raise AuditError(f"{missing} of {len(found)} labels are none of the model's {len(classes)} classes")
    return np.array(found, dtype=np.int64)


def truth(model: ModelUnderAudit, table: pa.Table) -> NDArray[np.int64]:
    """The true class index of every row, read from the table itself and not from the user's ``encode``.

    Raises:
        AuditError: no row, no label column, or a label that is no class.
    """
    if table.num_rows == 0:
        raise AuditError("there are no rows to measure on")
    if model.label not in table.column_names:
        raise AuditError(f"the table has no label column {model.label!r}")
    return class_indices(table.column(model.label).to_pylist(), model.classes)


def feature_groups(model: Any, table: pa.Table) -> dict[str, tuple[int, ...]]:
    """Raw feature → the encoded columns that change when this feature alone is shuffled; measured, not declared.

    A column that no feature moves (a category that does not occur) belongs to no group. A column moved by two features belongs to both.
    ``model`` needs ``features`` and ``encode`` only.
    """
    import torch

    x, _ = model.encode(table)
    n = table.num_rows
    groups: dict[str, tuple[int, ...]] = {}
    # two fixed permutations: a value that repeats with the period of one is moved by the other
    orders = (pa.array([n - 1 - i for i in range(n)]), pa.array([(i + max(1, n // 3)) % n for i in range(n)]))
    for feature in model.features:
        moved = torch.zeros(x.shape[1], dtype=torch.bool)
        if feature in table.column_names:
            position = table.column_names.index(feature)
            for order in orders:
                other, _ = model.encode(table.set_column(position, table.schema.field(position), table.column(position).take(order)))
                moved |= (other != x).any(dim=0)
        groups[feature] = tuple(int(i) for i in torch.nonzero(moved).flatten())
    return groups


def rounded(value: float, digits: int = 6) -> float:
    """A number for a table or metric, rounded so that the last bits of a float do not enter a digest."""
    return round(value, digits) if math.isfinite(value) else value
