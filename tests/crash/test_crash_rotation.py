"""kill -9 in the middle of a rotation: the next start goes on, one key was made, and an old request finds everybody."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from governance.wiring import init_home
from governance.workflows.recovery import resume
from lineage.ledger import fsck
from tests.support.persons import PERSONS, opened_persons
from tests.support.river import ROOT
from tests.support.rotation_main import MOMENTS

pytestmark = [pytest.mark.crash]

WHO = PERSONS[0]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A home with rows, a prediction and an open request, all under the first epoch."""
    home = tmp_path_factory.mktemp("rotation") / "home"
    init_home(home)
    with opened_persons(home) as system:
        for name in ("people", "people.copy"):
            system.datasets.register({"name": name, "kind": "parquet", "subject_key": "mail", "subject_type": "email"}, actor="key:1")
            system.datasets.write(name, pa.table({"mail": list(PERSONS)}), mode="replace", key="mail", actor="key:1")
        system.predict(WHO)
        ident = system.erasures.request({"subject": {"type": "email", "value": WHO}}, actor="key:desk")["id"]
    return home, ident


@pytest.mark.parametrize("moment", [pytest.param(one, marks=() if one == "moved" else pytest.mark.slow) for one in MOMENTS])
def test_killed_at_a_moment(root: tuple[Path, str], tmp_path: Path, moment: str) -> None:
    home, ident = tmp_path / "home", root[1]
    shutil.copytree(root[0], home)
    words = [sys.executable, "-m", "tests.support.rotation_main", moment, str(home)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, check=False, timeout=300)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    with opened_persons(home) as system:
        resume(system.log, system.erasures, system._engine())
        system.work()
        (operation,) = [body for _ident, body, _revision in system.log.records("operation")]
        assert (operation["state"], operation["subject"]) == ("done", "epoch-2"), operation
        assert [one["left"] for one in operation["result"]["datasets"]] == [0, 0]
        assert system.shredding.living() == ["epoch-2", "epoch-1"]
        assert len(system.log.entries(kind="govern.epoch.made")) == 1
        assert {epoch for epoch, _ref, _count in system._predictions.named()} == {"epoch-2"}
        assert system.erasures.record(ident)["epochs"] == ["epoch-2", "epoch-1"]
        system.erasures.verify(ident, {"method": "document"}, actor="key:desk")
        system.erasures.approve(ident, {}, actor="key:dpo")
        system.work()
        assert system.erasures.get(ident)["state"] == "completed"
        assert WHO not in system.mails()
        assert WHO not in system.mails("people.copy")
        assert system.shredding.destroy("epoch-1", actor="key:admin")["living"] == ["epoch-2"]
        assert fsck(system.log).problems == ()
