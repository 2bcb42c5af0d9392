"""Look a record up by name, or say which names are near."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

from lineage.errors import NotFound
from lineage.ports import Ledger, LedgerTx

__all__ = ["bodies", "must_find", "nearest"]


def nearest(name: str, names: Iterable[str], *, listing: str) -> str:
    """A hint that names up to three near names, else the command that lists them all.

    >>> nearest("credit-rsk", ["credit-risk", "fraud"], listing="govern models")
    'did you mean credit-risk? `govern models` lists all'
    """
    near = difflib.get_close_matches(name, sorted(names), n=3, cutoff=0.5)
    return f"did you mean {', '.join(near)}? `{listing}` lists all" if near else f"`{listing}` lists what there is"


def bodies(source: Ledger | LedgerTx, kind: str, *, prefix: str = "") -> list[dict[str, Any]]:
    """The bodies of the records of a kind, in the order of their identifiers."""
    return [body for _ident, body, _revision in source.records(kind, prefix=prefix)]


def must_find(source: Ledger | LedgerTx, kind: str, ident: str, *, what: str, listing: str) -> dict[str, Any]:
    """The record's body; ``NotFound`` with the nearest names otherwise."""
    found = source.record(kind, ident)
    if found is None:
        names = [name for name, _body, _revision in source.records(kind)]
        raise NotFound(f"no {what} is named {ident!r}", hint=nearest(ident, names, listing=listing))
    body: dict[str, Any] = found[0]
    return body
