"""Training is a pure function: the same inputs give the same artifact, one changed thing another; a failure is a sentence without values."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import time
from pathlib import Path

import pyarrow as pa
import pytest

from lineage.errors import BadInput, Gone, NotFound, Tampered
from trainers.artifact import artifact_digest, artifact_path, verify_artifact
from trainers.environment import environment
from trainers.model import InputSpec, PrivacySpec, TrainSpec
from trainers.snapshot import pack
from trainers.training import train

TINY = Path(__file__).parent / "trainers_children" / "tiny"


class Ticks:
    def __init__(self):
        self.time = 0

    def now(self):
        self.time += 1
        return self.time


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


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """(snapshot path, its name in a spec)."""
    digest, tar = pack(TINY)
    path = tmp_path_factory.mktemp("snapshots") / f"{digest}.tar"
    path.write_bytes(tar)
    return path, f"snapshot:{digest}"


@pytest.fixture
def run(store, tmp_path):
    def go(table=None, *, threads=1, seed=1, timeout_s=60.0, privacy=None, cancelled=None, progress=None, **params):
        table = rows() if table is None else table
        spec = TrainSpec(
            model="tiny",
            entrypoint="model",
            code=store[1],
            params={"hidden": 4, "lr": 0.1, "epochs": 3, "batch_size": 16, **params},
            seed=seed,
            threads=threads,
            inputs=(InputSpec(role="train", dataset="tiny.train", version="1", row_set="rs1:00", rows=table.num_rows),),
            environment=environment(threads).digest,
            label="label",
            features=("a", "b", "kind"),
            privacy=privacy,
            timeout_s=timeout_s,
        )
        return train(
            spec,
            run_id="run-1",
            tables={"train": table},
            snapshot=store[0],
            artifacts=tmp_path / "artifacts",
            clock=Ticks(),
            progress=progress,
            cancelled=cancelled,
            scratch=tmp_path,
        )

    return go


def test_the_same_inputs_give_the_same_artifact_whatever_the_order_of_the_rows(run, tmp_path):
    table = rows()
    first = run(table)
    assert (first.status, first.reason) == ("COMPLETE", None)
    assert first.ended_at > first.started_at
    shuffled = table.take(random.Random(3).sample(range(60), 60))
    assert run(shuffled).artifact == first.artifact
    folder = artifact_path(tmp_path / "artifacts", first.artifact.digest)
    assert verify_artifact(folder) == first.artifact
    assert sorted(path.name for path in folder.iterdir()) == sorted(first.artifact.files)
    signature = json.loads((folder / "signature.json").read_bytes())
    assert signature["classes"] == ["no", "yes"]
    assert signature["inputs"] == [{"name": "a", "type": "FP64"}, {"name": "b", "type": "FP64"}, {"name": "kind", "type": "BYTES"}]
    assert 0 < first.metrics["accuracy"] <= 1
    assert [path.name for path in tmp_path.iterdir()] == ["artifacts"]  # the child's scratch folder is gone


def test_one_changed_row_parameter_seed_or_thread_count_gives_another(run):
    table = rows()
    changed = table.set_column(1, "a", pa.array([*table["a"].to_pylist()[:-1], 5.5]))
    digests = [
        run(table).artifact.digest,
        run(changed).artifact.digest,
        run(table.slice(0, 59)).artifact.digest,
        run(table, lr=0.11).artifact.digest,
        run(table, seed=2).artifact.digest,
        run(table, threads=2).artifact.digest,
    ]
    assert len(set(digests)) == len(digests)


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        ("raise", "ValueError in train (model.py, line"),
        ("exit", "exited with status 7"),
        ("nan", "not finite (NaN or infinity in 0.weight)"),
        ("nothing", "train() returned NoneType instead of Trained"),
    ],
)
def test_user_code_that_fails_is_a_record_with_a_reason_and_no_artifact(run, tmp_path, act, reason):
    record = run(act=act)
    assert record.status == "FAIL"
    assert reason in record.reason
    assert str(rows()["a"][0].as_py()) not in record.reason
    assert record.artifact is None
    assert not (tmp_path / "artifacts").exists()


def test_a_hang_ends_at_the_timeout(run):
    before = time.monotonic()
    record = run(act="hang", timeout_s=6.0)
    assert (record.status, record.reason) == ("FAIL", "the training did not end within 6 s")
    assert time.monotonic() - before < 12


def test_a_cancel_aborts_and_progress_is_told(run):
    told = []
    record = run(act="slow", epochs=1000, cancelled=lambda: len(told) > 3, progress=lambda *one: told.append(one))
    assert (record.status, record.artifact) == ("ABORT", None)
    done, total, what = told[-1]
    assert 0 < done < total == 4000
    assert any(one[2].startswith("loss ") for one in told)
    assert what.count("\n") == 0


def test_prints_of_the_user_reach_neither_the_record_nor_our_output(run, capfd):
    record = run(act="print")
    assert record.status == "COMPLETE"
    out, err = capfd.readouterr()
    assert "secret" not in out + err


def test_wrong_inputs_of_ours_are_errors_not_records(run, store, tmp_path):
    table = rows()
    good = run(table).spec
    call = {"run_id": "r", "artifacts": tmp_path / "a", "clock": Ticks()}
    with pytest.raises(BadInput, match="59 rows"):
        train(good, tables={"train": table.slice(0, 59)}, snapshot=store[0], **call)
    with pytest.raises(BadInput, match="roles"):
        train(good, tables={"train": table, "test": table}, snapshot=store[0], **call)
    with pytest.raises(BadInput, match="govern_row_id"):
        train(good, tables={"train": table.drop_columns(["govern_row_id"])}, snapshot=store[0], **call)
    with pytest.raises(NotFound):
        train(good, tables={"train": table}, snapshot=tmp_path / "absent.tar", **call)
    with pytest.raises(Tampered):
        train(dataclasses.replace(good, code="snapshot:" + "0" * 64), tables={"train": table}, snapshot=store[0], **call)
    record = train(dataclasses.replace(good, entrypoint="absent"), tables={"train": table}, snapshot=store[0], **call)
    assert (record.status, record.reason) == ("FAIL", "the code snapshot has no module 'absent'")


def test_the_environment_that_was_is_recorded_not_the_one_asked_for(run, store, tmp_path):
    spec = dataclasses.replace(run().spec, environment="sha256:" + "0" * 64)
    record = train(spec, run_id="r", tables={"train": rows()}, snapshot=store[0], artifacts=tmp_path / "a", clock=Ticks())
    assert record.spec.environment == environment(1).digest
    assert environment(1).digest != environment(2).digest
    assert environment(1).details["packages"]["torch"]


def test_an_artifact_that_changed_or_went_says_so(run, tmp_path):
    folder = artifact_path(tmp_path / "artifacts", run().artifact.digest)
    state = (folder / "state.json").read_bytes()
    (folder / "state.json").write_bytes(state.replace(b"mean", b"mode"))
    with pytest.raises(Tampered, match="other bytes"):
        verify_artifact(folder)
    (folder / "state.json").unlink()
    with pytest.raises(Tampered, match="four parts"):
        artifact_digest(folder)
    with pytest.raises(Gone):
        artifact_digest(tmp_path / "artifacts" / ("0" * 64))


def test_a_full_or_forbidden_store_leaves_nothing_half_written(run, tmp_path, monkeypatch):
    from lineage.errors import StoreUnavailable

    def full(fd):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreUnavailable, match="No space left"):
        run()
    assert list((tmp_path / "artifacts").iterdir()) == []


def test_a_private_run_is_refused_privacy_it_did_not_keep(run):
    privacy = PrivacySpec(epsilon=3.0, delta=1e-3)
    bounds = {"a": [0, 10], "b": [-3, 3]}
    for act, reason in [
        ("skip", "did not take all its batches"),
        ("stop", "did not take all its batches"),
        ("fit", "another state than public_state"),
    ]:
        record = run(privacy=privacy, bounds=bounds, act=act)
        assert record.status == "FAIL"
        assert reason in record.reason
