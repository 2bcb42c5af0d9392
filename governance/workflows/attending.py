"""What time alone brings about in open requests: a day of grace that ends, a store that was away and is asked again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from governance.erasure.requests import Erasures
from governance.model import ErasureState as S
from governance.registry.find import bodies
from governance.workflows.successors import Successors
from lineage.ports import Clock, Ledger

__all__ = ["RETRY", "Attending"]

RETRY: Final = 15 * 60 * 1_000_000_000
"""So long after a round that met a store that was away, the request is begun again; nanoseconds."""


class Attending:
    """Looks after open requests. ``enqueue(request, round)`` starts the durable work."""

    def __init__(
        self, *, ledger: Ledger, clock: Clock, erasures: Erasures, successors: Successors, enqueue: Callable[[str, int], None]
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._erasures = erasures
        self._successors = successors
        self._enqueue = enqueue

    def look(self) -> int | None:
        """Do what is due; answers when to look again (UTC nanoseconds), or ``None``."""
        now, moments = self._clock.now(), []
        for record in bodies(self._ledger, "erasure"):
            if record["state"] in (S.AWAITING_DECISION, S.EXECUTING):
                moments += [moment for asset in record["assets"] if (moment := self._grace(record["id"], asset, now)) is not None]
            if record["state"] == S.COMPLETED_PARTIAL and any(asset["status"] == "waiting" for asset in record["assets"]):
                at = int(record["completed_at"]) + RETRY
                if at <= now:
                    self._again(record)
                else:
                    moments.append(at)
        return min(moments, default=None)

    def _grace(self, request: str, asset: dict[str, Any], now: int) -> int | None:
        """When the grace of an asset ends; ``None`` where there is none, or it ended."""
        until = asset["detail"].get("keep_until") if asset["status"] == "awaiting_decision" else None
        if until is not None and until <= now:
            self._successors.end_of_grace(request, asset["id"], asset["detail"])
            return None
        return until

    def _again(self, record: dict[str, Any]) -> None:
        again = record["round"] + 1
        reason = "a store was away; it is asked again"
        self._erasures.change(record["id"], S.QUEUED, kind="resumed", reason=reason, fields={"round": again})
        self._enqueue(record["id"], again)
