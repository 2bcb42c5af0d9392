"""The record of an erasure request: read, moved along its states, changed; each change one ledger entry with its actor and reason."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from governance.erasure.clocks import clock_of, clocks_of
from governance.erasure.order_pack import order_pack
from governance.erasure.packs import Packs
from governance.erasure.scope import ScopeFiles, Searcher
from governance.erasure.states import CLOSED, move, require
from governance.evidence import digest_json
from governance.model import ErasureState as S
from governance.registry import fence
from governance.registry.acts import SYSTEM, act
from governance.registry.find import bodies, must_find
from lineage.ports import Clock, KeyStore, Ledger, LedgerTx

if TYPE_CHECKING:
    from governance.erasure.contacts import Contacts
    from governance.erasure.law import Pack
    from governance.ports import IdentityClaims, Notifier

__all__ = ["Records", "said"]

_HIDDEN = frozenset({"subject_refs", "epochs", "suppression_ref", "challenge"})
"""What of a record is not shown: the keyed references, and what a one-time code is compared with."""


class Records:
    """What the doors of a request share: the ledger, its keys, the clock, and the one way in which a record changes.

    ``enqueue(request, round)`` starts the durable work. ``notifier``, ``contacts`` and ``claims`` may be missing: what needs them says so.
    ``draw(n)`` is a uniform number below n.
    """

    def __init__(
        self,
        ledger: Ledger,
        keys: KeyStore,
        clock: Clock,
        searcher: Searcher,
        scopes: ScopeFiles,
        *,
        enqueue: Callable[[str, int], None],
        packs: Packs | None = None,
        contacts: Contacts | None = None,
        notifier: Notifier | None = None,
        claims: IdentityClaims | None = None,
        draw: Callable[[int], int] = secrets.randbelow,
    ) -> None:
        self._ledger = ledger
        self._keys = keys
        self._clock = clock
        self._searcher = searcher
        self._scopes = scopes
        self._enqueue = enqueue
        self._packs = packs or Packs()
        self._contacts = contacts
        self._notifier = notifier
        self._claims = claims
        self._draw = draw

    # ── reading ─────────────────────────────────────────────────────────────────────────────────
    def list(self, state: str | None = None) -> dict[str, Any]:
        """Requests, oldest first, optionally of one state."""
        chosen = [body for body in bodies(self._ledger, "erasure") if state is None or body["state"] == state]
        return {"requests": [self._shown(body) for body in sorted(chosen, key=lambda body: body["created_at"])]}

    def get(self, ident: str) -> dict[str, Any]:
        """One request, with its clocks as they stand now."""
        body = self.record(ident)
        clocks = [dataclasses.asdict(clock) for clock in clocks_of(self._law(body), body, self._now(body))]
        return self._shown(body) | {"clocks": clocks}

    def record(self, ident: str) -> dict[str, Any]:
        """The control record with its references."""
        return must_find(self._ledger, "erasure", ident, what="erasure request")

    def held(self) -> dict[str, dict[str, Any]]:
        """Assets under a hold now: asset → hold."""
        return {hold["asset"]: hold for hold in bodies(self._ledger, "hold") if hold["released_at"] is None}

    def located(self, ident: str) -> Mapping[str, Sequence[int]]:
        """Dataset → the rows of the request's person that the index knows now, whatever their references became meanwhile."""
        return self._searcher.located(ident)

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
        """Move the request along ``path`` in one transaction with its other fields.

        Raises:
            NotFound: no such request. Conflict: the table has no such way, or a step's need is not met.
            Superseded: another process took over the work in whose name this is done.
        """
        guard = fence.guard()

        def work(tx: LedgerTx) -> dict[str, Any]:
            guard(tx)
            body = must_find(tx, "erasure", ident, what="erasure request")
            return self._move(tx, body, *path, actor=actor, kind=kind, reason=reason, fields=fields, beside=beside, identity=identity)

        return self._ledger.transact(work)

    def _move(
        self,
        tx: LedgerTx,
        body: Mapping[str, Any],
        *path: S,
        actor: str,
        kind: str,
        reason: str | None,
        fields: Mapping[str, Any] | None = None,
        beside: Mapping[tuple[str, str], Mapping[str, Any]] | None = None,
        drop: Sequence[tuple[str, str]] = (),
        identity: str | None = None,
    ) -> dict[str, Any]:
        """:meth:`change` inside a transaction that has read more."""
        ident, now = body["id"], self._now(body)
        states = move(ident, body["state"], *path)
        changed: dict[str, Any] = {**body, **(fields or {})}
        require(ident, body["state"], states, changed)
        spans = changed.get("suspensions") or []
        if S.VERIFIED in states and any(span["until"] is None for span in spans):  # the clock runs again
            changed["suspensions"] = [span | {"until": now} if span["until"] is None else span for span in spans]
            changed["due_at"] = clock_of(self._law(changed), "answer", changed, now).due_at
        if S.EXECUTING in states:
            changed["begun_at"] = changed.get("begun_at") or now
        if states[-1] in CLOSED:
            changed["answered_at"] = changed.get("answered_at") or now
        steps = [
            {"state": state, "at": now, "actor": actor, "reason": reason if position == len(states) - 1 else None}
            for position, state in enumerate(states)
        ]
        changed |= {"state": states[-1], "history": body["history"] + steps}
        tx.append(
            act(f"erasure.{kind}", actor=actor, records={("erasure", ident): changed, **(beside or {})}, drop=drop, identity=identity)
        )
        return changed

    def note(self, ident: str, *, actor: str = SYSTEM, kind: str, reason: str | None, fields: Mapping[str, Any] | None = None) -> None:
        """Change fields without a change of state; the history says who and why."""
        guard = fence.guard()

        def work(tx: LedgerTx) -> None:
            guard(tx)
            body = must_find(tx, "erasure", ident, what="erasure request")
            self._note(tx, body, actor=actor, kind=kind, reason=reason, fields=fields)

        self._ledger.transact(work)

    def _note(
        self,
        tx: LedgerTx,
        body: Mapping[str, Any],
        *,
        actor: str = SYSTEM,
        kind: str,
        reason: str | None = None,
        fields: Mapping[str, Any] | None = None,
        beside: Mapping[tuple[str, str], Mapping[str, Any]] | None = None,
        detail: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """:meth:`note` inside a transaction that has read more."""
        step = {"state": body["state"], "at": self._now(body), "actor": actor, "reason": reason}
        history = body["history"] if reason is None else [*body["history"], step]
        changed = {**body, **(fields or {}), "history": history}
        tx.append(act(f"erasure.{kind}", actor=actor, records={("erasure", body["id"]): changed, **(beside or {})}, detail=detail))
        return changed

    def set_asset(self, ident: str, asset: str, **fields: Any) -> None:
        """Update one asset of the request: status, level, reason, detail (merged)."""
        guard = fence.guard()

        def work(tx: LedgerTx) -> None:
            guard(tx)
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

    def entries(self) -> int:
        """How many entries the ledger has: who is later than what."""
        return self._ledger.size()

    def terms(self, ident: str) -> dict[str, Any] | None:
        """The rules of the law pack that the request froze; ``None`` for a request of before there were packs."""
        body = self.record(ident)
        return self._law(body).terms() if "law" in body else None

    # ── shared by the parts ─────────────────────────────────────────────────────────────────────
    def _law(self, body: Mapping[str, Any]) -> Pack:
        """The pack that the request froze; a request of before there were packs rests on the first version of its regulation."""
        if body.get("order"):
            return order_pack()
        if "law" not in body:
            return next(pack for pack in self._packs.all() if (pack.id, pack.version) == (body["regulation"], 1))
        return self._packs.frozen(body["law"])

    def _now(self, body: Mapping[str, Any]) -> int:
        """The time, never before the last thing that was told of the request: a clock that was set back opens nothing again."""
        told = [body["history"][-1]["at"]] if body.get("history") else []
        challenge = body.get("challenge") or {}
        return int(max(self._clock.now(), *told, challenge.get("touched_at", 0)))

    def _shown(self, body: Mapping[str, Any]) -> dict[str, Any]:
        shown = {name: value for name, value in body.items() if name not in _HIDDEN}
        tasks = [item for item in shown["assets"] if item["action"] not in ("none", "retain")]
        done = sum(item["status"] in ("done", "held", "attested") for item in tasks)
        pinned = digest_json({"refs": body["subject_refs"]})
        asked = body.get("challenge")
        if asked:
            shown["challenge"] = {name: value for name, value in asked.items() if name != "tag"}
        return shown | {"progress": {"done": done, "total": len(tasks), "what": body["state"]}, "subject": pinned[:19]}


def said(what: str, why: object) -> str:
    """What the history keeps: what was done, and the words that came with it."""
    words = str(why or "").strip()
    return f"{what}: {words}" if words else what
