"""What stands in the place of payloads that were redacted: every fold, export and answer reads an entry in this form.

A redaction comes later in the log than what it redacts; whoever reads the earlier entry must know of it. The announcements are read once
and then only what is new (:class:`lineage.retention.known.Retirements` does the same for retired ones).
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterable, Iterator
from typing import Protocol

from lineage.errors import BadInput, Tampered
from lineage.ledger.entries import REDACTED, Redaction, parse_redaction
from lineage.model import LedgerEntry

__all__ = ["Replacements"]

_PAGE = 1000


class _Entries(Protocol):
    def entries(self, start: int = 0, limit: int = 1000, kind: str | None = None) -> list[LedgerEntry]: ...


class Replacements:
    """The redactions of a ledger. Safe to ask from many threads."""

    def __init__(self, ledger: _Entries) -> None:
        self._ledger = ledger
        self._lock = threading.Lock()
        self._next = 0
        self._said: dict[int, Redaction] = {}
        self.given: set[int] = set()
        """Indexes of the entries that :meth:`said` gave in their redacted form."""

    def said(self, entries: Iterable[LedgerEntry]) -> Iterator[LedgerEntry]:
        """The entries, each redacted one with what replaces its payload; one that nothing replaces keeps ``None``."""
        for entry in entries:
            payload = entry.payload if entry.payload is not None else self.of(entry.index)
            if payload is entry.payload:
                yield entry
            else:
                self.given.add(entry.index)
                yield dataclasses.replace(entry, payload=payload)

    def of(self, index: int) -> bytes | None:
        """What replaces the payload of an entry; ``None`` where nothing does, or it was never redacted.

        Raises:
            Tampered: an announcement cannot be read.
        """
        found = self.redaction(index)
        return None if found is None else found.replacement

    def redaction(self, index: int) -> Redaction | None:
        """The redaction of an entry, the newest one; ``None`` when it was never redacted."""
        self._read()
        with self._lock:
            return self._said.get(index)

    def _read(self) -> None:
        with self._lock:
            while batch := self._ledger.entries(self._next, _PAGE, REDACTED):
                for entry in batch:
                    try:
                        said = parse_redaction(entry.payload or b"")
                    except BadInput as error:
                        raise Tampered(f"ledger entry {entry.index} ({entry.kind}): {error.message}", hint="govern ledger fsck") from error
                    self._said[said.index] = said
                    self._next = entry.index + 1
