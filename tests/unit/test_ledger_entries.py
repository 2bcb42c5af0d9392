"""The encoding of entries."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from lineage.errors import BadInput
from lineage.ledger import entries
from lineage.model import NewEntry

SALT = bytes(range(32))
NEW = NewEntry(kind="govern.erasure.approved", payload=b'{"a":1}', actor="key:1", identity="id-1")


def test_the_leaf_is_what_the_documentation_says():
    sealed = entries.seal(NEW, index=3, recorded_at=1_700_000_000_123_456_789, salt=SALT)
    header = b'{"actor":"key:1","format":1,"identity":"id-1","index":3,"kind":"govern.erasure.approved","recorded_at":1700000000123456789}'
    assert entries.header_of(sealed) == header
    assert sealed.leaf == hashlib.sha256(SALT + header + b"\n" + b'{"a":1}').digest()
    assert sealed.leaf == entries.leaf_of(header, SALT, b'{"a":1}')
    assert entries.parse_header(header)["index"] == 3
    assert entries.matches(sealed) is True


@pytest.mark.parametrize(
    "change",
    [
        {"index": 4},
        {"kind": "other"},
        {"recorded_at": 1},
        {"actor": "key:2"},
        {"identity": None},
        {"payload": b"{}"},
        {"salt": bytes(32)},
        {"salt": None},
        {"payload": None},
        {"salt": b"short"},
    ],
)
def test_every_field_is_inside_the_leaf(change):
    sealed = entries.seal(NEW, index=3, recorded_at=5, salt=SALT)
    assert entries.matches(replace(sealed, **change)) is False


def test_a_destroyed_entry_is_neither_right_nor_wrong():
    sealed = entries.seal(NEW, index=3, recorded_at=5, salt=SALT)
    assert entries.matches(replace(sealed, payload=None, salt=None)) is None


@pytest.mark.parametrize("bad", [replace(NEW, kind=""), replace(NEW, actor=""), replace(NEW, kind="a\nb"), replace(NEW, actor="a\x00")])
def test_a_kind_or_actor_that_is_empty_or_not_printable_is_refused(bad):
    with pytest.raises(BadInput, match="printable"):
        entries.seal(bad, index=0, recorded_at=0, salt=SALT)


def test_a_short_salt_is_refused():
    with pytest.raises(BadInput, match="salt"):
        entries.seal(NEW, index=0, recorded_at=0, salt=b"short")


@pytest.mark.parametrize(
    ("header", "message"),
    [(b"{", "not JSON"), (b"[]", "fields"), (b'{"format":1}', "fields"), (b"NEW", "not JSON")],
)
def test_what_is_no_header_is_bad_input(header, message):
    with pytest.raises(BadInput, match=message):
        entries.parse_header(header)


def test_a_header_of_a_later_format_is_named():
    header = entries.header_bytes(index=0, kind="k", recorded_at=0, actor="a", identity=None).replace(b'"format":1', b'"format":2')
    with pytest.raises(BadInput, match="format 2"):
        entries.parse_header(header)


def test_a_redaction_says_what_was_destroyed_and_what_replaces_it():
    sealed = entries.seal(NEW, index=3, recorded_at=5, salt=SALT)
    said = entries.parse_redaction(entries.redaction(sealed, reason="erased", actor="system", replacement=b"{}").payload)
    assert (said.index, said.header.encode(), said.leaf, said.replacement) == (3, entries.header_of(sealed), sealed.leaf.hex(), b"{}")
    assert entries.parse_redaction(entries.redaction(sealed, reason="erased", actor="system").payload).replacement is None
    with pytest.raises(BadInput, match="not a redaction"):
        entries.parse_redaction(b'{"index":1}')


@pytest.mark.parametrize("value", [float("nan"), object(), {"a": {1, 2}}])
def test_what_is_not_json_is_refused(value):
    with pytest.raises(BadInput, match="not a JSON value"):
        entries.canonical_json(value)
