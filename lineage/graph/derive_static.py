"""From facts to claims, for what is said of jobs and datasets apart from any run (JobEvent, DatasetEvent, symlinks)."""

from __future__ import annotations

from lineage.graph.claims import Claims
from lineage.graph.context import Context, Identity
from lineage.graph.derive import claim_version
from lineage.graph.derive_props import dataset_props, facets_digest, job_props, version_props
from lineage.graph.facts import Facts, value_of, visible
from lineage.graph.keys import alias_key, canonical, ident_id, job_key
from lineage.graph.state import stamp
from lineage.model import Json

__all__ = ["derive_dataset", "derive_job"]


def derive_job(facts: Facts, context: Context) -> Claims:
    """The Job with its facets, and the datasets it declares: a declaration is no evidence that data flowed, so never walked."""
    claims = Claims(f"job/{ident_id(*facts['n'])}")
    namespace, name = facts["n"]
    job = claims.node(job_key(namespace, name), "Job", namespace=namespace, name=name)
    facets = visible(facts["f"])
    claims.tell(job, "0", {"processing": value_of(facts.get("proc")), **job_props(facets), **_digest(facets)})
    declared = value_of(facts.get("io")) or [[], []]
    for kind, names in zip(("DECLARED_INPUT", "DECLARED_OUTPUT"), declared, strict=True):
        for identity in {one.key: one for one in map(context.identity, names)}.values():
            dataset = claims.node(identity.key, identity.label, namespace=identity.namespace, name=identity.name)
            ends = (dataset, job) if kind == "DECLARED_INPUT" else (job, dataset)
            claims.edge(kind, *ends, witness=facts["w"])
    return claims


def derive_dataset(name: tuple[str, str], context: Context) -> Claims:
    """The Dataset or Model with its facets, its other names, and the versions that DatasetEvents state.

    The name a dataset goes by claims for all its names; the others claim nothing.
    """
    claims = Claims(f"ds/{ident_id(*name)}")
    identity = context.identity(name)
    if (identity.namespace, identity.name) != name:
        return claims
    known = [facts for facts in (context.facts(f"ds/{ident_id(*member)}") for member in identity.members) if facts]
    if not known:
        return claims
    dataset = claims.node(identity.key, identity.label, namespace=identity.namespace, name=identity.name)
    cells: Facts = {}
    for facts in known:
        for facet, found in facts["f"].items():
            old = cells.get(facet)
            cells[facet] = found if old is None or (old[:2], canonical(old[2])) < (found[:2], canonical(found[2])) else old
    facets = visible(cells)
    claims.tell(dataset, "0", {"names": [list(member) for member in identity.members], **dataset_props(facets), **_digest(facets)})
    witness = min(facts["w"] for facts in known)
    for member in identity.members:
        if member != name:
            other = claims.node(alias_key(*member), "DatasetAlias", namespace=member[0], name=member[1])
            claims.edge("ALIAS_OF", other, dataset, witness=witness)
    versions: dict[str, list[Facts]] = {}
    for facts in known:
        for version, stated in facts["v"].items():
            versions.setdefault(version, []).append(stated)
    for version, parts in sorted(versions.items()):
        _version(claims, identity, version, parts, context)
    return claims


def _version(claims: Claims, identity: Identity, version: str, parts: list[Facts], context: Context) -> None:
    witness = min(part["w"] for part in parts)
    key = claim_version(claims, identity, version, witness)
    times = [part["t"] for part in parts if "t" in part]
    since = min(times, default=None)
    facets = {name: value for part in parts for name, value in visible(part["f"]).items()}
    claims.tell(key, f"0/{stamp(since or 0)}", {"created": since, **version_props(facets, {}), **_digest(facets)})
    names = {(name[0], name[1]) for part in parts for name in value_of(part.get("src")) or []}
    for source in {one.key: one for one in map(context.identity, sorted(names))}.values():
        origin_version = context.version_at(source, since, None)
        how = "unknown" if origin_version is None else "inferred"
        origin = claim_version(claims, source, origin_version, witness)
        if origin != key:
            props: dict[str, Json] = {"basis": "explicit", "version_basis": how, "status": "written"}
            claims.edge("DERIVED", origin, key, more=("stated",), walk=True, witness=witness, since=since, **props)


def _digest(facets: dict[str, Json]) -> dict[str, Json]:
    return {"facets_digest": facets_digest(facets)} if facets else {}
