"""``make bench-lineage``: every figure of the lineage engine on one page, each beside a baseline of the same run.

Exits 1 when a suite could not be run, 3 when a promise is broken.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.lineage_sizes import SIZES, Job
from benchmarks.page import DOCS, Page


def _job(sizes, folder: Path, options: argparse.Namespace) -> Job:
    picture = DOCS / "images" / "growth.svg" if options.docs and options.svg is None else options.svg
    return Job(sizes=sizes, folder=folder, picture=picture)


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--svg", type=Path, metavar="FILE", help="write the picture of the growth there; --docs: into the documentation")


PAGE = Page(
    about=__doc__,
    title="lineage benchmarks",
    suites={
        "ingest": "benchmarks.lineage_ingest",
        "http": "benchmarks.lineage_http",
        "retention": "benchmarks.lineage_retention",
        "closure": "benchmarks.lineage_closure",
        "reads": "benchmarks.lineage_reads",
        "growth": "benchmarks.lineage_growth",
        "neo4j": "benchmarks.lineage_neo4j",
        "feast": "benchmarks.lineage_feast",
    },
    entry="run",
    sizes=SIZES,
    job=_job,
    figures="performance-figures.inc",
    options=_options,
)

if __name__ == "__main__":
    sys.exit(PAGE.main())
