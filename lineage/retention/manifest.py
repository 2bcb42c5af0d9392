"""What is signed of a snapshot, and the ledger entry that holds it.

The entry's payload is ``{"detail": {"note": …}}``. The note is a signed note (C2SP) whose text is ``<origin>/lineage-snapshot``, a line
feed, and one line of canonical JSON, the manifest. It is signed with the key of the checkpoints; its second line is no number, so it can
never be taken for one of these.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from lineage.errors import BadInput, Tampered
from lineage.ledger.entries import canonical_json
from lineage.ledger.notes import sign_note, verify_note
from lineage.ledger.retired import ranges_of
from lineage.model import LedgerEntry, NewEntry

__all__ = ["SNAPSHOT", "Snapshot", "opened", "sealed"]

SNAPSHOT = "govern.lineage.snapshot"
"""Kind of the entry."""
_PURPOSE = "lineage-snapshot"


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A snapshot as its signed manifest describes it."""

    entry: int
    """Index of the ledger entry with the manifest."""
    position: int
    """Ledger entries that it stands for."""
    tree_root: str
    """Hex root of the ledger's tree over them."""
    sha256: str
    """Hex SHA-256 of the file."""
    size: int
    """Bytes of the file."""
    said: dict[str, Any]
    """``{counts, graph_digest, content}`` (:class:`lineage.retention.records.Tally`)."""
    dead: tuple[tuple[int, int], ...]
    """Runs of entries that could not be folded: what they say is not in it."""
    generator: str
    """Which Govern folded and wrote it."""
    created_at: int

    def holds(self, index: int) -> bool:
        """Whether what this event said is in the snapshot."""
        return index < self.position and not any(first <= index <= last for first, last in self.dead)


def sealed(
    *,
    position: int,
    tree_root: bytes,
    sha256: str,
    size: int,
    said: dict[str, Any],
    dead: Iterable[int],
    generator: str,
    created_at: int,
    origin: str,
    public: bytes,
    sign: Callable[[bytes], bytes],
    actor: str,
) -> NewEntry:
    """The entry to append for a snapshot; ``dead`` ascend, the other arguments are those of :class:`Snapshot` and of the signature."""
    manifest = {
        **said,
        "created_at": created_at,
        "dead": [list(run) for run in ranges_of(dead)],
        "generator": generator,
        "position": position,
        "sha256": sha256,
        "size": size,
        "tree_root": tree_root.hex(),
    }
    text = f"{origin}/{_PURPOSE}\n{canonical_json(manifest).decode()}\n"
    note = sign_note(text, name=f"{origin}/{_PURPOSE}", public=public, sign=sign)
    return NewEntry(kind=SNAPSHOT, payload=canonical_json({"detail": {"note": note}}), actor=actor)


def opened(entry: LedgerEntry, *, origin: str, public: bytes) -> Snapshot:
    """The snapshot of such an entry, once its signature was verified.

    Raises:
        Tampered: the signature is not by this key over this text, or the manifest is none.
    """
    try:
        note = json.loads(entry.payload or b"")["detail"]["note"]
        text = verify_note(note, name=f"{origin}/{_PURPOSE}", public=public)
        body = json.loads(text.removeprefix(f"{origin}/{_PURPOSE}\n"))  # no JSON where another text was signed
        return Snapshot(
            entry=entry.index,
            position=int(body["position"]),
            tree_root=str(body["tree_root"]),
            sha256=str(body["sha256"]),
            size=int(body["size"]),
            said={name: body[name] for name in ("counts", "graph_digest", "content")},
            dead=tuple((int(first), int(last)) for first, last in body["dead"]),
            generator=str(body["generator"]),
            created_at=int(body["created_at"]),
        )
    except (BadInput, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Tampered(f"entry {entry.index} ({entry.kind}) holds no signed manifest of a snapshot: {error}") from error
