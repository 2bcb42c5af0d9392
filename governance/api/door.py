"""Admit and answer: match the route, check the key's role, read query and body, call the handler, map its errors.

The same door answers for FastAPI (:mod:`governance.api.app`) and inside a process (:mod:`governance.api.local`); it is
synchronous and knows no web framework.
"""

from __future__ import annotations

import difflib
import re
import zlib
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, unquote

import orjson

from governance.api.call import Call, Param, Principal, Reply, Route, Who
from governance.api.problems import MethodNotAllowed, TooLarge, Unauthenticated, UnsupportedMedia, problem_of
from governance.api.table import ROUTES
from governance.api.times import nanoseconds
from lineage.errors import BadInput, Forbidden, NotFound

if TYPE_CHECKING:
    from governance.api.metrics import Metrics

__all__ = ["SECURITY_HEADERS", "Door", "path_names", "plain_body", "read_query", "routable", "too_large"]

NOBODY: Final = Principal("key:nobody", frozenset())

SECURITY_HEADERS: Final[Mapping[str, str]] = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
"""On every answer. There is no CORS header: a browser page of another origin may not use a key."""

IDEMPOTENCY: Final = re.compile(r"[\x21-\x7e]{1,255}")
JSON_MEDIA: Final = re.compile(r"application/(?:[\w.+-]+\+)?json")


class Door:
    """The routes over one open system.

    Args:
        system: the facade that the composition root opened.
        routes: the table; another one only in tests.
    """

    def __init__(self, system: Any, routes: Sequence[Route] = ROUTES) -> None:
        self.system = system
        self.routes = tuple(routes)
        self._metrics: Metrics | None = None
        # A pattern is compiled when a path first begins like its route: seventy of them would cost a cold command its start.
        self._starts = [(route.path.partition("{")[0], route) for route in self.routes]

    def metrics(self) -> Metrics:
        """The metrics of this door, with a registry of their own; made when first asked for."""
        if self._metrics is None:
            from governance.api.metrics import Metrics

            self._metrics = Metrics(self.system)
        return self._metrics

    def description(self) -> dict[str, Any]:
        """The OpenAPI document of the table."""
        from governance.api.openapi import document

        return document(self.routes)

    def match(self, method: str, path: str) -> tuple[Route, dict[str, str]]:
        """The route and the names in the path (:func:`routable`).

        Raises:
            NotFound: no route has this path; the hint names the nearest.
            MethodNotAllowed: the path has other methods.
        """
        found = [
            (route, hit.groupdict())
            for start, route in self._starts
            if path.startswith(start) and (hit := _pattern(route.path).fullmatch(path))
        ]
        for route, names in found:
            if route.method == method:
                return route, path_names(names)
        if found:
            nearest = min((route.path for route, _ in found), key=lambda template: template.count("{"))  # /keys/public, not /keys/{id}
            allow = tuple(sorted({route.method for route, _ in found if route.path == nearest}))
            raise MethodNotAllowed(f"{method} is not a method of this path", allow=allow, hint=f"it has {', '.join(allow)}")
        near = difflib.get_close_matches(path, sorted({route.path for route in self.routes}), n=2, cutoff=0.5)
        raise NotFound("no route has this path", hint=f"nearest: {', '.join(near)}" if near else "see GET /openapi.json")

    def admit(self, route: Route, headers: Mapping[str, str]) -> Who:
        """Who calls, when they may use the route. Header names are lower case.

        Raises:
            Unauthenticated: no key, or not a living one.
            Forbidden: the key's roles are not among the route's.
        """
        if not route.roles:
            return NOBODY
        key = self._key(headers)
        try:
            who: Who = self.system.keys.authenticate(key)
        except Forbidden as error:
            raise Unauthenticated(error.message, hint=error.hint) from None
        return self.allow(route, who)

    def known(self, route: Route, headers: Mapping[str, str]) -> Who | None:
        """Who calls, where nothing has to be read to know it: an open route, or a key that was found living; else ``None``.

        Raises:
            Unauthenticated: no key was sent.
            Forbidden: the key's roles are not among the route's.
        """
        if not route.roles:
            return NOBODY
        who: Who | None = self.system.keys.known(self._key(headers))
        return None if who is None else self.allow(route, who)

    def allow(self, route: Route, who: Who) -> Who:
        """The caller again, when one of their roles may use the route; raises ``Forbidden``."""
        if route.roles and not (route.roles & who.roles):
            wanted = ", ".join(sorted(route.roles - {"admin"})) or "admin"
            raise Forbidden(
                f"{route.method} {route.path} needs one of the roles: {wanted}", hint="ask an admin: govern keys create NAME --role ROLE"
            )
        return who

    @staticmethod
    def _key(headers: Mapping[str, str]) -> str:
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        bearer = bearer.strip() if scheme.lower() == "bearer" else ""
        plain = headers.get("x-api-key", "").strip()
        if bearer and plain and bearer != plain:
            raise Unauthenticated("Authorization and X-API-Key hold different keys", hint="send one of them")
        if not (bearer or plain):
            raise Unauthenticated("no API key was sent", hint="send Authorization: Bearer KEY (clients read GOVERN_API_KEY)")
        return bearer or plain

    def answer(self, route: Route, who: Who, *, path: Mapping[str, str], query: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """The route's reply; every error becomes a problem, none is raised."""
        try:
            value = self._value(route, headers, body)
            call = Call(
                path=path,
                query=read_query(route.query, query, lenient=route.marquez),
                headers=headers,
                body=body if value is None else b"",
                who=who,
                value=value,
                idempotency=_idempotency(headers),
                metrics=self.metrics,
                description=self.description,
            )
            return route.handler(self.system, call)
        except Exception as error:  # noqa: BLE001 - the boundary: problem_of maps what is known and logs the place of what is not
            return problem_of(error, oip=route.oip, marquez=route.marquez)

    @staticmethod
    def _value(route: Route, headers: Mapping[str, str], body: bytes) -> Any:
        if route.takes != "json":
            return None
        media = headers.get("content-type", "").partition(";")[0].strip().lower()
        if media and body and not JSON_MEDIA.fullmatch(media):
            raise UnsupportedMedia(f"this route reads application/json, not {media[:80]}", hint="set Content-Type: application/json")
        try:
            value = orjson.loads(body) if body.strip() else {}
        except orjson.JSONDecodeError as error:
            raise BadInput(f"the body is not JSON: {error.msg} at line {error.lineno} column {error.colno}") from None
        if not isinstance(value, dict):
            raise BadInput("the body must be a JSON object")
        if route.body is None:
            return value
        from governance.api.bodies import checked

        return checked(route.body, value)


@cache
def _pattern(path: str) -> re.Pattern[str]:
    parts = re.split(r"\{(\w+)\}", path)
    return re.compile("".join(f"(?P<{part}>[^/]+)" if place % 2 else re.escape(part) for place, part in enumerate(parts)))


def _idempotency(headers: Mapping[str, str]) -> str | None:
    key = headers.get("idempotency-key")
    if key is not None and not IDEMPOTENCY.fullmatch(key):
        raise BadInput("Idempotency-Key must be 1 to 255 visible ASCII characters", hint="a UUID is a good key")
    return key


def plain_body(route: Route, headers: Mapping[str, str], body: bytes) -> bytes:
    """The body without its content encoding, never more than the route's limit.

    Raises:
        TooLarge: it decompresses to more than the limit (a bomb is stopped at the limit, not after it).
        UnsupportedMedia: another encoding than gzip, or gzip where the route does not read it.
        BadInput: it is not gzip, or is cut off.
    """
    encoding = headers.get("content-encoding", "").strip().lower()
    if encoding in ("", "identity"):
        return body
    if encoding != "gzip" or route.takes != "event":
        raise UnsupportedMedia(f"content encoding {encoding[:40]} is not read here", hint="send the body as it is")
    parts: list[bytes] = []
    room = route.limit
    while body or not parts:  # a gzip file may hold several members, one after the other (RFC 1952 §2.2)
        engine = zlib.decompressobj(wbits=31)
        try:
            part = engine.decompress(body, room + 1)
        except zlib.error:
            raise BadInput("the body is not gzip, though Content-Encoding says so") from None
        if len(part) > room:
            raise too_large(route)
        if not engine.eof:
            raise BadInput("the gzip body is cut off")
        room -= len(part)
        parts.append(part)
        body = engine.unused_data
    return parts[0] if len(parts) == 1 else b"".join(parts)


def too_large(route: Route) -> TooLarge:
    """The error for a body above the route's limit."""
    return TooLarge(f"the body is larger than {route.limit} bytes, the most that {route.method} {route.path} takes")


def routable(raw_path: bytes) -> str:
    """The path decoded as far as routes are found by it: ``%2F`` is no slash, so that a name may hold one.

    >>> routable(b"/api/v1/namespaces/s3%3A%2F%2Flake")
    '/api/v1/namespaces/s3:%2F%2Flake'
    """
    text = raw_path.decode("latin-1")
    if "%" not in text:
        return text
    return "/".join(unquote(part).replace("%", "%25").replace("/", "%2F") for part in text.split("/"))


def path_names(found: Mapping[str, str]) -> dict[str, str]:
    """The names in a :func:`routable` path as they are."""
    return {name: value.replace("%2F", "/").replace("%25", "%") for name, value in found.items()}


def read_query(params: Sequence[Param], text: str, *, lenient: bool = False) -> dict[str, Any]:
    """The query as the route declares it; undeclared, repeated and ill-typed parameters raise ``BadInput``.

    ``lenient``: undeclared ones and empty values are passed over, and of a repeated one the last counts.
    """
    known = {param.name: param for param in params}
    values: dict[str, Any] = {param.name: param.default for param in params}
    seen: set[str] = set()
    try:
        pairs = parse_qsl(text, keep_blank_values=True, strict_parsing=False, max_num_fields=50, errors="strict")
    except ValueError:
        raise BadInput("the query string cannot be read") from None
    for name, raw in pairs:
        param = known.get(name)
        if lenient and (param is None or not raw):
            continue
        if param is None:
            near = difflib.get_close_matches(name, known, n=1)
            names = ", ".join(known) or "none"
            raise BadInput(f"unknown query parameter {name[:80]!r}", hint=f"did you mean {near[0]}?" if near else f"known: {names}")
        if param.kind == "list":
            values[name] = [*values[name], *raw.split(",")] if name in seen else raw.split(",")
            seen.add(name)
            continue
        if name in seen and not lenient:
            raise BadInput(f"query parameter {name} is given twice")
        seen.add(name)
        values[name] = _read(param, raw.lower() if lenient and param.kind == "bool" else raw)
    return values


def _read(param: Param, raw: str) -> Any:
    if param.choices and raw not in param.choices:
        raise BadInput(f"{param.name} must be one of {', '.join(param.choices)}")
    if param.kind == "int":
        if not re.fullmatch(r"-?[0-9]{1,19}", raw) or not param.minimum <= int(raw) <= param.maximum:
            raise BadInput(f"{param.name} must be a whole number from {param.minimum} to {param.maximum}")
        return int(raw)
    if param.kind == "bool":
        if raw not in ("true", "false"):
            raise BadInput(f"{param.name} must be true or false")
        return raw == "true"
    if param.kind == "time":
        return nanoseconds(raw.replace(" ", "+"), param.name)  # an offset's plus sign that the sender did not escape
    return raw
