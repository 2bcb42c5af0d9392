"""Moving the ledger's write-ahead log into its file beside the writer, so that an acknowledgement does not wait for it.

SQLite by itself moves the log inside a commit, every 1000 pages, which delays that commit by tens of milliseconds. Here the bulk is
moved by a thread with a connection of its own while commits go on; what came meanwhile is little and is moved by the writer between two
groups, after which SQLite begins the log anew. Nothing of this concerns durability: a commit is synced in the log.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from pathlib import Path
from typing import Final

__all__ = ["WalKeeper"]

_MOVE: Final = 12 * 1024 * 1024
"""Bytes written since the log was last begun anew, after which it is moved."""
_TOO_MUCH: Final = 8 * _MOVE
"""Bytes after which the writer moves it all itself: the thread does not keep up, or a reader held it."""


class WalKeeper:
    """Keeps the write-ahead log of one file small.

    Args:
        path: the ledger's file.
        writer: the writer's connection; used only inside :meth:`wrote`, which the writer calls between two transactions.
    """

    def __init__(self, path: Path, writer: sqlite3.Connection) -> None:
        self._path = path
        self._writer = writer
        writer.execute("PRAGMA wal_autocheckpoint=0").fetchall()
        self._written = 0
        self._ask = threading.Event()
        self._moved = threading.Event()
        self._closing = False
        self._thread: threading.Thread | None = None

    def wrote(self, size: int) -> None:
        """Say that about ``size`` bytes were committed."""
        self._written += size
        if self._written < _MOVE:
            return
        if self._moved.is_set() or self._written > _TOO_MUCH:
            self._moved.clear()
            _, frames, moved = self._writer.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            self._written = 0 if frames == moved else _MOVE
        elif not self._ask.is_set():
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=f"ledger-wal {self._path.name}", daemon=True)
                self._thread.start()
            self._ask.set()

    def close(self) -> None:
        """Stop the thread. Closing the last connection moves what is left."""
        self._closing = True
        self._ask.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        try:
            connection = sqlite3.connect(self._path.absolute(), isolation_level=None)
        except sqlite3.Error:
            return
        try:
            while True:
                self._ask.wait()
                self._ask.clear()  # before the look at what it asks for: what is set after is seen in the next round
                if self._closing:
                    return
                with contextlib.suppress(sqlite3.Error):  # a full disk: the log stays, and the next commit says it
                    connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
                self._moved.set()
        finally:
            connection.close()
