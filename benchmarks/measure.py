"""One figure beside its baseline."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Line:
    """What was measured, what it is compared with, and the limit that was promised."""

    name: str
    value: float
    unit: str
    baseline: str
    baseline_value: float
    limit: float | None = None
    """Largest value for times and sizes, smallest for rates (units that end in ``/s``)."""
    ratio_limit: float | None = None
    """The same for the ratio to the baseline."""
    cpu: float | None = None
    """Processor seconds of the same work (the least of the runs): what a loaded machine does not change."""
    baseline_cpu: float | None = None
    note: str = ""
    failed: str | None = None
    """Why it could not be measured."""

    @property
    def ratio(self) -> float:
        """Value over baseline."""
        return self.value / self.baseline_value if self.baseline_value else float("nan")

    @property
    def too_slow(self) -> bool:
        """Whether the promise is broken."""
        if self.failed:
            return False
        rate = self.unit.endswith("/s")
        pairs = [(self.value, self.limit), (self.ratio, self.ratio_limit)]
        return any(limit is not None and (value < limit if rate else value > limit) for value, limit in pairs)

    def text(self) -> str:
        """One line of the table."""
        if self.failed:
            return f"{self.name:<44} not measured: {self.failed}"
        figures = f"{self.value:>10.3f} {self.unit:<5} {self.ratio:>7.2f} x {self.baseline} ({self.baseline_value:.3f})"
        promised = [f"{self.limit:g}"] if self.limit is not None else []
        promised += [f"{self.ratio_limit:g} x"] if self.ratio_limit is not None else []
        limit = f"   limit {', '.join(promised)}{' EXCEEDED' if self.too_slow else ''}" if promised else ""
        cpu = ""
        if self.cpu is not None and self.baseline_cpu:
            cpu = f"   cpu {self.cpu:.3f} s = {self.cpu / self.baseline_cpu:.1f} x {self.baseline_cpu:.3f}"
        note = f"   ({self.note})" if self.note else ""
        return f"{self.name:<44}{figures}{limit}{cpu}{note}"

    def as_json(self) -> dict[str, object]:
        """The same, for machines."""
        return asdict(self) | {"ratio": self.ratio, "too_slow": self.too_slow}


def seconds(work: Callable[[], object], times: int) -> float:
    """The median time of ``work`` over several runs."""
    taken = []
    for _ in range(times):
        begin = time.perf_counter()
        work()
        taken.append(time.perf_counter() - begin)
    return statistics.median(taken)


class CommandFailed(Exception):
    """A command that was to be measured ended badly; the message has its last words."""


@dataclass(frozen=True, kw_only=True)
class Took:
    """A command's times."""

    wall: float
    """Median seconds."""
    cpu: float
    """Least user and system seconds of its processes."""
    said: str
    """Standard output of the last run."""


def command(
    args: list[str], *, times: int = 1, environment: Mapping[str, str] | None = None, cwd: Path | None = None, timeout: float = 600.0
) -> Took:
    """Run a command some times, after one run that warms the disk's cache when it is more than once.

    Raises:
        CommandFailed: it ended with another status than 0, or not in time.
    """
    walls, cpus, said = [], [], ""
    for run in range(times + (times > 1)):
        before, begin = _children(), time.perf_counter()
        try:
            done = subprocess.run(args, capture_output=True, text=True, env=environment, cwd=cwd, timeout=timeout, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise CommandFailed(str(error)) from error
        wall, cpu, said = time.perf_counter() - begin, _children() - before, done.stdout
        if done.returncode:
            raise CommandFailed(f"{Path(args[0]).name} {' '.join(args[1:3])} exits {done.returncode}: {done.stderr[-300:]}")
        if run or times == 1:
            walls.append(wall)
            cpus.append(cpu)
    return Took(wall=statistics.median(walls), cpu=min(cpus), said=said)


def plain_environment(**given: str) -> dict[str, str]:
    """This process's environment without GOVERN_* and OPENLINEAGE_*, and with what is given."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("GOVERN_", "OPENLINEAGE_"))} | given


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
