"""Training is a pure function: the same inputs give the same artifact, one changed thing another; a failure is a sentence without values."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import sys
import time
from pathlib import Path

import pyarrow as pa
import pytest

sys.path.insert(0, str(Path(__file__).parent / "trainers_children"))
from tiny_rows import Ticks, rows, snapshot_in, spec_for

from lineage.errors import BadInput, Gone, NotFound, StoreUnavailable, Tampered
from trainers.artifact import PARTS, artifact_digest, artifact_path, verify_artifact, write_artifact
from trainers.environment import environment
from trainers.model import PrivacySpec
from trainers.training import train


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def code(home):
    (home / "snapshots").mkdir()
    return snapshot_in(home / "snapshots")


@pytest.fixture(scope="module")
def run(home, code, warm):
    def go(table=None, *, cancelled=None, progress=None, child=warm.take, **spec):
        table = rows() if table is None else table
        (home / "scratch").mkdir(exist_ok=True)
        return train(
            spec_for(table, code[1], **spec),
            run_id="run-1",
            tables={"train": table},
            snapshot=code[0],
            artifacts=home / "artifacts",
            clock=Ticks(),
            progress=progress,
            cancelled=cancelled,
            scratch=home / "scratch",
            child=child,
        )

    return go


@pytest.fixture(scope="module")
def base(run):
    """A training that prints its rows, asked for in another environment; in a process that was started for it alone, not in a fork."""
    return run(act="print", asked="sha256:" + "0" * 64, child=None)


def test_a_training_leaves_an_artifact_of_four_parts_and_nothing_else(base, home):
    assert (base.status, base.reason) == ("COMPLETE", None)
    assert base.ended_at > base.started_at
    folder = artifact_path(home / "artifacts", base.artifact.digest)
    assert verify_artifact(folder) == base.artifact
    assert sorted(path.name for path in folder.iterdir()) == list(PARTS)
    signature = json.loads((folder / "signature.json").read_bytes())
    assert signature["classes"] == ["no", "yes"]
    assert signature["inputs"] == [{"name": "a", "type": "FP64"}, {"name": "b", "type": "FP64"}, {"name": "kind", "type": "BYTES"}]
    assert list(json.loads((folder / "state.json").read_bytes())) == ["b", "a"]  # in the module's own order
    assert 0 < base.metrics["accuracy"] <= 1
    assert list((home / "scratch").iterdir()) == []


def test_the_environment_that_was_is_recorded_not_the_one_asked_for(base):
    assert base.spec.environment == environment(1).digest
    assert environment(1).digest != environment(2).digest
    assert environment(1).details["packages"]["torch"]
    assert environment(1).details["torch"].startswith("sha256:")


def test_the_order_of_the_rows_does_not_matter(base, run):
    table = rows()
    assert run(table.take(random.Random(3).sample(range(60), 60)), act="print").artifact == base.artifact


def test_one_changed_row_parameter_seed_or_thread_count_gives_another(base, run):
    table = rows()
    changed = table.set_column(1, "a", pa.array([*table["a"].to_pylist()[:-1], 5.5]))
    digests = [
        base.artifact.digest,
        run(changed, act="print").artifact.digest,
        run(table, act="print", lr=0.11).artifact.digest,
        run(table, act="print", seed=2).artifact.digest,
        run(table, act="print", threads=2).artifact.digest,
    ]
    assert len(set(digests)) == len(digests)


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        ("raise", "ValueError in train (model.py, line"),
        ("exit", "exited with status 7"),
        ("nan", "not finite (NaN or infinity in 0.weight)"),
        ("nothing", "train() returned NoneType instead of Trained"),
        ("unstable", "other values once the state was written to JSON"),
    ],
)
def test_user_code_that_fails_is_a_record_with_a_reason_and_no_artifact(run, home, act, reason):
    before = set((home / "artifacts").glob("*"))
    record = run(act=act)
    assert record.status == "FAIL"
    assert reason in record.reason
    assert str(rows()["a"][0].as_py()) not in record.reason
    assert record.artifact is None
    assert set((home / "artifacts").glob("*")) == before


def test_a_hang_ends_at_the_timeout(run):
    before = time.monotonic()
    record = run(act="hang", timeout_s=3.0)
    assert (record.status, record.reason) == ("FAIL", "the training did not end within 3 s")
    assert time.monotonic() - before < 10


def test_a_cancel_aborts_and_progress_is_told(run):
    told = []
    record = run(act="slow", epochs=1000, cancelled=lambda: len(told) > 3, progress=lambda *one: told.append(one))
    assert (record.status, record.artifact) == ("ABORT", None)
    done, total, _ = told[-1]
    assert 0 < done < total == 4000
    assert any(one[2].startswith("loss ") for one in told)


def test_wrong_inputs_of_ours_are_errors_not_records(code, tmp_path):
    table = rows()
    good = spec_for(table, code[1])
    call = {"run_id": "r", "artifacts": tmp_path / "a", "clock": Ticks()}
    with pytest.raises(BadInput, match="59 rows"):
        train(good, tables={"train": table.slice(0, 59)}, snapshot=code[0], **call)
    with pytest.raises(BadInput, match="roles"):
        train(good, tables={"train": table, "test": table}, snapshot=code[0], **call)
    with pytest.raises(BadInput, match="govern_row_id"):
        train(good, tables={"train": table.drop_columns(["govern_row_id"])}, snapshot=code[0], **call)
    with pytest.raises(NotFound):
        train(good, tables={"train": table}, snapshot=tmp_path / "absent.tar", **call)
    with pytest.raises(Tampered):
        train(dataclasses.replace(good, code="snapshot:" + "0" * 64), tables={"train": table}, snapshot=code[0], **call)
    record = train(dataclasses.replace(good, entrypoint="absent"), tables={"train": table}, snapshot=code[0], **call)
    assert (record.status, record.reason) == ("FAIL", "the code snapshot has no module 'absent'")


@pytest.mark.slow
def test_a_private_run_that_did_not_keep_its_word_is_refused(run):
    privacy = PrivacySpec(epsilon=3.0, delta=1e-3)
    bounds = {"a": [0, 10], "b": [-3, 3]}
    for act, reason in [("skip", "did not take all its batches"), ("fit", "another state than public_state")]:
        record = run(privacy=privacy, bounds=bounds, act=act)
        assert record.status == "FAIL"
        assert reason in record.reason


def test_an_artifact_that_changed_or_went_says_so(tmp_path):
    parts = {name: name.encode() for name in PARTS}
    info = write_artifact(tmp_path, parts)
    assert write_artifact(tmp_path, parts) == info
    folder = artifact_path(tmp_path, info.digest)
    (folder / "state.json").write_bytes(b"other")
    with pytest.raises(Tampered, match="other bytes"):
        verify_artifact(folder)
    with pytest.raises(Tampered, match="other bytes"):
        write_artifact(tmp_path, parts)
    (folder / "state.json").unlink()
    with pytest.raises(Tampered, match="four parts"):
        artifact_digest(folder)
    with pytest.raises(Gone):
        artifact_digest(tmp_path / ("0" * 64))


def test_a_full_disk_leaves_nothing_half_written(tmp_path, monkeypatch):
    def full(fd):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreUnavailable, match="No space left"):
        write_artifact(tmp_path, dict.fromkeys(PARTS, b"x"))
    assert list(tmp_path.iterdir()) == []
