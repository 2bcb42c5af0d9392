"""OpenLineage in: one event, a batch, and what became of them.

A single event is answered 201 with an empty body: the official Java client (and so Spark) fails on a 204 after the
server took the event. A busy store is answered 503, never 429, because the official Python client sends an event again
after 500, 502, 503 and 504 but drops it after any 4xx. For the same reason the declared media type is not held against
an event.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from governance.api.batch import batch_reply, single_reply, split_batch, split_single
from governance.api.call import MIB, READERS, Call, Param, Reply, Route, json_reply, roles
from lineage.errors import BadInput
from lineage.retention.age import PATTERN

__all__ = ["ROUTES"]

EVENT_LIMIT: Final = 64 * MIB
WRITERS = roles("ingest", "engineer")


def accept(system: Any, call: Call) -> Reply:
    """One event."""
    return single_reply(system.lineage.accept_many(split_single(call.body), actor=call.actor))


def accept_alias(system: Any, call: Call) -> Reply:
    """The path that some clients use."""
    return accept(system, call)


def accept_root(system: Any, call: Call) -> Reply:
    """The path that the Java client uses when its URL ends with a slash."""
    return accept(system, call)


def accept_slash(system: Any, call: Call) -> Reply:
    """With a trailing slash: a redirect would lose the event in clients that do not follow one."""
    return accept(system, call)


def batch(system: Any, call: Call) -> Reply:
    """Many events, each judged by itself."""
    raws = split_batch(call.body, lines="ndjson" in call.headers.get("content-type", ""))
    return batch_reply(system.lineage.accept_many(raws, actor=call.actor), call.headers)


def status(system: Any, call: Call) -> Reply:
    """How far the graph is."""
    return json_reply(system.lineage.status(digest=call.query["digest"]))


def receipt(system: Any, call: Call) -> Reply:
    """What became of one event."""
    return json_reply(system.lineage.receipt(call.path["sha256"]))


def replay(system: Any, call: Call) -> Reply:
    """What could not be folded is tried again."""
    return json_reply(system.lineage.replay(call.query["from"]))


def rebuild(system: Any, call: Call) -> Reply:
    """The graph is made anew."""
    return json_reply(system.lineage.rebuild(force=bool(call.query["force"])), 202)


def retention(system: Any, call: Call) -> Reply:
    """How long raw events are kept, and how the last run ended."""
    return json_reply(system.retention.state(call.query["older_than"]))


def retain(system: Any, call: Call) -> Reply:
    """Payloads of old events are destroyed."""
    if call.query["older_than"] is None:
        raise BadInput("say how old the events are", hint="POST /api/v1/lineage/retain?older_than=90d")
    return json_reply(system.retention.start(call.query["older_than"], actor=call.actor), 202)


def snapshots(system: Any, _call: Call) -> Reply:
    """What a rebuild may begin from."""
    return json_reply(system.retention.snapshots())


def snapshot(system: Any, call: Call) -> Reply:
    """Some of the bytes of a snapshot."""
    return Reply(body=system.retention.piece(call.path["sha256"], call.query["from"] or 0), media="application/gzip")


def dead_letters(system: Any, _call: Call) -> Reply:
    """What was taken but could not be folded."""
    return json_reply(system.lineage.dead_letters())


_EVENT: dict[str, Any] = {"takes": "event", "limit": EVENT_LIMIT, "status": 201, "gives": "", "roles": WRITERS, "pool": "ingest"}
_ABOUT = (
    "RunEvent, JobEvent or DatasetEvent, plain or gzip. 201 with an empty body once the event is durable; the same event again is "
    "acknowledged and kept once. Refused, with 400, is what is not JSON, has no identity of a run, a job or a dataset, or one that is no "
    "string, or is nested deeper than 256; with 413 what is larger than 64 MiB; nothing else. A list is tolerated: 201 when all of it was "
    "taken, 400 when nothing was, else the answer of a batch. 503 with Retry-After when the store cannot take it, or too much waits."
)

_AGE = Param(
    name="older_than",
    about="recorded longer ago than this: a number and `s`, `m`, `h`, `d` or `w`, for example `90d`",
    schema={"pattern": PATTERN},
)

ROUTES = (
    Route(method="POST", path="/api/v1/lineage", summary="Take one OpenLineage event", handler=accept, about=_ABOUT, **_EVENT),
    Route(method="POST", path="/api/v1/lineage/", summary="The same, with a trailing slash", handler=accept_slash, **_EVENT),
    Route(method="POST", path="/lineage", summary="The same, for clients without the prefix", handler=accept_alias, **_EVENT),
    Route(method="POST", path="/", summary="The same, for clients that post to the bare URL", handler=accept_root, **_EVENT),
    Route(
        method="POST",
        path="/api/v1/lineage/batch",
        summary="Take many OpenLineage events",
        roles=WRITERS,
        handler=batch,
        takes="event",
        limit=EVENT_LIMIT,
        pool="ingest",
        about='A JSON array, `{"events": […]}` or application/x-ndjson. Each event is judged alone; a bad one does not hold up the others. '
        "With `Prefer: return=minimal`, 204 when all were taken. 400 only when the body cannot be read as a batch.",
    ),
    Route(
        method="GET",
        path="/api/v1/lineage/status",
        summary="Events, entries, lag, dead letters and the digest of the graph",
        roles=READERS | {"ingest"},
        handler=status,
        query=(Param(name="digest", kind="bool", about="read the whole graph for its digest; without it, only a small graph's is given"),),
        about="`retired` of the events have no payload any more. "
        "`lag` in entries and `lag_seconds`; `rate` is events a second over the last minute; `error` is why the projector waits.",
    ),
    Route(
        method="GET",
        path="/api/v1/ingest/events/{sha256}",
        summary="What became of one event",
        roles=READERS | {"ingest"},
        handler=receipt,
        about="`state` is `stored` (durable, not yet in the graph), `applied`, `dead` (with the reason), `retired` (applied; its payload "
        "was destroyed by age, a signed snapshot of the graph holds what it said) or `destroyed` (redacted). "
        "The identity is the SHA-256 of the event's JSON with sorted keys, without white space, in ASCII.",
    ),
    Route(
        method="POST",
        path="/api/v1/lineage/replay",
        summary="Fold dead letters again, or every event from an index on",
        roles=roles("engineer"),
        handler=replay,
        query=(Param(name="from", kind="int", about="ledger index; without it, the dead letters"),),
        about="After an upgrade. What is in the graph already changes nothing. `{tried, folded, dead}`.",
    ),
    Route(
        method="POST",
        path="/api/v1/lineage/rebuild",
        summary="Make the graph anew from the ledger",
        roles=roles("admin"),
        handler=rebuild,
        status=202,
        query=(Param(name="force", kind="bool", about="delete what is not this home's too"),),
        about="Events are taken meanwhile; lag says how far it is. `{entries}` are to be projected. Where events were retired it begins "
        "from the newest snapshot; 503, and the graph as it was, when none can be used.",
    ),
    Route(
        method="GET",
        path="/api/v1/lineage/retain",
        summary="How long raw events are kept, the last run, and what a run would retire",
        roles=READERS,
        handler=retention,
        query=(_AGE,),
        about="`policy` is the age after which events are retired every day, `run` the last run with its `state` (`running`, `done`, "
        "`failed`), `would` what a run with this age would retire now.",
    ),
    Route(
        method="POST",
        path="/api/v1/lineage/retain",
        summary="Destroy the payloads of old events, once a signed snapshot of the graph holds what they said",
        roles=roles("privacy"),
        handler=retain,
        status=202,
        query=(replace(_AGE, required=True),),
        about="Goes on after the answer: ask GET how it ended. Leaves, headers and proofs stay. Dead letters keep their payloads. "
        "409 while another run is under way.",
    ),
    Route(
        method="GET",
        path="/api/v1/lineage/snapshots",
        summary="The snapshots of the graph from which a rebuild may begin",
        roles=READERS,
        handler=snapshots,
        about="As their signed manifests in the ledger describe them, the newest first; `there` says whether the file is, `needed` is the "
        "entry below which payloads were retired, `unusable` why others cannot be used.",
    ),
    Route(
        method="GET",
        path="/api/v1/lineage/snapshots/{sha256}",
        summary="The bytes of a snapshot, at most 8 MiB an answer",
        roles=READERS,
        handler=snapshot,
        gives="application/gzip",
        query=(Param(name="from", kind="int", about="from this byte on; an empty answer is the end"),),
    ),
    Route(
        method="GET",
        path="/api/v1/lineage/dead-letters",
        summary="Events that were taken but could not be folded",
        roles=roles("engineer", "auditor"),
        handler=dead_letters,
    ),
)
