"""``make bench``: run every benchmark, or those named, and print one table.

Exits 1 when a benchmark could not be run, 3 when one exceeds its stated limit.
"""

from __future__ import annotations

import argparse
import json
import sys

from benchmarks import cli, ledger
from benchmarks.measure import Line

SUITES = {"ledger": ledger.run, "cli": cli.run}


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("suites", nargs="*", choices=[*SUITES, []], help="which ones; all without a name")
    parser.add_argument("--json", action="store_true", help="one JSON line for each figure")
    options = parser.parse_args()
    lines: list[Line] = []
    for name in options.suites or SUITES:
        for line in SUITES[name]():
            lines.append(line)
            print(json.dumps(line.as_json()) if options.json else line.text(), flush=True)
    if any(line.failed for line in lines):
        return 1
    return 3 if any(line.too_slow for line in lines) else 0


sys.exit(main())
