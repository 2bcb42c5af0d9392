"""What a home's ledger holds, read from its files after the process that wrote them is gone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lineage.adapters.file_keys import FileKeyStore
from lineage.adapters.sql_ledger import SqlLedger
from lineage.clock import SystemClock
from lineage.ledger import fsck


@contextmanager
def held(home: Path) -> Iterator[list[str]]:
    """The identities of every event in the ledger, in order and as often as they are there; the ledger is sound."""
    installation = json.loads((home / "govern.json").read_text())["installation"]
    ledger = SqlLedger(home / "ledger.db", keys=FileKeyStore(home / "keys"), clock=SystemClock(), origin=f"govern.{installation}")
    try:
        assert fsck(ledger).problems == ()
        found, at = [], 0
        while entries := ledger.entries(at, 1000):
            found += [entry.identity for entry in entries if entry.kind == "openlineage"]
            at = entries[-1].index + 1
        yield found
    finally:
        ledger.close()
