"""The core of a replayed training: where checkpoints are taken, and which one a successor may go on from. Pure: no torch, no disk.

A training is a walk: the rows in the order of hash(seed, epoch, row id) (:func:`trainers.contract.batch_order`), cut into steps of equal
size. Leaving a row out shifts what comes after it and nothing that comes before. So two trainings whose first p rows are the same, in
values and ids, are the same up to the step that ends at p, bit for bit; and the first place at which they differ, which is the first use
of an erased row, decides which checkpoints still stand.

    rows without X     a b c d | e f g h | j k l m | …
    rows with X = i    a b c d | e f g h | i j k l | …       the checkpoint after eight rows stands, the one after twelve does not

Nothing is told to this code about what was erased. A checkpoint carries the digest of all that it is a function of, the first p rows
among it (:func:`prefix_digests`), and it stands when the digest of what is there *now* is the same. A row that came early, or a value
that was corrected, moves it as an erased row does.

All rows are used in the first epoch, so a checkpoint after it would outlive no erasure: none is taken there.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

from lineage.datasets import ROW_ID, row_hashes
from lineage.errors import Tampered
from trainers.model import Replay, TrainSpec
from trainers.params import canonical, params_digest

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["MOST_CHECKPOINTS", "Kept", "positions", "prefix_digests", "well_formed"]

MOST_CHECKPOINTS: Final = 1000
"""Each is as large as the model and its optimizer."""
_FORMAT: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A checkpoint as it is stored: what it is a function of, and the state."""

    inputs: str
    """One of :func:`prefix_digests`."""
    position: int
    """Rows used before it."""
    state: bytes
    """As the training's process wrote it (:mod:`trainers.kept`)."""

    def to_bytes(self) -> bytes:
        """One line of canonical JSON, then the state."""
        return canonical({"format": _FORMAT, "inputs": self.inputs, "position": self.position}) + b"\n" + self.state

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """What :meth:`to_bytes` wrote; :class:`Tampered` for other bytes.

        >>> one = Kept(inputs="sha256:00", position=64, state=b"any bytes")
        >>> Kept.from_bytes(one.to_bytes()) == one
        True
        """
        head, newline, state = data.partition(b"\n")
        try:
            said = json.loads(head)
            kept = cls(inputs=str(said["inputs"]), position=int(said["position"]), state=state)
            known = bool(newline) and said["format"] == _FORMAT
        except (ValueError, KeyError, TypeError) as error:
            raise Tampered(f"a checkpoint does not begin as one does ({type(error).__name__})") from None
        if not known:
            raise Tampered("a checkpoint is of another format than this version of Govern writes")
        return kept


def positions(rows: int, replay: Replay) -> tuple[int, ...]:
    """Where checkpoints are taken: rows used before each, ends of steps, spread evenly inside the first epoch.

    >>> positions(100, Replay(batch_size=10, checkpoints=4))
    (20, 40, 60, 80)
    >>> positions(25, Replay(batch_size=10, checkpoints=9))  # fewer steps than checkpoints
    (10, 20)
    """
    steps = math.ceil(rows / replay.batch_size)
    wanted = {part * steps // (replay.checkpoints + 1) for part in range(1, replay.checkpoints + 1)}
    return tuple(step * replay.batch_size for step in sorted(wanted) if 0 < step < steps)


def well_formed(replay: Replay) -> bool:
    """Whether steps can be taken so.

    >>> well_formed(Replay(batch_size=32)), well_formed(Replay(batch_size=0)), well_formed(Replay(batch_size=32, checkpoints=0))
    (True, False, False)
    """
    return replay.batch_size >= 1 and replay.epochs >= 1 and 1 <= replay.checkpoints <= MOST_CHECKPOINTS


def prefix_digests(spec: TrainSpec, table: pa.Table, at: Iterable[int]) -> dict[int, str]:
    """Position → ``sha256:<hex>`` over all that determines the training's state there; a position beyond the rows has none.

    Rows before it by values and ids, in the order of the first epoch; code, parameters, seed, threads, environment, size of a step. The
    number of epochs and of rows is not among it: up to there they change nothing.
    """
    import numpy as np

    from trainers.contract import batch_order

    assert spec.replay is not None
    body: dict[str, Any] = {
        "format": _FORMAT,
        "strategy": spec.strategy,
        "batch_size": spec.replay.batch_size,
        "code": spec.code,
        "entrypoint": spec.entrypoint,
        "params": params_digest(spec.params),
        "seed": str(spec.seed),
        "threads": spec.threads,
        "environment": spec.environment,
        "label": spec.label,
        "features": list(spec.features),
        "columns": {field.name: str(field.type) for field in table.schema},
    }
    asked = sorted({one for one in at if 0 <= one <= table.num_rows})
    if not asked:
        return {}
    ids = np.asarray(table[ROW_ID].to_numpy(), dtype=np.int64)
    order = batch_order(spec.seed, 0, ids)[: asked[-1]]
    used = table.take(order)
    hashes = np.frombuffer(b"".join(row_hashes(used)), dtype=np.uint8).reshape(len(order), -1)
    rows = np.concatenate([ids[order].astype(">i8").view(np.uint8).reshape(len(order), 8), hashes], axis=1)
    running, done, found = hashlib.sha256(canonical(body)), 0, {}
    for position in asked:
        running.update(rows[done:position].tobytes())
        done = position
        found[position] = "sha256:" + running.hexdigest()
    return found
