"""Encoded columns that tell one number several times, so that an attack moves them together, as the real feature would.

A model of several constituents reads each row as each of them encodes it, side by side: the same duration in months stands there once for
each, shifted and scaled. An attacker changes the duration, never one telling of it. So the columns of a feature that are affine images of
one of them follow that one: column = factor × leader + offset.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

__all__ = ["Ties", "find_ties", "led"]

_RESIDUAL = 1e-5
"""Largest distance from the line, as a share of 1 + the column's largest value: float32 in an encoding gives some 1e-7."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ties:
    """Which columns follow which."""

    leader: NDArray[np.int64]
    """For each column the one that it follows; itself where it leads."""
    factor: NDArray[np.float32]
    offset: NDArray[np.float32]

    @property
    def leaders(self) -> NDArray[np.int64]:
        """The columns that lead, in order."""
        return np.flatnonzero(self.leader == np.arange(len(self.leader)))


def find_ties(reference: NDArray[np.float32], groups: Mapping[str, Sequence[int]]) -> Ties:
    """The ties among the columns that belong to one feature alone and take more than two values.

    Args:
        reference: encoded rows, [n, d].
        groups: raw feature → its encoded columns.
    """
    width = reference.shape[1]
    leader, factor, offset = np.arange(width), np.ones(width, np.float32), np.zeros(width, np.float32)
    owners: dict[int, int] = {}
    for columns in groups.values():
        for column in columns:
            owners[column] = owners.get(column, 0) + 1
    for columns in groups.values():
        own = [column for column in columns if owners[column] == 1 and len(np.unique(reference[:, column])) > 2]
        for first, column in ((first, column) for at, column in enumerate(own) for first in own[:at]):
            line = _line(reference[:, first].astype(np.float64), reference[:, column].astype(np.float64))
            if leader[first] == first and leader[column] == column and line is not None:
                leader[column], factor[column], offset[column] = first, *line
    return Ties(leader=leader, factor=factor, offset=offset)


def led(module: torch.nn.Module, ties: Ties) -> torch.nn.Module:
    """The module as a function of the leading columns alone; the others are computed from them."""
    import torch

    class _Led(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = module
            positions = {int(column): at for at, column in enumerate(ties.leaders)}
            self.source = torch.tensor([positions[int(one)] for one in ties.leader])
            self.factor = torch.from_numpy(ties.factor)
            self.offset = torch.from_numpy(ties.offset)

        def forward(self, z: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = self.inner(z[:, self.source] * self.factor + self.offset)
            return found

    return _Led().eval()


def _line(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float] | None:
    """(factor, offset) when y lies on a line over x."""
    centred = x - x.mean()
    factor = float((centred * (y - y.mean())).sum() / (centred * centred).sum())
    offset = float(y.mean() - factor * x.mean())
    near = np.abs(factor * x + offset - y).max() <= _RESIDUAL * (1 + np.abs(y).max())
    return (factor, offset) if near and factor else None
