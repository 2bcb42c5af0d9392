"""A Neo4j that dies in the middle, comes back, and lets nobody write: a server of the test's own."""

from __future__ import annotations

import pytest

from deploy.java_server import CannotStart
from governance.settings import Settings
from governance.wiring.stores import graph_at, open_graph
from lineage.adapters.neo4j_graph import Neo4jGraph, Place
from lineage.adapters.sqlite_graph import SqliteGraph
from lineage.errors import BadInput, StoreUnavailable
from lineage.trace import MemoryGraph
from tests.lineage_events import digest, project, recorded
from tests.support.neo4j import SETTINGS, new_server, unavailable


@pytest.mark.slow
@pytest.mark.integration
def test_a_server_that_is_killed_comes_back_and_is_then_made_read_only(tmp_path):
    server = new_server(tmp_path / "neo4j")
    try:
        server.start()
    except CannotStart as error:
        unavailable(str(error))
    graph = Neo4jGraph(Place(uri=server.uri, password=server.password, retry_seconds=0.5), tmp_path / "fold.db", ahead=1)
    events = recorded()
    try:
        project(graph, events[:6], batch=True)
        graph.settle()

        def fold(some):
            project(graph, some, batch=True)
            graph.settle()

        write = graph.server.write

        def dying(*args):
            server.kill()  # the file has the batch, the server not
            write(*args)

        graph.server.write = dying
        with pytest.raises(StoreUnavailable, match="does not answer"):
            fold(events[6:])
        graph.server.write = write
        assert graph.position() == 6
        with pytest.raises(StoreUnavailable):
            graph.counts()
        server.start()
        graph.settle()
        assert graph.position() == len(events)
        assert digest(graph) == project(MemoryGraph(), events)
        server.stop()
        server.configure(SETTINGS + "server.databases.default_to_read_only=true\n")
        server.start()
        with pytest.raises(StoreUnavailable, match="lets nobody write") as refusal:
            fold(events[:1])
        assert "read_only" in (refusal.value.hint or "")
        assert digest(graph) == project(MemoryGraph(), events)
    finally:
        graph.close()
        server.kill()


def test_the_settings_choose_the_store(tmp_path):
    plain = Settings.read({})
    graph = open_graph(plain, tmp_path, owner="one")
    assert isinstance(graph, SqliteGraph)
    graph.close()
    given = {
        "GOVERN_GRAPH": "bolt://127.0.0.1:1",
        "GOVERN_GRAPH_PASSWORD": "secret",
        "GOVERN_GRAPH_POOL": "3",
        "GOVERN_GRAPH_DATABASE": "d",
    }
    away = open_graph(Settings.read(given), tmp_path, owner="one")
    assert isinstance(away, Neo4jGraph)
    assert away.server.place == Place(uri="bolt://127.0.0.1:1", password="secret", pool_size=3, database="d")
    assert away.position() == 0, "opening asks nothing of the server"
    away.close()
    assert "secret" not in repr(Settings.read(given))
    for wrong in ("postgres://host", "neo4j", "SQLITE"):
        with pytest.raises(BadInput) as refusal:
            open_graph(Settings.read({"GOVERN_GRAPH": wrong}), tmp_path, owner="one")
        assert "GOVERN_GRAPH" in (refusal.value.hint or "")
    with pytest.raises(BadInput, match="GOVERN_GRAPH_POOL"):
        Settings.read({"GOVERN_GRAPH_POOL": "0"})


def test_a_rebuild_elsewhere_takes_no_file_that_is_there(tmp_path):
    (tmp_path / "there.db").write_text("mine")
    with pytest.raises(BadInput, match="there already"):
        graph_at(Settings.read({}), f"sqlite:{tmp_path / 'there.db'}", tmp_path, owner="one")
    assert (tmp_path / "there.db").read_text() == "mine"
    with pytest.raises(BadInput):
        graph_at(Settings.read({}), "postgres://host", tmp_path, owner="one")
    graph = graph_at(Settings.read({}), f"sqlite:{tmp_path / 'new.db'}", tmp_path, owner="one")
    assert graph.position() == 0
    graph.close()
