"""Which entries were retired, as the ledger's own announcements say; read once, and then only what is new."""

from __future__ import annotations

import bisect
import threading

from lineage.errors import BadInput, Tampered
from lineage.ledger.retired import RETIRED, Retired, parse_retired
from lineage.ports import Ledger

__all__ = ["Retirements"]

_PAGE = 1000


class Retirements:
    """The retirements of a ledger. Safe to ask from many threads."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._lock = threading.Lock()
        self._next = 0
        self._runs: list[tuple[int, int]] = []
        self._count = 0
        self._needed: Retired | None = None

    def count(self) -> int:
        """Events whose payloads were retired."""
        self._read()
        return self._count

    def holds(self, index: int) -> bool:
        """Whether the payload of this entry was retired."""
        self._read()
        with self._lock:
            at = bisect.bisect_right(self._runs, (index, 1 << 62)) - 1
            return at >= 0 and index <= self._runs[at][1]

    def needed(self) -> Retired | None:
        """The retirement with the newest snapshot: no older one holds all that was retired. ``None``: nothing was."""
        self._read()
        return self._needed

    def _read(self) -> None:
        """Read the announcements that came since.

        Raises:
            Tampered: an announcement cannot be read.
        """
        with self._lock:
            while batch := self._ledger.entries(self._next, _PAGE, RETIRED):
                for entry in batch:
                    try:
                        said = parse_retired(entry.payload or b"")
                    except BadInput as error:
                        raise Tampered(f"ledger entry {entry.index} ({entry.kind}): {error.message}", hint="govern ledger fsck") from error
                    for run in said.ranges:
                        bisect.insort(self._runs, run)
                    self._count += said.count
                    if self._needed is None or said.snapshot >= self._needed.snapshot:
                        self._needed = said
                    self._next = entry.index + 1
