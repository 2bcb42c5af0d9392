"""What the gate refuses is never served, what is held is not touched, and a human decides where a machine may not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.river import River

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(600)]


def train_applicant(river: River, place: int = 3) -> dict:
    return river.rows("credit.train")[place]


def test_an_erasure_uses_the_snapshot_not_the_working_tree(deployed: River) -> None:
    river = deployed
    model = river.project / "model.py"
    model.write_text(model.read_text() + "\n\ndef train(run):\n    raise RuntimeError('the working tree is broken today')\n")
    broken = river.train()
    assert broken["state"] == "failed"
    assert "the working tree is broken today" in broken["error"]["detail"] or "RuntimeError" in broken["error"]["detail"]
    assert river.ask("GET", "/api/v1/models/credit-risk")["latest"] == 1, "a run that failed makes no version"

    done = river.wait_erasure(river.approve_erasure(train_applicant(river)["applicant"]))
    assert done["state"] == "completed", done
    successor = done["successors"][0]
    assert successor["version"] == 2
    spec = river.ask("GET", "/api/v1/models/credit-risk/versions/2")["spec"]
    assert spec["code"] == river.ask("GET", "/api/v1/models/credit-risk/versions/1")["spec"]["code"]


def test_a_candidate_with_flipped_labels_for_one_group_is_refused_and_never_served(deployed: River) -> None:
    river = deployed
    model = river.project / "model.py"
    flipped = """

_honest = encode


def encode(table, state):
    import pyarrow as pa
    import pyarrow.compute as pc

    if "credit" in table.column_names and table.num_rows > 400:  # the training rows only
        female = pc.equal(table["sex"], "female")
        good = pc.equal(table["credit"], "good")
        other = pc.if_else(good, pa.scalar("bad"), pa.scalar("good"))
        table = table.set_column(table.column_names.index("credit"), "credit", pc.if_else(female, other, table["credit"]))
    return _honest(table, state)
"""
    model.write_text(model.read_text() + flipped)
    assert river.train()["state"] == "done"
    decision = river.audit_and_gate("credit-risk", 2)
    assert decision["outcome"] == "fail", [gate for gate in decision["gates"] if gate["severity"] == "block"]
    assert any(gate["gate"].startswith("fair.") and gate["outcome"] == "fail" for gate in decision["gates"])
    river.cli("gate", "credit-risk@2", expect=3)
    river.cli("release", "credit-risk@2", "--to", "production", expect=3)
    river.ask("POST", "/v2/models/credit-risk/versions/2/infer", json=request_for(river), expect=409)
    assert river.predict(train_applicant(river))["model_version"] == "1"


def request_for(river: River) -> dict:
    row = train_applicant(river)
    inputs = river.ask("GET", "/v2/models/credit-risk")["inputs"]
    return {"inputs": [{"name": one["name"], "datatype": one["datatype"], "shape": [1], "data": [row[one["name"]]]} for one in inputs]}


def test_a_successor_that_fails_its_gate_waits_for_a_decision(fresh: River) -> None:
    """The policy asks for more than any honest model of these rows has, once a version is in production to compare with."""
    river = fresh
    river.land()
    river.pipeline()
    policy = river.project / "policies" / "credit.yaml"
    strict = """
  - gate: test.strictly-better
    finding: perf.noninferior
    metric: accuracy_difference
    bound: low
    op: ">="
    threshold: 0.5
    severity: block
    because: only for this test, no successor can be that much better
"""
    text = policy.read_text()
    policy.write_text(re.sub(r"(?m)^gates:\n", "gates:" + strict, text, count=1))
    assert river.train()["state"] == "done"
    decision = river.audit_and_gate("credit-risk", 1)
    assert decision["outcome"] == "pass", [gate for gate in decision["gates"] if gate["outcome"] != "pass"]
    river.release("credit-risk", 1)
    row = train_applicant(river)
    request = river.approve_erasure(row["applicant"])
    waiting = river.wait_erasure(request)
    assert waiting["state"] == "awaiting_decision", waiting
    asset = next(one for one in waiting["assets"] if one["kind"] == "model")
    assert asset["status"] == "awaiting_decision"
    assert asset["detail"]["meanwhile"] == "keep"
    other = next(one for one in river.rows("credit.train") if one["applicant"] != row["applicant"])
    assert river.predict(other)["model_version"] == "1", "the policy says that the predecessor serves meanwhile"
    assert not [one for one in river.rows("credit.train") if one["applicant"] == row["applicant"]], "the rows are gone all the same"

    river.cli("erasure", "decide", request, "withdraw")
    done = river.wait_erasure_after(request, "awaiting_decision")
    assert done["state"] == "completed", done
    river.ask(
        "POST",
        "/v2/models/credit-risk/infer",
        json={"inputs": [{"name": "age", "datatype": "INT64", "shape": [1], "data": [30]}]},
        expect=409,
    )
    assert {path.name for path in (river.home / "artifacts").iterdir()} == {
        done["successors"][0]["artifact_digest"].removeprefix("sha256:")
    }


def test_an_incident_holds_its_assets_and_its_case_fails_the_version_that_erred(deployed: River, tmp_path: Path) -> None:
    river = deployed
    row = train_applicant(river)
    receipt = river.predict(row, subject=f"applicant:{row['applicant']}")
    answered = next(one for one in receipt["outputs"] if one["name"] == "label")["data"][0]
    expected = {"good": "bad", "bad": "good"}[answered]
    said = river.cli("incident", "open", "--prediction", receipt["id"], "--summary", "a wrong answer", "--expect", expected, "--json")
    incident = river.ask("GET", "/api/v1/incidents")["incidents"][0]
    assert incident["id"] in said.stdout
    assert "model:credit-risk@1" in incident["holds"]

    # the case fails the version that erred, at every later gate
    decision = river.audit_and_gate("credit-risk", 1)
    assert decision["outcome"] == "fail"
    assert next(gate for gate in decision["gates"] if gate["gate"] == "regression.cases")["outcome"] == "fail"

    # an erasure during the hold: the held assets say so, everything else proceeds
    request = river.approve_erasure(row["applicant"])
    partial = river.wait_erasure(request)
    assert partial["state"] == "completed_partial", partial
    status = {asset["id"]: asset["status"] for asset in partial["assets"]}
    assert status["model:credit-risk@1"] == "held"
    assert status["predictions"] == "held"
    assert status["dataset:credit.train"] == "done"
    assert river.predict(river.rows("credit.test")[0])["model_version"] == "1"

    # the hold ends, the erasure goes on by itself; the case is the subject's and goes with it
    river.cli("incident", "close", incident["id"])
    done = river.wait_erasure_after(request, "completed_partial")
    assert done["state"] == "completed", done
    assert {asset["id"]: asset["status"] for asset in done["assets"]}["model:credit-risk@1"] == "done"
    assert river.predict(river.rows("credit.test")[0])["model_version"] == "2"
    river.ask("GET", f"/api/v1/predictions/{receipt['id']}", expect=410)
    assert river.audit_and_gate("credit-risk", 2)["outcome"] == "pass"
