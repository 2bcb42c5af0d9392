"""SIGKILL in the middle of a write or a purge: whoever opens the dataset next finishes it, once."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pyarrow as pa
import pytest

from lineage.adapters.lance_dataset import LanceDataset
from lineage.adapters.lines_dataset import LinesDataset
from lineage.errors import Gone
from lineage.ports import VersionedDataset
from tests.support.rows_keys import MemoryKeys, TickingClock
from tests.support.scanner import scan

pytestmark = pytest.mark.crash
SENTINEL = "Sentinel-Qqx-0815"

CHILD = textwrap.dedent(
    """
    import os, signal, sys
    from pathlib import Path
    import pyarrow as pa
    import lineage.adapters.dataset_catalog as catalog
    import lineage.adapters.lines_dataset as lines
    from tests.crash.test_datasets_purge_crash import open_it

    root, kind, action, stop = Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
    ds = open_it(root, kind)
    steps = []

    def step(owner, name):
        real = getattr(owner, name)
        def before_and_after(*args, **kwargs):
            for moment in ("before", "after"):
                if moment == "after":
                    result = real(*args, **kwargs)
                steps.append(f"{moment} {name}")
                if len(steps) == stop:
                    print(steps[-1], flush=True)
                    os.kill(os.getpid(), signal.SIGKILL)
            return result
        setattr(owner, name, before_and_after)

    step(catalog.CatalogFile, "save")
    if kind == "lance":
        import lance
        step(lance.LanceDataset, "delete")
        step(lance.LanceDataset, "cleanup_old_versions")
        step(sys.modules["lance.dataset"].DatasetOptimizer, "compact_files")
        step(lance, "write_dataset")
    else:
        step(lines, "write_atomic")
    if action == "purge":
        ds.purge([3], request="er-1")
    else:
        ds.write(pa.table({"line": ["Too-Late-0816"]}), mode="append")
    print("done", len(steps), flush=True)
    """
)


def open_it(root: Path, kind: str) -> VersionedDataset:
    keys, clock = MemoryKeys(), TickingClock()
    if kind == "lance":
        return LanceDataset(root / "datasets", "d", keys=keys, clock=clock)
    return LinesDataset(root / "landing.txt", root / "datasets", "d", keys=keys, clock=clock)


def prepared(root: Path, kind: str) -> VersionedDataset:
    root.mkdir()
    (root / "landing.txt").touch()
    ds = open_it(root, kind)
    ds.write(pa.table({"line": ["row one", "row two"]}), mode="append")
    ds.write(pa.table({"line": [SENTINEL]}), mode="append")
    ds.write(pa.table({"line": ["row four"]}), mode="append")
    return ds


def killed(root: Path, kind: str, action: str, stop: int) -> str:
    """Runs the action in a child that kills itself at step ``stop``; returns the step, or ``done n``."""
    child = subprocess.run(
        [sys.executable, "-c", CHILD, str(root), kind, action, str(stop)],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=Path(__file__).parents[2],
        check=False,
    )
    said = child.stdout.strip()
    assert child.returncode == (0 if said.startswith("done") else -signal.SIGKILL), child.stderr
    return said


def lines_of(ds: VersionedDataset, version: str = "latest") -> list[str]:
    return ds.read(version).column("line").to_pylist()


# Steps come in pairs (before, after). Lance: save, delete, compact, save, cleanup, save. Lines: save, rewrite, save, save.
@pytest.mark.parametrize(("kind", "stop"), [*(("lance", n) for n in (2, 4, 6, 8, 10)), *(("lines", n) for n in (2, 4, 5))])
def test_a_killed_purge_is_finished_by_whoever_comes_next(tmp_path: Path, kind: str, stop: int) -> None:
    root = tmp_path / "home"
    before = prepared(root, kind).versions()
    said = killed(root, kind, "purge", stop)
    assert said
    assert not said.startswith("done")
    ds = open_it(root, kind)
    assert lines_of(ds) == ["row one", "row two", "row four"]
    held = [v.version for v in before if v.rows >= 3]
    assert len(held) == 2
    infos = {v.version: v for v in ds.versions()}
    for version in held:
        assert (infos[version].gone, infos[version].request) == (True, "er-1")
        with pytest.raises(Gone):
            ds.read(version)
    spared = next(v for v in before if v.rows == 2)
    assert lines_of(ds, spared.version) == ["row one", "row two"]
    assert len(infos) == len(before) + 1
    assert scan(root, [SENTINEL.encode()]).clean
    report = ds.purge([3], request="er-1")
    assert (report.rows_deleted, report.residual_rows) == (1, 0)
    assert sorted(report.versions_removed) == sorted(held)
    assert len(ds.versions()) == len(before) + 1
    catalog = json.loads((root / "datasets" / "d" / "catalog.json").read_text())
    assert (catalog["pending"], len(catalog["purges"])) == (None, 1)


@pytest.mark.parametrize(("kind", "steps"), [("lance", 12), ("lines", 8)])
def test_the_steps_above_are_all_there_are(tmp_path: Path, kind: str, steps: int) -> None:
    prepared(tmp_path / "home", kind)
    assert killed(tmp_path / "home", kind, "purge", 1_000) == f"done {steps}"


@pytest.mark.parametrize("stop", [1, 4])
def test_a_killed_write_did_not_happen(tmp_path: Path, stop: int) -> None:
    root = tmp_path / "home"
    before = prepared(root, "lance").versions()
    assert killed(root, "lance", "write", stop)
    ds = open_it(root, "lance")
    assert ds.versions() == before
    assert scan(root, [b"Too-Late-0816"]).clean
    info = ds.write(pa.table({"line": ["again"]}), mode="append")
    assert lines_of(ds) == ["row one", "row two", SENTINEL, "row four", "again"]
    assert ds.row_ids(info.version)[-1] == (5 if stop == 1 else 6)
    for version in before:
        assert ds.count(version.version) == version.rows


def test_a_killed_first_write_leaves_nothing(tmp_path: Path) -> None:
    root = tmp_path / "home"
    root.mkdir()
    assert killed(root, "lance", "write", 4) == "after write_dataset"
    ds = open_it(root, "lance")
    assert ds.latest() is None
    assert scan(root, [b"Too-Late-0816"]).clean
    ds.write(pa.table({"line": ["again"]}), mode="append")
    assert ds.row_ids("latest") == [2]
