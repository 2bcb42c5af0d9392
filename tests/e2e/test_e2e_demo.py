"""The demo as a user runs it, with its outcome checked from outside: files, papers and verdicts."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from reports.verify import TrustedKeys, verify
from tests.support.facets import problems

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(580)]


def govern(*args: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("GOVERN_", "OPENLINEAGE_"))}
    command = [sys.executable, "-P", "-m", "governance.cli", *args]
    return subprocess.run(command, cwd=cwd, env=clean | variables, capture_output=True, text=True, check=False, timeout=560)


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """The demo's own JSON, and the folder it left."""
    place = tmp_path_factory.mktemp("demo")
    done = govern("demo", "--keep", str(place / "kept"), "--json", cwd=place)
    assert done.stdout, done.stderr
    body = json.loads(done.stdout)
    assert done.returncode == 0, body["error"]
    return body, place / "kept"


def every_step_held(told):
    body, _ = told
    assert body["ok"]
    assert [step["name"] for step in body["steps"]] == [
        "home", "keys", "data", "train", "audit", "gate", "release", "trace", "predict", "incident", "erasure", "recall", "certificate", "ledger",
    ]  # fmt: skip
    assert all(step["ok"] and step["said"] for step in body["steps"])


def one_applicant_is_gone_from_the_raw_file_and_no_other(told):
    _, kept = told
    before = (kept / "project" / "german.data").read_text().splitlines()
    after = (kept / "home" / "landing" / "german.data").read_text().split("\n")[: len(before)]
    changed = [number for number, (old, new) in enumerate(zip(before, after, strict=True)) if old != new]
    assert len(before) == 1000
    assert len(changed) == 1
    assert after[changed[0]].strip() == ""


def only_the_successors_weights_are_on_disk(told):
    _, kept = told
    assert len(list((kept / "home" / "artifacts").glob("*/weights.safetensors"))) == 1


def the_papers_verify_offline_and_a_changed_one_does_not(told, tmp_path):
    body, _ = told
    keys = body["papers"]["public keys"]
    for name in ("model trace", "incident trace", "erasure certificate"):
        done = govern("verify", body["papers"][name], "--keys", keys, "--json", cwd=tmp_path)
        verdicts = json.loads(done.stdout)
        assert done.returncode == 0, verdicts["sentences"]
        assert all(verdicts[verdict] is True for verdict in ("intact", "complete", "trusted", "anchored"))
    paper = Path(body["papers"]["erasure certificate"]).read_bytes()
    trusted = TrustedKeys.from_json(json.loads(Path(keys).read_text()))
    for changed in (paper + b"\n", paper[:-1]):
        assert verify(changed, trusted).exit_code == 3
    (tmp_path / "changed.pdf").write_bytes(paper.replace(b"/Type", b"/Tzpe", 1))
    assert govern("verify", "changed.pdf", "--keys", keys, cwd=tmp_path).returncode == 3
    assert govern("verify", body["papers"]["erasure certificate"], cwd=tmp_path).returncode == 5


def the_home_answers_afterwards_and_names_both_versions(told):
    body, kept = told
    done = govern("models", "credit-risk", "--json", cwd=kept, GOVERN_HOME=str(kept / "home"))
    versions = json.loads(done.stdout)["versions"]
    assert [version["version"] for version in versions] == [1, 2]
    assert versions[0]["destroyed_at"]
    assert not versions[1]["destroyed_at"]
    assert body["home"] == str(kept / "home")


def every_facet_it_sent_is_as_its_schema_says(told):
    _, kept = told
    with closing(sqlite3.connect(f"file:{kept}/home/ledger.db?mode=ro", uri=True)) as ledger:
        sent = [json.loads(payload) for (payload,) in ledger.execute("SELECT payload FROM entries WHERE kind = 'openlineage'")]
    assert len(sent) > 10
    assert [fault for event in sent for fault in problems(event)] == []


def no_process_of_the_demo_is_left(told):
    import psutil

    _, kept = told
    lines = [(process.pid, " ".join(process.info["cmdline"] or [])) for process in psutil.process_iter(["cmdline"])]
    left = [line for pid, line in lines if pid != os.getpid() and str(kept / "home") in line]
    assert not left


def test_the_demo_does_what_it_says(told, tmp_path):
    """One test, for one demo: two processes would each run their own."""
    every_step_held(told)
    one_applicant_is_gone_from_the_raw_file_and_no_other(told)
    only_the_successors_weights_are_on_disk(told)
    the_papers_verify_offline_and_a_changed_one_does_not(told, tmp_path)
    the_home_answers_afterwards_and_names_both_versions(told)
    every_facet_it_sent_is_as_its_schema_says(told)
    no_process_of_the_demo_is_left(told)


def test_a_folder_with_something_in_it_is_not_used(tmp_path):
    (tmp_path / "mine").write_text("keep me")
    done = govern("demo", "--keep", str(tmp_path), cwd=tmp_path)
    assert done.returncode == 2
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
