"""What a governance act makes others hear: rows of the outbox and notices to recipients, folded from the act itself. Pure.

The fold is a part of the ledger's reducer, so a message is written in the transaction of the act that it tells of, or not at all, and a
rebuild from the log writes it again. Four kinds of hearers:

1. Webhook endpoints, by the events they subscribed to.
2. Recipients of the data (GDPR Art. 19, 11 CCR § 7022(b), LGPD Art. 18 § 6): one notice for each asset that an erasure purged.
3. Owners of what lies elsewhere: asked when a task for them is opened, reminded when it is overdue.
4. OpenDSR controllers, when the status of what they sent changes.

A message holds identifiers of things, states, counts and digests; never an identifier of a person nor a reference to one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from governance.evidence import derived_id
from lineage.errors import BadInput
from lineage.model import LedgerEntry, RecordChange

__all__ = ["FAMILIES", "Read", "checked_events", "matches", "opendsr_status", "posted", "rfc3339", "told"]

Read = Callable[[str, str], Any]
"""``read(kind, ident)``: a record's body before the act."""

FAMILIES: Final = ("audit", "batch", "deployment", "erasure", "gate", "hold", "incident", "recipient", "report", "task", "version")
"""First words of the events that can be subscribed to."""

_TOLD: Final[Mapping[str, tuple[str, ...]]] = {
    "batch": ("id", "model", "state", "because", "created_at", "started_at", "ended_at", "successors"),
    "erasure": ("id", "state", "regulation", "created_at", "due_at", "completed_at", "round", "report"),
    "deployment": ("id", "model", "version", "environment", "active_from", "active_to"),
    "decision": ("model", "version", "at"),
    "findings": ("model", "version", "at"),
    "hold": ("id", "asset", "incident", "since", "review_at", "released_at"),
    "incident": ("id", "state", "model", "version", "opened_at", "closed_at"),
    "recipient_notice": ("id", "request", "asset", "recipient", "state", "at", "told_at", "acknowledged_at"),
    "report": ("id", "kind", "sha256", "created_at"),
    "task": ("id", "request", "asset", "state", "due_at", "at", "told_at", "answered_at", "evidence"),
    "version": ("model", "version", "status", "created_at", "destroyed_at"),
}
"""Record kind → the fields that an event tells of it. What is free text or refers to a person is not among them."""

_ALERT: Final = ("clock", "percent", "due_at", "basis", "kind", "model")
"""What an event tells of an alert: of a deadline, or of the planner of batches."""
_ASKED: Final = ("id", "request", "asset", "asked", "owner", "due_at", "state")
"""What the owner of something elsewhere is told of its task."""
_MOST_REQUESTS: Final = 100
_MOST_CHANGES: Final = 100
_MOST_VERSIONS: Final = 50
_PURGED: Final = frozenset({"purged", "done"})
_QUIET: Final = frozenset({"none", "retain", "notify"})
_PENDING: Final = frozenset({"received", "identity_pending", "verified", "scoping", "in_review", "approved", "partially_approved"})
_CANCELLED: Final = frozenset({"withdrawn", "refused", "expired"})
_COMPLETED: Final = frozenset({"completed", "completed_partial"})
_SECOND: Final = 1_000_000_000


def posted(entry: LedgerEntry, payload: Mapping[str, Any], read: Read) -> Iterator[RecordChange]:
    """The rows and notices that an act makes; ``payload`` is the entry's, ``read`` gives what was before it."""
    event = entry.kind.removeprefix("govern.").replace("-", "_")
    if event.partition(".")[0] == "webhook":
        return  # what is told is not told about
    rows = _Rows(entry)
    sets: Mapping[str, Any] = payload.get("set", {})
    yield from _webhooks(rows, event, payload, read)
    for name, body in sets.items():
        kind, _, ident = name.partition("/")
        if kind == "erasure":
            yield from _notices(rows, ident, body, read)
            yield from _callbacks(rows, ident, body, read)
        if kind == "task":
            yield from _asked(rows, ident, body, read)


class _Rows:
    """Numbers the rows of one entry, so that each endpoint gets its messages in the order of the log."""

    def __init__(self, entry: LedgerEntry) -> None:
        self.entry = entry
        self._count = 0

    def row(
        self, endpoint: str, event: str, data: Mapping[str, Any], *, notice: str | None = None, task: str | None = None
    ) -> RecordChange:
        self._count += 1
        place = f"{endpoint}/{self.entry.index:016d}.{self._count:04d}"
        body = {
            "id": derived_id("message", place), "endpoint": endpoint, "type": event, "at": self.entry.recorded_at, "data": dict(data),
            "notice": notice, "error": None,
        }  # fmt: skip
        return RecordChange(kind="outbox", ident=place, body=body | ({"task": task} if task else {}))


def _webhooks(rows: _Rows, event: str, payload: Mapping[str, Any], read: Read) -> Iterator[RecordChange]:
    """One row for each endpoint that subscribed to the event."""
    if event.partition(".")[0] not in FAMILIES:
        return
    listed = (read("subscriptions", "webhooks") or {}).get("endpoints", ())
    hearers = [one["id"] for one in listed if any(matches(pattern, event) for pattern in one["events"])]
    if hearers:
        data: dict[str, Any] = {"entry": rows.entry.index, "changes": told(payload.get("set", {}))}
        if alerts := [{name: one[name] for name in _ALERT if name in one} for one in payload.get("detail", {}).get("alerts", ())]:
            data["alerts"] = alerts
        for endpoint in hearers:
            yield rows.row(endpoint, event, data)


def told(sets: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What an event tells of the records that an act set: named fields only; at most 100 records."""
    changes = []
    for name, body in sets.items():
        kind, _, _ident = name.partition("/")
        if kind not in _TOLD:
            continue
        change = {"kind": kind} | {field: body[field] for field in _TOLD[kind] if field in body}
        if kind == "decision":
            change["outcome"] = (body.get("decision") or {}).get("outcome")
        if kind == "batch":
            change |= {"requests": body["requests"][:_MOST_REQUESTS], "requests_count": len(body["requests"])}
        changes.append(change)
    return changes[:_MOST_CHANGES]


# ── recipients ──────────────────────────────────────────────────────────────────────────────────
def _notices(rows: _Rows, request: str, body: Mapping[str, Any], read: Read) -> Iterator[RecordChange]:
    """A notice for each recipient of each asset that this entry says is purged and the one before did not."""
    purged = [asset for asset in body.get("assets", ()) if asset.get("status") in _PURGED and asset.get("action") not in _QUIET]
    if not purged:
        return
    before = {asset["id"] for asset in (read("erasure", request) or {}).get("assets", ()) if asset.get("status") in _PURGED}
    for asset in purged:
        if asset["id"] in before:
            continue
        for recipient in (read("recipients", asset["id"].partition("@")[0]) or {}).get("recipients", ()):
            ident = derived_id("notice", request, asset["id"], recipient["id"])
            place = f"{request}/{ident}"
            if read("recipient_notice", place) is not None:
                continue
            notice = {
                "id": ident, "request": request, "asset": asset["id"], "recipient": recipient["id"], "name": recipient["name"],
                "role": recipient["role"], "via": recipient["via"], "regulation": body.get("regulation"), "state": "pending",
                "at": rows.entry.recorded_at, "told_at": None, "acknowledged_at": None, "acknowledged_by": None, "reference": None,
                "excuse": None, "ground": None, "error": None, "said": _said(asset),
            }  # fmt: skip
            yield RecordChange(kind="recipient_notice", ident=place, body=notice)
            if recipient["via"] == "webhook":
                data = {name: notice[name] for name in ("id", "request", "asset", "recipient", "regulation", "said")}
                yield rows.row(recipient["webhook"], "recipient.notified", data, notice=place)


def _said(asset: Mapping[str, Any]) -> dict[str, Any]:
    """What a recipient needs to follow: which versions are no more, and which one takes their place."""
    detail = asset.get("detail") or {}
    removed = [one["version"] if isinstance(one, Mapping) else one for one in detail.get("versions_removed") or ()]
    found = {
        "dataset": detail.get("dataset"), "versions_removed": removed[:_MOST_VERSIONS], "versions_removed_count": len(removed),
        "new_version": detail.get("new_version"), "new_row_set": detail.get("new_row_set"),
    }  # fmt: skip
    return {name: value for name, value in found.items() if value not in (None, [], 0)}


# ── owners ──────────────────────────────────────────────────────────────────────────────────────
def _asked(rows: _Rows, ident: str, body: Mapping[str, Any], read: Read) -> Iterator[RecordChange]:
    """A message to the owner of something elsewhere: when its task is opened, and once more when it becomes overdue."""
    before = read("task", ident)
    overdue = body["state"] == "overdue"
    if (
        body["webhook"] is None
        or body["answered_at"] is not None
        or (before is not None and not (overdue and before["state"] != "overdue"))
    ):
        return
    yield rows.row(body["webhook"], "task.overdue" if overdue else "task.opened", {name: body[name] for name in _ASKED}, task=ident)


# ── OpenDSR ─────────────────────────────────────────────────────────────────────────────────────
def _callbacks(rows: _Rows, request: str, body: Mapping[str, Any], read: Read) -> Iterator[RecordChange]:
    """The status of the OpenDSR request behind an erasure request, where this entry changes it, and a row for each callback."""
    link = read("opendsr_link", request)
    sent = read("opendsr", link["opendsr"]) if link is not None else None
    if sent is None:
        return
    parts = [body if one == request else read("erasure", one) for one in sent["requests"]]
    status = opendsr_status([part["state"] for part in parts if part is not None])
    due = max(part["due_at"] for part in parts if part is not None)
    if (status, due) == (sent["status"], sent["due_at"]):
        return
    yield RecordChange(kind="opendsr", ident=link["opendsr"], body=sent | {"status": status, "due_at": due})
    if status == sent["status"]:
        return  # an extension is seen by who asks; §8.5 has callbacks for a change of the status
    for callback in sent["callbacks"]:
        data = {
            "controller_id": sent["controller"], "expected_completion_time": rfc3339(due), "status_callback_url": callback["url"],
            "subject_request_id": sent["subject_request_id"], "request_status": status, "api_version": "2.0",
        }  # fmt: skip
        yield rows.row(callback["endpoint"], "opendsr.status", data)


def opendsr_status(states: Sequence[str]) -> str:
    """The OpenDSR status (§8) of a request that became one or several erasure requests.

    ``completed`` and ``cancelled`` need all of them to be over; ``completed`` where at least one was carried out.

    >>> opendsr_status(["identity_pending"]), opendsr_status(["completed", "executing"]), opendsr_status(["completed", "withdrawn"])
    ('pending', 'in_progress', 'completed')
    >>> opendsr_status(["refused"])
    'cancelled'
    """
    found = set(states)
    if found <= _PENDING:
        return "pending"
    if found <= _CANCELLED:
        return "cancelled"
    if found <= _CANCELLED | _COMPLETED:
        return "completed"
    return "in_progress"


# ── events ──────────────────────────────────────────────────────────────────────────────────────
def checked_events(patterns: Sequence[str]) -> list[str]:
    """The patterns in order, each once.

    Raises:
        BadInput: none, or one that no event can match.

    >>> checked_events(["erasure.*", "gate.decided", "erasure.*"])
    ['erasure.*', 'gate.decided']
    """
    if not patterns:
        raise BadInput("an endpoint hears of some events: none is named", hint="--events 'erasure.*', or '*' for all")
    for pattern in patterns:
        family, dot, rest = pattern.partition(".")
        word = rest.replace("_", "")
        if pattern != "*" and not (family in FAMILIES and dot and (rest == "*" or (word.isascii() and word.isalpha() and rest.islower()))):
            raise BadInput(
                f"{pattern[:80]!r} is no event: FAMILY.* or FAMILY.EVENT, the families are {', '.join(FAMILIES)}",
                hint="for example --events 'erasure.*' --events gate.decided",
            )
    return list(dict.fromkeys(patterns))


def matches(pattern: str, event: str) -> bool:
    """Whether an event is one of a pattern's.

    >>> matches("erasure.*", "erasure.approved"), matches("erasure.approved", "erasure.refused"), matches("*", "gate.decided")
    (True, False, True)
    """
    return pattern in ("*", event) or (pattern.endswith(".*") and event.startswith(pattern[:-1]))


def rfc3339(at: int) -> str:
    """UTC nanoseconds as RFC 3339 with microseconds.

    >>> rfc3339(1_700_000_000_000_001_000)
    '2023-11-14T22:13:20.000001Z'
    """
    moment = datetime.fromtimestamp(at // _SECOND, UTC) + timedelta(microseconds=at % _SECOND // 1000)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
