"""OpenLineage at the door: bytes become one frozen :class:`lineage.model.RunEvent`, or a refusal that says why."""

from __future__ import annotations

from lineage.openlineage.names import normalise
from lineage.openlineage.parse import MAX_BYTES, MAX_DEPTH, CheckedEvent, check_event, event_digest, parse_event, read_event

__all__ = ["MAX_BYTES", "MAX_DEPTH", "CheckedEvent", "check_event", "event_digest", "normalise", "parse_event", "read_event"]
