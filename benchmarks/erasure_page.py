"""``make bench-erasure``: every figure of the erasure engine on one page, each beside a baseline of the same run.

Exits 1 when a suite could not be run, 3 when a promise is broken.
"""

from __future__ import annotations

import sys

from benchmarks.erasure_sizes import SIZES, Job
from benchmarks.page import Page

PAGE = Page(
    about=__doc__,
    title="erasure benchmarks",
    suites={
        "rows": "benchmarks.erasure_rows",
        "trace": "benchmarks.erasure_trace",
        "stores": "benchmarks.erasure_stores",
        "planner": "benchmarks.erasure_planner",
        "flood": "benchmarks.erasure_flood",
    },
    entry="measure",
    sizes=SIZES,
    job=lambda sizes, folder, _options: Job(sizes=sizes, folder=folder),
    figures="erasure-figures.inc",
)

if __name__ == "__main__":
    sys.exit(PAGE.main())
