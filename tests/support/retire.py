"""Retires every event of a ledger, or makes its graph anew, and ends itself with SIGKILL at a moment: ``python -m tests.support.retire FOLDER MOMENT``.

Moments of retiring, in order: ``drafting`` (some of the snapshot is written), ``drafted`` (all of it, under no name yet), ``named`` (the
file is there, no entry), ``entered`` (its entry is durable), ``verified`` (it was read back), ``announced`` (inside the transaction of
the first payloads), ``destroyed`` (after it), ``tidying`` (all are gone, old snapshots not yet), ``emptied`` (the write-ahead log is).
Of the graph's way back: ``clearing`` (nothing of it is left), ``filling`` (some is back), ``filled`` (all, but not where it stands).
``none``: to the end.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lineage.adapters import snapshot_files, sql_ledger_writer
from lineage.adapters.snapshot_files import SnapshotFolder
from lineage.adapters.sql_ledger import SqlLedger
from lineage.adapters.sqlite_graph import SqliteGraph
from lineage.clock import SystemClock
from lineage.ingest import Ingestor
from lineage.retention import Archive, Retention
from lineage.retention import restore as restore_module
from lineage.retention import retain as retain_module
from tests.conftest import MemoryKeys

ORIGIN = "govern.test/log"
RETIRING = ("drafting", "drafted", "named", "entered", "verified", "announced", "destroyed", "tidying", "emptied")
FILLING = ("clearing", "filling", "filled")


class Parts:
    """A ledger, its graph and its snapshots in a folder."""

    def __init__(self, folder: Path) -> None:
        self.keys = MemoryKeys()
        clock = SystemClock()
        self.ledger = SqlLedger(folder / "ledger.db", keys=self.keys, origin=ORIGIN, clock=clock)
        self.graph = SqliteGraph(folder / "graph.db")
        self.files = SnapshotFolder(folder / "snapshots")
        self.archive = Archive(self.ledger, self.files, origin=ORIGIN, public=lambda: self.keys.public_ed25519("checkpoint"))
        self.ingestor = Ingestor(self.ledger, self.graph, clock, archive=self.archive)
        self.retention = Retention(
            ledger=self.ledger, graph=self.graph, hold=self.ingestor.projector.hold, wait=lambda: self.ingestor.wait(0), files=self.files,
            archive=self.archive, keys=self.keys, clock=clock, origin=ORIGIN, generator="Govern 1",
        )  # fmt: skip

    def project(self) -> None:
        while self.ingestor.project():
            pass

    def retire(self) -> dict[str, Any]:
        self.project()
        return self.retention.run(1, actor="key:dpo")

    def close(self) -> None:
        self.ledger.close()
        self.graph.close()


def die(*_: Any, **__: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def before(plain: Callable[..., Any], count: int = 1) -> Callable[..., Any]:
    """``plain``, and the end in the place of its ``count``-th call."""
    left = [count]

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        left[0] -= 1
        if not left[0]:
            die()
        return plain(*args, **kwargs)

    return wrapped


def arm(parts: Parts, moment: str) -> None:
    """Put the end at the moment."""
    if moment == "drafting":
        retain_module.packed = lambda records, tally: (die() if number else piece for number, piece in enumerate([b"some", b"more"]))  # type: ignore[assignment,misc]
    elif moment == "drafted":
        snapshot_files.os.fsync = before(os.fsync)  # type: ignore[assignment]
    elif moment == "named":
        parts.ledger.append = before(parts.ledger.append)  # type: ignore[method-assign]
    elif moment == "entered":
        parts.archive.verify = die  # type: ignore[method-assign,assignment]
    elif moment == "verified":
        parts.ledger.retire = before(parts.ledger.retire)  # type: ignore[method-assign]
    elif moment == "announced":
        said: list[object] = []
        plain, finish = sql_ledger_writer.retired, sql_ledger_writer.SqlTx.finish
        sql_ledger_writer.retired = lambda *args, **kwargs: said.append(1) or plain(*args, **kwargs)  # type: ignore[func-returns-value,assignment]
        sql_ledger_writer.SqlTx.finish = lambda tx: die() if said else finish(tx)  # type: ignore[method-assign,assignment]
    elif moment == "destroyed":
        parts.ledger.retire = before(parts.ledger.retire, 2)  # type: ignore[method-assign]
    elif moment == "tidying":
        parts.retention._tidy = die  # type: ignore[method-assign]
    elif moment == "emptied":
        parts.ledger.empty_wal = die  # type: ignore[method-assign]
    elif moment == "clearing":
        parts.graph.apply = before(parts.graph.apply)  # type: ignore[method-assign]
    elif moment == "filling":
        parts.graph.apply = before(parts.graph.apply, 60)  # type: ignore[method-assign]
    elif moment == "filled":
        parts.graph.settle = before(parts.graph.settle, 2)  # type: ignore[method-assign]


def main() -> None:
    """Do it."""
    folder, moment = Path(sys.argv[1]), sys.argv[2]
    retain_module._EVENTS_AT_ONCE = 7  # type: ignore[misc]
    restore_module._STEP = 40
    parts = Parts(folder)
    if moment not in FILLING:
        parts.project()
        arm(parts, moment)
        parts.retire()
    else:
        arm(parts, moment)
        parts.ingestor.rebuild()
    parts.close()


if __name__ == "__main__":
    main()
