"""The gate's truth table: unknown is never a pass, and every reason has its numbers."""

from __future__ import annotations

import dataclasses
import math

import pytest

from audits.finding import Context, Measured, conclude, failed
from audits.model import Finding, Metric, Verdict, finding_digest
from governance.gate import blocks, decide
from governance.model import Outcome
from governance.policy import parse_policy

POLICY = """
name: table
version: 3
audits:
  perf.noninferior: {{}}
gates:
  - {{gate: g, finding: perf.noninferior, metric: accuracy, bound: {bound}, op: ">=", threshold: 0.7, severity: {severity}, inconclusive: {inconclusive}}}
"""
CASES = Measured(metrics=(Metric(name="failed_cases", value=0.0, direction="lower"), Metric(name="cases", value=0.0)))


def policy(bound="interval", severity="block", inconclusive="block"):
    return parse_policy(POLICY.format(bound=bound, severity=severity, inconclusive=inconclusive))


def made(rules, *metrics, audit="perf.noninferior", model="m", version="2", **more):
    context = Context(model=model, version=version, model_digest="sha256:0")
    return conclude(audit, Measured(metrics=metrics, **more), rules.audits[audit], context, 0.1)


def accuracy(value, low=None, high=None):
    return Metric(name="accuracy", value=value, low=low, high=high, method="wilson 95%", n=300)


def ruled(rules, *found: Finding):
    context = Context(model="m", version="2", model_digest="sha256:0")
    cases = conclude("regression.cases", CASES, rules.audits["regression.cases"], context, 0.0)
    return decide(rules, [*found, cases], model="m", version="2")


@pytest.mark.parametrize(
    ("bound", "severity", "inconclusive", "numbers", "outcome", "gate"),
    [
        # the whole interval
        ("interval", "block", "block", (0.8, 0.75, 0.85), "pass", "pass"),
        ("interval", "block", "block", (0.8, 0.70, 0.85), "pass", "pass"),
        ("interval", "block", "block", (0.6, 0.55, 0.65), "fail", "fail"),
        ("interval", "block", "block", (0.72, 0.66, 0.78), "inconclusive", "inconclusive"),
        ("interval", "block", "warn", (0.72, 0.66, 0.78), "pass", "inconclusive"),
        ("interval", "block", "warn", (0.6, 0.55, 0.65), "fail", "fail"),
        ("interval", "warn", "block", (0.72, 0.66, 0.78), "pass", "inconclusive"),
        ("interval", "warn", "block", (0.6, 0.55, 0.65), "pass", "fail"),
        ("interval", "block", "block", (0.8, None, None), "inconclusive", "inconclusive"),
        # one number
        ("low", "block", "block", (0.72, 0.66, 0.78), "fail", "fail"),
        ("high", "block", "block", (0.72, 0.66, 0.78), "pass", "pass"),
        ("value", "block", "block", (0.72, 0.66, 0.78), "pass", "pass"),
        ("value", "block", "block", (0.69, 0.66, 0.78), "fail", "fail"),
        # unknown
        ("value", "block", "block", (None, None, None), "inconclusive", "inconclusive"),
        ("value", "block", "warn", (None, None, None), "pass", "inconclusive"),
        ("high", "block", "block", (0.8, 0.7, None), "inconclusive", "inconclusive"),
        # not a number is an error, which blocks even where the gate only warns
        ("value", "block", "block", (math.nan, 0.1, 0.2), "fail", "fail"),
        ("value", "warn", "warn", (math.nan, 0.1, 0.2), "fail", None),
    ],
)
def test_the_truth_table(bound, severity, inconclusive, numbers, outcome, gate):
    rules = policy(bound, severity, inconclusive)
    decision = ruled(rules, made(rules, accuracy(*numbers)))
    assert decision.outcome == outcome
    assert decision.allowed is (outcome == "pass")
    (said,) = [g for g in decision.gates if g.gate == "g"]
    assert gate is None or said.outcome == gate
    assert said.reason


def test_a_reason_has_the_numbers_and_the_bound():
    rules = policy()
    decision = ruled(rules, made(rules, accuracy(0.72, 0.66, 0.78)))
    (said,) = [g for g in decision.gates if g.gate == "g"]
    assert said.reason == "accuracy is 0.72 [0.66, 0.78] (wilson 95%, n=300): the interval lies on both sides of accuracy >= 0.7"
    assert said.observed["metrics"][0]["low"] == 0.66
    assert decision.policy == "table@3"
    assert decision.policy_digest == rules.digest


def test_a_missing_finding_fails_even_where_the_gate_only_warns():
    for severity in ("block", "warn"):
        decision = ruled(policy(severity=severity))
        assert decision.outcome is Outcome.FAIL
        assert any(g.gate == "audit:perf.noninferior" and blocks(g) and "was not measured" in g.reason for g in decision.gates)


def test_missing_regression_cases_fail():
    rules = policy()
    decision = decide(rules, [made(rules, accuracy(0.8, 0.75, 0.85))], model="m", version="2")
    assert decision.outcome is Outcome.FAIL


def test_a_finding_of_another_version_or_model_does_not_count():
    rules = policy()
    for other in ({"version": "1"}, {"model": "other"}):
        decision = ruled(rules, made(rules, accuracy(0.9, 0.85, 0.95), **other))
        assert decision.outcome is Outcome.FAIL
    assert "there is one of other@2" in decision.gates[0].reason


def test_a_finding_made_with_other_parameters_does_not_count():
    rules, older = policy(), policy(bound="value")
    decision = ruled(rules, made(older, accuracy(0.9, 0.85, 0.95)))
    assert decision.outcome is Outcome.FAIL
    assert "other parameters" in decision.gates[0].reason


def test_an_error_blocks_with_its_reason():
    for severity in ("block", "warn"):
        rules = policy(severity=severity, inconclusive="warn")
        context = Context(model="m", version="2", model_digest="sha256:0")
        decision = ruled(rules, failed("perf.noninferior", "it crashed", rules.audits["perf.noninferior"], context))
        assert decision.outcome is Outcome.FAIL
        assert decision.gates[0].reason == "perf.noninferior ended in an error: it crashed"


def test_a_metric_that_was_not_measured_fails():
    rules = policy()
    decision = ruled(rules, made(rules, Metric(name="auc", value=0.9)))
    assert decision.outcome is Outcome.FAIL
    assert any("it was not measured (measured: auc)" in g.reason for g in decision.gates)


def test_what_is_not_applicable_passes_and_says_so():
    rules = policy()
    absent = Metric(name="accuracy", value=None, applicable=False, note="no version is in production")
    decision = ruled(rules, made(rules, absent))
    assert decision.allowed
    assert "not applicable, no version is in production" in next(g for g in decision.gates if g.gate == "g").reason


def test_an_audit_that_doubts_itself_does_not_pass_by_its_numbers():
    rules = policy()
    doubtful = made(rules, accuracy(0.8, 0.75, 0.85), at_most=Verdict.INCONCLUSIVE, reasons=("gradients are masked",))
    decision = ruled(rules, doubtful)
    assert decision.outcome is Outcome.INCONCLUSIVE
    assert "gradients are masked" in decision.gates[0].reason


def test_a_verdict_changed_by_hand_does_not_help():
    rules = policy()
    finding = made(rules, accuracy(0.6, 0.55, 0.65))
    for verdict in (Verdict.PASS, Verdict.WAIVED, Verdict.NOT_APPLICABLE):
        assert ruled(rules, dataclasses.replace(finding, verdict=verdict)).outcome is Outcome.FAIL


def test_over_two_findings_of_one_audit_the_worst_counts():
    rules = policy()
    good, bad = made(rules, accuracy(0.8, 0.75, 0.85)), made(rules, accuracy(0.6, 0.55, 0.65))
    assert ruled(rules, good, bad).outcome is Outcome.FAIL
    assert ruled(rules, bad, good).outcome is Outcome.FAIL


def test_every_group_must_meet_a_gate_without_a_group():
    rules = policy()
    rows = [dataclasses.replace(accuracy(0.8, 0.75, 0.85), group="a"), dataclasses.replace(accuracy(0.6, 0.5, 0.65), group="b")]
    decision = ruled(rules, made(rules, *rows))
    assert decision.outcome is Outcome.FAIL
    assert "of b" in next(g for g in decision.gates if g.gate == "g").reason


def test_the_decision_names_the_findings_it_rests_on():
    rules = policy()
    finding = made(rules, accuracy(0.8, 0.75, 0.85))
    decision = ruled(rules, finding)
    assert finding_digest(finding) in decision.findings
    assert len(decision.findings) == 2
