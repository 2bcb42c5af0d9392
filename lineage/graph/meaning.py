"""What the facts of one run mean: its state, its attempts, what it wrote and when."""

from __future__ import annotations

from dataclasses import dataclass

from lineage.graph.facts import Facts
from lineage.model import Json

__all__ = ["RunState", "run_state", "versions_written"]

_RANK = {"COMPLETE": 1, "ABORT": 2, "FAIL": 3}
_LATE = 2**63
"""Where an event of unknown time is placed: after all that are known."""


@dataclass(frozen=True, slots=True)
class RunState:
    """A run as all its events together say, whatever their order."""

    state: str
    """COMPLETE ABORT FAIL of the last attempt, else RUNNING, START or OTHER."""
    start: int | None
    """Earliest START, else the earliest event; UTC nanoseconds."""
    end: int | None
    """When the last attempt ended."""
    attempts: int
    """A START later than a terminal event begins a new attempt (schedulers send the same run id again)."""
    outputs: str
    """``written`` once an attempt completed; ``planned`` when the last one failed and none completed; else ``running``."""
    written_at: int | None
    """When the first completed attempt ended."""
    read_at: tuple[int, ...]
    """When the attempts began whose reads count: those that completed, else the last one."""


def run_state(facts: Facts) -> RunState:
    """The state of the run: among the terminal events of an attempt the latest wins, at equal times FAIL > ABORT > COMPLETE."""
    marks = [(when, 0, "START") for when in facts["starts"]]
    marks += [(when or _LATE, _RANK[kind], kind) for when, kind in facts["ends"]]
    start = facts["starts"][0] if facts["starts"] else facts.get("t")
    attempts: list[tuple[int | None, tuple[int, str] | None]] = [(start, None)]
    for when, _, kind in sorted(marks):
        begun, end = attempts[-1]
        if kind != "START":
            attempts[-1] = (begun, (when, kind))
        elif end is not None and when > end[0]:
            attempts.append((when, None))
    final = attempts[-1][1]
    completed = [(begun, end[0]) for begun, end in attempts if end is not None and end[1] == "COMPLETE"]
    outputs = "written" if completed else "planned" if final is not None else "running"
    alive = "RUNNING" if facts["ran"] else "START" if facts["starts"] else "OTHER"
    first = min((end for _, end in completed), default=_LATE)
    return RunState(
        state=final[1] if final else alive,
        start=start,
        end=final[0] if final and final[0] != _LATE else None,
        attempts=len(attempts),
        outputs=outputs,
        written_at=first if first != _LATE else None,
        read_at=tuple(sorted({begun for begun, _ in completed or attempts[-1:] if begun is not None})),
    )


def versions_written(facts: Facts, output: Facts) -> list[str]:
    """The versions an output of this run is: those stated, else one named after the run."""
    stated: dict[str, Json] = output["v"]
    return sorted(stated) or [f"run:{facts['id']}"]
