"""A model trained with differential privacy: what it spends is reserved first, adds up, ends, and outlives every erasure."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.river import River

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(900)]

MODEL = "credit-risk-dp"
TARGET, DELTA = 3.0, 0.0001
BUDGET = {"epsilon": 2 * TARGET}
"""Two trainings, and no third."""


def entries(river: River) -> list[dict[str, Any]]:
    """The whole ledger, in order."""
    found: list[dict[str, Any]] = []
    start: int | None = 0
    while start is not None:
        page = river.ask("GET", f"/api/v1/ledger/entries?start={start}&limit=500")
        found += page["entries"]
        start = page["next"]
    return found


def budget(river: River) -> dict[str, Any]:
    (group,) = json.loads(river.cli("budget", "show", MODEL, "--json").stdout)["budgets"]
    return dict(group)


def said(river: River, run_id: str) -> dict[str, int]:
    """Event type → place in the ledger, of one run."""
    places = {}
    for entry in entries(river):
        if not entry["kind"].startswith("govern."):
            event = json.loads(entry["payload"])
            if event.get("run", {}).get("runId") == run_id:
                places[event["eventType"]] = entry["index"]
    return places


def test_a_private_model_spends_a_budget_that_adds_up_ends_and_outlives_erasures(fresh: River) -> None:
    river = fresh
    river.land()
    river.pipeline()
    config = river.config(MODEL) | {"budget": BUDGET}
    done = river.train(MODEL, config=config)
    assert done["state"] == "done", done
    version = river.ask("GET", f"/api/v1/models/{MODEL}/versions/1")
    reserved_and_spent(river, version)

    # nobody can make it again, for its noise was not kept
    gone = river.cli("reproduce", f"{MODEL}@1", expect=4)
    assert "differential privacy" in gone.stdout + gone.stderr

    decision = river.audit_and_gate(MODEL, 1)
    assert decision["outcome"] == "pass", [gate for gate in decision["gates"] if gate["outcome"] != "pass"]
    river.release(MODEL, 1)
    first, second, other = (row for row in river.rows("credit.train")[10:13])
    assert river.predict(first, model=MODEL)["model_version"] == "1"
    retrained_under_privacy(river, version, first["applicant"])
    assert river.predict(other, model=MODEL)["model_version"] == "2"

    refused_at_the_door(river, version, config)
    forbidden_by_the_budget(river, second["applicant"])
    assert river.predict(other, model=MODEL)["model_version"] == "2", "the policy says that it serves meanwhile"
    (request,) = [one for one in river.ask("GET", "/api/v1/erasure-requests")["requests"] if one["state"] == "awaiting_decision"]
    river.cli("erasure", "decide", request["id"], "withdraw")
    ended = river.wait_erasure_after(request["id"], "awaiting_decision")
    assert ended["state"] == "completed", ended
    assert {one["id"]: one["status"] for one in ended["assets"]}[f"model:{MODEL}@2"] == "done"
    assert not list((river.home / "artifacts").iterdir())


def reserved_and_spent(river: River, version: dict[str, Any]) -> None:
    """Two accountants within the target; the whole target was reserved in the ledger before the run began."""
    spend = version["spend"]
    assert spend["delta"] == DELTA
    assert 0 < spend["epsilon_pld"] <= spend["epsilon_rdp"] <= TARGET
    assert (spend["poisson"], spend["steps"] > 0, spend["noise_multiplier"] > 0) == (True, True, True)
    places = said(river, version["run_id"])
    (reserved,) = [one["index"] for one in entries(river) if one["kind"] == "govern.budget.reserved"]
    (spent,) = [one["index"] for one in entries(river) if one["kind"] == "govern.budget.spent"]
    assert reserved < places["START"] < spent < places["COMPLETE"]
    shown = budget(river)
    assert (shown["epsilon"], shown["delta"], shown["limit"]["epsilon"]) == (TARGET, DELTA, BUDGET["epsilon"])
    assert [(one["run_id"], one["state"]) for one in shown["spends"]] == [(version["run_id"], "spent")]


def retrained_under_privacy(river: River, before: dict[str, Any], applicant: int) -> None:
    """An erasure that the budget pays for: a successor with noise of its own, and no claim that it could be made again."""
    done = river.wait_erasure(river.approve_erasure(applicant))
    assert done["state"] == "completed", done
    (successor,) = done["successors"]
    assert (successor["version"], successor["predecessor"], successor["reproduced"], successor["excluded"]) == (2, 1, None, True)
    asset = next(one for one in done["assets"] if one["id"] == f"model:{MODEL}@1")
    assert (asset["status"], asset["level"]) == ("done", "L2"), "never L3: there is nothing to compare with"
    assert not (river.home / "artifacts" / before["artifact"]["digest"].removeprefix("sha256:")).exists()
    after = river.ask("GET", f"/api/v1/models/{MODEL}/versions/2")
    assert after["spend"]["epsilon_rdp"] <= TARGET
    assert after["spec"]["privacy"] == before["spec"]["privacy"]
    trained_on = next(given for given in after["spec"]["inputs"] if given["role"] == "train")
    assert trained_on["rows"] == len(river.rows("credit.train"))
    shown = budget(river)
    assert shown["epsilon"] == pytest.approx(2 * TARGET)
    assert shown["delta"] == pytest.approx(2 * DELTA)
    assert {one["run_id"] for one in shown["spends"]} == {before["run_id"], successor["run_id"]}


def refused_at_the_door(river: River, version: dict[str, Any], config: dict[str, Any]) -> None:
    """Another training is refused with its reason, and nothing is trained or reserved."""
    before, shown = len(entries(river)), budget(river)
    policy = river.project / config["policy"]
    text = policy.read_text()
    body = {"code": version["spec"]["code"], "config": config, "policy_text": text}
    refused = river.ask("POST", f"/api/v1/models/{MODEL}/trainings", json=body, expect=409)
    assert refused["type"].endswith("/budget-exceeded")
    assert "over the lifetime privacy budget (6" in refused["detail"]
    assert "would make (9" in refused["detail"]
    assert [one["kind"] for one in entries(river)[before:]] == []
    assert budget(river) == shown

    # without a budget in govern.yaml the policy's lifetime_epsilon counts
    assert "budget:" not in (river.project / "govern.yaml").read_text()
    assert "lifetime_epsilon: 10.0" in text
    policy.write_text(text.replace("lifetime_epsilon: 10.0", "lifetime_epsilon: 8.0"))
    stopped = river.cli("train", MODEL, cwd=river.project, expect=1)
    assert "over the lifetime privacy budget (8" in stopped.stdout + stopped.stderr
    assert river.ask("GET", f"/api/v1/models/{MODEL}")["latest"] == 2
    river.ask("POST", f"/api/v1/models/{MODEL}/trainings", json=body, expect=409)  # the budget of govern.yaml stands again


def forbidden_by_the_budget(river: River, applicant: int) -> None:
    """An erasure that the budget does not pay for: the rows go all the same, and a human decides about the model."""
    waiting = river.wait_erasure(river.approve_erasure(applicant))
    assert waiting["state"] == "awaiting_decision", waiting
    assets = {one["id"]: one for one in waiting["assets"]}
    assert assets[f"model:{MODEL}@2"]["status"] == "awaiting_decision"
    assert "over the lifetime privacy budget (6" in assets[f"model:{MODEL}@2"]["reason"]
    assert "lifetime privacy budget" in waiting["history"][-1]["reason"]
    assert not waiting["successors"]
    assert assets["dataset:credit.raw"]["status"] == assets["dataset:credit.train"]["status"] == "purged"
    assert applicant not in {row["applicant"] for row in river.rows("credit.train")}
    assert river.ask("GET", f"/api/v1/models/{MODEL}")["latest"] == 2
    assert budget(river)["epsilon"] == pytest.approx(2 * TARGET)
