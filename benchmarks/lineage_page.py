"""``make bench-lineage``: every figure of the lineage engine on one page, each beside a baseline of the same run.

Exits 1 when a suite could not be run, 3 when a promise is broken.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.lineage_sizes import SIZES, Job
from benchmarks.lineage_table import machine, table
from benchmarks.measure import Line

DOCS = Path(__file__).resolve().parents[1] / "docs"
SUITES = {
    "ingest": "benchmarks.lineage_ingest",
    "http": "benchmarks.lineage_http",
    "retention": "benchmarks.lineage_retention",
    "closure": "benchmarks.lineage_closure",
    "reads": "benchmarks.lineage_reads",
    "growth": "benchmarks.lineage_growth",
    "neo4j": "benchmarks.lineage_neo4j",
    "feast": "benchmarks.lineage_feast",
}


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lineage_page", description=__doc__)
    parser.add_argument("--size", choices=list(SIZES), default="quick", help="quick: under 2 minutes; full: under 30")
    parser.add_argument("--only", default="", metavar="SUITES", help=f"a comma list of {', '.join(SUITES)}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="write the picture of the growth there")
    parser.add_argument("--docs", action="store_true", help="write the table and the picture into the documentation")
    parser.add_argument("--folder", type=Path, help="work here instead of the system's temporary folder")
    options = parser.parse_args()
    chosen = [name for name in options.only.split(",") if name] or list(SUITES)
    unknown = [name for name in chosen if name not in SUITES]
    if unknown:
        parser.error(f"no suite {', '.join(unknown)}; there are {', '.join(SUITES)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is stopped
    sizes, load = SIZES[options.size], os.getloadavg()[0]
    if options.docs and options.svg is None:
        options.svg = DOCS / "images" / "growth.svg"
    print(f"lineage benchmarks, {sizes.name}: {machine(load)}")
    lines: list[Line] = []
    begin = time.monotonic()
    for name in chosen:
        with tempfile.TemporaryDirectory(dir=options.folder, prefix="govern-bench-") as folder:
            for line in _run(name, Job(sizes=sizes, folder=Path(folder), picture=options.svg)):
                lines.append(line)
                print(line.text(), flush=True)
    print(f"load {os.getloadavg()[0]:.1f} at the end, {time.monotonic() - begin:.0f} s in all")
    if options.docs:
        (DOCS / "explanation" / "performance-figures.inc").write_text(table(lines, machine(load), size=sizes.name, load=load))
    if options.json:
        about = {"size": sizes.name, "cores": os.cpu_count(), "load_before": load, "python": platform.python_version()}
        options.json.write_text(json.dumps({**about, "lines": [line.as_json() for line in lines]}, indent=1) + "\n")
    if any(line.failed for line in lines):
        return 1
    return 3 if any(line.too_slow for line in lines) else 0


def _run(name: str, job: Job) -> Iterator[Line]:
    """The suite's lines; one that ends in an error says so and the others go on."""
    try:
        yield from importlib.import_module(SUITES[name]).run(job)
    except Exception as error:  # noqa: BLE001 - whatever it is, the page says it and the other suites run
        yield Line(name=f"{name}: the suite", value=0, unit="", baseline="", baseline_value=0, failed=f"{type(error).__name__}: {error}")


sys.exit(main())
