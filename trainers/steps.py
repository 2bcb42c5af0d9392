"""The steps of a replayed training inside its process: rows encoded step by step, the state sent off at some, put back at one.

User code gets nothing that depends on rows of later steps: not the table, not their number. Each step's rows are encoded by themselves,
so that what ``encode`` may compute over the table it is given says nothing of others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from trainers.errors import BadModule
from trainers.kept import freeze, thaw

if TYPE_CHECKING:
    import pyarrow as pa
    import torch

__all__ = ["Steps"]

Order = Callable[[int], "np.ndarray[Any, np.dtype[np.intp]]"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """What one run of a replayed training does."""

    table: pa.Table
    """In row-id order."""
    batch_size: int
    epochs: int
    order: Order
    """Epoch → places of the rows in its order (:func:`trainers.contract.batch_order`)."""
    encode: Callable[[pa.Table, Mapping[str, Any]], Any]
    """The user's; answers ``(x, y)``, checked."""
    public_state: Callable[[], Mapping[str, Any]]
    """The user's: the state from declared bounds alone."""
    save: Callable[[int, bytes], None]
    """Told (rows used before, state)."""
    save_at: frozenset[int] = frozenset()
    """Positions, in rows."""
    resumed_at: int = 0
    """The position to go on from: 0, or the end of a step of the first epoch."""
    resumed: bytes | None = None
    """The state there."""

    @property
    def per_epoch(self) -> int:
        """Steps of an epoch; the last one may be short of rows."""
        return -(-int(self.table.num_rows) // self.batch_size)

    @property
    def total(self) -> int:
        """Of the whole training."""
        return self.per_epoch * self.epochs

    @property
    def first(self) -> int:
        """The step that is the first to be done."""
        return self.resumed_at // self.batch_size

    def __call__(self, keep: Mapping[str, Any]) -> Iterator[tuple[torch.Tensor, torch.Tensor, int, int]]:
        """(x, y, epoch, step) of each step that is to be done; the state of ``keep`` is read and put back between steps."""
        if not self.table.num_rows:
            raise BadModule("there are no training rows")
        state = self.public_state()
        freeze(keep)  # what cannot be kept is refused by every run, also by one that takes no checkpoint
        if self.resumed is not None:
            thaw(self.resumed, keep)
        order, ordered = self.order(0), 0
        for step in range(self.first, self.total):
            epoch, within = divmod(step, self.per_epoch)
            position = step * self.batch_size
            if epoch == 0 and position in self.save_at:
                self.save(position, freeze(keep))
            if epoch != ordered:
                order, ordered = self.order(epoch), epoch
            rows = self.table.take(order[within * self.batch_size : (within + 1) * self.batch_size]).combine_chunks()
            x, y = self.encode(rows, state)
            if y is None or len(y) != len(x):
                raise BadModule("encode() gave no label for each of the training rows")
            yield x, y, epoch, step
