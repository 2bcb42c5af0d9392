"""Server settings: ``GOVERN_*`` variables, checked.

Read by plain code: these few variables are read at every start, and a validation library would cost more than all of them are worth.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from lineage.errors import BadInput
from lineage.retention.age import age

__all__ = ["Settings"]

_MOST_THREADS = 64
_RANGES = {"lease_seconds": (1, 600), "spare_trainings": (0, 1), "redact_source_code": (0, 1), "graph_pool": (1, 1000)}
_RANGES |= {"intake_rate": (1, 10_000), "intake_rate_of_all": (1, 10_000)}
_TEXTS = frozenset({"retain_events", "database", "graph", "graph_user", "graph_password", "graph_database"})
_TEXTS |= {"webhook_networks", "opendsr_domain", "opendsr_certificate", "opendsr_key"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the environment says to a process that owns a home."""

    runner_threads: int = 1
    """Threads of a served model, ``GOVERN_RUNNER_THREADS``."""
    audit_threads: int = 2
    """Threads of the warm audit process, ``GOVERN_AUDIT_THREADS``."""
    spare_trainings: int = 1
    """Processes kept warm from which trainings and runners are forked, ``GOVERN_SPARE_TRAININGS``: 1, or 0 where memory is dear."""
    database: str = field(default="", repr=False)
    """Where the ledger lies, ``GOVERN_DATABASE``: the address of a PostgreSQL database; empty: the file ``ledger.db`` in the home."""
    lease_seconds: int = 15
    """Where the ledger lies in a PostgreSQL: an owner that is silent for so long may be replaced, ``GOVERN_LEASE_SECONDS``."""
    graph: str = "sqlite"
    """Where the lineage graph lies, ``GOVERN_GRAPH``: ``sqlite`` (a file in the home), or the URI of a Neo4j (``neo4j://HOST`` …)."""
    graph_user: str = "neo4j"
    """``GOVERN_GRAPH_USER``."""
    graph_password: str = field(default="", repr=False)
    """``GOVERN_GRAPH_PASSWORD``."""
    graph_database: str = ""
    """``GOVERN_GRAPH_DATABASE``; empty is the user's home database."""
    graph_pool: int = 20
    """Connections to the Neo4j at most, ``GOVERN_GRAPH_POOL``."""
    redact_source_code: int = 0
    """1: the body of a ``sourceCode`` facet is not kept, only its digest; ``GOVERN_REDACT_SOURCE_CODE``."""

    retain_events: str = ""
    """How long raw events are kept, ``GOVERN_RETAIN_EVENTS`` (``90d``): older ones are retired every day; empty: kept for ever."""

    intake_rate: int = 20
    """Requests for erasure a second that one key may send singly, ``GOVERN_INTAKE_RATE``; ten seconds' worth may come at once."""
    intake_rate_of_all: int = 40
    """The same of all keys together, ``GOVERN_INTAKE_RATE_OF_ALL``."""

    webhook_networks: str = ""
    """Networks inside that webhooks may be sent to, ``GOVERN_WEBHOOK_NETWORKS`` (``10.1.0.0/16,127.0.0.0/8``); empty: none."""
    opendsr_domain: str = ""
    """The domain that answers OpenDSR requests, ``GOVERN_OPENDSR_DOMAIN``; empty: the facade is closed."""
    opendsr_certificate: str = ""
    """PEM file of the domain's certificate and what leads to its root, ``GOVERN_OPENDSR_CERTIFICATE``."""
    opendsr_key: str = ""
    """PEM file of the certificate's private key, ``GOVERN_OPENDSR_KEY``."""

    @classmethod
    def read(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """The settings of an environment; a variable that is missing or empty leaves the default.

        Raises:
            BadInput: a number of threads that is none, or not from 1 to 64; a number of spares that is not 0 or 1; an age that is none.

        >>> Settings.read({"GOVERN_AUDIT_THREADS": "4"}).audit_threads
        4
        """
        given = {name: environment.get(f"GOVERN_{name.upper()}", "").strip() for name in cls.__slots__}
        if given["retain_events"]:
            age(given["retain_events"], "GOVERN_RETAIN_EVENTS")
        found: dict[str, Any] = {name: text if name in _TEXTS else _number(name, text) for name, text in given.items() if text}
        return cls(**found)


def _number(name: str, text: str) -> int:
    low, high = _RANGES.get(name, (1, _MOST_THREADS))
    if not (text.isascii() and text.isdigit() and low <= int(text) <= high):
        variable = f"GOVERN_{name.upper()}"
        raise BadInput(f"{variable}={text[:40]} is no number from {low} to {high}", hint=f"unset {variable}, or correct it")
    return int(text)
