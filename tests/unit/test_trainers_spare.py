"""Processes that are ready at once: forks of a warm one, each fresh and with its own life, and none outlives its keeper."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from governance.settings import Settings
from lineage.errors import BadInput
from trainers.child import Child
from trainers.errors import ChildDied, ChildFailed, ChildTimeout
from trainers.forks import ForkServer
from trainers.spare import Spare


@pytest.fixture
def spare(tmp_path):
    spare = Spare(tmp_path)
    yield spare
    spare.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server whose forks may run the children of these tests."""
    server = ForkServer(threads=1, scratch=tmp_path_factory.mktemp("server"))
    yield server
    server.kill()


def gone(pid):
    end = time.monotonic() + 30
    while time.monotonic() < end:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False


def test_each_that_is_taken_is_a_process_of_its_own(spare, tmp_path):
    spare.prepare()
    taken = [spare.take(1), spare.take(1), spare.take(2)]
    assert len({child.pid for child in taken} | {spare._server.pid, os.getpid()}) == 5
    assert len({child.scratch for child in taken}) == 3
    assert all(child.alive() and os.getsid(child.pid) == child.pid for child in taken)
    spare.close()
    assert not any(child.alive() for child in taken), "closing ends those that train too"
    assert list(tmp_path.iterdir()) == []
    assert not spare.take(1).alive()


@pytest.mark.slow
def test_a_warm_process_that_was_killed_is_started_again_and_its_forks_do_their_work(spare):
    with spare.take(1) as first, spare.take(1) as second:
        warm = spare._server
        os.kill(warm.pid, signal.SIGKILL)
        while warm.alive():
            time.sleep(0.01)
        with spare.take(1) as fresh:
            assert fresh.alive()
            assert spare._server.pid != warm.pid
        first.send("nonsense")
        with pytest.raises(ChildFailed, match="knows no message 'nonsense'"):
            first.receive(30)
        assert first.alive()
        first.close(30)
        assert not first.alive()
        os.kill(second.pid, signal.SIGKILL)
        with pytest.raises(ChildDied, match="status 255"):
            second.receive(30)


def test_none_is_kept_where_none_is_wanted(tmp_path):
    spare = Spare(tmp_path, keep=0)
    spare.prepare()
    assert spare._server is None
    child = spare.take(1)
    try:
        assert child.alive()
        assert spare._server is None
    finally:
        spare.close()


# ── a fork is as fresh as a process ─────────────────────────────────────────────────────────────
def test_what_one_fork_does_to_its_process_the_next_does_not_find(server, tmp_path):
    with Child("trainers.main", threads=1, scratch=tmp_path, forks=server) as one, Child("trainers.main", threads=1, forks=server) as two:
        for child in (one, two):  # by its answer it has come where it works
            child.send("nonsense")
            with pytest.raises(ChildFailed, match="knows no message"):
                child.receive(30)
        folders = [Path(f"/proc/{child.pid}/cwd").readlink() for child in (one, two)]
        assert folders == [one.scratch, two.scratch]
        descriptors = [sorted(int(fd.name) for fd in Path(f"/proc/{child.pid}/fd").iterdir()) for child in (one, two)]
        assert descriptors[0] == descriptors[1], "nothing of the first is open in the second"
        assert len(descriptors[0]) == 6, "three standard ones, the pipes, the lifeline"


def test_its_end_is_told_as_it_was(server, tmp_path):
    with Child("trainers.main", threads=1, scratch=tmp_path, forks=server) as child:
        child.send("close")
        with pytest.raises(ChildDied, match="status 0"):
            child.receive(30)
    with Child("trainers.main", threads=1, scratch=tmp_path, forks=server) as child:
        os.kill(child.pid, signal.SIGSEGV)
        with pytest.raises(ChildDied, match="SIGSEGV"):
            child.receive(30)
    with Child("no_such_module", threads=1, scratch=tmp_path, forks=server) as child:
        with pytest.raises(ChildDied, match="status 1"):
            child.receive(30)
        end = time.monotonic() + 10
        while "ModuleNotFoundError" not in child.tail() and time.monotonic() < end:
            time.sleep(0.01)
        assert "ModuleNotFoundError" in child.tail()


def test_it_ends_with_who_holds_its_lifeline_and_no_pid_is_given_away_before_it_is_let_go(server, tmp_path):
    child = Child("trainers.main", threads=1, scratch=tmp_path, forks=server)
    with pytest.raises(ChildTimeout):
        child.receive(0.01)
    os.close(child._lifeline)
    child._lifeline = os.open(os.devnull, os.O_RDONLY)
    with pytest.raises(ChildDied, match="SIGKILL"):
        child.receive(30)
    assert ") Z " in Path(f"/proc/{child.pid}/stat").read_text(), "its pid is its own until it is let go"
    child.kill()
    assert gone(child.pid)


def test_a_fork_has_the_threads_and_the_environment_of_its_server(server, tmp_path):
    with pytest.raises(ValueError, match="of its server"):
        Child("trainers.main", threads=2, scratch=tmp_path, forks=server)
    with pytest.raises(ValueError, match="of its server"):
        Child("trainers.main", threads=1, env={"A": "b"}, scratch=tmp_path, forks=server)
    assert list(tmp_path.iterdir()) == []


# ── the setting ─────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(("text", "known"), [("0", 0), ("1", 1), (" 1 ", 1)])
def test_the_setting_is_read(text, known):
    assert Settings.read({"GOVERN_SPARE_TRAININGS": text}).spare_trainings == known


@pytest.mark.parametrize("text", ["2", "-1", "yes"])
def test_a_wrong_setting_is_named(text):
    with pytest.raises(BadInput, match="GOVERN_SPARE_TRAININGS"):
        Settings.read({"GOVERN_SPARE_TRAININGS": text})
