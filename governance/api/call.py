"""What a route is, what it is asked and what it answers: three frozen types without any web framework."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import orjson

__all__ = [
    "ADMIN",
    "ANY",
    "MIB",
    "OPEN",
    "READERS",
    "ROLES",
    "Call",
    "Param",
    "Principal",
    "Reply",
    "Route",
    "Who",
    "json_reply",
    "roles",
]

MIB: Final = 1024 * 1024

ROLES: Final = ("ingest", "predict", "engineer", "privacy", "auditor", "admin", "controller")
"""Every role of design §10, in the order of the table; ``controller`` uses the OpenDSR facade and nothing else."""


def roles(*names: str) -> frozenset[str]:
    """The roles that may use a route; ``admin`` always may. Raises ``ValueError`` for a name that is no role."""
    unknown = set(names) - set(ROLES)
    if unknown:
        raise ValueError(f"no such role: {', '.join(sorted(unknown))}")
    return frozenset(names) | {"admin"}


READERS: Final = roles("engineer", "privacy", "auditor")
ANY: Final = frozenset(ROLES) - {"controller"}
ADMIN: Final = roles()
OPEN: Final[frozenset[str]] = frozenset()
"""No key is needed."""


class Who(Protocol):
    """Whoever calls: ``key:<id>``, and the key's roles."""

    @property
    def id(self) -> str: ...
    @property
    def roles(self) -> frozenset[str]: ...


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller that the door itself knows: nobody (open routes), or the owner of the home in this process."""

    id: str
    roles: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Param:
    """One query parameter."""

    name: str
    kind: str = "str"
    """str | int | bool | time (RFC 3339, or UTC nanoseconds) | list (may be given again and again)."""
    choices: tuple[str, ...] = ()
    default: Any = None
    minimum: int = 0
    maximum: int = 2**63 - 1
    about: str = ""
    required: bool = False
    """The handler refuses a request without it; the description says so."""
    schema: Mapping[str, Any] = field(default_factory=dict)
    """Further members of its JSON Schema, for what the handler holds it to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One admitted request: parsed names, the raw body and, for a JSON route, its checked value."""

    path: Mapping[str, str]
    query: Mapping[str, Any]
    headers: Mapping[str, str]
    body: bytes
    who: Who
    value: Any = None
    """The JSON body after the route's model checked it."""
    idempotency: str | None = None
    metrics: Callable[[], Any] = field(default=lambda: None)
    """Gives the door's metrics (made on first use)."""
    description: Callable[[], Any] = field(default=lambda: None)
    """Gives the OpenAPI document of the door's table."""

    @property
    def actor(self) -> str:
        """How the ledger names the caller: ``key:<id>``."""
        return self.who.id


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """Status, bytes, media type and further headers."""

    status: int = 200
    body: bytes = b""
    media: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    served: tuple[str, str] | None = None
    """Model and version of a prediction, for the metrics."""


def json_reply(value: Any, status: int = 200, **headers: str) -> Reply:
    """A JSON answer; header names are given with underscores (``Retry_After``)."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return Reply(status=status, body=orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS), headers=named)


Handler = Callable[[Any, Call], Reply]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One line of the contract: who may ask what, in which form, up to which size."""

    method: str
    path: str
    summary: str
    roles: frozenset[str]
    handler: Handler
    about: str = ""
    query: tuple[Param, ...] = ()
    body: str | None = None
    """Name of the model in :mod:`governance.api.bodies` that a JSON body must satisfy."""
    takes: str = "none"
    """none | json | event (JSON of any declared media type, perhaps gzip) | binary."""
    media: str = "application/octet-stream"
    """Media type of a binary body, for the documents."""
    media_also: tuple[str, ...] = ()
    """Further media types that a binary body may have."""
    limit: int = MIB
    """Largest body in bytes; for gzip, after decompression too."""
    status: int = 200
    gives: str = "application/json"
    gives_also: tuple[str, ...] = ()
    """Further media types of the answer, chosen by a parameter."""
    status_also: tuple[int, ...] = ()
    """Further statuses with the same kind of body, for example 503 of a readiness check."""
    idempotent: bool = False
    """The ``Idempotency-Key`` header is honoured by what stands behind."""
    works: bool = False
    """Starts work that a worker must do."""
    pool: str = "main"
    """main | ingest | predict | intake | inline: which threads answer, so that slow work never delays an acknowledgement.

    ``intake``: requests that nobody verified yet, within the limits of :mod:`governance.api.admission`.
    """
    lists: bool = False
    """The answer is a JSON array."""
    marquez: bool = False
    """Marquez's contract: names in the path may hold ``%2F``, unknown parameters are passed over, errors are ``{code, message}``."""
    opendsr: bool = False
    """What is refused has the form of OpenDSR §7.6; about the key it is a problem."""
    oip: bool = False
    """Errors also carry the ``error`` member of the Open Inference Protocol."""

    @property
    def tag(self) -> str:
        """The subject: the module that holds the handler."""
        return self.handler.__module__.rsplit(".", 1)[-1]

    @property
    def ident(self) -> str:
        """A unique operation id."""
        return f"{self.tag}_{self.handler.__name__.strip('_')}"
