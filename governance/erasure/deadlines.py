"""What time does by itself: alerts, expiry, ends of holds, messages to persons, shredding. One door, called again and again: ``sweep``.

Each effect is entered in the ledger once, so a sweep that is repeated, late or cut off in the middle does what is left and nothing twice;
only a message may go twice, when the process dies between its sending and the entry that says so.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from governance.erasure.clocks import clocks_of, day_in, passed, period_end
from governance.erasure.holds import Holds, held_by
from governance.erasure.intake import WINDOW, notice
from governance.erasure.states import FINAL
from governance.model import ErasureState as S
from governance.registry.acts import SYSTEM, act
from governance.registry.find import bodies, must_find
from lineage.errors import GovernError
from lineage.ports import LedgerTx

if TYPE_CHECKING:
    from governance.erasure.law import Pack

__all__ = ["MOST_TRIES", "Deadlines"]

MOST_TRIES = 50
"""Times that a message is offered before the person must be told by another way; the certificate's readers see it in the request."""

_SUBJECTS = {
    "received": "We received your request",
    "refused": "About your request",
    "partial": "About your request",
    "extended": "We need more time for your request",
    "closed": "Your request is answered",
}
_OUTCOMES = {
    S.COMPLETED: "everything that was found is erased",
    S.COMPLETED_PARTIAL: "it is erased in part; what remains is named with its reason",
}
_log = logging.getLogger(__name__)


class Deadlines(Holds):
    """Watches the clocks of all requests."""

    def sweep(self, now: int | None = None) -> dict[str, Any]:
        """Do what is due at ``now`` (UTC nanoseconds; the clock's time without it).

        A ``now`` before the last sweep's does nothing again and undoes nothing.

        Returns:
            ``{alerts, expired, released, reviews, resumed, sent, unsent, shredded, troubles}``: what was done, by request or asset.
            ``troubles`` names requests that could not be looked at, with the reason; the others were.
        """
        now = self._clock.now() if now is None else now
        released, reviews = self._sweep_holds(now)
        answer: dict[str, Any] = {"released": released, "reviews": reviews, "alerts": [], "expired": [], "resumed": [], "sent": []}
        answer |= {"unsent": [], "shredded": [], "troubles": []}
        held = list(self.held())
        for record in bodies(self._ledger, "erasure"):
            try:
                self._look(record["id"], record, max(now, record["history"][-1]["at"]), held, answer)
            except GovernError as error:  # one request's trouble keeps no other from its deadline
                answer["troubles"].append({"request": record["id"], "detail": error.message})
        self._forget_rates(now)
        return answer

    def _look(self, ident: str, record: Mapping[str, Any], now: int, held: list[str], answer: dict[str, Any]) -> None:
        if record["state"] in FINAL and not self._owes(record) and not self._to_shred(record, now):
            return  # what is over and silent costs no more than this look
        pack = self._law(record)
        if record["state"] == S.IDENTITY_PENDING and now > self._proof_until(pack, record):
            self._expire(ident, now)
            answer["expired"].append(ident)
            record = self.record(ident)
        if self._news(pack, record, now)[0]:  # looked at first: a transaction for every request and minute would be too many
            answer["alerts"] += [{"request": ident, **item} for item in self._tell(pack, ident, now)]
        if record["state"] == S.COMPLETED_PARTIAL and self._free(record, held):
            again = record["round"] + 1
            self.change(ident, S.QUEUED, kind="resumed", reason="a hold was released", fields={"round": again})
            self._enqueue(ident, again)
            answer["resumed"].append(ident)
        if self._owes(record):
            self._send(pack, ident, now, answer)
        if self._to_shred(record, now) and self._contacts is not None:
            self._contacts.shred(ident)
            contact = self.record(ident)["contact"] | {"shredded_at": now}
            self.note(ident, kind="contact-shredded", reason="the contact's key was destroyed", fields={"contact": contact})
            answer["shredded"].append(ident)

    # ── clocks ──────────────────────────────────────────────────────────────────────────────────
    @staticmethod
    def _news(pack: Pack, record: Mapping[str, Any], now: int) -> tuple[list[dict[str, Any]], dict[str, list[int]]]:
        """(the parts of the clocks that have passed and were not told, all parts that will have been told)."""
        told: dict[str, list[int]] = {rule: list(parts) for rule, parts in (record.get("alerts") or {}).items()}
        news: list[dict[str, Any]] = []
        for clock in clocks_of(pack, record, now):
            before = told.setdefault(clock.rule, [])
            fresh = [part for part in passed(clock) if part not in before]
            before += fresh
            news += [{"clock": clock.rule, "percent": part, "due_at": clock.due_at, "basis": clock.basis} for part in fresh]
        return news, told

    def _tell(self, pack: Pack, ident: str, now: int) -> list[dict[str, Any]]:
        """Enter what has passed; each part once in the request's life."""

        def work(tx: LedgerTx) -> list[dict[str, Any]]:
            record = must_find(tx, "erasure", ident, what="erasure request")
            news, told = self._news(pack, record, now)
            if news:
                last = max(news, key=lambda item: int(item["percent"]))
                reason = f"{last['percent']} % of the clock `{last['clock']}` has passed" if last["percent"] < 100 else "overdue"
                self._note(tx, record, kind="alert", reason=reason, fields={"alerts": told}, detail={"alerts": news})
            return news

        return self._ledger.transact(work)

    @staticmethod
    def _proof_until(pack: Pack, record: Mapping[str, Any]) -> int:
        """Until when the identity may be shown: counted from receipt, or from the last time it was asked for."""
        asked = (record.get("challenge") or {}).get("asked_at") or 0
        return period_end(pack, pack.identity.expires, max(record.get("received_at") or record["created_at"], asked))

    def _expire(self, ident: str, now: int) -> None:
        reason = "the identity was not shown in time"
        self.change(ident, S.EXPIRED, kind="expired", reason=reason, fields={"expired_at": now, "challenge": None})

    @staticmethod
    def _free(record: Mapping[str, Any], held: list[str]) -> bool:
        """Whether something of the request was held and no hold protects it any more."""
        return any(item["status"] == "held" and not held_by(item, held) for item in record["assets"])

    # ── messages ────────────────────────────────────────────────────────────────────────────────
    def _reachable_by(self, record: Mapping[str, Any]) -> bool:
        contact = record.get("contact")
        if self._notifier is None or self._contacts is None or not contact:
            return False
        return contact["shredded_at"] is None

    def _owes(self, record: Mapping[str, Any]) -> bool:
        return self._reachable_by(record) and (_outcome_untold(record) or any(_waits(item) for item in record.get("notices") or ()))

    def _send(self, pack: Pack, ident: str, now: int, answer: dict[str, Any]) -> None:
        """Offer what waits to be told. A station that does not take it is asked again at the next sweep."""
        record = self.record(ident)
        if not self._reachable_by(record):
            return
        assert self._notifier is not None
        assert self._contacts is not None
        if _outcome_untold(record):
            record = self._with_notice(ident, notice("closed", now) | {"state": record["state"]})
        for position, item in enumerate(record.get("notices") or ()):
            if not _waits(item):
                continue
            kind = item["kind"]
            try:
                address = self._contacts.read(ident)["address"]
                self._notifier.send(address=address, subject=_SUBJECTS[kind], text=self._words(pack, record, kind, now), reference=ident)
            except GovernError as error:
                _log.warning("a message of request %s was not taken: %s", ident, type(error).__name__)
                self._mark(ident, position, tries=item["tries"] + 1)
                answer["unsent"].append({"request": ident, "kind": kind, "detail": error.message})
            else:
                self._mark(ident, position, sent_at=now, tries=item["tries"] + 1)
                answer["sent"].append({"request": ident, "kind": kind})

    def _with_notice(self, ident: str, item: Mapping[str, Any]) -> dict[str, Any]:
        self.note(ident, kind="notice-queued", reason=None, fields={"notices": [*self.record(ident).get("notices", ()), dict(item)]})
        return self.record(ident)

    def _mark(self, ident: str, position: int, **fields: Any) -> None:
        def work(tx: LedgerTx) -> None:
            record = must_find(tx, "erasure", ident, what="erasure request")
            items = [item | fields if place == position else item for place, item in enumerate(record["notices"])]
            more: dict[str, Any] = {"notices": items}
            sent = fields.get("sent_at")
            if sent and items[position]["kind"] == "received" and not record.get("acknowledged"):
                more["acknowledged"] = {"at": sent, "by": SYSTEM, "how": record["contact"]["channel"]}
            kind = "told" if sent else "not-told"
            self._note(tx, record, kind=kind, reason=f"told by message: {items[position]['kind']}" if sent else None, fields=more)

        self._ledger.transact(work)

    @staticmethod
    def _words(pack: Pack, record: Mapping[str, Any], kind: str, now: int) -> str:
        ident, refusals = record["id"], record.get("refusals") or []
        due = clocks_of(pack, record, now)[0].due_day
        if kind == "received":
            received = day_in(pack.zone, record.get("received_at") or record["created_at"]).isoformat()
            return pack.notice(kind, request=ident, received=received, due=due)
        if kind == "extended":
            return pack.notice(kind, request=ident, due=due, reasons=record["extended"]["reason"])
        if kind == "closed":
            return pack.notice(kind, request=ident, outcome=_OUTCOMES[S(record["state"])])
        if kind == "refused":
            return str(refusals[0]["notice"])
        lines = [f"- {item['asset']}: {item['says']} ({item['article']}). {item['reasons'] or ''}".rstrip() for item in refusals]
        return pack.notice(kind, request=ident, reasons="\n".join(lines))

    # ── shredding ───────────────────────────────────────────────────────────────────────────────
    def _to_shred(self, record: Mapping[str, Any], now: int) -> bool:
        """The request is over, and so is the time in which a complaint must be answered; at once where nothing was answered."""
        contact = record.get("contact")
        if not contact or contact["shredded_at"] is not None or record["state"] not in FINAL:
            return False
        if record["state"] in (S.WITHDRAWN, S.EXPIRED):
            return True
        pack = self._law(record)
        return now > period_end(pack, pack.appeal.limit, record["answered_at"])

    def _forget_rates(self, now: int) -> None:
        """Drop the counts about persons of whom nothing was asked within the window."""
        stale = [
            ("rate", rate["ref"])
            for rate in bodies(self._ledger, "rate")
            if not any(at > now - WINDOW for name in ("requests", "codes") for at in rate[name])
        ]
        if stale:
            self._ledger.append([act("erasure.rates-forgotten", actor=SYSTEM, drop=stale)])


def _outcome_untold(record: Mapping[str, Any]) -> bool:
    state = record["state"]
    return state in _OUTCOMES and not any(item["kind"] == "closed" and item["state"] == state for item in record.get("notices") or ())


def _waits(item: Mapping[str, Any]) -> bool:
    return item["sent_at"] is None and item["tries"] < MOST_TRIES
