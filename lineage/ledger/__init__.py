"""The log as mathematics: Merkle trees, signed notes, the encoding of entries, and the check of a whole log.

Everything here is pure: bytes or values in, values out. Where the bytes lie is the adapter's business.
"""

from __future__ import annotations

from lineage.ledger import entries, merkle, notes, tree
from lineage.ledger.check import FsckReport, Log, fsck

__all__ = ["FsckReport", "Log", "entries", "fsck", "merkle", "notes", "tree"]
