"""The outbox: what waits to be told to each endpoint, and what becomes of an attempt. Delivered at least once, in the order of the log.

::

    waiting ─2xx→ gone                     the row is dropped by an act; who asked for a notice is marked as told
       │ 4xx (the receiver refuses this one): tried again, after the last attempt dead; the next one is sent
       │ anything else (the receiver is away): tried again, after the last attempt the endpoint is disabled and keeps what waits
       └ 410: the endpoint is disabled at once

One endpoint never gets a later message before an earlier one. Attempts are ten, over two days or more. An attempt reads the head of what
waits (:data:`TOGETHER` rows) and never all of it: what piles up behind a receiver that is away costs its attempts nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from governance.model import Sent
from governance.registry.acts import SYSTEM, act
from governance.registry.find import bodies
from lineage.ports import Clock, Ledger, LedgerTx

__all__ = ["ATTEMPTS", "TOGETHER", "Outbox", "pause"]

ATTEMPTS: Final = 10
"""How often a message is tried before it is given up."""
TOGETHER: Final = 50
"""Rows that are read at once, and deliveries that one entry of the ledger tells of, at most; so many may come twice after a crash."""
_SECOND: Final = 1_000_000_000
_FIRST: Final = 5.0
_FACTOR: Final = 4.0
_LONGEST: Final = 86_400.0
_TRY_AGAIN: Final = frozenset({408, 425, 429})
_GONE: Final = 410


def pause(attempt: int, chance: float, *, asked: float | None = None) -> float:
    """Seconds from the ``attempt``-th failure (from 1) to the next try: 5 s, 20 s, 80 s … a day at most, half of it more or less.

    Args:
        attempt: how often it failed.
        chance: a random number in [0, 1), so that receivers that came back are not asked all at once.
        asked: what the receiver's ``Retry-After`` asks for, in seconds; it is waited for, a day at most.

    >>> pause(1, 0.5), pause(2, 0.0), pause(20, 0.5), pause(1, 0.5, asked=60.0)
    (5.0, 10.0, 86400.0, 60.0)
    """
    usual = min(_FIRST * _FACTOR ** (min(attempt, ATTEMPTS) - 1), _LONGEST) * (0.5 + chance)
    return max(usual, min(asked or 0.0, _LONGEST))


class Outbox:
    """The rows that wait, and the acts that an attempt ends with.

    Args:
        ledger: holds the rows as control records.
        clock: when something is due.
        chance: a random number in [0, 1).
    """

    def __init__(self, ledger: Ledger, clock: Clock, *, chance: Callable[[], float]) -> None:
        self._ledger = ledger
        self._clock = clock
        self._chance = chance

    def endpoints(self) -> list[dict[str, Any]]:
        """Every endpoint that messages go to now."""
        return [body for body in bodies(self._ledger, "webhook") if body["state"] == "active"]

    def endpoint(self, ident: str) -> dict[str, Any] | None:
        """One endpoint, while messages go to it."""
        found = self._ledger.record("webhook", ident)
        return found[0] if found is not None and found[0]["state"] == "active" else None

    def waiting(self, endpoint: str, *, most: int = TOGETHER) -> list[tuple[str, dict[str, Any]]]:
        """(place, row) of the first ``most`` messages that wait for an endpoint, in order."""
        return [(place, row) for place, row, _ in self._ledger.records("outbox", prefix=f"{endpoint}/", limit=most)]

    def size(self) -> int:
        """How many entries the ledger has: nothing new waits while it stays the same."""
        return self._ledger.size()

    def delivered(self, endpoint: str, places: Sequence[str]) -> None:
        """These were taken by the receiver; what was removed meanwhile is passed over."""

        def work(tx: LedgerTx) -> None:
            now = self._clock.now()
            records: dict[tuple[str, str], Mapping[str, Any]] = {}
            dropped = []
            for place in places:
                row = tx.record("outbox", place)
                if row is None:
                    continue
                dropped.append(("outbox", place))
                records |= _told(tx, row[0], now)
            found = tx.record("webhook", endpoint)
            if found is not None:
                records["webhook", endpoint] = found[0] | {"attempts": 0, "next_at": 0, "error": None, "delivered_at": now}
            if dropped:
                tx.append(act("webhook.delivered", actor=SYSTEM, records=records, drop=dropped))

        self._ledger.transact(work)

    def failed(self, endpoint: str, place: str, sent: Sent) -> str:
        """An attempt failed; returns ``again``, ``dead`` (the next one may be sent) or ``disabled``."""

        def work(tx: LedgerTx) -> str:
            found, row = tx.record("webhook", endpoint), tx.record("outbox", place)
            if found is None or row is None or found[0]["state"] != "active":
                return "disabled"
            body, attempts = found[0], found[0]["attempts"] + 1
            records: dict[tuple[str, str], Mapping[str, Any]] = {}
            refused = sent.status is not None and 400 <= sent.status < 500 and sent.status not in _TRY_AGAIN
            if sent.status != _GONE and attempts < ATTEMPTS:
                wait = pause(attempts, self._chance(), asked=sent.retry_after)
                changed = {"attempts": attempts, "next_at": self._clock.now() + int(wait * _SECOND), "error": sent.fault}
                tx.append(act("webhook.failed", actor=SYSTEM, records={("webhook", endpoint): body | changed}))
                return "again"
            records |= _not_told(tx, row[0], sent.fault)
            if refused and sent.status != _GONE:
                records["dead", place] = row[0] | {"error": sent.fault}
                records["webhook", endpoint] = body | {"attempts": 0, "next_at": 0, "error": sent.fault}
                tx.append(act("webhook.dead", actor=SYSTEM, records=records, drop=[("outbox", place)]))
                return "dead"
            if body["kind"] == "recipient":  # nobody's notice waits for another kind: once in the life of an endpoint all are read
                for waits in bodies(tx, "outbox", prefix=f"{endpoint}/"):
                    records |= _not_told(tx, waits, sent.fault)
            records["webhook", endpoint] = body | {"state": "disabled", "attempts": attempts, "error": sent.fault}
            tx.append(act("webhook.disabled", actor=SYSTEM, records=records))
            return "disabled"

        return self._ledger.transact(work)


def _told(tx: LedgerTx, row: Mapping[str, Any], now: int) -> dict[tuple[str, str], Mapping[str, Any]]:
    """Who asked for the message was told by it: a recipient's notice, or the task of an owner."""
    notice = tx.record("recipient_notice", row["notice"]) if row["notice"] else None
    if notice is not None and notice[0]["state"] in ("pending", "undelivered"):
        return {("recipient_notice", row["notice"]): notice[0] | {"state": "told", "told_at": now, "error": None}}
    task = tx.record("task", row["task"]) if row.get("task") else None
    if task is not None and task[0]["answered_at"] is None:
        state = "told" if task[0]["state"] == "open" else task[0]["state"]
        return {("task", row["task"]): task[0] | {"state": state, "told_at": task[0]["told_at"] or now, "error": None}}
    return {}


def _not_told(tx: LedgerTx, row: Mapping[str, Any], fault: str) -> dict[tuple[str, str], Mapping[str, Any]]:
    """Who is told by the message is not, and why; a task stays open, a person tells its owner."""
    notice = tx.record("recipient_notice", row["notice"]) if row["notice"] else None
    if notice is not None and notice[0]["state"] in ("pending", "undelivered"):
        return {("recipient_notice", row["notice"]): notice[0] | {"state": "undelivered", "error": fault}}
    task = tx.record("task", row["task"]) if row.get("task") else None
    if task is not None and task[0]["answered_at"] is None:
        return {("task", row["task"]): task[0] | {"error": fault}}
    return {}
