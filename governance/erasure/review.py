"""The answer to a request: approved whole or in part by a second key, refused with a ground, withdrawn, extended, decided.

Four eyes: who approves is neither who entered the request nor who verified the identity. The first could erase whom they like by entering
a request; the second by attesting, or by typing a code that was sent to an address of their choice. A refusal needs one pair of eyes, for
it destroys nothing and the person can complain.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from governance.erasure.clocks import clock_of
from governance.erasure.intake import notice
from governance.erasure.lifting import lifted
from governance.erasure.records import Records, said
from governance.erasure.states import CLOSED
from governance.model import ErasureState as S
from governance.registry.find import bodies, must_find
from lineage.errors import BadInput, Conflict, Forbidden, NotFound
from lineage.ports import LedgerTx

if TYPE_CHECKING:
    from governance.erasure.law import Pack

__all__ = ["Review"]

_KEEP = ("index", "findings")
"""Kinds of assets about which nothing is decided apart: the index follows the datasets, findings are aggregates."""


class Review(Records):
    """The doors of whoever answers."""

    def approve(self, ident: str, body: Mapping[str, Any], *, actor: str) -> dict[str, Any]:
        """Approved by another key: suppressed, queued, and the work starts.

        Args:
            ident: the request.
            body: ``note``, kept in the history; ``refuse``, a list of {asset, ground, reasons}: these assets are retained, the others
                are erased, and the person is told which and why.
            actor: neither who requested nor who verified.

        Raises:
            Forbidden: the actor did one of these. BadInput: an unknown ground, or nothing is left to approve.
            NotFound: the request has no such asset. Conflict: it is not in review.
        """
        record = self.record(ident)
        other = f"with another key of the role privacy: govern erasure approve {ident}"
        if actor == record["requested_by"]:
            raise Forbidden("the key that requested an erasure may not approve it", hint=other)
        if actor == (record.get("verified") or {}).get("by"):
            raise Forbidden("the key that verified the identity may not approve the erasure", hint=other)
        pack = self._law(record)
        refusals = [self._refusal(pack, ident, item) for item in body.get("refuse") or ()]

        def work(tx: LedgerTx) -> int:
            found = must_find(tx, "erasure", ident, what="erasure request")
            now = self._now(found)
            fields: dict[str, Any] = {"approved": {"by": actor, "at": now}, "round": found["round"] + 1}
            if refusals:
                fields |= {"assets": _retained(found, refusals, actor), "refusals": _stamped(refusals, actor, now)}
                if found.get("contact"):
                    fields["notices"] = [*found.get("notices", ()), notice("partial", now)]
            how = S.PARTIALLY_APPROVED if refusals else S.APPROVED
            ref = found["suppression_ref"]  # an order is about no person
            beside = {("suppression", ref): {"ref": ref, "request": ident, "at": now}} if ref else None
            self._move(
                tx,
                found,
                how,
                S.SUPPRESSED,
                S.QUEUED,
                actor=actor,
                kind="approved",
                reason=said("approved in part" if refusals else "approved", body.get("note")),
                fields=fields,
                beside=beside,
            )
            return int(fields["round"])

        self._enqueue(ident, self._ledger.transact(work))
        return self.get(ident)

    def refuse(self, ident: str, body: Mapping[str, Any], *, actor: str) -> dict[str, Any]:
        """Refused with a ground of the law pack; the notice says the reasons, where to complain, and the court (GDPR Art. 12(4)).

        ``notice`` is what the person was told already; without it the pack's words are used, sent to the contact where there is one, and
        returned under ``refusals`` for whoever has to send them.

        Raises:
            BadInput: no ground, or one that the frozen pack does not list. Conflict: the answer was given, or the work began.
        """
        record = self.record(ident)
        pack = self._law(record)
        refusal = self._refusal(pack, ident, {"asset": None, "ground": body.get("ground"), "reasons": body.get("reasons")})
        told = str(body.get("notice") or "").strip()
        refusal["notice"] = told or self._refused_words(pack, ident, refusal)

        def work(tx: LedgerTx) -> None:
            found = must_find(tx, "erasure", ident, what="erasure request")
            now = self._now(found)
            fields: dict[str, Any] = {"refusals": _stamped([refusal], actor, now)}
            if found.get("contact") and not told:
                fields["notices"] = [*found.get("notices", ()), notice("refused", now)]
            reason = f"{refusal['ground']} ({refusal['article']})" + (f": {refusal['reasons']}" if refusal["reasons"] else "")
            self._move(tx, found, S.REFUSED, actor=actor, kind="refused", reason=reason, fields=fields)

        self._ledger.transact(work)
        self._scopes.remove(ident)
        return self.get(ident)

    def withdraw(self, ident: str, body: Mapping[str, Any], *, actor: str) -> dict[str, Any]:
        """The person withdraws, before the first destructive step; an approval already given ends, and its suppression with it."""

        def work(tx: LedgerTx) -> None:
            found = must_find(tx, "erasure", ident, what="erasure request")
            ref = found["suppression_ref"]
            set_, drop = {}, []
            if found.get("approved") and ref:
                others = [
                    one
                    for one in bodies(tx, "erasure")
                    if one["id"] != ident
                    and one["suppression_ref"] == ref
                    and one.get("approved")
                    and one["state"] != S.WITHDRAWN
                    and not lifted(one)
                ]
                if others:
                    keeper = max(others, key=lambda one: one["approved"]["at"])
                    set_ = {("suppression", ref): {"ref": ref, "request": keeper["id"], "at": keeper["approved"]["at"]}}
                else:
                    drop = [("suppression", ref)]
            reason = str(body.get("reason") or "withdrawn")
            self._move(tx, found, S.WITHDRAWN, actor=actor, kind="withdrawn", reason=reason, beside=set_, drop=drop)

        self._ledger.transact(work)
        self._scopes.remove(ident)
        return self.get(ident)

    def extend(self, ident: str, body: Mapping[str, Any], *, actor: str) -> dict[str, Any]:
        """The deadline moves once, before it has passed, with a reason that the person is told.

        Raises:
            BadInput: no reason, or the law knows no extension. Conflict: answered, extended already, or overdue.
        """
        reason = str(body.get("reason") or "").strip()
        if not reason:
            raise BadInput("an extension needs the reason that the subject was told", hint=f"govern erasure extend {ident} --reason …")

        def work(tx: LedgerTx) -> None:
            record = must_find(tx, "erasure", ident, what="erasure request")
            pack = self._law(record)
            if record["state"] in CLOSED:
                raise Conflict(f"erasure request {ident} is {record['state']}: there is nothing to extend")
            if record.get("extended"):
                raise Conflict(f"erasure request {ident} was extended already")
            if pack.rules["answer"].extension is None:
                raise BadInput(f"{pack.id} knows no extension ({pack.rules['answer'].source})")
            now = self._now(record)
            clock = clock_of(pack, "answer", record, now)
            if clock.late:
                raise Conflict(
                    f"erasure request {ident} was due on {clock.due_day}: a deadline that has passed cannot be extended",
                    hint="answer it; the certificate says that it was late",
                )
            fields: dict[str, Any] = {"extended": {"at": now, "by": actor, "reason": reason, "due_before": clock.due_at}}
            fields["due_at"] = clock_of(pack, "answer", record | fields, now).due_at
            if record.get("contact"):
                fields["notices"] = [*record.get("notices", ()), notice("extended", now)]
            self._note(tx, record, actor=actor, kind="extended", reason=f"extended: {reason}", fields=fields)

        self._ledger.transact(work)
        return self.get(ident)

    def decide(self, ident: str, body: Mapping[str, Any], *, actor: str) -> dict[str, Any]:
        """A human decides after a successor failed its gate, or runs a failed request again.

        ``keep``: the predecessor stays, and the certificate says so. ``withdraw``: it is taken out of service and destroyed.
        ``retry``: the work is done again. ``release``: the gate is asked again and the successor released only if it passes.
        """
        action = body.get("action")
        if action not in ("keep", "withdraw", "release", "retry"):
            raise BadInput("action must be keep, withdraw, release or retry", hint=f"govern erasure decide {ident} withdraw")
        record = self.record(ident)
        again = record["round"] + 1
        if action == "retry":
            # What was never approved had nothing to destroy: it is looked at again, and no more.
            state = S.QUEUED if record.get("approved") else S.VERIFYING
            reason = said("tried again", body.get("reason"))
            # An asset that waits for a decision is worked on anew: a training that had failed may succeed today.
            assets = [item | {"status": "failed"} if item["status"] == "awaiting_decision" else item for item in record["assets"]]
            fields = {"round": again, "error": None, "assets": assets}
            self.change(ident, state, actor=actor, kind="decided", reason=reason, fields=fields)
        else:
            if record["state"] != S.AWAITING_DECISION:
                raise Conflict(f"erasure request {ident} is {record['state']} and awaits no decision", hint=f"govern erasure show {ident}")
            assets = [
                item | {"detail": item["detail"] | {"decision": action, "decided_by": actor}}
                if item["status"] == "awaiting_decision"
                else item
                for item in record["assets"]
            ]
            fields = {"assets": assets, "round": again}
            self.change(ident, S.QUEUED, actor=actor, kind="decided", reason=said(f"decision: {action}", body.get("reason")), fields=fields)
        self._enqueue(ident, again)
        return self.get(ident)

    # ── words ───────────────────────────────────────────────────────────────────────────────────
    @staticmethod
    def _refusal(pack: Pack, ident: str, item: Mapping[str, Any]) -> dict[str, Any]:
        ground = str(item.get("ground") or "").strip()
        if not ground:
            raise BadInput("a refusal needs its ground", hint=f"govern erasure refuse {ident} --ground …")
        law = pack.grounds.get(ground)
        if law is None:
            known = ", ".join(pack.grounds)
            raise BadInput(
                f"{pack.id} version {pack.version} lists no ground {ground[:80]!r}; there are {known}", hint="govern erasure packs"
            )
        reasons = str(item.get("reasons") or "").strip()
        return {"asset": item.get("asset"), "ground": ground, "article": law.article, "says": law.says, "reasons": reasons or None}

    @staticmethod
    def _refused_words(pack: Pack, ident: str, refusal: Mapping[str, Any]) -> str:
        return pack.notice(
            "refused", request=ident, ground=refusal["says"], article=refusal["article"], reasons=refusal["reasons"] or ""
        ).strip()


def _stamped(refusals: Sequence[Mapping[str, Any]], actor: str, now: int) -> list[dict[str, Any]]:
    return [{**refusal, "by": actor, "at": now} for refusal in refusals]


def _retained(record: Mapping[str, Any], refusals: Sequence[Mapping[str, Any]], actor: str) -> list[dict[str, Any]]:
    """The assets, the refused ones retained; ``NotFound`` for one the request has not, ``BadInput`` where none is left to erase."""
    ground = {str(refusal["asset"]): refusal for refusal in refusals}
    deciding = {item["id"]: item for item in record["assets"] if item["action"] not in ("none", "retain") and item["kind"] not in _KEEP}
    for asset in ground:
        if asset not in deciding:
            raise NotFound(f"request {record['id']} has nothing to erase named {asset!r}", hint=f"govern erasure show {record['id']}")
    if len(ground) == len(deciding):
        raise BadInput("every asset is refused: then the request is refused", hint=f"govern erasure refuse {record['id']} --ground …")
    return [_kept(item, ground[item["id"]], actor) if item["id"] in ground else item for item in record["assets"]]


def _kept(item: Mapping[str, Any], refusal: Mapping[str, Any], actor: str) -> dict[str, Any]:
    reason = f"retained: {refusal['says']} ({refusal['article']})"
    detail = {"retained": {"ground": refusal["ground"], "article": refusal["article"], "by": actor}}
    return {**item, "action": "retain", "status": "retained", "reason": reason, "detail": {**item["detail"], **detail}}
