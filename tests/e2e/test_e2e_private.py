"""A model trained with differential privacy: what it spends is reserved first, adds up, ends, and outlives every erasure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.river import River, copy_of

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

MODEL = "credit-risk-dp"
TARGET, DELTA = 3.0, 0.0001
BUDGET = {"epsilon": 2 * TARGET}
"""Two trainings, and no third."""


@pytest.fixture(scope="module")
def private_template(tmp_path_factory: pytest.TempPathFactory) -> River:
    """A stopped home in which credit-risk-dp@1 serves; its govern.yaml allows one more training."""
    river = River(tmp_path_factory.mktemp("private"))
    river.start()
    try:
        river.land()
        river.pipeline()
        done = river.train(MODEL, config=river.config(MODEL) | {"budget": BUDGET})
        assert done["state"] == "done", done
        decision = river.audit_and_gate(MODEL, 1)
        assert decision["outcome"] == "pass", [gate for gate in decision["gates"] if gate["outcome"] != "pass"]
        river.release(MODEL, 1)
    finally:
        river.stop()
    return river


@pytest.fixture
def private(private_template: River, tmp_path: Path) -> Iterator[River]:
    """A running copy of it."""
    river = copy_of(private_template, tmp_path)
    river.start()
    yield river
    river.stop()


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


def test_what_is_spent_is_reserved_before_the_start_adds_up_and_ends(private: River) -> None:
    river = private
    version = river.ask("GET", f"/api/v1/models/{MODEL}/versions/1")
    spend = version["spend"]
    assert spend["delta"] == DELTA
    assert 0 < spend["epsilon_pld"] <= spend["epsilon_rdp"] <= TARGET, "two accountants, both within the target"
    assert (spend["poisson"], spend["steps"] > 0, spend["noise_multiplier"] > 0) == (True, True, True)

    # the ledger held the reservation before the run began
    places = said(river, version["run_id"])
    (reserved,) = [one["index"] for one in entries(river) if one["kind"] == "govern.budget.reserved"]
    (spent,) = [one["index"] for one in entries(river) if one["kind"] == "govern.budget.spent"]
    assert reserved < places["START"] < spent < places["COMPLETE"]

    # nobody can make it again, for its noise was not kept
    gone = river.cli("reproduce", f"{MODEL}@1", expect=4)
    assert "differential privacy" in gone.stdout + gone.stderr

    # another training adds up, in full, whatever the accountants say
    assert river.train(MODEL, config=river.config(MODEL) | {"budget": BUDGET})["result"]["version"] == 2
    shown = budget(river)
    assert shown["epsilon"] == pytest.approx(2 * TARGET)
    assert shown["delta"] == pytest.approx(2 * DELTA)
    assert [one["state"] for one in shown["spends"]] == ["spent", "spent"]
    assert shown["limit"]["epsilon"] == BUDGET["epsilon"]
    digests = {one["artifact"]["digest"] for one in river.ask("GET", f"/api/v1/models/{MODEL}")["versions"]}
    assert len(digests) == 2, "the same rows, code and parameters, and other noise"

    # a third is refused at the door, and nothing happens
    before = len(entries(river))
    body = {
        "code": version["spec"]["code"],
        "config": river.config(MODEL) | {"budget": BUDGET},
        "policy_text": (river.project / river.config(MODEL)["policy"]).read_text(),
    }
    refused = river.ask("POST", f"/api/v1/models/{MODEL}/trainings", json=body, expect=409)
    assert refused["type"].endswith("/budget-exceeded")
    assert "over the lifetime privacy budget (6" in refused["detail"]
    assert "would make (9" in refused["detail"]
    assert [one["kind"] for one in entries(river)[before:] if one["kind"] != "govern.policy.kept"] == []
    assert budget(river) == shown

    # without a budget in govern.yaml the policy's lifetime_epsilon counts
    policy = river.project / "policies" / "credit.yaml"
    text = policy.read_text()
    assert "lifetime_epsilon: 10.0" in text
    policy.write_text(text.replace("lifetime_epsilon: 10.0", "lifetime_epsilon: 8.0"))
    assert "budget:" not in (river.project / "govern.yaml").read_text()
    stopped = river.cli("train", MODEL, cwd=river.project, expect=1)
    assert "over the lifetime privacy budget (8" in stopped.stdout + stopped.stderr
    assert river.ask("GET", f"/api/v1/models/{MODEL}")["latest"] == 2


def test_an_erasure_retrains_under_privacy_until_the_budget_is_spent(private: River) -> None:
    river = private
    first, second, other = (row for row in river.rows("credit.train")[10:13])
    first_weights = river.ask("GET", f"/api/v1/models/{MODEL}/versions/1")["artifact"]["digest"].removeprefix("sha256:")
    assert river.predict(first, model=MODEL)["model_version"] == "1"

    # the first erasure is paid for: a successor with noise of its own, and no claim that it could be made again
    done = river.wait_erasure(river.approve_erasure(first["applicant"]))
    assert done["state"] == "completed", done
    (successor,) = done["successors"]
    assert (successor["version"], successor["predecessor"], successor["reproduced"], successor["excluded"]) == (2, 1, None, True)
    asset = next(one for one in done["assets"] if one["id"] == f"model:{MODEL}@1")
    assert (asset["status"], asset["level"]) == ("done", "L2"), "never L3: there is nothing to compare with"
    assert river.predict(other, model=MODEL)["model_version"] == "2"
    assert not (river.home / "artifacts" / first_weights).exists()
    retrained = river.ask("GET", f"/api/v1/models/{MODEL}/versions/2")
    assert retrained["spend"]["epsilon_rdp"] <= TARGET
    assert retrained["spec"]["inputs"][0]["rows"] == len(river.rows("credit.train"))
    assert budget(river)["epsilon"] == pytest.approx(2 * TARGET)
    assert {one["run_id"] for one in budget(river)["spends"]} >= {successor["run_id"]}

    # the second is not: the rows go all the same, and a human decides about the model
    request = river.approve_erasure(second["applicant"])
    waiting = river.wait_erasure(request)
    assert waiting["state"] == "awaiting_decision", waiting
    model = next(one for one in waiting["assets"] if one["id"] == f"model:{MODEL}@2")
    assert model["status"] == "awaiting_decision"
    assert "over the lifetime privacy budget (6" in model["reason"]
    assert "privacy budget" in waiting["history"][-1]["reason"]
    assert not waiting["successors"]
    assert second["applicant"] not in {row["applicant"] for row in river.rows("credit.train")}
    assert {one["id"]: one["status"] for one in waiting["assets"]}["dataset:credit.raw"] in ("purged", "done")
    assert river.ask("GET", f"/api/v1/models/{MODEL}")["latest"] == 2
    assert budget(river)["epsilon"] == pytest.approx(2 * TARGET)
    assert river.predict(other, model=MODEL)["model_version"] == "2", "the policy says that it serves meanwhile"

    # the human withdraws it
    river.cli("erasure", "decide", request, "withdraw")
    ended = river.wait_erasure_after(request, "awaiting_decision")
    assert ended["state"] == "completed", ended
    assert {one["id"]: one["status"] for one in ended["assets"]}[f"model:{MODEL}@2"] == "done"
    assert not list((river.home / "artifacts").iterdir())
