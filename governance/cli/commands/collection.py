"""What every collection of the API is asked in the same way: for all that is in it, and to take one thing away."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from governance.cli.client import connect
from governance.cli.output import emit_json, say, table

__all__ = ["list_all", "remove_one"]


def list_all(
    route: str, name: str, columns: Sequence[str], row: Callable[[dict[str, Any]], Sequence[Any]], *, empty: str, as_json: bool
) -> None:
    """Print what is at a route: as JSON, or as a table; the sentence ``empty`` when nothing is.

    Args:
        route: of the collection.
        name: the member of the answer that holds the list.
        columns: the header of the table.
        row: what of one member stands in these columns.
        empty: said in place of a table without rows.
        as_json: whether the answer is printed as it came.
    """
    with connect() as api:
        answer = api.get(route)
    if as_json:
        emit_json(answer)
    else:
        table(columns, map(row, answer[name]), empty=empty)


def remove_one(route: str, done: str, *, as_json: bool) -> None:
    """DELETE the thing at a route; prints the answer as JSON, or the sentence ``done``."""
    with connect() as api:
        answer = api.delete(route)
    if as_json:
        emit_json(answer)
    else:
        say(done)
