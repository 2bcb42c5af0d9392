"""From when to when: facts of coming and going, folded to spans of versions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lineage.rows.packing import U64

__all__ = ["OPEN", "Spans", "last_before", "spans"]

OPEN = np.uint64(2**64 - 1)
"""The end of a span that has none yet."""


@dataclass(frozen=True, slots=True)
class Spans:
    """What was there from version ``begin`` on and before version ``end``, sorted by (what, begin)."""

    what: U64
    begin: U64
    end: U64

    def at(self, version: int) -> U64:
        """What was there at a version, sorted, each once."""
        number = np.uint64(version)
        return np.unique(self.what[(self.begin <= number) & (number < self.end)])

    def within(self, versions: Sequence[int]) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """For each span whether one of the sorted versions lies in it."""
        there = np.array(versions, dtype=np.uint64)
        return np.asarray(there.searchsorted(self.begin) < there.searchsorted(self.end))


def spans(came: tuple[U64, U64], went: tuple[U64, U64]) -> Spans:
    """The spans of (what, version) pairs of coming and of going.

    Coming while there, and going while not there, say nothing new. At one version nothing both comes and goes.
    """
    what = np.concatenate([came[0], went[0]])
    version = np.concatenate([came[1], went[1]])
    is_there = np.concatenate([np.ones(came[0].size, dtype=bool), np.zeros(went[0].size, dtype=bool)])
    order = np.lexsort((version, what))
    what, version, is_there = what[order], version[order], is_there[order]
    new = np.ones(what.size, dtype=bool)
    new[1:] = what[1:] != what[:-1]
    before = np.zeros(what.size, dtype=bool)
    before[1:] = is_there[:-1] & ~new[1:]
    kept = is_there != before
    what, version, is_there = what[kept], version[kept], is_there[kept]
    starts = np.flatnonzero(is_there)
    end = np.full(starts.size, OPEN, dtype=np.uint64)
    follows = starts + 1 < what.size
    next_ = starts[follows] + 1
    ended = what[next_] == what[starts[follows]]
    end[np.flatnonzero(follows)[ended]] = version[next_[ended]]
    return Spans(what[starts], version[starts], end)


def last_before(went: tuple[U64, U64], what: U64, version: int) -> U64:
    """For each of ``what`` the last version up to ``version`` at which it went; 0 where it did not (versions begin at 1)."""
    early = went[1] <= np.uint64(version)
    gone, when = went[0][early], went[1][early]
    order = np.lexsort((when, gone))
    gone, when = gone[order], when[order]
    at = gone.searchsorted(what, "right")
    found = np.zeros(what.size, dtype=np.uint64)
    some = at > 0
    hit = np.zeros(what.size, dtype=bool)
    hit[some] = gone[at[some] - 1] == what[some]
    found[hit] = when[at[hit] - 1]
    return found
