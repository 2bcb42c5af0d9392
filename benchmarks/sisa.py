"""Trained in shards against trained as a whole, on the credit example: accuracy at the same number of epochs, and what an erasure costs."""

from __future__ import annotations

import hashlib
import hmac
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml

from benchmarks.measure import Line
from governance.registry.placement import places
from trainers.artifact import artifact_path
from trainers.environment import environment
from trainers.loading import load_model
from trainers.model import InputSpec, Sharding, TrainRecord, TrainSpec
from trainers.shards import PLACE
from trainers.snapshot import pack
from trainers.training import train

CREDIT = Path(__file__).parents[1] / "examples" / "credit"
SEEDS = (7, 8, 9)
SHARDS = 5
DATASET = {"name": "credit.train", "kind": "lance", "subject_key": "applicant", "subject_type": "applicant"}


class Keys:
    """One fixed key, so that the figures repeat; an installation has its own."""

    def hmac(self, name: str, message: bytes) -> bytes:
        return hmac.new(b"benchmark " + name.encode(), message, hashlib.sha256).digest()

    def hmacs(self, name: str, messages: Iterable[bytes]) -> list[bytes]:
        return [self.hmac(name, message) for message in messages]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A training, what it used, and how often its model is right."""

    record: TrainRecord
    cpu: float
    accuracy: float


class Bench:
    """The example's rows, code and store."""

    def __init__(self, home: Path) -> None:
        sys.path.insert(0, str(CREDIT))
        import parse
        import split

        self.home = home
        lines = (CREDIT / "german.data").read_text().splitlines()
        raw = pa.table({"govern_row_id": pa.array(range(1, len(lines) + 1), pa.int64()), "line": lines})
        self.train, self.test = (_with_ids(part) for part in split.split(_with_ids(parse.parse(raw))))
        self.config: dict[str, Any] = yaml.safe_load((CREDIT / "govern.yaml").read_text())["models"]["credit-risk-sisa"]
        digest, data = pack(CREDIT)
        self.code = f"snapshot:{digest}"
        self.snapshot = home / f"{digest}.tar"
        self.snapshot.write_bytes(data)

    def make(self, shards: int | None, seed: int, *, epochs: int = 12, erased: int = 0, before: Path | None = None) -> Outcome:
        """One training without the first ``erased`` applicants; as a whole when ``shards`` is ``None``."""
        table = self.train.slice(erased)
        if shards is not None:
            found = places(Keys(), DATASET, table, model=f"credit-{seed}", shards=shards)  # type: ignore[arg-type]
            table = table.append_column(PLACE, pa.array(found, pa.int32()))
        spec = TrainSpec(
            model="credit",
            entrypoint="model",
            code=self.code,
            params={**self.config["params"], "epochs": epochs},
            seed=seed,
            threads=1,
            inputs=(InputSpec(role="train", dataset="credit.train", version="1", row_set="rs1:0", rows=table.num_rows),),
            environment=environment(1).digest,
            label=self.config["label"],
            features=tuple(self.config["features"]),
            strategy="full" if shards is None else "sisa",
            sharding=None if shards is None else Sharding(shards=shards),
        )
        begin = _children()
        record = train(
            spec,
            run_id="bench",
            tables={"train": table},
            snapshot=self.snapshot,
            artifacts=self.home / "artifacts",
            clock=Now(),
            before=before,
        )
        cpu = _children() - begin
        assert record.artifact is not None, record.reason
        model = load_model(self.artifact(record), self.snapshot)
        right = [said == true for said, true in zip(model.predict(self.test)[0], self.test["credit"].to_pylist(), strict=True)]
        return Outcome(record=record, cpu=cpu, accuracy=sum(right) / len(right))

    def artifact(self, record: TrainRecord) -> Path:
        """The folder of what a training left."""
        assert record.artifact is not None
        return artifact_path(self.home / "artifacts", record.artifact.digest)


class Now:
    """The system's clock."""

    def now(self) -> int:
        return time.time_ns()


def run() -> Iterator[Line]:
    """Accuracy over three seeds; the share that is trained again and its processor time for one applicant and for five."""
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        whole = [bench.make(None, seed) for seed in SEEDS]
        for epochs in (12, 60):
            made = [bench.make(SHARDS, seed, epochs=epochs) for seed in SEEDS]
            yield Line(
                name=f"sisa: accuracy, {SHARDS} shards, {epochs} epochs",
                value=statistics.mean(one.accuracy for one in made),
                unit="",
                baseline="as a whole, 12 epochs",
                baseline_value=statistics.mean(one.accuracy for one in whole),
                cpu=min(one.cpu for one in made),
                baseline_cpu=min(one.cpu for one in whole),
                note=f"{bench.test.num_rows} test applicants, mean of {len(SEEDS)} seeds, cpu of a training",
            )
        before = bench.artifact(made[0].record)
        for erased in (1, 5):
            shortcut = bench.make(SHARDS, SEEDS[0], epochs=60, erased=erased, before=before)
            scratch = bench.make(SHARDS, SEEDS[0], epochs=60, erased=erased)
            assert shortcut.record.artifact == scratch.record.artifact, "the shortcut is not what a training from scratch makes"
            done = shortcut.record.retrained
            assert done is not None
            yield Line(
                name=f"sisa: rows trained again, {SHARDS} shards, {erased} erased",
                value=done.retrain_fraction,
                unit="",
                baseline="from scratch",
                baseline_value=1.0,
                cpu=shortcut.cpu,
                baseline_cpu=scratch.cpu,
                note=f"{done.constituents - done.taken_over} of {done.constituents} constituents; equal to the training from scratch",
            )


def _with_ids(table: pa.Table) -> pa.Table:
    return table.add_column(0, "govern_row_id", pa.array(range(1, table.num_rows + 1), pa.int64()))


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
