"""A home whose ledger and prediction records lie in a PostgreSQL: made, opened again, and never taken for another."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest

from governance.cli import main
from governance.wiring import init_home, open_system
from lineage.errors import BadInput, Conflict, StoreUnavailable
from lineage.ledger import fsck

pytestmark = pytest.mark.integration

EVENT = {
    "eventTime": "2026-01-01T00:00:00Z",
    "eventType": "COMPLETE",
    "producer": "https://example.com/tests",
    "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
    "run": {"runId": "01890a5d-ac96-774b-bcce-b302099a8057"},
    "job": {"namespace": "tests", "name": "job"},
    "inputs": [{"namespace": "tests", "name": "in"}],
    "outputs": [{"namespace": "tests", "name": "out"}],
}


@pytest.fixture
def database(postgres_uri: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("GOVERN_DATABASE", postgres_uri)
    return postgres_uri


def test_a_home_on_postgres_keeps_its_log_there_and_its_keys_with_itself(database: str, tmp_path: Path) -> None:
    home = tmp_path / "home"
    made = init_home(home)
    assert json.loads((home / "govern.json").read_text())["ledger"] == "postgresql"
    assert not (home / "ledger.db").exists()
    assert not (home / "predictions.db").exists()
    with open_system(home, worker=False) as system:
        assert system.keys.authenticate(made["api_key"]) is not None
        entry = system.ingestor.accept(json.dumps(EVENT).encode(), actor="key:test")
        assert system.ingestor.wait(30) == 0
        assert system.trace(run=EVENT["run"]["runId"])["completeness"]["lag"] == 0
        assert system.ready()["status"] == "ready"
    with open_system(home, worker=False) as system:
        assert system.log.entry(entry.index).payload is not None
        assert system.ingestor.accept(json.dumps(EVENT).encode(), actor="key:test").duplicate
        assert fsck(system.log).ok


def test_a_home_and_its_database_are_never_parted(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    init_home(tmp_path / "home")
    with pytest.raises(Conflict, match="holds the ledger of govern"):
        init_home(tmp_path / "second")
    assert not (tmp_path / "second").exists()
    monkeypatch.delenv("GOVERN_DATABASE")
    with pytest.raises(StoreUnavailable, match="GOVERN_DATABASE names none"):
        open_system(tmp_path / "home", worker=False)
    assert not (tmp_path / "home" / "ledger.db").exists()
    init_home(tmp_path / "files")
    monkeypatch.setenv("GOVERN_DATABASE", database)
    with pytest.raises(StoreUnavailable, match="is the file"):
        open_system(tmp_path / "files", worker=False)


@pytest.mark.parametrize(
    ("wrong", "error", "said"),
    [
        ("mysql://govern:s3cret@db/govern", BadInput, "no address of a PostgreSQL"),
        ("postgresql://govern:s3cret@127.0.0.1:1/govern", StoreUnavailable, "cannot be reached"),
    ],
)
def test_a_database_that_cannot_be_used_leaves_no_half_made_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: str, error: type[Exception], said: str
) -> None:
    monkeypatch.setenv("GOVERN_DATABASE", wrong)
    with pytest.raises(error, match=said) as caught:
        init_home(tmp_path / "home")
    assert "s3cret" not in str(caught.value)
    assert not (tmp_path / "home").exists()


def test_the_doctor_says_where_the_ledger_lies_and_whether_it_is_durable(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def doctor() -> str:
        capsys.readouterr()
        with contextlib.suppress(SystemExit):
            main(["doctor", "--json"])
        return capsys.readouterr().out

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GOVERN_HOME", str(tmp_path / "home"))
    init_home(tmp_path / "home")
    checks = {check["check"]: check for check in json.loads(doctor())["checks"]}
    assert checks["database"]["found"].startswith("PostgreSQL ")
    assert not checks["database"]["ok"], "the tests' server syncs nothing"
    assert "fsync = off" in checks["database"]["found"]
    monkeypatch.setenv("GOVERN_DATABASE", "postgresql://govern:s3cret@127.0.0.1:1/govern")
    said = doctor()
    assert "cannot be reached" in said
    assert "s3cret" not in said
