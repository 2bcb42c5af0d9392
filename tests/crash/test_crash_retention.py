"""kill -9 at every step of retiring events and of making the graph from a snapshot: nothing is lost, and running it again ends it."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lineage.ledger import fsck
from lineage.ledger.retired import RETIRED
from lineage.retention.manifest import SNAPSHOT
from tests.lineage_events import ds, job_event, run
from tests.support.retire import FILLING, RETIRING, Parts
from tests.support.river import ROOT

pytestmark = [pytest.mark.crash]

EVENTS = [run(f"r{n}", "COMPLETE", n, [ds(f"d{n}"), ds("side", "1")], [ds(f"d{n + 1}", f"v{n}")]) for n in range(16)]
EVENTS += [run("late", "COMPLETE", 0, [], [ds("d0", "v")]), job_event(40, "j", [ds("a")], [ds("b")]), job_event(41, "j", [], [ds("b")])]
FAST = ("destroyed", "filling")


def moments(names: tuple[str, ...]) -> list:
    return [pytest.param(name, marks=() if name in FAST else pytest.mark.slow) for name in names]


def told(folder: Path) -> tuple:
    """What the graph of a folder is, once it stands where the ledger does."""
    parts = Parts(folder)
    parts.project()
    found = (parts.ingestor.digest(), list(parts.graph.state().scan("ev/")), sorted(map(repr, parts.graph.kept_edges())))
    problems = fsck(parts.ledger).problems
    parts.close()
    assert problems == ()
    return found


def killed(folder: Path, moment: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.retire", folder, moment], cwd=ROOT, capture_output=True, timeout=60, check=False
    )
    assert done.returncode == (0 if moment == "none" else -signal.SIGKILL), done.stderr.decode()


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> tuple[Path, tuple]:
    """A folder with a ledger and its graph, and what that graph is."""
    folder = tmp_path_factory.mktemp("prepared")
    parts = Parts(folder)
    parts.ingestor.accept_many(EVENTS, actor="key:1")
    parts.project()
    parts.close()
    return folder, told(folder)


@pytest.fixture
def home(prepared, tmp_path) -> tuple[Path, tuple]:
    shutil.copytree(prepared[0], tmp_path / "home")
    return tmp_path / "home", prepared[1]


def without_graph(folder: Path) -> Path:
    """A copy of the folder that has lost its graph."""
    copy = folder.with_name("copy")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(folder, copy)
    for path in copy.glob("graph.db*"):
        path.unlink()
    return copy


@pytest.mark.parametrize("moment", moments(RETIRING))
def test_retiring_that_is_killed_loses_nothing_and_can_be_run_again(home, moment):
    folder, graph = home
    killed(folder, moment)
    assert told(without_graph(folder)) == graph, "snapshot and remaining entries give the same"
    parts = Parts(folder)
    parts.retire()
    assert all(entry.payload is None for entry in parts.ledger.entries(0, len(EVENTS)))
    assert len(parts.files.names()) == 1
    assert parts.retire()["events"] == 0
    made, said = parts.ledger.entries(0, 99, SNAPSHOT), parts.ledger.entries(0, 99, RETIRED)
    assert len(made) == 1, "what was made before the kill is used, or was never entered"
    assert said
    parts.close()
    assert told(folder) == graph
    assert not list((folder / "snapshots").glob("*.tmp"))


@pytest.mark.parametrize("moment", moments(FILLING))
def test_a_graph_that_is_killed_on_its_way_back_is_whole_in_the_end(home, moment):
    folder, graph = home
    parts = Parts(folder)
    parts.retire()
    parts.close()
    killed(folder, moment)
    assert told(folder) == graph
