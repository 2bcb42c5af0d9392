"""One owner for a home, and the room on its disk."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from lineage.adapters.home import HomeLock, require_space
from lineage.errors import StoreUnavailable

HOLD = """
import sys, time
from pathlib import Path
from lineage.adapters.home import HomeLock
with HomeLock(Path(sys.argv[1])) as lock:
    lock.announce("http://127.0.0.1:5099")
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def owner(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.wait(10)
    process.stdout.close()


def test_a_second_owner_is_told_who_the_first_is(tmp_path, owner):
    with pytest.raises(StoreUnavailable, match=f"owned by process {owner.pid}") as caught, HomeLock(tmp_path):
        pass
    assert "GOVERN_URL=http://127.0.0.1:5099" in caught.value.hint
    said = HomeLock.owner(tmp_path)
    assert time.time() - 60 < said.pop("since") <= time.time()
    assert said == {"pid": owner.pid, "url": "http://127.0.0.1:5099"}


def test_a_killed_owner_leaves_the_home_free(tmp_path, owner):
    owner.send_signal(signal.SIGKILL)
    owner.wait(10)
    assert HomeLock.owner(tmp_path) is None
    with HomeLock(tmp_path):
        assert HomeLock.owner(tmp_path)["pid"] == os.getpid()
    assert HomeLock.owner(tmp_path) is None


def stands_by(home, told, *, stopped=lambda: False):
    lock = HomeLock(home)
    thread = threading.Thread(target=lambda: told.append(lock.wait(told.append, stopped=stopped)), daemon=True)
    thread.start()
    end = time.monotonic() + 20
    while not told:
        assert time.monotonic() < end
        time.sleep(0.01)
    return lock, thread


def test_who_stands_by_owns_the_home_the_moment_its_owner_is_killed(tmp_path, owner):
    (tmp_path / "standby-99").write_text("{}")  # of one that was killed
    told = []
    lock, thread = stands_by(tmp_path, told)
    assert told[0]["pid"] == owner.pid
    end = time.monotonic() + 20
    while not HomeLock.standing_by(tmp_path):
        assert time.monotonic() < end
    assert [one["pid"] for one in HomeLock.standing_by(tmp_path)] == [os.getpid()]
    owner.send_signal(signal.SIGKILL)
    thread.join(20)
    assert told[1:] == [True]
    assert HomeLock.owner(tmp_path)["pid"] == os.getpid()
    assert HomeLock.standing_by(tmp_path) == []
    assert list(tmp_path.glob("standby-*")) == []
    lock.announce("http://127.0.0.1:5100")
    assert HomeLock.owner(tmp_path)["url"] == "http://127.0.0.1:5100"
    lock.__exit__(None, None, None)
    assert HomeLock.owner(tmp_path) is None


def test_who_stands_by_may_be_told_to_stop_and_takes_nothing_later(tmp_path, owner):
    told = []
    _, thread = stands_by(tmp_path, told, stopped=lambda: True)
    thread.join(20)
    assert told[1:] == [False]
    owner.send_signal(signal.SIGKILL)
    owner.wait(10)
    time.sleep(0.2)  # the lock comes to who waited for it, and is given back
    with HomeLock(tmp_path):
        pass


def test_a_home_that_nobody_owns_is_taken_at_once(tmp_path):
    told = []
    lock = HomeLock(tmp_path)
    assert lock.wait(told.append, stopped=lambda: False)
    assert told == [None]
    lock.__exit__(None, None, None)


def test_the_same_process_cannot_own_a_home_twice(tmp_path):
    with HomeLock(tmp_path), pytest.raises(StoreUnavailable, match=f"owned by process {os.getpid()}"), HomeLock(tmp_path):
        pass


def test_looking_for_an_owner_does_not_keep_one_from_coming(tmp_path):
    done = threading.Event()

    def look():
        while not done.is_set():
            HomeLock.owner(tmp_path)

    looker = threading.Thread(target=look)
    looker.start()
    for _ in range(20):
        with HomeLock(tmp_path):
            pass
    done.set()
    looker.join(10)


def test_a_home_that_is_not_there_says_how_to_begin(tmp_path):
    with pytest.raises(StoreUnavailable, match="cannot be opened") as caught, HomeLock(tmp_path / "none" / "lock"):
        pass
    assert caught.value.hint == "govern init --home DIR"
    assert HomeLock.owner(tmp_path) is None


def test_a_lock_that_is_not_held_announces_nothing(tmp_path):
    with pytest.raises(StoreUnavailable, match="not held"):
        HomeLock(tmp_path).announce("http://x")


def test_room_on_the_disk_is_given_or_refused_with_figures(tmp_path):
    assert require_space(tmp_path, 1) > 0
    with pytest.raises(StoreUnavailable, match="needs 1,000,000,000,000,000,000"):
        require_space(tmp_path, 10**18)
