"""A client that costs little: requests rendered before the clock starts, one thread and one keep-alive connection each.

A process of its own, so that its work is not the server's: ``python -m benchmarks.lineage_client`` reads one JSON object on standard input
(``url``, ``key``, ``path``, ``connections``, ``bodies``: a file of lines, ``batch``) and writes one with the figures.
"""

from __future__ import annotations

import gc
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks.lineage_server import Served
from benchmarks.measure import CommandFailed, plain_environment

__all__ = ["send"]

TIMEOUT = 60.0


def send(server: Served, events: Sequence[bytes], folder: Path, *, connections: int, batch: int = 1) -> dict[str, Any]:
    """Send the events from another process; returns ``events_per_s``, ``p50_ms``, ``p95_ms``, ``p99_ms``, ``max_ms``, ``errors`` …"""
    bodies = folder / "bodies.ndjson"
    with bodies.open("wb") as file:
        for at in range(0, len(events), batch):
            part = events[at : at + batch]
            file.write((part[0] if batch == 1 else b"[" + b",".join(part) + b"]") + b"\n")
    path = "/api/v1/lineage" if batch == 1 else "/api/v1/lineage/batch"
    asked = {"url": server.url, "key": server.key, "path": path, "connections": connections, "bodies": str(bodies), "batch": batch}
    done = subprocess.run(
        [sys.executable, "-m", __name__], input=json.dumps(asked), capture_output=True, text=True, env=plain_environment(), check=False
    )  # fmt: skip
    bodies.unlink()
    if done.returncode:
        raise CommandFailed(f"the client ended with {done.returncode}: {done.stderr[-300:]}")
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


class _Connection:
    """One keep-alive connection: a rendered request out, a status back."""

    def __init__(self, host: str, port: int) -> None:
        self._at = (host, port)
        self._socket: socket.socket | None = None

    def exchange(self, raw: bytes) -> tuple[int, bytes]:
        """Status and body; status 0 when the connection broke."""
        try:
            if self._socket is None:
                self._socket = socket.create_connection(self._at, TIMEOUT)
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket.sendall(raw)
            head, _, body = self._until(b"", b"\r\n\r\n").partition(b"\r\n\r\n")
            status = int(head.split(b" ", 2)[1])
            length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            wanted = int(length[0].split(b":")[1]) if length else 0
            while len(body) < wanted:
                body += self._more(self._socket)
            if b"\r\nconnection: close" in head.lower():
                self.close()
        except (OSError, ValueError) as error:
            self.close()
            return 0, repr(error).encode()
        return status, body

    def _until(self, have: bytes, mark: bytes) -> bytes:
        while mark not in have:
            have += self._more(self._socket)
        return have

    @staticmethod
    def _more(sock: socket.socket | None) -> bytes:
        got = sock.recv(65536) if sock else b""
        if not got:
            raise ConnectionError("closed by the server")
        return got

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _run(asked: dict[str, Any]) -> dict[str, Any]:
    where = urlsplit(asked["url"])
    host, port = where.hostname or "127.0.0.1", where.port or 80
    head = f"POST {asked['path']} HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: Bearer {asked['key']}\r\n"
    head += "Content-Type: application/json\r\n"
    with Path(asked["bodies"]).open("rb") as file:
        requests = [f"{head}Content-Length: {len(line) - 1}\r\n\r\n".encode() + line[:-1] for line in file]
    waits: list[float] = []
    wrong: list[str] = []
    lock, following = threading.Lock(), iter(requests)

    def work() -> None:
        connection = _Connection(host, port)
        while True:
            with lock:
                raw = next(following, None)
            if raw is None:
                connection.close()
                return
            begin = time.perf_counter()
            status, body = connection.exchange(raw)
            waits.append(time.perf_counter() - begin)
            if not 200 <= status < 300 or b'"partial_success"' in body:
                wrong.append(f"{status} {body[:200].decode(errors='replace')}")

    gc.collect()
    gc.disable()
    threads = [threading.Thread(target=work) for _ in range(asked["connections"])]
    begin, cpu = time.perf_counter(), time.process_time()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wall, cpu = time.perf_counter() - begin, time.process_time() - cpu
    waits.sort()
    at = {f"p{share}_ms": 1e3 * waits[min(len(waits) - 1, len(waits) * share // 100)] for share in (50, 95, 99)}
    events = (len(requests) - len(wrong)) * asked["batch"]
    return {"events_per_s": events / wall, **at, "max_ms": 1e3 * waits[-1], "errors": len(wrong), "samples": wrong[:3], "client_cpu": cpu}


if __name__ == "__main__":
    json.dump(_run(json.load(sys.stdin)), sys.stdout)
