"""Constituents as one module: the mean of their probabilities, as logits. Imports torch."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from trainers.errors import BadModule

__all__ = ["Ensemble", "class_logits"]


def class_logits(logits: torch.Tensor, classes: int) -> torch.Tensor:
    """One logit per class, [n, classes], from such, or from [n] or [n, 1] of the second of two classes."""
    if logits.ndim == 1:
        logits = logits.unsqueeze(1)
    if logits.shape[1] == 1 and classes == 2:
        logits = torch.cat([torch.zeros_like(logits), logits], dim=1)
    if logits.shape[1] != classes:
        raise BadModule(f"the module gives {logits.shape[1]} outputs for {classes} classes")
    return logits


class Ensemble(torch.nn.Module):
    """The logarithm of the constituents' mean probability, [n, classes]: its softmax is that mean.

    Args:
        constituents: the modules, in order.
        widths: columns of x that each one reads, side by side in the same order; one width for all where they read the same columns.
        classes: number of classes.
    """

    def __init__(self, constituents: Sequence[torch.nn.Module], widths: Sequence[int], classes: int) -> None:
        super().__init__()
        if len(widths) not in (1, len(constituents)):
            raise ValueError("one width, or one for each constituent")
        self.constituents = torch.nn.ModuleList(constituents)
        self.widths = tuple(widths)
        self.classes = classes

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits [n, classes] in the type of x."""
        own = [x] * len(self.constituents) if len(self.widths) == 1 else torch.split(x, list(self.widths), dim=1)
        each = [class_logits(one(part), self.classes).double() for one, part in zip(self.constituents, own, strict=True)]
        mean = torch.logsumexp(torch.log_softmax(torch.stack(each), dim=2), dim=0) - math.log(len(each))
        return mean.to(x.dtype)
