"""A real Neo4j for the tests: the one of ``GOVERN_TEST_NEO4J_URI``, or one that is started on a free port with a fresh home.

Community has one database and each test needs it empty, so tests may not share it. Each pytest process therefore starts a server of its
own when the first test asks for one: that costs some CPU seconds once, where a lock around one server would cost waiting at every test. With a
given URI there is one database after all, and a lock file is taken around each test.

Without Java, Maven's jars or a URI the tests are skipped, and fail where ``GOVERN_REQUIRE_NEO4J`` is set (CI).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deploy.java_server import QUICK, CannotStart
from deploy.neo4j.start import Neo4j
from lineage.adapters.neo4j_graph import Neo4jGraph, Place

_components: list[str] = []
FLAGS = ("-Xmx512m", *QUICK)
SETTINGS = "dbms.cypher.min_replan_interval=1d\ndb.checkpoint.interval.time=1d\n"
"""Tests change a small graph all the time: plans are kept all the same."""


def unavailable(reason: str) -> None:
    """Skip, loudly; or fail where a Neo4j is required."""
    if os.environ.get("GOVERN_REQUIRE_NEO4J"):
        pytest.fail(f"Neo4j is required here, and {reason}")
    pytest.skip(f"NO NEO4J: {reason}; set GOVERN_TEST_NEO4J_URI, or install Java 17 and Maven")


def new_server(home: Path, *, settings: str = ""):
    """A server that is not started yet."""
    return Neo4j(home, flags=FLAGS, settings=SETTINGS + settings, pages="64m")


@pytest.fixture(scope="session")
def neo4j_place() -> Iterator[Place]:
    """Where this process's Neo4j is."""
    given = os.environ.get("GOVERN_TEST_NEO4J_URI")
    if given:
        yield Place(
            uri=given, user=os.environ.get("GOVERN_TEST_NEO4J_USER", "neo4j"), password=os.environ.get("GOVERN_TEST_NEO4J_PASSWORD", "")
        )
        return
    with tempfile.TemporaryDirectory(prefix="govern-neo4j-") as folder:
        try:
            server = new_server(Path(folder))
            server.start()
        except CannotStart as error:
            unavailable(str(error))
        try:
            yield Place(uri=server.uri, password=server.password)
        finally:
            server.kill()


@pytest.fixture
def open_neo4j(neo4j_place: Place, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Callable[..., Neo4jGraph]]:
    """Opens graphs over the emptied database (``open_neo4j(name="fold.db", **options)``) and closes them after the test."""
    opened: list[Neo4jGraph] = []
    fresh = True

    def open_one(name: str = "fold.db", **options) -> Neo4jGraph:
        nonlocal fresh
        graph = Neo4jGraph(options.pop("place", neo4j_place), tmp_path / name, **options)
        opened.append(graph)
        if not fresh:
            return graph
        graph.clear(force=True)
        fresh = False
        if not _components:
            _components.append(graph.server.components())
        request.node.user_properties.append(("neo4j", _components[0]))
        return graph

    with contextlib.ExitStack() as stack:
        if os.environ.get("GOVERN_TEST_NEO4J_URI"):
            lock = stack.enter_context((Path(tempfile.gettempdir()) / "govern-neo4j.lock").open("w"))
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield open_one
        for graph in opened:
            graph.close()
