"""The log: structured on demand, and never a payload, a name or a key in it."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from governance.api.app import create_app
from governance.api.logs import _LOGGERS, log_to
from lineage.adapters.sqlite_graph import SqliteGraph
from lineage.errors import BadInput
from lineage.ingest import Ingestor
from lineage.model import NewEntry
from tests.fakes.api_client import AppClient
from tests.fakes.api_facade import FakeSystem

SECRET = "erika.mustermann"
EVENT = {"run": {"runId": SECRET}, "job": {"namespace": SECRET, "name": SECRET}}


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    loggers = [logging.getLogger(), *map(logging.getLogger, _LOGGERS)]
    before = [(logger, logger.handlers[:], logger.level) for logger in loggers]
    yield io.StringIO()
    for logger, handlers, level in before:
        logger.handlers[:] = handlers
        logger.setLevel(level)


def fresh() -> None:
    """No logging is set up (the test runner has its own during a test)."""
    for name in ("", *_LOGGERS):
        logging.getLogger(name or None).handlers[:] = []


def failing() -> None:
    """Log an exception whose message quotes data."""
    try:
        json.loads(SECRET)
    except ValueError as error:
        error.args = (SECRET,)
        logging.getLogger("governance.x").exception("something")


def test_each_line_is_json_and_holds_nothing_that_was_sent(stream: io.StringIO, open_ledger, tmp_path, ticking_clock) -> None:
    fresh()
    log_to(stream, {"GOVERN_LOG": "json"})
    for fast in (True, False):
        client = AppClient(create_app(FakeSystem(fast=fast)))
        for raw in (json.dumps(EVENT), json.dumps({"run": {"runId": SECRET}}), SECRET, json.dumps([EVENT, {"x": SECRET}])):
            for path in ("/api/v1/lineage", "/api/v1/lineage/batch", f"/api/v1/models/{SECRET}", f"/{SECRET}?{SECRET}={SECRET}"):
                client.post(path, content=raw, role="ingest")
        client.get("/api/v1/keys", headers={"X-API-Key": SECRET})
        broken = FakeSystem(fast=fast)
        broken.broken = ZeroDivisionError(SECRET)
        AppClient(create_app(broken)).post("/lineage", content=json.dumps(EVENT), role="ingest")
    ledger, graph = open_ledger(), SqliteGraph(tmp_path / "graph.db")
    ledger.append([NewEntry(kind="openlineage", payload=SECRET.encode(), actor="key:1", identity=SECRET)])
    ingestor = Ingestor(ledger, graph, ticking_clock)
    ingestor.project()
    assert len(ingestor.dead_letters()) == 1
    graph.close()
    logging.getLogger("lineage.x").warning("seen")
    failing()
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert SECRET not in stream.getvalue()
    assert {"time", "level", "logger", "message"} <= set.intersection(*map(set, lines))
    posts = [line for line in lines if line.get("route") == "/api/v1/lineage"]
    assert posts
    assert {"method", "status", "ms", "request_id"} <= set(posts[0])
    assert [line["acknowledged"] for line in lines if "acknowledged" in line] == [1]
    assert "dead letter" in str(lines)
    assert lines[-1]["error"].startswith("JSONDecodeError at ")


def test_text_is_the_default_and_a_wrong_form_is_told(stream: io.StringIO) -> None:
    fresh()
    with pytest.raises(BadInput, match="neither text nor json"):
        log_to(stream, {"GOVERN_LOG": "xml"})
    log_to(stream, {})
    logging.getLogger("governance.api").info("hello")
    log_to(stream, {"GOVERN_LOG": "json"})
    logging.getLogger("governance.api").info("again")
    assert [line.split(" ")[-1] for line in stream.getvalue().splitlines()] == ["hello", "again"]


def test_an_exception_is_told_by_type_and_place(stream: io.StringIO) -> None:
    fresh()
    log_to(stream, {})
    failing()
    assert "JSONDecodeError at " in stream.getvalue()
    assert "test_api_logs.py" in stream.getvalue()
    assert SECRET not in stream.getvalue()
