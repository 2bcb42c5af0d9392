"""The orders and repetitions in which the same events are sent."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence

__all__ = ["orders"]


def orders(events: Sequence[bytes], shuffles: int, seed: int = 4) -> Iterator[tuple[str, list[bytes]]]:
    """(what it is called, the events) for every order; ``events`` are given by file name."""
    timed = sorted(events, key=lambda raw: str(json.loads(raw).get("eventTime")))
    yield "by name", list(events)
    yield "by time", timed
    yield "reversed", timed[::-1]
    yield "each twice in a row", [raw for raw in timed for _ in range(2)]
    yield "all, and all again backwards", [*timed, *timed[::-1]]
    dice = random.Random(seed)
    for number in range(shuffles):
        many = [raw for raw in events for _ in range(dice.choice((1, 1, 2, 6)))]
        dice.shuffle(many)
        yield f"shuffle {number}", many
