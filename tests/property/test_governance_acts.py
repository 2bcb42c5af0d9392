"""The control records are a fold over the log, and no record kind can hold who a subject is."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from governance.registry.acts import RECORD_FIELDS, act, reduce_entry
from lineage.adapters.sql_ledger import SqlLedger
from lineage.errors import BadInput
from tests.conftest import MemoryKeys, TickingClock

KINDS = sorted(RECORD_FIELDS)
VALUES = st.one_of(st.none(), st.integers(-5, 5), st.text(max_size=5), st.lists(st.integers(0, 3), max_size=2))
IDENTS = st.sampled_from(["a", "b", "m@000001", "with/slash"])


@st.composite
def acts(draw):
    """What one act sets and drops."""
    put = {}
    for kind, ident in draw(st.lists(st.tuples(st.sampled_from(KINDS), IDENTS), max_size=3)):
        fields = draw(st.lists(st.sampled_from(sorted(RECORD_FIELDS[kind])), min_size=1, max_size=3, unique=True))
        put[kind, ident] = {field: draw(VALUES) for field in fields}
    drop = [key for key in draw(st.lists(st.tuples(st.sampled_from(KINDS), IDENTS), max_size=2)) if key not in put]
    return put, drop


def everything(ledger: SqlLedger) -> dict:
    return {(kind, ident): body for kind in KINDS for ident, body, _revision in ledger.records(kind)}


@settings(max_examples=25, deadline=None)
@given(st.lists(acts(), min_size=1, max_size=6))
def test_replaying_the_log_rebuilds_every_record(sequence) -> None:
    expected = {}
    with tempfile.TemporaryDirectory() as folder:
        ledger = SqlLedger(Path(folder) / "l.db", keys=MemoryKeys(), origin="govern.test/log", clock=TickingClock(), reducer=reduce_entry)
        try:
            for put, drop in sequence:
                ledger.append([act("test.act", actor="key:t", records=put, drop=drop)])
                expected |= put
                for key in drop:
                    expected.pop(key, None)
            assert everything(ledger) == expected
            ledger.rebuild_records()
            assert everything(ledger) == expected
        finally:
            ledger.close()


@given(st.sampled_from(KINDS), st.text(min_size=1, max_size=12))
def test_a_field_that_the_table_does_not_know_is_refused(kind: str, field: str) -> None:
    if field in RECORD_FIELDS[kind]:
        act("test.act", actor="key:t", records={(kind, "x"): {field: 1}})
        return
    with pytest.raises(BadInput) as refused:
        act("test.act", actor="key:t", records={(kind, "x"): {field: "Ada Lovelace"}})
    assert "Ada" not in str(refused.value) + str(refused.value.hint)


def test_no_record_kind_has_a_field_for_a_subject() -> None:
    """What may be said of a subject: its type, its keyed references, and the name of a column. Never a value."""
    about = {(kind, field) for kind, fields in RECORD_FIELDS.items() for field in fields if "subject" in field or "person" in field}
    assert about == {
        ("dataset", "subject_key"),
        ("dataset", "subject_keys"),  # names of columns, types, a region of telephone numbers
        ("dataset", "subject_rules"),  # the version of the canonicalisation rules
        ("dataset", "subject_type"),
        ("erasure", "subject_refs"),
        ("erasure", "subject_type"),
        ("erasure", "unknown_subject_predictions"),
        ("opendsr", "subject_request_id"),  # the number that the controller gave its request
        ("operation", "subject"),  # the model that is trained
        ("report", "subject"),  # the model, prediction or request that a paper is about
    }
    forbidden = {"identifier", "value", "email", "canonical", "inputs", "row_ids", "rows"}
    assert not {(kind, field) for kind, fields in RECORD_FIELDS.items() for field in fields if field in forbidden}


def test_entries_of_other_kinds_change_nothing(open_ledger) -> None:
    from lineage.model import NewEntry

    ledger = open_ledger(reducer=reduce_entry)
    ledger.append([NewEntry(kind="openlineage", payload=b'{"set":{"key/x":{"id":"x"}}}', actor="key:t")])
    assert ledger.record("key", "x") is None
