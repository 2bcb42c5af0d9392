"""Retention through the doors of a real home: asked for, by policy, and what is refused."""

from __future__ import annotations

import contextlib
import io
import json
import time

import pytest

from governance.cli import main
from governance.registry import retention as door_module
from governance.settings import Settings
from governance.wiring import System, init_home
from lineage.adapters.sqlite_graph import SqliteGraph
from lineage.errors import BadInput, Conflict, NotFound
from lineage.graph import graph_digest
from lineage.ledger import fsck
from lineage.retention import age
from tests.lineage_events import ds, run

EVENTS = [run(f"r{n}", "COMPLETE", n, [ds(f"d{n}", "1")], [ds(f"d{n + 1}", "1")]) for n in range(4)]


class Later:
    """The real time, and a year more once it was moved."""

    def __init__(self) -> None:
        self.more = 0

    def now(self) -> int:
        return time.time_ns() + self.more


@pytest.fixture
def clock():
    return Later()


@pytest.fixture
def system(tmp_path, clock):
    init_home(tmp_path / "home")
    with System(tmp_path / "home", worker=False, clock=clock, settings=Settings(retain_events="90d")) as one:
        one.lineage.accept_many(EVENTS, actor="key:1")
        assert one.ingestor.wait(10) == 0
        yield one


def ended(system) -> dict:
    end = time.monotonic() + 20
    while (found := system.retention.state()["run"]) is None or found["state"] == "running":
        assert time.monotonic() < end
        time.sleep(0.01)
    return found


def test_a_run_that_is_asked_for_says_how_it_ended_and_its_snapshot_can_be_fetched(system, clock, tmp_path):
    assert system.retention.state() == {"policy": "90d", "run": None}
    clock.more = age("52w")
    would = system.retention.state("90d")["would"]
    assert (would["events"], would["snapshot"]["new"], system.lineage.status()["retired"]) == (4, True, 0)
    digest = system.lineage.status(digest=True)["graph_digest"]
    assert system.retention.start("90d", actor="key:dpo")["run"]["state"] in ("running", "done")
    answer = ended(system)["answer"]
    assert (answer["events"], answer["snapshot"]["graph_digest"]) == (4, digest)
    (listed,) = system.retention.snapshots()["snapshots"]
    assert (listed["entry"], listed["there"], listed["sha256"]) == (answer["snapshot"]["entry"], True, answer["snapshot"]["sha256"])
    whole = (tmp_path / "home" / "snapshots" / "lineage" / f"{listed['sha256']}.jsonl.gz").read_bytes()
    assert system.retention.piece(listed["sha256"], 0) + system.retention.piece(listed["sha256"], len(whole)) == whole
    assert system.retention.piece(listed["sha256"], 100) == whole[100:]
    with pytest.raises(NotFound, match="there is no snapshot 0000"):
        system.retention.piece("0" * 64, 0)
    assert fsck(system.log).problems == ()
    assert system.log.entry(answer["entries"][0]).actor == "key:dpo"
    page = system.answers.events(limit=100)
    assert (page.lines, page.destroyed) == ((), 4)
    found = system.marquez().events(before=2**62, after=0, limit=9, offset=0, newest=True)
    assert (json.loads(found.body), found.destroyed) == ({"totalCount": 4, "events": []}, 4)


def test_the_policy_is_carried_out_by_itself_and_a_run_that_fails_says_why(system, clock, monkeypatch):
    monkeypatch.setattr(door_module, "_FIRST", 0.01)
    clock.more = age("52w")
    system.log.redact(system.log.by_identity(system.lineage.accept(EVENTS[0], actor="a").identity).index, actor="a", reason="r")
    system.retention.daily()
    failed = ended(system)
    assert (failed["state"], failed["actor"], failed["answer"]) == ("failed", "system", None)
    assert "which was redacted" in failed["error"]["detail"]
    assert "rebuild" in failed["error"]["hint"]
    system.ingestor.rebuild()
    monkeypatch.setattr(door_module, "_DAY", 0.01)
    system.retention.daily()
    end = time.monotonic() + 20
    while system.lineage.status(digest=False)["retired"] < 3 and time.monotonic() < end:
        time.sleep(0.01)
    assert system.lineage.status(digest=False)["retired"] == 3


def test_a_second_run_and_an_age_that_is_none_are_refused(system, monkeypatch):
    with pytest.raises(BadInput, match="older_than 'soon' is no age"):
        system.retention.start("soon", actor="a")
    monkeypatch.setattr(system.retention, "_run", {"state": "running"})
    with pytest.raises(Conflict, match="being retired already"):
        system.retention.start("90d", actor="a")


def test_what_is_no_age_is_no_setting():
    assert Settings.read({"GOVERN_RETAIN_EVENTS": "90d"}).retain_events == "90d"
    assert Settings.read({}).retain_events == ""
    for wrong in ("0d", "90", "d", "-1d", "1y", "99999999999w", "9999999999w", "5W"):
        with pytest.raises(BadInput, match="GOVERN_RETAIN_EVENTS"):
            Settings.read({"GOVERN_RETAIN_EVENTS": wrong})
    assert [age(text) // 10**9 for text in ("1s", "2m", "3h", "4d", "5w")] == [1, 120, 10800, 345600, 3024000]
    with pytest.raises(BadInput, match="no age"):
        age(" 5w ")


def test_the_command_asks_first_and_a_rebuild_without_the_snapshot_keeps_the_graph(tmp_path, clock, monkeypatch, capsys):
    home = tmp_path / "home"
    init_home(home)
    monkeypatch.setattr("governance.wiring.system.SystemClock", lambda: clock)
    monkeypatch.setenv("GOVERN_HOME", str(home))
    monkeypatch.delenv("GOVERN_URL", raising=False)
    monkeypatch.setattr("sys.stdin", io.StringIO(""))

    def govern(*args) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as end:
            main(["lineage", *args])
        out, err = capsys.readouterr()
        return int(end.value.code or 0), out, err

    with System(home, worker=False) as system:
        system.lineage.accept_many(EVENTS, actor="key:1")
        assert system.ingestor.wait(10) == 0
        digest = system.lineage.status(digest=True)["graph_digest"]
    clock.more = age("52w")
    code, out, _ = govern("retain", "--older-than", "90d", "--dry-run")
    assert (code, "events              4" in out, "Nothing was changed." in out) == (0, True, True)
    code, _, err = govern("retain", "--older-than", "90d")
    assert (code, "Destroy the payloads of 4 events" in err, "--yes" in err) == (2, True, True)
    code, out, _ = govern("retain", "--older-than", "90d", "--yes", "--json")
    assert (code, json.loads(out)["events"], json.loads(out)["snapshot"]["graph_digest"]) == (0, 4, digest)
    code, out, _ = govern("rebuild", "--into", f"sqlite:{tmp_path / 'other.db'}", "--json")
    assert (code, json.loads(out)["graph_digest"]) == (0, digest)
    (file,) = (home / "snapshots" / "lineage").iterdir()
    aside = file.rename(tmp_path / "aside")
    code, _, err = govern("rebuild")
    assert (code, "no snapshot that holds what they said can be used" in err, "from a backup" in err) == (1, True, True)
    code, _, err = govern("rebuild", "--into", f"sqlite:{tmp_path / 'other.db'}", "--force")
    assert (code, "can be used" in err) == (1, True)
    with contextlib.closing(SqliteGraph(tmp_path / "other.db")) as other:
        assert graph_digest(other.nodes(), other.edges()) == digest, "what could not be filled again was not emptied"
    aside.rename(file)
    with System(home, worker=False) as system:
        assert system.lineage.status(digest=True)["graph_digest"] == digest
