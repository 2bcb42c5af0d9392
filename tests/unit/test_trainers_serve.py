"""A runner answers as the model in this process would; bad features are named; a crash is followed by a new start."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pyarrow as pa
import pytest

sys.path.insert(0, str(Path(__file__).parent / "trainers_children"))
from tiny_rows import Ticks, rows, snapshot_in, spec_for

from lineage.errors import Gone, NotFound, Tampered
from trainers.artifact import artifact_path
from trainers.errors import BadFeature, ChildDied, ChildFailed, ChildTimeout
from trainers.loading import load_model
from trainers.serve import Runner
from trainers.training import train


@pytest.fixture(scope="module")
def stored(tmp_path_factory, warm):
    """(artifact folder, snapshot path, code name)."""
    home = tmp_path_factory.mktemp("home")
    path, code = snapshot_in(home)
    table = rows()
    record = train(
        spec_for(table, code),
        run_id="r",
        tables={"train": table},
        snapshot=path,
        artifacts=home / "artifacts",
        clock=Ticks(),
        scratch=home,
        child=warm.take,
    )
    return artifact_path(home / "artifacts", record.artifact.digest), path, code


@pytest.fixture(scope="module")
def runner(stored, warm):
    with Runner(artifact=stored[0], snapshot=stored[1], spec={"code": stored[2]}, child=warm.take) as one:
        yield one


def test_a_runner_answers_as_the_model_in_this_process(runner, stored):
    new = rows(25, seed=9)
    answer = runner.predict(new)
    model = load_model(stored[0], stored[1])
    labels, scores = model.predict(new)
    assert answer.labels == labels
    assert answer.scores == scores
    assert answer.classes == model.classes == ("no", "yes")
    assert all(sum(one) == pytest.approx(1) for one in answer.scores)
    x, y = model.encode(new)
    assert (tuple(x.shape), y.tolist()) == ((25, 4), [int(one == "yes") for one in new["label"].to_pylist()])
    assert "model" not in sys.modules


def test_types_are_cast_and_columns_chosen_by_name(runner):
    new = rows(3, seed=9)
    ints = pa.table({"kind": ["x"], "more": ["left out"], "b": pa.array([1], pa.int64()), "a": pa.array([4], pa.int32())})
    floats = pa.table({"a": [4.0], "b": [1.0], "kind": ["x"]})
    assert runner.predict(ints) == runner.predict(floats)
    assert len(runner.predict(new.slice(0, 0)).labels) == 0


def test_a_bad_feature_is_named_and_the_runner_goes_on(runner):
    pid = runner.pid
    new = rows(3, seed=9)
    with pytest.raises(BadFeature, match="no feature kind") as caught:
        runner.predict(new.drop_columns(["kind"]))
    assert "a, b, kind" in caught.value.hint
    with pytest.raises(BadFeature, match="'a' cannot be read as FP64"):
        runner.predict(new.set_column(1, "a", pa.array(["many", "few", "none"])))
    with pytest.raises(BadFeature, match="'kind' holds a value the model does not know") as caught:
        runner.predict(pa.table({"a": [1.0], "b": [1.0], "kind": ["Erika Mustermann"]}))
    assert "Erika" not in caught.value.message
    with pytest.raises(ChildFailed, match=r"^TypeError in .* \(model\.py, line \d+\)$"):
        runner.predict(pa.table({"a": pa.array([None], pa.float64()), "b": [1.0], "kind": ["x"]}))
    assert runner.predict(new).labels
    assert runner.pid == pid


def test_a_crashed_or_killed_runner_starts_again(runner):
    new = rows(3, seed=9)
    before = runner.predict(new)
    pid = runner.pid
    os.kill(pid, signal.SIGKILL)
    assert runner.predict(new) == before
    assert runner.pid != pid
    with pytest.raises(ChildDied, match="status 9"):
        runner.predict(pa.table({"a": [1.0], "b": [1.0], "kind": ["crash"]}))
    assert runner.predict(new) == before


def test_a_hanging_answer_ends_at_the_timeout(stored):
    with Runner(artifact=stored[0], snapshot=stored[1], spec={}, timeout_s=1.5) as one:
        before = time.monotonic()
        with pytest.raises(ChildTimeout):
            one.predict(pa.table({"a": [1.0], "b": [1.0], "kind": ["hang"]}))
        assert time.monotonic() - before < 5
    with pytest.raises(ChildFailed, match="stopped"):
        one.predict(rows(1))


def test_what_is_gone_or_not_what_it_says_does_not_start(stored, tmp_path):
    artifact, snapshot, code = stored
    with pytest.raises(Gone):
        Runner(artifact=tmp_path / ("0" * 64), snapshot=snapshot, spec={"code": code})
    with pytest.raises(NotFound):
        Runner(artifact=artifact, snapshot=tmp_path / "absent.tar", spec={"code": code})
    with pytest.raises(Tampered):
        Runner(artifact=artifact, snapshot=snapshot, spec={"code": "snapshot:" + "0" * 64})
