"""The registry with what the doors ask of a version beside it."""

from __future__ import annotations

from typing import Any

from governance.registry.answers import Answers
from governance.registry.audits import Findings
from governance.registry.models import Models

__all__ = ["ModelDoor"]


class ModelDoor(Models):
    """The registry with what the doors ask of a version beside it."""

    def bind(self, answers: Answers, findings: Findings) -> None:
        """Give it what is made after it."""
        self._answers = answers
        self._findings = findings

    def version(self, name: str, reference: str) -> dict[str, Any]:
        """One version with its decision."""
        body = self.resolve(name, reference)
        return body | {"decision": self._findings.decision(name, body["version"])}

    def lineage(self, name: str, reference: str) -> dict[str, Any]:
        """The trace of a version."""
        return self._answers.trace(model=f"{name}@{self.resolve(name, reference)['version']}")

    def audits(self, name: str, reference: str) -> dict[str, Any]:
        """The findings and the decision of a version."""
        number = self.resolve(name, reference)["version"]
        return self._findings.get(name, number) | {"decision": self._findings.decision(name, number)}

    def rows(self, name: str, reference: str) -> dict[str, Any]:
        """The committed row sets of a version."""
        body = self.resolve(name, reference)
        return {"model": name, "version": body["version"], "inputs": body["spec"]["inputs"]}
