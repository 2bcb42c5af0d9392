"""How Marquez names things: node ids, version ids and instants.

A node id is ``dataset:NAMESPACE:NAME``, ``job:NAMESPACE:NAME``, ``run:ID`` or ``datasetField:NAMESPACE:NAME:FIELD``, perhaps with
``#VERSION``. Namespaces and names may hold colons themselves (``s3://bucket``, ``postgres://db:5432``), so an id can be read in
several ways: all of them are candidates, Marquez's own reading first, and the one that is known is meant.
"""

from __future__ import annotations

import datetime as dt
import functools
import hashlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from lineage.graph.keys import canonical
from lineage.model import Json

__all__ = ["KINDS", "NodeId", "dataset_id", "field_id", "instant", "job_id", "node_id", "parse_node_id", "uuid_of", "version_id", "zoned"]

KINDS = ("dataset", "datasetField", "job", "run")

_COLONS = 24
"""So many colons of an id are tried as its separators."""
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True, slots=True)
class NodeId:
    """A node id as asked: its kind, and every way to read it."""

    kind: str
    names: tuple[tuple[str, ...], ...]
    """(namespace, name), for a field (namespace, name, field), for a run (run id,); the likeliest first, never empty."""
    version: str | None = None
    """What follows the last ``#``, when the names are those before it."""


def parse_node_id(text: str) -> Iterator[NodeId]:
    """The readings of a node id: as a whole, then with what follows ``#`` as a version; none when it is no node id.

    >>> [one.names[0] for one in parse_node_id("dataset:s3://lake:orders")]
    [('s3://lake', 'orders')]
    >>> [one.names[0] for one in parse_node_id("dataset:postgres://db:5432:shop.public.orders")]
    [('postgres://db:5432', 'shop.public.orders')]
    >>> list(parse_node_id("nonsense"))
    []
    """
    kind, colon, rest = text.partition(":")
    if not colon or kind not in KINDS:
        return
    names = _readings(kind, rest)
    if names:
        yield NodeId(kind, names)
    whole, mark, version = rest.rpartition("#")
    if mark and version and (names := _readings(kind, whole)):
        yield NodeId(kind, names, version)


def _readings(kind: str, rest: str) -> tuple[tuple[str, ...], ...]:
    if kind == "run":
        return ((rest,),) if rest else ()
    places = [place for place, letter in enumerate(rest) if letter == ":"][:_COLONS]
    likely = [place for place in places if not (rest[place + 1 : place + 3] == "//" or rest[place + 1 : place + 2].isdigit())]
    count = 2 if kind == "datasetField" else 1
    found: dict[tuple[str, ...], None] = {}
    for chosen in itertools.chain(itertools.combinations(likely, count), itertools.combinations(places, count)):
        edges = [-1, *chosen, len(rest)]
        parts = tuple(rest[low + 1 : high] for low, high in itertools.pairwise(edges))
        if all(parts):
            found.setdefault(parts)
    return tuple(found)


def node_id(kind: str, *parts: str) -> str:
    """The id of a node."""
    return ":".join((kind, *parts))


def dataset_id(namespace: str, name: str) -> str:
    """The id of a dataset's node."""
    return f"dataset:{namespace}:{name}"


def job_id(namespace: str, name: str) -> str:
    """The id of a job's node."""
    return f"job:{namespace}:{name}"


def field_id(namespace: str, name: str, field: str) -> str:
    """The id of a column's node."""
    return f"datasetField:{namespace}:{name}:{field}"


def uuid_of(*natural: Json) -> str:
    """A UUID (version 8, RFC 9562 §5.8) that follows from what it stands for."""
    return _uuid(hashlib.sha256(canonical(list(natural)).encode("ascii")).hexdigest())


def version_id(key: str) -> str:
    """The UUID under which a version node is shown: the first bits of its key.

    >>> version_id("version:" + "0123456789abcdef" * 4)
    '01234567-89ab-8def-8123-456789abcdef'
    """
    return _uuid(key.rpartition(":")[2])


def _uuid(digits: str) -> str:
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-8{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:32]}"


@functools.lru_cache(maxsize=1 << 14)
def instant(when: int | None) -> str | None:
    """A time as Java prints an ``Instant``: to the second, or with 3, 6 or 9 digits behind it.

    >>> instant(1_795_222_800_000_000_000), instant(1_500_000), instant(None)
    ('2026-11-21T01:00:00Z', '1970-01-01T00:00:00.001500Z', None)
    """
    if when is None:
        return None
    seconds, rest = divmod(when, 1_000_000_000)
    text = (_EPOCH + dt.timedelta(seconds=seconds)).isoformat()[:19]
    if not rest:
        return f"{text}Z"
    digits = f"{rest:09d}"
    while digits.endswith("000"):
        digits = digits[:-3]
    return f"{text}.{digits}Z"


def zoned(text: Json) -> str | None:
    """A time as Java prints a ``ZonedDateTime``: seconds only where there are some; ``None`` for what is no time.

    >>> zoned("2026-11-21T01:00:00Z"), zoned("2026-11-21T01:00:30.500+02:00"), zoned(7)
    ('2026-11-21T01:00Z', '2026-11-21T01:00:30.500+02:00', None)
    """
    moment = _moment(text)
    if moment is None:
        return None
    shown = moment.strftime("%Y-%m-%dT%H:%M")
    if moment.second or moment.microsecond:
        shown += moment.strftime(":%S")
    if moment.microsecond:
        shown += f".{moment.microsecond:06d}".removesuffix("000")
    return shown + (moment.isoformat()[-6:] if moment.utcoffset() else "Z")


def _moment(text: Json) -> dt.datetime | None:
    if not isinstance(text, str):
        return None
    try:
        moment = dt.datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
