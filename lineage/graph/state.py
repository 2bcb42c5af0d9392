"""How facts lie in the fold's ordered key-value state, and the indexes that say whom a changed fact concerns.

====================================  ==============================================================
``run/ job/ ds/ + id``                the facts (:mod:`lineage.graph.facts`)
``sym/<dataset>``                     its other names: those that it states, and who states it
``blob/<sha256>``                     the body of a large facet
``men/<dataset>/<owner>``             who mentions this dataset
``jt/<job>/<time>/<run>``             the runs of a job by start (0 where it is unknown)
``jread/<job>/<time>/<owner>``        who took data over from a run of this job, at this time, without naming the run
``thr/<dataset>/<other>/…``           ``other`` is read through to this dataset: a view of it, or its new name
``read/<dataset>/<time>/<owner>``     who read it at this time without stating a version
``prod/<dataset>/<time>/<ver>/<run>`` a version that was there from this time on
``ns/<d|j>/<namespace>``              the namespaces in which a dataset, a job was named, each with the first time
``born/<d|j>/<time>/<id>``            datasets and jobs by the time of the first event that spoke of them
``src/<source>/<time>/<dataset>``     the sources that ``dataSource`` facets name (percent-encoded), by that time
``tag/<key>/<owner>``                 the tags of datasets and jobs (percent-encoded)
``hr/<hour>``                         how many events of each type took place in an hour (the projector puts them)
``ev/<time>/<ledger index>``          the events by event time, each with its digest (the projector puts them)
``own/<owner>``                       the claims of an owner, each with a short digest
``c/<N|E>/<key>/<0|1>/…``             the claims on an element (:mod:`lineage.graph.claims`)
====================================  ==============================================================

An owner is ``run/<run id>``, ``job/<id>`` or ``ds/<id>``: the key of the facts from which its claims are derived.
"""

from __future__ import annotations

import functools
import json
from urllib.parse import quote

import orjson

from lineage.graph.facts import Facts, value_of
from lineage.graph.keys import ident_id
from lineage.graph.meaning import run_state, versions_written
from lineage.model import Json
from lineage.ports import FoldState

__all__ = ["VERSION", "dataset_index", "dump", "in_key", "job_index", "load", "parse", "read_key", "run_index", "stamp"]

VERSION = 1
"""Of what the state holds. A fold that cannot go on from the state of an earlier one gets the next number: a snapshot of the graph
holds the state, and the events behind it may be gone (a test goes on from a kept snapshot and holds it against a fold of everything)."""


def dump(value: Json) -> bytes:
    """JSON bytes as kept in the state."""
    try:
        return orjson.dumps(value)
    except TypeError:  # an integer beyond 64 bits, or half of a surrogate pair: the blank tells `parse` who wrote it
        return b" " + json.dumps(value, separators=(",", ":")).encode("ascii")


def parse(raw: bytes) -> Json:
    """What :func:`dump` wrote."""
    return json.loads(raw) if raw[:1] == b" " else orjson.loads(raw)


def load(state: FoldState, key: str) -> Facts | None:
    """The facts under a key."""
    raw = state.get(key)
    return None if raw is None else parse(raw)


def stamp(when: int) -> str:
    """A time as text that sorts as the time does."""
    return f"{when + 2**63:020d}"


def read_key(dataset: str, when: int, owner: str) -> str:
    """Index key of a read without a stated version."""
    return f"read/{dataset}/{stamp(when)}/{owner}"


def run_index(facts: Facts | None) -> dict[str, bytes]:
    """Index entries that follow from a run's facts."""
    if facts is None:
        return {}
    owner = f"run/{facts['id']}"
    meaning = run_state(facts)
    entries: dict[str, bytes] = {}
    job = value_of(facts.get("job"))
    if job is not None:
        entries[f"jt/{ident_id(*job)}/{stamp(meaning.start or 0)}/{facts['id']}"] = b""
    sources = {ident for ident, entry in facts["in"].items() if not entry["v"]}
    handed = []  # jobs that hand data over in a run that is not named
    for ident, output in facts["out"].items():
        entries[f"men/{ident}/{owner}"] = b""
        explicit = output.get("exp", {})
        named = [*(value_of(output.get("col")) or []), *explicit.get("src", [])]
        handed += [one for one in explicit.get("jobs", ()) if not one[2]]
        sources |= {ident_id(*name) for name in named} - set(facts["in"])
        if meaning.written_at is not None:
            for version in versions_written(facts, output):
                entries[f"prod/{ident}/{stamp(meaning.written_at)}/{version}/{facts['id']}"] = dump([version, facts["id"]])
    for flow in facts.get("jf", {}).values():
        sources |= {ident_id(*name) for name in flow["d"]} - set(facts["in"])
        handed += [one for one in flow["j"] if not one[2]]
    for ident in sources | set(facts["in"]):
        entries[f"men/{ident}/{owner}"] = b""
    for when in meaning.read_at:
        for ident in sources:
            entries[read_key(ident, when, owner)] = b""
        for namespace, name, _ in handed:
            entries[f"jread/{ident_id(namespace, name)}/{stamp(when)}/{owner}"] = b""
    return entries


def job_index(facts: Facts | None) -> dict[str, bytes]:
    """Index entries that follow from what a job declares."""
    if facts is None:
        return {}
    owner = f"job/{ident_id(*facts['n'])}"
    declared = value_of(facts.get("io")) or [[], [], [], [], []]
    names = [
        *declared[0],
        *declared[1],
        *(name for flow in declared[2] for name in flow[:2]),
        *(n for flow in declared[3] for n in flow[1]),
    ]
    return {**{f"men/{ident_id(*name)}/{owner}": b"" for name in names}, **_listed("j", facts, owner)}


def dataset_index(facts: Facts | None) -> dict[str, bytes]:
    """Index entries that follow from the versions that DatasetEvents state."""
    if facts is None:
        return {}
    ident = ident_id(*facts["n"])
    entries = _listed("d", facts, f"ds/{ident}")
    source = value_of(facts["f"].get("dataSource"))
    if isinstance(source, dict) and isinstance(source.get("name"), str) and source["name"]:
        entries[f"src/{in_key(source['name'])}/{stamp(facts.get('t', 0))}/{ident}"] = b""
    for version, stated in facts["v"].items():
        if "t" not in stated:
            continue
        entries[f"prod/{ident}/{stamp(stated['t'])}/{version}/"] = dump([version, ""])
        for name in (value_of(stated.get("src")) or {"d": []})["d"]:
            source = ident_id(*name)
            entries[f"men/{source}/ds/{ident}"] = b""
            entries[read_key(source, stated["t"], f"ds/{ident}")] = b""
    for name in (value_of(facts.get("src")) or {"d": []})["d"]:
        entries[f"thr/{ident_id(*name)}/{ident}/"] = dump(facts["n"])
    for when, *name in facts.get("ren", ()):
        entries[f"thr/{ident_id(*name)}/{ident}/{stamp(when)}"] = dump(facts["n"])
        entries[f"men/{ident_id(*name)}/ds/{ident}"] = b""
    for statement in (one for statements in facts.get("cl", {}).values() for one in statements.values()):
        entries.update({f"men/{ident_id(*name)}/ds/{ident}": b"" for name in statement["n"]})
    return entries


@functools.lru_cache(maxsize=1 << 12)
def in_key(text: str) -> str:
    """A name as a part of a state key: without slashes, so that what follows it can be told apart."""
    return quote(text, safe="", errors="surrogatepass")


def _listed(kind: str, facts: Facts, owner: str) -> dict[str, bytes]:
    """When a dataset or a job was first spoken of, and its tags."""
    entries = {f"born/{kind}/{stamp(facts.get('t', 0))}/{owner.partition('/')[2]}": b""}
    facet = value_of(facts["f"].get("tags"))
    if isinstance(facet, dict) and isinstance(facet.get("tags"), list):
        for tag in facet["tags"]:
            if isinstance(tag, dict) and isinstance(tag.get("key"), str) and tag["key"]:
                entries[f"tag/{in_key(tag['key'])}/{owner}"] = b""
    return entries
