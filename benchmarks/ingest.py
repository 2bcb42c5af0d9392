"""Events a second from bytes to the graph, of the fourteen events that real engines recorded (``tests/data/openlineage``).

They come again and again with run ids of their own; :mod:`benchmarks.lineage_ingest` measures, as it does larger, uniform events.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

from benchmarks.lineage_ingest import measured, rate
from benchmarks.measure import Line
from lineage.openlineage import parse_event

RECORDED = Path(__file__).resolve().parents[1] / "tests" / "data" / "openlineage"
REPEATS = 30
BATCH = 100
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def run() -> Iterator[Line]:
    """Parsing beside the standard library's JSON; acknowledging, folding, and both."""
    events = recorded(REPEATS)
    json_alone, parsed = (rate(len(events), lambda work=work: [work(raw) for raw in events]) for work in (json.loads, parse_event))
    yield Line(name="ingest: parse alone", value=parsed[0], unit="/s", baseline="json.loads", baseline_value=json_alone[0])
    with tempfile.TemporaryDirectory() as folder:
        yield from measured(Path(folder), events, batch=BATCH)


def recorded(repeats: int) -> list[bytes]:
    """The recorded events, ``repeats`` times, each round a day later and with UUIDs of its own; the same in every benchmark."""
    texts = [path.read_text() for path in sorted(RECORDED.rglob("*.json"))]
    if not texts:
        raise FileNotFoundError(f"no recorded events under {RECORDED}")
    events = []
    for turn in range(repeats):
        for text in texts:
            event = json.loads(_UUID.sub(lambda found, turn=turn: str(UUID(int=UUID(found[0]).int ^ turn)), text))
            event["eventTime"] = (datetime.fromisoformat(event["eventTime"]) + timedelta(days=turn)).isoformat()
            events.append(json.dumps(event, separators=(",", ":")).encode())
    return events
