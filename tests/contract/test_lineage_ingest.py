"""From the door to the graph, over the real ledger and the real graph."""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))
from lineage_events import ds, project, recorded, run

from lineage import ingest as ingest_module
from lineage import projection as projection_module
from lineage.adapters.sqlite_graph import SqliteGraph
from lineage.errors import BadEvent, NotFound, StoreUnavailable
from lineage.graph.keys import run_key
from lineage.ingest import REDACTION_KIND, Ingestor
from lineage.model import NewEntry
from lineage.openlineage import check_event
from lineage.trace import MemoryGraph


@pytest.fixture
def graph(tmp_path):
    store = SqliteGraph(tmp_path / "graph.db")
    yield store
    store.close()


@pytest.fixture
def ledger(open_ledger):
    return open_ledger()


@pytest.fixture
def ingestor(ledger, graph, ticking_clock):
    one = Ingestor(ledger, graph, ticking_clock, pause=0.05)
    yield one
    one.stop()


def test_what_is_accepted_is_durable_and_projected(ingestor, ledger, graph):
    ingestor.start()
    for raw in recorded():
        entry = ingestor.accept(raw, actor="key:1")
        assert ledger.entry(entry.index).payload == raw
    assert ingestor.wait(10) == 0
    expected = project(MemoryGraph(), recorded())
    status = ingestor.status()
    assert ingestor.accept(recorded()[0], actor="key:1").duplicate
    assert status.pop("rate") == ingestor.status()["rate"] == round(14 / 60, 2)
    assert status == {
        "events": 14,
        "retired": 0,
        "entries": 14,
        "lag": 0,
        "lag_seconds": 0.0,
        "dead_letters": 0,
        "graph_digest": expected,
        "error": None,
        **graph.counts(),
    }
    assert "graph_digest" not in ingestor.status(digest=False)
    assert ingestor.status(digest=True)["graph_digest"] == expected


def test_status_does_not_wait_for_the_batch_under_way(ingestor, ticking_clock, monkeypatch):
    inside, release = threading.Event(), threading.Event()
    real = SqliteGraph.apply

    def apply(self, delta, position):
        inside.set()
        assert release.wait(20)
        real(self, delta, position)

    monkeypatch.setattr(SqliteGraph, "apply", apply)
    ingestor.accept(run("r", "START", 1), actor="key:1")
    ingestor.start()
    assert inside.wait(10)
    ticking_clock.at += 3_000_000_000
    began = time.monotonic()
    status = ingestor.status(digest=False)
    assert time.monotonic() - began < 5
    assert (status["events"], status["lag"], status["entries"]) == (0, 1, 1)
    assert status["lag_seconds"] == 3.0
    release.set()
    assert ingestor.wait(10) == 0


def test_the_receipt_of_an_event_says_what_became_of_it(ingestor, ledger):
    entry = ingestor.accept(run("r", "START", 1), actor="key:1")
    assert ingestor.receipt(entry.identity) == {
        "identity": entry.identity, "index": 0, "recorded_at": entry.recorded_at, "state": "stored", "reason": None,
    }  # fmt: skip
    ledger.append([NewEntry(kind="openlineage", payload=b"not an event", actor="key:1", identity="poison")])
    ledger.append([NewEntry(kind="govern.key.created", payload=b"{}", actor="key:1", identity="other")])
    ingestor.project()
    assert ingestor.receipt(entry.identity)["state"] == "applied"
    assert ingestor.receipt("poison")["state"] == "dead"
    assert "not JSON" in ingestor.receipt("poison")["reason"]
    ledger.destroy_payload(0)
    assert ingestor.receipt(entry.identity)["state"] == "destroyed"
    assert ingestor.accept(run("r", "START", 1), actor="key:1").duplicate, "what was destroyed is still known"
    for unknown in ("other", "0" * 64):
        with pytest.raises(NotFound):
            ingestor.receipt(unknown)


def test_dead_letters_are_folded_again_when_they_can_be(ledger, graph, ticking_clock, monkeypatch):
    door = Ingestor(ledger, graph, ticking_clock)
    for raw in recorded():
        door.accept(raw, actor="key:1")
    ingestor = Ingestor(ledger, graph, ticking_clock)  # after a restart nothing is kept parsed
    real = projection_module.parse_event
    monkeypatch.setattr(projection_module, "parse_event", lambda raw: real(raw) if b"tbl1" not in raw else 1 / 0)
    ingestor.project()
    assert len(ingestor.dead_letters()) == 4
    assert ingestor.replay() == {"tried": 4, "folded": 0, "dead": 4}
    monkeypatch.undo()
    assert ingestor.replay() == {"tried": 4, "folded": 4, "dead": 0}
    status = ingestor.status()
    assert (status["dead_letters"], status["events"], status["lag"]) == (0, 14, 0)
    assert status["graph_digest"] == project(MemoryGraph(), recorded())
    assert ingestor.replay(10) == {"tried": 4, "folded": 4, "dead": 0}
    assert ingestor.status()["graph_digest"] == project(MemoryGraph(), recorded())
    assert ingestor.replay() == {"tried": 0, "folded": 0, "dead": 0}
    before = dict(graph.state().scan(""))
    ingestor.rebuild()
    assert dict(graph.state().scan("")) == before, "what was replayed left the state that a rebuild makes"


SECRET = ds("orders", dataSource={"name": "shop", "uri": "postgres://me:hunter2@db/shop"})


def test_what_must_not_be_kept_is_nowhere_and_a_retry_is_still_a_duplicate(ingestor, ledger, graph, tmp_path):
    sent = run("r", "COMPLETE", 1, [SECRET], [ds("b")])
    entry, clean = ingestor.accept_many([sent, run("s", "START", 1)], actor="key:1")
    assert b"hunter2" in sent
    assert (entry.identity, clean.index) == (check_event(sent).digest, 2)
    assert json.loads(entry.payload)["inputs"][0]["facets"]["dataSource"]["uri"] == "postgres://db/shop"
    said = ledger.entry(1)
    assert said.kind == REDACTION_KIND
    assert json.loads(said.payload) == {
        "event": entry.identity, "redacted": [{"place": "/inputs/0/facets/dataSource/uri", "rule": "address"}],
    }  # fmt: skip
    ingestor.project()
    digest = ingestor.status()["graph_digest"]
    again, _ = ingestor.accept_many([sent, run("s", "START", 1)], actor="key:1")
    assert (again.duplicate, again.index, ledger.size()) == (True, 0, 3)
    ingestor.rebuild()
    assert ingestor.status()["graph_digest"] == digest, "the witness is the event as it was sent, at the door and in a rebuild"
    ledger.close()
    graph.close()
    for path in tmp_path.iterdir():
        assert b"hunter2" not in path.read_bytes(), path.name


def test_the_same_event_again_is_acknowledged_and_not_kept_twice(ingestor, ledger):
    first = ingestor.accept(run("r", "START", 1), actor="key:1")
    again = json.dumps(json.loads(run("r", "START", 1)), indent=2, sort_keys=True).encode()
    second = ingestor.accept(again, actor="key:2")
    assert (first.duplicate, second.duplicate, first.index, second.index) == (False, True, 0, 0)
    assert ledger.size() == 1


def test_a_refused_event_keeps_nothing_and_spoils_no_other(ingestor, ledger):
    with pytest.raises(BadEvent, match="not JSON"):
        ingestor.accept(b"{", actor="key:1")
    assert ledger.size() == 0
    answers = ingestor.accept_many([run("a", "START", 1), b"[]", run("b", "START", 1), b'{"eventType":"START"}'], actor="key:1")
    assert [type(answer).__name__ for answer in answers] == ["LedgerEntry", "BadEvent", "LedgerEntry", "BadEvent"]
    assert [answers[0].index, answers[2].index] == [0, 1]
    assert ingestor.accept_many([], actor="key:1") == []


def test_thirty_megabytes_go_through_and_the_graph_stays_small(ingestor, ledger, graph):
    raw = run("big", "COMPLETE", 1, [ds("a", "1")], [ds("b", "1")], facets={"spark.logicalPlan": {"plan": "x" * 30_000_000}})
    ingestor.accept(raw, actor="key:1")
    assert ingestor.project() == 1
    assert ledger.entry(0).payload == raw
    assert len(json.dumps(dict(graph.node(run_key("big")).props))) < 2000


def test_other_kinds_of_entry_only_move_the_position(ingestor, ledger, graph):
    ledger.append([NewEntry(kind="govern.erasure.approved", payload=b"{}", actor="key:1")])
    ingestor.accept(run("r", "START", 1), actor="key:1")
    assert ingestor.lag() == 2
    assert ingestor.project() == 2
    assert (graph.position(), ingestor.lag(), ingestor.status()["events"]) == (2, 0, 1)


def test_a_poison_entry_is_a_dead_letter_and_the_others_go_on(ingestor, ledger, graph):
    ingestor.accept(run("before", "START", 1), actor="key:1")
    ledger.append([NewEntry(kind="openlineage", payload=b"not an event at all", actor="key:1", identity="poison")])
    ingestor.accept(run("after", "START", 1), actor="key:1")
    ingestor.project()
    assert graph.position() == 3
    assert graph.node(run_key("before"))
    assert graph.node(run_key("after"))
    (letter,) = ingestor.dead_letters()
    assert (letter["index"], letter["identity"]) == (1, "poison")
    assert "not JSON" in letter["reason"]
    status = ingestor.status()
    assert (status["dead_letters"], status["events"], status["lag"]) == (1, 3, 0)


def test_a_rebuild_tries_dead_letters_again_and_gives_the_same_graph(ingestor, ledger, graph, ticking_clock, monkeypatch):
    for raw in recorded():
        ingestor.accept(raw, actor="key:1")
    ingestor = Ingestor(ledger, graph, ticking_clock)  # after a restart nothing is kept parsed
    real = projection_module.parse_event
    monkeypatch.setattr(projection_module, "parse_event", lambda raw: real(raw) if b"tbl1" not in raw else 1 / 0)
    ingestor.project()
    assert ingestor.status()["dead_letters"] == 4
    monkeypatch.undo()
    ingestor.rebuild()
    status = ingestor.status()
    assert (status["dead_letters"], status["events"]) == (0, 14)
    assert status["graph_digest"] == project(MemoryGraph(), recorded())


def test_an_event_is_parsed_once_between_the_door_and_the_graph(ingestor, monkeypatch):
    parsed = []
    for module, name in ((ingest_module, "check_event"), (projection_module, "parse_event")):
        real = getattr(module, name)
        monkeypatch.setattr(module, name, lambda raw, real=real: parsed.append(raw) or real(raw))
    for raw in recorded():
        ingestor.accept(raw, actor="key:1")
    ingestor.project()
    assert len(parsed) == 14
    assert ingestor.status()["graph_digest"] == project(MemoryGraph(), recorded())
    ingestor.rebuild()
    assert len(parsed) == 28


def test_what_is_kept_parsed_is_bounded_and_duplicates_and_failures_leave_nothing(ingestor, ledger, monkeypatch):
    monkeypatch.setattr(projection_module, "_PARSED_BYTES", 1000)
    parsed = ingestor.projector.parsed
    for n in range(20):
        ingestor.accept(run(f"r{n}", "START", 1), actor="key:1")
    held = parsed.size
    assert 0 < held <= 1000
    assert ingestor.project() == 20
    assert (parsed.size, len(parsed)) == (0, 0)
    ingestor.accept(run("r1", "START", 1), actor="key:1")
    assert (parsed.size, len(parsed)) == (0, 0)
    monkeypatch.setattr(ledger, "append", lambda _entries: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        ingestor.accept(run("new", "START", 1), actor="key:1")
    assert (parsed.size, len(parsed)) == (0, 0)


def test_a_rebuild_while_the_projector_runs_and_events_arrive_loses_none(ingestor, ledger):
    ingestor.start()
    writer = threading.Thread(target=lambda: [ingestor.accept(raw, actor="key:1") for raw in recorded()])
    writer.start()
    for _ in range(3):
        ingestor.rebuild()
    writer.join()
    assert ingestor.wait(10) == 0
    assert ingestor.status()["graph_digest"] == project(MemoryGraph(), recorded())


def test_wait_says_how_much_is_left(ingestor):
    ingestor.accept(run("r", "START", 1), actor="key:1")
    began = time.monotonic()
    assert ingestor.wait(0.1) == 1
    assert time.monotonic() - began < 2
    ingestor.start()
    assert ingestor.wait(10) == 0


def test_an_unavailable_graph_is_waited_for_and_makes_no_dead_letters(ingestor, graph, monkeypatch):
    real = SqliteGraph.apply
    full = threading.Event()
    full.set()

    def apply(self, delta, position):
        if full.is_set():
            raise StoreUnavailable("disk full")
        real(self, delta, position)

    monkeypatch.setattr(SqliteGraph, "apply", apply)
    ingestor.start()
    ingestor.accept(run("r", "START", 1), actor="key:1")
    assert ingestor.wait(0.3) == 1
    assert ingestor.status()["error"] == "disk full"
    full.clear()
    assert ingestor.wait(10) == 0
    assert ingestor.dead_letters() == []
    assert graph.node(run_key("r"))


def test_a_restart_goes_on_where_the_graph_was(ingestor, ledger, graph, ticking_clock):
    for raw in recorded()[:6]:
        ingestor.accept(raw, actor="key:1")
    ingestor.project()
    for raw in recorded()[6:]:
        ingestor.accept(raw, actor="key:1")
    second = Ingestor(ledger, graph, ticking_clock, pause=0.05)
    second.start()
    assert second.wait(10) == 0
    assert second.status()["graph_digest"] == project(MemoryGraph(), recorded())
    second.stop()
