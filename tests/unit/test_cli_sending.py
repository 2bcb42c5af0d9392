"""How events reach the door: what the door refuses is named, and what is no answer of the door about an event refuses nothing."""

from __future__ import annotations

import json

import httpx2
import pytest

from governance.cli.client import Api
from governance.cli.sending import batches, deliver, send
from governance.cli.sources import Found
from lineage.errors import BadInput, Forbidden, StoreUnavailable

PROBLEM = "tag:govern-ml,2026:problems/"


def api(answer):
    seen: list[tuple[str, bytes]] = []

    def handle(request):
        seen.append((request.url.path, request.content))
        return answer(request)

    return Api(httpx2.Client(transport=httpx2.MockTransport(handle), base_url="http://govern.test"), "http://govern.test"), seen


def found(*raws: bytes) -> list[Found]:
    return [Found(f"file:{number}", raw) for number, raw in enumerate(raws, 1)]


def problem(status: int, slug: str, detail: str) -> httpx2.Response:
    return httpx2.Response(status, json={"type": PROBLEM + slug, "detail": detail}, headers={"Content-Type": "application/problem+json"})


def test_what_is_refused_is_named_by_its_place_also_beside_what_could_not_be_read():
    door, seen = api(lambda request: httpx2.Response(200, json={"failed_events": [{"index": 1, "reason": "no job"}]}))
    batch = [Found("file:0", b"", "it is not JSON"), *found(b"{}", b"[]", b"{}")]
    assert deliver(door, batch) == [{"place": "file:0", "reason": "it is not JSON"}, {"place": "file:2", "reason": "no job"}]
    assert seen == [("/api/v1/lineage/batch", b"[{},[],{}]")]


def test_one_that_spoils_the_whole_batch_costs_no_other():
    def answer(request):
        if request.url.path.endswith("/batch"):
            return problem(400, "bad-input", "the batch is not JSON that can be read")
        return problem(400, "bad-event", "too deep") if request.content == b"deep" else httpx2.Response(201)

    door, seen = api(answer)
    assert deliver(door, found(b"1", b"deep", b"3")) == [{"place": "file:2", "reason": "too deep"}]
    assert [content for path, content in seen if path == "/api/v1/lineage"] == [b"1", b"deep", b"3"]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (lambda _: httpx2.Response(413, text="<html>nginx</html>"), BadInput),
        (lambda _: httpx2.Response(400, json={"error": "not by us"}), BadInput),
        (lambda _: problem(401, "unauthenticated", "a key is needed"), Forbidden),
    ],
    ids=["too large for a proxy", "no problem of ours", "no key"],
)
def test_what_somebody_else_refuses_is_an_error_and_no_refused_event(answer, error):
    door, _ = api(answer)
    with pytest.raises(error):
        deliver(door, found(b"{}", b"{}"))


def test_a_busy_server_is_asked_again_and_a_home_that_cannot_be_written_is_not(monkeypatch):
    answers = [problem(503, "unavailable", "busy"), problem(503, "unavailable", "busy"), httpx2.Response(200, json={})]
    door, seen = api(lambda _: answers[min(len(seen), 3) - 1])
    monkeypatch.setattr("governance.cli.sending.time.sleep", lambda _seconds: None)
    monkeypatch.setenv("GOVERN_URL", "http://govern.test")
    assert send(door, found(b"{}")) == []
    assert len(seen) == 3
    seen.clear()
    monkeypatch.delenv("GOVERN_URL")
    with pytest.raises(StoreUnavailable):
        send(door, found(b"{}"))
    assert len(seen) == 1


def test_batches_are_bounded_and_what_is_larger_goes_alone():
    many = [Found(str(number), b"x" * 10) for number in range(450)]
    assert [len(batch) for batch in batches(many)] == [200, 200, 50]
    large = [*found(b"{}"), Found("large", b"x" * 2_000_000), *found(json.dumps({}).encode())]
    assert [len(batch) for batch in batches(large)] == [1, 1, 1]
