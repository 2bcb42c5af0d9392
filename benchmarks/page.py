"""A page of figures: suites run one after the other, each line beside a baseline of the same run.

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
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.lineage_table import machine, table
from benchmarks.measure import Line

__all__ = ["DOCS", "Page"]

DOCS = Path(__file__).resolve().parents[1] / "docs"


@dataclass(frozen=True, kw_only=True)
class Page:
    """What one ``make bench-…`` prints."""

    about: str
    """What ``--help`` says."""
    title: str
    suites: Mapping[str, str]
    """Suite → its module."""
    entry: str
    """The function of the module that takes a job and yields lines."""
    sizes: Mapping[str, Any]
    job: Callable[[Any, Path, argparse.Namespace], Any]
    """Makes a suite's job of its sizes, its folder and the options."""
    figures: str
    """The file under docs/explanation that ``--docs`` writes the table to."""
    options: Callable[[argparse.ArgumentParser], None] = lambda _parser: None

    def main(self, given: list[str] | None = None) -> int:
        """Run and print."""
        parser = argparse.ArgumentParser(description=self.about)
        parser.add_argument("--size", choices=list(self.sizes), default="quick", help="quick: under 2 minutes; full: under 30")
        parser.add_argument("--only", default="", metavar="SUITES", help=f"a comma list of {', '.join(self.suites)}")
        parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there")
        parser.add_argument("--docs", action="store_true", help="write the table into the documentation")
        parser.add_argument("--folder", type=Path, help="work here instead of the system's temporary folder")
        self.options(parser)
        options = parser.parse_args(given)
        chosen = [name for name in options.only.split(",") if name] or list(self.suites)
        unknown = [name for name in chosen if name not in self.suites]
        if unknown:
            parser.error(f"no suite {', '.join(unknown)}; there are {', '.join(self.suites)}")
        before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is stopped
        try:
            return self._page(chosen, options)
        finally:
            signal.signal(signal.SIGTERM, before)

    def _page(self, chosen: list[str], options: argparse.Namespace) -> int:
        sizes, load = self.sizes[options.size], os.getloadavg()[0]
        print(f"{self.title}, {options.size}: {machine(load)}", flush=True)
        lines: list[Line] = []
        begin = time.monotonic()
        for name in chosen:
            with tempfile.TemporaryDirectory(dir=options.folder, prefix="govern-bench-") as folder:
                for line in self._run(name, self.job(sizes, Path(folder), options)):
                    lines.append(line)
                    print(line.text(), flush=True)
        print(f"load {os.getloadavg()[0]:.1f} at the end, {time.monotonic() - begin:.0f} s in all")
        if options.docs:
            (DOCS / "explanation" / self.figures).write_text(table(lines, machine(load), size=options.size, load=load))
        if options.json:
            about = {"size": options.size, "cores": os.cpu_count(), "load_before": load, "python": platform.python_version()}
            options.json.write_text(json.dumps({**about, "lines": [line.as_json() for line in lines]}, indent=1) + "\n")
        if any(line.failed for line in lines):
            return 1
        return 3 if any(line.too_slow for line in lines) else 0

    def _run(self, name: str, job: Any) -> Iterator[Line]:
        """The suite's lines; one that ends in an error says so and the others go on."""
        try:
            yield from getattr(importlib.import_module(self.suites[name]), self.entry)(job)
        except Exception as error:  # noqa: BLE001 - whatever it is, the page says it and the other suites run
            said = f"{type(error).__name__}: {error}"
            yield Line(name=f"{name}: the suite", value=0, unit="", baseline="", baseline_value=0, failed=said)
