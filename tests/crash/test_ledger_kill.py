"""A ledger whose process is killed while it appends: what was acknowledged is there, and the log is whole."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lineage.ledger import fsck

pytestmark = pytest.mark.crash

CHILD = Path(__file__).parents[1] / "support" / "ledger_appender.py"


def start(path, threads=8, wrapper=(), **options):
    return subprocess.Popen([*wrapper, sys.executable, str(CHILD), str(path), str(threads)], stdout=subprocess.PIPE, text=True, **options)


@pytest.mark.parametrize("seed", range(4))
def test_every_acknowledged_entry_survives_sigkill(open_ledger, tmp_path, seed):
    acknowledged = {}
    chance = random.Random(seed)
    for _ in range(2):  # the second process goes on where the first was killed
        process = start(tmp_path / "ledger.db")
        deadline = time.monotonic() + 60
        wanted = len(acknowledged) + chance.randrange(50, 400)
        while len(acknowledged) < wanted and time.monotonic() < deadline:
            index, identity = process.stdout.readline().split()
            acknowledged[identity] = int(index)
        os.kill(process.pid, signal.SIGKILL)
        rest, _ = process.communicate(timeout=30)
        for line in rest.split("\n")[:-1]:  # the last line may be cut: it was not read as an answer
            index, identity = line.split()
            acknowledged[identity] = int(index)
    ledger = open_ledger()
    assert len(acknowledged) >= 100
    for identity, index in acknowledged.items():
        assert ledger.entry(index).identity == identity
    assert ledger.record("count", "appended")[0] == ledger.size()
    report = fsck(ledger)
    assert report.problems == ()
    assert report.size == ledger.size() >= len(acknowledged)


def test_a_full_disk_stops_the_appending_with_a_clear_error(open_ledger, tmp_path):
    """The file-size limit of the process stands for the disk: SQLite's write fails in the middle of a commit."""
    small = ("bash", "-c", "trap '' XFSZ; ulimit -f 390; exec \"$@\"", "--")  # KiB; set outside this process, which must not fork
    process = start(tmp_path / "ledger.db", threads=2, wrapper=small, stderr=subprocess.PIPE)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "StoreUnavailable" in err
    assert "full" in err or "disk" in err
    acknowledged = [line.split() for line in out.split("\n")[:-1]]
    assert len(acknowledged) > 10
    ledger = open_ledger()
    assert {ledger.entry(int(index)).identity for index, _ in acknowledged} == {identity for _, identity in acknowledged}
    assert ledger.record("count", "appended")[0] == ledger.size()
    assert fsck(ledger).ok
    assert ledger.append([]) == []
