"""An event without what must not be kept, made by hand: a value, or a text wherever it stands, gives way to something else.

The door takes credentials out by rule (:mod:`lineage.openlineage.redact`). That a name, a path or a literal in SQL tells who a person is,
only a human knows: they name its place, by a JSON pointer (RFC 6901), or the text.

A text in a *name* (namespace, name, run id) says which dataset, job or run is meant: two that are called alike afterwards would become
one. So what takes its place is chosen by whoever redacts, never the mask.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from lineage.errors import BadEvent, BadInput, NotFound
from lineage.model import Json
from lineage.openlineage.parse import parse_event
from lineage.openlineage.redact import MASK

__all__ = ["Mended", "mend"]

_NAMES = frozenset({"namespace", "name", "runId"})


@dataclass(frozen=True, slots=True)
class Mended:
    """An event as it may be kept."""

    payload: bytes
    """Compact JSON that is an OpenLineage event."""
    places: tuple[str, ...]
    """JSON pointers of what was changed, in the order of the event; pointers to keys that were changed end in what replaced them."""


def mend(payload: bytes, *, fields: Sequence[str] = (), text: str | None = None, instead: str | None = None) -> Mended:
    """The event with the values at ``fields``, and ``text`` wherever it stands (in keys too), replaced by ``instead``.

    Args:
        payload: the event as it is kept.
        fields: JSON pointers; each must lead to a value.
        text: replaced in every string that holds it; letters count as they are.
        instead: what takes the place; without it ``***``, which no name may become.

    Raises:
        BadInput: neither fields nor text; a pointer that is none; a name would be masked; what is left is no OpenLineage event.
        NotFound: a field leads nowhere, or the text stands nowhere. The message repeats the pointer, never a value.

    >>> mend(b'{"job": {"namespace": "n", "name": "j", "facets": {"sql": {"query": "x = 7"}}}}', fields=["/job/facets/sql/query"]).payload
    b'{"job":{"namespace":"n","name":"j","facets":{"sql":{"query":"***"}}}}'
    """
    if not fields and not text:
        raise BadInput("say what is to be redacted: fields or a text", hint="govern ledger redact INDEX --field /job/facets/sql/query")
    body = json.loads(payload)
    places: list[str] = []
    for pointer in fields:
        body = _set(body, _tokens(pointer), pointer, instead)
        places.append(pointer)
    if text:
        body = _Text(text, instead, places).without(body)
        if not places:
            raise NotFound("the text stands nowhere in the event", hint="it is looked for as it is, after JSON escapes were resolved")
    made = json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")
    try:
        parse_event(made)
    except BadEvent as error:
        raise BadInput(f"what is left is no OpenLineage event: {error.message}", hint="redact another field, or give --as") from error
    return Mended(made, tuple(places))


def _tokens(pointer: str) -> list[str]:
    """The reference tokens of RFC 6901 §3 and §4."""
    if not pointer.startswith("/"):
        raise BadInput(f"{pointer[:80]!r} is no JSON pointer (RFC 6901)", hint="it begins with a slash: /job/facets/sql/query")
    return [token.replace("~1", "/").replace("~0", "~") for token in pointer[1:].split("/")]


def _set(value: Json, tokens: Sequence[str], pointer: str, instead: str | None) -> Json:
    if not tokens:
        return MASK if instead is None else instead
    head, rest = tokens[0], tokens[1:]
    if not rest and head in _NAMES and instead is None:
        raise _unnamed(pointer)
    if isinstance(value, dict) and head in value:
        return {name: _set(one, rest, pointer, instead) if name == head else one for name, one in value.items()}
    if isinstance(value, list) and head.isascii() and head.isdigit() and int(head) < len(value):
        return [_set(one, rest, pointer, instead) if at == int(head) else one for at, one in enumerate(value)]
    raise NotFound(f"the event has no field {pointer}", hint="govern ledger export shows it; an array's first item is /0")


@dataclass(frozen=True, slots=True)
class _Text:
    """A text to be replaced, and the places where it was."""

    text: str
    instead: str | None
    places: list[str]

    def without(self, value: Json, path: str = "", field: str = "") -> Json:
        """``value`` with the text replaced, in keys too; ``field`` is the last part of ``path`` where that is a name."""
        if isinstance(value, str):
            return self._string(value, path, field)
        if isinstance(value, list):
            return [self.without(one, f"{path}/{at}") for at, one in enumerate(value)]
        return self._object(value, path) if isinstance(value, dict) else value

    def _string(self, value: str, path: str, field: str) -> str:
        if self.text not in value:
            return value
        if field in _NAMES and self.instead is None:
            raise _unnamed(path)
        self.places.append(path)
        return value.replace(self.text, self._mask)

    def _object(self, value: dict[str, Json], path: str) -> Json:
        found: dict[str, Json] = {}
        for name, one in value.items():
            kept = name.replace(self.text, self._mask)
            place = f"{path}/{kept.replace('~', '~0').replace('/', '~1')}"
            if kept != name:
                self.places.append(place)
            if kept in found:
                raise BadInput(f"two fields would be called {place}", hint="redact them one by one: --field, or another --as")
            found[kept] = self.without(one, place, name)
        return found

    @property
    def _mask(self) -> str:
        return MASK if self.instead is None else self.instead


def _unnamed(place: str) -> BadInput:
    return BadInput(
        f"{place} is a name: masked, different things would be taken for one",
        hint="choose what it is called from now on: --as users/redacted-1",
    )
