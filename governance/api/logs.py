"""What the server says of itself on standard error: lines of text, or of JSON with ``GOVERN_LOG=json``.

No line holds a payload, a name out of an event, a subject, a key or an address of a caller: the code that logs gives templates, numbers
and kinds, and an exception is told by its type and its place, never by its message, which may quote data.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final, TextIO

from lineage.errors import BadInput

__all__ = ["log_to", "place_of"]

_LOGGERS: Final = ("governance", "lineage", "trainers", "audits", "reports")
_SysExcInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


def log_to(stream: TextIO = sys.stderr, environment: Mapping[str, str] = os.environ) -> None:
    """Log there, unless the program that called has set up logging itself.

    Raises:
        BadInput: ``GOVERN_LOG`` is neither ``text`` nor ``json``.
    """
    form = environment.get("GOVERN_LOG", "").strip().lower() or "text"
    if form not in ("text", "json"):
        raise BadInput(f"GOVERN_LOG={form[:40]} is neither text nor json", hint="unset GOVERN_LOG, or correct it")
    if logging.getLogger().handlers or any(logging.getLogger(name).handlers for name in _LOGGERS):
        return
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_Lines() if form == "json" else _Text())
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)


def place_of(error: BaseException | None) -> str:
    """Type and place of an exception, the innermost frame first: without its message.

    >>> place_of(None)
    ''
    """
    if error is None:
        return ""
    frames = traceback.extract_tb(error.__traceback__)
    places = " < ".join(f"{frame.filename}:{frame.lineno} in {frame.name}" for frame in reversed(frames))
    return f"{type(error).__qualname__} at {places or 'no place'}"


class _Text(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")

    def formatException(self, ei: _SysExcInfo) -> str:  # noqa: N802 - the name is the library's
        return place_of(ei[1])


class _Lines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        said: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        said |= getattr(record, "fields", {})
        if record.exc_info and record.exc_info[1] is not None:
            said["error"] = place_of(record.exc_info[1])
        return json.dumps(said, ensure_ascii=False, separators=(",", ":"))
