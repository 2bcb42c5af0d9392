"""Where ``govern ingest`` reads events: files, folders, standard input and URLs, plain or gzip, one event at a time.

A source holds one event a line, one JSON document (an event, a list of events, ``{"events": […]}``), or several documents one after the
other. It is read as it comes: no more than one line or one event is in memory, whatever the size of the file.
"""

from __future__ import annotations

import codecs
import contextlib
import gzip
import io
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, cast

import msgspec

from governance.cli.exits import Usage

__all__ = ["Found", "events"]

_SUFFIXES: Final = tuple(f".{kind}{packed}" for kind in ("json", "jsonl", "ndjson") for packed in ("", ".gz"))
_LONGEST: Final = 64 * 1024 * 1024
_CHUNK: Final = 256 * 1024
_LEAST: Final = 256
_ONE: Final = msgspec.json.Decoder(msgspec.Raw)
_GAP: Final = re.compile(r"[\s,]*")
_DECODER: Final = json.JSONDecoder()
_HEAD: Final = re.compile(r'\s*(?:\[|\{\s*"events"\s*:\s*\[)')


@dataclass(frozen=True, slots=True)
class Found:
    """An event, or what stands where one should."""

    place: str
    """File and line, or file and number."""
    raw: bytes
    fault: str | None = None
    """Why it cannot be sent."""


def events(source: str) -> Iterator[Found]:
    """Every event of a source.

    Args:
        source: a file, a folder (its .json, .jsonl and .ndjson files, perhaps .gz, in the order of their names), ``-`` for standard
            input, or a URL that fsspec opens (``memory://``, ``s3://`` with s3fs, …).

    Raises:
        Usage: there is no such source, or a package is missing that opens it.
    """
    for name, stream in _streams(source):
        with stream:
            yield from _read(name, _plain(stream))


def _streams(source: str) -> Iterator[tuple[str, IO[bytes]]]:
    if source == "-":
        yield "standard input", sys.stdin.buffer
        return
    if "://" in source:
        yield from _remote(source)
        return
    path = Path(source)
    if path.is_dir():
        found = sorted(item for item in path.rglob("*") if item.name.endswith(_SUFFIXES) and item.is_file())
        if not found:
            raise Usage(f"there is no .json, .jsonl or .ndjson file in {path}", hint="govern ingest FILE")
        for item in found:
            yield str(item), item.open("rb")
    elif path.is_file():
        yield source, path.open("rb")
    else:
        raise Usage(f"there is no file or folder {source}", hint="govern ingest FILE, or - for standard input")


def _remote(source: str) -> Iterator[tuple[str, IO[bytes]]]:
    from fsspec.core import url_to_fs  # type: ignore[import-untyped]

    try:
        files, path = url_to_fs(source)
        found = sorted(name for name in files.find(path) if name.endswith(_SUFFIXES)) if files.isdir(path) else [path]
        if not found:
            raise Usage(f"there is no .json, .jsonl or .ndjson file in {source}", hint="govern ingest URL")
        for name in found:
            yield f"{source.partition('://')[0]}://{str(name).lstrip('/')}", files.open(name, "rb")
    except ImportError as error:
        raise Usage(
            f"{source} needs a package that is not installed: {error}", hint=f"pip install it, then: govern ingest {source}"
        ) from None
    except FileNotFoundError:
        raise Usage(f"there is no {source}", hint="govern ingest FILE, or - for standard input") from None
    except ValueError as error:
        raise Usage(f"{source} cannot be opened: {error}", hint="govern ingest FILE, or - for standard input") from None


def _plain(stream: IO[bytes]) -> io.BufferedReader[Any]:
    """The stream without gzip, which its first two bytes tell."""
    buffered = stream if isinstance(stream, io.BufferedReader) else io.BufferedReader(cast("io.RawIOBase", stream), _CHUNK)
    if buffered.peek(2)[:2] == b"\x1f\x8b":
        return io.BufferedReader(cast("io.RawIOBase", gzip.GzipFile(fileobj=buffered)), _CHUNK)
    return buffered


def _read(name: str, stream: io.BufferedReader[Any]) -> Iterator[Found]:
    try:
        number, line = 0, b"\n"
        while line and not line.strip():
            number, line = number + 1, stream.readline(_LONGEST + 1)
        if not line:
            return
        first = line.removeprefix(b"\xef\xbb\xbf").strip()
        if first[:1] != b"[" and not _HEAD.match(first[:64].decode("latin-1")) and _is_json(first):
            yield from _lines(name, number, line, stream)
        else:
            yield from _documents(name, number, line, stream)
    except (EOFError, gzip.BadGzipFile, OSError) as error:
        if isinstance(error, FileNotFoundError | PermissionError):
            raise
        yield Found(name, b"", f"it cannot be read to its end: {error}")


def _lines(name: str, number: int, line: bytes, stream: io.BufferedReader[Any]) -> Iterator[Found]:
    while line:
        place = f"{name}:{number}"
        if len(line) > _LONGEST:
            while line and not line.endswith(b"\n"):
                line = stream.readline(_LONGEST)
            yield Found(place, b"", f"the line is longer than {_LONGEST} bytes")
        elif text := line.removeprefix(b"\xef\xbb\xbf").strip():
            yield Found(place, text) if _is_json(text) else Found(place, b"", "it is not JSON")
        number, line = number + 1, stream.readline(_LONGEST + 1)


def _documents(name: str, number: int, line: bytes, stream: io.BufferedReader[Any]) -> Iterator[Found]:
    """The events of one document over several lines, of a list, of several of these; if it is none, each line is judged by itself."""
    text = _Text(line, stream)
    while len(text.rest) < _LEAST and text.more():
        pass
    head = _HEAD.match(text.rest)
    text.drop(head.end() if head else 0)
    count = 0
    while True:
        value, raw = text.value()
        if raw is None:
            break
        single = head is None and count == 0 and text.at_end()
        if head or isinstance(value, dict):
            yield Found(name if single else f"{name}[{count}]", raw)
        else:
            yield Found(f"{name}[{count}]", b"", "it is no event")
        count += 1
    if text.at_end() if head is None else text.rest.startswith("]"):
        return
    if count or head:
        yield Found(f"{name}[{count}]", b"", "it is not JSON from here on")
        return
    while text.more():
        pass
    for place, one in enumerate(text.rest.split("\n"), start=number):
        if raw := one.strip().encode("utf-8", "surrogateescape"):
            yield Found(f"{name}:{place}", raw) if _is_json(raw) else Found(f"{name}:{place}", b"", "it is not JSON")


class _Text:
    """The text of a stream as far as it is needed: one JSON value, and what was read behind it."""

    def __init__(self, begun: bytes, stream: io.BufferedReader[Any]) -> None:
        self._stream = stream
        self._decode = codecs.getincrementaldecoder("utf-8")("surrogateescape").decode
        self._ended = False
        self.rest = self._decode(begun).removeprefix("\ufeff")

    def more(self) -> bool:
        """Read on; whether there was more. What is twice as long as an event may be is not read on."""
        if self._ended or len(self.rest) > 2 * _LONGEST:
            return False
        part = self._stream.read(max(_CHUNK, len(self.rest)))
        self._ended = not part
        self.rest += self._decode(part, final=self._ended)
        return not self._ended

    def drop(self, length: int) -> None:
        """Forget what is done with."""
        self.rest = self.rest[length:]

    def at_end(self) -> bool:
        """Whether only white space is left."""
        while True:
            self.drop(_skip(self.rest))
            if self.rest:
                return False
            if not self.more():
                return True

    def value(self) -> tuple[Any, bytes | None]:
        """The next JSON value and its bytes; no bytes where there is none."""
        if self.at_end():
            return None, None
        while True:
            with contextlib.suppress(ValueError, RecursionError):
                value, end = _DECODER.raw_decode(self.rest)
                if end < len(self.rest) or not self.more():  # a number at the end of the text may go on
                    raw = self.rest[:end].encode("utf-8", "surrogateescape")
                    self.drop(end)
                    return value, raw
                continue
            if self.rest[:1] == "]" or not self.more():
                return None, None


def _skip(text: str) -> int:
    found = _GAP.match(text)
    return found.end() if found else 0


def _is_json(text: bytes) -> bool:
    try:
        _ONE.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True
