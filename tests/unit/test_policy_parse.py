"""A policy is read strictly: what cannot mean anything is refused with its line, and the digest is of the meaning."""

from __future__ import annotations

from pathlib import Path

import pytest

from governance.policy import BadPolicy, parse_policy
from lineage.errors import BadInput

CREDIT = Path(__file__).parents[2] / "examples" / "credit" / "policies" / "credit.yaml"
SMALL = """\
name: small
version: 1
audits:
  perf.noninferior: {favourable: good}
gates:
  - gate: floor
    finding: perf.noninferior
    metric: accuracy
    bound: low
    op: ">="
    threshold: 0.6
"""


def test_the_example_is_a_policy_that_names_what_blocks_and_what_warns():
    policy = parse_policy(CREDIT.read_text())
    assert set(policy.audits) == {"perf.noninferior", "fair.rates", "robust.evasion", "explain.additive", "regression.cases"}
    assert {g.severity for g in policy.gates} == {"block", "warn"}
    assert policy.erasure.on_gate_failure == "keep"
    assert policy.erasure.min_interval_ns == 0
    # every gate on a bound that 300 rows cannot settle only warns
    assert all(g.severity == "warn" for g in policy.gates if g.bound == "interval")


def test_blocking_gates_become_what_the_audit_requires():
    policy = parse_policy(SMALL)
    (need,) = policy.audits["perf.noninferior"]["require"]
    assert need == {"metric": "accuracy", "bound": "low", "op": ">=", "threshold": 0.6, "group": None}
    warned = parse_policy(SMALL + "    severity: warn\n")
    assert warned.audits["perf.noninferior"]["require"] == []


def test_a_policy_cannot_leave_the_regression_cases_out():
    assert parse_policy(SMALL).audits["regression.cases"]["require"] == [
        {"metric": "failed_cases", "op": "<=", "threshold": 0.0, "bound": "value"}
    ]


def test_the_digest_is_of_the_meaning():
    digest = parse_policy(SMALL).digest
    assert digest.startswith("sha256:")
    assert len(digest) == 71
    assert digest == parse_policy("# a comment\n" + SMALL.replace("threshold: 0.6", "threshold:   0.60")).digest
    # a default that is written out means the same
    assert digest == parse_policy(SMALL + "    severity: block\nerasure: {reproduce: true}\n").digest
    reordered = "version: 1\nname: small\n" + SMALL.split("version: 1\n")[1]
    assert digest == parse_policy(reordered).digest
    for changed in (SMALL.replace("0.6", "0.61"), SMALL.replace("version: 1", "version: 2"), SMALL + "    inconclusive: warn\n"):
        assert parse_policy(changed).digest != digest


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ("    metric: accuracy", "    metric: acuracy", 8, "did you mean 'accuracy'"),
        ("    finding: perf.noninferior", "    finding: perf.noninferiour", 7, "did you mean 'perf.noninferior'"),
        ("    threshold: 0.6", "    treshold: 0.6", 11, "did you mean 'threshold'"),
        ("{favourable: good}", "{favorable: good}", 4, "did you mean 'favourable'"),
        ("version: 1\n", "version: 1\nerasures: {}\n", 3, "did you mean 'erasure'"),
        ("    threshold: 0.6", '    threshold: "0.6"', 11, "valid number"),
        ("    threshold: 0.6", "    threshold: .nan", None, "not JSON compliant"),
        ("    bound: low", "    bound: lower", 9, "'interval', 'low', 'high' or 'value'"),
        ('    op: ">="', '    op: ">"', 10, "'<=' or '>='"),
        ("    metric: accuracy", "    metric: accuracy\n    metric: auc", 9, "given twice"),
        ("name: small", "name: small\nname: other", 2, "given twice"),
        ("  perf.noninferior: {favourable: good}", "  perf.speed: {}", 4, "there is no such key"),
        ("version: 1", "version: 0", 2, "greater than or equal to 1"),
        ("version: 1", "version: true", 2, "valid integer"),
        ("name: small", "name: [", None, "expected"),
    ],
)
def test_what_cannot_mean_anything_is_refused_with_its_line(old, new, line, says):
    assert old in SMALL
    with pytest.raises(BadPolicy) as refused:
        parse_policy(SMALL.replace(old, new, 1))
    assert says in refused.value.message
    assert line is None or f"line {line}: " in refused.value.message
    assert isinstance(refused.value, BadInput)
    assert refused.value.hint


@pytest.mark.parametrize(
    "text", ["", "# nothing\n", "- a list\n", "just words", "a: !!python/object/apply:os.system [x]", "x: " + "[" * 5000, "\x00"]
)
def test_what_is_no_policy_is_refused(text):
    with pytest.raises(BadPolicy):
        parse_policy(text)


def test_a_policy_without_a_gate_or_with_two_of_one_name_is_refused():
    with pytest.raises(BadPolicy, match="gates"):
        parse_policy("name: a\nversion: 1\naudits: {}\ngates: []\n")
    doubled = SMALL + SMALL.split("gates:\n")[1]
    with pytest.raises(BadPolicy, match=r"line 12: gates.1.gate: there are two gates named 'floor'"):
        parse_policy(doubled)


def test_the_interval_between_retrains_is_in_nanoseconds():
    assert parse_policy(SMALL + "erasure: {min_interval: 15m}\n").erasure.min_interval_ns == 15 * 60 * 10**9
    with pytest.raises(BadPolicy, match="min_interval"):
        parse_policy(SMALL + "erasure: {min_interval: soon}\n")
