"""The page ``docs/reference/routes.md``, made from the route table: ``python -m governance.api.docs [FILE]``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from governance.api.call import ROLES, Route
from governance.api.openapi import TAGS
from governance.api.problems import BASE, PROBLEMS, UNEXPECTED
from governance.api.table import ROUTES

__all__ = ["main", "routes_page"]

HEAD: Final = """# Routes and roles

*Made from the route table by `python -m governance.api.docs`; a test fails when this page is stale.*

A key is sent as `Authorization: Bearer KEY` or `X-API-Key: KEY`. A route marked *open* needs none; on every other one a missing,
unknown or revoked key is answered 401, and a key without one of the roles 403. `admin` may use every route. The auditor reads
everything but identities: neither rows nor the lookup of a person.
"""

PROBLEM_HEAD: Final = f"""
## Problems

Errors are `application/problem+json` (RFC 9457) with `type`, `title`, `status`, `detail` and, where there is one, a `hint` that
names the next step. A type is `{BASE}` and the word below.

| type | status | when |
|---|---|---|
"""


def routes_page(routes: Sequence[Route] = ROUTES) -> str:
    """The page as Markdown."""
    parts = [HEAD]
    for tag, title in TAGS.items():
        mine = [route for route in routes if route.tag == tag]
        parts.append(f"\n## {title}\n\n| route | what | {' | '.join(ROLES)} | body, at most |\n|---|---|{'---|' * len(ROLES)}---|\n")
        parts.extend(_row(route) for route in mine)
    parts.append(PROBLEM_HEAD)
    parts.extend(f"| `{kind.slug}` | {kind.status} | {kind.when} |\n" for kind in (*PROBLEMS, UNEXPECTED))
    return "".join(parts)


def _row(route: Route) -> str:
    marks = ["open" if not route.roles else "✓" if role in route.roles else "" for role in ROLES]
    size = "" if route.takes == "none" else f"{route.limit // (1024 * 1024)} MiB"
    return f"| `{route.method} {route.path}` | {route.summary} | {' | '.join(marks)} | {size} |\n"


def main(arguments: Sequence[str]) -> int:
    """Write the page to the file named first, or to standard output; returns the exit code."""
    if arguments:
        Path(arguments[0]).write_text(routes_page(), encoding="utf-8")
    else:
        sys.stdout.write(routes_page())
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
