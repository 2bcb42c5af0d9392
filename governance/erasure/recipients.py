"""Recipients of the data, and the notices that each gets when an erasure purged what it was given.

GDPR Art. 19: whoever the data were disclosed to is told of the erasure, unless that is impossible or takes a disproportionate effort.
11 CCR § 7022(b)–(c): service providers, contractors and third parties are told. LGPD Art. 18 § 6: at once.

A notice is made by the ledger's reducer, in the transaction that says the asset is purged (:mod:`governance.registry.posting`)::

    pending ─delivered→ told ─┐
       │ └─given up→ undelivered ├─→ acknowledged      the recipient, or a person for it, said that it followed
       └─────────────────────────┴─→ excused           impossible or disproportionate, with the ground

It says which versions of the dataset are no more and which takes their place; it names no person and no row, since Govern keeps no
identifier that could be passed on. A recipient follows by destroying the old versions and taking the new one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from governance.erasure.owners import is_owned
from governance.evidence import new_id
from governance.registry.acts import act
from governance.registry.find import bodies, must_find, nearest
from governance.registry.webhooks import Webhooks
from lineage.errors import BadInput, Conflict, NotFound
from lineage.ports import Clock, Ledger, LedgerTx

__all__ = ["EXCUSES", "OWNER", "ROLES", "Recipients"]

OWNER: Final = "owner"
"""Who owns models and datasets elsewhere, and is given tasks about them (:mod:`governance.erasure.tasks`); it gets no notices."""
ROLES: Final = ("processor", "controller", "joint_controller", "service_provider", "contractor", "third_party", OWNER)
"""What a recipient is in the words of the GDPR, the CCPA or the LGPD; or an owner."""
EXCUSES: Final = ("impossible", "disproportionate")
"""The two exceptions of GDPR Art. 19, first sentence."""
_OPEN: Final = frozenset({"pending", "told", "undelivered"})
_ASSET: Final = re.compile(r"(dataset|model):([A-Za-z0-9][A-Za-z0-9._-]{0,199})")
_REFERENCE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ./:_-]{0,99}")


class Recipients:
    """Who has what, and what they were told.

    Args:
        ledger: where recipients and notices are control records.
        clock: the time.
        webhooks: the endpoints of those who are told by machine.
    """

    def __init__(self, ledger: Ledger, clock: Clock, webhooks: Webhooks) -> None:
        self._ledger = ledger
        self._clock = clock
        self._webhooks = webhooks

    # ── who has what ────────────────────────────────────────────────────────────────────────────
    def add(self, body: Mapping[str, Any], *, actor: str) -> dict[str, Any]:
        """Declare a recipient of datasets or models. With a URL it is told by a signed message, without one by a person.

        Returns:
            the recipient; with a URL also ``secret``, told this once.

        Raises:
            BadInput: a role that is none, no asset, a URL that nothing is sent to, keys of who is no owner.
            NotFound: no such dataset or model, or no such living key.
        """
        if body["role"] not in ROLES:
            raise BadInput(f"a recipient is one of {', '.join(ROLES)}, not {str(body['role'])[:40]!r}")
        assets = list(dict.fromkeys(body["assets"]))
        if body["role"] == OWNER:
            _must_be_owned(assets)
        else:
            self._must_exist(assets)
        keys = self._keys_of(body)
        now = self._clock.now()
        ident = new_id(now).replace("-", "")[-12:]
        endpoint, secret = self._webhooks.prepared("recipient", body["url"], actor=actor) if body.get("url") else (None, None)
        record = {
            "id": ident, "name": body["name"], "role": body["role"], "via": "webhook" if endpoint else "manual",
            "webhook": endpoint["id"] if endpoint else None, "assets": assets, "created_at": now, "created_by": actor,
        }  # fmt: skip
        record |= {"keys": keys} if keys else {}

        def work(tx: LedgerTx) -> None:
            records: dict[tuple[str, str], Mapping[str, Any]] = {("recipient", ident): record, **_joined(tx, record)}
            if endpoint:
                records["webhook", endpoint["id"]] = endpoint
            tx.append(act("recipient.added", actor=actor, records=records))

        self._ledger.transact(work)
        return record | ({"secret": secret} if secret else {})

    def list(self) -> dict[str, Any]:
        """Every recipient, with how many of its notices are open."""
        counts: dict[str, int] = {}
        for notice in bodies(self._ledger, "recipient_notice"):
            if notice["state"] in _OPEN:
                counts[notice["recipient"]] = counts.get(notice["recipient"], 0) + 1
        found = sorted(bodies(self._ledger, "recipient"), key=lambda body: body["created_at"])
        return {"recipients": [body | {"open": counts.get(body["id"], 0)} for body in found]}

    def remove(self, ident: str, *, actor: str) -> dict[str, Any]:
        """It gets no more notices; those that it was not told of stay, as undelivered."""

        def work(tx: LedgerTx) -> dict[str, Any] | None:
            record = must_find(tx, "recipient", ident, what="recipient")
            records: dict[tuple[str, str], Mapping[str, Any]] = {}
            drop: list[tuple[str, str]] = [("recipient", ident)]
            for asset in record["assets"]:
                left = [one for one in _of_asset(tx, asset) if one["id"] != ident]
                if left:
                    records["recipients", asset] = {"recipients": left}
                else:
                    drop.append(("recipients", asset))
            for place, notice, _ in tx.records("recipient_notice"):
                if notice["recipient"] == ident and notice["state"] == "pending":
                    records["recipient_notice", place] = notice | {"state": "undelivered", "error": "the recipient was removed"}
            for task in bodies(tx, "task") if record["role"] == OWNER else ():
                if task["recipient"] == ident and task["answered_at"] is None:
                    changed = {"recipient": None, "webhook": None, "error": "its owner was removed"}
                    records["task", task["id"]] = task | changed
            endpoint = tx.record("webhook", record["webhook"]) if record["webhook"] else None
            if endpoint is not None:
                drop += self._webhooks.removal(tx, endpoint[0])
            tx.append(act("recipient.removed", actor=actor, records=records, drop=drop))
            return endpoint[0] if endpoint is not None else None

        endpoint = self._ledger.transact(work)
        if endpoint is not None:
            self._webhooks.destroy_keys(endpoint)
        return {"id": ident, "removed": True}

    # ── what they were told ─────────────────────────────────────────────────────────────────────
    def tasks(self, request: str) -> dict[str, Any]:
        """The notices of one request, in the order in which they arose."""
        return {"tasks": self.of(request)}

    def of(self, request: str) -> Sequence[dict[str, Any]]:
        """As :meth:`tasks`, for a certificate."""
        return sorted(bodies(self._ledger, "recipient_notice", prefix=f"{request}/"), key=lambda notice: (notice["at"], notice["id"]))

    def acknowledge(self, request: str, task: str, body: Mapping[str, Any], *, actor: str) -> dict[str, Any]:
        """The recipient said that it followed; ``reference`` is the number of its letter or ticket, never a name.

        Raises:
            NotFound: the request has no such task. Conflict: it is over. BadInput: a reference that is more than a number.
        """
        reference = body.get("reference")
        if reference is not None and not _REFERENCE.fullmatch(reference):
            raise BadInput("a reference is the number of a letter or ticket: letters, digits, spaces and . / : _ - only, at most 100")
        now = self._clock.now()

        def changed(notice: Mapping[str, Any]) -> dict[str, Any]:
            told = notice["told_at"] or now  # by hand, it was told at the latest when it answered
            return {"state": "acknowledged", "told_at": told, "acknowledged_at": now, "acknowledged_by": actor, "reference": reference}

        return self._end(request, task, changed, kind="recipient.acknowledged", actor=actor)

    def excuse(self, request: str, task: str, body: Mapping[str, Any], *, actor: str) -> dict[str, Any]:
        """Telling the recipient is impossible or takes a disproportionate effort, and why.

        Raises:
            NotFound: the request has no such task. Conflict: it is over. BadInput: no such exception, or no ground.
        """
        excuse, ground = body.get("excuse"), str(body.get("ground") or "").strip()
        if excuse not in EXCUSES or not ground:
            raise BadInput("the exceptions are impossible and disproportionate, each with its ground (GDPR Art. 19)")
        return self._end(
            request, task, lambda _notice: {"state": "excused", "excuse": excuse, "ground": ground}, kind="recipient.excused", actor=actor
        )

    def _end(self, request: str, task: str, changed: Any, *, kind: str, actor: str) -> dict[str, Any]:
        place = f"{request}/{task}"

        def work(tx: LedgerTx) -> dict[str, Any]:
            found = tx.record("recipient_notice", place)
            if found is None:
                raise NotFound(f"erasure request {request} has no task {task[:60]!r}", hint=f"govern recipients tasks {request}")
            notice = found[0]
            if notice["state"] not in _OPEN:
                raise Conflict(f"task {task} is {notice['state']} already", hint=f"govern recipients tasks {request}")
            body: dict[str, Any] = notice | changed(notice)
            waits = [("outbox", where) for where, row, _ in _rows_of(tx, notice) if row["notice"] == place]
            tx.append(act(kind, actor=actor, records={("recipient_notice", place): body}, drop=waits))
            return body

        return self._ledger.transact(work)

    # ── small things ────────────────────────────────────────────────────────────────────────────
    def _keys_of(self, body: Mapping[str, Any]) -> Sequence[str]:
        """The API keys that answer for an owner, as the ledger names who acts: ``key:<id>``."""
        keys = sorted({f"key:{str(one).removeprefix('key:')}" for one in body.get("keys") or ()})
        if keys and body["role"] != OWNER:
            raise BadInput(f"keys answer for an owner, and this is a {body['role']}", hint="leave --key away, or --role owner")
        for one in keys:
            found = self._ledger.record("key", one.removeprefix("key:"))
            if found is None or found[0]["revoked_at"] is not None:
                raise NotFound(f"there is no living API key {one[:80]}", hint="govern keys list; govern keys create NAME --role engineer")
        return keys

    def _must_exist(self, assets: Sequence[str]) -> None:
        if not assets:
            raise BadInput("a recipient has some dataset or model: none is named", hint="--asset dataset:NAME, or --asset model:NAME")
        for asset in assets:
            parts = _ASSET.fullmatch(asset)
            if parts is None:
                raise BadInput(f"{asset[:80]!r} is no asset that is passed on", hint="dataset:NAME, or model:NAME")
            kind, name = parts.groups()
            if self._ledger.record(kind, name) is None:
                names = [ident for ident, _, _ in self._ledger.records(kind)]
                listing = "govern dataset list" if kind == "dataset" else "govern models"
                raise NotFound(f"no {kind} is named {name!r}", hint=nearest(name, names, listing=listing))


def _must_be_owned(assets: Sequence[str]) -> None:
    wrong = [asset for asset in assets if not is_owned(asset)]
    if wrong or not assets:
        raise BadInput(
            f"{wrong[0][:80]!r} is nothing that an owner is declared for" if wrong else "an owner owns something: nothing is named",
            hint="owner:KIND:NAME as the ownership facet says (owner:team:risk), namespace:NAMESPACE, or owner:* for all the rest",
        )


def _of_asset(tx: LedgerTx, asset: str) -> list[dict[str, Any]]:
    found = tx.record("recipients", asset)
    return list(found[0]["recipients"]) if found else []


def _joined(tx: LedgerTx, record: Mapping[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """The lists, by asset, with the recipient in them: what the reducer looks up."""
    entry = {name: record[name] for name in ("id", "name", "role", "via", "webhook")}
    return {("recipients", asset): {"recipients": [*_of_asset(tx, asset), entry]} for asset in record["assets"]}


def _rows_of(tx: LedgerTx, notice: Mapping[str, Any]) -> list[tuple[str, Any, int]]:
    recipient = tx.record("recipient", notice["recipient"])
    endpoint = recipient[0]["webhook"] if recipient else None
    return tx.records("outbox", prefix=f"{endpoint}/") if endpoint else []
