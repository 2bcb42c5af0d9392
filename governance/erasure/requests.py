"""The erasure service: each door of a request's life, each one a state change in the ledger with its actor and reason."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from governance.erasure.clocks import RULES, due, extended
from governance.erasure.scope import ScopeFiles, Searcher
from governance.erasure.states import FINAL, move
from governance.evidence import derived_id, digest_json, new_id
from governance.model import ErasureState as S
from governance.plan import asset_to_json, plan_assets, plan_digest
from governance.registry.acts import SYSTEM, act
from governance.registry.find import bodies, must_find
from lineage.errors import BadInput, Conflict, Forbidden, NotFound
from lineage.ports import Clock, KeyStore, Ledger, LedgerTx
from lineage.rows import canonical_subject, subject_refs

__all__ = ["Erasures"]

_BACKUPS = "Backups of this home are outside what was searched; restoring one must replay the suppression list before it serves"

_OVER = FINAL | {S.COMPLETED_PARTIAL}
"""States in which the answer was given: the clock runs no more."""


class Erasures:
    """Requests of erasure. ``enqueue(request, round)`` starts the durable work; identifiers of persons never leave this class."""

    def __init__(
        self, ledger: Ledger, keys: KeyStore, clock: Clock, searcher: Searcher, scopes: ScopeFiles, *, enqueue: Callable[[str, int], None]
    ) -> None:
        self._ledger = ledger
        self._keys = keys
        self._clock = clock
        self._searcher = searcher
        self._scopes = scopes
        self._enqueue = enqueue

    # ── doors ───────────────────────────────────────────────────────────────────────────────────
    def request(self, body: Mapping[str, Any], *, actor: str, idempotency: str | None = None) -> dict[str, Any]:
        """Receive a request. It triggers nothing before the identity is verified; the identifier is HMACed here and dropped."""
        subject = body.get("subject")
        if not isinstance(subject, Mapping) or not isinstance(subject.get("type"), str) or not isinstance(subject.get("value"), str | int):
            raise BadInput("subject must be {type, value}, e.g. {'type': 'applicant', 'value': '17'}")
        canonical_id = canonical_subject(subject["type"], str(subject["value"]))
        regulation, ground = str(body.get("regulation", "GDPR")), str(body.get("ground", "")).strip()
        now = self._clock.now()
        due_at = due(regulation, now)
        refs = subject_refs(self._keys, canonical_id)
        ident = derived_id("erasure", actor, idempotency) if idempotency else new_id(now)
        record = {
            "id": ident,
            "state": S.IDENTITY_PENDING,
            "regulation": regulation,
            "ground": ground or None,
            "subject_type": subject["type"],
            "subject_refs": refs,
            "suppression_ref": self._keys.hmac("suppression", canonical_id.encode()).hex()[:32],
            "created_at": now,
            "due_at": due_at,
            "clock": RULES[regulation].source,
            "requested_by": actor,
            "history": [
                {"state": S.RECEIVED, "at": now, "actor": actor, "reason": None},
                {"state": S.IDENTITY_PENDING, "at": now, "actor": SYSTEM, "reason": "nothing is done before the identity is verified"},
            ],
            "assets": [],
            "successors": [],
            "backups": _BACKUPS,
            "round": 0,
        }

        def work(tx: LedgerTx) -> dict[str, Any]:
            found = tx.record("erasure", ident)
            if found is not None:
                same = all(found[0][name] == record[name] for name in ("regulation", "ground", "suppression_ref"))
                if not same:
                    raise Conflict("this Idempotency-Key was used for another request", hint="use a new key for new work")
                return dict(found[0])
            tx.append(act("erasure.received", actor=actor, records={("erasure", ident): record}))
            return record

        return self._shown(self._ledger.transact(work))

    def list(self, state: str | None = None) -> dict[str, Any]:
        """Requests, oldest first, optionally of one state."""
        chosen = [body for body in bodies(self._ledger, "erasure") if state is None or body["state"] == state]
        return {"requests": [self._shown(body) for body in sorted(chosen, key=lambda body: body["created_at"])]}

    def get(self, ident: str) -> dict[str, Any]:
        """One request."""
        return self._shown(self.record(ident))

    def record(self, ident: str) -> dict[str, Any]:
        """The control record with its references."""
        return must_find(self._ledger, "erasure", ident, what="erasure request")

    def verify(self, ident: str, body: Mapping[str, Any], *, actor: str) -> dict[str, Any]:
        """The identity is verified; the scope is searched and frozen. Where nothing is found, the certificate says so at once."""
        method = str(body.get("method") or "").strip()
        if not method:
            raise BadInput("say how the identity was verified: method", hint=f"govern erasure verify {ident} --method …")
        if self.record(ident)["state"] == S.SCOPING:  # verified before, and the search could not be ended
            self._scope(ident)
            return self.get(ident)
        verified = {"method": method, "verifier": str(body.get("verifier") or actor), "at": self._clock.now(), "by": actor}
        self.change(
            ident, S.VERIFIED, S.SCOPING, actor=actor, kind="verified", reason=f"identity verified: {method}", fields={"verified": verified}
        )
        self._scope(ident)
        return self.get(ident)

    def _scope(self, ident: str) -> None:
        record = self.record(ident)
        scope, searched = self._searcher.search(record["subject_refs"])
        assets = plan_assets(scope)
        self._scopes.write(ident, searched.pop("scope"))
        plan = {"digest": plan_digest(ident, assets), "assets": [asset_to_json(asset) for asset in assets], "frozen_at": self._clock.now()}
        fields = {"plan": plan, "assets": plan["assets"], "searched": searched}
        if scope.empty:
            self.change(ident, S.VERIFYING, kind="scoped", reason="searched everything; nothing was found", fields=fields | {"round": 1})
            self._enqueue(ident, 1)
        else:
            self.change(
                ident, S.IN_REVIEW, kind="scoped", reason="the scope is frozen and waits for approval by another key", fields=fields
            )

    def approve(self, ident: str, body: Mapping[str, Any], *, actor: str) -> dict[str, Any]:
        """Approved by another key than the requester's: suppressed, queued, and the work starts. ``note`` is kept in the history."""
        record = self.record(ident)
        if record["requested_by"] == actor:
            raise Forbidden(
                "the key that requested an erasure may not approve it", hint="another privacy key approves: govern erasure approve"
            )
        now = self._clock.now()
        suppression = {("suppression", record["suppression_ref"]): {"ref": record["suppression_ref"], "request": ident, "at": now}}
        self.change(
            ident,
            S.APPROVED,
            S.SUPPRESSED,
            S.QUEUED,
            actor=actor,
            kind="approved",
            reason=_said("approved", body.get("note")),
            fields={"approved": {"by": actor, "at": now}, "round": 1},
            beside=suppression,
        )
        self._enqueue(ident, 1)
        return self.get(ident)

    def refuse(self, ident: str, body: Mapping[str, Any], *, actor: str) -> dict[str, Any]:
        """Refused with a ground and the notice that was sent (GDPR Art. 12(4))."""
        ground = str(body.get("ground") or "").strip()
        if not ground:
            raise BadInput("a refusal needs its ground", hint=f"govern erasure refuse {ident} --ground …")
        notice = str(body.get("notice") or "").strip()
        self.change(ident, S.REFUSED, actor=actor, kind="refused", reason=ground + (f"; notice: {notice}" if notice else ""))
        self._scopes.remove(ident)
        return self.get(ident)

    def withdraw(self, ident: str, body: Mapping[str, Any], *, actor: str) -> dict[str, Any]:
        """The subject withdraws, before the first destructive step."""
        self.change(ident, S.WITHDRAWN, actor=actor, kind="withdrawn", reason=str(body.get("reason") or "withdrawn"))
        self._scopes.remove(ident)
        return self.get(ident)

    def extend(self, ident: str, body: Mapping[str, Any], *, actor: str) -> dict[str, Any]:
        """The deadline moves once, with a reason that the subject was told."""
        reason = str(body.get("reason") or "").strip()
        if not reason:
            raise BadInput("an extension needs the reason that the subject was told", hint=f"govern erasure extend {ident} --reason …")

        def work(tx: LedgerTx) -> None:
            record = must_find(tx, "erasure", ident, what="erasure request")
            if record["state"] in _OVER:
                raise Conflict(f"erasure request {ident} is {record['state']}: there is nothing to extend")
            if any(step["reason"] and step["reason"].startswith("extended: ") for step in record["history"]):
                raise Conflict(f"erasure request {ident} was extended already")
            due_at = extended(record["regulation"], record["due_at"])
            step = {"state": record["state"], "at": self._clock.now(), "actor": actor, "reason": f"extended: {reason}"}
            changed = record | {"due_at": due_at, "history": [*record["history"], step]}
            tx.append(act("erasure.extended", actor=actor, records={("erasure", ident): changed}))

        self._ledger.transact(work)
        return self.get(ident)

    def hold(self, ident: str, body: Mapping[str, Any], *, actor: str) -> dict[str, Any]:
        """Hold one asset of the request, with ground and review date; never a person."""
        asset, ground = str(body.get("asset") or ""), str(body.get("ground") or "").strip()
        record = self.record(ident)
        if asset not in {item["id"] for item in record["assets"]}:
            raise NotFound(f"request {ident} has no asset {asset!r}", hint=f"govern erasure show {ident}")
        if not ground:
            raise BadInput("a hold needs its ground", hint=f"govern erasure hold {ident} {asset} --ground …")
        if record["state"] in FINAL or any(item["id"] == asset and item["status"] in ("done", "purged") for item in record["assets"]):
            raise Conflict(f"{asset} cannot be held: request {ident} has dealt with it", hint=f"govern erasure show {ident}")
        now = self._clock.now()
        hold_id = derived_id("hold", ident, asset)
        hold = {
            "id": hold_id,
            "asset": asset,
            "ground": ground,
            "incident": None,
            "since": now,
            "review_at": body.get("review_at"),
            "released_at": None,
        }
        self._ledger.append([act("hold.set", actor=actor, records={("hold", hold_id): hold})])
        self.note(ident, actor=actor, kind="held", reason=f"{asset} is held: {ground}")
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
            reason = _said("tried again", body.get("reason"))
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
            self.change(
                ident, S.QUEUED, actor=actor, kind="decided", reason=_said(f"decision: {action}", body.get("reason")), fields=fields
            )
        self._enqueue(ident, again)
        return self.get(ident)

    def resume(self) -> None:
        """After a crash: scope what was verified, and start the work of what is queued or under way; what was started is not again."""
        for record in bodies(self._ledger, "erasure"):
            if record["state"] == S.SCOPING:
                self._scope(record["id"])
            elif record["state"] in (S.QUEUED, S.EXECUTING, S.VERIFYING):
                self._enqueue(record["id"], record["round"])

    def resume_released(self, assets: Sequence[str]) -> Sequence[str]:
        """Queue again the requests whose held assets are free now; returns their ids."""
        resumed = []
        for record in bodies(self._ledger, "erasure"):
            waiting = [item for item in record["assets"] if item["status"] == "held"]
            if any(_was_held_by(item, assets) for item in waiting) and record["state"] == S.COMPLETED_PARTIAL:
                again = record["round"] + 1
                self.change(record["id"], S.QUEUED, kind="resumed", reason="a hold was released", fields={"round": again})
                self._enqueue(record["id"], again)
                resumed.append(record["id"])
        return resumed

    # ── changes ─────────────────────────────────────────────────────────────────────────────────
    def change(
        self,
        ident: str,
        *path: S,
        actor: str = SYSTEM,
        kind: str,
        reason: str | None = None,
        fields: Mapping[str, Any] | None = None,
        beside: Mapping[tuple[str, str], Mapping[str, Any]] | None = None,
        identity: str | None = None,
    ) -> dict[str, Any]:
        """Move the request along ``path`` in one transaction with its other fields."""

        def work(tx: LedgerTx) -> dict[str, Any]:
            body = must_find(tx, "erasure", ident, what="erasure request")
            now = self._clock.now()
            states = move(ident, body["state"], *path)
            steps = [
                {"state": state, "at": now, "actor": actor, "reason": reason if position == len(states) - 1 else None}
                for position, state in enumerate(states)
            ]
            body = body | dict(fields or {}) | {"state": states[-1], "history": body["history"] + steps}
            tx.append(act(f"erasure.{kind}", actor=actor, records={("erasure", ident): body, **(beside or {})}, identity=identity))
            return body

        return self._ledger.transact(work)

    def note(self, ident: str, *, actor: str = SYSTEM, kind: str, reason: str | None, fields: Mapping[str, Any] | None = None) -> None:
        """Change fields without a change of state; the history says who and why."""

        def work(tx: LedgerTx) -> None:
            body = must_find(tx, "erasure", ident, what="erasure request")
            step = {"state": body["state"], "at": self._clock.now(), "actor": actor, "reason": reason}
            history = body["history"] if reason is None else [*body["history"], step]
            body = body | dict(fields or {}) | {"history": history}
            tx.append(act(f"erasure.{kind}", actor=actor, records={("erasure", ident): body}))

        self._ledger.transact(work)

    def set_asset(self, ident: str, asset: str, **fields: Any) -> None:
        """Update one asset of the request: status, level, reason, detail (merged)."""

        def work(tx: LedgerTx) -> None:
            body = must_find(tx, "erasure", ident, what="erasure request")
            assets = []
            for item in body["assets"]:
                if item["id"] == asset:
                    detail = item["detail"] | dict(fields.get("detail", {}))
                    item = item | fields | {"detail": detail}  # noqa: PLW2901 - the changed item takes its place
                assets.append(item)
            if assets != body["assets"]:
                tx.append(act("erasure.asset", actor=SYSTEM, records={("erasure", ident): body | {"assets": assets}}))

        self._ledger.transact(work)

    def held(self) -> dict[str, dict[str, Any]]:
        """Assets under a hold now: asset → hold."""
        return {hold["asset"]: hold for hold in bodies(self._ledger, "hold") if hold["released_at"] is None}

    def _shown(self, body: Mapping[str, Any]) -> dict[str, Any]:
        shown = {name: value for name, value in body.items() if name not in ("subject_refs", "suppression_ref")}
        tasks = [item for item in shown["assets"] if item["action"] not in ("none", "retain")]
        done = sum(item["status"] in ("done", "held") for item in tasks)
        pinned = digest_json({"refs": body["subject_refs"]})
        return shown | {"progress": {"done": done, "total": len(tasks), "what": body["state"]}, "subject": pinned[:19]}


def _said(what: str, why: object) -> str:
    """What the history keeps: what was done, and the words that came with it."""
    words = str(why or "").strip()
    return f"{what}: {words}" if words else what


def _was_held_by(item: Mapping[str, Any], assets: Sequence[str]) -> bool:
    """Whether one of the assets whose hold ended is what this asset of a request waits for."""
    if item["kind"] in ("predictions", "regression_case"):
        return any(asset.startswith("prediction:") for asset in assets) or item["id"] in assets
    return (
        item["id"] in assets
        or item["id"].split("@", maxsplit=1)[0] in assets
        or any(asset in assets for asset in item["detail"].get("waits_for", ()))
    )
