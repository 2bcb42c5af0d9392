"""A request in a real home, through the door: contact, code by the spool folder, law packs of the installation, deadlines by themselves."""

from __future__ import annotations

import email
import re
import time
from email.policy import default
from pathlib import Path

import pytest

from governance.api.local import local_client
from governance.cli import main
from governance.erasure.packs import shipped_texts
from governance.wiring import init_home, open_system

pytestmark = pytest.mark.integration

ADDRESS = "q7-sentinel@person.example"
ASK = {
    "subject": {"type": "email", "value": ADDRESS},
    "regulation": "CCPA",
    "ground": "1798.105(a)",
    "contact": {"channel": "email", "address": ADDRESS},
}
ROUTE = "/api/v1/erasure-requests"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GOVERN_SPOOL", str(tmp_path / "spool"))
    init_home(tmp_path / "home")
    return tmp_path / "home"


def code_of(path: Path) -> str:
    text = email.message_from_bytes(path.read_bytes(), policy=default).get_content()
    return re.search(r"[0-9]{4} [0-9]{4}", text)[0]


def test_from_intake_to_the_certificate_by_a_code_and_nothing_of_the_person_stays(home: Path, tmp_path: Path) -> None:
    with local_client(home) as http:
        made = http.post(ROUTE, json=ASK | {"received": int(time.time() - 86_400) * 10**9})
        assert made.status_code == 201, made.text
        url = f"{ROUTE}/{made.json()['id']}"
        asked = http.post(f"{url}/challenge", json={"method": "code"})
        assert asked.status_code == 200, asked.text
        assert set(asked.json()["challenge"]) == {"method", "nonce", "asked_at", "expires_at", "attempts", "touched_at"}
        (message,) = (tmp_path / "spool").glob("*.eml")
        wrong = http.post(f"{url}/verify", json={"code": "0000 0000"})
        assert (wrong.status_code, wrong.json()["type"].rpartition("/")[2]) == (403, "not-verified")
        shown = http.post(f"{url}/verify", json={"code": code_of(message)})
        assert shown.json()["state"] == "verifying", shown.text
        for _ in range(4):
            assert http.post(ROUTE, json=ASK).status_code == 201
        packs = http.get("/api/v1/law-packs").json()["packs"]
        assert {pack["pack"] for pack in packs} == {"GDPR", "LGPD", "CCPA"}
        assert packs[0]["rules"]["answer"]["source"]
    with open_system(home) as system:  # with its worker: the request ends, the deadlines are swept
        ident, end = made.json()["id"], time.monotonic() + 120
        while system.erasures.get(ident)["state"] != "completed" or not system.erasures.get(ident).get("acknowledged"):
            assert time.monotonic() < end, system.erasures.get(ident)
            time.sleep(0.1)
        assert [clock["late"] for clock in system.erasures.get(ident)["clocks"]] == [False, False]
        assert system.erasures.certificate(ident).startswith(b"%PDF-")
    for path in home.rglob("*"):
        if path.is_file():
            assert b"q7-sentinel" not in path.read_bytes(), path
            assert "q7-sentinel" not in path.name


def test_the_sixth_code_of_a_day_is_answered_429(home: Path) -> None:
    with local_client(home) as http:
        idents = [http.post(ROUTE, json=ASK).json()["id"] for _ in range(6)]
        answers = [http.post(f"{ROUTE}/{ident}/challenge", json={"method": "code"}) for ident in idents]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429]
    assert 0 < int(answers[-1].headers["retry-after"]) <= 86_400
    assert answers[-1].json()["type"].endswith("/too-many")


def test_an_installation_adds_a_pack_and_is_told_what_is_wrong_with_it(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = shipped_texts()["gdpr-1.yaml"].replace("pack: GDPR", "pack: UK-GDPR").replace("Europe/Brussels", "Europe/London")
    (home / "packs").mkdir()
    (home / "packs" / "uk.yaml").write_text(own)
    with local_client(home) as http:
        answer = http.post(ROUTE, json={"subject": {"type": "applicant", "value": "1"}, "regulation": "UK-GDPR"})
        assert answer.json()["law"] | {"digest": ""} == {"pack": "UK-GDPR", "version": 1, "digest": "", "zone": "Europe/London"}
    (home / "packs" / "uk.yaml").write_text(own.replace("zone: Europe/London", "zone: Europe/Lundon"))
    with local_client(home) as http:
        answer = http.post(ROUTE, json={"subject": {"type": "applicant", "value": "1"}})
        assert answer.status_code == 400
        assert answer.json()["detail"].startswith("uk.yaml: line 9, column 1: zone: there is no time zone 'Europe/Lundon'")
    for text, code, said in (
        (own, 0, "UK-GDPR version 1, in_force, from 2018-05-25"),
        (own.replace("zone:", "zon:"), 1, "did you mean 'zone'?"),
    ):
        (home / "mine.yaml").write_text(text)
        with pytest.raises(SystemExit) as end:
            main(["erasure", "packs", "--check", str(home / "mine.yaml")])
        assert end.value.code == code
        shown = capsys.readouterr()
        assert said in shown.out + shown.err
