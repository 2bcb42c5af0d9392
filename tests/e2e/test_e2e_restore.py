"""A backup made while the server serves, somebody erased, the backup restored: neither rows nor predictions nor weights come back."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.support.river import GOVERN, River, clean_environment, opened
from tests.support.scanner import scan

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(900)]

MARK = "SENTINEL-zyxwv-restore"


def govern(*words: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*GOVERN, *words], env=clean_environment(**more), capture_output=True, text=True, check=False, timeout=300)


def test_a_restored_server_brings_nobody_back(deployed: River, tmp_path: Path) -> None:
    river = deployed
    row = next(one for one in river.rows("credit.train"))
    who = row["applicant"]
    landing = river.home / "landing" / "german.data"
    lines = landing.read_text().splitlines(keepends=True)
    lines[who - 1] = lines[who - 1].rstrip("\n") + f" {MARK}\n"
    landing.write_text("".join(lines))
    river.ask("POST", "/api/v1/datasets/credit.raw/versions")
    receipt = river.predict(row, subject=f"applicant:{who}")
    before = {path.name for path in (river.home / "artifacts").iterdir()}
    river.cli("backup", str(tmp_path / "old.tar"))
    assert scan(tmp_path / "old.tar", [MARK.encode()]).hits, "it is in there"

    assert river.wait_erasure(river.approve_erasure(who))["state"] == "completed"
    note = river.ask("GET", "/api/v1/ledger/checkpoint").decode()
    river.cli("erasure", "export-suppression", str(tmp_path / "list.json"))
    river.stop()

    home = tmp_path / "new" / "home"
    words = ["restore", str(tmp_path / "old.tar"), "--into", str(home), "--keys", str(river.home / "keys")]
    assert govern(*words).returncode == 4
    refused = govern("serve", "--home", str(home), "--port", "0")
    assert refused.returncode == 4, refused
    done = govern(*words, "--replay", str(tmp_path / "list.json"), "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["versions"] == ["credit-risk@1"]
    assert told["predictions"] == 1

    report = scan(home, [MARK.encode()])
    assert (report.hits, report.unknown) == ([], [])
    assert not before & {path.name for path in (home / "artifacts").iterdir()}
    (tmp_path / "new" / "tmp").mkdir()
    again = opened(tmp_path / "new", river.admin)
    again.start()
    try:
        assert who not in {one["applicant"] for one in again.rows("credit.train")}
        again.ask("GET", f"/api/v1/predictions/{receipt['id']}", expect=410)
        assert again.ask("GET", "/api/v1/deployments?active=true")["deployments"] == []
        assert again.ask("GET", "/api/v1/ledger/fsck")["ok"]
        assert int(note.splitlines()[1]) == told["fork"]["common"] + told["fork"]["lost"]
    finally:
        again.stop()
