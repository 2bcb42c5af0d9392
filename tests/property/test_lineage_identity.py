"""An event's identity is SHA-256 of its sorted compact JSON, by whichever way it is computed."""

from __future__ import annotations

import hashlib
import json
import math
import random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lineage.errors import BadEvent
from lineage.openlineage import MAX_DEPTH, check_event, event_digest
from lineage.openlineage import identity as ways

TEXT = st.text(st.characters(exclude_categories=()), max_size=12) | st.sampled_from(
    ["\x7f", "\x1b", "\u2028", "é", "\\u0041", '"', "\ud800"]
)
NUMBERS = (
    st.integers()
    | st.integers(2**63 - 3, 2**64 + 3)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([0, -1, 1e16, 1e22, 1e-7, -0.0])
)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=15,
)


def by_the_rule(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")).hexdigest()


@settings(max_examples=250, deadline=None)
@given(VALUES, st.booleans(), st.sampled_from([None, 0, 2]))
@example({"a": "\x7f"}, False, None)
@example([2**64, -(2**63) - 1], True, None)
def test_every_spelling_of_a_value_has_the_identity_that_the_rule_gives(value: object, ascii_only: bool, indent: int | None) -> None:
    raw = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode("utf-8", "surrogatepass")
    try:
        raw.decode()
    except UnicodeDecodeError:  # half of a surrogate pair can be sent by its escape only
        with pytest.raises(BadEvent):
            ways.load(raw)
        return
    body, digest = ways.load(raw)
    assert digest == by_the_rule(value) == event_digest(value)
    assert body == value


PIECES = [
    *(b'{ } [ ] , : " a 1 0 - . e E + true false null'.split()),
    *(b'\\n \\/ \\u0041 \\u00e9 \\ud83d\\ude00 \\ud800 \\b \\f \\" / "k": "x" -0 1.5 1e5 NaN'.split()),
    b" ", b"\n", b"\t", b"\xc3\xa9", b"\xff", b"\x00", b"\x1f", b"\x7f", b"\xef\xbb\xbf", b"\x0b", b"\xc2\xa0", b"\xed\xa0\x80",
    b"12345678901234567890", b"123456789012345678901234567890", b"\xf0\x9f\x98\x80",
]  # fmt: skip


def test_the_fast_way_takes_nothing_that_the_slow_way_refuses_and_gives_the_same_identity() -> None:
    rng = random.Random(7)

    def some(depth: int = 0) -> bytes:
        if depth > 3 or rng.random() < 0.3:
            return rng.choice(
                [b"1", b"-0", b"null", b'"a"', b'"\\u00e9"', b'"x\\n\\t\\"\\\\"', b"1.0", b'"\\u007f"', b"18446744073709551616"]
            )
        inner = [some(depth + 1) for _ in range(rng.randrange(4))]
        if rng.random() < 0.5:
            return b"[" + b",".join(inner) + b"]"
        return b"{" + b",".join(rng.choice([b'"a":', b'"A":', b'"a.b":', b'"\\u0061":', b'" ":']) + one for one in inner) + b"}"

    fast = refused = 0
    for _ in range(12_000):
        raw = bytearray(some())
        for _ in range(rng.choice([0, 0, 1, 2])):
            at = rng.randrange(len(raw) + 1)
            raw[at : at + rng.randrange(2)] = rng.choice(PIECES)
        try:
            slow = ways._load_slowly(bytes(raw))[1]
        except BadEvent:
            slow, refused = None, refused + 1
        try:
            now = ways.load(bytes(raw))[1]
        except BadEvent:
            now = None
        assert now == slow, bytes(raw)
        try:
            ways._FAST.decode(bytes(raw))
            fast += 1
        except Exception:
            continue
    assert fast > 3_000
    assert refused > 600


def test_the_last_of_duplicate_keys_counts_both_ways() -> None:
    for raw, same in ((b'{"a":1,"a":2}', {"a": 2}), (b'{"a":1.5,"a":2}', {"a": 2}), (b'{"\xc3\xa9":1,"\\u00e9":2}', {"é": 2})):
        assert ways.load(raw)[1] == by_the_rule(same)


@pytest.mark.parametrize("one", ["1e400", "-1e400", "1e999", "9" * 5000, "9" * 4999 + "8", '"1e400"', '"' + "9" * 5000 + '"', "1e308"])
def test_a_number_that_python_cannot_hold_has_an_identity_of_its_own(one: str) -> None:
    others = {"1e400", "-1e400", "1e999", "9" * 5000, "9" * 4999 + "8", '"1e400"', '"' + "9" * 5000 + '"', "1e308", "1e401"} - {one}
    event = '{"job":{"namespace":"n","name":"j","facets":{"x":{"v":%s}}}}'
    mine = check_event((event % one).encode())
    assert mine.digest not in {check_event((event % other).encode()).digest for other in others}
    assert mine.digest == check_event((event % f" {one} ").encode()).digest
    value = mine.body["job"]["facets"]["x"]["v"]
    assert value == (float(one) if one == "1e308" else one.strip('"'))
    assert not isinstance(value, float) or math.isfinite(value)


@pytest.mark.parametrize("inner", [b"1", b"1.5", b'"\xc3\xa9"'])
def test_the_depth_limit_is_the_same_both_ways(inner: bytes) -> None:
    for depth in (10, 254, 255, MAX_DEPTH, MAX_DEPTH + 1, 1_000, 10_000, 1_000_000):
        raw = b"[" * depth + inner + b"]" * depth
        if depth <= MAX_DEPTH:
            assert len(ways.load(raw)[1]) == 64
        else:
            with pytest.raises(BadEvent, match="deeper than 256"):
                ways.load(raw)
