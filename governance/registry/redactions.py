"""Redaction of events that carry what nobody meant to keep: in the ledger by an entry, then in the graph, which is made anew.

The order, wherever it is cut off: every event is looked at before the first is touched; each payload is destroyed with the entry that says
what stands in its place; snapshots of the graph that stand for one of them are deleted; the graph is emptied and folded again, in the
redacted form. A kill after the ledger leaves a graph that still holds it: the same command again goes on from there.

What cannot be done (docs/adr/0016-retention.md): an event that stands in the snapshot under which others were retired stays in the graph,
for there would be nothing left to make it from. Such a redaction is refused before anything is touched.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from lineage.errors import BadInput, Conflict
from lineage.ledger.replaced import Replacements
from lineage.model import LedgerEntry
from lineage.openlineage.mend import mend
from lineage.retention import Archive

__all__ = ["RedactingLedger", "Redactions"]

_EVENT = "openlineage"
_MOST = 1000


class RedactingLedger(Protocol):
    """A ledger whose payloads can be replaced one by one, the proofs kept."""

    def entry(self, index: int) -> LedgerEntry: ...
    def entries(self, start: int = 0, limit: int = 1000, kind: str | None = None) -> list[LedgerEntry]: ...
    def redact(self, index: int, *, actor: str, reason: str, replacement: bytes | None = None) -> LedgerEntry | None: ...
    def empty_wal(self) -> None: ...


@dataclass(frozen=True, slots=True)
class _Work:
    entry: LedgerEntry
    replacement: bytes
    places: int


class Redactions:
    """Redacts events of one home.

    Args:
        ledger: where they are.
        archive: the snapshots of the graph.
        forget: drops what was kept parsed of these identities between the door and the fold.
        rebuild: empties the graph, which is then made anew; returns at once.
    """

    def __init__(
        self,
        ledger: RedactingLedger,
        archive: Archive,
        *,
        forget: Callable[[Sequence[str | None]], None],
        rebuild: Callable[[], None],
    ) -> None:
        self._ledger = ledger
        self._archive = archive
        self._forget = forget
        self._rebuild = rebuild
        self._replaced = Replacements(ledger)

    def redact(self, body: Mapping[str, Any], *, actor: str) -> dict[str, Any]:
        """Redact ``entries`` (indexes) at ``fields`` (JSON pointers) and wherever ``text`` stands; ``instead`` takes the place.

        Returns:
            ``{redacted: [{entry, by, places}], snapshots_deleted, rebuild}``: ``by`` is the entry that says it, ``places`` how many were
            changed. Entries whose payload was redacted before in the same way come back with the entry that says so, and 0 places.

        Raises:
            BadInput: too many entries; one is no event; see :func:`lineage.openlineage.mend.mend`.
            NotFound: there is no such entry, field or text.
            Conflict: an event was retired, or redacted otherwise before, or stands in the snapshot that a rebuild needs.
            StoreUnavailable: the ledger cannot be written; repeat the request.
        """
        indexes = list(dict.fromkeys(body["entries"]))
        if len(indexes) > _MOST:
            raise BadInput(f"{len(indexes)} entries are too many for one request", hint=f"at most {_MOST} at a time")
        fields, text, instead = tuple(body.get("fields") or ()), body.get("text"), body.get("instead")
        work = [self._look(index, fields, text, instead) for index in indexes]
        done = []
        for item in work:
            said = None
            if item.entry.payload is not None:
                said = self._ledger.redact(item.entry.index, actor=actor, reason=str(body["reason"]), replacement=item.replacement)
            done.append({"entry": item.entry.index, "by": said.index if said else None, "places": item.places if said else 0})
        self._ledger.empty_wal()  # also when a run before this one was cut off between the two
        self._forget([item.entry.identity for item in work])
        deleted = self._archive.forget_redacted()
        self._rebuild()
        return {"redacted": done, "snapshots_deleted": deleted, "rebuild": "under way"}

    def _look(self, index: int, fields: Sequence[str], text: str | None, instead: str | None) -> _Work:
        """What is to be done with one entry; nothing is changed."""
        entry = self._ledger.entry(index)
        if entry.kind != _EVENT:
            raise BadInput(
                f"entry {index} is {entry.kind}, no event: what Govern enters itself names no person",
                hint="only entries of kind openlineage are redacted",
            )
        if entry.payload is None:
            before = self._replaced.of(index)
            if before is None:
                raise Conflict(
                    f"the payload of entry {index} was destroyed: there is nothing to redact",
                    hint="a retired event stands in a snapshot of the graph and in no other place: docs/how-to/retention.md",
                )
            if not _settled(before, fields, text, instead):
                raise Conflict(
                    f"entry {index} was redacted before, and what stands in its place is not changed again",
                    hint="name all its fields in one redaction",
                )
            return _Work(entry, before, 0)
        needed = self._archive.needed()
        if index < needed:
            raise Conflict(
                f"entry {index} stands in the snapshot of the first {needed} entries, under which events were retired: "
                "without it the graph could not be made again",
                hint="docs/how-to/backup.md#redaction says what is possible",
            )
        mended = mend(entry.payload, fields=fields, text=text, instead=instead)
        return _Work(entry, mended.payload, len(mended.places))


def _settled(replacement: bytes, fields: Sequence[str], text: str | None, instead: str | None) -> bool:
    """Whether what stands there now is what this request would leave: then it is the same request again."""
    if text and text in replacement.decode("utf-8", "replace"):
        return False
    return not fields or mend(replacement, fields=fields, instead=instead).payload == replacement
