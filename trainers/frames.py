"""Messages over a pipe: a fixed prefix, a JSON header, a body of bytes. Deadlines on both sides, no threads.

::

    4 bytes   length of the header, big endian
    8 bytes   length of the body, big endian
    header    UTF-8 JSON object; ``kind`` says what the message is
    body      bytes (Arrow IPC for tables)
"""

from __future__ import annotations

import json
import os
import select
import struct
import time
from collections.abc import Mapping
from typing import Any, Final

import pyarrow as pa

__all__ = ["EndOfStream", "FrameReader", "Message", "frame", "from_ipc", "to_ipc", "write_all"]

Message = tuple[str, dict[str, Any], bytes]
"""(kind, header, body)."""

_PREFIX: Final = struct.Struct(">IQ")
MAX_HEADER: Final = 64 * 1024 * 1024
MAX_BODY: Final = 16 * 1024**3
_CHUNK: Final = 1 << 20


class EndOfStream(Exception):
    """The other side closed the pipe."""


def frame(kind: str, header: Mapping[str, Any], body: bytes = b"") -> tuple[bytes, bytes]:
    """The message as (prefix and header, body). Raises ``ValueError`` for a header that is not JSON (NaN included)."""
    head = json.dumps({**header, "kind": kind}, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    if len(head) > MAX_HEADER or len(body) > MAX_BODY:
        raise ValueError("message too large for the pipe")
    return _PREFIX.pack(len(head), len(body)) + head, body


def write_all(fd: int, data: bytes, deadline: float | None = None) -> None:
    """Write everything; ``TimeoutError`` after ``deadline`` (monotonic seconds), ``EndOfStream`` on a closed pipe."""
    view = memoryview(data)
    poller = select.poll()
    poller.register(fd, select.POLLOUT)
    while view:
        _wait(poller, deadline)
        try:
            view = view[os.write(fd, view[:_CHUNK]) :]
        except BlockingIOError:
            continue
        except BrokenPipeError:
            raise EndOfStream from None


class FrameReader:
    """Reads messages from a non-blocking pipe, keeping what arrived of an unfinished one between calls."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        os.set_blocking(fd, False)
        self._buffer = bytearray()
        self._poller = select.poll()
        self._poller.register(fd, select.POLLIN)

    def read(self, deadline: float | None = None) -> Message:
        """The next message; ``TimeoutError`` after ``deadline`` (monotonic seconds), ``EndOfStream`` when the pipe closed."""
        while True:
            message = self._take()
            if message is not None:
                return message
            _wait(self._poller, deadline)
            try:
                data = os.read(self._fd, _CHUNK)
            except BlockingIOError:
                continue
            if not data:
                raise EndOfStream
            self._buffer += data

    def _take(self) -> Message | None:
        if len(self._buffer) < _PREFIX.size:
            return None
        head, body = _PREFIX.unpack_from(self._buffer)
        if head > MAX_HEADER or body > MAX_BODY:
            raise ValueError("not a message of this protocol")
        end = _PREFIX.size + head + body
        if len(self._buffer) < end:
            return None
        header = json.loads(self._buffer[_PREFIX.size : _PREFIX.size + head])
        payload = bytes(memoryview(self._buffer)[_PREFIX.size + head : end])
        del self._buffer[:end]
        return header.pop("kind"), header, payload


def _wait(poller: select.poll, deadline: float | None) -> None:
    """Block until the fd is ready; ``TimeoutError`` at the deadline."""
    left = None if deadline is None else max(0.0, deadline - time.monotonic())
    if not poller.poll(None if left is None else left * 1000):
        raise TimeoutError


def to_ipc(table: pa.Table) -> bytes:
    """The table as an Arrow IPC stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def from_ipc(data: bytes) -> pa.Table:
    """The table of an Arrow IPC stream."""
    return pa.ipc.open_stream(data).read_all()
