"""Who asks: by a one-time code, by a claim of an OpenID Provider, or by someone who attests it. Then the scope is searched and frozen.

Before this a request triggers nothing and is joined with no other. What is asked of the person (:meth:`Identity.challenge`) stops the
clock where the law pack says so; what answers it starts the clock again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from governance.erasure import codes
from governance.erasure.clocks import SECOND
from governance.erasure.codes import Outcome
from governance.erasure.contacts import code_tag
from governance.erasure.intake import WINDOW, recent
from governance.erasure.records import Records
from governance.errors import NotVerified, TooMany
from governance.model import ErasureState as S
from governance.plan import plan, plan_to_json
from governance.registry.acts import SYSTEM, act
from governance.registry.find import bodies, must_find
from lineage.errors import BadInput, Conflict, GovernError
from lineage.ports import LedgerTx
from lineage.rows import canonical_subject, subject_refs

__all__ = ["Identity"]

_METHODS = ("code", "oidc", "ask")


class Identity(Records):
    """The doors of identity: ``challenge`` asks, ``verify`` takes the answer."""

    def challenge(self, ident: str, body: Mapping[str, Any], *, actor: str) -> dict[str, Any]:
        """Ask the person to show who they are; the answer has ``challenge`` with the nonce and until when it is good.

        ``method``: ``code`` sends a one-time code to the contact; ``oidc`` gives the nonce with which the login must begin; ``ask`` records
        that another proof was asked for (``note`` says which). Where the pack suspends the clock, it stands still from now.

        Raises:
            BadInput: no such method. Conflict: not waiting for identity, no contact, or this way is not set up here.
            TooMany: the limit of codes per person and day. StoreUnavailable: the message could not be handed over; nothing is suspended.
        """
        method = body.get("method")
        if method not in _METHODS:
            raise BadInput(f"method must be one of {', '.join(_METHODS)}", hint=f"govern erasure challenge {ident} --method code")
        record = self.record(ident)
        self._waiting(record)
        contact = self._reachable(record) if method == "code" else None
        if method == "oidc" and self._claims is None:
            raise Conflict(
                "no OpenID Provider is set up here", hint="GOVERN_OIDC_ISSUER, GOVERN_OIDC_AUDIENCE and GOVERN_OIDC_JWKS name one"
            )
        note = str(body.get("note") or "").strip()
        if method == "ask" and not note:
            raise BadInput("say what was asked of the person: note", hint=f"govern erasure challenge {ident} --method ask --note …")
        nonce = codes.new_nonce(self._draw)
        if contact is not None:
            self._count_code(record)
            code = codes.new_code(self._draw)
            self._send_code(record, contact, code)
            tag: str | None = code_tag(self._keys, ident, nonce, code)
        else:
            tag = None

        def work(tx: LedgerTx) -> None:
            found = must_find(tx, "erasure", ident, what="erasure request")
            self._waiting(found)
            now = self._now(found)
            fields: dict[str, Any] = {"challenge": codes.asked(method=method, nonce=nonce, now=now, tag=tag)}
            spans = found.get("suspensions") or []
            if self._law(found).rules["answer"].suspended_while and not any(span["until"] is None for span in spans):
                fields["suspensions"] = [*spans, {"since": now, "until": None, "why": f"identity asked for: {method}"}]
            reason = f"identity asked for: {note or {'code': 'a one-time code', 'oidc': 'a login'}[method]}"
            self._note(tx, found, actor=actor, kind="identity-asked", reason=reason, fields=fields)

        self._ledger.transact(work)
        return self.get(ident)

    def verify(self, ident: str, body: Mapping[str, Any], *, actor: str) -> dict[str, Any]:
        """The identity is shown; the scope is searched and frozen. Where nothing is found, the certificate says so at once.

        ``code``: the one-time code. ``id_token``: the provider's token. Else ``method`` says how someone (``verifier``) checked it.

        Raises:
            BadInput: none of the three. NotVerified: the code is wrong or its time is over, or the token does not show it.
            Conflict: the request does not wait for identity.
        """
        if self.record(ident)["state"] == S.SCOPING:  # verified before, and the search could not be ended
            self._scope(ident)
            return self.get(ident)
        if body.get("code") is not None:
            self._by_code(ident, str(body["code"]).replace(" ", ""), actor)
        elif body.get("id_token") is not None:
            self._by_claim(ident, str(body["id_token"]), actor)
        else:
            method = str(body.get("method") or "").strip()
            if not method:
                raise BadInput("say how the identity was verified: method", hint=f"govern erasure verify {ident} --method …")
            self._verified(ident, actor, method=method, verifier=str(body.get("verifier") or actor))
        self._scope(ident)
        return self.get(ident)

    # ── the three ways ──────────────────────────────────────────────────────────────────────────
    def _verified(self, ident: str, actor: str, *, method: str, verifier: str) -> None:
        def work(tx: LedgerTx) -> None:
            self._enter_verified(tx, must_find(tx, "erasure", ident, what="erasure request"), actor, method=method, verifier=verifier)

        self._ledger.transact(work)

    def _enter_verified(self, tx: LedgerTx, body: Mapping[str, Any], actor: str, *, method: str, verifier: str) -> None:
        now = self._now(body)
        fields: dict[str, Any] = {"verified": {"method": method, "verifier": verifier, "at": now, "by": actor}, "challenge": None}
        rate = recent(tx, body["suppression_ref"], now)
        rate["requests"] = [at for at in rate["requests"] if at != body["created_at"]]
        beside = {("rate", body["suppression_ref"]): rate}
        reason = f"identity verified: {method}"
        self._move(tx, body, S.VERIFIED, S.SCOPING, actor=actor, kind="verified", reason=reason, fields=fields, beside=beside)

    def _by_code(self, ident: str, code: str, actor: str) -> None:
        def work(tx: LedgerTx) -> tuple[Outcome, int]:
            body = must_find(tx, "erasure", ident, what="erasure request")
            self._waiting(body)
            asked = body.get("challenge")
            tag = code_tag(self._keys, ident, asked["nonce"], code) if asked and asked["method"] == "code" else ""
            outcome, after = codes.attempted(asked, "code", self._now(body), tag)
            if outcome is Outcome.RIGHT:
                channel = (body.get("contact") or {}).get("channel", "contact")
                self._enter_verified(tx, body, actor, method=f"one-time code by {channel}", verifier="the contact given with the request")
            elif after is not None:
                self._note(
                    tx, body, actor=actor, kind="identity-failed", reason=f"code not accepted: {outcome}", fields={"challenge": after}
                )
            return outcome, codes.ATTEMPTS - (after or {}).get("attempts", 0)

        outcome, left = self._ledger.transact(work)  # a wrong attempt is durable before it is told
        if outcome is not Outcome.RIGHT:
            raise _refused(ident, outcome, left)

    def _by_claim(self, ident: str, token: str, actor: str) -> None:
        if self._claims is None:
            raise Conflict(
                "no OpenID Provider is set up here", hint="GOVERN_OIDC_ISSUER, GOVERN_OIDC_AUDIENCE and GOVERN_OIDC_JWKS name one"
            )

        def count(tx: LedgerTx) -> tuple[Outcome, dict[str, Any]]:
            body = must_find(tx, "erasure", ident, what="erasure request")
            self._waiting(body)
            outcome, after = codes.attempted(body.get("challenge"), "oidc", self._now(body))
            return outcome, self._note(tx, body, kind="identity-tried", fields={"challenge": after}) if after else body

        outcome, body = self._ledger.transact(count)
        if outcome is not Outcome.RIGHT:
            raise _refused(ident, outcome, 0)
        try:
            value = self._claims.verify(token, nonce=body["challenge"]["nonce"], now=self._now(body))
            shown = set(subject_refs(self._keys, canonical_subject(body["subject_type"], value)))
            if not shown & set(body["subject_refs"]):
                raise NotVerified(f"the claim {self._claims.claim} names another person than the request")
        except GovernError as error:
            self.note(ident, actor=actor, kind="identity-failed", reason=f"token not accepted: {error.message}")
            raise
        method = f"OpenID claim {self._claims.claim} of {self._claims.issuer}"
        self._verified(ident, actor, method=method, verifier=self._claims.issuer)

    # ── asking ──────────────────────────────────────────────────────────────────────────────────
    @staticmethod
    def _waiting(body: Mapping[str, Any]) -> None:
        if body["state"] != S.IDENTITY_PENDING:
            raise Conflict(
                f"erasure request {body['id']} is {body['state']} and waits for no proof of identity",
                hint=f"govern erasure show {body['id']}",
            )

    def _reachable(self, record: Mapping[str, Any]) -> dict[str, str]:
        """The contact of the request; of a person named by an e-mail address, only that address shows who they are."""
        ident = record["id"]
        if self._notifier is None:
            raise Conflict("no way to send messages is set up here", hint="GOVERN_SMTP_URL names a mail server; GOVERN_SPOOL a folder")
        if self._contacts is None or not record.get("contact"):
            raise Conflict(f"erasure request {ident} has no contact to send a code to", hint=f"govern erasure verify {ident} --method …")
        contact = self._contacts.read(ident)
        if record["subject_type"] == "email":
            named = set(subject_refs(self._keys, canonical_subject("email", contact["address"])))
            if not named & set(record["subject_refs"]):
                raise Conflict(
                    f"the contact of erasure request {ident} is another address than the one it is about: a code would prove nothing",
                    hint=f"govern erasure verify {ident} --method …",
                )
        return contact

    def _count_code(self, record: Mapping[str, Any]) -> None:
        """Count a code before it is sent; ``TooMany`` beyond the limit of a day."""

        def work(tx: LedgerTx) -> None:
            now = self._clock.now()
            rate = recent(tx, record["suppression_ref"], now)
            if len(rate["codes"]) >= codes.MOST_CODES:
                raise TooMany(
                    f"{codes.MOST_CODES} codes were sent about this person within a day",
                    retry_after=(rate["codes"][0] + WINDOW - now) // SECOND + 1,
                    hint=f"wait, or verify by another way: govern erasure verify {record['id']} --method …",
                )
            rate["codes"].append(now)
            tx.append(act("erasure.code-counted", actor=SYSTEM, records={("rate", record["suppression_ref"]): rate}))

        self._ledger.transact(work)

    def _send_code(self, record: Mapping[str, Any], contact: Mapping[str, str], code: str) -> None:
        assert self._notifier is not None
        minutes = codes.LIFETIME // (60 * SECOND)
        text = (
            f"Your code for the request {record['id']} is {code[:4]} {code[4:]}.\n\n"
            f"It is good for {minutes} minutes. Whoever has it can show that the request is yours: give it to nobody who calls or writes "
            "to you for it.\nIf you did not make this request, do nothing: nothing is erased without the code.\n"
        )
        self._notifier.send(address=contact["address"], subject="Your code", text=text, reference=record["id"])

    # ── what follows ────────────────────────────────────────────────────────────────────────────
    def _scope(self, ident: str) -> None:
        record = self.record(ident)
        scope, searched = self._searcher.search_for(record)
        planned = plan_to_json(plan(ident, scope))
        self._scopes.write(ident, searched.pop("scope"))
        fields = {"plan": planned | {"frozen_at": self._clock.now()}, "assets": planned["assets"], "searched": searched}
        if scope.empty:
            self.change(ident, S.VERIFYING, kind="scoped", reason="searched everything; nothing was found", fields=fields | {"round": 1})
            self._enqueue(ident, 1)
        else:
            self.change(
                ident, S.IN_REVIEW, kind="scoped", reason="the scope is frozen and waits for approval by another key", fields=fields
            )

    def resume(self) -> None:
        """After a crash: scope what was verified, and start the work of what is queued or under way; what was started is not again."""
        known = bodies(self._ledger, "erasure")
        if self._contacts is not None:
            for stray in self._contacts.strays({record["id"] for record in known}):
                self._contacts.shred(stray)
        for record in known:
            if record["state"] == S.SCOPING:
                self._scope(record["id"])
            elif record["state"] in (S.QUEUED, S.EXECUTING, S.VERIFYING):
                self._enqueue(record["id"], record["round"])


def _refused(ident: str, outcome: Outcome, left: int) -> NotVerified:
    again = f"govern erasure challenge {ident} --method code"
    if outcome is Outcome.WRONG:
        return NotVerified(
            f"the code is not right; {left} attempt(s) are left", hint=again if left == 0 else f"govern erasure verify {ident} --code -"
        )
    words = {
        Outcome.NONE: "no such proof was asked of this request",
        Outcome.EXPIRED: "its 15 minutes are over",
        Outcome.EXHAUSTED: "it was tried too often",
    }
    return NotVerified(f"the identity is not shown: {words[outcome]}", hint=again)
