"""OpenLineage in: one event, a batch, and what became of them.

A single event is answered 201 with an empty body: the official Java client (and so Spark) fails on a 204 after the
server took the event. A busy store is answered 503, never 429, because the official Python client sends an event again
after 500, 502, 503 and 504 but drops it after any 4xx. For the same reason the declared media type is not held against
an event.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

from governance.api.call import MIB, READERS, Call, Reply, Route, json_reply, roles
from lineage.errors import BadEvent, BadInput

__all__ = ["ROUTES", "split_batch"]

EVENT_LIMIT: Final = 64 * MIB
WRITERS = roles("ingest", "engineer")
_SPACE: Final = re.compile(r"[ \t\r\n]*")
_DECODER: Final = json.JSONDecoder()


def accept(system: Any, call: Call) -> Reply:
    """One event."""
    system.lineage.accept(call.body, actor=call.actor)
    return Reply(status=201, headers={"Content-Length": "0"}, media="")


def accept_alias(system: Any, call: Call) -> Reply:
    """The path that some clients use."""
    return accept(system, call)


def accept_root(system: Any, call: Call) -> Reply:
    """The path that the Java client uses when its URL ends with a slash."""
    return accept(system, call)


def accept_slash(system: Any, call: Call) -> Reply:
    """With a trailing slash: a redirect would lose the event in clients that do not follow one."""
    return accept(system, call)


def batch(system: Any, call: Call) -> Reply:
    """Many events, each judged by itself."""
    raws = split_batch(call.body, lines="ndjson" in call.headers.get("content-type", ""))
    results = system.lineage.accept_many(raws, actor=call.actor)
    failed = [
        {"index": index, "reason": result.message, "retriable": False}
        for index, result in enumerate(results)
        if isinstance(result, BadEvent)
    ]
    return json_reply(
        {
            "status": "partial_success" if failed else "success",
            "summary": {"received": len(raws), "successful": len(raws) - len(failed), "failed": len(failed)},
            "failed_events": failed,
        }
    )


def status(system: Any, _call: Call) -> Reply:
    """How far the graph is."""
    return json_reply(system.lineage.status())


def dead_letters(system: Any, _call: Call) -> Reply:
    """What was taken but could not be folded."""
    return json_reply(system.lineage.dead_letters())


def split_batch(body: bytes, *, lines: bool = False) -> list[bytes]:
    """The events of a batch as the very bytes that were sent, so that each keeps its identity.

    Args:
        body: a JSON array (the OpenLineage form), ``{"events": [...]}`` (OpenMetadata's), or lines of JSON.
        lines: the body is newline-delimited JSON.

    Raises:
        BadInput: the body is none of these.
    """
    if lines:
        return [line for line in body.split(b"\n") if line.strip()]
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
        raise BadInput('a batch is a JSON array, or {"events": [...]}', hint="send one event to POST /api/v1/lineage")
    return _skip(text, at + 1)


def _array(text: str, at: int) -> tuple[list[bytes], int]:
    if text[at : at + 1] != "[":
        raise BadInput("a batch is a JSON array of events", hint="send one event to POST /api/v1/lineage")
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


_EVENT: dict[str, Any] = {"takes": "event", "limit": EVENT_LIMIT, "status": 201, "gives": "", "roles": WRITERS, "pool": "ingest"}
_ABOUT = (
    "RunEvent, JobEvent or DatasetEvent, plain or gzip. 201 with an empty body once the event is durable; the same event again is "
    "acknowledged and kept once. 503 with Retry-After when the store cannot take it."
)

ROUTES = (
    Route(method="POST", path="/api/v1/lineage", summary="Take one OpenLineage event", handler=accept, about=_ABOUT, **_EVENT),
    Route(method="POST", path="/api/v1/lineage/", summary="The same, with a trailing slash", handler=accept_slash, **_EVENT),
    Route(method="POST", path="/lineage", summary="The same, for clients without the prefix", handler=accept_alias, **_EVENT),
    Route(method="POST", path="/", summary="The same, for clients that post to the bare URL", handler=accept_root, **_EVENT),
    Route(
        method="POST",
        path="/api/v1/lineage/batch",
        summary="Take many OpenLineage events",
        roles=WRITERS,
        handler=batch,
        takes="event",
        limit=EVENT_LIMIT,
        pool="ingest",
        about='A JSON array, `{"events": […]}` or application/x-ndjson. Each event is judged alone; a bad one does not hold up the others.',
    ),
    Route(
        method="GET",
        path="/api/v1/lineage/status",
        summary="Events, entries, lag, dead letters and the digest of the graph",
        roles=READERS | {"ingest"},
        handler=status,
    ),
    Route(
        method="GET",
        path="/api/v1/lineage/dead-letters",
        summary="Events that were taken but could not be folded",
        roles=roles("engineer", "auditor"),
        handler=dead_letters,
    ),
)
