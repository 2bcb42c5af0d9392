"""The part of the check that is about retirements: one entry that announces the destruction of many.

The announcements are read first: they are few and small, so that a log of which a million events were retired is checked without holding
what is known of each. One that is appended while the log is checked is held against its entries in a second reading.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from typing import Protocol

from lineage.errors import BadInput
from lineage.ledger.retired import RETIRED, Headers, Retired, parse_retired
from lineage.model import LedgerEntry

__all__ = ["Retirements"]

_BATCH = 1000


class _Reads(Protocol):
    def entries(self, start: int = 0, limit: int = 1000, kind: str | None = None) -> list[LedgerEntry]: ...


class Retirements:
    """What the retirements of a log announce, and what the check meets of it."""

    def __init__(self, log: _Reads) -> None:
        self._log = log
        self._problems: list[str] = []
        self._said: list[tuple[LedgerEntry, Retired, Headers]] = []
        runs: list[tuple[int, int, int]] = []
        for entry, said in self._announcements(0):
            runs += [(first, last, len(self._said)) for first, last in said.ranges]
            self._said.append((entry, said, Headers()))
        self._runs = sorted(runs)
        self._last = self._said[-1][0].index if self._said else -1

    def take(self, entry: LedgerEntry) -> bool:
        """Whether a destroyed entry is one of those that were announced; entries come in order of index."""
        at = bisect.bisect_right(self._runs, (entry.index, 1 << 62, 0)) - 1
        if at < 0 or entry.index > self._runs[at][1]:
            return False
        self._said[self._runs[at][2]][2].add(entry)
        return True

    def judge(self, destroyed: dict[int, LedgerEntry], problems: list[str]) -> None:
        """After the last entry: hold what was met against what was announced; ``destroyed`` loses what was announced meanwhile."""
        for entry, said, met in self._said:
            self._hold(entry, said, met)
        for entry, said in self._announcements(self._last + 1):
            met = Headers()
            for first, last in said.ranges:
                for one in self._run(first, last):
                    met.add(one)
                    destroyed.pop(one.index, None)
            self._hold(entry, said, met)
        problems += self._problems

    def _hold(self, entry: LedgerEntry, said: Retired, met: Headers) -> None:
        if met.count != said.count:
            self._problems.append(
                f"entry {entry.index} ({entry.kind}) says that {said.count} entries were destroyed; {met.count} of them are"
            )
        elif met.hexdigest() != said.headers:
            first, last = said.ranges[0][0], said.ranges[-1][1]
            self._problems.append(
                f"one of the entries {first} to {last} is not what entry {entry.index} says was destroyed: it was rewritten"
            )

    def _announcements(self, start: int) -> Iterator[tuple[LedgerEntry, Retired]]:
        while batch := self._log.entries(start, _BATCH, RETIRED):
            for entry in batch:
                try:
                    said = parse_retired(entry.payload or b"")
                except BadInput as error:
                    self._problems.append(f"entry {entry.index} ({entry.kind}): {error.message}")
                    continue
                if said.ranges and said.ranges[-1][1] >= entry.index:
                    self._problems.append(
                        f"entry {entry.index} ({entry.kind}) speaks of entry {said.ranges[-1][1]}, which is not before it"
                    )
                    continue
                yield entry, said
            start = batch[-1].index + 1

    def _run(self, first: int, last: int) -> Iterator[LedgerEntry]:
        while first <= last:
            batch = self._log.entries(first, min(_BATCH, last - first + 1))
            yield from (entry for entry in batch if entry.index <= last and entry.payload is None)
            if not batch:
                return
            first = batch[-1].index + 1
