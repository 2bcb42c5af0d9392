"""The states of an erasure request and the only ways between them (design §9). Pure."""

from __future__ import annotations

from collections.abc import Mapping

from governance.model import ErasureState as S
from lineage.errors import Conflict

__all__ = ["FINAL", "TRANSITIONS", "move"]

TRANSITIONS: Mapping[S, frozenset[S]] = {
    S.RECEIVED: frozenset({S.IDENTITY_PENDING, S.WITHDRAWN}),
    S.IDENTITY_PENDING: frozenset({S.VERIFIED, S.REFUSED, S.WITHDRAWN, S.EXPIRED}),
    S.VERIFIED: frozenset({S.SCOPING, S.REFUSED, S.WITHDRAWN}),
    S.SCOPING: frozenset({S.IN_REVIEW, S.VERIFYING, S.FAILED, S.WITHDRAWN}),
    S.IN_REVIEW: frozenset({S.APPROVED, S.PARTIALLY_APPROVED, S.REFUSED, S.WITHDRAWN, S.EXPIRED}),
    S.APPROVED: frozenset({S.SUPPRESSED}),
    S.PARTIALLY_APPROVED: frozenset({S.SUPPRESSED}),
    S.SUPPRESSED: frozenset({S.QUEUED}),
    S.QUEUED: frozenset({S.EXECUTING, S.FAILED}),
    S.EXECUTING: frozenset({S.VERIFYING, S.AWAITING_DECISION, S.FAILED}),
    S.VERIFYING: frozenset({S.COMPLETED, S.COMPLETED_PARTIAL, S.FAILED}),
    S.AWAITING_DECISION: frozenset({S.QUEUED, S.EXECUTING}),
    S.COMPLETED_PARTIAL: frozenset({S.QUEUED}),
    S.FAILED: frozenset({S.QUEUED, S.VERIFYING}),
    S.COMPLETED: frozenset(),
    S.REFUSED: frozenset(),
    S.WITHDRAWN: frozenset(),
    S.EXPIRED: frozenset(),
}

FINAL = frozenset(state for state, following in TRANSITIONS.items() if not following)


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
