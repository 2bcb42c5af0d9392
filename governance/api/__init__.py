"""The HTTP door: one table of routes, carried by FastAPI for the network and by a plain transport inside a process.

``table`` lists every route with its roles; ``door`` admits and answers a call; ``app`` is the FastAPI application,
``server`` runs it on a socket, ``local`` answers the same table without a server (and without importing FastAPI).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from governance.api.admission import Admission
    from governance.api.fast import FastLane

__all__ = ["create_app"]


def create_app(system: Any, admission: Admission | None = None) -> FastLane:
    """The application (ASGI) over an open system (see :func:`governance.api.app.create_app`)."""
    from governance.api.app import create_app as make

    return make(system, admission)
