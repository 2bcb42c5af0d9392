"""Records that are parsed once are those that a reading of now gives, on every ledger and whoever appended."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from governance.registry.find import Parsed, bodies
from lineage.adapters.sql_ledger import SqlLedger
from tests.conftest import MemoryKeys, TickingClock
from tests.contract.test_ledger_stores import counting, entry


def test_records_are_parsed_once_and_are_never_those_of_before(ledger_store):
    ledger = ledger_store.open(reducer=counting)
    parsed = Parsed(ledger, "count")
    assert parsed.bodies() == ()
    ledger.append([entry(n, name=name) for n, name in enumerate(["b", "a"])])
    first = parsed.bodies()
    assert first == ({"times": 1, "last": 1}, {"times": 1, "last": 0})
    ledger.append([entry(2, kind="other")])
    assert parsed.bodies() is first, "the ledger grew, and no record of the kind was set"
    ledger.append([entry(3, name="b")])
    second = parsed.bodies()
    assert second == ({"times": 1, "last": 1}, {"times": 2, "last": 3})
    assert second[0] is first[0], "what was not set is not parsed again"
    ledger.append([entry(4, kind="test.forgotten", name="a"), entry(5, name="c")])
    assert parsed.bodies() == ({"times": 2, "last": 3}, {"times": 1, "last": 5}), "one gone and one new are as many as before"
    ledger.append([entry(6, kind="test.forgotten", name="c")])
    assert parsed.bodies() == ({"times": 2, "last": 3},)
    ledger.append([entry(7, kind="test.forgotten", name="b"), entry(8, name="b")])
    assert parsed.bodies() == ({"times": 1, "last": 8},), "gone and made again"


def test_on_postgres_what_another_process_appends_counts_at_once(postgres_ledger):
    """Two ledgers over one database: nothing is shared in memory."""
    parsed = Parsed(postgres_ledger.open(reducer=counting), "count")
    other = postgres_ledger.open(reducer=counting)
    assert parsed.bodies() == ()
    for n, name in enumerate(["a", "b", "a"]):
        other.append([entry(n, name=name)])
        assert list(parsed.bodies()) == bodies(other, "count")
    other.append([entry(3, kind="test.forgotten", name="a")])
    assert list(parsed.bodies()) == [{"times": 1, "last": 1}]


@given(steps=st.lists(st.tuples(st.booleans(), st.sampled_from("abcd"), st.booleans()), max_size=10))
@settings(max_examples=25, deadline=None)
def test_what_is_parsed_once_is_what_is_read_anew(tmp_path_factory, steps):
    given_ = {"keys": MemoryKeys(), "clock": TickingClock(), "origin": "govern.test/log", "reducer": counting}
    ledger = SqlLedger(tmp_path_factory.mktemp("parsed") / "ledger.db", **given_)
    try:
        parsed = Parsed(ledger, "count")
        for n, (forgets, name, looks) in enumerate(steps):
            ledger.append([entry(n, kind="test.forgotten" if forgets else "test.noted", name=name)])
            if looks:
                assert list(parsed.bodies()) == bodies(ledger, "count")
        assert list(parsed.bodies()) == bodies(ledger, "count")
    finally:
        ledger.close()
