"""Every error as RFC 9457 problem details, in one table: class → status, type and title.

A problem never carries a traceback, a row value or what the caller sent; an unexpected error carries a correlation id
that also stands in the server's log beside the place where it happened (and without the exception's message, which
may quote data).
"""

from __future__ import annotations

import dataclasses
import logging
import traceback
import uuid
from dataclasses import dataclass
from typing import Any, Final

import orjson

from governance.api.call import Reply
from governance.errors import BudgetExceeded, GateRefused, Held, NotVerified, Suppressed, TooMany
from lineage.errors import (
    BadEvent,
    BadInput,
    Conflict,
    Forbidden,
    Gone,
    GovernError,
    Incomplete,
    NotFound,
    StoreUnavailable,
    Tampered,
)

__all__ = [
    "PROBLEMS",
    "InvalidBody",
    "Kind",
    "MethodNotAllowed",
    "TooLarge",
    "TooSlow",
    "Unauthenticated",
    "UnsupportedMedia",
    "problem",
    "problem_of",
]

log = logging.getLogger("governance.api")

BASE: Final = "tag:govern-ml,2026:problems/"
"""A tag URI (RFC 4151): an identity that does not pretend to be a page, as RFC 9457 §3.1.1 allows."""

RETRY_AFTER: Final = 1


class InvalidBody(BadInput):
    """The JSON is well formed, but a field is missing, unknown or of a wrong type.

    Args:
        fields: every fault as ``{"field": "subject.type", "reason": …}``; the message names the first.
        hint: the next step.
    """

    def __init__(self, fields: list[dict[str, str]], *, hint: str | None = None) -> None:
        more = f" (and {len(fields) - 1} more)" if len(fields) > 1 else ""
        super().__init__(f"{fields[0]['field']}: {fields[0]['reason']}{more}", hint=hint)
        self.fields = fields


class TooLarge(BadInput):
    """The body is larger than the route takes."""


class TooSlow(BadInput):
    """The body paused for too long."""


class UnsupportedMedia(BadInput):
    """The body's media type or encoding is not one the route reads."""


class MethodNotAllowed(BadInput):
    """The path exists, not with this method."""

    def __init__(self, message: str, *, allow: tuple[str, ...], hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.allow = allow


class Unauthenticated(Forbidden):
    """No key, or one that is not known or was revoked."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What a class of errors is called on the wire."""

    error: type[Exception]
    status: int
    slug: str
    title: str
    when: str


PROBLEMS: Final[tuple[Kind, ...]] = (
    Kind(BadEvent, 400, "bad-event", "Not an OpenLineage event", "an event is not JSON, has no identity, or is too large or deep"),
    Kind(InvalidBody, 422, "invalid-body", "The body does not fit", "a field is missing, unknown or of a wrong type; `errors` lists them"),
    Kind(TooLarge, 413, "too-large", "The body is too large", "the body, or what it decompresses to, is larger than the route takes"),
    Kind(TooSlow, 408, "too-slow", "The body came too slowly", "the body paused for half a minute"),
    Kind(UnsupportedMedia, 415, "unsupported-media", "Unsupported media type", "the media type or content encoding is not read here"),
    Kind(MethodNotAllowed, 405, "method-not-allowed", "Method not allowed", "the path exists with other methods; see `Allow`"),
    Kind(BadInput, 400, "bad-input", "The request cannot be used", "malformed JSON, an unknown query parameter, a value out of range"),
    Kind(Unauthenticated, 401, "unauthenticated", "A key is needed", "no key was sent, or it is unknown or revoked"),
    Kind(NotVerified, 403, "not-verified", "The identity is not shown", "a code, a token or a claim does not show who asks"),
    Kind(
        Forbidden, 403, "forbidden", "The key may not do this", "the key lacks the role, or may not approve what it requested or verified"
    ),
    Kind(NotFound, 404, "not-found", "No such thing", "the name is unknown; the hint names the nearest ones"),
    Kind(Gone, 410, "gone", "It existed and was erased", "a tombstone answers for what was erased"),
    Kind(GateRefused, 409, "gate-refused", "A gate said no", "the policy refuses the version; the detail lists its reasons"),
    Kind(BudgetExceeded, 409, "budget-exceeded", "The privacy budget does not allow it", "the lifetime budget would be exceeded"),
    Kind(Suppressed, 409, "suppressed", "The person is being erased", "an erasure was approved: no prediction is made for the person"),
    Kind(Held, 409, "held", "An asset is under a hold", "an incident's hold protects what would change"),
    Kind(Incomplete, 409, "incomplete", "The answer is not complete", "there is an answer, but it does not rest on everything"),
    Kind(TooMany, 429, "too-many", "Too many for now", "a limit per person, per key or of the server is reached; see `Retry-After`"),
    Kind(Conflict, 409, "conflict", "The state does not allow this", "the state changed, or has no such transition"),
    Kind(
        StoreUnavailable, 503, "unavailable", "A store cannot be used now", "full disk or store away; nothing was half-written, try again"
    ),
    Kind(Tampered, 500, "tampered", "A stored thing does not match its digest", "the detail says which part; run `govern ledger fsck`"),
    Kind(GovernError, 500, "error", "The server could not do this", "an error that is named but has no status of its own"),
)
UNEXPECTED: Final = Kind(Exception, 500, "unexpected", "Unexpected error", "a defect: `instance` is in the server's log beside the place")


def _kind(error: Exception) -> Kind:
    return next((kind for kind in PROBLEMS if isinstance(error, kind.error)), UNEXPECTED)


def problem(
    kind: Kind, detail: str, *, hint: str | None = None, oip: bool = False, headers: dict[str, str] | None = None, **more: Any
) -> Reply:
    """The answer for one problem.

    For the Open Inference Protocol the same object also has the member ``error``: the protocol asks for a JSON object
    with that string and sets no media type, RFC 9457 §3.2 allows further members, so one body serves clients of both.
    """
    body: dict[str, Any] = {"type": BASE + kind.slug, "title": kind.title, "status": kind.status, "detail": detail}
    if hint:
        body["hint"] = hint
    if oip:
        body["error"] = detail
    body.update(more)
    return Reply(status=kind.status, body=orjson.dumps(body), media="application/problem+json", headers=headers or {})


def problem_of(error: Exception, *, oip: bool = False, marquez: bool = False) -> Reply:
    """The problem for an error; what is not a :class:`GovernError` is logged by place and answered by a correlation id.

    With ``marquez`` it is ``{code, message}``, perhaps with a ``hint``, as Marquez answers; about the key it stays a problem, with
    these two beside it.
    """
    reply = _problem_of(error, oip=oip)
    if not marquez:
        return reply
    body = orjson.loads(reply.body)
    plain = {"code": reply.status, "message": body["detail"]}
    if reply.status in (401, 403):
        return dataclasses.replace(reply, body=orjson.dumps(body | plain))
    more = {name: body[name] for name in ("hint", "instance") if name in body}
    return dataclasses.replace(reply, body=orjson.dumps(plain | more), media="application/json")


def _problem_of(error: Exception, *, oip: bool) -> Reply:
    kind = _kind(error)
    if not isinstance(error, GovernError):
        instance = f"urn:uuid:{uuid.uuid4()}"
        places = [f"{frame.filename}:{frame.lineno} in {frame.name}" for frame in traceback.extract_tb(error.__traceback__)]
        log.error("unexpected %s %s at %s", type(error).__qualname__, instance, " < ".join(reversed(places)))
        return problem(
            kind,
            "The server met an error that it did not expect.",
            hint="look for the instance in the server's log",
            oip=oip,
            instance=instance,
        )
    headers: dict[str, str] = {}
    if kind.status == 503:
        headers["Retry-After"] = str(RETRY_AFTER)
    if isinstance(error, TooMany):
        headers["Retry-After"] = str(error.retry_after)
    if kind.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, MethodNotAllowed):
        headers["Allow"] = ", ".join(error.allow)
    more = {"errors": error.fields} if isinstance(error, InvalidBody) else {}
    return problem(kind, error.message, hint=error.hint, oip=oip, headers=headers, **more)
