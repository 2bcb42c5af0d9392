"""What time alone brings about in open requests: graces that end, stores that are asked again, owners that answered, copies shown late."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from governance.erasure.requests import Erasures
from governance.erasure.tasks import Tasks
from governance.model import ErasureState as S
from governance.registry.find import bodies
from governance.workflows.scoping import Scoping
from governance.workflows.successors import Successors
from lineage.ports import Clock, Ledger

__all__ = ["RETRY", "Attending"]

RETRY: Final = 15 * 60 * 1_000_000_000
"""So long after a round that met a store that was away, the request is begun again; nanoseconds."""
_MOST_NAMED: Final = 10
_MOST_WALKS: Final = 50
"""Requests for which the graph is walked in one look; a home may have very many that one owner leaves unfinished."""
_PAUSE: Final = 1_000_000_000
"""Nanoseconds until the next look where some were left."""


class Attending:
    """Looks after open requests.

    ``enqueue(request, round)`` starts the durable work; ``position()`` is that of the graph: while it stays the same, no event can have
    shown anything.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        clock: Clock,
        erasures: Erasures,
        scoping: Scoping,
        successors: Successors,
        tasks: Tasks,
        position: Callable[[], int],
        enqueue: Callable[[str, int], None],
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._erasures = erasures
        self._scoping = scoping
        self._successors = successors
        self._tasks = tasks
        self._position = position
        self._enqueue = enqueue
        self._seen = -1
        self._unwalked: dict[str, None] = {}

    def look(self) -> int | None:
        """Do what is due; answers when to look again (UTC nanoseconds), or ``None``."""
        now, moments = self._clock.now(), []
        records = bodies(self._ledger, "erasure")
        walks = self._walks(records)
        for record in records:
            if record["state"] in (S.AWAITING_DECISION, S.EXECUTING):
                moments += [moment for asset in record["assets"] if (moment := self._grace(record["id"], asset, now)) is not None]
            if record["state"] == S.COMPLETED_PARTIAL:
                reason = self._because(record, now, walk=record["id"] in walks)
                if reason is not None:
                    self._again(record, reason)
                elif any(asset["status"] == "waiting" for asset in record["assets"]):
                    moments.append(int(record["completed_at"]) + RETRY)
        if self._unwalked:
            moments.append(now + _PAUSE)
        if (due := self._tasks.look()) is not None:
            moments.append(due)
        return min(moments, default=None)

    def _walks(self, records: Sequence[Mapping[str, Any]]) -> set[str]:
        """For which requests the graph is walked now: all that ended in part, once for each time that it moved, some at each look."""
        position = self._position()
        if position != self._seen:
            self._seen = position
            self._unwalked = dict.fromkeys(record["id"] for record in records if record["state"] == S.COMPLETED_PARTIAL)
        chosen = set(list(self._unwalked)[:_MOST_WALKS])
        for ident in chosen:
            del self._unwalked[ident]
        return chosen

    def _because(self, record: dict[str, Any], now: int, *, walk: bool) -> str | None:
        """Why a request that ended in part goes on; ``None`` while it does not."""
        if any(asset["status"] == "waiting" for asset in record["assets"]) and int(record["completed_at"]) + RETRY <= now:
            return "a store was away; it is asked again"
        if _answered(record):
            return "every owner that was asked has answered"
        if walk and (late := self._scoping.elsewhere(record)):
            return f"found since it ended: {', '.join(late[:_MOST_NAMED])}"
        return None

    def _grace(self, request: str, asset: dict[str, Any], now: int) -> int | None:
        """When the grace of an asset ends; ``None`` where there is none, or it ended."""
        until = asset["detail"].get("keep_until") if asset["status"] == "awaiting_decision" else None
        if until is not None and until <= now:
            self._successors.end_of_grace(request, asset["id"], asset["detail"])
            return None
        return until

    def _again(self, record: dict[str, Any], reason: str) -> None:
        again = record["round"] + 1
        self._erasures.change(record["id"], S.QUEUED, kind="resumed", reason=reason, fields={"round": again})
        self._enqueue(record["id"], again)


def _answered(record: Mapping[str, Any]) -> bool:
    """Whether the last owner that was asked answered after the round's certificate was made."""
    assets = record["assets"]
    fresh = any(asset["detail"].get("answered_round") == record["round"] for asset in assets)
    return fresh and not any(asset["status"] == "asked" for asset in assets)
