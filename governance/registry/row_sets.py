"""The commitments of row sets, kept beside their roots: keyed hashes, of which nobody without the key learns anything.

A row set is named by its root and never changes, so one that was read once may be kept parsed: there is nothing in it that could become
wrong. How much is kept is bounded by the number of commitments; the longest unused goes first.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from lineage.datasets import commitments, row_set, row_set_digest
from lineage.errors import NotFound, Tampered
from lineage.ports import KeyStore

__all__ = ["RowSets"]

_MOST_KEPT = 1_000_000
"""Commitments that are kept parsed: some hundred megabytes."""


class RowSets:
    """The row sets of one home, a file each."""

    def __init__(self, keys: KeyStore, folder: Path) -> None:
        self._keys = keys
        self._folder = folder
        self._parsed: OrderedDict[str, frozenset[bytes]] = OrderedDict()
        self._size = 0
        self._gate = threading.Lock()

    def path(self, digest: str) -> Path:
        """Where the row set lies, or would."""
        return self._folder / f"{digest.removeprefix('rs1:')}.json"

    def keep(self, name: str, row_ids: Sequence[int], *, digest: str | None = None, version: str | None = None) -> str:
        """Keep the commitments of rows of a dataset; returns the digest of their set."""
        digest = digest or row_set(self._keys, name, row_ids).digest
        if not self.path(digest).exists():
            listed = [item.hex() for item in commitments(self._keys, name, row_ids)]
            more = {} if version is None else {"version": version}
            self._write(digest, {"dataset": name, **more, "digest": digest, "commitments": listed})
        return digest

    def take(self, name: str, digest: str, listed: Sequence[bytes]) -> None:
        """Keep commitments that were made elsewhere under the same key; ``Tampered`` when they are not those of the digest."""
        if row_set_digest(listed) != digest:
            raise Tampered(
                f"the commitments of row set {digest} of {name} are not those of its digest", hint="take the list as it was exported"
            )
        if not self.path(digest).exists():
            self._write(digest, {"dataset": name, "digest": digest, "commitments": [item.hex() for item in listed]})

    def listed(self, digest: str) -> Sequence[bytes]:
        """The sorted commitments; ``NotFound`` when they are not kept here."""
        path = self.path(digest)
        if not path.exists():
            raise NotFound(f"row set {digest} is not kept in this home")
        return [bytes.fromhex(item) for item in json.loads(path.read_text())["commitments"]]

    def members(self, digest: str) -> frozenset[bytes]:
        """:meth:`listed` as a set, parsed once; ``NotFound`` when they are not kept here (any more)."""
        if not self.path(digest).exists():
            raise NotFound(f"row set {digest} is not kept in this home")
        with self._gate:
            found = self._parsed.get(digest)
            if found is not None:
                self._parsed.move_to_end(digest)
                return found
        found = frozenset(self.listed(digest))
        with self._gate:
            if digest not in self._parsed:
                self._parsed[digest] = found
                self._size += len(found)
            while self._size > _MOST_KEPT and len(self._parsed) > 1:
                self._size -= len(self._parsed.popitem(last=False)[1])
        return found

    def among(self, digest: str, wanted: Collection[bytes]) -> int:
        """How many of some commitments the row set holds; ``NotFound`` when it is not kept here (any more)."""
        return len(self.members(digest).intersection(wanted))

    def _write(self, digest: str, body: dict[str, Any]) -> None:
        path = self.path(digest)
        scratch = path.with_suffix(".tmp")
        scratch.write_text(json.dumps(body))
        scratch.replace(path)
