"""A training process started ahead serves one training, and none outlives its keeper."""

from __future__ import annotations

import pytest

from governance.settings import Settings
from lineage.errors import BadInput
from trainers.spare import Spare


def test_the_one_that_is_ready_is_taken_once(tmp_path):
    spare = Spare(tmp_path)
    spare.prepare()
    spare.prepare()
    first = spare.take(1)
    second = spare.take(1)
    other = spare.take(2)
    try:
        assert len({first.pid, second.pid, other.pid}) == 3
        assert all(child.alive() for child in (first, second, other))
    finally:
        spare.close()
    assert not any(child.alive() for child in (first, second, other)), "closing ends those that train too"
    late = spare.take(1)
    assert not late.alive()


def test_one_that_died_is_not_given_away(tmp_path):
    spare = Spare(tmp_path)
    try:
        taken = spare.take(1)  # the next one is ready now
        dead = spare._ready
        dead.kill()
        fresh = spare.take(1)
        assert fresh.pid != dead.pid
        assert fresh.alive()
        assert taken.alive()
    finally:
        spare.close()


def test_none_is_kept_where_none_is_wanted(tmp_path):
    spare = Spare(tmp_path, keep=0)
    spare.prepare()
    assert spare._ready is None
    child = spare.take(1)
    try:
        assert child.alive()
        assert spare._ready is None
    finally:
        spare.close()


@pytest.mark.parametrize(("text", "known"), [("0", 0), ("1", 1), (" 1 ", 1)])
def test_the_setting_is_read(text, known):
    assert Settings.read({"GOVERN_SPARE_TRAININGS": text}).spare_trainings == known


@pytest.mark.parametrize("text", ["2", "-1", "yes"])
def test_a_wrong_setting_is_named(text):
    with pytest.raises(BadInput, match="GOVERN_SPARE_TRAININGS"):
        Settings.read({"GOVERN_SPARE_TRAININGS": text})
