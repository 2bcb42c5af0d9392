"""Stands between a client and a PostgreSQL's Unix socket, and loses the connection around a COMMIT."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from pathlib import Path
from typing import Self
from urllib.parse import parse_qs, urlencode, urlsplit, urlunsplit

__all__ = ["Proxy"]

_COMMIT = b"COMMIT\0"


class Proxy:
    """A context manager; ``uri`` is the given one, through the proxy.

    Args:
        uri: of a server on a Unix socket.
        folder: where the proxy's own socket lies.
    """

    def __init__(self, uri: str, folder: Path) -> None:
        parts = urlsplit(uri)
        query = parse_qs(parts.query)
        self._server = next(Path(query["host"][0]).glob(".s.PGSQL.*[0-9]"))
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(folder / ".s.PGSQL.5432"))
        self._listening.listen()
        self.uri = urlunsplit(parts._replace(query=urlencode({"host": str(folder)})))
        self.lose: str | None = None
        """``before``: the server never hears the next COMMIT; ``after``: it carries it out, and nobody hears its answer."""
        self.refuse = False
        """Let nobody in any more."""
        self.lost = 0

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                if self.refuse:
                    client.close()
                    continue
                threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client, socket.socket(socket.AF_UNIX) as server:
            server.connect(str(self._server))
            while True:
                for side in select.select([client, server], [], [])[0]:
                    data = side.recv(1 << 16)
                    if not data:
                        return
                    if side is server:
                        client.sendall(data)
                        continue
                    if _COMMIT in data and self.lose:
                        how, self.lose = self.lose, None
                        self.lost += 1
                        if how == "after":
                            server.sendall(data)
                            server.recv(1 << 16)
                        return
                    server.sendall(data)
