"""Cursor paging for lists that grow: the cursor names the last item seen, so new items never shift a page."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from governance.api.call import Param
from lineage.errors import BadInput

__all__ = ["PAGING", "page"]

PAGING = (
    Param(name="limit", kind="int", default=100, minimum=1, maximum=1000, about="most items in the answer"),
    Param(name="cursor", about="`next` of the page before"),
)


def page(answer: Mapping[str, Any], name: str, query: Mapping[str, Any], *, key: str = "id") -> dict[str, Any]:
    """The answer with the list ``name`` cut to one page and ``next``: the following cursor, or null at the end.

    Raises:
        BadInput: the cursor is not one of ours, or what it names is no longer listed.
    """
    items = list(answer[name])
    start = 0
    if query.get("cursor"):
        last = _decode(query["cursor"])
        places = [place for place, item in enumerate(items) if str(item[key]) == last]
        if not places:
            raise BadInput("the cursor names nothing in this list", hint="begin again without a cursor")
        start = places[-1] + 1
    limit = query.get("limit") or 100
    part = items[start : start + limit]
    more = start + limit < len(items)
    return {**answer, name: part, "next": _encode(str(part[-1][key])) if more else None}


def _encode(last: str) -> str:
    return base64.urlsafe_b64encode(last.encode()).decode().rstrip("=")


def _decode(cursor: str) -> str:
    try:
        return base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except (binascii.Error, ValueError):
        raise BadInput("the cursor cannot be read", hint="pass `next` of the page before, as it is") from None
