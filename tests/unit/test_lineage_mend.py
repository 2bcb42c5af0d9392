"""Redaction by hand: a field or a text is replaced, everything else stays, names are not masked into one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineage.errors import BadInput, NotFound
from lineage.openlineage import parse_event
from lineage.openlineage.mend import mend

WHO = "anna.zyxwv@example.org"


def event(**facets: Any) -> dict[str, Any]:
    return {
        "eventType": "COMPLETE",
        "eventTime": "2026-01-01T00:00:00Z",
        "run": {"runId": "r1"},
        "job": {"namespace": "jobs", "name": "mail", "facets": facets},
        "inputs": [{"namespace": "s3://lake", "name": f"users/{WHO}/in", "facets": {}}],
        "outputs": [{"namespace": "s3://lake", "name": "all", "facets": {}}],
    }


def raw(body: Any) -> bytes:
    return json.dumps(body).encode()


SQL = {"sql": {"query": f"select * from t where mail = '{WHO}' or m = '{WHO}'"}}


def test_a_field_becomes_the_mask_and_nothing_else_changes() -> None:
    before = event(**SQL)
    mended = mend(raw(before), fields=["/job/facets/sql/query"])
    after = json.loads(mended.payload)
    assert after["job"]["facets"]["sql"]["query"] == "***"
    after["job"]["facets"]["sql"]["query"] = before["job"]["facets"]["sql"]["query"]
    assert after == before
    assert mended.places == ("/job/facets/sql/query",)


def test_a_text_goes_wherever_it_stands_in_keys_too() -> None:
    body = event(**SQL, own={WHO: {"deep": [1, f"x{WHO}y"]}})
    mended = mend(raw(body), text=WHO, instead="person-1")
    assert WHO.encode() not in mended.payload
    assert mended.places == (
        "/job/facets/sql/query",
        "/job/facets/own/person-1",
        "/job/facets/own/person-1/deep/1",
        "/inputs/0/name",
    )
    assert parse_event(mended.payload).inputs[0].name == "users/person-1/in"


def test_escapes_hide_nothing() -> None:
    body = event(sql={"query": "select 'Zoë'"})
    mended = mend(json.dumps(body, ensure_ascii=True).encode(), text="Zoë")
    assert json.loads(mended.payload)["job"]["facets"]["sql"]["query"] == "select '***'"


@pytest.mark.parametrize(("given_", "match"), [({"text": WHO}, "/inputs/0/name is a name"), ({"fields": ["/inputs/0/name"]}, "is a name")])
def test_a_name_is_never_masked(given_: dict[str, Any], match: str) -> None:
    with pytest.raises(BadInput, match=match) as error:
        mend(raw(event(**SQL)), **given_)
    assert "--as" in (error.value.hint or "")
    assert WHO not in error.value.message


@pytest.mark.parametrize(
    ("given_", "kind", "match"),
    [
        ({}, BadInput, "say what is to be redacted"),
        ({"fields": ["job/name"]}, BadInput, "no JSON pointer"),
        ({"fields": ["/job/facets/none"]}, NotFound, "no field /job/facets/none"),
        ({"fields": ["/inputs/7/facets"]}, NotFound, "no field"),
        ({"fields": ["/inputs/x/facets"]}, NotFound, "no field"),
        ({"text": "nobody@example.org"}, NotFound, "stands nowhere"),
        ({"fields": ["/inputs"]}, BadInput, "no OpenLineage event"),
        ({"fields": ["/run"]}, BadInput, "no OpenLineage event"),
    ],
)
def test_what_cannot_be_done_is_refused(given_: dict[str, Any], kind: type[Exception], match: str) -> None:
    with pytest.raises(kind, match=match):
        mend(raw(event(**SQL)), **given_)


def test_two_keys_never_become_one() -> None:
    body = event(own={f"a{WHO}": 1, "a***": 2})
    body["inputs"] = []
    with pytest.raises(BadInput, match="two fields would be called"):
        mend(raw(body), text=WHO)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=12,
)


@settings(max_examples=50, deadline=None)
@given(_JSON, st.text(alphabet="xyz", min_size=1, max_size=2))
def test_afterwards_the_text_is_nowhere(facet: Any, text: str) -> None:
    body = event(own=facet, planted={"v": f"-{text}-"})
    body["inputs"], body["outputs"] = [], []
    try:
        mended = mend(raw(body), text=text, instead="0")
    except BadInput as error:
        assert "two fields" in error.message or "no OpenLineage event" in error.message or "is a name" in error.message  # noqa: PT017
        return

    def texts(value: Any) -> list[str]:
        if isinstance(value, dict):
            return [*value, *(one for inner in value.values() for one in texts(inner))]
        return [one for inner in value for one in texts(inner)] if isinstance(value, list) else [value] if isinstance(value, str) else []

    assert not [one for one in texts(json.loads(mended.payload)) if text in one]
