"""The gate: what a policy says about the findings on a model version. Pure; every reason is a sentence with the numbers.

Unknown is never a pass: a finding that is missing, of another version, or measured with other parameters than the policy's fails; one that
ended in an error blocks whatever the severity; an inconclusive one blocks unless the gate says ``inconclusive: warn``. No waivers exist.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from audits.judge import judge
from audits.model import Finding, Metric, Verdict, finding_digest, json_digest
from governance.model import Decision, GateOutcome, Outcome

if TYPE_CHECKING:
    # pydantic and yaml come with it, and most commands decide nothing
    from governance.policy import Gate, Policy

__all__ = ["blocks", "decide"]

_OUTCOME = {
    Verdict.PASS: Outcome.PASS,
    Verdict.NOT_APPLICABLE: Outcome.PASS,
    Verdict.FAIL: Outcome.FAIL,
    Verdict.ERROR: Outcome.FAIL,
    Verdict.INCONCLUSIVE: Outcome.INCONCLUSIVE,
}


def blocks(gate: GateOutcome) -> bool:
    """Whether this gate stands in the way of a release."""
    return gate.severity == "block" and gate.outcome is not Outcome.PASS


def decide(policy: Policy, findings: Sequence[Finding], *, model: str, version: str) -> Decision:
    """What ``policy`` says about ``model@version``.

    Each audit of the policy has a gate ``audit:<name>`` of its own (was it measured, on this version, with these parameters, without an
    error), before the policy's gates in their order. The outcome is a fail when a blocking gate fails, else inconclusive when one is
    inconclusive, else a pass. A gate that is inconclusive under ``inconclusive: warn`` is listed with severity ``warn``.
    """
    mine = {audit: [f for f in findings if f.audit == audit and f.model == model and f.version == version] for audit in policy.audits}
    judged = [_gate(gate, mine[gate.finding]) for gate in policy.gates]
    measured = [_measured(policy, audit, found, findings, judged) for audit, found in mine.items()]
    outcomes = (*measured, *judged)
    blocking = [g for g in outcomes if blocks(g)]
    outcome = Outcome.PASS
    if blocking:
        outcome = Outcome.FAIL if any(g.outcome is Outcome.FAIL for g in blocking) else Outcome.INCONCLUSIVE
    return Decision(
        model=model,
        version=version,
        policy=f"{policy.name}@{policy.version}",
        policy_digest=policy.digest,
        outcome=outcome,
        gates=outcomes,
        findings=tuple(finding_digest(f) for found in mine.values() for f in found),
    )


def _measured(
    policy: Policy, audit: str, found: Sequence[Finding], everything: Sequence[Finding], judged: Sequence[GateOutcome]
) -> GateOutcome:
    """Was the audit made at all, as the policy asks, and does its own verdict stand in the way?"""

    def said(outcome: Outcome, reason: str) -> GateOutcome:
        return GateOutcome(gate=f"audit:{audit}", severity="block", outcome=outcome, reason=reason, observed={"findings": len(found)})

    if not found:
        others = sorted({f"{f.model}@{f.version}" for f in everything if f.audit == audit})
        where = f" (there is one of {', '.join(others)})" if others else ""
        return said(Outcome.FAIL, f"{audit} was not measured on this version{where}")
    digest = json_digest(dict(policy.audits[audit]))
    for finding in found:
        if finding.verdict is Verdict.ERROR:
            return said(Outcome.FAIL, f"{audit} ended in an error: {'; '.join(finding.reasons) or 'no reason was given'}")
        if finding.spec_digest != digest:
            return said(Outcome.FAIL, f"{audit} was measured with other parameters than this policy's (run the audit again)")
        if finding.verdict is Verdict.WAIVED:
            return said(Outcome.FAIL, f"{audit} is waived, and this policy knows no waivers")
    # the audit's own verdict may be worse than its numbers: masked gradients, or a doubt that no gate names
    own = {gate.gate for gate in policy.gates if gate.finding == audit and gate.severity == "block"}
    known = {g.outcome for g in judged if g.gate in own}
    for verdict, outcome in ((Verdict.FAIL, Outcome.FAIL), (Verdict.INCONCLUSIVE, Outcome.INCONCLUSIVE)):
        doubtful = [f for f in found if f.verdict is verdict]
        if doubtful and outcome not in known:
            return said(outcome, f"{audit}: {'; '.join(doubtful[0].reasons) or verdict.value}")
    return said(Outcome.PASS, f"{audit} was measured as the policy asks")


def _gate(gate: Gate, found: Sequence[Finding]) -> GateOutcome:
    """What one gate says; over several findings of one audit the worst counts."""
    need = gate.requirement
    usable = [f for f in found if f.verdict is not Verdict.ERROR]
    if not usable:
        why = "ended in an error" if found else "was not measured"
        return GateOutcome(
            gate=gate.gate,
            severity=gate.severity,
            outcome=Outcome.FAIL,
            reason=f"{gate.finding} {why}, so {need} is not shown",
            observed={"required": str(need), "metrics": []},
        )
    metrics = [m for f in usable for m in f.metrics]
    judgement = judge(metrics, need)
    outcome = _OUTCOME[judgement.verdict]
    severity, reason = gate.severity, judgement.reason
    if judgement.verdict is Verdict.ERROR:
        severity = "block"
    elif outcome is Outcome.INCONCLUSIVE and gate.severity == "block" and gate.inconclusive == "warn":
        severity = "warn"
        reason += "; the policy lets an inconclusive result pass with a warning"
    return GateOutcome(gate=gate.gate, severity=severity, outcome=outcome, reason=reason, observed=_observed(metrics, gate))


def _observed(metrics: Sequence[Metric], gate: Gate) -> Mapping[str, Any]:
    """The numbers a gate looked at, as plain JSON."""
    seen = [m for m in metrics if m.name == gate.metric and gate.group in (None, m.group)]
    return {
        "required": str(gate.requirement),
        "because": gate.because,
        "metrics": [
            {"name": m.name, "group": m.group, "value": m.value, "low": m.low, "high": m.high, "n": m.n, "method": m.method} for m in seen
        ],
    }
