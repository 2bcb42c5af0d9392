"""SIGKILL in the middle of a purge in a bucket with versions: whoever opens the dataset next finishes it, and no version is left."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lineage.adapters.object_files import files_at
from lineage.adapters.parquet_dataset import ParquetDataset
from lineage.errors import Gone
from tests.support.rows_keys import MemoryKeys, TickingClock
from tests.support.s3 import S3, Bucket

pytestmark = pytest.mark.crash

CHILD = textwrap.dedent(
    """
    import os, signal, sys
    from pathlib import Path
    import lineage.adapters.dataset_catalog as catalog
    from lineage.adapters.object_files import ObjectFiles
    from lineage.adapters.s3_history import S3History
    from tests.crash.test_datasets_objects_crash import opened

    root, url, stop = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    ds = opened(root, url)
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
    for name in ("write", "remove"):
        step(ObjectFiles, name)
    step(S3History, "_delete")
    ds.purge([2], request="er-1")
    print("done", len(steps), flush=True)
    """
)
# Intent saved (2), a bucket's file (4) and the manifest (6) written, the new version saved (8), manifests and files hidden (10, 12), the
# versions (14) and then the markers deleted (16), the record saved (18).
STEPS = 18
QUICK = (12, 14)


def opened(root: Path, url: str) -> ParquetDataset:
    keys = MemoryKeys()
    return ParquetDataset(root, "d", keys=keys, clock=TickingClock(), files=files_at(url, "d", keys=keys))


def held(bucket: Bucket) -> set[int]:
    found: set[int] = set()
    for key, version in bucket.versions():
        if key.endswith(".parquet"):
            found.update(pq.read_table(io.BytesIO(bucket.body(key, version))).column("govern_row_id").to_pylist())
    return found


def killed(root: Path, url: str, stop: int) -> str:
    """Purges in a child that kills itself at step ``stop``; returns the step, or ``done n``."""
    child = subprocess.run(
        [sys.executable, "-c", CHILD, str(root), url, str(stop)],
        capture_output=True,
        text=True,
        timeout=600,
        cwd=Path(__file__).parents[2],
        check=False,
    )
    said = child.stdout.strip()
    assert child.returncode == (0 if said.startswith("done") else -signal.SIGKILL), child.stderr
    return said


@pytest.mark.parametrize(
    "stop", [*QUICK, *(pytest.param(stop, marks=pytest.mark.slow) for stop in range(2, STEPS + 1) if stop not in QUICK)]
)
def test_a_killed_purge_leaves_no_version_to_whoever_comes_next(s3: S3, tmp_path: Path, stop: int) -> None:
    bucket = s3.bucket()
    ds = opened(tmp_path, bucket.url())
    first = ds.write(pa.table({"who": ["Anna", "Sentinel-Qqx-4711", "Zoe"]}))
    assert not killed(tmp_path, bucket.url(), stop).startswith("done")
    again = opened(tmp_path, bucket.url())
    assert again.read("latest").column("who").to_pylist() == ["Anna", "Zoe"]
    with pytest.raises(Gone):
        again.read(first.version)
    assert held(bucket) == {1, 3}
    assert len(bucket.versions()) == len(bucket.present())
    assert bucket.markers() == []
    report = again.purge([2], request="er-1")
    assert (report.rows_deleted, report.residual_rows, report.unpurged) == (1, 0, None)
    catalog = json.loads((tmp_path / "d" / "catalog.json").read_text())
    assert (catalog["pending"], len(catalog["purges"])) == (None, 1)


@pytest.mark.slow
def test_the_steps_above_are_all_there_are(s3: S3, tmp_path: Path) -> None:
    bucket = s3.bucket()
    opened(tmp_path, bucket.url()).write(pa.table({"who": ["Anna", "Sentinel-Qqx-4711", "Zoe"]}))
    assert killed(tmp_path, bucket.url(), 1_000) == f"done {STEPS}"
