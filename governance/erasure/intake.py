"""A request is received: its person becomes a keyed reference, its law is frozen, its clocks start. Nothing else happens yet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from governance.erasure.clocks import DAY, SECOND, clock_of, day_in
from governance.erasure.contacts import checked_contact
from governance.erasure.records import Records
from governance.errors import TooMany
from governance.evidence import derived_id, new_id
from governance.model import ErasureState as S
from governance.registry.acts import SYSTEM, act
from lineage.errors import BadInput, Conflict
from lineage.ports import LedgerTx
from lineage.rows import canonical_subject, refs_by_epoch, suppression_refs

if TYPE_CHECKING:
    from governance.erasure.law import Pack

__all__ = ["MOST_REQUESTS", "WINDOW", "Intake", "notice", "recent"]

MOST_REQUESTS = 20
"""Requests about one person that may wait for proof of identity within :data:`WINDOW`: any of them can be verified, so more help nobody."""

WINDOW = DAY
"""Nanoseconds in which the limits per person are counted."""

_BACKUPS = "Backups of this home are outside what was searched; restoring one must replay the suppression list before it serves"
_OLDEST = 366 * DAY


class Intake(Records):
    """The door through which requests come."""

    def request(self, body: Mapping[str, Any], *, actor: str, idempotency: str | None = None) -> dict[str, Any]:
        """Receive a request. It triggers nothing before the identity is verified; the identifier is HMACed here and dropped.

        Args:
            body: ``subject`` {type, value}; ``regulation``, a law pack's id; ``ground``, as the person states it; ``contact``
                {channel, address}, kept encrypted; ``received_at``, UTC nanoseconds, when it reached the controller before now.
            actor: who enters it.
            idempotency: the same key is the same request.

        Raises:
            BadInput: no subject, an unknown regulation, a contact that is none, a time of receipt to come or over a year ago.
            Conflict: the idempotency key was used for another request, or no contact can be kept here.
            TooMany: too many unverified requests about this person within a day.
        """
        subject = body.get("subject")
        if not isinstance(subject, Mapping) or not isinstance(subject.get("type"), str) or not isinstance(subject.get("value"), str | int):
            raise BadInput("subject must be {type, value}, e.g. {'type': 'applicant', 'value': '17'}")
        canonical_id = canonical_subject(subject["type"], str(subject["value"]))
        now = self._clock.now()
        received_at = self._received(body.get("received_at"), now)
        pack = self._packs.chosen(str(body.get("regulation", "GDPR")), lambda zone: day_in(zone, received_at))
        contact = None if body.get("contact") is None else checked_contact(body["contact"])
        if contact is not None and self._contacts is None:
            raise Conflict("this installation keeps no contacts", hint="leave contact out; the person is told by another way")
        ident = derived_id("erasure", actor, idempotency) if idempotency else new_id(now)
        suppression_ref = suppression_refs(self._keys, canonical_id)[0]
        record = {
            "id": ident,
            "state": S.IDENTITY_PENDING,
            "regulation": pack.id,
            "law": {"pack": pack.id, "version": pack.version, "digest": pack.digest, "zone": pack.zone},
            "ground": str(body.get("ground") or "").strip() or None,
            "subject_type": subject["type"],
            "subject_refs": [],
            "epochs": [],
            "suppression_ref": suppression_ref,
            "created_at": now,
            "received_at": received_at,
            "clock": f"{pack.source}, {pack.rules['answer'].source} ({pack.rules['answer'].basis})",
            "requested_by": actor,
            "contact": None if contact is None else {"channel": contact["channel"], "shredded_at": None},
            "history": [
                {"state": S.RECEIVED, "at": now, "actor": actor, "reason": None},
                {"state": S.IDENTITY_PENDING, "at": now, "actor": SYSTEM, "reason": "nothing is done before the identity is verified"},
            ],
            "assets": [],
            "successors": [],
            "suspensions": [],
            "alerts": {},
            "notices": [notice("received", now)] if contact is not None else [],
            "backups": _BACKUPS,
            "round": 0,
        }
        record["due_at"] = clock_of(pack, "answer", record, now).due_at
        if contact is not None and self._contacts is not None and self._ledger.record("erasure", ident) is None:
            self._contacts.keep(ident, contact)  # before the record: what the process leaves behind here, the next start shreds

        def work(tx: LedgerTx) -> dict[str, Any]:
            found = tx.record("erasure", ident)
            if found is not None:
                if any(found[0].get(name) != record[name] for name in ("regulation", "ground", "suppression_ref")):
                    raise Conflict("this Idempotency-Key was used for another request", hint="use a new key for new work")
                return dict(found[0])
            rate = recent(tx, suppression_ref, now)
            if len(rate["requests"]) >= MOST_REQUESTS:
                raise TooMany(
                    f"{MOST_REQUESTS} requests about this person already wait for proof of identity: verify any one of them",
                    retry_after=(rate["requests"][0] + WINDOW - now) // SECOND + 1,
                    hint="govern erasure list --state identity_pending",
                )
            rate["requests"].append(now)
            # here, not before: what is indexed under an epoch that is made meanwhile is found too (registry.references)
            known = refs_by_epoch(self._keys, canonical_id)
            entered = record | {"subject_refs": list(known.values()), "epochs": list(known)}
            tx.append(act("erasure.received", actor=actor, records={("erasure", ident): entered, ("rate", suppression_ref): rate}))
            return entered

        try:
            entered = self._ledger.transact(work)
        except (Conflict, TooMany):
            if contact is not None and self._contacts is not None and self._ledger.record("erasure", ident) is None:
                self._contacts.shred(ident)
            raise
        return self._shown(entered)

    def acknowledge(self, ident: str, body: Mapping[str, Any], *, actor: str) -> dict[str, Any]:
        """Record that the receipt was confirmed to the person; ``how`` says by which way. Once; again changes nothing."""
        how = str(body.get("how") or "").strip()
        if not how:
            raise BadInput("say how the receipt was confirmed: how", hint=f"govern erasure acknowledge {ident} --how letter")
        record = self.record(ident)
        if not record.get("acknowledged"):
            told = {"at": self._now(record), "by": actor, "how": how}
            self.note(ident, actor=actor, kind="acknowledged", reason=f"receipt confirmed: {how}", fields={"acknowledged": told})
        return self.get(ident)

    def regulations(self) -> list[str]:
        """Ids of the law packs that a request may rest on."""
        return self._packs.ids()

    def packs(self) -> dict[str, Any]:
        """Every version of every law pack: ``{packs: [{pack, version, title, status, effective_from, zone, digest, rules, grounds}]}``."""
        return {"packs": [pack_to_json(pack) for pack in self._packs.all()]}

    @staticmethod
    def _received(at: object, now: int) -> int:
        if at is None:
            return now
        if not isinstance(at, int) or isinstance(at, bool):
            raise BadInput("received_at is UTC nanoseconds", hint="received: 2026-11-02T09:00:00+01:00")
        if at > now:
            raise BadInput("received is in the future: a request cannot be entered before it was received")
        if at < now - _OLDEST:
            raise BadInput(
                "received is more than a year ago", hint="check the year; enter what is older by its day of entry and say so in the ground"
            )
        return at


def recent(tx: LedgerTx, suppression_ref: str, now: int) -> dict[str, Any]:
    """What was asked about one person within :data:`WINDOW`: ``{ref, requests, codes}``, the times oldest first.

    Counted by the suppression reference, which outlives the epochs. A time to come (the clock was set back) counts as well.
    """
    found = tx.record("rate", suppression_ref)
    before: Mapping[str, Any] = found[0] if found else {"requests": [], "codes": []}
    return {"ref": suppression_ref} | {name: [at for at in before[name] if at > now - WINDOW] for name in ("requests", "codes")}


def notice(kind: str, now: int) -> dict[str, Any]:
    """A message that waits to be sent: its words are made when it goes."""
    return {"kind": kind, "at": now, "sent_at": None, "tries": 0}


def pack_to_json(pack: Pack) -> dict[str, Any]:
    """A pack as it is listed: everything but the texts of its notices."""
    body: dict[str, Any] = pack.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"notices"})
    return body | {"digest": pack.digest}
