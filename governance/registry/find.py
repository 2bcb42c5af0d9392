"""Look a record up by name, or say which names are near."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lineage.errors import NotFound
from lineage.ports import Ledger, LedgerTx

__all__ = ["LISTINGS", "Parsed", "bodies", "must_find", "nearest"]

LISTINGS: Mapping[str, str] = {
    "key": "govern keys list",
    "dataset": "govern dataset list",
    "model": "govern models",
    "version": "govern models",
    "erasure": "govern erasure list",
    "backup": "govern backup --list",
    "incident": "govern incident list",
    "report": "govern report list",
    "webhook": "govern webhooks list",
    "recipient": "govern recipients list",
    "controller": "govern opendsr list",
    "task": "govern erasure task list",
}
"""Record kind → the command that lists what there is. An operation has none: its id is in the answer that began it."""


_BY_ID = frozenset({"key", "erasure", "incident", "report", "operation", "webhook", "recipient", "controller", "backup", "task"})
"""Kinds whose identifiers are drawn, not chosen: two of them may look alike by chance, so only a slip of the pen counts as near."""


def nearest(name: str, names: Iterable[str], *, listing: str, cutoff: float = 0.5) -> str:
    """A hint that names up to three near names, else the command that lists them all.

    >>> nearest("credit-rsk", ["credit-risk", "fraud"], listing="govern models")
    'did you mean credit-risk? `govern models` lists all'
    """
    near = difflib.get_close_matches(name, sorted(names), n=3, cutoff=cutoff)
    return f"did you mean {', '.join(near)}? `{listing}` lists all" if near else f"`{listing}` lists what there is"


def bodies(source: Ledger | LedgerTx, kind: str, *, prefix: str = "") -> list[dict[str, Any]]:
    """The bodies of the records of a kind, in the order of their identifiers."""
    return [body for _ident, body, _revision in source.records(kind, prefix=prefix)]


class Parsed:
    """:func:`bodies` of one kind, each parsed once: a record changes with an entry and in no other way.

    The length of the ledger is asked of the store, so the entries of other processes count, and before the records are read: what an entry
    that comes in between sets is newer than it is taken for, and is read again. Of a ledger that grew, only the records that were set since
    are parsed. A count that does not fit says that some are gone, and all are read.
    """

    def __init__(self, ledger: Ledger, kind: str) -> None:
        self._ledger = ledger
        self._kind = kind
        self._known: tuple[int, Mapping[str, dict[str, Any]], tuple[dict[str, Any], ...]] | None = None

    def bodies(self) -> Sequence[dict[str, Any]]:
        """In the order of their identifiers. Everyone gets the same objects: to be read, and copied by who changes one.

        The sequence is the same object as long as no record of the kind changed; a record that did not change is the same object in the
        next one.
        """
        size, known = self._ledger.size(), self._known
        if known is None or size < known[0]:
            known = self._read(size)
        elif size > known[0]:
            changed, count = self._ledger.changed(self._kind, known[0])
            there = {**known[1], **{ident: body for ident, body, _revision in changed}} if changed else known[1]
            known = self._ordered(size, there, known[2] if not changed else None) if len(there) == count else self._read(size)
        self._known = known
        return known[2]

    def _read(self, size: int) -> tuple[int, Mapping[str, dict[str, Any]], tuple[dict[str, Any], ...]]:
        return self._ordered(size, {ident: body for ident, body, _revision in self._ledger.records(self._kind)}, None)

    @staticmethod
    def _ordered(
        size: int, there: Mapping[str, dict[str, Any]], same: tuple[dict[str, Any], ...] | None
    ) -> tuple[int, Mapping[str, dict[str, Any]], tuple[dict[str, Any], ...]]:
        return size, there, same if same is not None else tuple(there[ident] for ident in sorted(there))


def must_find(source: Ledger | LedgerTx, kind: str, ident: str, *, what: str) -> dict[str, Any]:
    """The record's body; ``NotFound`` with the nearest names, or the command that lists them, otherwise."""
    found = source.record(kind, ident)
    if found is None:
        names = [name for name, _body, _revision in source.records(kind)]
        hint = "its id is in the answer that began it"
        if kind in LISTINGS:
            hint = nearest(ident, names, listing=LISTINGS[kind], cutoff=0.9 if kind in _BY_ID else 0.5)
        raise NotFound(f"no {what} is named {ident!r}", hint=hint)
    body: dict[str, Any] = found[0]
    return body
