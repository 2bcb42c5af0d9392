"""Many requests at once: every row is judged by itself, a wrong one is named by its line, and what it held is repeated nowhere."""

from __future__ import annotations

import io
import json
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from governance.erasure.bulk import MOST_ROWS, Bulk, lines_of, rows_of
from lineage.errors import BadInput, Conflict
from tests.support.core import Core, opened

SECRET = "Q7-SENTINEL-PERSON"


@pytest.fixture
def core(tmp_path, memory_keys, ticking_clock):
    with opened(tmp_path / "home", keys=memory_keys, clock=ticking_clock) as core:
        yield core


@pytest.fixture
def bulk(core: Core) -> Bulk:
    return Bulk(lambda: core.erasures, core.clock, regulations=lambda: ("CCPA", "GDPR", "LGPD"))


def read(text: str | bytes, form: str = "ndjson"):
    raw = text.encode() if isinstance(text, str) else text
    return list(rows_of(io.BytesIO(raw), form))


def take(bulk: Bulk, text: str, form: str = "ndjson", **more):
    return bulk.take(io.BytesIO(text.encode()), form, actor="key:a", **more)


def one(value=SECRET, **more) -> str:
    return json.dumps({"type": "applicant", "value": value} | more) + "\n"


# ── reading ─────────────────────────────────────────────────────────────────────────────────────
def test_three_forms_say_the_same() -> None:
    rows = [
        {"type": "applicant", "value": "17", "regulation": "GDPR"},
        {"type": "email", "value": "a,b@example.org", "ground": 'said "yes"'},
    ]
    ndjson = "".join(json.dumps(row) + "\n" for row in rows)
    written = 'type,value,regulation,ground\napplicant,17,GDPR,\nemail,"a,b@example.org",,"said ""yes"""\n'
    expected = [dict(row) for row in rows]
    assert [row.body for row in read(ndjson)] == expected
    assert [row.body for row in read(json.dumps(rows), "json")] == expected
    assert [row.body for row in read(written, "csv")] == expected
    assert [row.body for row in read("\ufeff" + written, "csv")] == expected
    assert [row.body for row in read(written.replace("\n", "\r\n"), "csv")] == expected
    assert [row.body for row in read("type;value\napplicant;17\n", "csv")] == [{"type": "applicant", "value": "17"}]
    nested = json.dumps({"subject": {"type": "applicant", "value": 17}, "regulation": "GDPR"})
    assert read(nested)[0].body == {"type": "applicant", "value": 17, "regulation": "GDPR"}


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("{", "not JSON"), ("[1]", "no object"), ('"x"', "no object"), ("[" * 100_000, "longer than"), ("[" * 10_000, "not JSON"),
        (json.dumps({"type": "applicant"}), "value is missing"), (json.dumps({"value": SECRET}), "type is missing"),
        (json.dumps({"type": SECRET, "value": "x"}), "type must be a name"), (json.dumps({"type": 1, "value": "x"}), "type must be text"),
        (json.dumps({"type": "a", "value": None}), "value is missing"), (json.dumps({"type": "a", "value": True}), "text or a whole"),
        (json.dumps({"type": "a", "value": 1.5}), "text or a whole"), (json.dumps({"type": "a", "value": [SECRET]}), "text or a whole"),
        (json.dumps({"type": "a", "value": "   "}), "empty"), (json.dumps({"type": "a", "value": SECRET + "\x00"}), "control"),
        (json.dumps({"type": "a", "value": SECRET * 100}), "too long"), (json.dumps({"type": "a", "value": "x", SECRET: 1}), "unknown"),
        (json.dumps({"type": "a", "value": "x", "key": "ä"}), "visible ASCII"), (json.dumps({"type": "a", "value": "x", "key": 1}), "key must"),
        (json.dumps({"type": "a", "value": "x", "ground": "g" * 5000}), "ground is longer"),
        (json.dumps({"subject": {"type": "a", "value": "x"}, "value": SECRET}), "subject must be"),
        (json.dumps({"subject": SECRET}), "subject must be"), (b'{"type": "a", "value": "\xff"}', "not JSON"),
    ],
)  # fmt: skip
def test_a_wrong_row_is_named_by_its_line_and_the_others_go_on(line, fault: str) -> None:
    raw = line if isinstance(line, bytes) else line.encode()
    good = one("17").encode()
    rows = read(good + b"\n" + raw + b"\n" + good)
    assert [row.line for row in rows] == [1, 3, 4]
    assert rows[0].body == rows[2].body == {"type": "applicant", "value": "17"}
    assert rows[1].body is None
    assert fault in rows[1].fault
    assert SECRET not in rows[1].fault


def test_csv_rows_that_are_wrong_are_named_by_the_line_they_begin_at() -> None:
    text = f'type,value\napplicant,1\napplicant\n\napplicant,"two\nlines"\napplicant,2,{SECRET}\napplicant,3\n{SECRET},4\n'
    rows = read(text, "csv")
    assert [(row.line, row.body is not None) for row in rows] == [(2, True), (3, False), (5, False), (7, False), (8, True), (9, False)]
    assert not any(SECRET in row.fault for row in rows)


def test_an_open_quote_ends_the_reading_and_is_said() -> None:
    rows = read(f'type,value\napplicant,1\napplicant,"{SECRET}\napplicant,2\n', "csv")
    assert [(row.line, bool(row.fault)) for row in rows] == [(2, False), (3, True)]
    assert "from here on" in rows[-1].fault
    assert SECRET not in rows[-1].fault


def test_text_that_is_not_utf_8_is_a_fault_of_its_row() -> None:
    rows = read("type,value\napplicant,M\xfcller\napplicant,2\n".encode("latin-1"), "csv")
    assert [bool(row.fault) for row in rows] == [True, False]


@pytest.mark.parametrize("text", ["", "value\n1\n", "type,value,type\n", f"type,value,{SECRET}\n", "a;b\n", '"type,value\n'])
def test_a_csv_without_its_columns_is_refused_whole(text: str) -> None:
    with pytest.raises(BadInput, match="columns") as caught:
        read(text, "csv")
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(("text", "form"), [("{", "json"), ('{"type": "a"}', "json"), ("[" * 100_000, "json"), ("x", "xml")])
def test_a_body_that_cannot_be_read_is_refused_whole(text: str, form: str) -> None:
    with pytest.raises(BadInput):
        read(text, form)


@given(st.binary(max_size=400), st.sampled_from(["ndjson", "csv", "json"]))
@settings(max_examples=50)
def test_no_bytes_break_the_reader(raw: bytes, form: str) -> None:
    try:
        rows = read(b"type,value\n" + raw if form == "csv" else raw, form)
    except BadInput:
        return
    assert all((row.body is None) == bool(row.fault) and row.line >= 1 for row in rows)


def test_a_line_without_an_end_does_not_fill_the_memory() -> None:
    class Endless(io.RawIOBase):
        left = 50 * 1024 * 1024

        def readline(self, size=-1):
            self.left -= size
            return b"x" * size if self.left > 0 else b""

    tracemalloc.start()
    try:
        rows = list(rows_of(lines_of(Endless()), "ndjson"))
        assert tracemalloc.get_traced_memory()[1] < 2 * 1024 * 1024
    finally:
        tracemalloc.stop()
    assert len(rows) == 1
    assert "longer" in rows[0].fault


# ── entering ────────────────────────────────────────────────────────────────────────────────────
def test_usable_rows_are_entered_and_nothing_of_the_file_is_kept(bulk: Bulk, core: Core) -> None:
    text = one(SECRET) + "oops\n" + one("18", regulation="CCPA", ground="art-17") + one("19", regulation="HIPAA")
    answer = take(bulk, text)
    assert answer["summary"] == {"rows": 4, "entered": 2, "known": 0, "refused": 2, "usable": 0}
    assert [row["status"] for row in answer["rows"]] == ["entered", "refused", "entered", "refused"]
    assert "CCPA, GDPR, LGPD" in answer["rows"][3]["reason"]
    listed = core.erasures.list()["requests"]
    assert {request["id"] for request in listed} == {row["id"] for row in answer["rows"] if row["id"]}
    assert all(request["state"] == "identity_pending" for request in listed)
    assert SECRET not in json.dumps(answer)
    for path in core.root.rglob("*"):
        if path.is_file():
            assert SECRET.encode() not in path.read_bytes(), path


def test_a_dry_run_enters_nothing_and_says_the_same_faults(bulk: Bulk, core: Core) -> None:
    text = one() + "oops\n" + one("19", regulation="HIPAA")
    before = core.ledger.size()
    answer = take(bulk, text, dry_run=True)
    assert answer["summary"] == {"rows": 3, "entered": 0, "known": 0, "refused": 2, "usable": 1}
    assert core.ledger.size() == before
    entered = take(bulk, text)
    assert [row["reason"] for row in entered["rows"]] == [row["reason"] for row in answer["rows"]]


def test_the_same_rows_again_are_the_same_requests(bulk: Bulk, core: Core) -> None:
    text = one("1") + one("2", key="crm-2") + one("3")
    first = take(bulk, text, idempotency="file-1")
    again = take(bulk, text, idempotency="file-1")
    assert again["summary"] == {"rows": 3, "entered": 0, "known": 3, "refused": 0, "usable": 0}
    assert [row["id"] for row in again["rows"]] == [row["id"] for row in first["rows"]]
    moved = take(bulk, one("2", key="crm-2"), idempotency="another file")
    assert moved["rows"][0]["status"] == "known", "a row's own key holds wherever the row stands"
    other = take(bulk, one("4") + one("5", key="crm-2"), idempotency="file-1")
    assert [row["reason"] for row in other["rows"]] == ["its key was used for another request"] * 2
    assert len(core.erasures.list()["requests"]) == 3


def test_without_any_key_each_row_is_a_request_of_its_own_and_a_key_twice_is_refused(bulk: Bulk, core: Core) -> None:
    assert take(bulk, one("1") + one("1"))["summary"]["entered"] == 2
    answer = take(bulk, one("1", key="k") + one("2", key="k"))
    assert [row["status"] for row in answer["rows"]] == ["entered", "refused"]
    assert answer["rows"][1]["reason"] == "its key is that of line 1"
    assert len(core.erasures.list()["requests"]) == 3


def test_too_many_rows_in_one_body_enter_nothing(core: Core) -> None:
    asked = []

    class Door:
        def request(self, body, *, actor, idempotency=None):
            asked.append(body)

    with pytest.raises(BadInput, match="nothing was entered"):
        take(Bulk(Door, core.clock, regulations=lambda: ("GDPR",)), one("1") * (MOST_ROWS + 1))
    assert asked == []


def test_a_refusal_of_the_service_is_the_row_s(core: Core) -> None:
    class Door:
        def request(self, body, *, actor, idempotency=None):
            if body["subject"]["value"] == "2":
                raise Conflict("used")
            if body["subject"]["value"] == "3":
                raise BadInput("too many requests about this person")
            return {"id": "er", "created_at": core.clock.now()}

    answer = take(Bulk(Door, core.clock, regulations=lambda: ("GDPR",)), one("1") + one("2") + one("3"))
    assert [row["status"] for row in answer["rows"]] == ["entered", "refused", "refused"]


@pytest.mark.slow
def test_a_hundred_thousand_rows_are_read_in_bounded_memory() -> None:
    def lines():
        yield b"type,value,regulation\n"
        for number in range(100_000):
            yield b"applicant,%d,%s\n" % (number, b"GDPR" if number % 1000 else b"a,b")

    tracemalloc.start()
    try:
        faults = [row.line for row in rows_of(lines(), "csv") if row.fault]
        assert tracemalloc.get_traced_memory()[1] < 4 * 1024 * 1024
    finally:
        tracemalloc.stop()
    assert faults == [2 + number for number in range(0, 100_000, 1000)]
