"""Which backups of this home there are, as they were told: what was erased since is in them until they are deleted.

Govern makes a backup and cannot reach it afterwards. So it is entered in the ledger with the day by which it is to be deleted, and with the
day on which somebody says that it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from governance.registry.acts import act
from governance.registry.find import bodies, must_find
from lineage.errors import BadInput
from lineage.ports import Clock, Ledger, LedgerTx

__all__ = ["LONGEST_DAYS", "Backups"]

LONGEST_DAYS = 730
"""A backup is not kept longer than the suppression list remembers (24 months): nothing could replay what was erased since."""
_DAY = 86_400 * 1_000_000_000


class Backups:
    """The backups of one home."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock

    def made(self, body: Mapping[str, Any], *, actor: str) -> dict[str, Any]:
        """Enter a backup that was made; the same id again answers what was entered.

        Raises:
            BadInput: it is to be kept longer than the suppression list, or speaks of entries that this ledger has not.
        """
        now = self._clock.now()
        if body["until"] - body["made_at"] > LONGEST_DAYS * _DAY:
            raise BadInput(f"a backup is kept for {LONGEST_DAYS} days at most: the suppression list remembers no longer", hint="--keep 90d")
        if body["size"] > self._ledger.size() or self._ledger.root(body["size"]).hex() != body["root"]:
            raise BadInput("the backup is not of this ledger", hint="set GOVERN_HOME to the home of this server")
        record = {name: body[name] for name in ("id", "made_at", "until", "size", "root", "bytes")}
        record |= {"entered_at": now, "deleted_at": None}

        def work(tx: LedgerTx) -> dict[str, Any]:
            found = tx.record("backup", record["id"])
            if found is not None:
                return dict(found[0])
            tx.append(act("backup.made", actor=actor, records={("backup", record["id"]): record}))
            return record

        return self._ledger.transact(work)

    def deleted(self, ident: str, *, actor: str) -> dict[str, Any]:
        """Somebody says that every copy of it is deleted."""

        def work(tx: LedgerTx) -> dict[str, Any]:
            body = must_find(tx, "backup", ident, what="backup")
            if body["deleted_at"] is None:
                body = body | {"deleted_at": self._clock.now()}
                tx.append(act("backup.deleted", actor=actor, records={("backup", ident): body}))
            return body

        return self._ledger.transact(work)

    def holding(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The backups that may hold what a request erased: ``{covered_from, backups}``, the oldest first.

        One is left out only when both its place in the ledger (an entry's number, from which a list knows the request: ``covered_from``)
        and its time are later than the last purge. Where nothing was purged, none is.
        """
        start = request.get("gone_from")
        at = max((step["at"] for step in request.get("history", ()) if step["state"] == "verifying"), default=None)
        listed = [
            {name: body[name] for name in ("id", "made_at", "until", "size", "deleted_at")}
            for body in sorted(bodies(self._ledger, "backup"), key=lambda body: body["made_at"])
            if start is None or at is None or body["size"] <= start or body["made_at"] <= at
        ]
        return {"covered_from": self._ledger.size() if start is None else start, "backups": listed}

    def list(self) -> dict[str, Any]:
        """Every backup, the oldest first; ``overdue``: it should be deleted by now and nobody said that it is."""
        now = self._clock.now()
        listed = sorted(bodies(self._ledger, "backup"), key=lambda body: body["made_at"])
        return {"backups": [body | {"overdue": body["deleted_at"] is None and body["until"] < now} for body in listed]}
