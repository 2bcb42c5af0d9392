"""From a data subject to its rows, versions, models and live deployments, in an index that is loaded through its front door.

The baselines are what one would reach for first: a plain b-tree of (reference, row) pairs in SQLite, and roaring bitmaps, one for each
subject, under the same references. Rows are dealt to subjects at random: the worst case, for the row ids of a person lie far apart.
"""

from __future__ import annotations

import os
import resource
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np

from benchmarks.erasure_sizes import Job, Sizes
from benchmarks.measure import CommandFailed, Line, command
from lineage.adapters.sqlite_rows import SqliteRowIndex
from lineage.model import OwnedRows

__all__ = ["measure", "owners", "references"]

WARM_MS = 1.0
COLD_MS = 10.0
_BATCH = 1_000_000
_SAMPLE = 200_000
"""Subjects of which roaring bitmaps and a plain b-tree are made: their size for each row does not depend on how many there are."""

COLD = """
import sys, time
from pathlib import Path
from lineage.adapters.sqlite_rows import SqliteRowIndex
begin = time.perf_counter()
index = SqliteRowIndex(Path(sys.argv[1]))
index.versions("nothing")
opened = time.perf_counter()
times = []
for ref in sys.argv[2:]:
    at = time.perf_counter()
    assert index.find([ref])
    times.append(time.perf_counter() - at)
print(opened - begin, *times)
"""


def references(subjects: int, *, seed: int = 7) -> np.ndarray:
    """A reference for each subject as two numbers of 64 bits: random, as an HMAC is."""
    return np.random.default_rng(seed).integers(0, 2**64, size=(subjects, 2), dtype=np.uint64)


def owners(subjects: int, rows: int, *, seed: int = 8) -> np.ndarray:
    """Which subject each row is of."""
    return np.random.default_rng(seed).integers(0, subjects, size=rows, dtype=np.uint32)


def measure(job: Job) -> Iterator[Line]:
    """Load the versions, weigh the file, ask."""
    sizes = job.sizes
    refs, whose = references(sizes.subjects), owners(sizes.subjects, sizes.rows + sizes.versions * (sizes.rows // sizes.changed))
    path = job.folder / "rows.db"
    index = SqliteRowIndex(path)
    base = _b_tree(job.folder / "plain.db", refs, whose, sizes)
    yield _built(index, refs, whose, sizes, base)
    yield from _weighed(path, whose, sizes, base)
    yield _versions(index, path, refs, whose, sizes)
    yield from _asked(index, refs, sizes, base)
    index.close()
    yield _cold(path, refs)
    yield _forgotten(path, refs)


def _batches(refs: np.ndarray, whose: np.ndarray, begin: int, end: int) -> Iterator[OwnedRows]:
    for at in range(begin, end, _BATCH):
        rows = np.arange(at, min(at + _BATCH, end), dtype=np.int64)
        yield OwnedRows(refs[whose[at : at + rows.size]].astype(">u8").tobytes(), rows)


class _Plain:
    """A plain b-tree of some of the subjects: (reference, row) pairs under a primary key, as one would make it first."""

    def __init__(self, path: Path, refs: np.ndarray, whose: np.ndarray, rows: int) -> None:
        self.path, self.rows, self.seconds = path, rows, 0.0
        self.db = sqlite3.connect(path, isolation_level=None)
        self.db.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA secure_delete=ON;")
        self.db.execute("CREATE TABLE posting (ref BLOB, row INTEGER, PRIMARY KEY (ref, row)) WITHOUT ROWID")
        theirs = refs[whose[:rows]].astype(">u8")
        order = np.lexsort((theirs[:, 1], theirs[:, 0]))
        pairs = [(theirs[row].tobytes(), int(row)) for row in order]
        begin = time.perf_counter()
        self.db.execute("BEGIN")
        self.db.executemany("INSERT INTO posting VALUES (?, ?)", pairs)
        self.db.execute("COMMIT")
        self.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self.seconds = time.perf_counter() - begin

    def look_up(self, ref: str) -> int:
        return len(self.db.execute("SELECT row FROM posting WHERE ref=?", (bytes.fromhex(ref),)).fetchall())


def _b_tree(path: Path, refs: np.ndarray, whose: np.ndarray, sizes: Sizes) -> _Plain:
    return _Plain(path, refs, whose, min(sizes.rows, 10 * _SAMPLE))


def _built(index: SqliteRowIndex, refs: np.ndarray, whose: np.ndarray, sizes: Sizes, base: _Plain) -> Line:
    begin, cpu = time.perf_counter(), time.process_time()
    index.replace("bench", "0", _batches(refs, whose, 0, sizes.rows))
    took, used = time.perf_counter() - begin, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return Line(
        name=f"rows: {sizes.rows:,} rows of {sizes.subjects:,} are loaded", value=sizes.rows / took, unit="/s",
        baseline="plain b-tree", baseline_value=base.rows / base.seconds, cpu=used, baseline_cpu=base.seconds * sizes.rows / base.rows,
        note=f"{took:.0f} s, peak memory {peak:.1f} GiB",
    )  # fmt: skip


def _weighed(path: Path, whose: np.ndarray, sizes: Sizes, base: _Plain) -> Iterator[Line]:
    import pyroaring

    ours = _size(path) / sizes.rows
    plain = base.path.stat().st_size / base.rows
    yield Line(name="rows: size of the index", value=ours, unit="B/row", baseline="plain b-tree", baseline_value=plain)
    some = np.flatnonzero(whose[: sizes.rows] < min(_SAMPLE, sizes.subjects)).astype(np.uint64)
    mine = whose[: sizes.rows][some]
    order = np.argsort(mine, kind="stable")
    cuts = np.flatnonzero(np.diff(mine[order])) + 1
    weight = sum(16 + len(pyroaring.BitMap64(rows).serialize()) for rows in np.split(some[order], cuts))
    yield Line(
        name="rows: size of the index", value=ours, unit="B/row", baseline="roaring bitmaps", baseline_value=weight / some.size,
        note="bitmaps and references alone: without the way from a row to its people, versions and erasure",
    )  # fmt: skip


def _versions(index: SqliteRowIndex, path: Path, refs: np.ndarray, whose: np.ndarray, sizes: Sizes) -> Line:
    """Versions that each replace some of the rows."""
    changed, first = sizes.rows // sizes.changed, _size(path)
    rng = np.random.default_rng(9)
    held = np.arange(sizes.rows, dtype=np.int64)
    begin, written = time.perf_counter(), _written()
    for version in range(1, sizes.versions):
        new = sizes.rows + (version - 1) * changed
        out = rng.choice(held.size, changed, replace=False)
        index.extend(
            "bench", str(version), base=str(version - 1), rows=_batches(refs, whose, new, new + changed), removed=held[out].tolist()
        )
        held[out] = np.arange(new, new + changed)
    took = (time.perf_counter() - begin) / (sizes.versions - 1)
    grown = (_size(path) - first) / (sizes.versions - 1)
    share = (_written() - written) / (sizes.versions - 1)
    return Line(
        name=f"rows: a version that changes 1 in {sizes.changed:,}", value=grown / 2**20, unit="MiB", baseline="the first version",
        baseline_value=first / 2**20, note=f"the file grows by this, {share / 2**20:.1f} MiB are written with log and merges, {took:.2f} s",
    )  # fmt: skip


def _asked(index: SqliteRowIndex, refs: np.ndarray, sizes: Sizes, base: _Plain) -> Iterator[Line]:
    """Subject → rows → versions → models → live deployments. Models of a version are what the fold keeps for it: a mapping."""
    live = {str(v): [f"model-{m}" for m in range(v, sizes.models, sizes.versions)] for v in range(sizes.versions)}
    rng = np.random.default_rng(10)
    asked = [_hex(refs[n]) for n in rng.integers(0, min(sizes.subjects, _SAMPLE), sizes.asked)]
    for ref in asked[:20]:
        _deployments(index, ref, live)
        base.look_up(ref)
    ours, theirs, rows, used = [], [], [], 0.0
    for ref in asked:
        begin = time.perf_counter()
        base.look_up(ref)
        middle, cpu = time.perf_counter(), time.process_time()
        found, models = _deployments(index, ref, live)
        ours.append(time.perf_counter() - middle)
        used += time.process_time() - cpu
        theirs.append(middle - begin)
        rows.append(found)
        assert models
    yield Line(
        name="rows: a subject's rows, versions, deployments", value=1e3 * statistics.median(ours), unit="ms", limit=WARM_MS,
        baseline="rows alone in a plain b-tree", baseline_value=1e3 * statistics.median(theirs),
        note=f"warm; p99 {1e3 * float(np.quantile(ours, 0.99)):.2f} ms, processor {1e3 * used / len(asked):.2f} ms each; "
        f"{statistics.mean(rows):.1f} rows, {sizes.models:,} models",
    )  # fmt: skip


def _deployments(index: SqliteRowIndex, ref: str, live: dict[str, list[str]]) -> tuple[int, int]:
    found = index.find([ref])
    models = {model for one in found for version in one.versions for model in live[version]}
    return sum(len(one.rows) for one in found), len(models)


def _cold(path: Path, refs: np.ndarray) -> Line:
    """A fresh process, and the file out of the system's cache."""
    name = "rows: the same, cold"
    asked = [_hex(refs[n]) for n in range(5)]
    bare = command([sys.executable, "-c", ""])
    for file in (path, path.with_name(path.name + "-wal")):
        if file.exists():
            with file.open("rb") as opened:
                os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    try:
        said = command([sys.executable, "-c", COLD, str(path), *asked]).said.split()
    except (CommandFailed, subprocess.SubprocessError) as error:
        return Line(name=name, value=0, unit="ms", baseline="bare python", baseline_value=1e3 * bare.wall, failed=str(error)[-300:])
    opened, times = float(said[0]), [float(word) for word in said[1:]]
    return Line(
        name=name, value=1e3 * times[0], unit="ms", limit=COLD_MS, baseline="bare python", baseline_value=1e3 * bare.wall,
        note=f"the first of a fresh process, file not in the cache; the next {1e3 * statistics.mean(times[1:]):.2f} ms; "
        f"opening with its imports {1e3 * opened:.0f} ms, once",
    )  # fmt: skip


def _forgotten(path: Path, refs: np.ndarray) -> Line:
    """A hundred subjects are forgotten at once, physically."""
    index = SqliteRowIndex(path)
    gone = [_hex(refs[n]) for n in range(100)]
    rows = index.lookup(gone)["bench"]
    begin, cpu = time.perf_counter(), time.process_time()
    pairs = index.forget("bench", rows)
    took, used = time.perf_counter() - begin, time.process_time() - cpu
    assert index.lookup(gone) == {}
    size = path.stat().st_size
    begin = time.perf_counter()
    _copy(path, path.with_name("copy.db"))
    copied = time.perf_counter() - begin
    index.close()
    return Line(
        name="rows: 100 subjects are forgotten, physically", value=took, unit="s", baseline="copying the file", baseline_value=copied,
        cpu=used, baseline_cpu=copied, note=f"{pairs} postings; the file is written anew, {size / 2**20:,.0f} MiB",
    )  # fmt: skip


def _copy(path: Path, to: Path) -> None:
    with path.open("rb") as source, to.open("wb") as target:
        while chunk := source.read(1 << 22):
            target.write(chunk)
        target.flush()
        os.fsync(target.fileno())


def _size(path: Path) -> int:
    """The pages in use."""
    with closing(sqlite3.connect(path)) as db:
        pages, free, size = (db.execute(f"PRAGMA {what}").fetchone()[0] for what in ("page_count", "freelist_count", "page_size"))
    return int((pages - free) * size)


def _written() -> int:
    """Bytes that this process gave to the file system."""
    with Path("/proc/self/io").open() as file:
        return next(int(line.split()[1]) for line in file if line.startswith("wchar"))


def _hex(pair: np.ndarray) -> str:
    return f"{int(pair[0]):016x}{int(pair[1]):016x}"
