"""SIGKILL in the middle of a purge in a bucket with versions: whoever opens the dataset next finishes it, and no version is left."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pyarrow as pa
import pytest

from lineage.errors import Gone
from tests.support.dataset_objects import held_ids, open_at
from tests.support.s3 import S3

pytestmark = pytest.mark.crash

CHILD = textwrap.dedent(
    """
    import os, signal, sys
    from pathlib import Path
    import lineage.adapters.dataset_catalog as catalog
    from lineage.adapters.object_files import ObjectFiles
    from lineage.adapters.s3_history import S3History
    from tests.support.dataset_objects import open_at

    kind, root, url, stop = sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    ds = open_at(kind, root, url)
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
        for name in ("delete", "cleanup_old_versions"):
            step(lance.LanceDataset, name)
        step(sys.modules["lance.dataset"].DatasetOptimizer, "compact_files")
    elif kind == "delta":
        import deltalake
        for name in ("delete", "create_checkpoint"):
            step(deltalake.DeltaTable, name)
        step(ObjectFiles, "remove")
    else:
        for name in ("write", "remove"):
            step(ObjectFiles, name)
    step(S3History, "_delete")
    ds.purge([2], request="er-1")
    print("done", len(steps), flush=True)
    """
)
# Pairs of steps (after the last one before, after): intent saved (2), then
# Parquet: a bucket's file (4) and the manifest (6) written, the new version saved (8), manifests and files hidden (10, 12);
# Lance: rows deleted (4), fragments compacted (6), the new version saved (8), the old one cleaned up, which hides its files (10);
# Delta: rows deleted (4), a checkpoint made (6), the new version saved (8), log and files hidden (10, 12);
# then the object versions (+2) and the markers deleted (+4), the record saved (+6).
STEPS = {"parquet": 18, "lance": 16, "delta": 18}
QUICK = {("parquet", 12), ("parquet", 14)}
EVERY = [(kind, stop) for kind, steps in STEPS.items() for stop in range(2, steps + 1)]


def killed(kind: str, root: Path, url: str, stop: int) -> str:
    """Purges in a child that kills itself at step ``stop``; returns the step, or ``done n``."""
    child = subprocess.run(
        [sys.executable, "-c", CHILD, kind, str(root), url, str(stop)],
        capture_output=True,
        text=True,
        timeout=600,
        cwd=Path(__file__).parents[2],
        check=False,
    )
    said = child.stdout.strip()
    assert child.returncode == (0 if said.startswith("done") else -signal.SIGKILL), child.stderr
    return said


@pytest.mark.parametrize(("kind", "stop"), [one if one in QUICK else pytest.param(*one, marks=pytest.mark.slow) for one in EVERY])
def test_a_killed_purge_leaves_no_version_to_whoever_comes_next(s3: S3, tmp_path: Path, kind: str, stop: int) -> None:
    bucket = s3.bucket()
    ds = open_at(kind, tmp_path, bucket.url())
    first = ds.write(pa.table({"who": ["Anna", "Sentinel-Qqx-4711", "Zoe"]}))
    assert not killed(kind, tmp_path, bucket.url(), stop).startswith("done")
    again = open_at(kind, tmp_path, bucket.url())
    assert again.read("latest").column("who").to_pylist() == ["Anna", "Zoe"]
    with pytest.raises(Gone):
        again.read(first.version)
    assert held_ids(bucket) == {1, 3}
    assert len(bucket.versions()) == len(bucket.present())
    assert bucket.markers() == []
    report = again.purge([2], request="er-1")
    assert (report.rows_deleted, report.residual_rows, report.unpurged) == (1, 0, None)
    catalog = json.loads((tmp_path / "d" / "catalog.json").read_text())
    assert (catalog["pending"], len(catalog["purges"])) == (None, 1)


@pytest.mark.slow
@pytest.mark.parametrize("kind", STEPS)
def test_the_steps_above_are_all_there_are(s3: S3, tmp_path: Path, kind: str) -> None:
    bucket = s3.bucket()
    open_at(kind, tmp_path, bucket.url()).write(pa.table({"who": ["Anna", "Sentinel-Qqx-4711", "Zoe"]}))
    assert killed(kind, tmp_path, bucket.url(), 1_000) == f"done {STEPS[kind]}"
