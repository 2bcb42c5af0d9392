"""A governance act: one ledger entry that carries the control records it sets, so that the records are a fold over the log.

An entry's payload is ``{"set": {"<kind>/<ident>": body}, "drop": ["<kind>/<ident>"], "detail": {...}}`` in canonical JSON. The reducer
needs nothing else, therefore replaying the log rebuilds every record. What a record may hold is a table here: a field that is not in it
is refused before it reaches the log, which is how a direct identifier of a person is kept out of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from governance.evidence import canonical, parse
from governance.registry.asked import asked
from governance.registry.posted_records import POSTED_FIELDS
from governance.registry.posting import posted
from lineage.errors import BadInput
from lineage.model import LedgerEntry, NewEntry, RecordChange

__all__ = ["RECORD_FIELDS", "SYSTEM", "act", "reduce_entry"]

SYSTEM = "system"

RECORD_FIELDS: Mapping[str, frozenset[str]] = {
    "key": frozenset({"id", "name", "roles", "hash", "created_at", "revoked_at"}),
    "dataset": frozenset(
        {"name", "kind", "path", "url", "subject_key", "subject_type", "subject_keys", "subject_rules", "shared_rows", "created_at"}
    ),
    "snapshot": frozenset({"digest", "size", "created_at"}),
    "policy": frozenset({"digest", "name", "version", "text"}),
    "model": frozenset({"name", "purpose", "owner", "latest", "aliases", "config"}),
    "version": frozenset(
        {
            "model",
            "version",
            "run_id",
            "operation",
            "created_at",
            "status",
            "artifact",
            "spec",
            "policy",
            "metrics",
            "spend",
            "retrained",
            "replayed",
            "predecessor",
            "destroyed_at",
            "destroyed_by",
            "started_at",
            "ended_at",
        }
    ),
    "run": frozenset({"run_id", "model", "status", "reason", "started_at", "ended_at", "operation"}),
    "operation": frozenset({"id", "kind", "state", "subject", "input", "result", "error", "created_at", "ended_at", "actor"}),
    "findings": frozenset({"model", "version", "at", "findings", "digests"}),
    "decision": frozenset({"model", "version", "at", "decision"}),
    "deployment": frozenset({"id", "model", "version", "environment", "active_from", "active_to", "run_id", "reason"}),
    "erasure": frozenset(
        {
            "id",
            "state",
            "regulation",
            "ground",
            "subject_type",
            "subject_refs",
            "suppression_ref",
            "created_at",
            "due_at",
            "requested_by",
            "verified",
            "approved",
            "history",
            "plan",
            "assets",
            "successors",
            "searched",
            "unknown_subject_predictions",
            "backups",
            "error",
            "report",
            "round",
            "clock",
            "completed_at",
            "incomplete",
            "received_at",
            "law",
            "suspensions",
            "acknowledged",
            "extended",
            "alerts",
            "answered_at",
            "expired_at",
            "begun_at",
            "refusals",
            "challenge",
            "contact",
            "notices",
            "fence",
            "purged_at",
            "schedule",
            "epochs",
            "gone_from",
            "lift",
            "order",
        }
    ),
    "rate": frozenset({"ref", "requests", "codes"}),
    "batch": frozenset(
        {"id", "model", "state", "requests", "because", "created_at", "started_at", "ended_at", "fence", "successors", "reason"}
    ),
    "suppression": frozenset({"ref", "request", "at"}),
    "backup": frozenset({"id", "made_at", "until", "size", "root", "bytes", "entered_at", "deleted_at"}),
    "incident": frozenset(
        {
            "id",
            "state",
            "model",
            "version",
            "prediction",
            "summary",
            "expect",
            "opened_at",
            "closed_at",
            "opened_by",
            "holds",
            "case",
            "trace_digest",
        }
    ),
    "hold": frozenset(
        {"id", "asset", "ground", "incident", "since", "review_at", "released_at", "until", "request", "set_by", "released_by", "told"}
    ),
    "case": frozenset({"id", "model", "prediction", "expect", "incident", "created_at", "void"}),
    "report": frozenset({"id", "kind", "subject", "asked", "sha256", "evidence", "evidence_index", "created_at", "size"}),
    "spend": frozenset({"run_id", "model", "dataset", "epsilon", "delta", "state", "at", "unit", "policy"}),
    **POSTED_FIELDS,
}
"""Record kind → the fields its body may have. Subjects appear only as references (HMAC)."""


def act(
    kind: str,
    *,
    actor: str,
    records: Mapping[tuple[str, str], Mapping[str, Any]] | None = None,
    drop: Sequence[tuple[str, str]] = (),
    detail: Mapping[str, Any] | None = None,
    identity: str | None = None,
) -> NewEntry:
    """The ledger entry ``govern.<kind>`` that sets ``records`` and removes ``drop``.

    Raises:
        BadInput: a record has a field that its kind does not know.
    """
    for (record_kind, ident), body in (records or {}).items():
        strange = set(body) - RECORD_FIELDS[record_kind]
        if strange:
            raise BadInput(
                f"record {record_kind}/{ident} may not hold {', '.join(sorted(strange))}", hint="see governance/registry/acts.py"
            )
    payload: dict[str, Any] = {}
    if records:
        payload["set"] = {f"{record_kind}/{ident}": dict(body) for (record_kind, ident), body in records.items()}
    if drop:
        payload["drop"] = [f"{record_kind}/{ident}" for record_kind, ident in drop]
    if detail:
        payload["detail"] = dict(detail)
    return NewEntry(kind=f"govern.{kind}", payload=canonical(payload), actor=actor, identity=identity)


def reduce_entry(entry: LedgerEntry, read: Callable[[str, str], Any]) -> Iterable[RecordChange]:
    """The record changes of one entry: what its payload sets and drops, and the messages it makes. Other kinds of entries change nothing.

    The messages (:mod:`governance.registry.posting`) and the list of who is asked about (:mod:`governance.registry.asked`) are made
    first: they compare with what was before.
    """
    if not entry.kind.startswith("govern."):
        return
    payload = parse(entry.payload) or {}
    messages = [*posted(entry, payload, read), *asked(payload, read)]
    for name, body in payload.get("set", {}).items():
        kind, _, ident = name.partition("/")
        yield RecordChange(kind=kind, ident=ident, body=body)
    for name in payload.get("drop", ()):
        kind, _, ident = name.partition("/")
        yield RecordChange(kind=kind, ident=ident, body=None)
    yield from messages
