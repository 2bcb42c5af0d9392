"""SIGKILL in the middle of a write or a purge: whoever opens the dataset next finishes it, once."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pyarrow as pa
import pytest

from lineage.errors import Gone
from lineage.ports import VersionedDataset
from tests.support.dataset_stores import KINDS, TABLES, open_dataset
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
    from tests.support.dataset_stores import open_dataset

    root, kind, action, stop = Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
    ds = open_dataset(kind, root)
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
    elif kind == "delta":
        import deltalake
        step(deltalake.DeltaTable, "delete")
        step(deltalake.DeltaTable, "create_checkpoint")
        step(deltalake, "write_deltalake")
        step(Path, "unlink")
    elif kind == "parquet":
        from lineage.adapters.table_files import LocalFiles
        for name in ("write", "publish", "remove"):
            step(LocalFiles, name)
    else:
        step(lines, "write_atomic")
    if os.environ.get("GOVERN_TEST_SAYS_WHEN"):
        print("open", flush=True)
    if action == "purge":
        ds.purge([3], request="er-1")
    elif action == "redact":
        ds.purge([2, 3], request="er-1", redact={3: ["line"]})
    elif action == "delete":
        ds.delete([3])
    else:
        ds.write(pa.table({"line": ["Too-Late-0816"]}), mode="append")
    print("done", len(steps), flush=True)
    """
)


def prepared(root: Path, kind: str) -> VersionedDataset:
    root.mkdir()
    ds = open_dataset(kind, root)
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
        timeout=600,
        cwd=Path(__file__).parents[2],
        check=False,
    )
    said = child.stdout.strip()
    assert child.returncode == (0 if said.startswith("done") else -signal.SIGKILL), child.stderr
    return said


def lines_of(ds: VersionedDataset, version: str = "latest") -> list[str]:
    return ds.read(version).column("line").to_pylist()


# Steps come in pairs (before, after), saves of the catalog first and last. What lies between: Lance deletes, compacts, cleans up;
# Delta deletes, makes a checkpoint, unlinks file by file; Parquet writes a bucket, publishes the manifest, removes manifests, then data;
# lines are rewritten in one step.
STEPS = {"lance": 12, "delta": 20, "parquet": 12, "lines": 8}
QUICK = {"lance": (4, 6, 10), "delta": (4, 14), "parquet": (4, 10), "lines": (4,)}
EVERY = [(kind, stop) for kind, steps in STEPS.items() for stop in range(2, steps) if stop not in QUICK[kind]]


@pytest.mark.parametrize(
    ("kind", "stop"),
    [*((kind, stop) for kind, stops in QUICK.items() for stop in stops), *(pytest.param(*one, marks=pytest.mark.slow) for one in EVERY)],
)
def test_a_killed_purge_is_finished_by_whoever_comes_next(tmp_path: Path, kind: str, stop: int) -> None:
    root = tmp_path / "home"
    before = prepared(root, kind).versions()
    said = killed(root, kind, "purge", stop)
    assert said
    assert not said.startswith("done")
    ds = open_dataset(kind, root)
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


# After the rows went and what stays of one was added, before the catalog knows of it: the moment at which it could be there twice.
ADDED = {"lance": 9, "delta": 11, "parquet": 11}


@pytest.mark.parametrize(
    ("kind", "stop"),
    [
        *ADDED.items(),
        *(pytest.param(kind, stop, marks=pytest.mark.slow) for kind in TABLES for stop in range(2, 17) if stop != ADDED[kind]),
    ],
)
def test_a_killed_redaction_loses_no_row_and_keeps_none_twice(tmp_path: Path, kind: str, stop: int) -> None:
    root = tmp_path / "home"
    before = prepared(root, kind).versions()
    assert killed(root, kind, "redact", stop)
    ds = open_dataset(kind, root)
    rows = ds.read("latest")
    assert rows.column("line").to_pylist() == ["row one", "row four", None]
    assert rows.column("govern_row_id").to_pylist() == [1, 4, 5]
    infos = {v.version: v for v in ds.versions()}
    assert len(infos) == len(before) + 1
    assert [info.gone for info in infos.values()] == [info.rows > 0 for info in before] + [False]
    assert scan(root, [SENTINEL.encode(), b"row two"]).clean
    report = ds.purge([2, 3], request="er-1", redact={3: ["line"]})
    assert (report.rows_deleted, report.residual_rows, report.redacted) == (2, 0, ((5, ("line",)),))
    assert ds.write(pa.table({"line": ["again"]}), mode="append").rows == 4
    assert ds.row_ids("latest") == [1, 4, 5, 6]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_steps_above_are_all_there_are(tmp_path: Path, kind: str) -> None:
    prepared(tmp_path / "home", kind)
    assert killed(tmp_path / "home", kind, "purge", 1_000) == f"done {STEPS[kind]}"


# The first save of a write holds the next row id; from then on the ids of the killed write are never given out.
@pytest.mark.parametrize(
    ("kind", "action", "stop"),
    [
        ("lance", "write", 4),
        ("delta", "write", 4),
        ("parquet", "write", 6),
        *(
            pytest.param(kind, action, stop, marks=pytest.mark.slow)
            for kind in TABLES
            for action in ("write", "delete")
            for stop in range(1, 6)
            if (kind, action, stop) not in {("lance", "write", 4), ("delta", "write", 4)}
        ),
    ],
)
def test_a_killed_write_did_not_happen(tmp_path: Path, kind: str, action: str, stop: int) -> None:
    root = tmp_path / "home"
    before = prepared(root, kind).versions()
    said = killed(root, kind, action, stop)
    assert not said.startswith("done")
    ds = open_dataset(kind, root)
    assert ds.versions() == before
    assert scan(root, [b"Too-Late-0816"]).clean
    info = ds.write(pa.table({"line": ["again"]}), mode="append")
    assert lines_of(ds) == ["row one", "row two", SENTINEL, "row four", "again"]
    assert ds.row_ids(info.version)[-1] == (5 if stop == 1 or action == "delete" else 6)
    for version in before:
        assert ds.count(version.version) == version.rows


@pytest.mark.parametrize("kind", TABLES)
@pytest.mark.slow
def test_a_killed_first_write_leaves_nothing(tmp_path: Path, kind: str) -> None:
    root = tmp_path / "home"
    root.mkdir()
    assert killed(root, kind, "write", 4).startswith("after ")
    ds = open_dataset(kind, root)
    assert ds.latest() is None
    assert scan(root, [b"Too-Late-0816"]).clean
    ds.write(pa.table({"line": ["again"]}), mode="append")
    assert ds.row_ids("latest") == [2]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_killed_at_random_moments_ten_times_over(tmp_path: Path, kind: str) -> None:
    """Kills by the clock, not by the step: each one is survived by the next, and the last call finishes once."""
    root = tmp_path / "home"
    before = prepared(root, kind).versions()
    for milliseconds in random.Random(20261121).sample(range(1, 400), 10):
        with subprocess.Popen(
            [sys.executable, "-c", CHILD, str(root), kind, "purge", "1000000"],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
            env=os.environ | {"GOVERN_TEST_SAYS_WHEN": "1"},
        ) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == "open\n"
            time.sleep(milliseconds / 1000)
            child.kill()
    ds = open_dataset(kind, root)
    report = ds.purge([3], request="er-1")
    assert (report.rows_deleted, report.residual_rows) == (1, 0)
    assert lines_of(ds) == ["row one", "row two", "row four"]
    assert len(ds.versions()) == len(before) + 1
    assert scan(root, [SENTINEL.encode()]).clean
