"""The snapshots of a home: which there are, which one a rebuild may begin from, and whether a file is what was signed.

A rebuild may begin from a snapshot that

1. its ledger entry describes in a manifest signed with this home's key, over the tree that the ledger has;
2. is not older than the newest one under which events were retired: what was retired later is not in an older one;
3. does not stand for an event that was redacted after it was made: it would bring back what was taken out;
4. is there, with the signed digest, and in a format that this Govern reads.

Of several the newest is taken. When there is none and events were retired, that is an error that says what is wrong with each; never a
smaller graph.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator

from lineage.errors import BadInput, GovernError, StoreUnavailable, Tampered
from lineage.ledger.entries import REDACTED, parse_header, parse_redaction
from lineage.model import LedgerEntry
from lineage.ports import Ledger, SnapshotFiles
from lineage.retention.known import Retirements
from lineage.retention.manifest import SNAPSHOT, Snapshot, opened
from lineage.retention.records import Record, Tally, unpacked

__all__ = ["Archive", "Snapshot"]

_EVENT = "openlineage"
_PAGE = 1000


class Archive:
    """The snapshots that a ledger names, and their files.

    Args:
        ledger: where their manifests are.
        files: where they lie; ``None`` where there are none to be had, which is said when one is needed.
        origin: the ledger's name in its signed notes.
        public: gives the Ed25519 key of these.
    """

    def __init__(
        self, ledger: Ledger, files: SnapshotFiles | None = None, *, origin: str = "", public: Callable[[], bytes] | None = None
    ) -> None:
        self.retirements = Retirements(ledger)
        self._ledger = ledger
        self._files = files
        self._origin = origin
        self._public = public

    def needed(self) -> int:
        """The position below which a graph may lack what was retired; 0 where nothing was."""
        needed = self.retirements.needed()
        return 0 if needed is None else needed.position

    def newest(self) -> Snapshot:
        """The snapshot from which a rebuild begins: its file has the signed digest, and a format that is read.

        Raises:
            StoreUnavailable: there is none that may be used; the message says why.
        """
        needed = self.retirements.needed()
        reasons: list[str] = []
        for snapshot in self.usable(reasons):
            try:
                self.verify_bytes(snapshot)
                next(self.records(snapshot), None)
            except GovernError as error:
                reasons.append(f"that of entry {snapshot.entry}: {error.message}")
                continue
            return snapshot
        retired = self.retirements.count()
        raise StoreUnavailable(
            f"{retired} events were retired, and no snapshot that holds what they said can be used "
            f"(one of entry {needed.snapshot if needed else 0} or later is needed): {'; '.join(reasons) or 'the ledger names none'}",
            hint="restore the folder snapshots/lineage of the home from a backup, then: govern lineage rebuild",
        )

    def usable(self, reasons: list[str]) -> Iterator[Snapshot]:
        """Snapshots that meet points 1 to 3, the newest first; ``reasons`` is told what is wrong with the others."""
        needed = self.retirements.needed()
        redacted = self.redacted()
        for entry in reversed(self._entries(SNAPSHOT)):
            if needed is not None and entry.index < needed.snapshot:
                return
            if self._public is None or self._files is None:
                reasons.append("this process has no snapshots to read")
                return
            try:
                snapshot = opened(entry, origin=self._origin, public=self._public())
                self._must_be_of_this_log(snapshot)
            except (Tampered, BadInput) as error:
                reasons.append(f"that of entry {entry.index}: {error.message}")
                continue
            stale = [index for index, by in redacted.items() if index < snapshot.position and by > snapshot.entry]
            if stale:
                reasons.append(f"that of entry {entry.index} holds what entry {stale[0]} said, which was redacted since")
                continue
            yield snapshot

    def forget_redacted(self) -> int:
        """Delete the files of snapshots that stand for an event which was redacted since: nothing uses them again. Returns how many."""
        if self._files is None or self._public is None:
            return 0
        redacted, there, gone = self.redacted(), self._files.names(), 0
        for entry in self._entries(SNAPSHOT):
            try:
                snapshot = opened(entry, origin=self._origin, public=self._public())
            except (Tampered, BadInput):  # not ours to judge here: usable() says what is wrong with it
                continue
            if snapshot.sha256 in there and any(index < snapshot.position and by > snapshot.entry for index, by in redacted.items()):
                self._files.remove(snapshot.sha256)
                gone += 1
        return gone

    def redacted(self) -> dict[int, int]:
        """Index of each event whose payload was redacted → index of the entry that says so."""
        found: dict[int, int] = {}
        for entry in self._entries(REDACTED):
            said = parse_redaction(entry.payload or b"")
            if parse_header(said.header.encode())["kind"] == _EVENT:
                found[said.index] = entry.index
        return found

    def verify_bytes(self, snapshot: Snapshot) -> None:
        """Read the file once and hold it against the signed digest.

        Raises:
            Tampered: it is another. NotFound: it is not there.
        """
        digest, size = hashlib.sha256(), 0
        for piece in self._pieces(snapshot):
            digest.update(piece)
            size += len(piece)
        if (digest.hexdigest(), size) != (snapshot.sha256, snapshot.size):
            raise Tampered(f"the file {snapshot.sha256[:12]}… has {size} bytes with another digest: it was altered", hint=_FROM_BACKUP)

    def verify(self, snapshot: Snapshot) -> None:
        """:meth:`verify_bytes`, and read every record and hold all of them against what was signed."""
        self.verify_bytes(snapshot)
        for _ in self.records(snapshot):
            pass

    def records(self, snapshot: Snapshot) -> Iterator[Record]:
        """The records of a snapshot.

        Raises:
            Tampered: at the end, when they are not what was signed; or a line cannot be read.
            StoreUnavailable: the file has a format that is not read.
        """
        tally = Tally()
        for record in unpacked(self._pieces(snapshot)):
            tally.add(record)
            yield record
        if tally.said() != snapshot.said:
            raise Tampered(f"the file {snapshot.sha256[:12]}… does not hold the graph that was signed", hint=_FROM_BACKUP)

    def _pieces(self, snapshot: Snapshot) -> Iterator[bytes]:
        if self._files is None:
            raise StoreUnavailable("this process has no snapshots to read")
        return self._files.read(snapshot.sha256)

    def _must_be_of_this_log(self, snapshot: Snapshot) -> None:
        if snapshot.position > snapshot.entry:
            raise Tampered(f"the snapshot of entry {snapshot.entry} stands for {snapshot.position} entries, which were not there yet")
        root = self._ledger.root(snapshot.position).hex()
        if root != snapshot.tree_root:
            raise Tampered(f"the snapshot of entry {snapshot.entry} was made of another log", hint="govern ledger fsck")

    def _entries(self, kind: str) -> list[LedgerEntry]:
        found, start = [], 0
        while page := self._ledger.entries(start, _PAGE, kind):
            found += page
            start = page[-1].index + 1
        return found


_FROM_BACKUP = "restore it from a backup of the home"
