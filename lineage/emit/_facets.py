"""Our custom facets as classes of the official client: key ``govern_<name>``, class ``Govern<Name><Entity>Facet``.

Each has a JSON Schema beside this file, under its version; a published one never changes, a change is a new version.
None of them holds an identifier of a person or of a row: digests, counts, names of things, numbers.
"""

from __future__ import annotations

import json
from importlib import resources
from typing import Any, Final

import attr
from openlineage.client.generated.base import DatasetFacet, InputDatasetFacet, RunFacet
from openlineage.client.utils import RedactMixin

__all__ = [
    "SCHEMAS",
    "GovernEnvironmentRunFacet",
    "GovernModelDatasetFacet",
    "GovernPrivacyRunFacet",
    "GovernRowSetDatasetFacet",
    "GovernRowSetInputDatasetFacet",
    "GovernTrainingRunFacet",
    "PrivacySpent",
    "schema",
]

_BASE: Final = "https://raw.githubusercontent.com/govern-ml/govern/main/lineage/emit/schemas"


def _url(version: str, name: str) -> str:
    return f"{_BASE}/{version}/{name}.json#/$defs/{name}"


@attr.define
class GovernRowSetInputDatasetFacet(InputDatasetFacet):
    """Which rows of an input were read: ``govern_rowSet`` in ``inputFacets``."""

    digest: str
    """Digest of the set, e.g. ``rs1:<hex>``: the RFC 6962 root over the sorted commitments of its row ids."""
    count: int
    """Rows in the set."""
    role: str | None = attr.field(default=None)
    """What they were read for: ``train``, ``test``, ``reference`` …"""
    uri: str | None = attr.field(default=None)
    """Where the list of commitments lies, for proofs of membership."""
    keyColumns: list[str] | None = attr.field(default=None)  # noqa: N815  # the standard's camelCase
    """Names of the columns whose values identify a row."""

    @staticmethod
    def _get_schema() -> str:
        return _url("1-0-0", "GovernRowSetInputDatasetFacet")


@attr.define
class GovernRowSetDatasetFacet(DatasetFacet):
    """Which rows a dataset version holds: ``govern_rowSet`` in ``facets``."""

    digest: str
    """As in :class:`GovernRowSetInputDatasetFacet`."""
    count: int
    """Rows in the set."""
    uri: str | None = attr.field(default=None)
    """Where the list of commitments lies."""
    keyColumns: list[str] | None = attr.field(default=None)  # noqa: N815
    """Names of the columns whose values identify a row."""

    @staticmethod
    def _get_schema() -> str:
        return _url("1-0-0", "GovernRowSetDatasetFacet")


@attr.define
class GovernEnvironmentRunFacet(RunFacet):
    """What a run ran in: ``govern_environment``. Equal digests promise equal bits of a deterministic training."""

    digest: str
    """``sha256:<hex>`` over packages and versions, interpreter, machine, and what else decides the bits."""
    threads: int | None = attr.field(default=None)
    """Threads the numeric libraries used."""
    python: str | None = attr.field(default=None)
    """Interpreter and its version, e.g. ``CPython 3.11.9``."""

    @staticmethod
    def _get_schema() -> str:
        return _url("1-0-0", "GovernEnvironmentRunFacet")


@attr.define
class GovernTrainingRunFacet(RunFacet):
    """What else a training is a function of: ``govern_training``."""

    params: str | None = attr.field(default=None)
    """``sha256:<hex>`` over the RFC 8785 canonical JSON of the hyperparameters with their types."""
    seed: int | None = attr.field(default=None)
    """Absent where there is none: noise of a private training comes from the operating system, and no seed of it is kept."""
    code: str | None = attr.field(default=None)
    """``snapshot:<sha256>`` or ``git:<sha>`` of the code."""
    entrypoint: str | None = attr.field(default=None)
    """The module that was run."""
    policy: str | None = attr.field(default=None)
    """``sha256:<hex>`` of the policy under which the training was asked for."""

    @staticmethod
    def _get_schema() -> str:
        return _url("1-0-0", "GovernTrainingRunFacet")


@attr.define
class PrivacySpent(RedactMixin):
    """What a differentially private training spent, by two accountants."""

    epsilon_rdp: float
    epsilon_pld: float
    steps: int


@attr.define
class GovernPrivacyRunFacet(RunFacet):
    """The differential privacy that a training promises: ``govern_privacy``."""

    epsilon: float
    """The bound that must not be passed, > 0."""
    delta: float
    """In (0, 1)."""
    unit: str
    """What one neighbour differs by: ``row`` or a subject type."""
    spent: PrivacySpent | None = attr.field(default=None)
    """Told once the run has ended."""

    @staticmethod
    def _get_schema() -> str:
        return _url("1-0-0", "GovernPrivacyRunFacet")


@attr.define
class GovernModelDatasetFacet(DatasetFacet):
    """The artifact of a model version: ``govern_model`` on a dataset of type MODEL."""

    digest: str | None = attr.field(default=None)
    """``sha256:<hex>`` of the artifact."""
    size: int | None = attr.field(default=None)
    """Bytes of the artifact."""
    metrics: dict[str, float] | None = attr.field(default=None)
    """Finite numbers by name; a metric that is not a number is left out."""

    @staticmethod
    def _get_schema() -> str:
        return _url("1-0-0", "GovernModelDatasetFacet")


SCHEMAS: Final[dict[tuple[str, str], str]] = {
    ("run", "govern_environment"): "1-0-0/GovernEnvironmentRunFacet",
    ("dataset", "govern_model"): "1-0-0/GovernModelDatasetFacet",
    ("run", "govern_privacy"): "1-0-0/GovernPrivacyRunFacet",
    ("dataset", "govern_rowSet"): "1-0-0/GovernRowSetDatasetFacet",
    ("input", "govern_rowSet"): "1-0-0/GovernRowSetInputDatasetFacet",
    ("run", "govern_training"): "1-0-0/GovernTrainingRunFacet",
}
"""(entity, key) of each of our facets → version and name of its newest schema."""


def schema(name: str) -> dict[str, Any]:
    """The published JSON Schema ``<version>/<class>``, e.g. ``1-0-0/GovernModelDatasetFacet``; ``FileNotFoundError`` for no such."""
    found: dict[str, Any] = json.loads((resources.files("lineage.emit") / "schemas" / f"{name}.json").read_text("utf-8"))
    return found
