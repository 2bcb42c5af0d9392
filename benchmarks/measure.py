"""One figure beside its baseline."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass


@dataclass(frozen=True, kw_only=True)
class Line:
    """What was measured, what it is compared with, and the limit that was promised."""

    name: str
    value: float
    unit: str
    baseline: str
    baseline_value: float
    limit: float | None = None
    """Largest value for seconds, smallest for rates."""
    failed: str | None = None
    """Why it could not be measured."""

    @property
    def ratio(self) -> float:
        """Value over baseline."""
        return self.value / self.baseline_value if self.baseline_value else float("nan")

    @property
    def too_slow(self) -> bool:
        """Whether the promise is broken."""
        if self.limit is None or self.failed:
            return False
        return self.value > self.limit if self.unit == "s" else self.value < self.limit

    def text(self) -> str:
        """One line of the table."""
        if self.failed:
            return f"{self.name:<44} not measured: {self.failed}"
        figures = f"{self.value:>10.3f} {self.unit:<5} {self.ratio:>7.2f} x {self.baseline} ({self.baseline_value:.3f})"
        limit = "" if self.limit is None else f"   limit {self.limit:g}{' EXCEEDED' if self.too_slow else ''}"
        return f"{self.name:<44}{figures}{limit}"

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
