"""What a policy says is used: its lifetime budget where govern.yaml declares none, and whether a prediction may be about nobody."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from governance.adapters.predictions import SqlitePredictions
from governance.errors import BudgetExceeded, Suppressed
from governance.policy import parse_policy
from governance.registry.acts import act, reduce_entry
from governance.registry.budgets import Budgets, lifetime_limit
from governance.registry.models import Models
from governance.registry.policies import Policies, Snapshots
from governance.registry.references import References
from governance.registry.suppression import Suppression
from governance.serving.service import Serving
from lineage.adapters.sqlite_rows import SqliteRowIndex
from lineage.errors import BadInput
from lineage.rows import canonical_subject, suppression_refs
from trainers.model import ArtifactInfo, InputSpec, PrivacySpec, TrainRecord, TrainSpec

CREDIT = (Path(__file__).parents[2] / "examples" / "credit" / "policies" / "credit.yaml").read_text()
POLICY = parse_policy(CREDIT)
BARE = """\
name: bare
version: 1
audits:
  perf.noninferior: {}
gates:
  - {gate: floor, finding: perf.noninferior, metric: accuracy, op: ">=", threshold: 0.5}
"""


def spec(epsilon=3.0, delta=1e-4, model="m", dataset="rows", version="1"):
    return TrainSpec(
        model=model,
        entrypoint="model",
        code="snapshot:" + "0" * 64,
        params={},
        seed=1,
        threads=1,
        inputs=(InputSpec(role="train", dataset=dataset, version=version, row_set="rs1:" + "0" * 64, rows=9),),
        environment="sha256:" + "0" * 64,
        label="y",
        features=("age",),
        privacy=PrivacySpec(epsilon=epsilon, delta=delta) if epsilon else None,
    )


@pytest.fixture
def registry(open_ledger, ticking_clock, memory_keys, tmp_path):
    """Budgets, models and policies over one ledger, joined as in a home."""
    ledger = open_ledger(reducer=reduce_entry)
    policies = Policies(ledger)

    def limit(model, policy):
        found = ledger.record("model", model)
        return lifetime_limit(found[0]["config"] if found else {}, policies.get(policy) if policy else None)

    return SimpleNamespace(
        ledger=ledger,
        clock=ticking_clock,
        keys=memory_keys,
        policies=policies,
        budgets=Budgets(ledger, ticking_clock, limit),
        models=Models(ledger, ticking_clock, tmp_path / "artifacts"),
        home=tmp_path,
    )


# ── the lifetime budget ─────────────────────────────────────────────────────────────────────────
def test_the_limit_is_govern_yamls_budget_else_the_policys_else_there_is_none():
    from_policy = {"epsilon": POLICY.privacy.lifetime_epsilon, "delta": POLICY.privacy.delta}
    assert lifetime_limit({"budget": {"epsilon": 4}}, POLICY) == {"epsilon": 4.0, "delta": 1.0}
    assert lifetime_limit({"budget": {"epsilon": 4, "delta": 1e-3}}, POLICY) == {"epsilon": 4.0, "delta": 1e-3}
    assert lifetime_limit({}, POLICY) == from_policy
    assert lifetime_limit({}, parse_policy(BARE)) is None
    assert lifetime_limit({}, None) is None


@pytest.mark.parametrize(
    "budget",
    [4, [4], {}, {"delta": 1e-3}, {"epsilon": 0}, {"epsilon": "4"}, {"epsilon": True}, {"epsilon": 4, "days": 1}, {"epsilon": 1e999}],
)
def test_a_budget_that_is_none_is_refused_and_never_read_as_no_limit(budget):
    with pytest.raises(BadInput, match="budget must be"):
        lifetime_limit({"budget": budget}, POLICY)


def test_the_policys_lifetime_epsilon_stops_the_training_that_would_pass_it(registry):
    policy = registry.policies.keep(CREDIT, actor="t").digest
    count = int(POLICY.privacy.lifetime_epsilon // 3.0)
    for at in range(count):
        registry.budgets.reserve(spec(), f"run-{at}", policy=policy)
        registry.budgets.reserve(spec(), f"run-{at}", policy=policy)  # the same run again takes nothing
    with pytest.raises(BudgetExceeded, match=re.escape(f"over the lifetime privacy budget ({POLICY.privacy.lifetime_epsilon:g}")):
        registry.budgets.reserve(spec(version="2"), "one-more", policy=policy)
    registry.budgets.reserve(spec(epsilon=None), "not private", policy=policy)
    registry.budgets.reserve(spec(model="other"), "of another model", policy=policy)
    (mine,) = [group for group in registry.budgets.list()["budgets"] if group["model"] == "m"]
    assert [body["run_id"] for body in mine["spends"]] == [f"run-{at}" for at in range(count)]
    assert mine["epsilon"] == pytest.approx(3.0 * count)
    assert mine["limit"] == {"epsilon": POLICY.privacy.lifetime_epsilon, "delta": POLICY.privacy.delta}


def test_asking_reserves_nothing_and_a_run_that_was_reserved_may_go_on(registry):
    policy = registry.policies.keep(CREDIT, actor="t").digest
    registry.models.declare("m", {"budget": {"epsilon": 4.0}}, actor="t")
    registry.budgets.check(spec(), "a", policy=policy)
    assert registry.budgets.list()["budgets"] == []
    registry.budgets.reserve(spec(), "a", policy=policy)
    registry.budgets.check(spec(), "a", policy=policy)
    size = registry.ledger.size()
    with pytest.raises(BudgetExceeded, match=r"another \(3, 0.0001\) would make \(6, 0.0002\), over the lifetime privacy budget \(4, 1\)"):
        registry.budgets.check(spec(), "b", policy=policy)
    assert registry.ledger.size() == size


def test_deltas_add_up_too(registry):
    policy = registry.policies.keep(BARE, actor="t").digest
    registry.models.declare("m", {"budget": {"epsilon": 100, "delta": 2e-4}}, actor="t")
    registry.budgets.reserve(spec(), "a", policy=policy)
    registry.budgets.reserve(spec(), "b", policy=policy)
    with pytest.raises(BudgetExceeded):
        registry.budgets.reserve(spec(), "c", policy=policy)


# ── predictions about nobody ────────────────────────────────────────────────────────────────────
class Echo:
    """A runner that answers every row alike; the model itself is not what is tested here."""

    def __init__(self, **_: object) -> None:
        self.asked = 0

    def predict(self, table):
        self.asked += 1
        return SimpleNamespace(labels=["good"] * table.num_rows, scores=[[0.0, 1.0]] * table.num_rows, classes=["bad", "good"])

    def close(self) -> None: ...


REQUEST = {"inputs": [{"name": "age", "datatype": "INT64", "shape": [1], "data": [30]}]}
NAMED = REQUEST | {"parameters": {"govern_subject": "applicant:17"}}


@pytest.fixture
def serve(registry):
    """``serve(policy text)`` → (Serving of m@1 under that policy, its runner, its records)."""
    opened = []

    def start(text):
        policy = registry.policies.keep(text, actor="t")
        registry.models.declare("m", {}, actor="t")
        digest = "sha256:" + "a" * 64
        registry.models.artifact_path(digest, must_exist=False).mkdir(parents=True)
        snapshots = registry.home / "snapshots"
        snapshots.mkdir()
        (snapshots / ("0" * 64 + ".tar")).write_bytes(b"")
        record = TrainRecord(
            run_id="r", spec=spec(), status="COMPLETE", started_at=1, ended_at=2, artifact=ArtifactInfo(digest=digest, files={}, size=0)
        )
        registry.models.register(record, policy=policy.digest, operation="o")
        runner = Echo()
        records, index = SqlitePredictions(registry.home / "predictions.db"), SqliteRowIndex(registry.home / "rows.db")
        service = Serving(
            models=registry.models,
            deployments=lambda: SimpleNamespace(active=lambda model: {"id": "d", "model": model, "version": 1}),
            snapshots=Snapshots(snapshots, registry.ledger, registry.clock),
            predictions=records,
            references=References(registry.ledger, registry.keys),
            clock=registry.clock,
            runners=lambda **_: runner,
            policies=registry.policies,
            suppression=Suppression(registry.ledger, registry.keys, index),
        )
        opened.extend((service, records, index))
        return service, runner, records

    yield start
    for one in opened:
        one.close()


def test_a_policy_that_refuses_unknown_subjects_is_answered_with_what_is_missing(serve):
    service, runner, records = serve(CREDIT.replace("unknown_subject: accept", "unknown_subject: refuse"))
    with pytest.raises(BadInput, match="m@1 answers no prediction whose subject is unknown") as refused:
        service.infer("m", None, REQUEST, actor="t")
    assert "govern_subject" in str(refused.value.hint)
    assert (runner.asked, records.count()) == (0, 0), "neither predicted nor recorded"
    assert service.infer("m", None, NAMED, actor="t")["model_version"] == "1"
    assert (runner.asked, records.count(), records.unknown_subjects()) == (1, 1, 0)


@pytest.mark.parametrize("text", [CREDIT, BARE], ids=["accept", "not said"])
def test_otherwise_it_is_answered_and_counted_as_unknown(serve, text):
    service, _runner, records = serve(text)
    service.infer("m", None, REQUEST, actor="t")
    service.infer("m", None, NAMED, actor="t")
    assert (records.count(), records.unknown_subjects()) == (2, 1)


def test_no_prediction_is_made_about_a_person_whose_erasure_was_approved(serve, registry):
    service, runner, records = serve(CREDIT)
    ref = suppression_refs(registry.keys, canonical_subject("applicant", "17"))[0]

    def request(state):
        body = {"id": "r", "state": state, "approved": {"by": "k", "at": 1}, "subject_refs": []}
        listed = {"ref": ref, "request": "r", "at": 1}
        registry.ledger.append([act("erasure.changed", actor="t", records={("erasure", "r"): body, ("suppression", ref): listed})])

    request("queued")
    with pytest.raises(Suppressed, match="no prediction is made"):
        service.infer("m", None, NAMED, actor="t")
    assert (runner.asked, records.count()) == (0, 0), "neither predicted nor recorded"
    service.infer("m", None, REQUEST, actor="t")
    request("completed")
    assert service.infer("m", None, NAMED, actor="t")["model_version"] == "1"
