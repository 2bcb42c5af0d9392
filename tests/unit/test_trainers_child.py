"""The subprocess protocol: messages survive prints, failures have reasons without values, nothing outlives the parent."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import psutil
import pyarrow as pa
import pytest

from trainers.child import Child, sweep_scratch
from trainers.errors import ChildDied, ChildFailed, ChildTimeout
from trainers.frames import frame, from_ipc, to_ipc

HERE = Path(__file__).parent / "trainers_children"


def start(tmp_path, **kwargs):
    return Child("echo_child", threads=1, env={"PYTHONPATH": str(HERE)}, scratch=tmp_path, **kwargs)


@pytest.fixture
def child(tmp_path):
    with start(tmp_path) as one:
        yield one


def gone(pid, within=5.0):
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.02)
    return False


def test_a_message_comes_back_whole_and_prints_do_not_touch_it(child):
    body = os.urandom(3_000_000)
    child.send("echo", {"n": 1, "text": "ü"}, body)
    assert child.receive(20) == ("echo", {"n": 1, "text": "ü"}, body)
    child.send("echo", {"n": 2})
    assert child.receive(20) == ("echo", {"n": 2}, b"")
    child.close()
    assert "user print {'n': 1" in child.tail()


def test_a_loud_child_neither_blocks_nor_fills_memory(child):
    child.send("shout", {"bytes": 2_000_000})
    assert child.receive(20)[0] == "done"
    child.close()
    assert len(child.tail()) <= 16 * 1024
    assert child.tail().endswith("yyy")


def test_an_exception_is_told_by_type_and_place_only_and_the_child_goes_on(child):
    child.send("raise")
    with pytest.raises(ChildFailed) as caught:
        child.receive(20)
    assert re.fullmatch(r"ValueError in answer \(echo_child\.py, line \d+\)", caught.value.message)
    child.send("raise-ours")
    with pytest.raises(ChildFailed, match="no such thing") as caught:
        child.receive(20)
    assert caught.value.hint == "look elsewhere"
    child.send("echo", {"n": 3})
    assert child.receive(20)[0] == "echo"


def test_an_exit_and_a_signal_are_named(tmp_path):
    with start(tmp_path) as child:
        child.send("exit", {"code": 3})
        with pytest.raises(ChildDied, match="exited with status 3"):
            child.receive(20)
        with pytest.raises(ChildDied):
            child.send("echo", {}, b"x" * 1_000_000)
    with start(tmp_path) as child:
        os.kill(child.pid, 9)
        with pytest.raises(ChildDied, match="SIGKILL"):
            child.receive(20)


def test_a_hang_is_a_timeout_and_kill_ends_it(child):
    child.send("hang")
    with pytest.raises(ChildTimeout, match=r"within 0\.2 s"):
        child.receive(0.2)
    with pytest.raises(ChildTimeout, match="did not read"):
        child.send("echo", {}, b"x" * 5_000_000, timeout=0.2)
    assert child.alive()
    child.kill()
    assert not child.alive()
    child.kill()


def test_kill_takes_the_whole_group_and_the_scratch_folder(child):
    child.send("grandchild")
    pid = child.receive(20)[1]["pid"]
    assert child.scratch.is_dir()
    child.kill()
    assert gone(pid)
    assert not child.scratch.exists()


def test_the_environment_is_minimal(monkeypatch, tmp_path):
    monkeypatch.setenv("GOVERN_API_KEY", "secret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with start(tmp_path) as child:
        child.send("environment")
        env = child.receive(20)[1]
    assert "secret" not in env.values()
    assert env["HOME"] == env["TMPDIR"] == str(child.scratch)
    assert env["OMP_NUM_THREADS"] == env["MKL_NUM_THREADS"] == "1"
    assert env["PYTHONHASHSEED"] == "0"
    with pytest.raises(ValueError, match="GOVERN_HOME"):
        Child("echo_child", threads=1, env={"GOVERN_HOME": "/"}, scratch=tmp_path)


def test_no_other_open_file_reaches_the_child(tmp_path):
    with (tmp_path / "secret").open("w") as secret:
        os.set_inheritable(secret.fileno(), True)
        with start(tmp_path) as child:
            child.send("open-files")
            fds = child.receive(20)[1]["fds"]
    assert len(fds) <= 7  # 0, 1, 2, three pipes, the listing itself


def test_scratch_folders_of_dead_owners_are_swept(tmp_path):
    dead = tmp_path / "govern-child-4194305-abc"
    dead.mkdir()
    (dead / "left").write_text("over")
    mine = tmp_path / f"govern-child-{os.getpid()}-abc"
    mine.mkdir()
    assert sweep_scratch(tmp_path) == 1
    assert not dead.exists()
    assert mine.exists()


def test_a_header_that_is_not_json_is_refused():
    with pytest.raises(ValueError, match="JSON compliant"):
        frame("x", {"loss": float("nan")})


def test_tables_keep_their_types():
    table = pa.table({"govern_row_id": pa.array([1, 2], pa.int64()), "line": ["a", None]})
    assert from_ipc(to_ipc(table)).equals(table)


def test_a_fork_answers_in_a_folder_of_its_own_and_its_end_is_told(child):
    seen = []
    for _ in range(2):
        child.send("fork", {})
        _, where, _ = child.receive(20)
        assert child.receive(20) == ("worked", {}, b"")
        assert where["pid"] != child.pid
        assert where["folder"] == where["home"]
        seen.append(where["folder"])
    assert seen[0] != seen[1]
    for status in (0, 3):
        child.send("fork", {"exit": status})
        child.receive(20)
        with pytest.raises(ChildFailed, match=f"the process exited with status {status}"):
            child.receive(20)
    child.send("echo", {"n": 4})
    assert child.receive(20)[0] == "echo"
    assert not [folder for folder in seen if Path(folder).exists()]
