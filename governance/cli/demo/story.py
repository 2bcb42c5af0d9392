"""Tells the demo: one line a step with its time, and a table of what happened at the end."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from governance.cli.output import console, table
from lineage.errors import GovernError

__all__ = ["DemoFailed", "Step", "Story"]


class DemoFailed(GovernError):
    """A step's own check did not hold."""


@dataclass
class Step:
    """One step: what it is about, what came out, how long it took."""

    name: str
    said: str = ""
    seconds: float = 0.0
    ok: bool = False
    facts: dict[str, Any] = field(default_factory=dict)

    def check(self, holds: bool, otherwise: str) -> None:
        """Fail the step unless ``holds``."""
        if not holds:
            raise DemoFailed(f"{self.name}: {otherwise}", hint="run again with --keep DIR and look at DIR/server.log")


class Story:
    """The steps so far; prints each when it ends unless it is silent."""

    def __init__(self, *, silent: bool) -> None:
        self.steps: list[Step] = []
        self._silent = silent
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return round(time.monotonic() - self._began, 2)

    @contextmanager
    def step(self, name: str) -> Iterator[Step]:
        """Run a step; its ``said`` becomes its line. An error in it ends the story."""
        step = Step(name)
        self.steps.append(step)
        began = time.monotonic()
        live = not self._silent and sys.stdout.isatty()
        if live:
            sys.stdout.write(f"   …     {name}\r")
            sys.stdout.flush()
        try:
            yield step
            step.ok = True
        except GovernError as error:
            step.said = error.message
            raise
        finally:
            step.seconds = round(time.monotonic() - began, 2)
            if not self._silent:
                mark = "ok" if step.ok else "FAILED"
                clear = "\x1b[2K" if live else ""
                sys.stdout.write(f"{clear}{step.seconds:6.2f} s  {mark:<6}  {step.name}: {step.said}\n")
                sys.stdout.flush()

    def close(self, papers: dict[str, str], happened: list[tuple[str, str]]) -> None:
        """Print the table of what happened, the total time and the papers."""
        if self._silent:
            return
        out = console()
        out.print()
        table(("what happened", ""), happened, empty="")
        for name, path in papers.items():
            out.print(f"{name:<22}{path}", soft_wrap=True)
        out.print(
            f"\n{len(self.steps)} steps in {self.seconds:.1f} s; every check held." if self.ok else f"\nStopped after {self.seconds:.1f} s."
        )

    @property
    def ok(self) -> bool:
        """True when every step held."""
        return all(step.ok for step in self.steps)
