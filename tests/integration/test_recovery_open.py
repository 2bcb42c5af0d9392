"""Opening a home after a kill: what was entered a moment before its work began is begun, and what nobody refers to is removed."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from governance.wiring import System, init_home, open_system
from governance.workflows.recovery import sweep

pytestmark = pytest.mark.integration


class Killed(BaseException):
    """The process ends here; nothing catches it."""


def killed(*_: Any, **__: Any) -> Any:
    raise Killed


def received(system: System) -> str:
    body = {"subject": {"type": "applicant", "value": "4711"}, "regulation": "GDPR", "ground": "Article 17(1)(b)"}
    return str(system.erasures.request(body, actor="key:one")["id"])


def ended(system: System, request: str) -> dict[str, Any]:
    deadline = time.monotonic() + 60
    while (found := system.erasures.get(request))["state"] in ("scoping", "queued", "executing", "verifying"):
        assert time.monotonic() < deadline, found["history"]
        time.sleep(0.05)
    return found


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose keys are made once."""
    home = tmp_path_factory.mktemp("made") / "home"
    init_home(home)
    return home


@pytest.fixture
def home(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "home"))


@pytest.mark.parametrize(("cut", "state"), [("_enqueue", "verifying"), ("_searcher", "scoping")])
def test_a_request_that_was_cut_off_before_its_work_began_is_ended_at_the_next_start(
    home: Path, monkeypatch: pytest.MonkeyPatch, cut: str, state: str
) -> None:
    with open_system(home, worker=False) as system:
        request = received(system)
        if cut == "_enqueue":
            monkeypatch.setattr(system.erasures, "_enqueue", killed)
        else:
            monkeypatch.setattr(system.searcher, "search", killed)
        with pytest.raises(Killed):
            system.erasures.verify(request, {"method": "identity document"}, actor="key:one")
        assert system.erasures.get(request)["state"] == state
    with open_system(home, worker=True) as system:
        found = ended(system, request)
        assert found["state"] == "completed", found
        assert system.erasures.certificate(request).startswith(b"%PDF-")
    with open_system(home, worker=True) as system:  # a third start does nothing again
        assert [body["id"] for body in system.reports.list()["reports"]] == [found["report"]]
        assert system.erasures.get(request)["history"] == found["history"]


def test_a_request_whose_identity_is_not_verified_is_left_alone(home: Path) -> None:
    with open_system(home, worker=False) as system:
        request = received(system)
    with open_system(home, worker=True) as system:
        assert system.erasures.get(request)["state"] == "identity_pending"


def test_what_nobody_refers_to_is_removed_and_nothing_else(home: Path) -> None:
    with open_system(home, worker=False) as system:
        waiting = received(system)
        system.erasures.verify(waiting, {"method": "identity document"}, actor="key:one")
        paper = ended(system, waiting)["report"]
        (issued,) = (home / "reports").glob("*.pdf")
        open_request = received(system)
    kept = [issued, home / "scopes" / f"{open_request}.json", home / "landing" / "raw.tmp"]
    kept[1].write_text("{}")
    kept[2].write_text("a landing file is never ours to remove\n")
    stray = [
        home / "scratch" / "govern-child-1-abc" / "code" / "model.py",
        home / "scratch" / "govern-reproduce-x" / "weights.safetensors",
        home / "artifacts" / ".draft-1" / "weights.safetensors",
        home / "artifacts" / ("0" * 64) / "weights.safetensors",
        home / "reports" / "never-issued.pdf",
        home / "reports" / f"{paper}.{'0' * 16}.pdf",
        home / "reports" / f"{paper}.tmp",
        home / "scopes" / f"{waiting}.json",
        home / "scopes" / f"{open_request}.tmp",
        home / "rowsets" / "1.tmp",
    ]
    for path in stray:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("left by a kill")
    with open_system(home, worker=False) as system:
        assert [path for path in stray if path.exists()] == []
        assert [path for path in kept if not path.exists()] == []
        assert list((home / "artifacts").iterdir()) == list((home / "scratch").iterdir()) == []
        assert system.erasures.certificate(waiting).startswith(b"%PDF-")
        assert sweep(home, system.log) == 0
