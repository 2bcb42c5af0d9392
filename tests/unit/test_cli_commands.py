"""Commands against contract-shaped answers: what they print, what they send, how they end."""

from __future__ import annotations

import json
from contextlib import contextmanager

import httpx2
import pytest

from governance.cli import main
from governance.cli.client import Api, problem_error
from governance.cli.names import model_ref, read_subject
from governance.cli.table import COMMANDS, EXIT_CODES, help_text
from governance.errors import GateRefused
from lineage.errors import Conflict, Forbidden, Gone, GovernError, NotFound, StoreUnavailable


class Server:
    """A transport that answers by (method, path) and keeps what it was sent."""

    def __init__(self, answers):
        self.answers, self.seen = answers, []

    def __call__(self, request):
        self.seen.append(request)
        answer = self.answers[request.method, request.url.path]
        status, body = answer(request) if callable(answer) else answer
        if isinstance(body, bytes):
            return httpx2.Response(status, content=body)
        media = "application/problem+json" if status >= 400 else "application/json"
        return httpx2.Response(status, json=body, headers={"content-type": media})


@pytest.fixture
def govern(monkeypatch, capsys):
    """Runs a command against the answers given; returns (exit code, stdout, stderr, requests)."""

    def run(args, answers=None, stdin=None):
        server = Server(answers or {})

        @contextmanager
        def connect():
            with httpx2.Client(transport=httpx2.MockTransport(server), base_url="http://govern.test") as http:
                yield Api(http, "http://govern.test")

        import importlib
        import sys

        importlib.import_module(f"governance.cli.commands.{COMMANDS[args[0]].module}")  # and those whose commands it takes in
        for name, module in list(sys.modules.items()):
            if name.startswith("governance.cli.commands.") and hasattr(module, "connect"):
                monkeypatch.setattr(module, "connect", connect)
        if stdin is not None:
            import io

            monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        with pytest.raises(SystemExit) as end:
            main(args)
        out = capsys.readouterr()
        return end.value.code, out.out, out.err, server.seen

    return run


DECISION = {
    "model": "credit-risk",
    "version": "1",
    "outcome": "fail",
    "gates": [{"gate": "floor.auc", "severity": "block", "outcome": "fail", "reason": "auc 0.51 is below 0.65"}],
}
GATE = ("POST", "/api/v1/models/credit-risk/versions/1/gate")


@pytest.mark.parametrize(("outcome", "code"), [("pass", 0), ("fail", 3), ("inconclusive", 3)])
def test_gate_ends_with_three_unless_it_passes(govern, outcome, code):
    ended, out, _, _ = govern(["gate", "credit-risk@1"], {GATE: (200, DECISION | {"outcome": outcome})})
    assert ended == code
    assert f"credit-risk@1: {outcome}" in out
    assert "auc 0.51 is below 0.65" in out


def test_a_refused_release_ends_with_three_and_two_lines(govern):
    problem = {
        "type": "https://govern/errors/gate-refused",
        "title": "no",
        "status": 409,
        "detail": "floor.auc: 0.51",
        "hint": "govern gate x@1",
    }
    code, out, err, seen = govern(["release", "x@1", "--to", "production"], {("POST", "/api/v1/deployments"): (409, problem)})
    assert (code, out) == (3, "")
    assert err == "error: floor.auc: 0.51\n next: govern gate x@1\n"
    assert seen[0].headers["idempotency-key"]
    assert json.loads(seen[0].content) == {"model": "x", "version": "1", "environment": "production"}


def test_a_typo_in_a_model_shows_the_servers_hint(govern):
    problem = {"type": "about:blank", "status": 404, "detail": "no model is named 'credit-rsk'", "hint": "did you mean credit-risk?"}
    code, _, err, _ = govern(["trace", "credit-rsk"], {("GET", "/api/v1/trace"): (404, problem)})
    assert code == 1
    assert "no model is named 'credit-rsk'" in err
    assert "did you mean credit-risk?" in err
    assert "Traceback" not in err


def test_a_typo_in_a_command_names_the_nearest(capsys):
    with pytest.raises(SystemExit) as end:
        main(["relaese"])
    assert end.value.code == 2
    assert "did you mean: govern release" in capsys.readouterr().err


def test_a_command_nothing_resembles_names_the_help(capsys):
    with pytest.raises(SystemExit) as end:
        main(["zzz"])
    assert end.value.code == 2
    assert "govern --help" in capsys.readouterr().err


TRACE = {
    "subject": {"kind": "model", "ref": "credit-risk@1"},
    "direction": "up",
    "model": {"name": "credit-risk", "version": 1},
    "run": {"run_id": "0190", "state": "COMPLETE"},
    "datasets": [
        {"dataset": "credit.train", "version": "1", "role": "train", "rows": 686, "recounted": 686, "row_set": {"digest": "rs1:" + "a" * 64, "count": 686},
         "producer": {"job": "credit.split", "code": "https://example.org/split.py@sha256:" + "b" * 64}, "inputs": [{"dataset": "credit.raw", "version": "1"}]},
        {"dataset": "credit.raw", "version": "1", "role": None, "rows": 1000, "recounted": 999, "inputs": []},
    ],
    "source_rows": 1000,
    "params": {"hidden": 4},
    "seed": 7,
    "code": "snapshot:" + "c" * 64,
    "audits": [{"audit": "fair.rates", "verdict": "INCONCLUSIVE"}],
    "decision": {"outcome": "pass", "policy": "credit@1"},
    "deployments": [{"model": "credit-risk", "version": 1, "environment": "production", "active_from": 0, "active_to": None}],
    "completeness": {"complete": False, "reasons": ["job x sent no events"], "lag": 2},
}  # fmt: skip


def test_the_tree_shows_the_way_from_model_to_raw_file(govern):
    code, out, _, _ = govern(["trace", "credit-risk@1"], {("GET", "/api/v1/trace"): (200, TRACE)})
    assert code == 0
    places = [
        out.index(part)
        for part in ("model credit-risk@1", "run 0190", "train: credit.train@1  686 rows (recounted)", "credit.split", "credit.raw@1")
    ]
    assert places == sorted(places)
    for part in ("split.py@sha256:bbbbbbbbbbbb…", "BUT 999 recounted", "hidden=4; seed 7", "fair.rates: INCONCLUSIVE", "in production"):
        assert part in out
    assert "NOT complete: job x sent no events; 2 events are not projected yet" in out
    assert out.count("credit.raw@1") == 1


@pytest.mark.parametrize(("complete", "code"), [(True, 0), (False, 4)])
def test_strict_ends_with_four_when_incomplete(govern, complete, code):
    answer = TRACE | {"completeness": {"complete": complete, "reasons": []}}
    assert govern(["trace", "credit-risk", "--strict", "--json"], {("GET", "/api/v1/trace"): (200, answer)})[0] == code


def test_json_is_the_answer_as_it_came(govern):
    _, out, _, seen = govern(
        ["trace", "credit-risk", "--json", "--as-of", "2026-01-01T00:00:00Z"], {("GET", "/api/v1/trace"): (200, TRACE)}
    )
    assert json.loads(out) == TRACE
    assert dict(seen[0].url.params) == {"model": "credit-risk", "direction": "up", "as_of": "2026-01-01T00:00:00Z"}


@pytest.mark.parametrize("args", [["trace"], ["trace", "m", "--run", "r"], ["impact"], ["impact", "d", "--subject", "-"]])
def test_naming_nothing_or_two_things_is_usage(govern, args):
    code, _, err, seen = govern(args)
    assert code == 2
    assert "next:" in err
    assert not seen


def test_a_person_goes_by_standard_input_and_never_shows(govern):
    answers = {("POST", "/api/v1/erasure-requests"): (201, {"id": "er-1", "state": "identity_pending", "due_at": 0})}
    code, out, err, seen = govern(["erasure", "request", "--subject", "-"], answers, stdin="applicant:SENTINEL-9\n")
    assert code == 0
    assert json.loads(seen[0].content)["subject"] == {"type": "applicant", "value": "SENTINEL-9"}
    assert "SENTINEL-9" not in out + err + str(seen[0].url)


def test_a_person_as_an_argument_is_refused_and_not_repeated(govern):
    code, out, err, _ = govern(["erasure", "request", "--subject", "applicant:SENTINEL-9"])
    assert code == 2
    assert "SENTINEL-9" not in out + err


CLOCK = {
    "rule": "answer", "source": "Article 12(3)", "basis": "statutory", "zone": "Europe/Brussels", "due_day": "2026-12-21", "stopped_at": None,
    "suspended_since": None, "extended": False, "percent": 12, "late": False,
}  # fmt: skip
REQUEST = {"id": "er-1", "state": "identity_pending", "due_at": 0, "assets": [], "clocks": [CLOCK]}


def test_an_address_a_code_and_a_token_are_read_and_never_arguments(govern, tmp_path):
    answers = {("POST", "/api/v1/erasure-requests"): (201, REQUEST), ("POST", "/api/v1/erasure-requests/er-1/verify"): (200, REQUEST)}
    person, contact = tmp_path / "person.txt", tmp_path / "contact.txt"
    person.write_text("applicant:17\n")
    contact.write_text("name@example.org\n")
    asked = ["erasure", "request", "--subject", str(person), "--contact", str(contact), "--received", "2026-11-02"]
    code, out, _, seen = govern(asked, answers)
    sent = json.loads(seen[0].content)
    assert (code, sent["contact"], sent["received"]) == (0, {"channel": "email", "address": "name@example.org"}, "2026-11-02")
    assert "govern erasure challenge er-1 --method code" in out
    for option, field in (("--code", "code"), ("--id-token", "id_token")):
        code, out, _, seen = govern(["erasure", "verify", "er-1", option, "-"], answers, stdin="1234 5678\n")
        assert (code, json.loads(seen[0].content)) == (0, {field: "1234 5678"})
        assert "answer: by 2026-12-21 (Europe/Brussels), 12 % passed; statutory: Article 12(3)" in out
    for bad in (["--code", "1234 5678"], ["--id-token", "eyJ"], ["--code", "-", "--method", "m", "--verifier", "v"], ["--method", "m"], []):
        code, _, err, seen = govern(["erasure", "verify", "er-1", *bad], answers, stdin="a\nb\n")
        assert (code, seen) == (2, [])
        assert "1234" not in err
        assert "eyJ" not in err
    code, _, err, _ = govern(["erasure", "verify", "er-1", "--code", "-"], answers, stdin="a\nb\n")
    assert code == 2
    assert "more than one line" in err
    assert govern(["erasure", "request", "--subject", "-", "--contact", "-"], answers, stdin="x")[0] == 2


def test_a_question_an_approval_in_part_and_a_release(govern):
    challenge = {"method": "oidc", "nonce": "n-0nce", "expires_at": 0}
    route = "/api/v1/erasure-requests/er-1"
    answers = {
        ("POST", f"{route}/{verb}"): (200, REQUEST | {"challenge": challenge})
        for verb in ("challenge", "approve", "release", "acknowledge")
    }
    code, out, _, seen = govern(["erasure", "challenge", "er-1", "--method", "oidc"], answers)
    assert (code, json.loads(seen[0].content)) == (0, {"method": "oidc"})
    assert "n-0nce" in out
    assert govern(["erasure", "challenge", "er-1", "--method", "fax"], answers)[0] == 2
    retained = ["erasure", "approve", "er-1", "--retain", "dataset:a=art-17-3-b", "--retain", "model:m@1=art-17-3-e", "--reasons", "law"]
    sent = json.loads(govern(retained, answers)[3][0].content)
    assert sent == {
        "refuse": [
            {"asset": "dataset:a", "ground": "art-17-3-b", "reasons": "law"},
            {"asset": "model:m@1", "ground": "art-17-3-e", "reasons": "law"},
        ]
    }
    assert govern(["erasure", "approve", "er-1", "--retain", "dataset:a"], answers)[0] == 2
    sent = json.loads(govern(["erasure", "release", "er-1", "dataset:a", "--reason", "settled"], answers)[3][0].content)
    assert sent == {"assets": ["dataset:a"], "reason": "settled"}
    assert json.loads(govern(["erasure", "acknowledge", "er-1", "--how", "letter"], answers)[3][0].content) == {"how": "letter"}


def test_a_wrong_code_is_a_no_and_not_a_missing_role(govern):
    problem = {"type": "tag:govern-ml,2026:problems/not-verified", "detail": "the code is not right; 4 attempt(s) are left"}
    answers = {("POST", "/api/v1/erasure-requests/er-1/verify"): (403, problem)}
    code, _, err, _ = govern(["erasure", "verify", "er-1", "--code", "-"], answers, stdin="0000 0000\n")
    assert code == 3
    assert "4 attempt(s) are left" in err


def test_the_law_packs_are_listed_with_their_sources(govern):
    rule = {"basis": "statutory", "source": "Article 12(3)"}
    pack = {"pack": "GDPR", "version": 1, "status": "in_force", "effective_from": "2018-05-25", "rules": {"answer": rule}}
    pack["grounds"] = {"art-17-3-b": {"article": "Article 17(3)(b)", "says": "a legal obligation"}}
    answers = {("GET", "/api/v1/law-packs"): (200, {"packs": [pack]})}
    code, out, _, _ = govern(["erasure", "packs"], answers)
    assert code == 0
    for words in ("GDPR 1", "in_force", "Article 12(3)", "art-17-3-b", "a legal obligation"):
        assert words in out
    assert json.loads(govern(["erasure", "packs", "--json"], answers)[1]) == {"packs": [pack]}


@pytest.mark.parametrize(
    ("state", "code"), [("completed", 0), ("completed_partial", 4), ("awaiting_decision", 3), ("failed", 1), ("refused", 3)]
)
def test_waiting_for_an_erasure_ends_as_it_ended(govern, state, code):
    body = {
        "id": "er-1",
        "state": state,
        "due_at": 0,
        "assets": [{"id": "model:m@1", "found": 1, "action": "retrain", "status": "done", "level": "L3"}],
    }
    ended, out, _, _ = govern(["erasure", "show", "er-1", "--wait"], {("GET", "/api/v1/erasure-requests/er-1"): (200, body)})
    assert ended == code
    assert "model:m@1" in out
    assert "L3" in out


def test_ingest_names_the_line_that_was_refused(govern, tmp_path):
    file = tmp_path / "events.jsonl"
    file.write_text('{"run": 1}\n\n{"no": "identity"}\n')
    failed = {"index": 1, "reason": "no run, job or dataset", "retriable": False}
    answer = {"status": "partial", "summary": {"received": 2, "successful": 1, "failed": 1}, "failed_events": [failed]}
    code, out, err, seen = govern(["ingest", str(file)], {("POST", "/api/v1/lineage/batch"): (200, answer)})
    assert code == 1
    assert "1 of 2 events accepted" in out
    assert f"{file}:3: no run, job or dataset" in err
    assert len(json.loads(seen[0].content)) == 2


def test_ingest_names_a_broken_line_and_sends_the_others(govern, tmp_path):
    file = tmp_path / "events.jsonl"
    file.write_text('{"run": 1}\n{"run": \n{"run": 3}\n')
    answer = {"status": "success", "summary": {"received": 2, "successful": 2, "failed": 0}, "failed_events": []}
    code, out, err, seen = govern(["ingest", str(file)], {("POST", "/api/v1/lineage/batch"): (200, answer)})
    assert code == 1
    assert "2 of 3 events accepted" in out
    assert f"refused: {file}:2: it is not JSON" in err
    assert [json.loads(one.content) for one in seen] == [[{"run": 1}, {"run": 3}]]


def test_a_broken_ledger_ends_with_three_and_names_the_part(govern):
    body = {"ok": False, "problems": ["entry 7: the leaf does not match"], "size": 9}
    code, out, _, _ = govern(["ledger", "fsck"], {("GET", "/api/v1/ledger/fsck"): (200, body)})
    assert code == 3
    assert "entry 7: the leaf does not match" in out


def test_an_export_has_every_entry_once_over_pages(govern, tmp_path):
    def page(request):
        start = int(request.url.params["start"])
        return 200, {"entries": [{"index": index} for index in range(start, min(start + 2, 5))], "size": 5}

    target = tmp_path / "log.jsonl"
    code, out, _, seen = govern(["ledger", "export", str(target)], {("GET", "/api/v1/ledger/entries"): page})
    assert code == 0
    assert "5 entries" in out
    assert len(seen) == 3
    assert [json.loads(line)["index"] for line in target.read_text().splitlines()] == list(range(5))
    assert list(tmp_path.iterdir()) == [target]


def test_verify_says_what_is_no_paper(govern, tmp_path):
    file = tmp_path / "x.pdf"
    file.write_bytes(b"hello")
    code, _, err, _ = govern(["verify", str(file)])
    assert code == 1
    assert "not a PDF" in err


def test_the_files_of_proofs_that_a_certificate_names_are_saved_beside_it(govern, tmp_path):
    one, two = "ab" * 32, "cd" * 32

    def named(*digests):
        return {"non_membership": [{"proofs": None, "file": {"digest": f"sha256:{digest}", "size": 3}} for digest in digests]}

    carried = {"non_membership": [{"proofs": []}]}
    dossier = {"kind": "disgorgement-certificate", "data": {"successors": [named(one), carried, named(two, one)]}}
    base = "/api/v1/erasure-requests/er-1"
    answers = {
        ("GET", f"{base}/certificate"): lambda r: (200, dossier if r.url.params.get("format") == "json" else b"%PDF-1.7"),
        ("GET", f"{base}/proofs/{one}"): (200, b"one"),
        ("GET", f"{base}/proofs/{two}"): (200, b"two"),
    }
    paper, folder = tmp_path / "paper.pdf", tmp_path / "proofs"
    words = ["erasure", "certificate", "er-1", "--out", str(paper), "--proofs", str(folder)]
    code, out, _, seen = govern(words, answers)
    assert (code, paper.read_bytes()) == (0, b"%PDF-1.7")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {f"{one[:16]}.proofs": b"one", f"{two[:16]}.proofs": b"two"}
    assert out.count("--proofs ") == 2, "the line to check it names both"
    assert len(seen) == 4, "each file once"
    code, _, err, _ = govern(["verify", str(paper), "--proofs", str(tmp_path / "missing")])
    assert code == 1
    assert "cannot be read" in err


def test_a_missing_home_names_init(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("GOVERN_URL", raising=False)
    monkeypatch.setenv("GOVERN_HOME", str(tmp_path / "none"))
    with pytest.raises(SystemExit) as end:
        main(["models"])
    assert end.value.code == 1
    assert "govern init --home" in capsys.readouterr().err


def test_a_server_that_is_not_there_names_serve(monkeypatch, capsys):
    monkeypatch.setenv("GOVERN_URL", "http://127.0.0.1:9")
    with pytest.raises(SystemExit) as end:
        main(["models"])
    assert end.value.code == 1
    assert "govern serve" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("status", "kind", "error"),
    [
        (409, "gate-refused", GateRefused),
        (409, "conflict", Conflict),
        (404, "x", NotFound),
        (410, "x", Gone),
        (401, "x", Forbidden),
        (503, "x", StoreUnavailable),
        (500, "x", GovernError),
    ],
)
def test_each_problem_is_its_error(status, kind, error):
    made = problem_error(status, {"type": f"https://g/{kind}", "detail": "d"})
    assert type(made) is error
    assert made.message == "d"


def test_an_answer_that_is_no_problem_still_says_something():
    assert "502" in problem_error(502, ["?"]).message


def test_operations_are_waited_for_and_their_failure_is_the_message():
    states = iter(["queued", "running", "failed"])

    def answer(_request):
        return httpx2.Response(200, json={"id": "o", "state": next(states), "error": {"detail": "NaN weights", "hint": "lower the rate"}})

    with httpx2.Client(transport=httpx2.MockTransport(answer), base_url="http://t") as http, pytest.raises(GovernError) as failed:
        Api(http, "t").wait("o")
    assert (failed.value.message, failed.value.hint) == ("NaN weights", "lower the rate")


@pytest.mark.parametrize("text", ["", "@1", "m@", "m@1@2"])
def test_what_is_no_model_reference_is_usage(text):
    with pytest.raises(GovernError):
        model_ref(text)


@pytest.mark.parametrize(
    "content", ["", "17", '{"type": "applicant"}', '{"type": 1, "value": "x"}', "{", "a:b\nc:d", '{"type": "a", "value": true}']
)
def test_what_names_no_person_is_refused_without_repeating_it(content, tmp_path):
    file = tmp_path / "person"
    file.write_text(content)
    with pytest.raises(GovernError) as refused:
        read_subject(str(file))
    assert not content or content not in refused.value.message.replace(str(file), "")


def test_help_lists_every_command_and_exit_code():
    text = help_text()
    assert all(f"  {name} " in text for name in COMMANDS)
    assert all(f"  {code}  {words}" in text for code, words in EXIT_CODES.items())


PLAN = {
    "request": "er-1", "state": "in_review", "due_at": 0, "eta": 0, "in_time": False, "seconds": 42.5,
    "progress": {"done": 1, "worked_on": 0, "total": 3}, "nothing": 7,
    "retrain": [{"model": "m", "versions": [1, 2], "at": 0, "because": "cadence", "seconds": 42.5, "with_requests": 4}],
    "purge": [{"asset": "dataset:credit.train", "found": 2, "status": "pending", "reason": None}],
    "retire": [], "destroy": [], "notify": [], "review": [], "retained": [],
    "alerts": [{"kind": "late", "model": "m", "detail": "the due date is passed by about 3 h"}],
}  # fmt: skip


def test_the_plan_of_an_erasure_says_what_when_and_what_is_late(govern):
    code, out, _, _ = govern(["erasure", "plan", "er-1"], {("GET", "/api/v1/erasure-requests/er-1/plan"): (200, PLAN)})
    assert code == 0
    for part in ("m@1,2", "cadence", "42.5 s", "dataset:credit.train", "In 7 more place(s)", "late: m: the due date is passed"):
        assert part in out
    code, out, _, _ = govern(["erasure", "plan", "er-1", "--json"], {("GET", "/api/v1/erasure-requests/er-1/plan"): (200, PLAN)})
    assert json.loads(out) == PLAN


def test_a_request_without_a_plan_says_what_to_look_at(govern):
    problem = {
        "title": "conflict",
        "detail": "erasure request er-1 is identity_pending: it has no plan",
        "hint": "govern erasure show er-1",
    }
    code, _, err, _ = govern(["erasure", "plan", "er-1"], {("GET", "/api/v1/erasure-requests/er-1/plan"): (409, problem)})
    assert code == 1
    assert "it has no plan" in err
    assert "govern erasure show er-1" in err
