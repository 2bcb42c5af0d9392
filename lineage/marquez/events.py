"""The events as they were sent, by the time at which they took place."""

from __future__ import annotations

from dataclasses import dataclass

from lineage.errors import NotFound
from lineage.graph.state import stamp
from lineage.ledger.replaced import Replacements
from lineage.ports import FoldState, Ledger

__all__ = ["EventPage", "event_page"]

_CHUNK = 1000


@dataclass(frozen=True, slots=True)
class EventPage:
    """A page of events."""

    body: bytes
    """JSON."""
    destroyed: int
    """Events of the page that are not shown: their payloads were retired, or redacted as a whole."""


def event_page(state: FoldState, ledger: Ledger, *, before: int, after: int, limit: int, offset: int, newest: bool) -> EventPage:
    """``{"totalCount": …, "events": [...]}`` as in ``GET /events/lineage``: RunEvents with ``after <= eventTime < before``.

    ``totalCount`` is of events of every kind, as in Marquez. An event whose payload was destroyed has its place in the page, so that
    the next page begins where this one ends, but is not shown; one that was redacted is shown as it stands since.
    """
    replaced = Replacements(ledger)
    low, high = f"ev/{stamp(after)}", f"ev/{stamp(before)}"
    total = state.count(low, high) if low < high else 0
    events: list[bytes] = []
    destroyed = 0
    skip = offset
    while low < high and len(events) + destroyed < limit:
        found = state.between(low, high, reverse=newest, limit=_CHUNK)
        for key, raw in found:
            if len(raw) > 64:  # the digest and a word: not a RunEvent
                continue
            if skip:
                skip -= 1
            elif len(events) + destroyed < limit:
                payload = _payload(ledger, int(key.rsplit("/", 1)[1]), replaced)
                if payload:
                    events.append(payload)
                else:
                    destroyed += 1
        if len(found) < _CHUNK:
            break
        low, high = (low, found[-1][0]) if newest else (found[-1][0] + "0", high)
    return EventPage(b'{"totalCount":%d,"events":[' % total + b",".join(events) + b"]}", destroyed)


def _payload(ledger: Ledger, index: int, replaced: Replacements) -> bytes | None:
    try:
        payload = ledger.entry(index).payload or replaced.of(index)
    except NotFound:
        return None
    return payload.removeprefix(b"\xef\xbb\xbf").strip() if payload else None
