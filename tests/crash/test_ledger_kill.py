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


def acknowledged_until(process, wanted, acknowledged):
    deadline = time.monotonic() + 60
    while len(acknowledged) < wanted and time.monotonic() < deadline:
        index, identity = process.stdout.readline().split()
        acknowledged[identity] = int(index)


def killed(process, acknowledged):
    """Kill it, and take what it had said."""
    os.kill(process.pid, signal.SIGKILL)
    rest, _ = process.communicate(timeout=30)
    for line in rest.split("\n")[:-1]:  # the last line may be cut: it was not read as an answer
        index, identity = line.split()
        acknowledged[identity] = int(index)


def whole(ledger, acknowledged):
    """Everything that was acknowledged is there, once, and the log is sound."""
    assert len(acknowledged) >= 100
    for identity, index in acknowledged.items():
        assert ledger.entry(index).identity == identity
    identities = [one.identity for one in ledger.entries(0, 1_000_000)]
    assert len(set(identities)) == len(identities) == ledger.size()
    assert ledger.record("count", "appended")[0] == ledger.size()
    report = fsck(ledger)
    assert report.problems == ()
    assert report.size == ledger.size() >= len(acknowledged)


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 4))])
def test_every_acknowledged_entry_survives_sigkill(open_ledger, tmp_path, seed):
    acknowledged = {}
    chance = random.Random(seed)
    for _ in range(2):  # the second process goes on where the first was killed
        process = start(tmp_path / "ledger.db")
        acknowledged_until(process, len(acknowledged) + chance.randrange(50, 400), acknowledged)
        killed(process, acknowledged)
    whole(open_ledger(), acknowledged)


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 10))])
def test_two_processes_append_to_one_postgres_and_are_killed(postgres_ledger, seed):
    """One is killed while the other goes on, then that one too; a third goes on after both."""
    acknowledged = {}
    chance = random.Random(seed)
    first, second = (start(postgres_ledger.uri, threads=4) for _ in range(2))
    acknowledged_until(first, chance.randrange(30, 120), acknowledged)
    killed(first, acknowledged)
    acknowledged_until(second, len(acknowledged) + chance.randrange(30, 120), acknowledged)
    killed(second, acknowledged)
    assert {int(identity.partition(".")[0]) for identity in acknowledged} == {first.pid, second.pid}
    third = start(postgres_ledger.uri, threads=4)
    acknowledged_until(third, len(acknowledged) + 30, acknowledged)
    killed(third, acknowledged)
    whole(postgres_ledger.open(), acknowledged)


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
