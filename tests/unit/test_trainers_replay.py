"""A replayed training: it goes on from the last checkpoint before the first use of an erased row, and makes what scratch makes."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

sys.path.insert(0, str(Path(__file__).parent / "trainers_children"))
from tiny_rows import STREAM, Ticks, rows, snapshot_in, spec_for

import trainers.replaying
from lineage.errors import BadInput, StoreUnavailable
from trainers.checkpoints import CheckpointFolder
from trainers.contract import batch_order
from trainers.model import PrivacySpec, Replay
from trainers.replay import Kept
from trainers.training import train

REPLAY = Replay(batch_size=10, epochs=1, checkpoints=5)
"""Of a hundred rows: ten steps, checkpoints after 10, 30, 50, 60 and 80 rows."""
ROWS, SEED = 100, 1
ORDER = batch_order(SEED, 0, np.arange(ROWS))
"""Place in the stream → row id."""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def code(home):
    return snapshot_in(home, STREAM)


@pytest.fixture(scope="module")
def run(home, code, warm):
    def go(table=None, *, folder="first", before=None, known=(), replay=REPLAY, keep=True, progress=None, cancelled=None, **spec):
        table = rows(ROWS) if table is None else table
        return train(
            spec_for(table, code[1], replay=replay, seed=spec.pop("seed", SEED), **spec),
            run_id="run-1",
            tables={"train": table},
            snapshot=code[0],
            artifacts=home / folder / "artifacts",
            checkpoints=home / folder / "checkpoints" if keep else None,
            clock=Ticks(),
            scratch=home,
            child=warm.take,
            before=before,
            known=known,
            progress=progress,
            cancelled=cancelled,
        )

    return go


@pytest.fixture(scope="module")
def base(run):
    record = run()
    assert record.status == "COMPLETE", record.reason
    return record


@pytest.fixture(scope="module")
def first(base, home):
    return home / "first" / "checkpoints"


def erased(*places):
    """The rows without those that stand at some places of the stream."""
    away = {int(ORDER[place]) for place in places}
    return rows(ROWS).filter(pa.array([row not in away for row in range(ROWS)]))


def kept(folder):
    return {f"sha256:{path.name}" for path in folder.iterdir()}


def copied(folder, home, name):
    target = home / name
    target.mkdir()
    for path in folder.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    return target


def test_a_training_keeps_checkpoints_in_the_first_epoch_and_takes_no_notice_of_them(base, first, run):
    done = base.replayed
    assert [one.position for one in done.checkpoints] == [10, 30, 50, 60, 80]
    assert (done.rows, done.epochs, done.position, done.reason, done.retrain_fraction) == (ROWS, 1, 0, None, 1.0)
    assert kept(first) == {one.digest for one in done.checkpoints}
    assert run(folder="none", keep=False).artifact == base.artifact
    assert run(folder="none", keep=False).replayed.checkpoints == ()
    two = run(folder="two", replay=dataclasses.replace(REPLAY, epochs=2))
    assert [one.position for one in two.replayed.checkpoints] == [10, 30, 50, 60, 80]
    assert {one.digest for one in two.replayed.checkpoints} == kept(first), "what comes after a checkpoint changes nothing of it"


@pytest.mark.parametrize(
    ("place", "position"),
    [(55, 50)] + [pytest.param(*one, marks=pytest.mark.slow) for one in ((9, 0), (10, 10), (60, 60), (79, 60), (99, 80))],
)
def test_it_goes_on_from_the_last_checkpoint_before_the_first_use(run, base, first, home, place, position):
    """Also where two later rows are erased with it; what stands is the same, what descends from the row is not taken over."""
    table = erased(place, *({min(place + 7, 99)}))
    folder = f"erased-{place}"
    before = kept(first)
    done = run(table, folder=folder, before=first, known=base.replayed.checkpoints)
    scratch = run(table, folder=f"{folder}-scratch", keep=False)
    assert done.status == "COMPLETE", done.reason
    assert done.replayed.position == position
    assert done.replayed.retrain_fraction == 1 - position / table.num_rows
    assert scratch.replayed.position == 0
    assert done.artifact == scratch.artifact != base.artifact
    assert done.metrics == scratch.metrics
    own = kept(home / folder / "checkpoints")
    assert own == {one.digest for one in done.replayed.checkpoints}
    assert own & before == {one.digest for one in base.replayed.checkpoints if one.position <= position}
    assert kept(first) == before, "what one goes on from is not changed by it"


@pytest.mark.slow
def test_its_checkpoints_are_those_of_a_training_from_scratch(run, base, first):
    table = erased(40)
    done = run(table, folder="again", before=first, known=base.replayed.checkpoints)
    scratch = run(table, folder="again-scratch")
    told = {one.position: one.digest for one in scratch.replayed.checkpoints}
    assert all(told.get(one.position, one.digest) == one.digest for one in done.replayed.checkpoints)
    later = run(erased(40, 75), folder="later", before=Path(str(first).replace("first", "again")), known=done.replayed.checkpoints)
    assert later.replayed.position > done.replayed.position
    assert later.artifact == run(erased(40, 75), folder="later-scratch", keep=False).artifact


@pytest.mark.slow
def test_a_row_that_came_or_changed_is_as_good_a_reason(run, base, first):
    table = rows(ROWS)
    values = table["a"].to_pylist()
    values[int(ORDER[35])] += 1.0
    changed = table.set_column(table.column_names.index("a"), "a", pa.array(values))
    assert run(changed, folder="changed", before=first, known=base.replayed.checkpoints).replayed.position == 30
    more = pa.concat_tables([table, rows(1, seed=5).set_column(0, "govern_row_id", pa.array([5000], pa.int64()))])
    place = int(np.flatnonzero(batch_order(SEED, 0, more["govern_row_id"].to_numpy()) == ROWS)[0])
    stands = max((one.position for one in base.replayed.checkpoints if one.position <= place), default=0)
    assert run(more, folder="more", before=first, known=base.replayed.checkpoints).replayed.position == stands


@pytest.mark.slow
def test_after_the_first_use_it_would_be_wrong_and_is_found(run, base, first, monkeypatch):
    """The guard is off: the digests are those of the rows before. The training goes on from too late, and comes to other weights."""
    table, real = erased(55), trainers.replaying.prefix_digests
    monkeypatch.setattr(
        trainers.replaying, "prefix_digests", lambda spec, _table, at: real(spec, rows(ROWS), [one for one in at if one <= ROWS])
    )
    done = run(table, folder="unguarded", before=first, known=base.replayed.checkpoints)
    monkeypatch.undo()
    assert done.status == "COMPLETE", done.reason
    assert done.replayed.position == 80
    assert done.artifact != run(table, folder="unguarded-scratch", keep=False).artifact


@pytest.mark.slow
@pytest.mark.parametrize("spec", [{"lr": 0.11}, {"seed": 2}, {"replay": dataclasses.replace(REPLAY, batch_size=5)}])
def test_nothing_is_gone_on_from_with_another_recipe(run, base, first, spec):
    assert run(folder="other", before=first, known=base.replayed.checkpoints, **spec).replayed.position == 0


@pytest.mark.slow
def test_a_checkpoint_that_is_missing_or_altered_is_named_and_not_used(run, base, first, home):
    table, listed = erased(90), base.replayed.checkpoints
    scratch = run(table, folder="plain", keep=False)
    last, third = (home / "x" / one.digest.removeprefix("sha256:") for one in (listed[-1], listed[2]))
    missing = copied(first, home, "missing")
    (missing / last.name).unlink()
    done = run(table, folder="m1", before=missing, known=listed)
    assert (done.replayed.position, done.artifact) == (60, scratch.artifact)
    assert "the checkpoint after 80 rows is not there" in done.replayed.reason
    altered = copied(first, home, "altered")
    data = bytearray((altered / third.name).read_bytes())
    data[-1] ^= 1
    (altered / third.name).write_bytes(data)
    done = run(table, folder="m2", before=altered, known=listed[:3])
    assert (done.replayed.position, done.artifact) == (30, scratch.artifact)
    assert "the checkpoint after 50 rows holds other bytes" in done.replayed.reason
    done = run(table, folder="m3", before=home / "nowhere", known=listed)
    assert (done.replayed.position, done.artifact) == (0, scratch.artifact)
    assert "is not there" in done.replayed.reason
    planted = run(table, folder="m4", before=first, known=())
    assert (planted.replayed.position, planted.replayed.reason) == (0, "the version before kept no checkpoint")


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        ("forget", "comes to other weights when it goes on from the checkpoint after 80 rows"),
        ("rows", "sees its rows in the order of run.replay"),
        *(
            pytest.param(*one, marks=pytest.mark.slow)
            for one in (
                ("beside", "comes to other metrics when it goes on"),
                ("batches", "its batches come from run.replay"),
                ("no batches", "did not take its batches from run.replay"),
                ("twice", "may go through run.replay(…) once"),
                ("state", "another state than public_state"),
                ("unkeepable", "cannot keep 'list': list has no state_dict()"),
                ("die", "ended by SIGKILL"),
            )
        ),
    ],
)
def test_what_cannot_be_replayed_fails_and_leaves_nothing(run, home, act, reason):
    record = run(act=act, folder=f"failed-{act}")
    assert record.status == "FAIL"
    assert reason in record.reason
    assert not (home / f"failed-{act}" / "artifacts").exists()
    assert not (home / f"failed-{act}" / "checkpoints").exists()


@pytest.mark.slow
def test_a_cancel_aborts_and_leaves_nothing(run, home):
    told = []
    record = run(act="slow", folder="cancelled", progress=lambda *one: told.append(one), cancelled=lambda: len(told) > 3)
    assert (record.status, record.artifact) == ("ABORT", None)
    assert not (home / "cancelled" / "checkpoints").exists()


@pytest.mark.slow
def test_an_attempt_begins_with_an_empty_folder(run, base, home):
    stray = home / "stray" / "checkpoints"
    stray.mkdir(parents=True)
    (stray / ".draft-00").write_bytes(b"half")
    (stray / ("0" * 64)).write_bytes(b"of an attempt that was killed")
    record = run(folder="stray")
    assert kept(stray) == {one.digest for one in record.replayed.checkpoints} == {one.digest for one in base.replayed.checkpoints}


def test_wrong_inputs_are_errors_not_records(run, code):
    for wrong in (dataclasses.replace(REPLAY, batch_size=0), dataclasses.replace(REPLAY, checkpoints=0)):
        with pytest.raises(BadInput, match="sizes of 1 or more"):
            run(replay=wrong)
    with pytest.raises(BadInput, match="no privacy"):
        run(privacy=PrivacySpec(epsilon=3.0, delta=1e-3))
    table = rows(ROWS)
    spec = dataclasses.replace(spec_for(table, code[1]), strategy="replay")
    with pytest.raises(BadInput, match="no replay"):
        train(spec, run_id="r", tables={"train": table}, snapshot=code[0], artifacts=Path("none"), clock=Ticks())
    assert run(rows(0), folder="empty").reason == "there are no training rows"


def test_a_folder_that_cannot_be_written_says_so(home):
    folder = CheckpointFolder(home / "away")
    with pytest.raises(StoreUnavailable, match="could not be written"):
        folder.write(Kept(inputs="sha256:00", position=10, state=b"state"))
    (home / "file").write_text("a file where a folder should be")
    with pytest.raises(StoreUnavailable, match="could not be written"):
        CheckpointFolder(home / "file" / "inside").begin()
