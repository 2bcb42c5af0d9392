"""Whatever is sent, the door answers: never an unexpected error, and never with what was sent."""

from __future__ import annotations

import json
import re
from typing import Any

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


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(ROUTES), JSON.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=64), QUERY)
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
        assert problem["code" if route.marquez else "status"] == reply.status
        assert problem["message" if route.marquez else "detail"]
        assert MARK not in reply.body.decode()
