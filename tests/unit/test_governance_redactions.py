"""A foreign event that names a person: redacted in the ledger, in the graph made anew from it, in snapshots; the proofs hold."""

from __future__ import annotations

import json
import shutil
import time

import pytest

from governance.cli import main
from governance.settings import Settings
from governance.wiring import System, init_home
from lineage.errors import BadInput, Conflict, NotFound
from lineage.ledger import fsck
from lineage.ledger.replaced import Replacements
from tests.lineage_events import ds, run
from tests.support.scanner import scan

WHO = "anna.zyxwv@example.org"


def code(words: list[str]) -> int:
    """The exit code of a command."""
    with pytest.raises(SystemExit) as end:
        main(words)
    return int(end.value.code or 0)


def sql(number: int, query: str) -> bytes:
    body = json.loads(run(f"q{number}", "COMPLETE", number, [ds("in", "1")], [ds(f"out{number}", "1")]))
    body["job"]["facets"] = {"sql": {"_producer": "p", "_schemaURL": "https://x/sql", "query": query}}
    return json.dumps(body).encode()


def path(number: int) -> bytes:
    return run(f"p{number}", "COMPLETE", 10 + number, [ds(f"users/{WHO}", "1")], [ds(f"features{number}", "1")])


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "home"
    init_home(folder)
    return folder


@pytest.fixture
def system(made, tmp_path):
    shutil.copytree(made, tmp_path / "home")
    with System(tmp_path / "home", worker=False, settings=Settings()) as one:
        yield one


def taken(system: System, *raws: bytes) -> list[int]:
    found = [entry.index for entry in system.lineage.accept_many(list(raws), actor="key:1")]
    assert system.ingestor.wait(10) == 0
    return found


def settled(system: System) -> str:
    end = time.monotonic() + 20
    while system.ingestor.wait(5):
        assert time.monotonic() < end
    return system.lineage.status(digest=True)["graph_digest"]


def test_a_literal_in_sql_goes_from_every_file_and_the_graph_is_the_same(system, tmp_path):
    home = tmp_path / "home"
    first, index, last = taken(system, sql(1, "select 1"), sql(2, f"select * from t where mail = '{WHO}'"), sql(3, "select 3"))
    settled(system)
    checkpoint = system.log.checkpoint()
    assert {hit.path.partition("-")[0] for hit in scan(home, [WHO.encode()]).hits} == {"graph.db", "ledger.db"}, "it must be seen first"
    answer = system.redactions.redact({"entries": [index], "fields": ["/job/facets/sql/query"], "reason": "a literal"}, actor="key:dpo")
    assert answer["redacted"] == [{"entry": index, "by": answer["redacted"][0]["by"], "places": 1}]
    made_anew = settled(system)
    system.ingestor.rebuild()
    assert settled(system) == made_anew
    report = fsck(system.log, trusted=[checkpoint.note])
    assert (report.problems, report.destroyed) == ((), 1)
    assert json.loads(Replacements(system.log).of(index))["job"]["facets"]["sql"]["query"] == "***"
    assert Replacements(system.log).of(first) is None
    shown = [json.loads(line)["job"]["facets"]["sql"]["query"] for line in system.answers.events(limit=10).lines]
    assert shown == ["select 1", "***", "select 3"]
    assert "***" in system.marquez().events(before=2**62, after=0, limit=9, offset=0, newest=True).body.decode()
    assert system.lineage.accept(sql(2, f"select * from t where mail = '{WHO}'"), actor="key:1").duplicate, (
        "the same event does not come back"
    )
    report = scan(home, [WHO.encode()])
    assert (report.hits, report.unknown) == ([], [])
    assert last == index + 1


def test_a_path_is_renamed_and_the_lineage_holds(system, tmp_path):
    indexes = taken(system, path(1), path(2), sql(1, "select 1"))
    settled(system)
    body = {"entries": indexes[:2], "text": WHO, "instead": "person-1", "reason": "a path"}
    system.redactions.redact(body, actor="key:dpo")
    after = settled(system)
    (node,) = system.graph.find("Dataset", {"name": "users/person-1"})
    reached = {node.props.get("name") for node in system.graph.closure([node.key], _down()).nodes}
    versions = system.graph.find("DatasetVersion", {"name": "users/person-1"})
    reached |= {found.props.get("name") for one in versions for found in system.graph.closure([one.key], _down()).nodes}
    assert {"features1", "features2"} <= reached
    report = scan(tmp_path / "home", [WHO.encode()])
    assert (report.hits, report.unknown) == ([], [])
    # folded elsewhere from the ledger: the same graph
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GOVERN_HOME", str(tmp_path / "home"))
        system.close()
        assert code(["lineage", "rebuild", "--into", f"sqlite:{tmp_path / 'other.db'}", "--json"]) == 0
    with System(tmp_path / "home", worker=False, settings=Settings()) as again:
        assert settled(again) == after
        again.ingestor.rebuild()
        assert settled(again) == after
    assert scan(tmp_path / "other.db", [WHO.encode()]).hits == []


def _down():
    from lineage.model import Direction

    return Direction.DOWN


def test_the_same_request_again_does_nothing_and_another_one_is_refused(system):
    (index,) = taken(system, sql(1, f"select '{WHO}'"))
    body = {"entries": [index], "text": WHO, "reason": "a literal"}
    system.redactions.redact(body, actor="key:dpo")
    size = system.log.size()
    assert system.redactions.redact(body, actor="key:dpo")["redacted"] == [{"entry": index, "by": None, "places": 0}]
    assert system.log.size() == size
    with pytest.raises(Conflict, match="was redacted before"):
        system.redactions.redact({"entries": [index], "fields": ["/job/facets/sql/_producer"], "reason": "r"}, actor="key:dpo")


def test_nothing_is_touched_when_one_of_them_cannot_be(system):
    index, other = taken(system, sql(1, f"select '{WHO}'"), sql(2, "select 2"))
    size = system.log.size()
    for body, kind in (
        ({"entries": [index, other], "text": WHO, "reason": "r"}, NotFound),
        ({"entries": [index, 0], "text": WHO, "reason": "r"}, BadInput),  # the entry of a key
        ({"entries": [index, size + 5], "text": WHO, "reason": "r"}, NotFound),
        ({"entries": list(range(1001)), "text": WHO, "reason": "r"}, BadInput),
        ({"entries": [index], "reason": "r"}, BadInput),
    ):
        with pytest.raises(kind) as error:
            system.redactions.redact(body, actor="key:dpo")
        assert WHO not in error.value.message
    assert system.log.size() == size
    assert WHO.encode() in system.log.entry(index).payload


def test_an_event_that_waits_for_the_graph_never_enters_it(system, tmp_path):
    system.ingestor.stop()
    (entry,) = system.lineage.accept_many([sql(1, f"select '{WHO}'")], actor="key:1")
    system.redactions.redact({"entries": [entry.index], "text": WHO, "reason": "r"}, actor="key:dpo")
    system.ingestor.start()
    settled(system)
    assert scan(tmp_path / "home", [WHO.encode()]).hits == []


def test_snapshots_that_stand_for_it_go_and_one_that_is_needed_forbids_it(system, tmp_path):
    first, second = taken(system, sql(1, f"select '{WHO}'"), sql(2, "select 2"))
    snapshots = tmp_path / "home" / "snapshots" / "lineage"

    def retire(age: str) -> dict:
        system.retention.start(age, actor="key:dpo")
        end = time.monotonic() + 20
        while (found := system.retention.state()["run"])["state"] == "running":
            assert time.monotonic() < end
            time.sleep(0.01)
        assert found["state"] == "done", found["error"]
        return found

    system.retention._retention._write("key:dpo")
    assert len(list(snapshots.iterdir())) == 1
    assert scan(snapshots, [WHO.encode()]).hits
    answer = system.redactions.redact({"entries": [first], "text": WHO, "reason": "r"}, actor="key:dpo")
    assert answer["snapshots_deleted"] == 1
    assert list(snapshots.iterdir()) == []
    settled(system)
    time.sleep(1.1)
    retire("1s")  # the second event, and the redacted form of the first, stand in a new snapshot only
    (third,) = taken(system, sql(3, f"select '{WHO}' as third"))
    with pytest.raises(Conflict, match="destroyed"):
        system.redactions.redact({"entries": [second], "fields": ["/job/facets/sql/query"], "reason": "r"}, actor="key:dpo")
    system.redactions.redact({"entries": [third], "text": WHO, "reason": "r"}, actor="key:dpo")
    settled(system)
    assert scan(tmp_path / "home", [WHO.encode()]).hits == []


def test_the_command(system, tmp_path, monkeypatch, capsys):
    (index,) = taken(system, sql(1, f"select '{WHO}'"))
    system.close()
    monkeypatch.setenv("GOVERN_HOME", str(tmp_path / "home"))
    (tmp_path / "who.txt").write_text(WHO + "\n")
    words = ["ledger", "redact", str(index), "--reason", "a literal"]
    assert code(words) == 2
    assert code([*words, "--text", str(tmp_path / "who.txt")]) == 2, "it asks first"
    assert code([*words, "--text", str(tmp_path / "nowhere.txt"), "--yes"]) == 2
    assert code([*words, "--text", str(tmp_path / "who.txt"), "--yes"]) == 0
    said = capsys.readouterr()
    assert "1 place(s) redacted" in said.out
    assert WHO not in said.out + said.err
    assert scan(tmp_path / "home", [WHO.encode()]).hits == []
