"""The events as they were sent, by the time at which they took place."""

from __future__ import annotations

from lineage.errors import NotFound
from lineage.graph.state import stamp
from lineage.ports import FoldState, Ledger

__all__ = ["event_page"]

_CHUNK = 1000


def event_page(state: FoldState, ledger: Ledger, *, before: int, after: int, limit: int, offset: int, newest: bool) -> bytes:
    """``{"totalCount": …, "events": [...]}`` as in ``GET /events/lineage``: RunEvents with ``after <= eventTime < before``.

    ``totalCount`` is of events of every kind, as in Marquez. An event whose payload was destroyed is passed over.
    """
    low, high = f"ev/{stamp(after)}", f"ev/{stamp(before)}"
    total = state.count(low, high) if low < high else 0
    events: list[bytes] = []
    skip = offset
    while low < high and len(events) < limit:
        found = state.between(low, high, reverse=newest, limit=_CHUNK)
        for key, raw in found:
            if len(raw) > 64:  # the digest and a word: not a RunEvent
                continue
            if skip:
                skip -= 1
            elif len(events) < limit and (payload := _payload(ledger, int(key.rsplit("/", 1)[1]))):
                events.append(payload)
        if len(found) < _CHUNK:
            break
        low, high = (low, found[-1][0]) if newest else (found[-1][0] + "0", high)
    return b'{"totalCount":%d,"events":[' % total + b",".join(events) + b"]}"


def _payload(ledger: Ledger, index: int) -> bytes | None:
    try:
        payload = ledger.entry(index).payload
    except NotFound:
        return None
    return payload.removeprefix(b"\xef\xbb\xbf").strip() if payload else None
