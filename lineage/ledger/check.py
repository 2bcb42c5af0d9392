"""The check of a whole log: every entry against its leaf, every leaf against the tree, the tree against every signed checkpoint.

What each finding rests on:

1. entry → leaf: header, salt and payload hash to the leaf. A destroyed payload must be announced by a later entry, and the header
   that entry repeats must be the one that stands. Where one entry announces many (a retirement), their headers and leaves must hash to
   what it says.
2. leaves → tree: every stored tree node is the one recomputed from the leaves, and there is no other.
3. tree → checkpoints: at the size of each signed checkpoint the recomputed root is the signed one; a log shorter than a checkpoint
   was truncated. Two rightly signed checkpoints that no one log can satisfy are a fork.
4. checkpoints kept elsewhere (in a paper's footer, by an auditor) are checked in the same way: only they can show that a log was
   replaced together with all its checkpoints.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from lineage.errors import BadInput, GovernError, Tampered
from lineage.ledger.check_retired import Retirements
from lineage.ledger.entries import REDACTED, header_of, matches, parse_redaction
from lineage.ledger.notes import parse_checkpoint, verify_checkpoint
from lineage.ledger.tree import Frontier
from lineage.model import Checkpoint, LedgerEntry
from lineage.ports import Progress

__all__ = ["FsckReport", "Log", "fsck"]

_BATCH = 1000
_SHOWN = 100
_FAR = 1 << 62


class Log(Protocol):
    """What the check reads of a ledger."""

    def size(self) -> int: ...
    def entries(self, start: int = 0, limit: int = 1000, kind: str | None = None) -> list[LedgerEntry]: ...
    def tree_nodes(self, first: int, last: int) -> dict[tuple[int, int], bytes]:
        """The stored inner nodes ``(level, position)`` that the leaves [first, last) complete."""
        ...

    def checkpoints(self) -> list[Checkpoint]: ...
    def checkpoint_key(self) -> tuple[str, bytes]:
        """Origin and Ed25519 public key of the checkpoints."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FsckReport:
    """What the check found. ``ok`` only when there is no problem at all."""

    ok: bool
    size: int
    problems: tuple[str, ...]
    """Sentences, in the order of the log."""
    checkpoints: int = 0
    """How many signed checkpoints were checked."""
    destroyed: int = 0
    """Payloads that were destroyed and announced; their leaves still count."""
    root: bytes = b""
    """The root recomputed from the leaves."""


@dataclass(frozen=True, slots=True)
class _Signed:
    label: str
    checkpoint: Checkpoint


def fsck(log: Log, *, trusted: Iterable[str] = (), progress: Progress | None = None) -> FsckReport:
    """Check the whole log.

    Args:
        log: the ledger.
        trusted: checkpoint notes kept outside the ledger.
        progress: told after every batch of entries.

    Raises:
        BadInput: a note in ``trusted`` is not a checkpoint of this log's origin at all.
        StoreUnavailable: the store could not be read.
    """
    problems: list[str] = []
    try:
        size = log.size()
        signed = _signed(log, trusted, problems)
        roots, stats = _read(log, size, {size, *(s.checkpoint.size for s in signed)}, problems, progress)
        _compare(signed, size, roots, problems)
        if stats.contiguous and log.tree_nodes(stats.end, _FAR) and log.size() == stats.end:
            problems.append(f"the stored tree reaches beyond the {size} entries: the log was truncated")
    except Tampered as error:
        problems.append(error.message)
        return FsckReport(ok=False, size=0, problems=tuple(problems))
    shown = problems[:_SHOWN] + ([f"and {len(problems) - _SHOWN} more"] if len(problems) > _SHOWN else [])
    return FsckReport(
        ok=not problems, size=size, problems=tuple(shown), checkpoints=len(signed), destroyed=stats.destroyed, root=roots[size]
    )


@dataclass(slots=True)
class _Stats:
    destroyed: int = 0
    contiguous: bool = True
    end: int = 0
    """Entries that were read: more than there were at first where the log grew meanwhile."""


def _signed(log: Log, trusted: Iterable[str], problems: list[str]) -> list[_Signed]:
    """The checkpoints whose signature holds, by size; the others become problems."""
    name, public = log.checkpoint_key()
    result = []
    labelled = [(f"checkpoint {i} (size {c.size})", c.note, c) for i, c in enumerate(log.checkpoints())]
    for note in trusted:
        known = parse_checkpoint(note)
        if known.origin != name:
            raise BadInput(f"the given checkpoint is of {known.origin!r}; this log is {name!r}")
        labelled.append((f"the given checkpoint (size {known.size})", note, known))
    for label, note, stored in labelled:
        try:
            checkpoint = verify_checkpoint(note, name=name, public=public)
        except GovernError as error:
            problems.append(f"{label}: {error.message}")
            continue
        if (checkpoint.size, checkpoint.root) != (stored.size, stored.root):
            problems.append(f"{label}: the stored size or root is not what its note says")
        result.append(_Signed(label, checkpoint))
    return sorted(result, key=lambda s: s.checkpoint.size)


def _read(log: Log, size: int, wanted: set[int], problems: list[str], progress: Progress | None) -> tuple[dict[int, bytes], _Stats]:
    """Every entry against its leaf, and the recomputed root at each wanted size and at the end."""
    frontier, stats = Frontier(), _Stats()
    roots = {0: frontier.root()}
    retirements = Retirements(log)
    destroyed: dict[int, LedgerEntry] = {}
    announced: dict[int, tuple[int, str, str]] = {}
    at = 0
    while batch := log.entries(at, _BATCH):
        stored = log.tree_nodes(frontier.size, frontier.size + len(batch)) if stats.contiguous else {}
        for entry in batch:
            if entry.index != frontier.size and stats.contiguous:
                stats.contiguous = False
                problems.append(f"entry {frontier.size} is missing: the next one is {entry.index}")
            fits = matches(entry)
            if fits is None:
                stats.destroyed += 1
                if not retirements.take(entry):
                    destroyed[entry.index] = entry
            elif not fits:
                problems.append(f"entry {entry.index} ({entry.kind}) does not match its leaf: it was rewritten or moved")
            if entry.kind == REDACTED and entry.payload is not None:
                _announce(entry, announced, problems)
            wrong = [node for node in frontier.append(entry.leaf) if stored.pop(node[:2], None) != node[2]]
            if wrong and stats.contiguous:
                level, position, _ = wrong[0]
                leaves = f"{position << level} to {entry.index}"
                problems.append(
                    f"tree node {level}/{position} is not the hash of its leaves: one of the entries {leaves}, or the node, was rewritten"
                )
            if frontier.size in wanted:
                roots[frontier.size] = frontier.root()
        at = batch[-1].index + 1
        if progress is not None:
            progress(at, size, "entries checked")
    stats.end = frontier.size
    if not size <= frontier.size <= max(size, log.size()) and stats.contiguous:
        stats.contiguous = False
        problems.append(f"{frontier.size} entries are there, the log says {size}")
    roots.setdefault(size, frontier.root())
    retirements.judge(destroyed, problems)
    _destroyed(destroyed, announced, problems)
    return roots, stats


def _announce(entry: LedgerEntry, announced: dict[int, tuple[int, str, str]], problems: list[str]) -> None:
    try:
        said = parse_redaction(entry.payload or b"")
    except BadInput as error:
        problems.append(f"entry {entry.index} ({entry.kind}): {error.message}")
        return
    if said.index >= entry.index:
        problems.append(f"entry {entry.index} ({entry.kind}) speaks of entry {said.index}, which is not before it")
        return
    announced[said.index] = (entry.index, said.header, said.leaf)


def _destroyed(destroyed: dict[int, LedgerEntry], announced: dict[int, tuple[int, str, str]], problems: list[str]) -> None:
    for index, entry in destroyed.items():
        said = announced.get(index)
        if said is None:
            problems.append(f"entry {index} ({entry.kind}) has lost its payload, and no later entry says that it was destroyed")
            continue
        by, header, leaf = said
        if header.encode() != header_of(entry) or leaf != entry.leaf.hex():
            problems.append(f"entry {index} ({entry.kind}) is not what entry {by} says was destroyed: it was rewritten")


def _compare(signed: list[_Signed], size: int, roots: dict[int, bytes], problems: list[str]) -> None:
    """Each signed checkpoint against the recomputed tree, and against each other."""
    good = 0
    by_size: dict[int, _Signed] = {}
    for item in signed:
        point = item.checkpoint
        other = by_size.setdefault(point.size, item)
        if other.checkpoint.root != point.root:
            problems.append(f"fork: {other.label} and {item.label} are both signed and have different roots")
        if point.size > size:
            problems.append(f"truncated: {item.label} signs {point.size} entries, the log has {size}")
        elif point.size in roots and roots[point.size] != point.root:
            problems.append(
                f"{item.label} signs another history: some of the entries {good} to {point.size - 1} were rewritten or reordered, "
                "or the log was forked"
            )
        else:
            good = point.size
