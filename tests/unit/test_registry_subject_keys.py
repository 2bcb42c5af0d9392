"""What a dataset may say of whom its rows are about, and what is refused."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from governance.api.bodies import checked
from governance.api.problems import InvalidBody
from governance.cli.dataset_keys import keys_given
from governance.cli.exits import Usage
from governance.registry.shared_rows import without
from governance.registry.subject_keys import SharedRule, SubjectKey, declared_keys, people, shared_rule, subject_keys
from lineage.errors import BadInput
from lineage.rows import RULES

SENDER = {"type": "email", "columns": ["sender"], "about": ["sender_name"]}
RECEIVER = {"type": "email", "columns": ["receiver"]}
REDACT = {"rule": "redact"}
PART = st.text(st.characters(exclude_categories=("Cc", "Cs", "Z")), min_size=1, max_size=6)


def declared(*keys: Any, kind: str = "lance", **more: Any) -> dict[str, Any]:
    return declared_keys({"subject_keys": list(keys), **more}, name="d", kind=kind)


def test_keys_are_kept_as_they_were_stated_with_the_version_of_the_rules() -> None:
    record = declared(SENDER, RECEIVER, shared_rows=REDACT)
    assert subject_keys(record) == (
        SubjectKey(type="email", columns=("sender",), about=("sender_name",)),
        SubjectKey(type="email", columns=("receiver",)),
    )
    assert shared_rule(record) == SharedRule(rule="redact")
    assert (record["subject_rules"], record["subject_key"], record["subject_type"]) == (RULES, "sender", "email")


def test_a_registration_of_one_column_is_what_it_was_before() -> None:
    old = declared_keys({"subject_key": "person", "subject_type": "applicant"}, name="d", kind="lance")
    assert old == declared({"type": "applicant", "columns": ["person"]}) == {"subject_key": "person", "subject_type": "applicant"}
    assert subject_keys(old) == (SubjectKey(type="applicant", columns=("person",)),)
    assert shared_rule(old).rule == "purge"
    nobody = declared_keys({"subject_key": None}, name="d", kind="lance")
    assert (nobody, subject_keys(nobody)) == ({"subject_key": None, "subject_type": None}, ())


@pytest.mark.parametrize(
    ("keys", "more", "said"),
    [
        ([], {}, "a list of 1 to 16 keys"),
        ([SENDER, RECEIVER], {}, "say what becomes of them"),
        ([SENDER, RECEIVER], {"shared_rows": {"rule": "keep"}}, "say what becomes of them"),
        ([SENDER, RECEIVER], {"shared_rows": {"rule": "retain"}}, "on a ground that is stated"),
        ([SENDER, RECEIVER], {"shared_rows": {"rule": "purge", "ground": "because"}}, "on a ground that is stated"),
        ([SENDER], {"shared_rows": REDACT}, "goes with several keys"),
        ([SENDER, SENDER], {"shared_rows": {"rule": "purge"}}, "given twice"),
        ([SENDER, {"type": "email", "columns": ["sender_name"]}], {"shared_rows": REDACT}, "about two people at once"),
        ([SENDER, RECEIVER], {"shared_rows": REDACT, "kind": "csv"}, "deliver it again as it was"),
        ([SENDER, RECEIVER], {"shared_rows": {"rule": "purge"}, "kind": "lines"}, "its number"),
        ([SENDER], {"subject_key": "sender"}, "either subject_key"),
        ([{"type": "email", "columns": []}], {}, "names its columns"),
        ([{"type": "email", "columns": ["a", "a"]}], {}, "a column twice"),
        ([{"type": "email", "columns": ["a"], "colour": "red"}], {}, "has type, columns"),
        ([{"type": "E-mail", "columns": ["a"]}], {}, "expected a name"),
        ([{"type": "phone", "columns": ["a"], "region": "Germany"}], {}, "no ISO 3166-1 code"),
        ([{"type": "phone", "columns": ["a"], "region": "XX"}], {}, "no telephone numbers are known"),
        ([{"type": "email", "columns": ["a"], "region": "DE"}], {}, "belongs to telephone numbers"),
        (["sender"], {}, "has type, columns"),
    ],
)
def test_what_contradicts_itself_or_says_too_little_is_refused(keys: list[Any], more: dict[str, Any], said: str) -> None:
    kind = more.pop("kind", "lance")
    with pytest.raises(BadInput, match=said):
        declared(*keys, kind=kind, **more)
    with pytest.raises(BadInput, match="goes with subject_keys"):
        declared_keys({"subject_key": "a", "shared_rows": REDACT}, name="d", kind="lance")


@settings(max_examples=50)
@given(st.tuples(PART, PART), st.tuples(PART, PART))
def test_two_tuples_are_one_person_only_when_their_parts_are_equal(first: tuple[str, str], second: tuple[str, str]) -> None:
    key, single = SubjectKey(type="passport", columns=("a", "b")), SubjectKey(type="passport", columns=("a",))
    spelled = [key.canonical(parts) for parts in (first, second)]
    parts = [tuple(single.canonical([f"x{part}"]) for part in one) for one in (first, second)]
    assert (spelled[0] == spelled[1]) == (parts[0] == parts[1])


def test_cells_are_read_as_they_are_written_in_requests() -> None:
    key = SubjectKey(type="applicant", columns=("person",))
    assert key.canonical([17.0]) == key.canonical([17]) == key.canonical(["17"]) == "applicant:17"
    assert key.canonical([None]) is None
    table = pa.table({"person": ["17", ""]})
    assert people([key], table, kind="csv") == [["applicant:17", None]], "a file of text knows no null"
    with pytest.raises(BadInput, match="the value is empty"):
        people([key], table, kind="lance")


def test_under_retain_a_row_with_somebody_else_comes_in_as_it_is() -> None:
    keys = subject_keys(declared(SENDER, RECEIVER, shared_rows={"rule": "retain", "ground": "accounts"}))
    table = pa.table({"sender": ["ada@x.org", "ada@x.org"], "sender_name": ["Ada", "Ada"], "receiver": ["bob@x.org", None]})
    kept, left_out, redacted = without(
        keys, SharedRule(rule="retain", ground="accounts"), table, lambda _: {"email:ada@x.org"}, kind="lance"
    )
    assert (kept.to_pylist(), left_out, redacted) == (table.slice(0, 1).to_pylist(), 1, 0)


def test_options_say_the_same_as_a_body() -> None:
    words = {"subject_key": None, "subject_type": None, "ground": None}
    given_ = keys_given(
        subject=["email=sender", "phone=mobile", "passport=country,number"],
        about=["sender=sender_name, sender_city"],
        region=["mobile=DE"],
        shared_rows="redact",
        **words,
    )
    assert given_ == {
        "subject_keys": [
            {"type": "email", "columns": ["sender"], "about": ["sender_name", "sender_city"]},
            {"type": "phone", "columns": ["mobile"], "region": "DE"},
            {"type": "passport", "columns": ["country", "number"]},
        ],
        "shared_rows": REDACT,
    }
    checked("NewDataset", {"name": "d", "kind": "lance", **given_})
    nothing: dict[str, Any] = {"about": (), "region": (), "shared_rows": None, **words}
    for wrong in (
        {"subject": ["sender"]},
        {"subject": ["email="]},
        {"subject": None},
        {"subject": ["email=a"], "subject_key": "a"},
        {"subject": ["email=a", "phone=a"]},
        {"subject": ["email=a"], "about": ["b=c"]},
        {"subject": ["phone=a"], "region": ["a=DE,FR"]},
    ):
        with pytest.raises(Usage):
            keys_given(**nothing | wrong)


def test_a_body_says_whom_the_rows_are_about() -> None:
    for wrong in (
        {"name": "d", "kind": "lance"},
        {"name": "d", "kind": "lance", "subject_keys": [{"type": "email", "columns": ["a"], "region": "de"}]},
        {"name": "d", "kind": "lance", "subject_keys": []},
    ):
        with pytest.raises(InvalidBody):
            checked("NewDataset", wrong)
    assert checked("NewDataset", {"name": "d", "kind": "lance", "subject_key": None})["subject_key"] is None
