"""Many erasure requests in one body."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any, Final

from governance.api.call import MIB, Call, Param, Reply, Route, json_reply, roles
from governance.api.problems import UnsupportedMedia

__all__ = ["ROUTES"]

FORMS: Final[Mapping[str, str]] = {"application/x-ndjson": "ndjson", "application/json": "json", "text/csv": "csv"}


def take(system: Any, call: Call) -> Reply:
    """Every row that can be used is entered; each row has its own answer."""
    media = call.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if media not in FORMS:
        raise UnsupportedMedia(f"this route reads {', '.join(FORMS)}, not {media[:80]}", hint="set Content-Type")
    answer = system.bulk.take(
        io.BytesIO(call.body), FORMS[media], actor=call.actor, idempotency=call.idempotency, dry_run=bool(call.query["dry_run"])
    )
    return json_reply(answer)


ROUTES = (
    Route(
        method="POST",
        path="/api/v1/erasure-requests/batch",
        summary="Receive many requests; each row has its own answer",
        roles=roles("privacy"),
        handler=take,
        query=(Param(name="dry_run", kind="bool", default=False, about="only say what would be entered"),),
        takes="binary",
        media="application/x-ndjson",
        media_also=("application/json", "text/csv"),
        limit=8 * MIB,
        idempotent=True,
        about="At most 10 000 rows `{type, value, regulation, ground, key}`; nothing of the body is kept.",
    ),
)
