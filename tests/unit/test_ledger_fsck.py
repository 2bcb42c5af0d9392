"""What the check finds after the file was edited behind the ledger's back."""

from __future__ import annotations

import json
import shutil
import sqlite3

import pytest

from lineage.errors import BadInput, Tampered
from lineage.ledger import fsck, notes
from lineage.ledger.entries import leaf_data
from lineage.model import NewEntry

ORIGIN = "govern.test/log"


def entry(n):
    return NewEntry(kind="test.noted", payload=json.dumps({"n": n}).encode(), actor="key:test", identity=f"id-{n}")


@pytest.fixture
def log(open_ledger, tmp_path):
    """A ledger of 20 entries (4 destroyed, 7 says so) with checkpoints at 7, 13 and 20, closed; and a function that edits its file and checks it."""
    ledger = open_ledger()
    for size in (7, 13, 20):
        ledger.append([entry(n) for n in range(ledger.size(), size)])
        ledger.checkpoint()
        ledger.destroy_payload(4)
    ledger.close()

    def edit(*statements, trusted=()):
        raw = sqlite3.connect(tmp_path / "ledger.db")
        for statement, *values in statements:
            raw.execute(statement, values)
        raw.commit()
        raw.close()
        return fsck(open_ledger(), trusted=trusted)

    return edit


def row(tmp_path, index):
    raw = sqlite3.connect(tmp_path / "ledger.db")
    raw.row_factory = sqlite3.Row
    found = dict(raw.execute("SELECT * FROM entries WHERE idx=?", (index,)).fetchone())
    raw.close()
    return found


def resealed(found, **changes):
    """The leaf that a forger who knows the rules computes."""
    found = found | changes
    return leaf_data(index=found.pop("idx"), **{k: found[k] for k in ("kind", "recorded_at", "actor", "identity", "salt", "payload")})


def test_an_untouched_log_is_ok(log):
    report = log()
    assert report.problems == ()
    assert (report.ok, report.size, report.checkpoints, report.destroyed) == (True, 20, 3, 1)


@pytest.mark.parametrize(
    ("column", "value"),
    [("payload", b'{"n":99}'), ("kind", "test.other"), ("actor", "key:other"), ("recorded_at", 1), ("identity", None), ("salt", bytes(32))],
)
def test_a_rewritten_field_is_found_and_named(log, column, value):
    report = log((f"UPDATE entries SET {column}=? WHERE idx=9", value))
    assert not report.ok
    assert any("entry 9" in p and "does not match its leaf" in p for p in report.problems)


def test_an_entry_rewritten_with_its_leaf_is_found_by_the_checkpoint(log, tmp_path):
    leaf = resealed(row(tmp_path, 9), payload=b'{"n":99}')
    report = log(("UPDATE entries SET payload=?, leaf=? WHERE idx=9", b'{"n":99}', leaf))
    assert any("checkpoint 1 (size 13) signs another history: some of the entries 7 to 12" in p for p in report.problems)
    assert any("tree node 1/4 is not the hash" in p for p in report.problems)


def test_a_truncated_log_is_found(log):
    report = log(("DELETE FROM entries WHERE idx>=15",))
    assert any(p.startswith("truncated: checkpoint 2 (size 20) signs 20 entries, the log has 15") for p in report.problems)


def test_an_entry_taken_from_the_middle_is_found(log):
    report = log(("DELETE FROM entries WHERE idx=9",))
    assert "entry 9 is missing: the next one is 10" in report.problems


def test_a_log_truncated_with_its_checkpoints_is_found_by_one_kept_elsewhere(log, open_ledger):
    ledger = open_ledger()
    kept = ledger.checkpoints()[-1].note
    ledger.close()
    cut = [
        ("DELETE FROM entries WHERE idx>=13",),
        ("DELETE FROM checkpoints WHERE size>13",),
        ("DELETE FROM nodes WHERE (position+1)<<level > 13",),
    ]
    assert log(*cut).ok
    report = log(trusted=[kept])
    assert report.problems == ("truncated: the given checkpoint (size 20) signs 20 entries, the log has 13",)


def test_reordered_entries_are_found_and_named(log):
    report = log(
        ("UPDATE entries SET idx=1000 WHERE idx=9",),
        ("UPDATE entries SET idx=9 WHERE idx=10",),
        ("UPDATE entries SET idx=10 WHERE idx=1000",),
    )
    assert any("entry 9 (" in p for p in report.problems)
    assert any("entry 10 (" in p for p in report.problems)
    assert any("signs another history" in p for p in report.problems)


def test_a_fork_is_found(log, memory_keys):
    """The same key signed another tree of the same size: two histories were shown."""
    root = bytes(range(32))
    public = memory_keys.public_ed25519("checkpoint")
    note = notes.sign_note(
        notes.checkpoint_text(ORIGIN, 13, root), name=ORIGIN, public=public, sign=lambda m: memory_keys.sign_ed25519("checkpoint", m)
    )
    report = log(("INSERT INTO checkpoints(size, root, note) VALUES (13, ?, ?)", root, note))
    assert "fork: checkpoint 1 (size 13) and checkpoint 3 (size 13) are both signed and have different roots" in report.problems
    report = log(("DELETE FROM checkpoints WHERE root=?", root), trusted=[note])
    assert any(p.startswith("fork: ") and "the given checkpoint" in p for p in report.problems)


def test_a_log_that_went_on_differently_from_a_copy_is_a_fork(open_ledger, tmp_path):
    ledger = open_ledger()
    ledger.append([entry(n) for n in range(5)])
    ledger.checkpoint()
    ledger.close()
    shutil.copy(tmp_path / "ledger.db", tmp_path / "copy.db")
    one, two = open_ledger(), open_ledger(tmp_path / "copy.db")
    one.append([entry(6)])
    two.append([entry(7), entry(8)])
    shown = one.checkpoint().note
    two.checkpoint()
    assert fsck(one).ok
    assert fsck(two).ok
    assert any("signs another history: some of the entries 5 to 5" in p for p in fsck(two, trusted=[shown]).problems)


def test_a_bad_signature_is_found(log, open_ledger):
    ledger = open_ledger()
    note = ledger.checkpoints()[1].note
    ledger.close()
    forged = note.replace("\n13\n", "\n12\n")
    report = log(("UPDATE checkpoints SET note=? WHERE size=13", forged))
    assert any(p.startswith("checkpoint 1 (size 13): the signature by") for p in report.problems)


def test_a_stored_size_that_is_not_the_signed_one_is_found(log):
    report = log(("UPDATE checkpoints SET size=12 WHERE size=13",))
    assert "checkpoint 1 (size 12): the stored size or root is not what its note says" in report.problems


def test_a_payload_that_vanished_without_a_word_is_found(log):
    report = log(("UPDATE entries SET payload=NULL, salt=NULL WHERE idx=9",))
    assert any("entry 9" in p and "no later entry says that it was destroyed" in p for p in report.problems)


def test_the_header_of_a_destroyed_entry_cannot_be_rewritten(log):
    report = log(("UPDATE entries SET actor='key:other' WHERE idx=4",))
    assert any("entry 4" in p and "was rewritten" in p for p in report.problems)


def test_a_rewritten_tree_node_is_found(log):
    report = log(("UPDATE nodes SET hash=? WHERE level=2 AND position=1", bytes(32)))
    assert report.problems == ("tree node 2/1 is not the hash of its leaves: one of the entries 4 to 7, or the node, was rewritten",)


def test_a_tree_node_too_many_is_found(log):
    report = log(("INSERT INTO nodes VALUES (1, 10, zeroblob(32))",))
    assert report.problems == ("the stored tree reaches beyond the 20 entries: the log was truncated",)


def test_a_lost_table_is_a_problem_not_a_crash(log):
    report = log(("DROP TABLE nodes",))
    assert not report.ok
    assert "has lost a table" in report.problems[-1]


def test_a_flipped_byte_anywhere_in_the_entries_is_found(log, tmp_path):
    for index in (0, 8, 19):
        found = row(tmp_path, index)
        for column in ("payload", "salt", "leaf"):
            value = bytearray(found[column])
            value[len(value) // 2] ^= 1
            assert not log((f"UPDATE entries SET {column}=? WHERE idx=?", bytes(value), index)).ok, (index, column)
            assert log((f"UPDATE entries SET {column}=? WHERE idx=?", found[column], index)).ok


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        ("DELETE FROM entries WHERE idx>=15", "truncated"),
        ("UPDATE nodes SET hash=zeroblob(32) WHERE level=4", "is not the log that its checkpoint"),
        ("DELETE FROM nodes WHERE level=4", "has lost tree node"),
    ],
)
def test_nothing_is_added_to_a_log_that_does_not_fit_its_checkpoint(log, open_ledger, edit, message):
    log((edit,))
    ledger = open_ledger()
    with pytest.raises(Tampered, match=message):
        ledger.append([entry(100)])


def test_many_problems_are_cut(log):
    assert len(log(("UPDATE entries SET actor='x'",)).problems) <= 101


def test_a_given_checkpoint_of_another_log_is_bad_input(log, memory_keys):
    note = notes.sign_note(
        notes.checkpoint_text("other", 1, bytes(32)),
        name="other",
        public=memory_keys.public_ed25519("checkpoint"),
        sign=lambda m: bytes(64),
    )
    with pytest.raises(BadInput, match="'other'"):
        log(trusted=[note])
