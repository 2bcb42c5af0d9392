"""How one later entry says that the payloads of many entries were destroyed because they were old enough.

::

    {"count":…,"entries":[[first,last],…],"headers":"<sha256>","reason":…,"snapshot":{"entry":…,"position":…}}    JSON, keys sorted

Their leaves stay. ``headers`` is the SHA-256 over header, LF, leaf in hex, LF of each, in order of index: with the payload the leaf can
no longer attest the header, so this entry does. ``snapshot`` names the entry that holds the signed manifest of the graph's snapshot, in
which stands what these events said, and how many entries it stands for.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lineage.errors import BadInput
from lineage.ledger.entries import canonical_json, header_of
from lineage.model import LedgerEntry, NewEntry

__all__ = ["RETIRED", "Headers", "Retired", "parse_retired", "ranges_of", "retired"]

RETIRED = "govern.ledger.retired"
"""Kind of the entry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retired:
    """What an entry of kind :data:`RETIRED` says."""

    ranges: tuple[tuple[int, int], ...]
    """First and last index of each run of retired entries, ascending, none touching the next."""
    count: int
    headers: str
    """Hex SHA-256 over their headers and leaves (:class:`Headers`)."""
    reason: str
    snapshot: int
    """Index of the entry with the snapshot's signed manifest."""
    position: int
    """Ledger entries that the snapshot stands for."""


class Headers:
    """The digest over headers and leaves of entries, given in order of index.

    >>> Headers().hexdigest()[:8]
    'e3b0c442'
    """

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self.count = 0

    def add(self, entry: LedgerEntry) -> None:
        """Take in the next entry."""
        self._digest.update(b"%b\n%b\n" % (header_of(entry), entry.leaf.hex().encode()))
        self.count += 1

    def hexdigest(self) -> str:
        """Of all that were added."""
        return self._digest.hexdigest()


def ranges_of(indexes: Iterable[int]) -> list[tuple[int, int]]:
    """Ascending indexes as runs.

    >>> ranges_of([1, 2, 3, 7, 9, 10])
    [(1, 3), (7, 7), (9, 10)]
    """
    found: list[tuple[int, int]] = []
    for index in indexes:
        if found and found[-1][1] + 1 == index:
            found[-1] = (found[-1][0], index)
        else:
            found.append((index, index))
    return found


def retired(entries: Sequence[LedgerEntry], *, actor: str, reason: str, snapshot: int, position: int) -> NewEntry:
    """The entry that announces the destruction of these entries' payloads; ``entries`` ascend by index."""
    headers = Headers()
    for entry in entries:
        headers.add(entry)
    body = {
        "count": headers.count,
        "entries": [list(one) for one in ranges_of(entry.index for entry in entries)],
        "headers": headers.hexdigest(),
        "reason": reason,
        "snapshot": {"entry": snapshot, "position": position},
    }
    return NewEntry(kind=RETIRED, payload=canonical_json(body), actor=actor)


def parse_retired(payload: bytes) -> Retired:
    """What such an entry's payload says.

    Raises:
        BadInput: it is not such a payload, or its runs do not ascend or do not come to its count, which is above 0.
    """
    try:
        body = json.loads(payload)
        found = Retired(
            ranges=tuple((int(first), int(last)) for first, last in body["entries"]),
            count=int(body["count"]),
            headers=str(body["headers"]),
            reason=str(body["reason"]),
            snapshot=int(body["snapshot"]["entry"]),
            position=int(body["snapshot"]["position"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(f"not a retirement: {error}") from error
    before = -2
    for first, last in found.ranges:
        if not before + 1 < first <= last:
            raise BadInput(f"not a retirement: the run {first} to {last} is out of order")
        before = last
    if not found.count or sum(last - first + 1 for first, last in found.ranges) != found.count:
        raise BadInput(f"not a retirement: its runs do not come to {found.count} entries")
    return found
