"""From facts to claims: a pure function of one owner's facts and its context. The rules of the graph stand here.

1. **Version binding.** An input is the version it states; else the latest version that was there when the run started
   (``inferred``); else the dataset's ``unknown`` version.
2. **What an output comes from.** Explicit lineage, else column lineage, else every input (``cartesian``). With the first two the
   flow goes by ``DERIVED`` from version to version, and ``PRODUCED`` is not walked: in a run with A→X and B→Y nothing leads
   from A to Y.
3. **What a failed run wrote.** Nothing: its outputs are ``PLANNED``.
4. A run of a SERVICE job whose input is a model is a Deployment.
5. A parent run is containment (``CHILD_OF``), never flow.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field

import rfc8785

from lineage.graph.claims import Claims
from lineage.graph.context import Context, Identity
from lineage.graph.derive_props import facets_digest, input_props, run_props, version_props
from lineage.graph.facts import Facts, stated, value_of, visible
from lineage.graph.keys import (
    canonical,
    code_key,
    deployment_key,
    environment_key,
    job_key,
    job_version_key,
    params_key,
    row_set_key,
    run_key,
)
from lineage.graph.meaning import RunState, run_state, versions_written
from lineage.graph.state import stamp
from lineage.model import Json

__all__ = ["claim_version", "derive_run"]


@dataclass(slots=True)
class _Read:
    """One version that a run read."""

    identity: Identity
    version: str | None
    version_basis: str
    basis: str
    witness: str
    io: Facts = field(default_factory=dict)


def claim_version(claims: Claims, identity: Identity, version: str | None, witness: str) -> str:
    """Claim a version with its dataset; returns the version's key."""
    dataset = claims.node(identity.key, identity.label, namespace=identity.namespace, name=identity.name)
    label = "ModelVersion" if identity.model else "DatasetVersion"
    key = identity.version_key(version)
    claims.node(key, label, namespace=identity.namespace, name=identity.name, version=version)
    claims.link("HAS_VERSION", dataset, key, witness=witness)
    return key


def derive_run(facts: Facts, context: Context) -> Claims:
    """All that a run's facts say of the graph."""
    claims = Claims(f"run/{facts['id']}")
    run = claims.node(run_key(facts["id"]), "Run", run_id=facts["id"])
    meaning = run_state(facts)
    _structure(claims, facts, run, meaning)
    reads = _reads(facts, meaning, context)
    job = value_of(facts.get("job"))
    job_node = None if job is None else job_key(job[0], job[1])
    for read in reads.values():
        key = claim_version(claims, read.identity, read.version, read.witness)
        if job_node is not None:
            claims.link("READ_BY", read.identity.key, job_node, witness=read.witness)
        claims.edge(
            "INPUT_TO",
            key,
            run,
            walk=True,
            witness=read.witness,
            since=meaning.start,
            basis=read.basis,
            version_basis=read.version_basis,
            **_rows(claims, key, read),
        )
    if context.is_service(facts):
        _deployment(claims, facts, run, meaning, reads)
    _writes(claims, facts, meaning, reads, context)
    return claims


def _structure(claims: Claims, facts: Facts, run: str, meaning: RunState) -> None:
    witness = facts["w"]
    facets = stated(facts["f"])
    job = value_of(facts.get("job"))
    props: dict[str, Json] = {
        "state": meaning.state,
        "start": meaning.start,
        "end": meaning.end,
        "attempts": meaning.attempts,
        "outputs": meaning.outputs,
        "terminal": bool(facts["ends"]),
        "job": None if job is None else {"namespace": job[0], "name": job[1]},
        **run_props(facets),
    }
    if facets:
        props["facets_digest"] = facets_digest(facets)
    code = None
    location = value_of(facts.get("code"))
    if isinstance(location, dict):
        location = _content(location)
        code = claims.node(code_key(location), "CodeRevision", **{"location": location, **_texts(location)})
        claims.edge("AT_REVISION", run, code, witness=witness, since=meaning.start)
    if job is not None:
        whole = claims.node(job_key(job[0], job[1]), "Job", namespace=job[0], name=job[1])
        version = claims.node(job_version_key(job[0], job[1], code), "JobVersion", namespace=job[0], name=job[1], code=code)
        claims.link("HAS_VERSION", whole, version, witness=witness)
        claims.edge("INSTANCE_OF", run, version, witness=witness, since=meaning.start)
    params = _params(facets.get("executionParameters"))
    if params is not None:
        digest, values = params
        target = claims.node(params_key(digest), "ParamSet", digest=digest, params=values)
        claims.edge("WITH_PARAMS", run, target, witness=witness, since=meaning.start)
    environment = facets.get("govern_environment")
    if isinstance(environment, dict):
        details = _content(environment)
        target = claims.node(environment_key(details), "Environment", **{"details": details, **_texts(details)})
        claims.edge("IN_ENV", run, target, witness=witness, since=meaning.start)
    parent = value_of(facts.get("parent"))
    if parent is not None and parent[0] != facts["id"]:
        above = claims.node(run_key(parent[0]), "Run", run_id=parent[0])
        claims.edge("CHILD_OF", run, above, witness=witness, since=meaning.start, job={"namespace": parent[1], "name": parent[2]})
    claims.tell(run, "0", props)


def _reads(facts: Facts, meaning: RunState, context: Context) -> dict[tuple[str, str | None], _Read]:
    """(dataset key, version) → what was read; names of one dataset are one read, and a stated version speaks for all of them."""
    reads: dict[tuple[str, str | None], _Read] = {}
    unstated: list[tuple[Identity, Facts, str]] = []
    for _, entry in sorted(facts["in"].items()):
        identity = context.identity(entry["n"])
        if not entry["v"]:
            unstated.append((identity, entry, "declared"))
        for version, said in sorted(entry["v"].items()):
            read = _Read(identity, version, "stated", "declared", said["w"], {**entry["io"], **said["io"]})
            _join(reads, read)
    for _, output in sorted(facts["out"].items()):
        explicit = output.get("exp")
        named = explicit["src"] if explicit else value_of(output.get("col")) or []
        basis = "explicit" if explicit else "column"
        unstated += [(context.identity(name), {"w": output["w"], "io": {}}, basis) for name in named]
    stated_keys = {key for key, _ in reads}
    bound: set[str] = set()
    for identity, entry, basis in unstated:
        if identity.key in stated_keys or (basis != "declared" and identity.key in bound):
            continue
        bound.add(identity.key)
        version = context.version_at(identity, meaning.start, facts["id"])
        how = "unknown" if version is None else "inferred"
        _join(reads, _Read(identity, version, how, basis, entry["w"], entry["io"]))
    return reads


def _join(reads: dict[tuple[str, str | None], _Read], read: _Read) -> None:
    place = (read.identity.key, read.version)
    old = reads.get(place)
    if old is not None:
        cells = {name: max((c for c in (old.io.get(name), read.io.get(name)) if c), key=canonical) for name in {*old.io, *read.io}}
        read = _Read(read.identity, read.version, read.version_basis, old.basis, min(old.witness, read.witness), cells)
    reads[place] = read


def _rows(claims: Claims, version: str, read: _Read) -> dict[str, Json]:
    """Edge properties that say which rows were read; each row set becomes a node beside the version.

    ``row_set`` is the one stated; where one version was read as several row sets, ``row_sets`` holds all of them.
    """
    facets = stated(read.io)
    listed = facets.pop("govern_rowSet", None)
    found: dict[str, Json] = input_props(facets)
    if facets:
        found["facets_digest"] = facets_digest(facets)
    sets, roles = [], set()
    for one in listed if isinstance(listed, list) else []:
        digest, count = one.get("digest"), one.get("count")
        if isinstance(digest, str) and isinstance(count, int) and not isinstance(count, bool):
            rows = claims.node(row_set_key(digest, count), "RowSet", digest=digest, count=count)
            claims.link("OF", rows, version, witness=read.witness)
            sets.append(_content(one))
        if isinstance(one.get("role"), str):
            roles.add(one["role"])
    if sets:
        found["row_set"] = sets[0]
    if len(sets) > 1:
        found["row_sets"] = sets
    if roles:
        found["role"] = "+".join(sorted(roles))
    return found


def _writes(claims: Claims, facts: Facts, meaning: RunState, reads: dict[tuple[str, str | None], _Read], context: Context) -> None:
    run = run_key(facts["id"])
    job = value_of(facts.get("job"))
    since = meaning.written_at or meaning.start
    by_dataset: dict[str, list[_Read]] = {}
    for read in reads.values():
        by_dataset.setdefault(read.identity.key, []).append(read)
    versions: dict[str, set[str]] = {}  # names of one dataset are one output: versions, and the order of their names, are joined
    outputs: dict[str, list[Facts]] = {}
    for _, output in sorted(facts["out"].items()):
        identity = context.identity(output["n"])
        outputs.setdefault(identity.key, []).append(output)
        versions.setdefault(identity.key, set()).update(output["v"])
    for dataset, parts in sorted(outputs.items()):
        identity = context.identity(parts[0]["n"])
        basis, sources = _sources(parts, reads, context)
        witness = min(part["w"] for part in parts)
        if job is not None and meaning.outputs != "planned":
            claims.link("WRITES", job_key(job[0], job[1]), dataset, witness=witness)
        for version in sorted(versions[dataset]) or versions_written(facts, parts[0]):
            key = claim_version(claims, identity, version, witness)
            claims.tell(key, f"1/{stamp(since or 0)}", _output_props(facts, parts, meaning))
            if meaning.outputs == "planned":
                claims.edge("PLANNED", run, key, witness=witness, since=since, basis=basis)
                continue
            cartesian = basis == "cartesian"
            fan: dict[str, Json] = {"inputs": len(reads), "outputs": len(outputs)} if cartesian else {}
            status = meaning.outputs
            claims.edge("PRODUCED", run, key, walk=cartesian, witness=witness, since=since, basis=basis, status=status, **fan)
            for read in (one for source in sorted(sources) for one in by_dataset.get(source, [])):
                origin = read.identity.version_key(read.version)
                if origin != key:
                    claims.edge(
                        "DERIVED",
                        origin,
                        key,
                        more=(facts["id"],),
                        walk=True,
                        witness=witness,
                        since=since,
                        basis=basis,
                        version_basis=read.version_basis,
                        run=facts["id"],
                        status=status,
                    )


def _sources(parts: list[Facts], reads: Iterable[tuple[str, str | None]], context: Context) -> tuple[str, set[str]]:
    """(basis, dataset keys) from which an output comes: explicit lineage, else column lineage, else all inputs (rule 2)."""
    explicit = [part["exp"] for part in parts if "exp" in part]
    if explicit:
        sources = {context.identity(name).key for one in explicit for name in one["src"]}
        if any(one["job"] for one in explicit):
            sources |= {dataset for dataset, _ in reads}
        return "explicit", sources
    columns = [name for part in parts for name in value_of(part.get("col")) or []]
    if columns:
        return "column", {context.identity(name).key for name in columns}
    return "cartesian", set()


def _output_props(facts: Facts, parts: list[Facts], meaning: RunState) -> dict[str, Json]:
    facets: dict[str, Json] = {}
    io: dict[str, Json] = {}
    for part in parts:
        facets.update(visible(part["f"]))
        io.update(stated(part["io"]))
    props = {"created": meaning.written_at, "status": meaning.outputs, "run": facts["id"], **version_props(facets, io)}
    if facets or io:
        props["facets_digest"] = facets_digest({**facets, **io})
    return props


def _deployment(claims: Claims, facts: Facts, run: str, meaning: RunState, reads: dict[tuple[str, str | None], _Read]) -> None:
    models = [read for read in reads.values() if read.identity.model]
    if not models:
        return
    job = value_of(facts.get("job")) or ["", ""]
    key = claims.node(deployment_key(facts["id"]), "Deployment", run_id=facts["id"])
    claims.tell(
        key,
        "0",
        {
            "namespace": job[0],
            "name": job[1],
            "active_from": meaning.start,
            "active_to": meaning.end,
            "live": meaning.outputs == "running",
            "state": meaning.state,
        },
    )
    claims.edge("OF", key, run, witness=facts["w"], since=meaning.start)
    for read in models:
        claims.edge(
            "DEPLOYED_AS",
            read.identity.version_key(read.version),
            key,
            walk=True,
            witness=read.witness,
            since=meaning.start,
            until=meaning.end,
            basis="declared",
            version_basis=read.version_basis,
        )


def _content(facet: dict[str, Json]) -> dict[str, Json]:
    """A facet without the fields that say who sent it."""
    return {name: value for name, value in facet.items() if not name.startswith("_")}


def _texts(content: dict[str, Json]) -> dict[str, Json]:
    """The scalar fields, so that a node can be found by them."""
    return {name: value for name, value in content.items() if isinstance(value, str | int | float) and name not in {"location", "details"}}


def _params(facet: Json) -> tuple[str, Json] | None:
    """(digest, values) of ``executionParameters``: RFC 8785, or sorted compact JSON where a number is beyond its range."""
    listed = facet.get("parameters") if isinstance(facet, dict) else None
    if not isinstance(listed, list):
        return None
    values = {one["key"]: one.get("value") for one in listed if isinstance(one, dict) and isinstance(one.get("key"), str)}
    try:
        raw = rfc8785.dumps(values)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError):
        raw = canonical(values).encode("ascii")
    return f"sha256:{hashlib.sha256(raw).hexdigest()}", json.loads(raw)
