"""Which requests about a person are open, by the reference that outlives the epochs: folded from the requests themselves. Pure.

A record ``asked/<suppression reference>/<request>`` is there while the request is open and says under which epochs it knows its person.
With it, whoever has the identifier at hand finds the person's open requests by a key, and need not read all requests there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from lineage.model import RecordChange

__all__ = ["FIRST_EPOCH", "KIND", "OVER", "asked", "known_under"]

KIND: Final = "asked"
FIRST_EPOCH: Final = "epoch-1"
"""Under which every home begins; a request of before there were others names none."""
OVER: Final = frozenset({"completed", "refused", "withdrawn", "expired"})
"""States in which a request is over for ever (:data:`governance.erasure.states.FINAL`; a test holds them equal)."""


def known_under(body: Mapping[str, Any]) -> dict[str, str]:
    """Epoch → the reference of a request's person under it."""
    return dict(zip(body.get("epochs") or [FIRST_EPOCH], body.get("subject_refs") or (), strict=False))


def asked(payload: Mapping[str, Any], read: Callable[[str, str], Any]) -> Iterator[RecordChange]:
    """The records that an act's requests come to have or lose; ``read`` gives what was before it."""
    for name, body in payload.get("set", {}).items():
        kind, _, request = name.partition("/")
        person = body.get("suppression_ref") if kind == "erasure" else None
        if not person:
            continue
        ident = f"{person}/{request}"
        now = None if body.get("state") in OVER else {"request": request, "epochs": list(body.get("epochs") or [FIRST_EPOCH])}
        if read(KIND, ident) != now:
            yield RecordChange(kind=KIND, ident=ident, body=now)
