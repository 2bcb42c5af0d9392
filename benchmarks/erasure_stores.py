"""What it costs to erase 100 subjects on each store of rows: processor seconds, bytes rewritten beside theory, peak memory.

Each store is filled in one process and purged in another, so that the memory is the purge's own. The promise of three processor
seconds is for delete, purge and residual scan; the new version's digest and row set, which read every row that is left, are timed
beside it.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.lineage_sizes import Job
from benchmarks.measure import CommandFailed, Line, plain_environment
from lineage.adapters.delta_dataset import DeltaDataset
from lineage.adapters.lance_dataset import LanceDataset
from lineage.adapters.parquet_dataset import ParquetDataset
from lineage.adapters.table_dataset import TableDataset

__all__ = ["ROWS", "measure", "people"]

ROWS = {"quick": 200_000, "full": 5_000_000}
SUBJECTS = 100
KINDS = {"lance": LanceDataset, "delta": DeltaDataset, "parquet": ParquetDataset}
PROMISED = 3.0
"""Processor seconds, on each store."""


def measure(job: Job) -> Iterator[Line]:
    """Six lines for each store, and one for a second erasure, which meets what the first one left."""
    rows = ROWS.get(job.sizes.name, ROWS["quick"])
    for kind in KINDS:
        folder = job.folder / f"stores-{kind}"
        built = _child("build", kind, folder, rows)
        first, second = _child("purge", kind, folder, rows), _child("purge again", kind, folder, rows)
        what = f"{kind}: {SUBJECTS} subjects of {rows:,} rows"
        done = f"{first['erased']:,} rows erased, {first['residual']} found in {first['scanned']:,} files"
        yield Line(
            name=f"{what}: delete, purge, scan", value=first["store"], unit="s", baseline="cpu to write all anew",
            baseline_value=built["anew"], limit=PROMISED, note=done,
        )  # fmt: skip
        yield Line(
            name=f"{what}: with the new version's digest", value=first["total"], unit="s", baseline="cpu of digest and row set",
            baseline_value=first["digest"],
        )  # fmt: skip
        for name, found in (("bytes rewritten", first), ("bytes rewritten by a second erasure", second)):
            yield Line(
                name=f"{what}: {name}", value=found["rewritten"] / 1e6, unit="MB", baseline=f"touched files ({found['touched']})",
                baseline_value=found["theory"] / 1e6, ratio_limit=1.2, note=f"of {found['size'] / 1e6:.0f} MB in {found['files']:,} files",
            )  # fmt: skip
        yield Line(
            name=f"{what}: peak memory",
            value=first["peak"] / 1e6,
            unit="MB",
            baseline="the rows in memory",
            baseline_value=built["memory"] / 1e6,
        )
        yield Line(
            name=f"{what}: the whole new version read",
            value=first["read"],
            unit="s",
            baseline="cpu to read one plain file",
            baseline_value=built["plain"],
        )


def people(rows: int, seed: int = 7) -> pa.Table:
    """Rows in random order, about ten a subject: the subject's number, a key of 16 hex digits, a time, ten numbers, a label."""
    random = np.random.default_rng(seed)
    subject = random.integers(0, max(1, rows // 10), rows)
    digits = pc.binary_join_element_wise("k", pa.array(subject).cast(pa.string()), "-0123456789", "")
    columns: dict[str, Any] = {"subject": subject, "key": digits, "ts": random.integers(1_600_000_000, 1_760_000_000, rows)}
    columns |= {f"f{number}": random.standard_normal(rows).astype(np.float32) for number in range(10)}
    return pa.table({**columns, "label": random.integers(0, 2, rows).astype(np.int8)})


# ── the processes that are measured ─────────────────────────────────────────────────────────────
def _child(act: str, kind: str, folder: Path, rows: int) -> dict[str, Any]:
    asked = [sys.executable, "-m", __name__, act, kind, str(folder), str(rows)]
    done = subprocess.run(asked, capture_output=True, text=True, env=plain_environment(), check=False)
    if done.returncode:
        raise CommandFailed(done.stderr.strip()[-400:])
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def _opened(kind: str, folder: Path) -> TableDataset:
    from lineage.adapters.file_keys import FileKeyStore
    from lineage.clock import SystemClock

    folder.mkdir(parents=True, exist_ok=True)
    keys = FileKeyStore(folder / "keys") if (folder / "keys").exists() else FileKeyStore.create(folder / "keys")
    return KINDS[kind](folder / "datasets", "people", keys=keys, clock=SystemClock(), sort_by="subject")


def build(kind: str, folder: Path, rows: int) -> dict[str, Any]:
    """Fill a store; the baseline is one plain Parquet file of all rows but the erased ones."""
    table = people(rows)
    _opened(kind, folder).write(table)
    begin = time.process_time()
    kept = table.filter(pc.invert(pc.is_in(table.column("subject"), value_set=pa.array(_subjects(rows, 0)))))
    pq.write_table(kept, folder / "anew.parquet", compression="zstd")
    anew = time.process_time() - begin
    begin = time.process_time()
    pq.read_table(folder / "anew.parquet")
    plain = time.process_time() - begin
    (folder / "anew.parquet").unlink()
    return {"anew": anew, "plain": plain, "memory": table.nbytes}


def purge(kind: str, folder: Path, rows: int, turn: int) -> dict[str, Any]:
    """Erase the subjects of a turn and tell what it took."""
    dataset = _opened(kind, folder)
    table = dataset.read("latest", ["subject"])
    wanted = table.filter(pc.is_in(table.column("subject"), value_set=pa.array(_subjects(rows, turn))))
    ids = wanted.column("govern_row_id").to_pylist()
    del table, wanted
    files = dict(dataset._store.files())  # noqa: SLF001 - the files as they lie there, which the port does not tell
    touched = [name for name in files if _holds(folder / "datasets" / "people", name, ids)]
    spent, real = [0.0], TableDataset._record  # noqa: SLF001 - timed apart: it reads every row that is left

    def timed(self: TableDataset, *given: Any) -> Any:
        begin = time.process_time()
        try:
            return real(self, *given)
        finally:
            spent[0] += time.process_time() - begin

    TableDataset._record = timed  # type: ignore[method-assign]  # noqa: SLF001
    begin = time.process_time()
    report = dataset.purge(ids, request=f"er-{turn}")
    total = time.process_time() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    begin = time.process_time()
    dataset.read("latest")
    read = time.process_time() - begin
    return {
        "total": total, "digest": spent[0], "store": total - spent[0], "rewritten": report.bytes_rewritten, "erased": report.rows_deleted,
        "theory": sum(files[name] for name in touched), "touched": len(touched), "files": len(files), "size": sum(files.values()),
        "residual": report.residual_rows, "scanned": report.files_scanned,
        "peak": peak, "read": read,
    }  # fmt: skip


def _subjects(rows: int, turn: int) -> list[int]:
    random = np.random.default_rng(11)
    chosen = random.choice(max(2 * SUBJECTS, rows // 10), 2 * SUBJECTS, replace=False)
    return [int(one) for one in chosen[turn * SUBJECTS : (turn + 1) * SUBJECTS]]


def _holds(folder: Path, name: str, ids: list[int]) -> bool:
    """Whether a data file holds one of the rows: the theory of what must be written anew, found without the adapter."""
    path = next(p for p in (folder / "data.lance" / "data" / name, folder / "delta" / name, folder / "parquet" / name) if p.exists())
    if path.suffix == ".lance":
        from lance.file import LanceFileReader

        held = LanceFileReader(str(path), columns=["govern_row_id"]).read_all().to_table().column(0)
    else:
        held = pq.ParquetFile(path).read(columns=["govern_row_id"]).column(0)
    return bool(pc.any(pc.is_in(held, value_set=pa.array(ids, pa.int64()))).as_py())


def main() -> int:
    """One act in a process of its own; prints JSON."""
    act, kind, folder, rows = sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4])
    print(json.dumps(build(kind, folder, rows) if act == "build" else purge(kind, folder, rows, turn=int(act == "purge again"))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
