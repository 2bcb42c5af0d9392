"""A cold ``govern trace`` reads a home without loading what only work needs: seconds of imports for an answer of milliseconds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from governance.cli.client import _trusted
from governance.settings import Settings
from governance.wiring import init_home
from lineage.errors import BadInput

HEAVY = {
    "torch", "lance", "deltalake", "pandas", "numpy", "pyarrow", "shap", "captum", "art", "opacus",
    "fastapi", "uvicorn", "dbos", "sqlalchemy", "alembic", "reportlab", "pyhanko", "yaml", "rich",
}  # fmt: skip

RUN = "01890a5d-ac96-774b-bcce-b302099a8057"
EVENT = {
    "eventTime": "2026-01-01T00:00:00Z",
    "eventType": "COMPLETE",
    "producer": "https://example.com/tests",
    "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
    "run": {"runId": RUN},
    "job": {"namespace": "tests", "name": "job"},
    "inputs": [{"namespace": "tests", "name": "in"}],
    "outputs": [{"namespace": "tests", "name": "out"}],
}

IN_PROCESS = """
import contextlib, io, json, sys
from governance.cli import main
said, code = io.StringIO(), None
with contextlib.redirect_stdout(said):
    try:
        main(sys.argv[1:])
    except SystemExit as end:
        code = end.code
print(json.dumps({"code": code, "said": said.getvalue(), "modules": sorted(sys.modules)}))
"""


def govern(home: Path, *args: str, code: str | None = None) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GOVERN_")} | {"GOVERN_HOME": str(home)}
    command = [sys.executable, "-m", "governance.cli", *args] if code is None else [sys.executable, "-c", code, *args]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("start")
    init_home(folder / "home")
    (folder / "event.json").write_text(json.dumps(EVENT))
    govern(folder / "home", "ingest", str(folder / "event.json"))
    return folder / "home"


def test_a_trace_on_a_home_loads_nothing_that_only_work_needs(home):
    told = json.loads(govern(home, "trace", "--run", RUN, "--json", code=IN_PROCESS))
    assert told["code"] == 0
    assert json.loads(told["said"])["completeness"]["lag"] == 0
    assert "governance.wiring" in told["modules"], "the home was opened in this very process"
    assert "lineage.adapters.sql_ledger_reads" in told["modules"]
    assert not {name.partition(".")[0] for name in told["modules"]} & HEAVY


def test_a_command_that_writes_does_load_the_ledgers_writer(home):
    """The same look at another command: the test above would see it."""
    told = json.loads(govern(home, "ingest", str(home.parent / "event.json"), code=IN_PROCESS))
    assert told["code"] == 0
    assert "sqlalchemy" in told["modules"]


def test_settings_are_read_from_the_environment_and_checked():
    assert Settings.read({}) == Settings(runner_threads=1, audit_threads=2)
    assert Settings.read({"GOVERN_RUNNER_THREADS": " 3 ", "GOVERN_AUDIT_THREADS": ""}) == Settings(runner_threads=3)
    for wrong in ("0", "65", "-1", "two", "1.5", "²"):
        with pytest.raises(BadInput, match="GOVERN_AUDIT_THREADS") as caught:
            Settings.read({"GOVERN_AUDIT_THREADS": wrong})
        assert caught.value.hint


def test_a_client_of_a_url_without_tls_trusts_no_certificate_and_others_trust_the_usual_ones():
    context = _trusted("http://127.0.0.1:1")
    assert not isinstance(context, bool)
    assert context.get_ca_certs() == []
    assert context.verify_mode.name == "CERT_REQUIRED"
    assert _trusted("https://govern.example") is True
