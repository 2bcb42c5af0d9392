"""Rows, spec and store for the tests of training and serving."""

from __future__ import annotations

import random
from pathlib import Path

import pyarrow as pa

from trainers.environment import environment
from trainers.model import InputSpec, TrainSpec
from trainers.shards import PLACE
from trainers.snapshot import pack

TINY = Path(__file__).parent / "tiny"
STREAM = Path(__file__).parent / "stream"


class Ticks:
    """A clock that goes on by one."""

    def __init__(self):
        self.time = 0

    def now(self):
        self.time += 1
        return self.time


def placed(table, places):
    """The rows with the shard of each; three rows in a row are one person's."""
    return table.append_column(PLACE, pa.array([places[row // 3] for row in table["govern_row_id"].to_pylist()], pa.int32()))


def without(table, *persons):
    """The rows but those of some persons."""
    return table.filter(pa.array([row // 3 not in persons for row in table["govern_row_id"].to_pylist()]))


def rows(n=60, seed=0):
    draw = random.Random(seed)
    a = [draw.gauss(5, 2) for _ in range(n)]
    b = [draw.gauss(0, 1) for _ in range(n)]
    return pa.table(
        {
            "govern_row_id": pa.array(range(n), pa.int64()),
            "a": a,
            "b": b,
            "kind": [draw.choice("xy") for _ in range(n)],
            "label": ["yes" if x + y > 5 else "no" for x, y in zip(a, b, strict=True)],
        }
    )


def snapshot_in(folder, source=TINY):
    """(path of the tar, its name in a spec)."""
    digest, tar = pack(source)
    path = folder / f"{digest}.tar"
    path.write_bytes(tar)
    return path, f"snapshot:{digest}"


def spec_for(table, code, *, threads=1, seed=1, timeout_s=120.0, privacy=None, asked=None, sharding=None, replay=None, **params):
    return TrainSpec(
        strategy="sisa" if sharding else "replay" if replay else "full",
        sharding=sharding,
        replay=replay,
        model="tiny",
        entrypoint="stream" if replay else "model",
        code=code,
        params={"hidden": 4, "lr": 0.1, "epochs": 3, "batch_size": 16, **params},
        seed=seed,
        threads=threads,
        inputs=(InputSpec(role="train", dataset="tiny.train", version="1", row_set="rs1:00", rows=table.num_rows),),
        environment=asked or environment(threads).digest,
        label="label",
        features=("a", "b", "kind"),
        privacy=privacy,
        timeout_s=timeout_s,
    )
