"""Whatever is sent, the door answers: never an unexpected error, and never with what was sent."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from governance.api.door import Door
from governance.api.table import ROUTES
from tests.fakes.api_facade import FakeSystem

MARK = "SENTINEL"
NAMES = {"name": "credit-risk", "version": "1", "id": "er-1", "sha256": "0" * 64}
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.just(MARK) | st.text(max_size=8)
KEYS = st.sampled_from(
    ["name", "model", "version", "inputs", "parameters", "subject", "type", "value", "roles", "kind", "data", "shape", "datatype"]
)
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12)
QUERY = st.lists(st.tuples(st.sampled_from(["model", "limit", "cursor", "as_of", "index", "mode", "x"]), st.text(max_size=6)), max_size=3)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
@settings(max_examples=10, deadline=None)
@given(JSON.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=64), QUERY)
def test_the_door_never_meets_what_it_did_not_expect(route: Any, body: bytes, query: list[tuple[str, str]]) -> None:
    text = "&".join(f"{name}={value}" for name, value in query)
    reply = Door(FakeSystem()).answer(
        route,
        FakeSystem().local_owner(),
        path=dict.fromkeys(re.findall(r"\{(\w+)\}", route.path), "x") | NAMES,
        query=text,
        headers={"content-type": "application/json"},
        body=body,
    )
    assert reply.status < 500, reply.body
    if reply.status >= 400:
        problem = json.loads(reply.body)
        plain = reply.media == "application/json"
        assert not plain or route.marquez or route.opendsr, "RFC 9457, but where another protocol has its own errors"
        if plain and route.opendsr:
            problem = problem["error"]
        assert problem["code" if plain else "status"] == reply.status
        assert problem["message" if plain else "detail"]
        assert MARK not in reply.body.decode()
