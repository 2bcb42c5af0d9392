"""The bodies of the OpenLineage door: one event, or many; the very bytes of each are kept, so that each keeps its identity."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from governance.api.call import Reply, json_reply
from lineage.errors import BadEvent, BadInput

__all__ = ["batch_reply", "single_reply", "split_batch", "split_single"]

_SPACE: Final = re.compile(r"[ \t\r\n]*")
_DECODER: Final = json.JSONDecoder()
_ARRAY: Final = msgspec.json.Decoder(list[msgspec.Raw])
_WRAPPED: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_SEND_ONE: Final = "send one event to POST /api/v1/lineage"


def split_single(body: bytes) -> list[bytes]:
    """The event of a body that should hold one; the events of an array, which some senders post here all the same."""
    if body[:64].lstrip()[:1] == b"[" and body.strip(b" \t\r\n[]"):
        try:
            return [bytes(raw) for raw in _ARRAY.decode(body)]
        except (msgspec.DecodeError, RecursionError):
            return [body]
    return [body]


def single_reply(results: Sequence[Any]) -> Reply:
    """201 and an empty body: the official Java client (and so Spark) fails on a 204 after the server took the event.

    Raises:
        BadEvent: nothing of it was taken. Of an array a part of which was taken, the answer is the batch's.
    """
    refused = [result for result in results if isinstance(result, BadEvent)]
    if not refused:
        return Reply(status=201, headers={"Content-Length": "0"}, media="")
    if len(refused) == len(results):
        raise refused[0]
    return batch_reply(results, {})


def batch_reply(results: Sequence[Any], headers: Mapping[str, str]) -> Reply:
    """Which events of a batch were refused, and why; 204 where there are none and ``Prefer: return=minimal`` asks for nothing."""
    failed = [
        {"index": index, "reason": result.message, "retriable": False}
        for index, result in enumerate(results)
        if isinstance(result, BadEvent)
    ]
    if not failed and "return=minimal" in headers.get("prefer", "").replace(" ", "").lower():
        return Reply(status=204, media="", headers={"Preference-Applied": "return=minimal"})
    return json_reply(
        {
            "status": "partial_success" if failed else "success",
            "summary": {"received": len(results), "successful": len(results) - len(failed), "failed": len(failed)},
            "failed_events": failed,
        }
    )


def split_batch(body: bytes, *, lines: bool = False) -> list[bytes]:
    """The events of a batch as the very bytes that were sent.

    Args:
        body: a JSON array (the OpenLineage form), ``{"events": [...]}`` (OpenMetadata's), or lines of JSON.
        lines: the body is newline-delimited JSON.

    Raises:
        BadInput: the body is none of these.
    """
    if lines:
        return [line for line in body.split(b"\n") if line.strip()]
    try:
        if body[:64].lstrip()[:1] == b"{":
            wrapped = _WRAPPED.decode(body)
            if set(wrapped) == {"events"}:
                body = bytes(wrapped["events"])
        return [bytes(raw) for raw in _ARRAY.decode(body)]
    except (msgspec.DecodeError, RecursionError):  # ValidationError, which a wrong form raises, is a DecodeError
        return _split_slowly(body)


def _split_slowly(body: bytes) -> list[bytes]:
    """The same by the standard library, which reads a little more (a byte order mark) and says what is wrong."""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadInput("the batch is not UTF-8") from None
    try:
        at = _skip(text, 0)
        if text[at : at + 1] == "{":
            at = _events_of(text, at)
        events, at = _array(text, at)
        if text[at : at + 1] == "}":
            at = _skip(text, at + 1)
    except (json.JSONDecodeError, RecursionError):
        raise BadInput("the batch is not JSON that can be read", hint="send a JSON array of events") from None
    if at != len(text):
        raise BadInput("the batch goes on after its end", hint="send one JSON array of events")
    return events


def _skip(text: str, at: int) -> int:
    space = _SPACE.match(text, at)
    return space.end() if space else at


def _events_of(text: str, at: int) -> int:
    at = _skip(text, at + 1)
    name, at = _DECODER.raw_decode(text, at)
    at = _skip(text, at)
    if name != "events" or text[at : at + 1] != ":":
        raise BadInput('a batch is a JSON array, or {"events": [...]}', hint=_SEND_ONE)
    return _skip(text, at + 1)


def _array(text: str, at: int) -> tuple[list[bytes], int]:
    if text[at : at + 1] != "[":
        raise BadInput("a batch is a JSON array of events", hint=_SEND_ONE)
    events: list[bytes] = []
    at = _skip(text, at + 1)
    if text[at : at + 1] == "]":
        return events, _skip(text, at + 1)
    while True:
        _, end = _DECODER.raw_decode(text, at)
        events.append(text[at:end].encode())
        at = _skip(text, end)
        mark = text[at : at + 1]
        if mark not in (",", "]"):
            raise json.JSONDecodeError("no comma", text[:0], 0)
        at = _skip(text, at + 1)
        if mark == "]":
            return events, at
