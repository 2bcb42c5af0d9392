"""A suppression is lifted: a person whose erasure was done comes back, and what they give from now on is taken in like anybody's.

Four eyes and a ground: one key asks, with a ground of the law pack and how the person showed that they want it; another approves. Nothing
that was erased comes back by it: the proofs, the commitments of the erased rows and the list that a restore replays stay, and what a backup
of before the lift holds of the person is erased there (:mod:`governance.erasure.replay`).

Refused while an erasure of the person is under way, whichever of their requests it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from governance.erasure.records import Records
from governance.erasure.states import FINAL
from governance.model import ErasureState as S
from governance.registry.acts import act
from governance.registry.find import bodies, must_find
from lineage.errors import BadInput, Conflict, Forbidden
from lineage.ports import LedgerTx

if TYPE_CHECKING:
    from governance.erasure.law import Pack

__all__ = ["Lifting", "lifted"]

_NOBODY_YET = (S.RECEIVED, S.IDENTITY_PENDING)
"""States in which nobody has shown yet that they are the person: such a request of a stranger must not stand in the way."""


def lifted(body: Mapping[str, Any]) -> bool:
    """Whether the suppression that a request set was lifted."""
    return bool((body.get("lift") or {}).get("approved"))


class Lifting(Records):
    """The two doors."""

    def lift(self, ident: str, body: Mapping[str, Any], *, actor: str) -> dict[str, Any]:
        """Ask for it; again replaces what was asked before.

        Args:
            ident: the request under which the person was erased.
            body: ``ground``, one of the law pack's ``lifts``; ``reasons``, how the person showed that they want it; names nobody.
            actor: who asks.

        Raises:
            BadInput: no such ground, or no reasons. Conflict: the erasure is not over, nobody is suppressed by it, or another request
                about the person is under way. NotFound: no such request.
        """
        ground = self._lift_ground(self._lift_pack(ident), ident, body)

        def work(tx: LedgerTx) -> None:
            found = self._liftable(tx, ident)
            asked = {**ground, "asked": {"by": actor, "at": self._now(found)}, "approved": None}
            tx.append(act("erasure.lift-asked", actor=actor, records={("erasure", ident): found | {"lift": asked}}))

        self._ledger.transact(work)
        return self.get(ident)

    def lift_approve(self, ident: str, body: Mapping[str, Any], *, actor: str) -> dict[str, Any]:
        """Approved by another key: the person stands on the suppression list no more; ``note`` is kept beside it.

        Raises:
            Forbidden: the key that asked. Conflict: nobody asked, or as :meth:`lift`.
        """

        def work(tx: LedgerTx) -> None:
            found = self._liftable(tx, ident)
            lift = found.get("lift")
            if not lift:
                raise Conflict(
                    f"nobody asked to lift the suppression of request {ident}", hint=f"govern erasure lift {ident} --ground … --reasons …"
                )
            if lift["asked"]["by"] == actor:
                raise Forbidden(
                    "the key that asked to lift a suppression may not approve it",
                    hint=f"another privacy key approves: govern erasure lift {ident} --approve",
                )
            note = str(body.get("note") or "").strip()
            approved = {"by": actor, "at": self._now(found)} | ({"note": note} if note else {})
            changed = found | {"lift": lift | {"approved": approved}}
            suppressed = ("suppression", found["suppression_ref"])
            said = act(
                "erasure.lifted", actor=actor, records={("erasure", ident): changed}, drop=[suppressed], detail={"request": ident}
            )  # fmt: skip
            tx.append(said)

        self._ledger.transact(work)
        return self.get(ident)

    # ── inside ──────────────────────────────────────────────────────────────────────────────────
    def _lift_pack(self, ident: str) -> Pack:
        return self._law(self.record(ident))

    @staticmethod
    def _lift_ground(pack: Pack, ident: str, body: Mapping[str, Any]) -> dict[str, Any]:
        ground, reasons = str(body.get("ground") or "").strip(), str(body.get("reasons") or "").strip()
        law = pack.lifts.get(ground)
        if law is None:
            known = ", ".join(pack.lifts) or "none"
            raise BadInput(
                f"{pack.id} version {pack.version} lists no ground {ground[:80]!r} to lift a suppression; there are {known}",
                hint="govern erasure packs",
            )
        if not reasons:
            raise BadInput("say how the person showed that they want it: reasons", hint=f"govern erasure lift {ident} --reasons …")
        return {"ground": ground, "article": law.article, "says": law.says, "reasons": reasons}

    @staticmethod
    def _liftable(tx: LedgerTx, ident: str) -> dict[str, Any]:
        """The request, when its suppression may be lifted now."""
        body = must_find(tx, "erasure", ident, what="erasure request")
        person = body["suppression_ref"]
        for other in bodies(tx, "erasure"):
            if other.get("suppression_ref") == person and other["state"] not in FINAL and other["state"] not in _NOBODY_YET:
                raise Conflict(
                    f"erasure request {other['id']} about this person is {other['state']}: a suppression is lifted when nothing is open",
                    hint=f"govern erasure show {other['id']}",
                )
        if body["state"] not in FINAL:
            raise Conflict(f"erasure request {ident} is {body['state']}: it is not over", hint=f"govern erasure show {ident}")
        found = tx.record("suppression", person)
        if found is None:
            raise Conflict(f"nobody is suppressed by erasure request {ident}", hint="govern erasure list --state completed")
        if found[0]["request"] != ident:
            raise Conflict(
                f"the person is suppressed by a later request than {ident}", hint=f"govern erasure lift {found[0]['request']} --ground …"
            )
        return body
