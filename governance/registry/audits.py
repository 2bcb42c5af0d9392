"""Findings and decisions of model versions, as entered in the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from audits.model import Finding, finding_digest, finding_from_json, finding_to_json
from governance.gate import decide
from governance.model import Decision
from governance.registry.acts import SYSTEM, act
from governance.registry.models import Models, version_ident
from governance.registry.policies import Policies
from lineage.errors import NotFound
from lineage.ports import Clock, Ledger

__all__ = ["Findings", "decision_json"]


def decision_json(decision: Decision) -> dict[str, Any]:
    """A decision as the API tells it."""
    body = asdict(decision)
    body["gates"] = [dict(gate) for gate in body["gates"]]
    body["findings"] = list(body["findings"])
    return body


class Findings:
    """Keeps findings and decides by the policy that the version was trained under."""

    def __init__(self, ledger: Ledger, clock: Clock, models: Models, policies: Policies) -> None:
        self._ledger = ledger
        self._clock = clock
        self._models = models
        self._policies = policies

    def keep(self, model: str, version: int, findings: Sequence[Finding], *, actor: str = SYSTEM) -> dict[str, Any]:
        """Enter the findings of one audit of a version; the latest ones count."""
        body = {
            "model": model,
            "version": version,
            "at": self._clock.now(),
            "findings": [finding_to_json(finding) for finding in findings],
            "digests": [finding_digest(finding) for finding in findings],
        }
        self._ledger.append([act("audit.recorded", actor=actor, records={("findings", version_ident(model, version)): body})])
        return body

    def get(self, model: str, version: int) -> dict[str, Any]:
        """The latest findings of a version; empty when it was never audited."""
        found = self._ledger.record("findings", version_ident(model, version))
        return found[0] if found else {"model": model, "version": version, "at": None, "findings": [], "digests": []}

    def decision(self, model: str, version: int) -> dict[str, Any] | None:
        """The last decision about a version, or ``None``."""
        found = self._ledger.record("decision", version_ident(model, version))
        return found[0]["decision"] if found else None

    def gate(self, model: str, reference: str, *, actor: str = SYSTEM) -> dict[str, Any]:
        """Decide by the version's own policy over its latest findings, and enter the decision."""
        version = self._models.resolve(model, reference)
        number = version["version"]
        kept = self.get(model, number)
        if not kept["findings"]:
            raise NotFound(f"{model}@{number} was not audited", hint=f"govern audit {model}@{number}")
        policy = self._policies.get(version["policy"])
        decision = decide(policy, [finding_from_json(item) for item in kept["findings"]], model=model, version=str(number))
        body = decision_json(decision)
        record = {"model": model, "version": number, "at": self._clock.now(), "decision": body}
        self._ledger.append([act("gate.decided", actor=actor, records={("decision", version_ident(model, number)): record})])
        return body
