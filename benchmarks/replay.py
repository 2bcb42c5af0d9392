"""Replayed against trained from scratch: the share of the work that is done again beside the formula, over many random erasures."""

from __future__ import annotations

import dataclasses
import math
import random
import statistics
import time
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import torch

from benchmarks.measure import Line
from trainers.contract import batch_order
from trainers.cost import expected_replay, replay_sd
from trainers.kept import packed_values
from trainers.model import InputSpec, Replay, TrainSpec
from trainers.replay import positions, prefix_digests
from trainers.steps import Steps

ROWS, FEATURES, SEED, REPEATS = 20_000, 16, 7, 200
REPLAY = Replay(batch_size=64, epochs=1, checkpoints=20)


def _table() -> pa.Table:
    draw = np.random.default_rng(SEED)
    x = draw.normal(size=(ROWS, FEATURES)).astype(np.float32)
    y = (x @ draw.normal(size=FEATURES) > 0).astype(np.int64)
    columns = {f"x{at:02d}": x[:, at] for at in range(FEATURES)}
    return pa.table({"govern_row_id": pa.array(range(ROWS), pa.int64()), **columns, "y": y})


def _spec(table: pa.Table, replay: Replay) -> TrainSpec:
    given = InputSpec(role="train", dataset="stream", version="1", row_set="rs1:0", rows=table.num_rows)
    return TrainSpec(
        model="stream", entrypoint="model", code="snapshot:0", params={}, seed=SEED, threads=1, inputs=(given,), environment="here",
        label="y", features=tuple(table.column_names[1:-1]), strategy="replay", replay=replay,
    )  # fmt: skip


def _train(table: pa.Table, *, resumed_at: int = 0, resumed: bytes | None = None, keep: bool = False) -> tuple[bytes, dict[int, bytes]]:
    """(weights, position → state)."""
    torch.manual_seed(SEED)
    model = torch.nn.Sequential(torch.nn.Linear(FEATURES, 64), torch.nn.ReLU(), torch.nn.Dropout(0.1), torch.nn.Linear(64, 2))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.001)
    saved: dict[int, bytes] = {}
    ids = table["govern_row_id"].to_numpy()
    names = table.column_names[1:-1]
    steps = Steps(
        table=table,
        batch_size=REPLAY.batch_size,
        epochs=REPLAY.epochs,
        order=lambda epoch: batch_order(SEED, epoch, ids),
        encode=lambda rows, _state: (
            torch.from_numpy(np.stack([rows[name].to_numpy() for name in names], axis=1)),
            torch.from_numpy(rows["y"].to_numpy().copy()),
        ),
        public_state=dict,
        save=saved.__setitem__,
        save_at=frozenset(positions(table.num_rows, REPLAY)) if keep else frozenset(),
        resumed_at=resumed_at,
        resumed=resumed,
    )
    for x, y, _epoch, _step in steps({"model": model, "optimizer": optimizer}):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    return packed_values(model.state_dict()), saved


def _position(order: list[int], at: tuple[int, ...], away: set[int]) -> int:
    """The last checkpoint before the first use: what the digests decide, for very many erasures without them."""
    first = min(place for place, row in enumerate(order) if row in away)
    return max((one for one in at if one <= first), default=0)


def run() -> Iterator[Line]:
    """The share over many erasures within three standard errors of theory; processor time, weights compared bit for bit."""
    torch.set_num_threads(1)
    table = _table()
    ids = np.arange(ROWS)
    draw = random.Random(SEED)
    order = batch_order(SEED, 0, ids).tolist()
    for epochs in (1, 10):
        replay = dataclasses.replace(REPLAY, epochs=epochs)
        at = positions(ROWS, replay)
        for erased in (1, 5, 10):
            shares = [1 - _position(order, at, set(draw.sample(range(ROWS), erased))) / (ROWS * epochs) for _ in range(REPEATS)]
            mean, theory = statistics.mean(shares), expected_replay(epochs, erased, replay.checkpoints)
            error = replay_sd(epochs, erased, replay.checkpoints) / math.sqrt(REPEATS)
            assert abs(mean - theory) <= 3 * error, (epochs, erased, mean, theory, error)
            yield Line(
                name=f"replay: share done again, {epochs} epoch(s), {erased} rows erased",
                value=mean,
                unit="",
                baseline="theory",
                baseline_value=theory,
                note=f"mean of {REPEATS} erasures, {abs(mean - theory) / error:.1f} standard errors apart; from scratch 1.0",
            )
    _weights, saved = _train(table, keep=True)
    for erased in (1, 5):
        away = set(draw.sample(range(ROWS), erased))
        rest = table.filter(pa.array([row not in away for row in range(ROWS)]))
        begin = time.process_time()
        old, new = prefix_digests(_spec(table, REPLAY), table, saved), prefix_digests(_spec(rest, REPLAY), rest, saved)
        digests = time.process_time() - begin
        standing = max((one for one in saved if old[one] == new.get(one)), default=0)
        assert standing == _position(order, tuple(saved), away), "the digests decide as the first use does"
        begin = time.process_time()
        made, _ = _train(rest, resumed_at=standing, resumed=saved.get(standing))
        shortcut = time.process_time() - begin
        begin = time.process_time()
        scratch, _ = _train(rest)
        whole = time.process_time() - begin
        assert made == scratch, "the shortcut is not what a training from scratch makes"
        yield Line(
            name=f"replay: one training, {erased} rows erased",
            value=1 - standing / rest.num_rows,
            unit="",
            baseline="from scratch",
            baseline_value=1.0,
            cpu=shortcut,
            baseline_cpu=whole,
            note=f"went on after {standing} rows; digests of both row sets {digests:.2f} s; equal bit for bit",
        )
