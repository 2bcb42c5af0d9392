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


def run_state(facts: Facts) -> RunState:
    """The state of the run: among the terminal events of an attempt the latest wins, at equal times FAIL > ABORT > COMPLETE."""
    marks = [(when, 0, "START") for when in facts["starts"]]
    marks += [(when or _LATE, _RANK[kind], kind) for when, kind in facts["ends"]]
    attempts: list[tuple[int, str] | None] = [None]
    for when, _, kind in sorted(marks):
        last = attempts[-1]
        if kind != "START":
            attempts[-1] = (when, kind)
        elif last is not None and when > last[0]:
            attempts.append(None)
    final = attempts[-1]
    completed = [end[0] for end in attempts if end is not None and end[1] == "COMPLETE"]
    outputs = "written" if completed else "planned" if final is not None else "running"
    alive = "RUNNING" if facts["ran"] else "START" if facts["starts"] else "OTHER"
    return RunState(
        state=final[1] if final else alive,
        start=facts["starts"][0] if facts["starts"] else facts.get("t"),
        end=final[0] if final and final[0] != _LATE else None,
        attempts=len(attempts),
        outputs=outputs,
        written_at=min(completed) if completed and min(completed) != _LATE else None,
    )


def versions_written(facts: Facts, output: Facts) -> list[str]:
    """The versions an output of this run is: those stated, else one named after the run."""
    stated: dict[str, Json] = output["v"]
    return sorted(stated) or [f"run:{facts['id']}"]
