"""A replayed training: from the last checkpoint that still stands, or from scratch; its own checkpoints; a trial that they can be used.

1. The digest of what comes before each checkpoint of the version before is made anew from the rows that are there now
   (:func:`trainers.replay.prefix_digests`). The last one whose digest is the same stands, and so do all before it. One that is missing or
   altered is passed over and named; without any the training begins at its beginning.
2. Those that stand become files of this run too. The others are the version before's alone and are destroyed with it: each of them has
   used an erased row, and what descends from one has as well.
3. The user's ``train`` runs in a process of its own from there, and sends its state at the places of :func:`trainers.replay.positions`.
4. The trial: once more from the last checkpoint. Other weights or figures mean that ``train`` keeps something beside what it gives to
   ``run.replay``. That fails the training today, and not the first erasure.

The artifact says nothing of checkpoints: one made by the shortcut and one made from scratch are the same bytes, or something is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lineage.errors import Gone, Tampered
from trainers.checkpoints import CheckpointFolder
from trainers.errors import BadModule
from trainers.model import Checkpoint, Replayed, TrainSpec
from trainers.replay import Kept, positions, prefix_digests
from trainers.shards import without_traces

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Ran", "train_replayed"]

Save = Callable[[int, bytes], None]
Outcome = tuple[dict[str, bytes], dict[str, Any]]
Run = Callable[[Mapping[str, Any], Mapping[str, "pa.Table"], bytes | None, Save], Outcome | None]
"""Trains in a process apart: (steps, tables, state to go on from, told each state to be kept)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What a replayed training left."""

    parts: Mapping[str, bytes]
    """weights.safetensors, state.json, signature.json."""
    metrics: Mapping[str, float]
    replayed: Replayed


def train_replayed(
    spec: TrainSpec,
    tables: Mapping[str, pa.Table],
    *,
    run: Run,
    checkpoints: CheckpointFolder | None = None,
    before: CheckpointFolder | None = None,
    known: Sequence[Checkpoint] = (),
) -> Ran | None:
    """Train from the last checkpoint that stands; ``None`` when it was cancelled.

    Args:
        spec: with ``replay``.
        tables: role → rows in row-id order; only those of role train are used.
        run: trains in a process of its own.
        checkpoints: where this run's are kept; without it none are taken. It is empty again unless the training completes.
        before: those of the version before.
        known: what the version before recorded of them.

    Raises:
        BadModule: there are no rows, or the code comes to something else when it goes on from a checkpoint.
        ChildFailed: the user's code failed.
        StoreUnavailable: a checkpoint could not be written.
    """
    assert spec.replay is not None
    table = without_traces(tables["train"])
    if not table.num_rows:
        raise BadModule("there are no training rows")
    planned = positions(table.num_rows, spec.replay) if checkpoints is not None else ()
    digests = prefix_digests(spec, table, [*planned, *(one.position for one in known)])
    standing, state, reason = _standing(before, known, digests)
    from_position = standing[-1].position if standing else 0
    kept: list[Checkpoint] = list(standing)

    def save(position: int, state: bytes) -> None:
        if checkpoints is None or position not in planned or position <= kept_until():
            raise BadModule(f"a checkpoint was sent at position {position}, where none was asked for")
        kept.append(checkpoints.write(Kept(inputs=digests[position], position=position, state=state)))

    def kept_until() -> int:
        return kept[-1].position if kept else 0

    done = False
    if checkpoints is not None:
        checkpoints.begin()
    try:
        if checkpoints is not None and before is not None:
            for one in standing:
                checkpoints.take_over(before, one)
        steps = {
            "batch_size": spec.replay.batch_size,
            "epochs": spec.replay.epochs,
            "resume_at": from_position,
            "save_at": [position for position in planned if position > from_position],
        }
        given = {"train": table}
        outcome = run(steps, given, state, save)
        if outcome is None:
            return None
        parts, header = outcome
        if checkpoints is not None and kept_until() > from_position and not _tried(run, steps, given, checkpoints.read(kept[-1]), outcome):
            return None
        done = True
    finally:
        if checkpoints is not None and not done:
            checkpoints.remove()
    replayed = Replayed(
        rows=table.num_rows,
        epochs=spec.replay.epochs,
        position=from_position,
        checkpoints=tuple(kept) if checkpoints is not None else (),
        reason=reason,
    )
    return Ran(parts=parts, metrics=header["metrics"], replayed=replayed)


def _standing(
    before: CheckpointFolder | None, known: Sequence[Checkpoint], digests: Mapping[int, str]
) -> tuple[list[Checkpoint], bytes | None, str | None]:
    """The checkpoints that stand, the state of the last of them, and why one that might stand cannot be used."""
    if before is None:
        return [], None, None
    standing: list[Checkpoint] = []
    state, reason = None, None
    for one in sorted(known, key=lambda one: one.position):
        try:
            kept = before.read(one)
        except (Gone, Tampered) as error:
            reason = reason or error.message
            continue
        if kept.inputs != digests.get(one.position):
            break  # what comes later has the same rows before it, and more
        standing.append(one)
        state = kept.state
    return standing, state, reason if reason or known else "the version before kept no checkpoint"


def _tried(run: Run, steps: Mapping[str, Any], tables: Mapping[str, pa.Table], last: Kept, outcome: Outcome) -> bool:
    """Go on from the last checkpoint once more: True when it came to the same, False when it was cancelled; else :class:`BadModule`."""

    def save(position: int, _state: bytes) -> None:
        raise BadModule(f"a checkpoint was sent at position {position}, where none was asked for")

    again = run({**steps, "resume_at": last.position, "save_at": []}, tables, last.state, save)
    if again is None:
        return False
    (parts, header), (parts_again, header_again) = outcome, again
    other = [what for what, one, two in (("weights", parts, parts_again), ("metrics", header, header_again)) if one != two]
    if other:
        raise BadModule(
            f"train() comes to other {' and '.join(other)} when it goes on from the checkpoint after {last.position} rows: "
            "something that changes while it trains is not kept",
            hint="give it to run.replay(…) with the model and the optimizer; a figure of your own fits in a module's buffer",
        )
    return True
