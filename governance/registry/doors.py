"""The lineage and ledger services as the doors call them."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from typing import Any

from governance.registry.datasets import Datasets
from lineage.errors import BadEvent, BadInput
from lineage.ingest import Ingestor
from lineage.ledger import fsck
from lineage.model import LedgerEntry
from lineage.ports import Ledger

__all__ = ["LedgerDoor", "LineageDoor"]


class LineageDoor:
    """OpenLineage in, status out. An event that names a landing file makes it scanned, so that appended rows are known at once."""

    def __init__(self, ingestor: Ingestor, datasets: Datasets) -> None:
        self._ingestor = ingestor
        self._datasets = datasets

    def accept(self, raw: bytes, *, actor: str) -> LedgerEntry:
        """Durable when it returns; ``BadEvent`` when it is not an OpenLineage event."""
        entry = self._ingestor.accept(raw, actor=actor)
        if not entry.duplicate:
            for name in self._datasets.named_in([raw]):
                self._datasets.refresh(name)
        return entry

    def accept_many(self, raws: Sequence[bytes], *, actor: str | Sequence[str]) -> list[LedgerEntry | BadEvent]:
        """Each event by itself: its entry, or why it was refused. ``actor`` is one for all, or one for each."""
        answers = self._ingestor.accept_many(raws, actor=actor)
        for name in self._datasets.named_in(raws):
            self._datasets.refresh(name)
        return answers

    def give_way(self, busy: Callable[[], bool]) -> None:
        """Let the projector rest while ``busy()``."""
        self._ingestor.projector.give_way(busy)

    def scans(self, raws: Sequence[bytes]) -> bool:
        """Whether :meth:`accept_many` would scan a landing file for one of these, which may take long."""
        return bool(self._datasets.named_in(raws))

    def status(self, *, digest: bool | None = None) -> dict[str, Any]:
        """Events, entries, lag, dead letters, nodes, edges; the graph's digest when it is asked for, or the graph is small."""
        return self._ingestor.status(digest=digest)

    def dead_letters(self) -> dict[str, Any]:
        """Events that could not be folded, each with its reason."""
        return {"dead_letters": self._ingestor.dead_letters()}

    def replay(self, start: int | None = None) -> dict[str, int]:
        """Fold dead letters again, or every entry from an index on."""
        return self._ingestor.replay(start)

    def rebuild(self, *, force: bool = False) -> dict[str, Any]:
        """Forget the graph; the projector makes it anew from the ledger while events are taken. How far it is: :meth:`status`."""
        self._ingestor.projector.begin_anew(force=force)
        return {"entries": self._ingestor.status(digest=False)["entries"]}

    def receipt(self, identity: str) -> dict[str, Any]:
        """What became of one event."""
        return self._ingestor.receipt(identity)


class LedgerDoor:
    """Checkpoints, entries, proofs and the check of the whole log."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def checkpoint_note(self) -> str:
        """The signed note over the present tree."""
        return self._ledger.checkpoint().note

    def entries_json(self, start: int = 0, limit: int = 100, kind: str | None = None) -> dict[str, Any]:
        """Entries from ``start`` on; payloads as text where they are UTF-8, else base64."""
        listed = self._ledger.entries(start, min(limit, 1000), kind)
        return {"entries": [_entry_json(entry) for entry in listed], "size": self._ledger.size()}

    def proof(
        self, index: int | None = None, size: int | None = None, first: int | None = None, second: int | None = None
    ) -> dict[str, Any]:
        """An inclusion proof (``index``, ``size``) or a consistency proof (``first``, ``second``), hashes in hex (RFC 6962 §2.1)."""
        if index is not None:
            size = self._ledger.size() if size is None else size
            path = self._ledger.inclusion(index, size)
            leaf = self._ledger.entry(index).leaf
            return {
                "index": index,
                "size": size,
                "leaf": leaf.hex(),
                "root": self._ledger.root(size).hex(),
                "proof": [item.hex() for item in path],
            }
        if first is None:
            raise BadInput("ask for index (inclusion), or first and second (consistency)", hint="govern ledger prove --help")
        second = self._ledger.size() if second is None else second
        path = self._ledger.consistency(first, second)
        roots = {"first_root": self._ledger.root(first).hex(), "second_root": self._ledger.root(second).hex()}
        return {"first": first, "second": second, **roots, "proof": [item.hex() for item in path]}

    def fsck(self) -> dict[str, Any]:
        """Check every entry, node and checkpoint."""
        report = fsck(self._ledger)  # type: ignore[arg-type]  # the adapter has what the check reads beside the port
        return {"ok": report.ok, "problems": list(report.problems), "size": report.size}


def _entry_json(entry: LedgerEntry) -> dict[str, Any]:
    body: dict[str, Any] = {"index": entry.index, "kind": entry.kind, "recorded_at": entry.recorded_at, "actor": entry.actor}
    body |= {"identity": entry.identity, "leaf": entry.leaf.hex(), "salt": entry.salt.hex() if entry.salt else None}
    if entry.payload is None:
        return body | {"payload": None, "destroyed": True}
    try:
        return body | {"payload": entry.payload.decode()}
    except UnicodeDecodeError:
        return body | {"payload_base64": base64.b64encode(entry.payload).decode()}
