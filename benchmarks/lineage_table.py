"""The page of figures as a Markdown table, for the documentation."""

from __future__ import annotations

import datetime as dt
import os
import platform
from collections.abc import Sequence

from benchmarks.measure import Line

__all__ = ["machine", "table"]

BUSY = 1.0
"""Load before the run above which it is said that other work took the machine's time."""


def machine(load: float) -> str:
    """What the figures were measured on."""
    now = dt.datetime.now(dt.UTC)
    return f"{now:%Y-%m-%d}, {os.cpu_count()} cores, Python {platform.python_version()}, load before the run {load:.1f}"


def table(lines: Sequence[Line], where: str, *, size: str, load: float) -> str:
    """A sentence on the machine, then one row for each line."""
    busy = "**Other work ran on the machine meanwhile: read the ratios, not the figures.** " if load > BUSY else ""
    head = f"{busy}A {size} run; {where}.\n\n| what | figure | baseline of the same run | ratio | promised |\n|---|--:|--:|--:|--:|\n"
    return head + "".join(map(_row, lines))


def _row(line: Line) -> str:
    if line.failed:
        return f"| {line.name} | not measured: {' '.join(line.failed.split()).replace('|', '/')[:160]} | | | |\n"
    promised = [f"{'≥' if line.unit.endswith('/s') else '≤'} {_short(line.limit)} {line.unit}"] if line.limit is not None else []
    promised += [f"{'≥' if line.unit.endswith('/s') else '≤'} {line.ratio_limit:g} ×"] if line.ratio_limit is not None else []
    said = ", ".join(promised) + (" **missed**" if line.too_slow else "")
    base = f"{line.baseline} {_short(line.baseline_value)}"
    return f"| {line.name} | {_short(line.value)} {line.unit} | {base} | {line.ratio:.2f} | {said} |\n"


def _short(value: float) -> str:
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"
