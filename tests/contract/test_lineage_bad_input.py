"""Bad input through the real door: what happens is said here, case by case; the process lives and no other event is lost.

Refused are only: what is not JSON, an event without the identity of a run, a job or a dataset, an identity that is not a string, and what
is larger or deeper than stated. Everything else is taken and folded.
"""

from __future__ import annotations

import functools
import gzip
import json
import re
import time

import pytest

from governance.api.app import create_app
from governance.registry.doors import LineageDoor
from lineage.adapters.sqlite_graph import SqliteGraph
from lineage.graph.keys import dataset_key, run_key
from lineage.ingest import Ingestor
from lineage.openlineage import MAX_BYTES, MAX_DEPTH, check_event
from tests.fakes.api_client import AppClient
from tests.fakes.api_facade import FakeSystem

SYSTEM = FakeSystem()
APP = functools.cache(lambda: create_app(SYSTEM))
"""Made once; each test puts its own ingest behind it."""


class NoDatasets:
    """No landing files are registered."""

    def named_in(self, raws):
        return ()


class Door:
    """The real ingest behind the real application."""

    def __init__(self, ledger, graph, clock) -> None:
        self.ledger, self.graph = ledger, graph
        self.ingestor = Ingestor(ledger, graph, clock)
        SYSTEM.lineage = LineageDoor(self.ingestor, NoDatasets())
        self.client = AppClient(APP())

    def post(self, raw, path="/api/v1/lineage", **headers):
        return self.client.post(path, content=raw, headers=headers, role="ingest")

    def folded(self) -> dict:
        while self.ingestor.project():
            pass
        return self.ingestor.status(digest=False)


@pytest.fixture
def door(open_ledger, tmp_path, ticking_clock):
    graph = SqliteGraph(tmp_path / "graph.db")
    yield Door(open_ledger(), graph, ticking_clock)
    graph.close()


def event(run="r", job="j", inputs=(), outputs=(), **more):
    body = {
        "eventType": "COMPLETE",
        "eventTime": "2026-01-02T03:04:05Z",
        "producer": "p",
        "run": {"runId": run},
        "job": {"namespace": "n", "name": job},
        "inputs": list(inputs),
        "outputs": list(outputs),
    }
    return json.dumps(body | more)


def ds(name, **facets):
    return {"namespace": "s3://lake", "name": name, "facets": facets}


def in_facet(text: str) -> bytes:
    """An event with one facet, ``text`` as its value, as it stands."""
    return event(run="odd").replace('"runId": "odd"', '"runId": "odd", "facets": {"x": {"v": ' + text + "}}").encode()


REFUSED = {
    "10 000 levels": (in_facet("[" * 10_000 + "]" * 10_000), "deeper than 256"),
    "10 000 objects": (in_facet('{"a":' * 10_000 + "1" + "}" * 10_000), "deeper than 256"),
    "a million levels": (in_facet("[" * 1_000_000), "not JSON|deeper than 256"),
    "one level too many": (in_facet("[" * (MAX_DEPTH - 3) + "]" * (MAX_DEPTH - 3)), "deeper than 256"),
    "invalid UTF-8": (event().encode().replace(b'"p"', b'"\xff\xfe"'), "not JSON"),
    "half a UTF-8 character": (event().encode().replace(b'"p"', b'"\xc3"'), "not JSON"),
    "UTF-16": (event().encode("utf-16"), "not JSON"),
    "NaN": (in_facet("NaN"), "not JSON"),
    "Infinity": (in_facet("-Infinity"), "not JSON"),
    "a trailing comma": (in_facet("[1,]"), "not JSON"),
    "two documents": (event().encode() * 2, "not JSON"),
    "cut off": (event().encode()[:-1], "not JSON"),
    "nothing": (b"", "not JSON"),
    "a zero byte": (event().encode() + b"\x00", "not JSON"),
    "a number": (b"1", "not an object"),
    "no identity": (b'{"eventType":"START"}', "no run, no job and no dataset"),
    "a run without a job": (b'{"run":{"runId":"r"}}', "job is missing"),
    "a run id that is a number": (event().replace('"runId": "r"', '"runId": 7').encode(), "not a string"),
    "a name that is empty": (event(job="").encode(), "empty"),
    "half a surrogate pair in a name": (event(job="\ud800").encode(), "surrogate"),
    "an input without a name": (event(inputs=[{"namespace": "n"}]).encode(), r"inputs\[0\].name is missing"),
    "inputs that are no list": (event(inputs=[ds("a")]).replace("[", '{"0":').replace("]", "}").encode(), "not JSON|not an array"),
}

TAKEN = {
    "the deepest": in_facet("[" * (MAX_DEPTH - 5) + "]" * (MAX_DEPTH - 5)),
    "duplicate keys": in_facet('{"a": 1, "a": 2}'),
    "a huge integer": in_facet("9" * 400),
    "an integer of ten thousand digits": in_facet("9" * 10_000),
    "a number beyond float64": in_facet("1e400"),
    "a number below float64": in_facet("1e-400"),
    "half a surrogate pair in a facet": in_facet('"\\ud800"'),
    "a zero character in a facet": in_facet('"\\u0000"'),
    "a zero character in a name": event(run="odd", job="a\x00b").encode(),
    "dotted keys": in_facet('{"a.b": {"c.d": 1}}'),
    "odd keys": in_facet('{"": 1, "__proto__": 2, "$ref": 3, "\\u0000": 4}'),
    "a naive time": event(run="odd", eventTime="2026-01-02T03:04:05").encode(),
    "no time": event(run="odd", eventTime=None).encode(),
    "a time that is none": event(run="odd", eventTime="yesterday").encode(),
    "a time far off": event(run="odd", eventTime="9999-12-31T23:59:59.999999999Z").encode(),
    "a run id that is no UUID": event(run="odd").encode(),
    "a run id of a megabyte": event(run="odd" * 350_000).encode(),
    "an unknown event type": event(run="odd", eventType="NEW").encode(),
    "facets that are no objects": event(run="odd", inputs=[ds("a", schema=7, version=[], symlinks="x", columnLineage={"fields": 3})]).encode(),
    "a byte order mark": b"\xef\xbb\xbf" + event(run="odd").encode(),
    "a cycle": event(run="odd", inputs=[ds("a"), ds("b")], outputs=[ds("b"), ds("a")]).encode(),
    "an edge to itself": event(run="odd", inputs=[ds("a")], outputs=[ds("a")]).encode(),
    "columns of itself": event(
        run="odd", outputs=[ds("a", columnLineage={"fields": {"c": {"inputFields": [{"namespace": "s3://lake", "name": "a", "field": "c"}]}}})]
    ).encode(),
    "a symlink to itself": event(
        run="odd", outputs=[ds("a", symlinks={"identifiers": [{"namespace": "s3://lake", "name": "a", "type": "TABLE"}]})]
    ).encode(),
    "renamed into itself": event(
        run="odd",
        outputs=[
            ds(
                "a",
                lifecycleStateChange={
                    "lifecycleStateChange": "RENAME", "previousIdentifier": {"namespace": "s3://lake", "name": "a"},
                },
            )
        ],
    ).encode(),
    "its own parent": event(run="odd")
    .replace('"runId": "odd"', '"runId": "odd", "facets": {"parent": {"run": {"runId": "odd"}, "job": {"namespace": "n", "name": "j"}}}')
    .encode(),
}  # fmt: skip


def spared(door: Door, number: int) -> None:
    """An ordinary event is taken, now as before."""
    assert door.post(event(run=f"good-{number}", inputs=[ds("a")], outputs=[ds("b")]).encode()).status_code == 201


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_is_told_why_and_costs_no_other_event(door: Door, case: str) -> None:
    raw, reason = REFUSED[case]
    spared(door, 1)
    answer = door.post(raw)
    assert answer.status_code == 400
    problem = answer.json()
    assert problem["type"].endswith("/bad-event")
    assert re.search(reason, problem["detail"])
    if case != "two documents" and b"\n" not in raw:
        lines = door.post(
            b"\n".join([event(run="good-2").encode(), raw or b"x", event(run="good-3").encode()]),
            path="/api/v1/lineage/batch",
            **{"Content-Type": "application/x-ndjson"},
        )
        assert lines.status_code == 200
        assert lines.json()["summary"] == {"received": 3, "successful": 2, "failed": 1}
        assert lines.json()["failed_events"][0]["index"] == 1
    spared(door, 4)
    status = door.folded()
    assert status["dead_letters"] == 0
    assert door.graph.node(run_key("good-1"))
    assert door.graph.node(run_key("good-4"))


@pytest.mark.parametrize("case", TAKEN)
def test_what_is_only_odd_is_taken_kept_as_sent_and_folded(door: Door, case: str) -> None:
    raw = TAKEN[case]
    spared(door, 1)
    assert door.post(raw).status_code == 201
    assert door.post(raw).status_code == 201
    spared(door, 2)
    assert door.ledger.size() == 3
    assert door.ledger.entry(1).payload == raw
    status = door.folded()
    assert (status["dead_letters"], status["events"], status["lag"]) == (0, 3, 0), door.ingestor.dead_letters()
    runs = [check_event(raw).body["run"]["runId"], "good-1", "good-2"]
    assert all(door.graph.node(run_key(name)) for name in runs)
    graph = door.ingestor.digest()
    door.ingestor.rebuild()
    assert door.ingestor.digest() == graph


@pytest.mark.slow
def test_sixty_four_megabytes_are_taken_and_one_byte_more_is_not(door: Door) -> None:
    start = event(run="big").encode()[:-1] + b', "pad": "'
    whole = start + b"x" * (MAX_BYTES - len(start) - 2) + b'"}'
    assert len(whole) == MAX_BYTES
    assert door.post(whole).status_code == 201
    answer = door.post(whole[:-2] + b'x"}')
    assert answer.status_code == 413
    zipped = door.post(gzip.compress(whole[:-2] + b'x"}', 1), **{"Content-Encoding": "gzip"})
    assert zipped.status_code == 413
    spared(door, 1)
    assert door.folded()["dead_letters"] == 0
    assert door.graph.node(run_key("big"))


@pytest.mark.slow
def test_a_hundred_thousand_inputs_take_seconds_and_not_minutes(door: Door) -> None:
    inputs = [{"namespace": "s3://lake", "name": f"part-{number}"} for number in range(100_000)]
    began = time.process_time()
    assert door.post(event(run="wide", inputs=inputs, outputs=[ds("b")]).encode()).status_code == 201
    assert time.process_time() - began < 20
    spared(door, 1)
    status = door.folded()
    assert time.process_time() - began < 240
    assert (status["dead_letters"], status["lag"]) == (0, 0)
    assert door.graph.node(dataset_key("s3://lake", "part-99999"))
    assert door.graph.node(run_key("good-1"))


def test_two_events_that_disagree_with_the_same_time_give_one_graph_in_either_order(open_ledger, tmp_path, ticking_clock) -> None:
    one = event(outputs=[ds("a", version={"datasetVersion": "1"})]).encode()
    two = event(eventType="FAIL", outputs=[ds("a", version={"datasetVersion": "2"})]).encode()
    digests = []
    for number, raws in enumerate(((one, two), (two, one))):
        graph = SqliteGraph(tmp_path / f"graph-{number}.db")
        door = Door(open_ledger(tmp_path / f"ledger-{number}.db"), graph, ticking_clock)
        for raw in raws:
            assert door.post(raw).status_code == 201
        assert door.folded()["dead_letters"] == 0
        digests.append(door.ingestor.digest())
        graph.close()
    assert digests[0] == digests[1]
