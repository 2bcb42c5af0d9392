"""Redaction at the door: what must not be kept is taken out of an event before it is appended to the ledger, and that is said.

1. **Addresses.** User and password of a URI are removed (``postgres://me:secret@db`` → ``postgres://db``: the dataset keeps one name,
   whoever names it); secret parameters of URIs, JDBC addresses and connection strings become ``***`` (``password=***``, a SAS ``sig=***``).
   This holds for every text of the event: producers put addresses into namespaces, names, facets of their own, and SQL.
2. **Variables.** In ``environmentVariables``, values whose name is on the deny-list become ``***``; with an allow-list all others do.
   The deny-list also holds for the properties that Spark sends and, by whole words, for ``executionParameters``.
3. **Source code.** Where the policy says so, the body of ``sourceCode`` is replaced by its SHA-256.

What is returned names places and rules, never what stood there. The identity of the event stays that of what was sent, so that the
same event sent again is a duplicate (docs/adr/0009-redaction-at-the-door.md).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lineage.model import Json

__all__ = ["MASK", "Redacted", "Redaction", "may_hold_secrets", "redact"]

MASK = "***"

_WORDS = r"passw(?:or)?d|passphrase|pwd|secret|token|api[_-]?key|access[_-]?key|account[_-]?key|private[_-]?key|credentials?|signature|sig"
_DENIED = re.compile(rf"(?i){_WORDS}|auth|dsn|conn(?:ection)?[_-]?str|(?:^|[._-])(?:pat|key|pass|cert|cookie|session)(?:$|[._-])")
"""Names of variables and properties whose values are not kept."""
_DENIED_WORD = re.compile(r"(?i)(?:^|[._-])(?:passw(?:or)?d|secret|api[_-]?key|access[_-]?token|private[_-]?key|credentials?)(?:$|[._-])")
_USER = re.compile(r"""(?P<scheme>[a-zA-Z][\w+.-]*://)[^/\s?#"'<>@]*:[^/\s?#"'<>]*@""")
_WEB_USER = re.compile(r"""(?i)(?P<scheme>\bhttps?://)[^/\s?#"'<>@:]+@""")
_ORACLE = re.compile(r"""(?i)(?P<scheme>jdbc:oracle:\w+:)[^/\s@"']+/[^\s@"']+@""")
_PARAMETER = re.compile(rf"""(?i)(?P<name>(?:^|[?&;,(\s])[\w.-]*?(?:{_WORDS})=)[^&;,)\s"'#]+""")
_ADDRESS = ("://", "jdbc:", "AccountKey=", "SharedAccess")
_PROPERTIES = frozenset({"spark_properties", "environment-properties"})
_ENDS = (b"password", b"passwd", b"passphrase", b"pwd", b"secret", b"token", b"key", b"credential", b"credentials", b"signature", b"sig")


@dataclass(frozen=True, slots=True)
class Redaction:
    """What is taken out."""

    addresses: bool = True
    """User, password and secret parameters of URIs, JDBC addresses and connection strings."""
    variables: bool = True
    """Values of variables, properties and parameters whose names are on the deny-list."""
    allowed: frozenset[str] | None = None
    """Names of the only environment variables that are kept; ``None``: all that are not on the deny-list."""
    source_code: bool = False
    """The body of ``sourceCode``, of which the digest is kept."""


@dataclass(frozen=True, slots=True)
class Redacted:
    """An event as it may be kept."""

    body: Json
    """The same object where nothing was taken out."""
    changes: tuple[tuple[str, str], ...]
    """(JSON pointer, rule) of every text that was changed, in the order of the event; rules: ``address variable source_code``."""


def may_hold_secrets(raw: bytes, policy: Redaction) -> bool:
    """Whether :func:`redact` could find anything in these bytes of JSON: a search of some microseconds, right where it says no.

    >>> may_hold_secrets(b'{"uri": "s3://lake/orders"}', Redaction())
    False
    """
    if b"\\" in raw and (b"\\u00" in raw or b"\\/" in raw):  # a sign that is searched for may be written as an escape
        return True
    if policy.addresses:
        if b"@" in raw and (b"://" in raw or b"jdbc:" in raw):
            return True
        at = raw.find(b"=")
        while at >= 0:
            if raw[max(0, at - 12) : at].lower().endswith(_ENDS):
                return True
            at = raw.find(b"=", at + 1)
    named = policy.variables and (
        b"environmentVariables" in raw or b"properties" in raw or b"Properties" in raw or b"executionParameters" in raw
    )
    return named or (policy.source_code and b"sourceCode" in raw)


def redact(body: Json, policy: Redaction) -> Redacted:
    """The event without what the policy does not let in. Pure: ``body`` itself is not changed.

    >>> redact({"dataSource": {"uri": "mysql://me:pw@db/shop?ssl=1&password=x"}}, Redaction())
    Redacted(body={'dataSource': {'uri': 'mysql://db/shop?ssl=1&password=***'}}, changes=(('/dataSource/uri', 'address'),))
    """
    changes: list[tuple[str, str]] = []
    return Redacted(_walk(body, "", policy, changes), tuple(changes))


def _walk(value: Json, path: str, policy: Redaction, changes: list[tuple[str, str]]) -> Json:
    """``value`` with its texts redacted; the same object where nothing changed."""
    if isinstance(value, str):
        return _text(value, path, policy, changes)
    if isinstance(value, dict):
        found = {}
        for name, one in value.items():
            place = f"{path}/{name.replace('~', '~0').replace('/', '~1')}"
            rule = _RULES.get(name)
            found[name] = _walk(one, place, policy, changes) if rule is None else rule(one, place, policy, changes)
        return found if any(found[name] is not one for name, one in value.items()) else value
    if isinstance(value, list):
        listed = [_walk(one, f"{path}/{index}", policy, changes) for index, one in enumerate(value)]
        return listed if any(new is not old for new, old in zip(listed, value, strict=True)) else value
    return value


def _text(value: str, path: str, policy: Redaction, changes: list[tuple[str, str]]) -> str:
    if not policy.addresses or not any(sign in value for sign in _ADDRESS):
        return value
    plain = _WEB_USER.sub(r"\g<scheme>", _USER.sub(r"\g<scheme>", value)) if "@" in value else value
    plain = _ORACLE.sub(r"\g<scheme>", plain) if "jdbc:" in plain else plain
    plain = _PARAMETER.sub(rf"\g<name>{MASK}", plain) if "=" in plain else plain
    if plain == value:
        return value
    changes.append((path, "address"))
    return plain


def _variables(facet: Json, path: str, policy: Redaction, changes: list[tuple[str, str]]) -> Json:
    """The ``environmentVariables`` facet, or its list of the same name."""

    def denied(name: str) -> bool:
        return _DENIED.search(name) is not None if policy.allowed is None else name not in policy.allowed

    return _listed(facet, path, policy, changes, ("environmentVariables", "name", denied))


def _parameters(facet: Json, path: str, policy: Redaction, changes: list[tuple[str, str]]) -> Json:
    return _listed(facet, path, policy, changes, ("parameters", "key", lambda name: _DENIED_WORD.search(name) is not None))


def _listed(
    facet: Json, path: str, policy: Redaction, changes: list[tuple[str, str]], what: tuple[str, str, Callable[[str], bool]]
) -> Json:
    """A facet whose list ``what[0]`` holds objects with a name under ``what[1]`` and a ``value``."""
    field, key, denied = what
    listed = facet.get(field) if isinstance(facet, dict) else None
    if not policy.variables or not isinstance(listed, list):
        return _walk(facet, path, policy, changes)
    found = []
    for index, one in enumerate(listed):
        place = f"{path}/{field}/{index}"
        name = one.get(key) if isinstance(one, dict) else None
        if isinstance(name, str) and denied(name) and one.get("value") not in (None, MASK):
            changes.append((f"{place}/value", "variable"))
            found.append({**one, "value": MASK})
        else:
            found.append(_walk(one, place, policy, changes))
    same = all(new is old for new, old in zip(found, listed, strict=True))
    return facet if same else {**facet, field: found}


def _properties(facet: Json, path: str, policy: Redaction, changes: list[tuple[str, str]]) -> Json:
    """A facet of properties by name, as Spark sends them, in any depth of objects."""
    if not policy.variables or not isinstance(facet, Mapping):
        return _walk(facet, path, policy, changes)
    found: dict[str, Json] = {}
    for name, value in facet.items():
        place = f"{path}/{name.replace('~', '~0').replace('/', '~1')}"
        if isinstance(value, str) and not name.startswith("_") and value != MASK and _DENIED.search(name):
            changes.append((place, "variable"))
            found[name] = MASK
        else:
            found[name] = (_properties if isinstance(value, dict) else _walk)(value, place, policy, changes)
    return found if any(found[name] is not value for name, value in facet.items()) else facet


def _source(facet: Json, path: str, policy: Redaction, changes: list[tuple[str, str]]) -> Json:
    code = facet.get("sourceCode") if isinstance(facet, dict) else None
    if not policy.source_code or not isinstance(code, str) or code.startswith("sha256:"):
        return _walk(facet, path, policy, changes)
    changes.append((f"{path}/sourceCode", "source_code"))
    rest = _walk({name: value for name, value in facet.items() if name != "sourceCode"}, path, policy, changes)
    return {**rest, "sourceCode": f"sha256:{hashlib.sha256(code.encode('utf-8', 'surrogatepass')).hexdigest()}"}


_RULES: dict[str, Callable[[Json, str, Redaction, list[tuple[str, str]]], Json]] = {
    "environmentVariables": _variables,
    "executionParameters": _parameters,
    "sourceCode": _source,
    **dict.fromkeys(_PROPERTIES, _properties),
}
