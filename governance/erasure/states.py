"""The states of an erasure request and the only ways between them (design §9). Pure.

Each way says who may go it, what the record must hold before, and which ledger entry tells of it. The needs are checked at every move,
whichever door or workflow asks for it: no path reaches a state that destroys without a verified identity, a frozen scope and the approval
of a second key. ``docs/reference/erasure-states.md`` is made from this table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from governance.model import ErasureState as S
from lineage.errors import Conflict

__all__ = ["CLOSED", "DESTRUCTIVE", "FINAL", "TABLE", "TRANSITIONS", "Need", "Transition", "met", "move", "require"]


class Need(StrEnum):
    """What the record of a request must hold before a move."""

    IDENTITY = "the identity is verified: how, by whom, when"
    SCOPE = "the scope was searched and frozen"
    APPROVAL = "approved by a key that neither made the request nor verified the identity"
    GROUND = "a ground of the frozen law pack, and the notice"
    TIME = "the time to prove the identity is over"
    UNTOUCHED = "nothing was destroyed yet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """One way from a state to another."""

    source: S
    target: S
    who: str
    """``privacy``: a key with that role through a door; ``system``: a workflow or the sweep."""
    emits: str
    """Kind of the ledger entry, without ``govern.erasure.``; several where several doors go this way."""
    needs: tuple[Need, ...] = ()


def _way(source: S, target: S, who: str, emits: str, *needs: Need) -> Transition:
    return Transition(source=source, target=target, who=who, emits=emits, needs=needs)


_WORK = (Need.IDENTITY, Need.SCOPE, Need.APPROVAL)

TABLE: tuple[Transition, ...] = (
    _way(S.RECEIVED, S.IDENTITY_PENDING, "privacy", "received"),
    _way(S.RECEIVED, S.VERIFIED, "privacy", "ordered", Need.IDENTITY),
    _way(S.RECEIVED, S.WITHDRAWN, "privacy", "withdrawn", Need.UNTOUCHED),
    _way(S.IDENTITY_PENDING, S.VERIFIED, "privacy", "verified", Need.IDENTITY),
    _way(S.IDENTITY_PENDING, S.REFUSED, "privacy", "refused", Need.GROUND),
    _way(S.IDENTITY_PENDING, S.WITHDRAWN, "privacy", "withdrawn", Need.UNTOUCHED),
    _way(S.IDENTITY_PENDING, S.EXPIRED, "system", "expired", Need.TIME),
    _way(S.VERIFIED, S.SCOPING, "privacy", "verified", Need.IDENTITY),
    _way(S.VERIFIED, S.REFUSED, "privacy", "refused", Need.GROUND),
    _way(S.VERIFIED, S.WITHDRAWN, "privacy", "withdrawn", Need.UNTOUCHED),
    _way(S.SCOPING, S.IN_REVIEW, "system", "scoped", Need.IDENTITY, Need.SCOPE),
    _way(S.SCOPING, S.VERIFYING, "system", "scoped", Need.IDENTITY, Need.SCOPE),
    _way(S.SCOPING, S.FAILED, "system", "failed"),
    _way(S.SCOPING, S.WITHDRAWN, "privacy", "withdrawn", Need.UNTOUCHED),
    _way(S.IN_REVIEW, S.APPROVED, "privacy", "approved", *_WORK),
    _way(S.IN_REVIEW, S.PARTIALLY_APPROVED, "privacy", "approved", *_WORK, Need.GROUND),
    _way(S.IN_REVIEW, S.REFUSED, "privacy", "refused", Need.GROUND),
    _way(S.IN_REVIEW, S.WITHDRAWN, "privacy", "withdrawn", Need.UNTOUCHED),
    _way(S.APPROVED, S.SUPPRESSED, "privacy", "approved", *_WORK),
    _way(S.PARTIALLY_APPROVED, S.SUPPRESSED, "privacy", "approved", *_WORK),
    _way(S.SUPPRESSED, S.QUEUED, "privacy", "approved", *_WORK),
    _way(S.SUPPRESSED, S.WITHDRAWN, "privacy", "withdrawn", Need.UNTOUCHED),
    _way(S.QUEUED, S.EXECUTING, "system", "executing", *_WORK),
    _way(S.QUEUED, S.WITHDRAWN, "privacy", "withdrawn", Need.UNTOUCHED),
    _way(S.QUEUED, S.FAILED, "system", "failed"),
    _way(S.EXECUTING, S.VERIFYING, "system", "verifying", *_WORK),
    _way(S.EXECUTING, S.AWAITING_DECISION, "system", "awaiting", *_WORK),
    _way(S.EXECUTING, S.FAILED, "system", "failed"),
    _way(S.VERIFYING, S.COMPLETED, "system", "completed", Need.IDENTITY, Need.SCOPE),
    _way(S.VERIFYING, S.COMPLETED_PARTIAL, "system", "completed", Need.IDENTITY, Need.SCOPE),
    _way(S.VERIFYING, S.FAILED, "system", "failed"),
    _way(S.AWAITING_DECISION, S.QUEUED, "privacy", "decided", *_WORK),
    _way(S.AWAITING_DECISION, S.EXECUTING, "system", "executing", *_WORK),
    _way(S.COMPLETED_PARTIAL, S.QUEUED, "system", "resumed", *_WORK),
    _way(S.FAILED, S.QUEUED, "privacy", "decided", *_WORK),
    _way(S.FAILED, S.VERIFYING, "privacy", "decided", Need.IDENTITY, Need.SCOPE),
)
"""Every way there is. A request that waits in review never expires: a controller's delay ends nobody's right."""

TRANSITIONS: Mapping[S, frozenset[S]] = {state: frozenset(way.target for way in TABLE if way.source is state) for state in S}

FINAL = frozenset(state for state, following in TRANSITIONS.items() if not following)

CLOSED = FINAL | {S.COMPLETED_PARTIAL}
"""States in which the answer was given: the clock runs no more."""

DESTRUCTIVE = frozenset({S.SUPPRESSED, S.QUEUED, S.EXECUTING, S.AWAITING_DECISION})
"""States in which a person's data is excluded, purged, or waits to be."""

_NEEDS = {(way.source, way.target): way.needs for way in TABLE}


def move(request: str, current: str, *path: S) -> list[S]:
    """The states to pass through, in order; ``Conflict`` when one step is not allowed.

    >>> [str(state) for state in move("r", "verified", S.SCOPING, S.IN_REVIEW)]
    ['scoping', 'in_review']
    >>> move("r", "completed", S.QUEUED)
    Traceback (most recent call last):
    ...
    lineage.errors.Conflict: erasure request r is completed and cannot become queued
    """
    here = S(current)
    for following in path:
        if following not in TRANSITIONS[here]:
            raise Conflict(f"erasure request {request} is {here} and cannot become {following}", hint=f"govern erasure show {request}")
        here = following
    return list(path)


def require(request: str, current: str, path: list[S], record: Mapping[str, Any]) -> None:
    """Check what each step of a path needs against the record as it will be; ``Conflict`` names the first need that is not met.

    Args:
        request: its id.
        current: the state before.
        path: the states of :func:`move`.
        record: the request's record with the fields that the move sets.
    """
    here = S(current)
    for following in path:
        for need in _NEEDS[here, following]:
            if not met(need, record):
                raise Conflict(
                    f"erasure request {request} cannot become {following}: it needs that {need}", hint=f"govern erasure show {request}"
                )
        here = following


def met(need: Need, record: Mapping[str, Any]) -> bool:
    """Whether a record meets a need; what is missing is never met."""
    verified, approved = record.get("verified") or {}, record.get("approved") or {}
    if need is Need.IDENTITY:
        return bool(verified.get("method") and verified.get("by"))
    if need is Need.SCOPE:
        return bool((record.get("plan") or {}).get("digest"))
    if need is Need.APPROVAL:
        return bool(approved.get("by")) and approved["by"] not in (record.get("requested_by"), verified.get("by"))
    if need is Need.GROUND:
        return bool(record.get("refusals"))
    if need is Need.TIME:
        return record.get("expired_at") is not None
    return not record.get("begun_at")
