"""What every ledger does, on SQLite and on PostgreSQL: what is acknowledged, what is refused, what the control records say."""

from __future__ import annotations

import json
import secrets
import threading

import pytest

from lineage.errors import BadInput, Conflict, NotFound, StoreUnavailable, Tampered
from lineage.ledger import fsck, merkle, notes
from lineage.ledger.entries import REDACTED, leaf_data
from lineage.ledger.retired import RETIRED, parse_retired
from lineage.model import NewEntry, RecordChange


def entry(n, kind="test.noted", identity=None, **body):
    return NewEntry(kind=kind, payload=json.dumps({"n": n, **body}).encode(), actor="key:test", identity=identity)


def counting(new, read):
    """A reducer: how often a name was noted, and its last number; ``forget`` removes the record."""
    if not new.kind.startswith("test."):
        return
    body = json.loads(new.payload)
    name = body.get("name", "x")
    if new.kind == "test.forgotten":
        yield RecordChange(kind="count", ident=name, body=None)
        return
    before = read("count", name) or {"times": 0}
    yield RecordChange(kind="count", ident=name, body={"times": before["times"] + 1, "last": body["n"]})


def test_an_acknowledged_entry_is_there_after_reopening(ledger_store):
    ledger = ledger_store.open()
    first, second = ledger.append([entry(0), entry(1)])
    ledger.close()
    again = ledger_store.open()
    assert again.size() == 2
    assert [again.entry(0), again.entry(1)] == [first, second]
    assert first.recorded_at < second.recorded_at


def test_roots_and_proofs_are_those_of_the_leaves(ledger_store):
    ledger = ledger_store.open()
    leaves = [e.leaf for n in range(13) for e in ledger.append([entry(n)])]
    for size in range(14):
        assert ledger.root(size) == merkle.root(leaves[:size])
        for index in range(size):
            assert merkle.verify_inclusion(leaves[index], index, size, ledger.inclusion(index, size), ledger.root(size))
        proof = ledger.consistency(size, 13)
        assert merkle.verify_consistency(size, 13, ledger.root(size), ledger.root(), proof)


@pytest.mark.parametrize("size", [-1, 3, 10**9])
def test_a_size_the_log_never_had_is_bad_input(ledger_store, size):
    ledger = ledger_store.open()
    ledger.append([entry(0), entry(1)])
    with pytest.raises(BadInput, match="no tree of size"):
        ledger.root(size)
    with pytest.raises(BadInput):
        ledger.inclusion(0, size)


def test_the_same_identity_is_appended_once(ledger_store):
    ledger = ledger_store.open()
    one, two, again = ledger.append([entry(0, identity="a"), entry(1, identity="b"), entry(2, identity="a")])
    assert (one.duplicate, two.duplicate, again.duplicate) == (False, False, True)
    assert again.index == one.index
    assert again.payload == one.payload
    assert ledger.append([entry(3, identity="b")])[0].duplicate
    assert ledger.size() == 2
    assert ledger.by_identity("b").index == 1
    assert ledger.by_identity("c") is None


def test_a_large_batch_finds_its_duplicates_before_and_inside_it(ledger_store):
    ledger = ledger_store.open()
    ledger.append([entry(n, identity=f"i{n}") for n in range(0, 1200, 3)])
    before = ledger.size()
    answers = ledger.append([entry(n, identity=f"i{n}") for n in [*range(1200), *range(1200)]])
    assert [a.duplicate for a in answers] == [n % 3 == 0 for n in range(1200)] + [True] * 1200
    assert [a.identity for a in answers[:1200]] == [f"i{n}" for n in range(1200)]
    assert [a.index for a in answers[1200:]] == [a.index for a in answers[:1200]]
    assert ledger.size() == before + 800
    assert fsck(ledger).ok


def test_entries_are_read_in_pages_and_by_kind(ledger_store):
    ledger = ledger_store.open()
    ledger.append([entry(n, kind="test.even" if n % 2 == 0 else "test.odd") for n in range(10)])
    assert [e.index for e in ledger.entries(3, 4)] == [3, 4, 5, 6]
    assert [e.index for e in ledger.entries(3, kind="test.even")] == [4, 6, 8]
    assert ledger.entries(10) == []
    with pytest.raises(NotFound, match="no entry 10 in a ledger of 10"):
        ledger.entry(10)


def test_records_follow_the_entries(ledger_store):
    ledger = ledger_store.open(reducer=counting)
    ledger.append([entry(0, name="a"), entry(1, name="a"), entry(2, name="b")])
    assert ledger.record("count", "a") == ({"times": 2, "last": 1}, 2)
    assert ledger.records("count", prefix="b") == [("b", {"times": 1, "last": 2}, 3)]
    ledger.append([entry(3, kind="test.forgotten", name="a")])
    assert ledger.record("count", "a") is None
    ledger.append([entry(4, name="a")])
    assert ledger.record("count", "a") == ({"times": 1, "last": 4}, 5)


def test_a_duplicate_changes_no_record(ledger_store):
    ledger = ledger_store.open(reducer=counting)
    ledger.append([entry(0, identity="i"), entry(0, identity="i")])
    assert ledger.record("count", "x") == ({"times": 1, "last": 0}, 1)


def test_prefixes_are_taken_literally(ledger_store):
    ledger = ledger_store.open(reducer=counting)
    ledger.append([entry(n, name=name) for n, name in enumerate(["a%", "a_b", "ab", "a%c", "b", "é\U0001f600"])])
    assert [ident for ident, _, _ in ledger.records("count", prefix="a%")] == ["a%", "a%c"]
    assert [ident for ident, _, _ in ledger.records("count", prefix="é")] == ["é\U0001f600"]
    assert len(ledger.records("count")) == 6


def test_the_first_records_of_many_are_read_and_all_are_counted(ledger_store):
    ledger = ledger_store.open(reducer=counting)
    ledger.append([entry(n, name=name) for n, name in enumerate(["a/3", "a/1", "b/1", "a/2"])])
    assert [ident for ident, _, _ in ledger.records("count", prefix="a/", limit=2)] == ["a/1", "a/2"]
    assert [ident for ident, _, _ in ledger.records("count", limit=9)] == ["a/1", "a/2", "a/3", "b/1"]
    assert ledger.records("count", prefix="a/", limit=0) == []
    assert [ident for ident, _, _ in ledger.transact(lambda tx: tx.records("count", prefix="a/", limit=1))] == ["a/1"]
    assert (ledger.count("count", prefix="a/"), ledger.count("count"), ledger.count("nothing")) == (3, 4, 0)


def test_what_changed_since_is_told_with_how_many_there_are(ledger_store):
    ledger = ledger_store.open(reducer=counting)
    assert ledger.changed("count", 0) == ([], 0)
    ledger.append([entry(n, name=name) for n, name in enumerate(["b", "a", "c"])])
    assert [ident for ident, _, _ in ledger.changed("count", 0)[0]] == ["a", "b", "c"]
    assert ledger.changed("count", 3) == ([], 3)
    assert ledger.changed("nothing", 0) == ([], 0)
    ledger.append([entry(3, name="c"), entry(4, name="a")])
    assert ledger.changed("count", 3) == ([("a", {"times": 2, "last": 4}, 5), ("c", {"times": 2, "last": 3}, 4)], 3)
    assert [ident for ident, _, _ in ledger.changed("count", 4)[0]] == ["a"]
    ledger.append([entry(5, kind="test.forgotten", name="b"), entry(6, name="d")])
    assert ledger.changed("count", 5) == ([("d", {"times": 1, "last": 6}, 7)], 3), "three, and not four: one is gone"


def test_rebuilding_gives_the_same_records(ledger_store):
    ledger = ledger_store.open(reducer=counting)
    ledger.append([entry(n, kind="test.forgotten" if n % 5 == 4 else "test.noted", name=f"n{n % 3}") for n in range(40)])
    before = ledger.records("count")
    ledger_store.edit("UPDATE records SET body='{}'")
    ledger_store.edit("INSERT INTO records VALUES ('count','planted','{}',1)")
    assert ledger.records("count") != before
    assert ledger.rebuild_records() == 40
    assert ledger.records("count") == before


def test_work_that_fails_leaves_nothing(ledger_store):
    ledger = ledger_store.open(reducer=counting)
    ledger.append([entry(0)])

    def work(tx):
        tx.append(entry(1, name="lost"))
        assert tx.record("count", "lost") is not None
        raise ValueError("changed my mind")

    with pytest.raises(ValueError, match="changed my mind"):
        ledger.transact(work)
    assert ledger.size() == 1
    assert ledger.record("count", "lost") is None
    assert ledger.append([entry(2)])[0].index == 1
    assert fsck(ledger).ok


def test_a_reducer_that_fails_refuses_the_entry(ledger_store):
    def refusing(new, read):
        raise Conflict("not from this state")

    ledger = ledger_store.open(reducer=refusing)
    with pytest.raises(Conflict, match="not from this state"):
        ledger.append([entry(0)])
    assert ledger.size() == 0


def test_failing_work_does_not_hurt_what_shares_its_commit(ledger_store):
    """The first work holds the writer until the others wait, so that these are one group."""
    ledger = ledger_store.open(reducer=counting)
    held, waiting = threading.Event(), threading.Event()
    outcomes = {}

    def hold(tx):
        held.set()
        assert waiting.wait(10)
        return tx.append(entry(-1)).index

    def fail(tx):
        tx.append(entry(99, name="bad"))
        raise ValueError("bad")

    def run(name, call):
        try:
            outcomes[name] = call()
        except ValueError as error:
            outcomes[name] = str(error)

    threads = [threading.Thread(target=run, args=("hold", lambda: ledger.transact(hold)))]
    threads[0].start()
    assert held.wait(10)
    for n in range(9):
        call = (lambda: ledger.transact(fail)) if n % 3 == 1 else (lambda n=n: ledger.append([entry(n)])[0].index)
        threads.append(threading.Thread(target=run, args=(n, call)))
        threads[-1].start()
    waiting.set()
    for thread in threads:
        thread.join(10)
    assert [outcomes[n] for n in (1, 4, 7)] == ["bad"] * 3
    assert sorted(outcomes[n] for n in (0, 2, 3, 5, 6, 8)) == [1, 2, 3, 4, 5, 6]
    assert ledger.size() == 7
    assert ledger.record("count", "bad") is None
    assert fsck(ledger).ok


def test_readers_see_only_what_is_committed(ledger_store):
    ledger = ledger_store.open(reducer=counting)

    def work(tx):
        tx.append(entry(0))
        found = []
        reader = threading.Thread(target=lambda: found.extend([ledger.size(), ledger.record("count", "x")]))
        reader.start()
        reader.join(10)
        return found

    assert ledger.transact(work) == [0, None]
    assert ledger.size() == 1


def test_many_threads_append_and_every_answer_is_right(ledger_store):
    ledger = ledger_store.open(reducer=counting)
    answers = {}

    def run(k):
        for n in range(25):
            answers[k, n] = ledger.append([entry(n, identity=f"{k}.{n}"), entry(n, identity=f"shared.{n}")])

    threads = [threading.Thread(target=run, args=(k,)) for k in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert ledger.size() == 12 * 25 + 25
    for (k, n), (own, shared) in answers.items():
        assert ledger.entry(own.index).identity == f"{k}.{n}"
        assert ledger.entry(shared.index).identity == f"shared.{n}"
    assert sum(not shared.duplicate for _, shared in answers.values()) == 25
    assert ledger.record("count", "x")[0]["times"] == 325
    assert fsck(ledger).ok


def test_the_ledger_inside_its_own_transaction_is_a_mistake_not_a_deadlock(ledger_store):
    ledger = ledger_store.open()
    with pytest.raises(RuntimeError, match="would wait for itself"):
        ledger.transact(lambda tx: ledger.append([entry(0)]))
    assert ledger.append([entry(1)])[0].index == 0


def test_a_transaction_that_is_over_refuses_its_use(ledger_store):
    ledger = ledger_store.open()
    kept = ledger.transact(lambda tx: tx)
    with pytest.raises(Conflict, match="is over"):
        kept.append(entry(0))
    with pytest.raises(Conflict, match="is over"):
        kept.record("a", "b")
    assert ledger.size() == 0


def test_a_checkpoint_is_signed_stored_and_not_repeated(ledger_store, memory_keys):
    ledger = ledger_store.open()
    empty = ledger.checkpoint()
    assert (empty.size, empty.root) == (0, merkle.EMPTY_ROOT)
    ledger.append([entry(0), entry(1)])
    point = ledger.checkpoint()
    assert point == ledger.checkpoint()
    assert ledger.checkpoints() == [empty, point]
    read = notes.verify_checkpoint(point.note, name="govern.test/log", public=memory_keys.public_ed25519("checkpoint"))
    assert (read.size, read.root) == (2, ledger.root())


def test_a_closed_ledger_says_so(ledger_store):
    ledger = ledger_store.open()
    ledger.close()
    ledger.close()
    for use in (ledger.size, ledger.checkpoint, lambda: ledger.append([entry(0)])):
        with pytest.raises(StoreUnavailable, match="closed"):
            use()


# ── destruction ─────────────────────────────────────────────────────────────────────────────────
def test_a_destroyed_payload_is_gone_from_every_byte_and_the_log_still_proves(ledger_store):
    ledger = ledger_store.open()
    random = secrets.token_bytes(5000)  # not in a page, and not to be compressed
    ledger.append([entry(0), NewEntry(kind="test.noted", payload=b"SENTINEL" + random, actor="a"), entry(2, text="SENTINEL-short")])
    point = ledger.checkpoint()
    salts = [ledger.entry(n).salt for n in (1, 2)]
    before = ledger_store.disk()
    assert all(piece in before for piece in (b"SENTINEL-short", random[:500], *salts))
    said = ledger.redact(1, actor="key:dpo", reason="erased", replacement=b'{"n":1}')
    ledger.destroy_payload(2)
    after = ledger_store.disk()
    assert not any(piece in after for piece in (b"SENTINEL", random[:500], random[2500:3000], *salts))
    assert ledger.entry(0).salt in after
    assert said.kind == REDACTED
    assert (ledger.entry(1).payload, ledger.entry(1).salt) == (None, None)
    assert merkle.verify_inclusion(ledger.entry(1).leaf, 1, 3, ledger.inclusion(1, 3), point.root)
    report = fsck(ledger)
    assert (report.ok, report.destroyed, report.size) == (True, 2, 5)


def test_destroying_twice_says_it_once(ledger_store):
    ledger = ledger_store.open()
    ledger.append([entry(0)])
    assert ledger.destroy_payload(0) is not None
    assert ledger.destroy_payload(0) is None
    assert ledger.size() == 2
    with pytest.raises(NotFound):
        ledger.destroy_payload(7)


def test_folds_read_what_replaces_a_destroyed_payload(ledger_store):
    ledger = ledger_store.open(reducer=counting)
    ledger.append([entry(0, name="jane"), entry(1, name="jane")])
    ledger.redact(0, actor="a", reason="r", replacement=b'{"n":0,"name":"someone"}')
    ledger.destroy_payload(1)
    ledger.rebuild_records()
    assert ledger.records("count") == [("someone", {"times": 1, "last": 0}, 1)]


def test_two_writers_do_not_break_the_tree(ledger_store):
    one, two = ledger_store.open(), ledger_store.open()
    for n in range(6):
        (one if n % 2 else two).append([entry(n)])
    assert one.size() == 6
    assert fsck(one).ok


def test_a_newer_schema_is_refused_with_both_versions_named(ledger_store):
    ledger_store.open().close()
    ledger_store.edit("UPDATE alembic_version SET version_num='0002'")
    try:
        with pytest.raises(StoreUnavailable, match="schema version 2; this Govern knows versions up to 1"):
            ledger_store.open()
    finally:
        ledger_store.edit("UPDATE alembic_version SET version_num='0001'")


# ── retirement ──────────────────────────────────────────────────────────────────────────────────
def event(n):
    return NewEntry(kind="openlineage" if n % 4 else "test.noted", payload=b"RETIRED-%d" % n, actor="key:test", identity=f"id-{n}")


def test_retired_payloads_are_gone_from_every_file_and_every_proof_holds(ledger_store):
    ledger = ledger_store.open()
    ledger.append([event(n) for n in range(20)])
    point = ledger.checkpoint()
    leaves = [one.leaf for one in ledger.entries()]
    assert b"RETIRED-7" in ledger_store.disk()
    said = ledger.retire(range(20), actor="key:dpo", reason="retention", snapshot=0, position=20)
    ledger.empty_wal()
    assert said.kind == RETIRED
    assert parse_retired(said.payload).ranges == ((0, 19),)
    for index in range(20):
        one = ledger.entry(index)
        assert (one.payload, one.salt, one.leaf, one.identity) == (None, None, leaves[index], f"id-{index}")
        assert merkle.verify_inclusion(one.leaf, index, 20, ledger.inclusion(index, 20), point.root)
    assert all(answer.duplicate for answer in ledger.append([event(n) for n in range(20)])), "what was retired is still known"
    assert merkle.verify_consistency(20, 21, point.root, ledger.root(21), ledger.consistency(20, 21))
    assert b"RETIRED-" not in ledger_store.disk()
    assert ledger.retire([1, 2], actor="key:dpo", reason="retention", snapshot=0, position=20) is None
    report = fsck(ledger)
    assert (report.problems, report.destroyed) == ((), 20)


def test_only_old_payloads_of_the_kind_are_listed_with_their_size(ledger_store):
    ledger = ledger_store.open()
    ledger.append([event(n) for n in range(20)])
    until = ledger.entry(9).recorded_at
    assert ledger.old_payloads("openlineage", start=2, end=20, until=until, limit=3) == [(n, 9) for n in (2, 3, 5)]
    ledger.retire([2, 3], actor="key:dpo", reason="retention", snapshot=0, position=20)
    assert [index for index, _ in ledger.old_payloads("openlineage", start=0, end=7, until=until, limit=99)] == [1, 5, 6]
    assert ledger.old_payloads("openlineage", start=0, end=20, until=ledger.entry(0).recorded_at, limit=9) == []


def test_what_was_rewritten_is_not_destroyed_before_it_is_found(ledger_store):
    ledger = ledger_store.open()
    ledger.append([event(n) for n in range(8)])
    ledger_store.edit("UPDATE entries SET payload = ? WHERE idx = 5", b"x")
    with pytest.raises(Tampered, match="entry 5 does not match"):
        ledger.retire([1, 5], actor="key:dpo", reason="retention", snapshot=0, position=8)
    assert ledger.entry(1).payload is not None
    assert ledger.size() == 8


# ── what another hand does ──────────────────────────────────────────────────────────────────────
@pytest.fixture
def tampered(ledger_store):
    """Twenty entries, two checkpoints, one destroyed payload; edits the tables and checks the log."""
    ledger = ledger_store.open()
    ledger.append([entry(n) for n in range(13)])
    ledger.checkpoint()
    ledger.append([entry(n) for n in range(13, 19)])
    ledger.destroy_payload(4)
    ledger.checkpoint()
    assert fsck(ledger).problems == ()
    ledger.close()

    def edit(statement, *values):
        ledger_store.edit(statement, *values)
        return fsck(ledger_store.open()).problems

    return edit


@pytest.mark.parametrize(("column", "value"), [("payload", b'{"n":99}'), ("actor", "key:other"), ("recorded_at", 1), ("salt", bytes(32))])
def test_a_rewritten_field_is_found_and_named(tampered, column, value):
    assert any(
        "entry 9" in one and "does not match its leaf" in one for one in tampered(f"UPDATE entries SET {column}=? WHERE idx=9", value)
    )


def test_an_entry_rewritten_with_its_leaf_is_found_by_the_checkpoint(tampered, ledger_store):
    was = ledger_store.row(9) | {"payload": b'{"n":99}'}
    leaf = leaf_data(index=was.pop("idx"), **{name: was[name] for name in ("kind", "recorded_at", "actor", "identity", "salt", "payload")})
    problems = tampered("UPDATE entries SET payload=?, leaf=? WHERE idx=9", b'{"n":99}', leaf)
    assert any("checkpoint 0 (size 13) signs another history" in one for one in problems)
    assert any("tree node 1/4 is not the hash" in one for one in problems)


def test_a_truncated_log_and_a_missing_entry_are_found(tampered):
    assert "entry 9 is missing: the next one is 10" in tampered("DELETE FROM entries WHERE idx=9")
    assert any(one.startswith("truncated: checkpoint 1 (size 20)") for one in tampered("DELETE FROM entries WHERE idx>=15"))


def test_a_payload_that_vanished_without_a_word_is_found(tampered):
    (problem,) = tampered("UPDATE entries SET payload=NULL, salt=NULL WHERE idx=9")
    assert "entry 9" in problem
    assert "no later entry says that it was destroyed" in problem


def test_a_rewritten_tree_node_is_found(tampered):
    problems = tampered("UPDATE nodes SET hash=? WHERE level=2 AND position=1", bytes(32))
    assert problems == ("tree node 2/1 is not the hash of its leaves: one of the entries 4 to 7, or the node, was rewritten",)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (("DELETE FROM entries WHERE idx>=15",), "truncated"),
        (("UPDATE nodes SET hash=? WHERE level=4", bytes(32)), "is not the log that its checkpoint"),
        (("DELETE FROM nodes WHERE level=4",), "has lost tree node"),
    ],
)
def test_nothing_is_added_to_a_log_that_does_not_fit_its_checkpoint(tampered, ledger_store, edit, message):
    tampered(*edit)
    with pytest.raises(Tampered, match=message):
        ledger_store.open().append([entry(100)])
