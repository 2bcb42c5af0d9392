"""What commands print: JSON for machines, plain tables and sentences for people."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["console", "emit_json", "fields", "fields_once", "say", "short", "table", "when", "write_file"]


def console(*, stderr: bool = False) -> Console:
    """A console on stdout (or stderr); wide enough not to cut identifiers when it is no terminal."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, width=None if stream.isatty() else 160, soft_wrap=False, highlight=False)


def emit_json(value: Any) -> None:
    """Print a JSON document, indented, keys as they came."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def say(text: str) -> None:
    """Print one sentence on stdout."""
    sys.stdout.write(text + "\n")


def when(ns: Any) -> str:
    """UTC nanoseconds as a readable time, or ``-``.

    >>> when(0)
    '1970-01-01 00:00:00 UTC'
    """
    if ns is None or ns == "":
        return "-"
    if not isinstance(ns, int):
        return str(ns)
    return datetime.fromtimestamp(ns // 1_000_000_000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def short(digest: Any, length: int = 12) -> str:
    """A digest cut for the eye, its algorithm kept; other strings stay whole.

    >>> short("sha256:0123456789abcdef0123")
    'sha256:0123456789ab…'
    """
    text = "-" if digest is None else str(digest)
    head, colon, tail = text.partition(":")
    if not colon:
        head, tail = "", text
    if len(tail) > length and all(c in "0123456789abcdef" for c in tail):
        return f"{head}{colon}{tail[:length]}…"
    return text


def _cell(value: Any) -> str:
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(_cell(v) for v in value) or "-"
    return str(value)


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, empty: str, title: str | None = None) -> None:
    """Print rows under a header, or the sentence ``empty``."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    kept = [list(row) for row in rows]
    if not kept:
        say(empty)
        return
    out = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False)
    for index, column in enumerate(columns):
        numeric = all(isinstance(row[index], int | float) and not isinstance(row[index], bool) for row in kept)
        out.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in kept:
        out.add_row(*(Text(_cell(value)) for value in row))
    console().print(out)


def fields(pairs: Iterable[tuple[str, Any]]) -> None:
    """Print ``label  value`` lines, aligned."""
    kept = [(label, _cell(value)) for label, value in pairs]
    width = max((len(label) for label, _ in kept), default=0) + 2
    for label, value in kept:
        say(f"{label:<{width}}{value}")


def fields_once(pairs: Iterable[tuple[str, Any]]) -> None:
    """Print ``label  value`` lines of which one is a secret, and that nobody can look it up later."""
    fields(pairs)
    say("Keep it now: it is not shown again.")


def write_file(path: Path, data: bytes) -> Path:
    """Write a file whole or not at all (a neighbour is renamed over it); returns the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f".{path.name}.part")
    try:
        half.write_bytes(data)
        half.replace(path)
    finally:
        half.unlink(missing_ok=True)
    return path
