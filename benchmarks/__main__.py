"""``make bench``: run every benchmark, or those named, and print one table.

Exits 1 when a benchmark could not be run, 3 when one exceeds its stated limit.
"""

from __future__ import annotations

import argparse
import json
import sys

from benchmarks import ingest, kafka, ledger, ledger_postgres, replay, river, setup, sisa, start
from benchmarks.measure import Line

SUITES = {
    "start": start.run,
    "ledger": ledger.run,
    "ingest": ingest.run,
    "river": river.run,
    "setup": setup.run,
    "kafka": kafka.run,
    "ledger-postgres": ledger_postgres.run,
    "sisa": sisa.run,
    "replay": replay.run,
}
ASKED_FOR = ("setup", "kafka", "ledger-postgres", "sisa", "replay")
"""Suites that run only when they are named: set-up fills a disk and takes minutes with a cold cache; Kafka and PostgreSQL are servers;
sisa and replay train for a minute."""


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("suites", nargs="*", choices=[*SUITES, []], help=f"which ones; without a name all but {', '.join(ASKED_FOR)}")
    parser.add_argument("--json", action="store_true", help="one JSON line for each figure")
    options = parser.parse_args()
    lines: list[Line] = []
    for name in options.suites or [suite for suite in SUITES if suite not in ASKED_FOR]:
        for line in SUITES[name]():
            lines.append(line)
            print(json.dumps(line.as_json()) if options.json else line.text(), flush=True)
    if any(line.failed for line in lines):
        return 1
    return 3 if any(line.too_slow for line in lines) else 0


sys.exit(main())
