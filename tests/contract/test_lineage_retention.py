"""Raw events are retired: what the graph answers, before and after, in every store."""

from __future__ import annotations

import json
import random
import tracemalloc
from pathlib import Path

import pytest

from lineage.adapters.snapshot_files import SnapshotFolder
from lineage.adapters.sqlite_graph import SqliteGraph
from lineage.errors import BadInput, Conflict, StoreUnavailable, Tampered
from lineage.graph import graph_digest
from lineage.ingest import Ingestor
from lineage.ledger import fsck
from lineage.ledger.merkle import verify_inclusion
from lineage.ledger.retired import RETIRED, parse_retired
from lineage.model import Direction, GraphDelta, NewEntry
from lineage.ports import GraphStore, SnapshotFiles
from lineage.projection import Projector
from lineage.retention import Archive, Retention, restore
from lineage.retention import retain as retain_module
from lineage.retention.manifest import SNAPSHOT
from lineage.retention.records import Tally, packed, records_of, unpacked
from lineage.trace import MemoryGraph
from tests.lineage_events import ds, job_event, model, project, recorded, run
from tests.support.graph_stores import store

__all__ = ["store"]

DAY = 86_400_000_000_000
ORIGIN = "govern.test/log"


def told() -> list[bytes]:
    """Events after which edges have a past, nodes are gone, names are one, jobs declare and versions are inferred."""
    found = [run(f"r{n}", "COMPLETE", n, [ds(f"d{n - 1}"), ds("side", "1")], [ds(f"d{n}", f"v{n}")]) for n in range(1, 6)]
    found += [
        run("late", "COMPLETE", 0, [], [ds("d0", "v0")]),  # binds what r1 read anew
        run("two", "START", 9, [ds("d5"), ds("renamed")]),
        run("two", "COMPLETE", 10, [ds("d5")], [model("m", "1")]),
        job_event(11, "declared", [ds("a"), ds("b")], [ds("c")]),
        job_event(12, "declared", [ds("a")], [ds("c")]),  # one input less: an edge is no more
        run("link", "COMPLETE", 13, [], [ds("d3", links=[("s3://lake", "renamed", "TABLE")])]),
        run("ünï", "COMPLETE", 14, [ds("größe", io={"x": {"big": 2**70, "half": "\ud800"}})], [ds("out", "1")]),
    ]
    return found


class Home:
    """A ledger, a graph, and what retires the events of one into snapshots of the other."""

    def __init__(self, ledger, graph: GraphStore, folder: Path, clock, keys) -> None:
        self.ledger, self.graph, self.clock, self.keys = ledger, graph, clock, keys
        self.folder = folder
        self.files: SnapshotFiles = SnapshotFolder(folder)
        self.archive = Archive(ledger, self.files, origin=ORIGIN, public=lambda: keys.public_ed25519("checkpoint"))
        self.ingestor = Ingestor(ledger, graph, clock, pause=0.05, archive=self.archive)

    def retention(self, **other) -> Retention:
        given = {
            "ledger": self.ledger, "graph": self.graph, "hold": self.ingestor.projector.hold, "wait": lambda: self.ingestor.wait(0.1),
            "archive": self.archive, "files": self.files, "keys": self.keys, "clock": self.clock, "origin": ORIGIN, "generator": "Govern 1",
        }  # fmt: skip
        return Retention(**(given | other))

    def take(self, raws) -> None:
        for raw in raws:
            self.ingestor.accept(raw, actor="key:1")
        while self.ingestor.project():
            pass

    def retire(self, older_than: int = DAY, **options):
        return self.retention().run(older_than, actor="key:dpo", **options)

    def age(self, days: float) -> None:
        self.clock.at += int(days * DAY)


@pytest.fixture
def home(open_ledger, store, tmp_path, ticking_clock, memory_keys):
    return Home(open_ledger(), store, tmp_path / "snapshots", ticking_clock, memory_keys)


@pytest.fixture
def small(open_ledger, tmp_path, ticking_clock, memory_keys):
    """On SQLite alone, for what does not depend on the store."""
    graph = SqliteGraph(tmp_path / "graph.db")
    yield Home(open_ledger(), graph, tmp_path / "snapshots", ticking_clock, memory_keys)
    graph.close()


def answers(graph: GraphStore, times) -> list:
    """Everything that the graph answers, now and of the past: nodes, edges, state, and walks as of and as known at many times."""
    starts = [node.key for node in graph.nodes()]
    found: list = [list(graph.nodes()), list(graph.edges()), dict(graph.counts()), graph.position(), list(graph.state().scan(""))]
    for known_at in times:
        for direction in Direction:
            walk = graph.closure(starts, direction, known_at=known_at)
            found.append((walk.nodes, walk.edges))
        found.append(graph.neighbours(starts, known_at=known_at).edges)
    found += [graph.closure(starts, direction, as_of=when).edges for direction in Direction for when in (0, 1767225600 * 10**9 + 10**11)]
    return found


def times_of(ledger) -> list[int]:
    found = [entry.recorded_at for entry in ledger.entries(0, 1000)]
    return [found[0] - 1, *found]


@pytest.mark.parametrize("every", [pytest.param(1, marks=pytest.mark.slow), 4])
def test_a_rebuild_from_the_snapshot_gives_the_same_graph_and_the_same_past(home, every):
    """As known at each of the times, or at each fourth."""
    home.take(told())
    times = times_of(home.ledger)[::every]
    before = answers(home.graph, times)
    home.age(2)
    answer = home.retire()
    assert (answer["events"], answer["dead_letters_kept"], answer["snapshot"]["new"]) == (12, 0, True)
    assert answer["snapshot"]["graph_digest"] == graph_digest(home.graph.nodes(), home.graph.edges())
    assert [entry.payload for entry in home.ledger.entries(0, 12)] == [None] * 12
    while home.ingestor.project():
        pass
    home.ingestor.rebuild()
    after = answers(home.graph, times)
    after[3] = before[3]  # two entries more: the snapshot and the retirement
    assert after == before
    assert fsck(home.ledger).problems == ()
    assert fsck(home.ledger).destroyed == 12


def test_what_remains_is_folded_on_top_and_the_whole_is_that_of_all_events(small, tmp_path):
    events = told()
    random.Random(7).shuffle(events)
    small.take(events[:7])
    small.age(2)
    assert small.retire()["events"] == 7
    small.take(events[7:])
    live = answers(small.graph, times_of(small.ledger))
    small.ingestor.rebuild()
    assert answers(small.graph, times_of(small.ledger)) == live
    clean = SqliteGraph(tmp_path / "clean.db")
    assert project(clean, events) == small.ingestor.digest()
    clean.close()


@pytest.mark.parametrize("every", [pytest.param(1, marks=pytest.mark.slow), 5])
def test_a_snapshot_of_one_store_is_read_by_every_other(store, tmp_path, every):
    """It answers alike as of, and as known at, every second of the events or each fifth."""
    source = SqliteGraph(tmp_path / "source.db")
    project(source, told())
    first, again = Tally(), Tally()
    pieces = b"".join(packed(records_of(source), first))
    restore(store, unpacked([pieces]), source.position())
    list(packed(records_of(store), again))
    times = [second * 10**9 for second in range(0, len(told()) + 2, every)]
    assert answers(store, times) == answers(source, times)
    assert again.said()["graph_digest"] == first.said()["graph_digest"]
    assert again.counts() == first.counts()
    source.close()


# ── what is kept, and what is refused ───────────────────────────────────────────────────────────
def test_only_what_is_old_enough_is_retired_and_one_snapshot_serves_many_days(small):
    small.take(told()[:4])
    small.age(3)
    small.take(told()[4:8])
    first = small.retire(2 * DAY)
    assert (first["events"], first["snapshot"]["new"], first["snapshot"]["position"]) == (4, True, 8)
    assert [small.ledger.entry(n).payload is None for n in range(8)] == [True] * 4 + [False] * 4
    small.age(3)
    second = small.retire(2 * DAY)
    assert (second["events"], second["snapshot"]["new"]) == (4, False)
    assert second["snapshot"]["sha256"] == first["snapshot"]["sha256"]
    assert small.retire(2 * DAY)["events"] == 0
    assert small.retire(2 * DAY)["snapshot"] is None
    small.take(told()[8:])
    small.age(3)
    third = small.retire(2 * DAY)
    assert third["snapshot"]["new"]
    assert small.files.names() == {third["snapshot"]["sha256"]}, "the older snapshot no longer holds all that was retired"
    assert fsck(small.ledger).problems == ()


def test_a_dry_run_says_what_would_go_and_changes_nothing(small):
    small.take(told())
    small.age(2)
    size, answer = small.ledger.size(), small.retire(dry_run=True)
    assert (answer["events"], answer["snapshot"], answer["dry_run"]) == (12, {"new": True, "position": 12}, True)
    assert answer["bytes"] == sum(len(entry.payload) for entry in small.ledger.entries(0, 12))
    assert (small.ledger.size(), small.files.names()) == (size, set())


def test_the_entries_say_what_was_done_and_proofs_made_before_still_hold(small):
    small.take(told())
    note, path = small.ledger.checkpoint(), small.ledger.inclusion(3, 12)
    leaf = small.ledger.entry(3).leaf
    small.age(2)
    answer = small.retire()
    said = parse_retired(small.ledger.entries(0, 9, RETIRED)[0].payload)
    assert (said.ranges, said.snapshot, said.position) == (((0, 11),), answer["snapshot"]["entry"], 12)
    assert verify_inclusion(leaf, 3, 12, path, note.root)
    assert small.ledger.entry(3).leaf == leaf
    assert small.ledger.entries(0, 9, SNAPSHOT)[0].actor == "key:dpo"


def test_what_waits_for_the_graph_stops_it(small):
    small.ingestor.accept(told()[0], actor="key:1")
    small.age(2)
    with pytest.raises(Conflict, match="not in the graph yet: it is at entry 0 of 1"):
        small.retire()
    assert small.ledger.entry(0).payload is not None


def test_a_dead_letter_keeps_its_payload_until_it_is_folded_and_a_snapshot_holds_it(small, monkeypatch):
    from lineage import projection

    real = projection.parse_event
    door = Ingestor(small.ledger, small.graph, small.clock)
    for raw in told():
        door.accept(raw, actor="key:1")
    monkeypatch.setattr(projection, "parse_event", lambda raw: real(raw) if b'"late"' not in raw else 1 / 0)
    small.take([])
    small.age(2)
    answer = small.retire()
    assert (answer["events"], answer["dead_letters_kept"]) == (11, 1)
    assert small.ledger.entry(5).payload == told()[5]
    small.ingestor.rebuild()
    assert [letter["index"] for letter in small.ingestor.dead_letters()] == [5]
    monkeypatch.setattr(projection, "parse_event", real)
    small.ingestor.rebuild()
    assert small.ingestor.dead_letters() == [], "what can be read now is folded when the graph is made anew"
    again = small.retire()
    assert (again["events"], again["snapshot"]["new"]) == (1, True), "the first snapshot did not hold what it said"
    digest = small.ingestor.digest()
    small.ingestor.rebuild()
    assert small.ingestor.digest() == digest == project(MemoryGraph(), told())


def test_an_age_that_is_none_and_a_second_run_at_once_are_refused(small):
    for age in (0, -1):
        with pytest.raises(BadInput, match="not above 0"):
            small.retire(age)
    one = small.retention()
    with one._turn, pytest.raises(Conflict, match="being retired already"):
        one.run(DAY, actor="a")


def test_what_was_rewritten_in_the_ledger_is_never_destroyed(small, tmp_path):
    import sqlite3

    small.take(told())
    raw = sqlite3.connect(tmp_path / "ledger.db")
    raw.execute("UPDATE entries SET payload = x'00' WHERE idx = 4")
    raw.commit()
    raw.close()
    small.age(2)
    with pytest.raises(Tampered, match="entry 4 does not match its leaf"):
        small.retire()
    assert all(entry.payload is not None for entry in small.ledger.entries(0, 12))


# ── the snapshot is missing, altered, of another time ───────────────────────────────────────────
@pytest.fixture
def retired(small):
    small.take(told())
    small.age(2)
    small.answer = small.retire()
    (small.file,) = small.folder.glob("*.gz")
    while small.ingestor.project():
        pass
    return small


def refused(home, match: str) -> None:
    """A rebuild leaves the graph as it is, and a graph that was lost is not made smaller than it was."""
    counts, position = home.graph.counts(), home.graph.position()
    with pytest.raises(StoreUnavailable, match=match):
        home.ingestor.projector.begin_anew()
    assert (home.graph.counts(), home.graph.position()) == (counts, position)
    with home.ingestor.projector.hold():
        home.graph.clear()
    again = Projector(home.ledger, home.graph, home.clock, archive=home.archive)
    with pytest.raises(StoreUnavailable, match=match):
        again.project()
    assert (home.graph.position(), home.graph.counts()["nodes"]) == (0, 0)


def test_a_rebuild_without_its_snapshot_is_refused_until_it_is_back(retired):
    digest, aside = retired.ingestor.digest(), retired.file.with_suffix(".aside")
    retired.file.rename(aside)
    refused(retired, r"12 events were retired, and no snapshot .* entry 12 or later .*is not there")
    projector = Projector(retired.ledger, retired.graph, retired.clock, archive=retired.archive)
    for _ in range(2):  # the second time it is not looked for: it may be large
        with pytest.raises(StoreUnavailable, match="is not there"):
            projector.project()
        if not retired.file.exists():
            aside.rename(retired.file)
    projector.rebuild()
    assert projector.digest() == digest


@pytest.mark.parametrize("change", [lambda raw: raw[:-9], lambda raw: raw[:60] + bytes([raw[60] ^ 1]) + raw[61:], lambda _: b""])
def test_a_rebuild_from_an_altered_snapshot_is_refused(retired, change):
    retired.file.write_bytes(change(retired.file.read_bytes()))
    refused(retired, "it was altered")


def test_a_projector_without_snapshots_makes_no_smaller_graph(retired):
    bare = Projector(retired.ledger, MemoryGraph(), retired.clock)
    with pytest.raises(StoreUnavailable, match="no snapshots to read"):
        bare.project()


def test_a_manifest_that_another_key_signed_is_refused(retired):
    retired.archive._public = lambda: retired.keys.public_ed25519("another")
    refused(retired, "that of entry 12: the note carries no signature by the key")


def test_a_snapshot_that_this_release_cannot_read_is_refused_and_named(retired, monkeypatch):
    monkeypatch.setattr("lineage.retention.records.VERSION", 2)
    refused(retired, "format 1 and state version 1; this Govern reads 1 and 2")


def test_a_snapshot_older_than_what_was_retired_is_not_used(retired):
    first = retired.file.read_bytes()
    retired.take([run("more", "COMPLETE", 50, [], [ds("x", "1")])])
    retired.age(2)
    retired.retire()
    (second,) = retired.folder.glob("*.gz")
    second.unlink()
    retired.file.write_bytes(first)
    refused(retired, r"13 events were retired, and no snapshot .* entry 1[0-9] or later")


def test_a_graph_that_fell_behind_its_snapshot_is_filled_from_it(retired):
    """After a power cut the graph's file may be at an earlier position; what lay between may be retired."""
    digest = retired.ingestor.digest()
    retired.graph.clear()
    with retired.graph.transaction():
        retired.graph.apply(GraphDelta(), 7)
    again = Ingestor(retired.ledger, retired.graph, retired.clock, archive=retired.archive)
    while again.project():
        pass
    assert again.digest() == digest


def test_while_the_graph_is_made_anew_nothing_is_destroyed(small, monkeypatch):
    small.take(told())
    small.age(2)
    retention, real = small.retention(), Archive.verify

    def verify(archive, snapshot):
        real(archive, snapshot)
        small.ingestor.projector.begin_anew()

    monkeypatch.setattr(Archive, "verify", verify)
    with pytest.raises(Conflict, match="being made anew"):
        retention.run(DAY, actor="a")
    assert all(entry.payload is not None for entry in small.ledger.entries(0, 12))


def test_an_announcement_that_cannot_be_read_is_no_reason_to_go_on(small):
    small.take(told()[:2])
    small.ledger.append([NewEntry(kind=RETIRED, payload=b"{}", actor="key:1")])
    projector = Projector(small.ledger, small.graph, small.clock, archive=small.archive)
    with pytest.raises(Tampered, match=r"ledger entry 2 \(govern.ledger.retired\): not a retirement"):
        projector.project()


# ── redaction reaches snapshots ─────────────────────────────────────────────────────────────────
def test_a_snapshot_of_what_was_redacted_since_is_not_used_and_not_made(small):
    small.take(told())
    small.age(2)
    small.ledger.redact(2, actor="key:dpo", reason="a name in a path")
    with pytest.raises(Conflict, match="still holds what entry 2 said, which was redacted"):
        small.retire()
    assert small.files.names() == set()
    small.ingestor.rebuild()
    while small.ingestor.project():
        pass
    answer = small.retire()
    assert answer["events"] == 11
    digest = small.ingestor.digest()
    small.ingestor.rebuild()
    assert small.ingestor.digest() == digest
    small.take([run("young", "COMPLETE", 60, [], [ds("y", "1")])])
    small.ledger.redact(small.ledger.size() - 1, actor="key:dpo", reason="a name")
    small.ingestor.rebuild()
    assert not small.graph.find("DatasetVersion", {"name": "y"}), "it came after the snapshot, which is still of use"


def test_a_rebuild_does_not_bring_back_what_was_redacted_after_the_snapshot(small):
    small.take(told()[:6])
    small.age(3)
    small.take(told()[6:])
    assert small.retire(2 * DAY)["events"] == 6
    small.ledger.redact(8, actor="key:dpo", reason="a name in a path")
    refused(small, "holds what entry 8 said, which was redacted since")


# ── what is said of it ──────────────────────────────────────────────────────────────────────────
def test_status_and_receipts_say_that_payloads_were_retired(retired):
    entry = retired.ledger.entry(3)
    assert retired.ingestor.receipt(entry.identity)["state"] == "retired"
    assert retired.ingestor.accept(told()[3], actor="key:1").duplicate
    retired.take([run("more", "COMPLETE", 50, [], [ds("x", "1")])])
    status = retired.ingestor.status()
    assert (status["events"], status["retired"]) == (13, 12)
    last = retired.ledger.entries(0, 99, "openlineage")[-1]
    assert retired.ingestor.receipt(last.identity)["state"] == "applied"
    retired.ledger.destroy_payload(last.index)
    assert retired.ingestor.receipt(last.identity)["state"] == "destroyed"


# ── how it grows ────────────────────────────────────────────────────────────────────────────────
def test_payloads_go_in_bounded_steps(small, monkeypatch):
    monkeypatch.setattr(retain_module, "_EVENTS_AT_ONCE", 5)
    monkeypatch.setattr(retain_module, "_BYTES_AT_ONCE", 2000)
    small.take(told())
    small.age(2)
    answer = small.retire()
    assert answer["events"] == 12
    assert len(answer["entries"]) > 3
    covered = [run for entry in small.ledger.entries(0, 99, RETIRED) for run in parse_retired(entry.payload).ranges]
    assert sorted(n for first, last in covered for n in range(first, last + 1)) == list(range(12))
    assert fsck(small.ledger).problems == ()


def test_a_snapshot_is_written_and_read_as_a_stream():
    chance = random.Random(3)
    records = ((f"run/{n:08d}", chance.randbytes(2500).hex().encode()) for n in range(3000))
    total = 0
    tracemalloc.start()
    try:
        for _, value in unpacked(packed(records, Tally())):
            total += len(value)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert total == 15_000_000
    assert peak < 6_000_000


def test_the_recorded_events_too(small):
    small.take(recorded())
    digest = small.ingestor.digest()
    small.age(2)
    small.retire()
    small.ingestor.rebuild()
    assert small.ingestor.digest() == digest


def test_a_full_disk_leaves_no_draft_and_everything_as_it_was(small, monkeypatch):
    small.take(told())
    small.age(2)

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("lineage.adapters.snapshot_files.os.fsync", full)
        with pytest.raises(StoreUnavailable, match=r"cannot be written to .*No space left"):
            small.retire()
    assert not list(small.folder.iterdir())
    assert small.retire()["events"] == 12


def test_a_line_of_a_snapshot_that_is_none_is_refused():
    import gzip

    def read(*lines) -> list:
        return list(unpacked([gzip.compress(b"\n".join([*lines, b""]))]))

    head = json.dumps({"format": 1, "fold": 1, "kind": "govern-lineage-snapshot"}).encode()
    assert read(head, b'["s","a","1"]', b'["z",1,0,0,0]') == [("a", b"1")]
    assert read(head, b'["b","a","/w=="]', b'["z",1,0,0,0]') == [("a", b"\xff")]
    for lines in (
        (),
        (b"{}",),
        (b'{"kind":"x","format":1,"fold":1}',),
        (head,),
        (head, b'["z",1,0,0,0]'),
        (head, b'["q",1]', b'["z",1,0,0,0]'),
    ):
        with pytest.raises(Tampered):
            read(*lines)
    with pytest.raises(Tampered, match="not gzip"):
        list(unpacked([b"plain"]))
