"""OpenDSR 2.0: controllers send erasure requests by machine; every answer is signed by the domain's certificate.

Errors of these routes have OpenDSR's own form (§7.6); about the key they are problems, as everywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import orjson

from governance.api.call import ADMIN, OPEN, Call, Reply, Route, json_reply, roles
from lineage.errors import BadInput, Conflict, GovernError, NotFound

__all__ = ["ROUTES"]

CONTROLLER: Final = roles("controller")
BASE: Final = "/opendsr/v2"
ONE: Final = f"{BASE}/requests/{{id}}"
ADMINISTERED: Final = "/api/v1/opendsr/controllers"


def discovery(system: Any, _call: Call) -> Reply:
    """What is supported."""
    return _signed(system, system.opendsr.discovery())


def certificate(system: Any, _call: Call) -> Reply:
    """The certificate that signs."""
    return Reply(body=system.opendsr.signer().certificate_pem, media="application/x-pem-file")


def receive(system: Any, call: Call) -> Reply:
    """A request."""

    def work() -> Any:
        from governance.api.bodies import checked

        try:
            value = orjson.loads(call.body)
        except orjson.JSONDecodeError:
            raise BadInput("the body is not JSON") from None
        return system.opendsr.receive(checked("OpenDsrRequest", value), call.body, key=call.actor)

    return _answered(system, work, 201)


def status(system: Any, call: Call) -> Reply:
    """How far it is."""
    return _answered(system, lambda: system.opendsr.status(call.path["id"], key=call.actor), 200)


def cancel(system: Any, call: Call) -> Reply:
    """Taken back."""
    return _answered(system, lambda: system.opendsr.cancel(call.path["id"], key=call.actor), 202)


def _answered(system: Any, work: Callable[[], Any], code: int) -> Reply:
    """The signed answer; what cannot be used as OpenDSR says it."""
    try:
        return _signed(system, work(), code)
    except (BadInput, Conflict, NotFound) as error:
        return _signed(system, _error(error), _error(error)["error"]["code"])


def _error(error: GovernError) -> dict[str, Any]:
    code = 404 if isinstance(error, NotFound) else 409 if isinstance(error, Conflict) else 400
    detail = {"domain": "Validation", "reason": type(error).__name__, "message": error.message}
    more = {"hint": error.hint} if error.hint else {}
    return {"error": {"code": code, "message": error.message, "errors": [detail | more]}}


def _signed(system: Any, value: Any, code: int = 200) -> Reply:
    body = orjson.dumps(value)
    return Reply(status=code, body=body, headers=system.opendsr.headers(body))


# ── who may send ────────────────────────────────────────────────────────────────────────────────
def add(system: Any, call: Call) -> Reply:
    """A new controller; its key is shown once."""
    return json_reply(system.opendsr.add(call.value, actor=call.actor), 201)


def listed(system: Any, _call: Call) -> Reply:
    """Every controller."""
    return json_reply(system.opendsr.list())


def remove(system: Any, call: Call) -> Reply:
    """It may send nothing more."""
    return json_reply(system.opendsr.remove(call.path["id"], actor=call.actor))


ROUTES = (
    Route(method="GET", path=f"{BASE}/discovery", summary="What this processor supports", roles=OPEN, handler=discovery),
    Route(
        method="GET",
        path=f"{BASE}/certificate.pem",
        summary="The certificate that signs the answers",
        roles=OPEN,
        handler=certificate,
        gives="application/x-pem-file",
    ),
    Route(
        method="POST",
        path=f"{BASE}/requests",
        summary="Send a request for erasure",
        roles=CONTROLLER,
        handler=receive,
        takes="binary",
        media="application/json",
        body="OpenDsrRequest",
        opendsr=True,
        pool="intake",
        status=201,
        about="The same bytes again give the same answer. The identity counts as verified once a privacy officer says so.",
    ),
    Route(
        method="GET", path=ONE, summary="How far a request is, by the controller's own id", roles=CONTROLLER, handler=status, opendsr=True
    ),
    Route(
        method="DELETE",
        path=ONE,
        summary="Cancel a request while it is pending",
        roles=CONTROLLER,
        handler=cancel,
        status=202,
        opendsr=True,
    ),
    Route(
        method="POST",
        path=ADMINISTERED,
        summary="Add a controller",
        roles=ADMIN,
        handler=add,
        takes="json",
        body="NewController",
        status=201,
        about="Its key is in this answer and nowhere else; it opens the OpenDSR routes alone.",
    ),
    Route(method="GET", path=ADMINISTERED, summary="List the controllers", roles=ADMIN, handler=listed),
    Route(method="DELETE", path=f"{ADMINISTERED}/{{id}}", summary="Remove a controller and revoke its key", roles=ADMIN, handler=remove),
)
