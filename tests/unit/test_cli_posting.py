"""``govern webhooks``, ``recipients``, ``opendsr`` and ``erasure intake``: what they send, print and end with."""

from __future__ import annotations

import hashlib
import importlib
import json
from contextlib import contextmanager

import httpx2
import pytest

from governance.cli import main
from governance.cli.client import Api
from governance.cli.table import COMMANDS

HOOK = {
    "id": "w1", "kind": "subscriber", "url": "https://h/", "events": ["erasure.*"], "scheme": "v1", "state": "disabled", "attempts": 10,
    "next_at": 0, "error": "it answered 500", "delivered_at": None, "created_at": 1, "waiting": 2, "dead": 1,
}  # fmt: skip
TASK = {
    "id": "t1", "name": "Example Ltd", "asset": "dataset:d", "state": "pending", "via": "manual", "told_at": None, "acknowledged_at": None,
    "error": None, "excuse": None, "ground": None,
}  # fmt: skip


@pytest.fixture
def govern(monkeypatch, capsys):
    """Runs a command against (method, path) → answer; returns (exit code, stdout, stderr, requests)."""

    def run(args, answers=None):
        seen = []

        def serve(request):
            seen.append(request)
            answer = (answers or {})[request.method, request.url.path]
            return httpx2.Response(200, json=answer(request) if callable(answer) else answer)

        @contextmanager
        def connect():
            with httpx2.Client(transport=httpx2.MockTransport(serve), base_url="http://govern.test") as http:
                yield Api(http, "http://govern.test")

        name = (
            {"intake": "erasure_intake", "task": "erasure_task", "disgorge": "erasure_disgorge"}.get(args[1])
            if args[0] == "erasure"
            else COMMANDS[args[0]].module
        )
        for module in (name, "collection"):
            monkeypatch.setattr(importlib.import_module(f"governance.cli.commands.{module}"), "connect", connect)
        with pytest.raises(SystemExit) as end:
            main(args)
        out = capsys.readouterr()
        return end.value.code, out.out, out.err, seen

    return run


def test_webhooks(govern) -> None:
    added = HOOK | {"secret": "whsec_abc"}
    code, out, _, seen = govern(
        ["webhooks", "add", "https://h/", "--events", "erasure.*", "--events", "gate.decided"], {("POST", "/api/v1/webhooks"): added}
    )
    assert (code, json.loads(seen[0].content)) == (0, {"url": "https://h/", "events": ["erasure.*", "gate.decided"], "scheme": "v1"})
    assert "whsec_abc" in out
    assert "not shown again" in out
    code, out, _, _ = govern(["webhooks", "list"], {("GET", "/api/v1/webhooks"): {"webhooks": [HOOK]}})
    assert "disabled" in out
    shown = HOOK | {"waiting_messages": [], "dead_messages": [{"id": "m", "type": "erasure.approved", "at": 1, "error": "it answered 422"}]}
    code, out, _, _ = govern(["webhooks", "show", "w1"], {("GET", "/api/v1/webhooks/w1"): shown})
    assert "it answered 422" in out
    assert "govern webhooks resume w1" in out
    for verb, answer in (("rotate", {"id": "w1", "secret": "whsec_new"}), ("resume", shown), ("replay", {"id": "w1", "replayed": 3})):
        code, out, _, seen = govern(["webhooks", verb, "w1"], {("POST", f"/api/v1/webhooks/w1/{verb}"): answer})
        assert code == 0
    assert "3 message(s)" in out
    gone = {("DELETE", "/api/v1/webhooks/w1"): {"id": "w1"}}
    assert govern(["webhooks", "remove", "w1"], gone)[:2] == (0, "webhook w1 is removed\n")
    assert json.loads(govern(["webhooks", "remove", "w1", "--json"], gone)[1]) == {"id": "w1"}
    assert govern(["webhooks", "add", "https://h/"])[0] == 2, "which events is not guessed"


def test_incidents_are_listed_like_any_collection(govern) -> None:
    one = {"id": "i1", "state": "open", "model": "m", "version": "2", "opened_at": 0, "summary": "a wrong answer"}
    code, out, _, _ = govern(["incident", "list"], {("GET", "/api/v1/incidents"): {"incidents": [one]}})
    assert (code, "1970-01-01 00:00:00 UTC" in out, "a wrong answer" in out) == (0, True, True)
    assert json.loads(govern(["incident", "list", "--json"], {("GET", "/api/v1/incidents"): {"incidents": [one]}})[1]) == {
        "incidents": [one]
    }
    assert govern(["incident", "list"], {("GET", "/api/v1/incidents"): {"incidents": []}})[1] == "No incidents.\n"


def test_recipients(govern) -> None:
    one = {"id": "r1", "name": "Example Ltd", "role": "processor", "assets": ["dataset:d"], "via": "manual", "open": 1}
    _, out, _, seen = govern(
        ["recipients", "add", "Example Ltd", "--role", "processor", "--asset", "dataset:d"], {("POST", "/api/v1/recipients"): one}
    )
    assert json.loads(seen[0].content) == {"name": "Example Ltd", "role": "processor", "assets": ["dataset:d"]}
    assert "Example Ltd" in govern(["recipients", "list"], {("GET", "/api/v1/recipients"): {"recipients": [one]}})[1]
    _, out, _, _ = govern(["recipients", "tasks", "er-1"], {("GET", "/api/v1/erasure-requests/er-1/tasks"): {"tasks": [TASK]}})
    assert "govern recipients acknowledge er-1 TASK" in out
    place = "/api/v1/erasure-requests/er-1/tasks/t1"
    _, out, _, seen = govern(
        ["recipients", "acknowledge", "er-1", "t1", "--reference", "T-17"],
        {("POST", f"{place}/acknowledge"): TASK | {"state": "acknowledged"}},
    )
    assert json.loads(seen[0].content) == {"reference": "T-17"}
    assert "acknowledged" in out
    args = ["recipients", "excuse", "er-1", "t1", "--excuse", "impossible", "--ground", "dissolved"]
    _, _, _, seen = govern(args, {("POST", f"{place}/excuse"): TASK | {"state": "excused"}})
    assert json.loads(seen[0].content) == {"excuse": "impossible", "ground": "dissolved"}


def test_opendsr(govern) -> None:
    one = {"id": "c1", "name": "Shop", "identities": {"email": "email"}, "callbacks": [], "created_at": 1, "removed_at": None}
    path = "/api/v1/opendsr/controllers"
    args = ["opendsr", "add", "Shop", "--identity", "email=email", "--identity", "controller_customer_id=applicant"]
    _, out, _, seen = govern(args, {("POST", path): one | {"api_key": "gv_x"}})
    assert json.loads(seen[0].content)["identities"] == {"email": "email", "controller_customer_id": "applicant"}
    assert "gv_x" in out
    assert govern(["opendsr", "add", "Shop", "--identity", "email"])[0] == 2
    assert "may send" in govern(["opendsr", "list"], {("GET", path): {"controllers": [one]}})[1]


def answer_rows(request):
    rows = [json.loads(line) for line in request.content.splitlines()]
    dry = request.url.params.get("dry_run") == "true"
    status = "usable" if dry else "entered"
    counts = dict.fromkeys(("rows", "entered", "known", "refused", "usable"), 0) | {"rows": len(rows), status: len(rows)}
    listed = [{"line": n, "status": status, "id": None if dry else f"er-{row['value']}", "reason": None} for n, row in enumerate(rows, 1)]
    return {"dry_run": dry, "summary": counts, "rows": listed}


def test_intake_sends_parts_and_names_wrong_rows_by_their_line_in_the_file(govern, tmp_path) -> None:
    file = tmp_path / "people.csv"
    lines = ["type,value"] + [f"applicant,{n}" for n in range(1200)]
    lines[701] = "applicant"
    file.write_text("\n".join(lines) + "\n")
    batch = {("POST", "/api/v1/erasure-requests/batch"): answer_rows}
    code, out, _, seen = govern(["erasure", "intake", str(file), "--key", "march"], batch)
    assert code == 1
    assert len(seen) == 3
    assert "702" in out
    assert "1200 rows: 1199 entered, 0 known before, 1 refused" in out
    first = json.loads(seen[0].content.splitlines()[0])
    assert first == {"type": "applicant", "value": "0", "key": "march.2"}, "the key tells the line, not the person"
    code, out, _, _ = govern(["erasure", "intake", str(file), "--json"], batch)
    told = [json.loads(line) for line in out.splitlines()[:1200]]
    assert [row["line"] for row in told] == list(range(2, 1202))
    assert told[700]["status"] == "refused"


def test_a_dry_run_asks_for_one_and_a_clean_file_ends_with_0(govern, tmp_path) -> None:
    file = tmp_path / "people.ndjson"
    file.write_text('{"type": "applicant", "value": "1", "key": "own"}\n\n{"type": "applicant", "value": "2"}\n')
    code, out, _, seen = govern(["erasure", "intake", str(file), "--dry-run"], {("POST", "/api/v1/erasure-requests/batch"): answer_rows})
    assert code == 0
    assert "2 rows: 2 can be used, 0 refused" in out
    assert seen[0].url.params["dry_run"] == "true"
    assert json.loads(seen[0].content.splitlines()[0])["key"] == "own"


def test_intake_of_what_is_no_list_is_a_usage_error(govern, tmp_path) -> None:
    assert govern(["erasure", "intake", str(tmp_path / "missing.csv")])[0] == 2
    other = tmp_path / "people.xlsx"
    other.write_bytes(b"PK")
    assert govern(["erasure", "intake", str(other)])[0] == 2


# ── tasks of owners ─────────────────────────────────────────────────────────────────────────────
OWED = {
    "id": "k1", "request": "er-1", "asset": "model:s3://lake/m@1", "asked": {"do": "retrain it", "take": [{"dataset": "d", "version": "2"}]},
    "owner": "Risk team", "owner_basis": "default owner", "state": "open", "due_at": 1_800_000_000_000_000_000, "told_at": None,
    "answered_at": None, "evidence": None, "reason": None, "error": None,
}  # fmt: skip
TASKS = "/api/v1/erasure-tasks"


def test_erasure_tasks_are_listed_and_shown(govern) -> None:
    code, out, _, seen = govern(["erasure", "task", "list", "--request", "er-1"], {("GET", TASKS): {"tasks": [OWED]}})
    assert code == 0
    assert dict(seen[0].url.params) == {"request": "er-1"}
    assert "Risk team" in out
    code, out, _, _ = govern(["erasure", "task", "show", "k1"], {("GET", f"{TASKS}/k1"): OWED})
    assert code == 0
    assert "d@2" in out


def test_an_owner_answers_with_the_digest_of_a_file_that_stays_where_it_is(govern, tmp_path) -> None:
    shown = tmp_path / "jane-doe.pdf"
    shown.write_bytes(b"evidence")
    digest = "sha256:" + hashlib.sha256(b"evidence").hexdigest()
    answers = {("POST", f"{TASKS}/k1/answer"): OWED | {"state": "answered_done", "evidence": digest}}
    code, out, _, seen = govern(["erasure", "task", "answer", "k1", "--done", "--evidence", str(shown)], answers)
    assert (code, json.loads(seen[0].content)) == (0, {"answer": "done", "evidence": digest})
    assert "answered_done" in out
    assert "jane" not in out
    code, _, _, seen = govern(["erasure", "task", "answer", "k1", "--cannot", "--reason", "at sea"], answers)
    assert (code, json.loads(seen[0].content)) == (0, {"answer": "cannot", "reason": "at sea"})


@pytest.mark.parametrize(
    "args", [[], ["--done"], ["--cannot"], ["--done", "--cannot", "--reason", "x"], ["--done", "--evidence", "/there/is/no/file"]]
)
def test_an_answer_that_says_nothing_is_a_usage_error(govern, args) -> None:
    code, _, err, seen = govern(["erasure", "task", "answer", "k1", *args])
    assert (code, seen) == (2, [])
    assert "govern erasure task answer" in err or "file" in err


# ── orders ──────────────────────────────────────────────────────────────────────────────────────
ORDERED = ["erasure", "disgorge", "scraped.faces", "--ground", "no consent", "--reference", "C-4743", "--due", "2030-01-01"]


def test_a_disgorgement_is_previewed_and_entered(govern) -> None:
    order = {"dataset": "scraped.faces", "version": None, "reference": "C-4743", "due_at": 1_893_456_000_000_000_000}
    assets = [
        {"id": "dataset:scraped.faces", "action": "purge", "found": 9, "detail": {}},
        {"id": "model:m@1", "action": "retire", "found": 9, "detail": {"environments": ["production"]}},
        {"id": "dataset:other", "action": "none", "found": 0, "detail": {}},
    ]
    code, out, _, seen = govern([*ORDERED, "--dry-run"], {("POST", "/api/v1/disgorgements"): {"order": order, "assets": assets}})
    assert (code, json.loads(seen[0].content)["dry_run"]) == (0, True)
    assert "nothing was entered" in out
    assert "In 1 more place(s) nothing was found." in out
    entered = {"order": order, "assets": assets, "id": "er-1", "state": "in_review"}
    code, out, _, seen = govern([*ORDERED, "--version", "2", "--models", "retire"], {("POST", "/api/v1/disgorgements"): entered})
    assert code == 0
    assert json.loads(seen[0].content) == {
        "dataset": "scraped.faces", "ground": "no consent", "reference": "C-4743", "due": "2030-01-01", "models": "retire", "version": "2",
    }  # fmt: skip
    assert "govern erasure approve er-1" in out


def test_models_are_retrained_or_retired_and_nothing_else(govern) -> None:
    code, _, err, seen = govern([*ORDERED, "--models", "keep"])
    assert (code, seen) == (2, [])
    assert "--models retire" in err
