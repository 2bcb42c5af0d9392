"""From facts to claims, for what is said of jobs and datasets apart from any run (JobEvent, DatasetEvent, symlinks, renames)."""

from __future__ import annotations

from lineage.graph.claims import Claims
from lineage.graph.context import Context, Identity
from lineage.graph.derive import claim_version
from lineage.graph.derive_columns import claim_columns, columns_say
from lineage.graph.derive_props import dataset_props, facets_digest, job_props, version_props
from lineage.graph.facts import Facts, value_of, visible
from lineage.graph.keys import alias_key, canonical, ident_id, job_key
from lineage.graph.state import dump, stamp
from lineage.model import Json

__all__ = ["dataset_says", "derive_dataset", "derive_job", "job_says"]

_NOTHING: list[list[Json]] = [[], [], [], [], []]


def job_says(facts: Facts) -> bytes:
    """All of a job's facts that its claims read."""
    return dump([_said(facts["f"]), value_of(facts.get("proc")), value_of(facts.get("io")), facts["w"]])


def dataset_says(facts: Facts) -> bytes:
    """All of a dataset's facts that its claims read, as long as one of its names has facts (those of several are compared by time)."""
    more = [facts.get("ren"), facts.get("raw"), columns_say(facts), value_of(facts.get("src"))] if _RARE & facts.keys() else None
    return dump([_said(facts["f"]), facts["v"], facts["w"], value_of(facts.get("kind")), more])


_RARE = frozenset({"ren", "raw", "cl", "src"})


def _said(cells: Facts) -> dict[str, Json]:
    """The values in the cells, without when and by which event they were said."""
    return {name: found[2] for name, found in cells.items()}


def derive_job(facts: Facts, context: Context) -> Claims:
    """The Job with what its facets say, and what it declares: a declaration is no evidence that data flowed, so never walked."""
    claims = Claims(f"job/{ident_id(*facts['n'])}")
    namespace, name = facts["n"]
    job = claims.node(job_key(namespace, name), "Job", namespace=namespace, name=name)
    facets = visible(facts["f"])
    claims.tell(job, "0", {"processing": value_of(facts.get("proc")), **job_props(facets), **_digest(facets)})
    inputs, outputs, flows, jobs, handed = value_of(facts.get("io")) or _NOTHING
    witness = facts["w"]
    for kind, names in (("DECLARED_INPUT", inputs), ("DECLARED_OUTPUT", outputs)):
        for identity in {one.key: one for one in map(context.identity, names)}.values():
            dataset = _dataset(claims, identity)
            ends = (dataset, job) if kind == "DECLARED_INPUT" else (job, dataset)
            claims.edge(kind, *ends, witness=witness)
    for source, target, basis in flows:
        ends = _dataset(claims, context.identity(source)), _dataset(claims, context.identity(target))
        if ends[0] != ends[1]:
            claims.edge("DECLARED_FLOW", *ends, more=(job, basis), witness=witness, basis=basis)
    for target, datasets, sources in jobs:
        end = _job(claims, target)
        for dataset in datasets if end != job else ():  # what the own job reads is declared as its input
            claims.edge("DECLARED_FLOW", _dataset(claims, context.identity(dataset)), end, more=(job,), witness=witness, basis="explicit")
        _handed(claims, job, sources, end, witness)
    for _, target, sources in handed:
        _handed(claims, job, sources, _dataset(claims, context.identity(target)), witness)
    return claims


def _handed(claims: Claims, job: str, sources: list[list[str]], end: str, witness: str) -> None:
    for source in sources:
        origin = _job(claims, source)
        if origin != end:
            claims.edge("DECLARED_FLOW", origin, end, more=(job,), witness=witness, basis="explicit")


def _job(claims: Claims, named: list[str]) -> str:
    return claims.node(job_key(named[0], named[1]), "Job", namespace=named[0], name=named[1])


def _dataset(claims: Claims, identity: Identity) -> str:
    return claims.node(identity.key, identity.label, namespace=identity.namespace, name=identity.name)


def derive_dataset(name: tuple[str, str], context: Context) -> Claims:
    """The Dataset or Model with what its facets say, its other names, its columns, and the versions that DatasetEvents state.

    The name a dataset goes by claims for all its names; the others claim nothing.
    """
    claims = Claims(f"ds/{ident_id(*name)}")
    identity = context.identity(name)
    if (identity.namespace, identity.name) != name:
        return claims
    known = [facts for facts in map(context.facts, identity.owners()) if facts]
    if not known:
        return claims
    dataset = _dataset(claims, identity)
    cells: Facts = {}
    for facts in known:
        for facet, found in facts["f"].items():
            old = cells.get(facet)
            cells[facet] = found if old is None or (old[:2], canonical(old[2])) < (found[:2], canonical(found[2])) else old
    facets = visible(cells)
    props: dict[str, Json] = {"names": [list(member) for member in identity.members], **dataset_props(facets), **_digest(facets)}
    raw = sorted({f"{sent[0]} {sent[1]}" for facts in known for sent in facts.get("raw", ())})
    if raw:
        props["raw_names"] = raw
    claims.tell(dataset, "0", props)
    witness = min(facts["w"] for facts in known)
    for member in identity.members:
        if member != name:
            other = claims.node(alias_key(*member), "DatasetAlias", namespace=member[0], name=member[1])
            claims.edge("ALIAS_OF", other, dataset, witness=witness)
    _renamed(claims, identity, known, context, witness)
    _made_of(claims, identity, known, context, witness)
    claim_columns(claims, identity, known, context, witness)
    versions: dict[str, list[Facts]] = {}
    for facts in known:
        for version, stated in facts["v"].items():
            versions.setdefault(version, []).append(stated)
    for version, parts in sorted(versions.items()):
        _version(claims, identity, version, parts, context)
    return claims


def _renamed(claims: Claims, identity: Identity, known: list[Facts], context: Context, witness: str) -> None:
    """What the dataset was called before: another identity, whose versions are read on under the new name (:meth:`Context.read_at`)."""
    times: dict[str, tuple[Identity, int]] = {}
    for since, *before in (one for facts in known for one in facts.get("ren", ())):
        old = context.identity(before)
        first = min(since, times[old.key][1]) if old.key in times else since
        times[old.key] = (old, first)
    for old, since in times.values():
        if old.key != identity.key:
            claims.edge("RENAMED_FROM", identity.key, _dataset(claims, old), witness=witness, since=since)


def _made_of(claims: Claims, identity: Identity, known: list[Facts], context: Context, witness: str) -> None:
    """What DatasetEvents say that the dataset is made of: structure, which a reader's derivation turns into what it read."""
    for source in (value_of(facts["src"]) for facts in known if "src" in facts):
        for base in {one.key: one for one in map(context.identity, source["d"])}.values():
            if base.key != identity.key:
                claims.edge("DECLARED_FLOW", _dataset(claims, base), identity.key, more=("made of",), witness=witness, basis=source["b"])
        for job in source["j"]:
            claims.edge("DECLARED_FLOW", _job(claims, job), identity.key, more=("made of",), witness=witness, basis="explicit")


def _version(claims: Claims, identity: Identity, version: str, parts: list[Facts], context: Context) -> None:
    witness = min(part["w"] for part in parts)
    key = claim_version(claims, identity, version, witness)
    times = [part["t"] for part in parts if "t" in part]
    since = min(times, default=None)
    facets = {name: value for part in parts for name, value in visible(part["f"]).items()}
    claims.tell(key, f"0/{stamp(since or 0)}", {"created": since, **version_props(facets, {}), **_digest(facets)})
    names = {(name[0], name[1]) for part in parts for name in (value_of(part.get("src")) or {"d": []})["d"]}
    basis = "explicit" if any((value_of(part.get("src")) or {"b": ""})["b"] == "explicit" for part in parts) else "column"
    for source in {one.key: one for one in map(context.identity, sorted(names))}.values():
        for read in context.read_at(source, since, None):
            how = "unknown" if read.version is None else "inferred"
            origin = claim_version(claims, read.identity, read.version, witness)
            if origin != key:
                props: dict[str, Json] = {"basis": basis, "version_basis": how, "status": "written"}
                claims.edge("DERIVED", origin, key, more=("stated",), walk=True, witness=witness, since=since, **props)


def _digest(facets: dict[str, Json]) -> dict[str, Json]:
    return {"facets_digest": facets_digest(facets)} if facets else {}
