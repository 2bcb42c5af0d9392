"""Taking one thing away, as every group of commands does it."""

from __future__ import annotations

from governance.cli.client import connect
from governance.cli.output import emit_json, say

__all__ = ["remove_one"]


def remove_one(route: str, done: str, *, as_json: bool) -> None:
    """DELETE the thing at a route; prints the answer as JSON, or the sentence ``done``."""
    with connect() as api:
        answer = api.delete(route)
    if as_json:
        emit_json(answer)
    else:
        say(done)
