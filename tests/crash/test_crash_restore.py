"""kill -9 in the middle of a restore: the home serves nobody, and the same command again ends it."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from governance.wiring import init_home
from governance.wiring.backups import make_backup
from lineage.errors import GovernError, Incomplete
from lineage.ledger import fsck
from tests.support.persons import PERSONS, Persons, opened_persons
from tests.support.restore_main import MOMENTS
from tests.support.river import ROOT
from tests.support.scanner import scan

pytestmark = [pytest.mark.crash]

ERASED = PERSONS[0]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup, the keys, and the list of what was erased since."""
    folder = tmp_path_factory.mktemp("restore")
    init_home(folder / "home")
    with opened_persons(folder / "home") as system:
        system.filled()
        make_backup(folder / "home", folder / "old.tar", keep=10**18, checkpoint=system.log.checkpoint().note)
        assert system.erase(ERASED)["state"] == "completed"
        (folder / "list.json").write_bytes(system.erased.export())
    shutil.copytree(folder / "home" / "keys", folder / "keys")
    return folder


def restoring(root: Path, home: Path, moment: str) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-m", "tests.support.restore_main", moment, home, root / "old.tar", root / "keys", root / "list.json"]
    return subprocess.Popen(list(map(str, words)), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def ends_well(root: Path, home: Path) -> None:
    """The same command again makes a home in which they are not."""
    if (home / "govern.json").exists():
        with pytest.raises(Incomplete):
            Persons(home, worker=False)
    else:
        with pytest.raises(GovernError):
            Persons(home, worker=False)
    process = restoring(root, home, "none")
    assert process.wait(120) == 0, process.communicate()[1].decode()
    if process.stderr is not None:
        process.stderr.close()
    report = scan(home, [ERASED.encode()])
    assert (report.hits, report.unknown) == ([], [])
    with opened_persons(home) as system:
        assert system.mails() == set(PERSONS[1:])
        assert fsck(system.log).problems == ()
        assert [entry.kind for entry in system.log.entries(limit=1000)].count("govern.home.restored") == 1
    assert [path.name for path in home.parent.iterdir() if "restoring" in path.name] == []


@pytest.mark.parametrize("moment", [pytest.param(one, marks=() if one == "purged" else pytest.mark.slow) for one in MOMENTS[:-1]])
def test_killed_at_a_moment(root: Path, tmp_path: Path, moment: str) -> None:
    process = restoring(root, tmp_path / "home", moment)
    _, said = process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL, said.decode()
    ends_well(root, tmp_path / "home")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
def test_killed_at_any_moment(root: Path, tmp_path: Path, seed: int) -> None:
    began = time.monotonic()
    whole = restoring(root, tmp_path / "whole", "none")
    whole.communicate(timeout=300)
    took = time.monotonic() - began
    process = restoring(root, tmp_path / "home", "none")
    time.sleep(random.Random(seed).uniform(0.2, 0.95) * took)
    process.kill()
    process.communicate()
    if process.returncode == 0:
        return
    if not (tmp_path / "home" / "backup.json").exists() and (tmp_path / "home" / "govern.json").exists():
        with opened_persons(tmp_path / "home") as system:  # it had ended, all but the process
            assert system.mails() == set(PERSONS[1:])
        return
    ends_well(root, tmp_path / "home")
