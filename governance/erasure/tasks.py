"""Tasks of owners: what lies elsewhere and rests on erased rows, asked of whoever can act on it (design §7).

A model that was trained elsewhere cannot be retrained here, and a copy in a store that is not registered cannot be purged. Each becomes a
task: what is asked, of whom, until when. The owner is told by a signed message (:mod:`governance.registry.posting` writes it with the
task) or by a person, and answers: done, with the digest of its evidence, or cannot, with the reason. The evidence itself stays with whoever
keeps it; its digest stands in the ledger, so that it cannot be another one later.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from governance.erasure.owners import owner_for
from governance.erasure.task_states import answerable
from governance.evidence import derived_id
from governance.model import ErasureState as S
from governance.model import TaskState as T
from governance.registry import fence
from governance.registry.acts import SYSTEM, act
from governance.registry.find import bodies, must_find
from governance.registry.posting import rfc3339
from lineage.errors import BadInput, Forbidden
from lineage.ports import Clock, Ledger, LedgerTx

__all__ = ["Tasks"]

_EVIDENCE: Final = re.compile(r"sha256:[0-9a-f]{64}")
_ANSWERS: Final[Mapping[str, T]] = {"done": T.ANSWERED_DONE, "cannot": T.ANSWERED_CANNOT}
_ASKS: Final[Mapping[str, str]] = {
    "model-elsewhere": "retrain it without the erased rows, or take it out of service and destroy it",
    "dataset-elsewhere": "delete the erased rows in it and in every version and copy of it",
}
_MOST_WORDS: Final = 1000
_MOST_DATASETS: Final = 50


class Tasks:
    """The tasks of one home. ``wake`` lets what waits for an answer go on."""

    def __init__(self, *, ledger: Ledger, clock: Clock, wake: Callable[[], None]) -> None:
        self._ledger = ledger
        self._clock = clock
        self._wake = wake

    # ── asking ──────────────────────────────────────────────────────────────────────────────────
    def ask(self, request: str, asset: str) -> None:
        """Open the task for an asset of a request and say so on the asset, in one entry; repeating it changes nothing."""
        guard, ident = fence.guard(), derived_id("task", request, asset)

        def work(tx: LedgerTx) -> None:
            guard(tx)
            record = must_find(tx, "erasure", request, what="erasure request")
            item = next(one for one in record["assets"] if one["id"] == asset)
            found = tx.record("task", ident)
            task = found[0] if found is not None else self._new(tx, ident, record, item)
            assets = [_said(one, task) if one["id"] == asset else one for one in record["assets"]]
            records: dict[tuple[str, str], Mapping[str, Any]] = {("erasure", request): record | {"assets": assets}}
            if found is None:
                tx.append(act("task.opened", actor=SYSTEM, records=records | {("task", ident): task}))
            elif assets != record["assets"]:
                tx.append(act("erasure.asset", actor=SYSTEM, records=records))

        self._ledger.transact(work)

    def _new(self, tx: LedgerTx, ident: str, record: Mapping[str, Any], item: Mapping[str, Any]) -> dict[str, Any]:
        detail = item["detail"]

        def declared(name: str) -> Mapping[str, Any] | None:
            found = tx.record("recipients", name)
            return next((one for one in found[0]["recipients"] if one["role"] == "owner"), None) if found is not None else None

        owner, called, basis = owner_for(str(detail.get("namespace", "")), detail.get("owners", ()), declared)
        return {
            "id": ident, "request": record["id"], "asset": item["id"], "asked": {"do": _ASKS[item["kind"]], "take": _taken(record)},
            "owner": called, "owner_basis": basis, "recipient": owner["id"] if owner else None,
            "webhook": owner["webhook"] if owner else None,
            "state": T.OPEN, "due_at": record["due_at"], "at": self._clock.now(), "told_at": None, "answered_at": None, "answered_by": None,
            "answered_as": None,
            "reason": None, "evidence": None, "error": None,
        }  # fmt: skip

    # ── answering ───────────────────────────────────────────────────────────────────────────────
    def answer(self, ident: str, body: Mapping[str, Any], *, actor: str, officer: bool = False) -> dict[str, Any]:
        """The owner's ``answer``: ``done``, with ``evidence`` (``sha256:<hex>`` of what shows it), or ``cannot``, with ``reason``.

        Args:
            ident: the task.
            body: the answer.
            actor: one of the owner's keys (:meth:`governance.erasure.recipients.Recipients.add`), or who answers for it.
            officer: whether the actor's key has the role ``privacy`` or ``admin``, and so may answer for an owner who gave its word
                otherwise; the task then says so.

        Raises:
            NotFound: no such task. Conflict: it was answered. BadInput: no such answer, no evidence for ``done``, no reason for ``cannot``.
            Forbidden: the key is not one of the owner's; or it approved the request, which ``done`` helps to end.
        """
        state = _ANSWERS.get(str(body.get("answer")))
        evidence, reason = body.get("evidence"), str(body.get("reason") or "").strip()
        again = f"govern erasure task answer {ident}"
        if state is None:
            raise BadInput("the answer of an owner is done or cannot", hint=f"{again} --done --evidence FILE")
        if evidence is not None and not _EVIDENCE.fullmatch(str(evidence)):
            raise BadInput("evidence is given by its digest, sha256: and 64 hexadecimal digits", hint=f"{again} --done --evidence FILE")
        if state is T.ANSWERED_DONE and evidence is None:
            raise BadInput("done needs evidence: the digest of what shows it", hint=f"{again} --done --evidence FILE")
        if state is T.ANSWERED_CANNOT and not reason:
            raise BadInput("cannot needs the reason; it names no person", hint=f"{again} --cannot --reason …")
        if len(reason) > _MOST_WORDS:
            raise BadInput(f"the reason is longer than {_MOST_WORDS} characters", hint="put it into the evidence")

        def work(tx: LedgerTx) -> dict[str, Any]:
            task = must_find(tx, "task", ident, what="task")
            record = must_find(tx, "erasure", task["request"], what="erasure request")
            speaks = _speaks_as(tx, task, actor, officer=officer)
            answerable(task, state)
            if state is T.ANSWERED_DONE and (record.get("approved") or {}).get("by") == actor:
                raise Forbidden(
                    f"the key that approved request {record['id']} may not say that a part of it was done",
                    hint=f"another key answers: {again} --done --evidence FILE",
                )
            now = max(self._clock.now(), task["at"])
            done = {"state": state, "answered_at": now, "answered_by": actor, "reason": reason or None, "evidence": evidence, "error": None}
            task |= done | {"answered_as": speaks}
            assets = [_answered(one, task, record) if one["id"] == task["asset"] else one for one in record["assets"]]
            records = {("task", ident): task, ("erasure", record["id"]): record | {"assets": assets}}
            waits = _waiting(tx, task)
            tx.append(act("task.answered", actor=actor, records=records, drop=waits))
            return task

        answered = self._ledger.transact(work)
        self._wake()
        return answered

    # ── time ────────────────────────────────────────────────────────────────────────────────────
    def look(self) -> int | None:
        """Say of every task whose day has passed that it is overdue, once; answers when the next one will be (UTC nanoseconds)."""
        now, moments = self._clock.now(), []
        for task in bodies(self._ledger, "task"):
            if task["state"] not in (T.OPEN, T.TOLD):
                continue
            if task["due_at"] >= now:
                moments.append(task["due_at"] + 1)
            elif (due := self._overdue(task["id"], now)) is not None:
                moments.append(due + 1)
        return min(moments, default=None)

    def _overdue(self, ident: str, now: int) -> int | None:
        """``None`` once it is overdue; else until when it has time now: an extension of the request is one of its tasks."""

        def work(tx: LedgerTx) -> int | None:
            task = must_find(tx, "task", ident, what="task")
            record = tx.record("erasure", task["request"])
            due = max(task["due_at"], record[0]["due_at"]) if record is not None else task["due_at"]
            if task["state"] not in (T.OPEN, T.TOLD):
                return None
            if due >= now:
                tx.append(act("task.extended", actor=SYSTEM, records={("task", ident): task | {"due_at": due}}))
                return int(due)
            tx.append(act("task.overdue", actor=SYSTEM, records={("task", ident): task | {"state": T.OVERDUE}}))
            return None

        return self._ledger.transact(work)

    # ── reading ─────────────────────────────────────────────────────────────────────────────────
    def get(self, ident: str) -> dict[str, Any]:
        """One task."""
        return _shown(must_find(self._ledger, "task", ident, what="task"))

    def list(self, *, request: str | None = None, state: str | None = None) -> dict[str, Any]:
        """Tasks in the order in which they were opened, of one request or in one state where these are given.

        Raises:
            BadInput: there is no such state.
        """
        if state is not None and state not in list(T):
            raise BadInput(f"a task is {', '.join(T)}", hint="govern erasure task list")
        chosen = [
            _shown(body) for body in bodies(self._ledger, "task") if request in (None, body["request"]) and state in (None, body["state"])
        ]
        return {"tasks": sorted(chosen, key=lambda task: (task["at"], task["id"]))}

    def of(self, record: Mapping[str, Any]) -> Sequence[dict[str, Any]]:
        """The tasks of a request's assets, for its certificate."""
        idents = [item["detail"]["task"] for item in record["assets"] if item["detail"].get("task")]
        found = [self._ledger.record("task", ident) for ident in idents]
        return [_shown(one[0]) for one in found if one is not None]

    def unasked(self, record: Mapping[str, Any], asset: Mapping[str, Any]) -> bool:
        """Whether an asset elsewhere is still to be asked for: it never was, or its task was lost with a former home."""
        ident = derived_id("task", record["id"], asset["id"])
        found = self._ledger.record("task", ident)
        return found is None or asset["detail"].get("task") != ident


def _speaks_as(tx: LedgerTx, task: Mapping[str, Any], actor: str, *, officer: bool) -> str:
    """``owner``, or ``officer``: in whose name the key answers, by the keys that the owner has now."""
    found = tx.record("recipient", task["recipient"]) if task["recipient"] else None
    if found is not None and actor in found[0].get("keys", ()):
        return "owner"
    if officer:
        return "officer"
    raise Forbidden(
        f"task {task['id']} is answered by its owner ({task['owner']}), and {actor} is no key of its",
        hint="an officer declares the owner with its keys (govern recipients add NAME --role owner --asset … --key ID), or answers for it",
    )


def _shown(body: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name != "webhook"}


def _said(item: Mapping[str, Any], task: Mapping[str, Any]) -> dict[str, Any]:
    """The asset as its task stands. Whatever an owner says, its level is ``not_reachable``."""
    state = task["state"]
    through = ", told here by an officer," if task.get("answered_as") == "officer" else ""
    if state == T.ANSWERED_DONE:
        status, words = (
            "attested",
            f"its owner ({task['owner']}){through} says that it was done, evidence {task['evidence']}; that is its word, no proof",
        )
    elif state == T.ANSWERED_CANNOT:
        status, words = "not_reachable", f"its owner ({task['owner']}){through} cannot: {task['reason']}"
    else:
        status, words = "asked", f"asked of {task['owner']} ({task['owner_basis']}), due {rfc3339(task['due_at'])[:10]}; no answer yet"
    changed = {"status": status, "level": "not_reachable", "reason": f"not_reachable: {words}"}
    return {**item, **changed, "detail": {**item["detail"], "task": task["id"]}}


def _answered(item: Mapping[str, Any], task: Mapping[str, Any], record: Mapping[str, Any]) -> dict[str, Any]:
    """The asset with its answer; where the round's certificate may have been made without it, marked so that another round is begun."""
    said = _said(item, task)
    if record["state"] in (S.VERIFYING, S.COMPLETED_PARTIAL):
        said["detail"] |= {"answered_round": record["round"]}
    return said


def _taken(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What an owner can take in place of what it has: the versions without the rows."""
    found = []
    for item in record["assets"]:
        detail = item["detail"]
        if item["kind"] == "dataset" and detail.get("new_version"):
            found.append({"dataset": detail["dataset"], "version": detail["new_version"], "row_set": detail.get("new_row_set")})
    return found[:_MOST_DATASETS]


def _waiting(tx: LedgerTx, task: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The messages about the task that wait: who has answered is asked no more."""
    if task["webhook"] is None:
        return []
    rows = tx.records("outbox", prefix=f"{task['webhook']}/")
    return [("outbox", place) for place, row, _ in rows if row.get("task") == task["id"]]
