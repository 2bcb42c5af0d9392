"""A sharded training: constituents apart, what an erasure does not touch taken over bit for bit, and the result the one from scratch."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pyarrow as pa
import pytest

sys.path.insert(0, str(Path(__file__).parent / "trainers_children"))
from tiny_rows import Ticks, placed, rows, snapshot_in, spec_for, without

import trainers.constituents
from lineage.errors import BadInput
from trainers.artifact import PARTS, artifact_path, verify_artifact
from trainers.constituents import parts_of
from trainers.loading import UserCode, load_model, probabilities, restore
from trainers.model import PrivacySpec, Sharding
from trainers.serve import Runner
from trainers.shards import constituent_seed
from trainers.training import train

SHARDS = Sharding(shards=4)
PLACES = [0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3]
"""Person → shard: twenty persons of three rows, five in each shard."""
PERSON, SHARD = 5, 1
"""Who is erased, and where she is."""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def code(home):
    return snapshot_in(home)


@pytest.fixture(scope="module")
def run(home, code, warm):
    def go(table=None, *, folder="artifacts", before=None, sharding=SHARDS, progress=None, cancelled=None, **spec):
        table = placed(rows(), PLACES) if table is None else table
        return train(
            spec_for(table, code[1], sharding=sharding, **spec),
            run_id="run-1",
            tables={"train": table},
            snapshot=code[0],
            artifacts=home / folder,
            clock=Ticks(),
            scratch=home,
            child=warm.take,
            before=before,
            progress=progress,
            cancelled=cancelled,
        )

    return go


@pytest.fixture(scope="module")
def base(run):
    return run()


@pytest.fixture(scope="module")
def first(base, home):
    """Folder of the artifact of the version before."""
    assert base.status == "COMPLETE", base.reason
    return artifact_path(home / "artifacts", base.artifact.digest)


@pytest.fixture(scope="module")
def erased():
    """The rows without one person, placed as before."""
    return placed(without(rows(), PERSON), PLACES)


@pytest.fixture(scope="module")
def successor(run, erased, first):
    return run(erased, before=first)


@pytest.fixture(scope="module")
def scratch(run, erased):
    """The same, made by a worker that has nothing to take over."""
    return run(erased, folder="elsewhere")


def manifest(folder):
    return json.loads((folder / "manifest.json").read_bytes())


def constituents(folder):
    return parts_of(folder, manifest(folder))


def test_a_sharded_artifact_has_the_four_parts_and_a_constituent_for_each_shard(base, first):
    assert sorted(path.name for path in first.iterdir()) == list(PARTS)
    verify_artifact(first)
    found = manifest(first)["sharding"]
    assert (found["strategy"], found["shards"], found["aggregation"]) == ("sisa", 4, "mean of probabilities")
    assert [one["rows"] for one in found["constituents"]] == [15, 15, 15, 15]
    assert len({one["digest"] for one in found["constituents"]}) == 4
    assert base.retrained.retrain_fraction == 1.0
    assert (base.retrained.constituents, base.retrained.taken_over, base.retrained.reason) == (4, 0, None)


def test_the_model_answers_with_the_mean_of_its_constituents_probabilities(first, code, base):
    new = rows(25, seed=9)
    model = load_model(first, code[0])
    labels, scores = model.predict(new)
    parts = constituents(first)
    each = []
    for one in parts:
        state = json.loads(one.state)
        module = restore(model.code, model.manifest["params"], state, one.weights)
        x = UserCode.call(model.code, "encode", new, state).x
        each.append(probabilities(module(x), 2).tolist())
    for row, told in enumerate(scores):
        assert told == pytest.approx([sum(one[row][side] for one in each) / 4 for side in (0, 1)], abs=1e-6)
        assert labels[row] == ("no", "yes")[told.index(max(told))]
    assert len({one.state for one in parts}) == 4, "each constituent was fitted on its own rows"
    accuracy = [one.metrics["accuracy"] for one in parts]
    assert base.metrics["accuracy"] == pytest.approx(sum(accuracy) / 4)


@pytest.mark.slow
def test_it_serves_as_any_model_does(first, code):
    new = rows(5, seed=9)
    with Runner(artifact=first, snapshot=code[0], spec={"code": code[1]}) as runner:
        answer = runner.predict(new)
    model = load_model(first, code[0])
    assert (answer.labels, answer.scores) == model.predict(new)


def test_an_erasure_trains_the_shard_of_the_person_and_takes_over_the_others(successor, first, home):
    done = successor.retrained
    assert (done.constituents, done.taken_over, done.reason) == (4, 3, None)
    assert (done.rows, done.rows_trained) == (57, 12)
    assert done.retrain_fraction == 12 / 57
    after = constituents(artifact_path(home / "artifacts", successor.artifact.digest))
    same = [old == new for old, new in zip(constituents(first), after, strict=True)]
    assert same == [shard != SHARD for shard in range(4)]


def test_the_shortcut_makes_what_a_training_from_scratch_makes(successor, scratch, base):
    assert scratch.retrained.taken_over == 0
    assert successor.artifact == scratch.artifact != base.artifact


def test_a_row_that_came_or_changed_is_as_good_a_reason_to_train_again(run, first):
    table = rows()
    values = table["a"].to_pylist()
    values[0] += 1.0
    changed = placed(table.set_column(1, "a", pa.array(values)), PLACES)
    record = run(changed, before=first, folder="changed")
    assert (record.retrained.taken_over, record.retrained.rows_trained) == (3, 15)


@pytest.mark.parametrize(
    "spec", [{"lr": 0.11}, *(pytest.param(spec, marks=pytest.mark.slow) for spec in ({"seed": 2}, {"sharding": Sharding(shards=5)}))]
)
def test_nothing_is_taken_over_from_another_recipe(run, first, spec):
    record = run(before=first, folder="other", epochs=1, **spec)
    assert record.status == "COMPLETE"
    assert record.retrained.taken_over == 0


def flipped(folder, home):
    """A copy of an artifact with one bit of a constituent that would be taken over turned, under the name it had."""
    copy = home / "flipped" / folder.name
    shutil.copytree(folder, copy, dirs_exist_ok=True)
    data = bytearray((copy / "weights.safetensors").read_bytes())
    data[data.index(b"}}") + 64] ^= 1
    (copy / "weights.safetensors").write_bytes(data)
    return copy


def test_a_wrong_constituent_is_not_taken_over(run, erased, first, home, scratch):
    record = run(erased, before=flipped(first, home), folder="guarded")
    assert record.retrained.taken_over == 0
    assert "holds other bytes than its name says" in record.retrained.reason
    assert record.artifact == scratch.artifact


def test_its_own_digest_finds_it_too(first, home):
    with pytest.raises(trainers.constituents.Tampered, match="not what its digest says"):
        constituents(flipped(first, home))


def test_without_the_guards_the_training_from_scratch_finds_it(run, erased, first, home, scratch, monkeypatch):
    """The guards are off: a constituent with one wrong bit gets into the successor. Level L4 compares, and says no."""
    told = {one["shard"]: one["digest"] for one in manifest(first)["sharding"]["constituents"]}
    monkeypatch.setattr(trainers.constituents, "verify_artifact", lambda folder: None)
    monkeypatch.setattr(trainers.constituents.Constituent, "digest", property(lambda one: told.get(one.shard)))
    record = run(erased, before=flipped(first, home), folder="unguarded")
    assert record.retrained.taken_over == 3
    assert record.artifact != scratch.artifact


def test_what_one_constituent_leaves_behind_the_next_does_not_find(run):
    record = run(act="look around", folder="alone")
    assert record.status == "COMPLETE", record.reason
    assert (record.metrics["runs_here"], record.metrics["alone"]) == (1.0, 1.0)
    assert record.metrics["columns"] == len(rows().column_names), "the column with the shard is not shown to the code"


def test_an_empty_shard_has_no_constituent(run, code, home):
    few = placed(rows(), [0 if shard == 2 else shard for shard in PLACES])
    record = run(few, folder="empty", epochs=1)
    assert record.retrained.constituents == 3
    model = load_model(artifact_path(home / "empty", record.artifact.digest), code[0])
    assert len(model.predict(rows(4, seed=9))[0]) == 4


def test_the_order_of_the_rows_does_not_matter(run, base):
    table = placed(rows(), PLACES)
    assert run(table.take(list(reversed(range(60)))), folder="reversed").artifact == base.artifact


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        ("exit", "exited with status 7 (in a constituent with 15 rows)"),
        ("classes of the rows", "name different classes"),
        pytest.param("raise", "ValueError in train (model.py, line", marks=pytest.mark.slow),
        pytest.param("leave", "exited with status 0", marks=pytest.mark.slow),
    ],
)
def test_a_constituent_that_fails_fails_the_training_and_leaves_nothing(run, home, act, reason):
    record = run(act=act, folder=f"failed-{act}")
    assert record.status == "FAIL"
    assert reason in record.reason
    assert not (home / f"failed-{act}").exists()


@pytest.mark.slow
def test_a_constituent_that_hangs_ends_with_the_time_of_all(home, code):
    """Its fork ends with it: a process of its own, for a hang ends the process."""
    table = placed(rows(), PLACES)
    spec = spec_for(table, code[1], sharding=SHARDS, act="hang", timeout_s=6.0)
    record = train(spec, run_id="r", tables={"train": table}, snapshot=code[0], artifacts=home / "hang", clock=Ticks(), scratch=home)
    assert (record.status, record.reason) == ("FAIL", "the training did not end within 6 s (in a constituent with 15 rows)")


@pytest.mark.slow
def test_progress_is_told_over_all_constituents(run):
    told = []
    run(folder="told", progress=lambda *one: told.append(one))
    assert [done for done, _, _ in told] == sorted(done for done, _, _ in told)
    assert {total for _, total, _ in told} == {12}
    assert told[-1][2].startswith("constituent 4 of 4")


def test_a_cancel_aborts_and_leaves_nothing(run, home):
    told = []
    record = run(act="slow", epochs=1000, folder="cancelled", progress=lambda *one: told.append(one), cancelled=lambda: len(told) > 1)
    assert (record.status, record.artifact) == ("ABORT", None)
    assert not (home / "cancelled").exists()


def test_wrong_inputs_are_errors_not_records(run, code):
    table = placed(rows(), PLACES)
    with pytest.raises(BadInput, match="govern_place"):
        run(rows())
    with pytest.raises(BadInput, match="no privacy"):
        run(table, privacy=PrivacySpec(epsilon=3.0, delta=1e-3))
    with pytest.raises(BadInput, match="two or more shards"):
        run(table, sharding=Sharding(shards=1))
    for wrong in (placed(rows(), [4] * 20), placed(rows(), [-1] * 20)):
        record = run(wrong)
        assert (record.status, "from 0 to 3" in record.reason) == ("FAIL", True)


def test_the_seeds_of_constituents_differ_and_are_seeds():
    seeds = [constituent_seed(seed, shard) for seed in range(3) for shard in range(100)]
    assert len(set(seeds)) == 300
    assert all(0 <= seed < 2**63 for seed in seeds)
