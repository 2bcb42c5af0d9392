"""The ledger on SQLite: what is acknowledged, what is refused, what the control records say."""

from __future__ import annotations

import json
import sqlite3
import stat
import threading

import pytest

from lineage.errors import BadInput, Conflict, NotFound, StoreUnavailable, Tampered
from lineage.ledger import fsck, merkle, notes
from lineage.ledger.entries import REDACTED
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


def test_an_acknowledged_entry_is_there_after_reopening(open_ledger):
    ledger = open_ledger()
    first, second = ledger.append([entry(0), entry(1)])
    ledger.close()
    again = open_ledger()
    assert again.size() == 2
    assert [again.entry(0), again.entry(1)] == [first, second]
    assert first.recorded_at < second.recorded_at


def test_roots_and_proofs_are_those_of_the_leaves(open_ledger):
    ledger = open_ledger()
    leaves = [e.leaf for n in range(13) for e in ledger.append([entry(n)])]
    for size in range(14):
        assert ledger.root(size) == merkle.root(leaves[:size])
        for index in range(size):
            assert merkle.verify_inclusion(leaves[index], index, size, ledger.inclusion(index, size), ledger.root(size))
        proof = ledger.consistency(size, 13)
        assert merkle.verify_consistency(size, 13, ledger.root(size), ledger.root(), proof)


@pytest.mark.parametrize("size", [-1, 3, 10**9])
def test_a_size_the_log_never_had_is_bad_input(open_ledger, size):
    ledger = open_ledger()
    ledger.append([entry(0), entry(1)])
    with pytest.raises(BadInput, match="no tree of size"):
        ledger.root(size)
    with pytest.raises(BadInput):
        ledger.inclusion(0, size)


def test_the_same_identity_is_appended_once(open_ledger):
    ledger = open_ledger()
    one, two, again = ledger.append([entry(0, identity="a"), entry(1, identity="b"), entry(2, identity="a")])
    assert (one.duplicate, two.duplicate, again.duplicate) == (False, False, True)
    assert again.index == one.index
    assert again.payload == one.payload
    assert ledger.append([entry(3, identity="b")])[0].duplicate
    assert ledger.size() == 2
    assert ledger.by_identity("b").index == 1
    assert ledger.by_identity("c") is None


def test_a_large_batch_finds_its_duplicates_before_and_inside_it(open_ledger):
    ledger = open_ledger()
    ledger.append([entry(n, identity=f"i{n}") for n in range(0, 1200, 3)])
    before = ledger.size()
    answers = ledger.append([entry(n, identity=f"i{n}") for n in [*range(1200), *range(1200)]])
    assert [a.duplicate for a in answers] == [n % 3 == 0 for n in range(1200)] + [True] * 1200
    assert [a.identity for a in answers[:1200]] == [f"i{n}" for n in range(1200)]
    assert [a.index for a in answers[1200:]] == [a.index for a in answers[:1200]]
    assert ledger.size() == before + 800
    assert fsck(ledger).ok


def test_entries_are_read_in_pages_and_by_kind(open_ledger):
    ledger = open_ledger()
    ledger.append([entry(n, kind="test.even" if n % 2 == 0 else "test.odd") for n in range(10)])
    assert [e.index for e in ledger.entries(3, 4)] == [3, 4, 5, 6]
    assert [e.index for e in ledger.entries(3, kind="test.even")] == [4, 6, 8]
    assert ledger.entries(10) == []
    with pytest.raises(NotFound, match="no entry 10 in a ledger of 10"):
        ledger.entry(10)


def test_records_follow_the_entries(open_ledger):
    ledger = open_ledger(reducer=counting)
    ledger.append([entry(0, name="a"), entry(1, name="a"), entry(2, name="b")])
    assert ledger.record("count", "a") == ({"times": 2, "last": 1}, 2)
    assert ledger.records("count", prefix="b") == [("b", {"times": 1, "last": 2}, 3)]
    ledger.append([entry(3, kind="test.forgotten", name="a")])
    assert ledger.record("count", "a") is None
    ledger.append([entry(4, name="a")])
    assert ledger.record("count", "a") == ({"times": 1, "last": 4}, 5)


def test_a_duplicate_changes_no_record(open_ledger):
    ledger = open_ledger(reducer=counting)
    ledger.append([entry(0, identity="i"), entry(0, identity="i")])
    assert ledger.record("count", "x") == ({"times": 1, "last": 0}, 1)


def test_prefixes_are_taken_literally(open_ledger):
    ledger = open_ledger(reducer=counting)
    ledger.append([entry(n, name=name) for n, name in enumerate(["a%", "a_b", "ab", "a%c", "b", "é\U0001f600"])])
    assert [ident for ident, _, _ in ledger.records("count", prefix="a%")] == ["a%", "a%c"]
    assert [ident for ident, _, _ in ledger.records("count", prefix="é")] == ["é\U0001f600"]
    assert len(ledger.records("count")) == 6


def test_rebuilding_gives_the_same_records(open_ledger, tmp_path):
    ledger = open_ledger(reducer=counting)
    ledger.append([entry(n, kind="test.forgotten" if n % 5 == 4 else "test.noted", name=f"n{n % 3}") for n in range(40)])
    before = ledger.records("count")
    with sqlite3.connect(tmp_path / "ledger.db") as raw:
        raw.execute("UPDATE records SET body='{}'")
        raw.execute("INSERT INTO records VALUES ('count','planted','{}',1)")
    raw.close()
    assert ledger.records("count") != before
    assert ledger.rebuild_records() == 40
    assert ledger.records("count") == before


def test_work_that_fails_leaves_nothing(open_ledger):
    ledger = open_ledger(reducer=counting)
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


def test_a_reducer_that_fails_refuses_the_entry(open_ledger):
    def refusing(new, read):
        raise Conflict("not from this state")

    ledger = open_ledger(reducer=refusing)
    with pytest.raises(Conflict, match="not from this state"):
        ledger.append([entry(0)])
    assert ledger.size() == 0


def test_failing_work_does_not_hurt_what_shares_its_commit(open_ledger):
    """The first work holds the writer until the others wait, so that these are one group."""
    ledger = open_ledger(reducer=counting)
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


def test_readers_see_only_what_is_committed(open_ledger):
    ledger = open_ledger(reducer=counting)

    def work(tx):
        tx.append(entry(0))
        found = []
        reader = threading.Thread(target=lambda: found.extend([ledger.size(), ledger.record("count", "x")]))
        reader.start()
        reader.join(10)
        return found

    assert ledger.transact(work) == [0, None]
    assert ledger.size() == 1


def test_many_threads_append_and_every_answer_is_right(open_ledger):
    ledger = open_ledger(reducer=counting)
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


def test_the_ledger_inside_its_own_transaction_is_a_mistake_not_a_deadlock(open_ledger):
    ledger = open_ledger()
    with pytest.raises(RuntimeError, match="would wait for itself"):
        ledger.transact(lambda tx: ledger.append([entry(0)]))
    assert ledger.append([entry(1)])[0].index == 0


def test_a_transaction_that_is_over_refuses_its_use(open_ledger):
    ledger = open_ledger()
    kept = ledger.transact(lambda tx: tx)
    with pytest.raises(Conflict, match="is over"):
        kept.append(entry(0))
    with pytest.raises(Conflict, match="is over"):
        kept.record("a", "b")
    assert ledger.size() == 0


def test_a_checkpoint_is_signed_stored_and_not_repeated(open_ledger, memory_keys):
    ledger = open_ledger()
    empty = ledger.checkpoint()
    assert (empty.size, empty.root) == (0, merkle.EMPTY_ROOT)
    ledger.append([entry(0), entry(1)])
    point = ledger.checkpoint()
    assert point == ledger.checkpoint()
    assert ledger.checkpoints() == [empty, point]
    read = notes.verify_checkpoint(point.note, name="govern.test/log", public=memory_keys.public_ed25519("checkpoint"))
    assert (read.size, read.root) == (2, ledger.root())


def test_a_bad_origin_is_refused_before_a_file_is_made(open_ledger, tmp_path):
    with pytest.raises(BadInput):
        open_ledger(origin="two words")
    assert not (tmp_path / "ledger.db").exists()


def test_only_the_owner_can_read_the_files(open_ledger, tmp_path):
    ledger = open_ledger()
    ledger.append([entry(0)])
    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in tmp_path.iterdir()}
    assert set(modes) == {"ledger.db", "ledger.db-wal", "ledger.db-shm"}
    assert set(modes.values()) == {0o600}


def test_a_closed_ledger_says_so(open_ledger):
    ledger = open_ledger()
    ledger.close()
    ledger.close()
    for use in (ledger.size, ledger.checkpoint, lambda: ledger.append([entry(0)])):
        with pytest.raises(StoreUnavailable, match="closed"):
            use()


# ── destruction ─────────────────────────────────────────────────────────────────────────────────
def test_a_destroyed_payload_is_gone_from_every_byte_and_the_log_still_proves(open_ledger, tmp_path):
    ledger = open_ledger()
    secret = "SENTINEL-" + "s" * 3000
    ledger.append([entry(0), entry(1, text=secret), entry(2, text="SENTINEL-short")])
    point = ledger.checkpoint()
    files = lambda: b"".join(p.read_bytes() for p in tmp_path.iterdir())  # noqa: E731 - one line says it
    assert b"SENTINEL" in files()
    said = ledger.redact(1, actor="key:dpo", reason="erased", replacement=b'{"n":1}')
    ledger.destroy_payload(2)
    assert b"SENTINEL" not in files()
    assert said.kind == REDACTED
    assert (ledger.entry(1).payload, ledger.entry(1).salt) == (None, None)
    assert merkle.verify_inclusion(ledger.entry(1).leaf, 1, 3, ledger.inclusion(1, 3), point.root)
    report = fsck(ledger)
    assert (report.ok, report.destroyed, report.size) == (True, 2, 5)


def test_destroying_twice_says_it_once(open_ledger):
    ledger = open_ledger()
    ledger.append([entry(0)])
    assert ledger.destroy_payload(0) is not None
    assert ledger.destroy_payload(0) is None
    assert ledger.size() == 2
    with pytest.raises(NotFound):
        ledger.destroy_payload(7)


def test_folds_read_what_replaces_a_destroyed_payload(open_ledger):
    ledger = open_ledger(reducer=counting)
    ledger.append([entry(0, name="jane"), entry(1, name="jane")])
    ledger.redact(0, actor="a", reason="r", replacement=b'{"n":0,"name":"someone"}')
    ledger.destroy_payload(1)
    ledger.rebuild_records()
    assert ledger.records("count") == [("someone", {"times": 1, "last": 0}, 1)]


# ── what cannot be used ─────────────────────────────────────────────────────────────────────────
def test_a_locked_file_is_an_error_and_nothing_is_half_written(open_ledger, tmp_path):
    ledger = open_ledger(busy_timeout_ms=100)
    ledger.append([entry(0)])
    raw = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
    raw.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match="locked"):
        ledger.append([entry(1)])
    raw.execute("ROLLBACK")
    raw.close()
    assert ledger.append([entry(2)])[0].index == 1
    assert fsck(ledger).ok


def test_a_full_disk_is_an_error_and_nothing_is_half_written(open_ledger, tmp_path):
    ledger = open_ledger(reducer=counting)
    ledger.append([entry(n) for n in range(5)])
    pages = ledger._writer.engine.connect().exec_driver_sql("PRAGMA page_count").scalar_one()
    ledger._writer.connection.exec_driver_sql(f"PRAGMA max_page_count={pages + 4}")
    with pytest.raises(StoreUnavailable, match="full") as caught:
        ledger.append([entry(5), entry(6, text="x" * 100_000)])
    assert caught.value.hint
    assert ledger.size() == 5
    assert ledger.record("count", "x")[0]["times"] == 5
    ledger._writer.connection.exec_driver_sql("PRAGMA max_page_count=1000000")
    assert ledger.append([entry(6, text="x" * 100_000)])[0].index == 5
    assert fsck(ledger).ok


def test_two_ledgers_on_one_file_do_not_break_the_tree(open_ledger):
    one, two = open_ledger(), open_ledger()
    for n in range(6):
        (one if n % 2 else two).append([entry(n)])
    assert one.size() == 6
    assert fsck(one).ok


def test_a_newer_schema_is_refused_with_both_versions_named(open_ledger, tmp_path):
    open_ledger().close()
    with sqlite3.connect(tmp_path / "ledger.db") as raw:
        raw.execute("UPDATE alembic_version SET version_num='0002'")
    raw.close()
    with pytest.raises(StoreUnavailable, match="schema version 2; this Govern knows versions up to 1"):
        open_ledger()


def test_another_database_is_not_taken_for_a_ledger(open_ledger, tmp_path):
    with sqlite3.connect(tmp_path / "other.db") as raw:
        raw.execute("CREATE TABLE t(x)")
    raw.close()
    with pytest.raises(StoreUnavailable, match="no ledger"):
        open_ledger(tmp_path / "other.db")


def test_a_file_that_is_no_database_is_tampered(open_ledger, tmp_path):
    (tmp_path / "ledger.db").write_bytes(b"not a database, " * 100)
    with pytest.raises(Tampered, match="damaged"):
        open_ledger()


def test_a_folder_that_cannot_be_made_is_named(open_ledger, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailable, match="cannot be made"):
        open_ledger(tmp_path / "file" / "ledger.db")
