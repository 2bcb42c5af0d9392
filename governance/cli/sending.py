"""How events of any source reach the door: in batches, again when a server is busy, and one by one where a batch is refused whole."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from governance.cli.client import Api
from governance.cli.sources import Found
from lineage.errors import BadEvent, BadInput, StoreUnavailable

__all__ = ["BATCH_BYTES", "BATCH_EVENTS", "batches", "deliver", "send"]

BATCH_EVENTS: Final = 200
BATCH_BYTES: Final = 960 * 1024
"""Just below what the server's fast lane takes."""
_WAITS: Final = (0.5, 1.0, 2.0, 4.0)
"""Seconds between the attempts to send a batch to a busy server."""


def batches(found: Iterable[Found]) -> Iterator[list[Found]]:
    """The events in groups of at most :data:`BATCH_EVENTS` and :data:`BATCH_BYTES`; a larger event is a group of its own."""
    batch: list[Found] = []
    size = 0
    for one in found:
        if batch and (len(batch) >= BATCH_EVENTS or size + len(one.raw) > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(one)
        size += len(one.raw)
    if batch:
        yield batch


def send(api: Api, batch: Sequence[Found]) -> list[dict[str, str]]:
    """Send a batch, and again to a server that says it is busy; every event of it that is not refused is durable when this returns.

    Returns:
        ``{place, reason}`` of every event that was refused, in order.

    Raises:
        StoreUnavailable: the server, or the home's store, cannot take events now. What was taken before is acknowledged again.
        GovernError: nothing can be taken as it stands (the key, the address).
    """
    for wait in _WAITS:
        try:
            return deliver(api, batch)
        except StoreUnavailable:
            if not os.environ.get("GOVERN_URL"):
                raise
            time.sleep(wait)
    return deliver(api, batch)


def deliver(api: Api, batch: Sequence[Found]) -> list[dict[str, str]]:
    """As :func:`send`, but tried once."""
    refused = {index: found.fault for index, found in enumerate(batch) if found.fault}
    sent = [(index, found.raw) for index, found in enumerate(batch) if not found.fault]
    if sent:
        try:
            answer = _post(api, [raw for _, raw in sent])
            refused |= {sent[item["index"]][0]: item["reason"] for item in answer.get("failed_events") or []}
        except BadInput:
            # One of them spoils the array (nested so deep that only the array around it is too deep, or as large as an event may be).
            for index, raw in sent:
                try:
                    api.send("POST", "/api/v1/lineage", raw, "application/json")
                except BadEvent as error:
                    refused[index] = error.message
    return [{"place": batch[index].place, "reason": reason or ""} for index, reason in sorted(refused.items())]


def _post(api: Api, raws: Sequence[bytes]) -> Any:
    return api.send("POST", "/api/v1/lineage/batch", b"[" + b",".join(raws) + b"]", "application/json")
