"""The HTTP client of every command: a server by ``GOVERN_URL``, else the home opened in this process.

``GOVERN_URL`` (with ``GOVERN_API_KEY``) wins over ``GOVERN_HOME`` (default ``.govern``). A home that a server owns is never
opened a second time: the command says so and names the next one.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from governance.errors import BudgetExceeded, GateRefused, Held, NotVerified
from lineage.errors import BadEvent, BadInput, Conflict, Forbidden, Gone, GovernError, Incomplete, NotFound, StoreUnavailable, Tampered

if TYPE_CHECKING:
    import ssl

    import httpx2

__all__ = ["Api", "connect", "home_path", "problem_error"]

_BY_TYPE: dict[str, type[GovernError]] = {
    "bad-event": BadEvent,
    "gate-refused": GateRefused,
    "budget-exceeded": BudgetExceeded,
    "held": Held,
    "incomplete": Incomplete,
    "tampered": Tampered,
    "not-verified": NotVerified,
}
_BY_STATUS: dict[int, type[GovernError]] = {
    400: BadInput,
    401: Forbidden,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    413: BadInput,
    415: BadInput,
    422: BadInput,
    503: StoreUnavailable,
    507: StoreUnavailable,
}
_NEXT: dict[int, str] = {
    401: "set GOVERN_API_KEY to a key of this server (an admin makes one with: govern keys create NAME --role ROLE)",
    403: "ask an admin for a key with the role: govern keys create NAME --role ROLE",
    503: "wait a moment and try again, or look at: govern doctor",
}


def home_path() -> Path:
    """The home of this shell: ``GOVERN_HOME``, else ``.govern``."""
    return Path(os.environ.get("GOVERN_HOME") or ".govern")


def problem_error(status: int, body: Any, *, fallback: str = "") -> GovernError:
    """The error that a problem+json answer speaks of (RFC 9457), with its hint.

    >>> type(problem_error(409, {"type": "https://example/gate-refused", "detail": "no"})).__name__
    'GateRefused'
    """
    problem = body if isinstance(body, Mapping) else {}
    kind = str(problem.get("type", "")).rsplit("/", 1)[-1]
    error = _BY_TYPE.get(kind) or _BY_STATUS.get(status, GovernError)
    detail = problem.get("detail") or problem.get("title") or fallback or f"the server answered {status}"
    if not isinstance(detail, str):
        detail = str(detail)
    hint = problem.get("hint") or (None if kind in _BY_TYPE else _NEXT.get(status))
    return error(detail, hint=str(hint) if hint else None)


class Api:
    """JSON in, JSON out, over one ``httpx2.Client``; every refusal becomes a :class:`GovernError`."""

    def __init__(self, http: httpx2.Client, where: str) -> None:
        self._http = http
        self.where = where
        """The URL, or the home, that is spoken to; for messages."""

    def get(self, path: str, **params: Any) -> Any:
        """The JSON answer to GET; parameters that are ``None`` are left out."""
        return self._json(self._send("GET", path, params=_given(params)))

    def post(self, path: str, body: Any = None, *, once: bool = True, **params: Any) -> Any:
        """The JSON answer to POST; ``once`` adds an ``Idempotency-Key`` so that a repeat after a lost answer acts once."""
        headers = {"Idempotency-Key": secrets.token_hex(16)} if once else {}
        return self._json(self._send("POST", path, params=_given(params), json={} if body is None else body, headers=headers))

    def send(self, method: str, path: str, content: bytes, media_type: str, **params: Any) -> Any:
        """The JSON answer (``None`` when empty) to a request whose body is bytes."""
        return self._json(self._send(method, path, params=_given(params), content=content, headers={"Content-Type": media_type}))

    def delete(self, path: str, **params: Any) -> Any:
        """The JSON answer to DELETE, or ``None``."""
        return self._json(self._send("DELETE", path, params=_given(params)))

    def bytes(self, path: str, **params: Any) -> bytes:
        """The body of GET as it is (PDF, Arrow, tar, text)."""
        content: bytes = self._send("GET", path, params=_given(params)).content
        return content

    def file(self, path: str, **params: Any) -> tuple[Any, Mapping[str, str]]:
        """The body of GET as it is, and its headers."""
        response = self._send("GET", path, params=_given(params))
        return response.content, response.headers

    def wait(self, operation: str, *, seen: Callable[[dict[str, Any]], None] | None = None, timeout: float = 3600.0) -> dict[str, Any]:
        """The operation once it is done or failed, polled with back-off; ``seen`` gets each state on the way.

        Raises:
            GovernError: it failed; the message is the operation's own reason.
        """
        pause, end = 0.05, time.monotonic() + timeout
        while True:
            state: dict[str, Any] = self.get(f"/api/v1/operations/{operation}")
            if seen is not None:
                seen(state)
            if state["state"] == "done":
                return state
            if state["state"] == "failed":
                error = state.get("error") or {}
                raise GovernError(
                    str(error.get("detail") or f"{state.get('kind', 'operation')} {operation} failed"),
                    hint=error.get("hint") or f"govern doctor  (operation {operation})",
                )
            if time.monotonic() > end:
                raise Incomplete(
                    f"operation {operation} still runs after {timeout:.0f} s", hint="it goes on at the server; look again later"
                )
            time.sleep(pause)
            pause = min(pause * 1.5, 1.0)

    def _send(self, method: str, path: str, **kwargs: Any) -> httpx2.Response:
        import httpx2

        try:
            response = self._http.request(method, path, **kwargs)
        except httpx2.TimeoutException as error:
            raise StoreUnavailable(
                f"{self.where} did not answer in time ({method} {path})", hint="look at the server: govern doctor"
            ) from error
        except httpx2.TransportError as error:
            raise StoreUnavailable(
                f"no server answers at {self.where} ({error})", hint="start it: govern serve --home DIR, or correct GOVERN_URL"
            ) from error
        if response.status_code >= 400:
            try:
                body = response.json()
            except ValueError:
                body = None
            raise problem_error(response.status_code, body, fallback=f"{method} {path}: the server answered {response.status_code}")
        return response

    @staticmethod
    def _json(response: httpx2.Response) -> Any:
        if not response.content:
            return None
        try:
            return response.json()
        except ValueError as error:
            raise GovernError(
                f"the answer of {response.request.url.path} is not JSON", hint="is GOVERN_URL the address of a Govern server?"
            ) from error


def _given(params: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in params.items() if value is not None}


def _trusted(url: str) -> ssl.SSLContext | bool:
    """Whose certificates a client of ``url`` trusts: the usual ones, or nobody's where the URL has no TLS.

    Reading every root certificate of the machine takes longer than a trace does.
    """
    import ssl

    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if url.lower().startswith("http://") else True


@contextmanager
def connect() -> Iterator[Api]:
    """The API of this shell: ``GOVERN_URL``, else the home opened here.

    Raises:
        NotFound: there is neither; the hint names ``govern init``.
        StoreUnavailable: a server owns the home.
    """
    import httpx2

    url = os.environ.get("GOVERN_URL")
    if url:
        key = os.environ.get("GOVERN_API_KEY")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        with httpx2.Client(base_url=url.rstrip("/"), headers=headers, timeout=120.0, verify=_trusted(url)) as http:
            yield Api(http, url)
        return
    home = home_path()
    if not (home / "govern.json").exists():
        raise NotFound(f"there is no Govern home at {home}", hint=f"govern init --home {home}, or set GOVERN_URL and GOVERN_API_KEY")
    # The API is another layer of the same delivery; it is chosen by name at run time, so that a client of a server never imports it.
    local = import_module("governance.api.local")
    try:
        http = local.local_client(home)
    except StoreUnavailable as error:
        raise StoreUnavailable(
            error.message, hint=error.hint or "if a server owns this home, set GOVERN_URL and GOVERN_API_KEY to talk to it"
        ) from error
    with http:
        yield Api(http, str(home))
