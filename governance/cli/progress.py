"""A progress bar on stderr, only on a terminal; nothing for a pipe or a log."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from governance.cli.output import console

__all__ = ["bar"]


@contextmanager
def bar(what: str) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Yields a function for :meth:`Api.wait`'s ``seen`` (or any ``{"progress": {done, total, what}}``)."""
    if not sys.stderr.isatty():
        yield lambda _state: None
        return
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[part]}"), TimeElapsedColumn())
    with Progress(*columns, console=console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=None, part="")

        def seen(state: dict[str, Any]) -> None:
            now = state.get("progress") or {}
            done, total = now.get("done"), now.get("total")
            part = str(now.get("what") or state.get("state") or "")
            if total:
                part = f"{part} {done}/{total}"
            progress.update(task, completed=done or 0, total=total, part=part)

        yield seen
