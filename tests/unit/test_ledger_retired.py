"""Payloads that are destroyed many at a time: one entry says it, and every lie about it is found.

That they are gone and the proofs hold is in ``tests/contract/test_ledger_stores.py``, for every store.
"""

from __future__ import annotations

import json
import sqlite3

import pytest

from lineage.errors import BadInput
from lineage.ledger import fsck
from lineage.ledger.entries import canonical_json
from lineage.ledger.retired import RETIRED, parse_retired, ranges_of, retired
from lineage.model import NewEntry

SECRET = b"a text that must be gone from every file"


def event(n):
    return NewEntry(kind="openlineage" if n % 4 else "test.noted", payload=SECRET + b"%d" % n, actor="key:test", identity=f"id-{n}")


@pytest.fixture
def ledger(open_ledger):
    one = open_ledger()
    one.append([event(n) for n in range(20)])
    one.checkpoint()
    return one


@pytest.fixture
def edited(ledger, open_ledger, tmp_path):
    """Retires 1 to 7 and 9 but the fourths, then edits the file behind the ledger's back and checks it."""

    def edit(statement, *values):
        retire(ledger)
        ledger.close()
        raw = sqlite3.connect(tmp_path / "ledger.db")
        raw.execute(statement, values)
        raw.commit()
        raw.close()
        return fsck(open_ledger()).problems

    return edit


def retire(ledger, indexes=(1, 2, 3, 5, 6, 7, 9)):
    return ledger.retire(indexes, actor="key:dpo", reason="retention", snapshot=0, position=20)


def test_retiring_again_changes_nothing(ledger):
    said = retire(ledger)
    assert parse_retired(said.payload).count == 7
    assert retire(ledger) is None
    assert retire(ledger, [1, 10]).payload is not None
    assert ledger.size() == 22
    assert fsck(ledger).problems == ()


def test_an_untouched_log_with_retirements_is_ok(edited):
    assert edited("SELECT 1") == ()


def test_a_header_that_is_rewritten_after_its_payload_went_is_found(edited):
    (problem,) = edited("UPDATE entries SET actor = 'key:other' WHERE idx = 6")
    assert problem == "one of the entries 1 to 9 is not what entry 20 says was destroyed: it was rewritten"


def test_a_payload_that_is_lost_without_being_announced_is_found(edited):
    (problem,) = edited("UPDATE entries SET payload = NULL, salt = NULL WHERE idx = 10")
    assert "entry 10 (openlineage) has lost its payload, and no later entry says" in problem


def test_an_entry_that_was_announced_and_is_there_is_found(edited):
    assert any(
        "7 entries were destroyed; 6 of them are" in one for one in edited("UPDATE entries SET payload = 'x', salt = 'y' WHERE idx = 6")
    )


def test_an_announcement_that_is_rewritten_is_found(edited):
    body = canonical_json({"count": 0, "entries": [], "headers": "", "reason": "r", "snapshot": {"entry": 0, "position": 0}})
    problems = edited("UPDATE entries SET payload = ? WHERE idx = 20", body)
    assert any("entry 20" in one and "was rewritten or moved" in one for one in problems)
    assert any("entry 20" in one and "not a retirement" in one for one in problems)
    assert sum("has lost its payload" in one for one in problems) == 7


def test_a_retirement_that_comes_while_the_log_is_checked_is_held_against_it(ledger):
    class Late:
        """The ledger, of which some is retired after the announcements were read."""

        def __init__(self):
            self.looked = False

        def entries(self, start=0, limit=1000, kind=None):
            if kind is None and not self.looked:
                self.looked = True
                retire(ledger)
            return ledger.entries(start, limit, kind)

        def __getattr__(self, name):
            return getattr(ledger, name)

    assert fsck(Late()).problems == ()


@pytest.mark.parametrize(
    "wrong",
    [
        b"",
        b"[]",
        b'{"count":1}',
        json.dumps({"count": 2, "entries": [[3, 3]], "headers": "", "reason": "", "snapshot": {"entry": 1, "position": 1}}).encode(),
        json.dumps(
            {"count": 2, "entries": [[3, 3], [4, 4]], "headers": "", "reason": "", "snapshot": {"entry": 1, "position": 1}}
        ).encode(),
        json.dumps({"count": 0, "entries": [[3, 2]], "headers": "", "reason": "", "snapshot": {"entry": 1, "position": 1}}).encode(),
    ],
)
def test_what_is_no_retirement_is_refused(wrong, ledger):
    with pytest.raises(BadInput, match="not a retirement"):
        parse_retired(wrong)
    ledger.append([NewEntry(kind=RETIRED, payload=wrong, actor="key:test")])
    assert any("not a retirement" in one for one in fsck(ledger).problems)


def test_a_retirement_of_what_comes_later_is_found(ledger):
    ahead = [ledger.entry(19)]
    ledger.append([retired(ahead, actor="a", reason="r", snapshot=0, position=0)])
    assert fsck(ledger).problems == ("entry 20 (govern.ledger.retired) says that 1 entries were destroyed; 0 of them are",)


def test_runs_are_what_they_are_made_of():
    assert [n for first, last in ranges_of([0, 1, 5]) for n in range(first, last + 1)] == [0, 1, 5]
    assert ranges_of([]) == []
