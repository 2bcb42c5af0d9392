"""kill -9 of the parent: the child and its own children are gone within five seconds, whatever they are doing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

CHILDREN = Path(__file__).parents[1] / "unit" / "trainers_children"
PARENT = """
import sys, time
from pathlib import Path
from trainers.child import Child
child = Child("echo_child", threads=1, env={{"PYTHONPATH": {path!r}}}, scratch=Path({scratch!r}))
child.send("grandchild")
grandchild = child.receive(20)[1]["pid"]
child.send({what!r}, {{"hang": True}})
if {what!r} == "hold-the-interpreter":
    child.receive(20)
fork = [child.receive(20)[1]["pid"]] if {what!r} == "fork" else []
print(child.pid, grandchild, *fork, flush=True)
time.sleep(600)
"""


def runs(pid):
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


@pytest.mark.crash
@pytest.mark.parametrize("what", ["hang", "hold-the-interpreter", "echo", "fork"])
def test_no_child_outlives_a_killed_parent(what, tmp_path):
    code = PARENT.format(path=str(CHILDREN), scratch=str(tmp_path), what=what)
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(pids) == (3 if what == "fork" else 2)
        assert all(runs(pid) for pid in pids)
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
    deadline = time.monotonic() + 5
    while any(runs(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.02)
    left = [pid for pid in pids if runs(pid)]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert left == []
