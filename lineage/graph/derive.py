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

from collections.abc import Mapping
from dataclasses import dataclass, field

from lineage.graph.claims import Claims
from lineage.graph.context import Context, Identity
from lineage.graph.derive_beside import claim_beside, claim_deployment, claim_tests, content
from lineage.graph.derive_flows import claim_handed, claim_job_flows, into_own_job
from lineage.graph.derive_props import facets_digest, input_props, version_props
from lineage.graph.facts import Facts, stated, value_of, visible
from lineage.graph.keys import canonical, job_key, row_set_key, run_key
from lineage.graph.meaning import RunState, run_state, versions_written
from lineage.graph.state import stamp
from lineage.model import Json

__all__ = ["claim_version", "derive_run", "reads_of", "writes_of"]


@dataclass(slots=True)
class _Read:
    """One version that a run read."""

    identity: Identity
    version: str | None
    version_basis: str
    basis: str
    witness: str
    since: int | None
    io: Facts = field(default_factory=dict)
    until: int | None = None
    """When a snapshot of the run no longer named it: just after it was last named."""
    through: str | None = None
    """The dataset that was named, where it is a view or this one's later name."""


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
    claim_beside(claims, facts, run, meaning)
    reads = _reads(facts, meaning, context)
    job = value_of(facts.get("job"))
    job_node = None if job is None else job_key(job[0], job[1])
    tested: list[tuple[str, bool, Mapping[str, Json]]] = []
    for read in reads.values():
        key = claim_version(claims, read.identity, read.version, read.witness)
        if job_node is not None and read.until is None:
            claims.link("READ_BY", read.identity.key, job_node, witness=read.witness)
        said = stated(read.io)
        claims.edge(
            "INPUT_TO",
            key,
            run,
            walk=True,
            witness=read.witness,
            since=read.since,
            until=read.until,
            basis=read.basis,
            version_basis=read.version_basis,
            through=read.through,
            **_rows(claims, key, said, read.witness),
        )
        tested.append((key, read.identity.model, said))
    if context.is_service(facts):
        models = [(one.identity.version_key(one.version), one.version_basis, one.witness) for one in reads.values() if one.identity.model]
        claim_deployment(claims, facts, run, meaning, models)
    tested += _writes(claims, facts, meaning, reads, context)
    if "jf" in facts:
        claim_job_flows(claims, facts, meaning, context)
    claim_tests(claims, facts, meaning, tested)
    return claims


def reads_of(facts: Facts, context: Context) -> list[tuple[Identity, str | None, Facts]]:
    """(dataset, version, cells of its input facets) of all that a run reads, for who shows the run; not what it no longer names."""
    reads = _reads(facts, run_state(facts), context).values()
    return [(read.identity, read.version, read.io) for read in reads if read.until is None]


def writes_of(facts: Facts, context: Context) -> list[tuple[Identity, str, Facts]]:
    """(dataset, version, cells of its output facets) of all that a run writes, or would have written; not what it no longer names."""
    outputs = [output for _, output in sorted(facts["out"].items()) if _until(facts, output) is None]
    return [(context.identity(one["n"]), version, one["io"]) for one in outputs for version in versions_written(facts, one)]


def _reads(facts: Facts, meaning: RunState, context: Context) -> dict[tuple[str, str | None], _Read]:
    """(dataset key, version) → what was read; names of one dataset are one read, and a stated version speaks for all of them."""
    reads: dict[tuple[str, str | None], _Read] = {}
    unstated: list[tuple[Identity, Facts, str]] = []
    since = meaning.read_at[0] if meaning.read_at else meaning.start
    for _, entry in sorted(facts["in"].items()):
        identity = context.identity(entry["n"])
        if not entry["v"]:
            unstated.append((identity, entry, "declared"))
        for version, said in sorted(entry["v"].items()):
            io = {**entry["io"], **said["io"]}
            _join(reads, _Read(identity, version, "stated", "declared", said["w"], since, io, _until(facts, said)))
    for _, output in sorted(facts["out"].items()):
        basis, named = _named(facts, output)
        unstated += [(context.identity(name), {"w": output["w"], "io": {}}, basis) for name in named]
    stated_keys = {key for key, _ in reads}
    bound: set[str] = set()
    for identity, entry, basis in unstated:
        if identity.key in stated_keys or (basis != "declared" and identity.key in bound):
            continue
        bound.add(identity.key)
        for when in meaning.read_at or (None,):
            for found in context.read_at(identity, when, facts["id"]):
                how = "unknown" if found.version is None else "inferred"
                io, other = entry["io"], found.identity.key != identity.key
                through = f"{identity.namespace} {identity.name}" if other else None
                why = basis if found.through is None else found.basis
                _join(
                    reads,
                    _Read(found.identity, found.version, how, why, entry["w"], when, {} if other else io, _until(facts, entry), through),
                )
    return reads


def _named(facts: Facts, output: Facts) -> tuple[str, list[list[str]]]:
    """(basis, datasets) that an output is said to come from (rule 2); the basis is ``cartesian`` where nothing is said.

    Where a run's job carries an explicit ``lineage`` facet, that is complete: nothing is added from column lineage or the inputs. An
    output that it does not describe comes from what it says flows into the own job.
    """
    if "exp" in output:
        return "explicit", output["exp"]["src"]
    if facts.get("lin"):
        return "explicit", into_own_job(facts)[0]
    columns = value_of(output.get("col"))
    return ("column", columns) if columns else ("cartesian", [])


def _until(facts: Facts, entry: Facts) -> int | None:
    """Just after the entry was last named, where a later snapshot of the run no longer names it."""
    last: int = entry.get("u", 0)
    return last + 1 if "u" in entry and last < facts.get("snap", 0) else None


def _join(reads: dict[tuple[str, str | None], _Read], read: _Read) -> None:
    place = (read.identity.key, read.version)
    old = reads.get(place)
    if old is not None:
        cells = {name: max((c for c in (old.io.get(name), read.io.get(name)) if c), key=canonical) for name in {*old.io, *read.io}}
        since = min((when for when in (old.since, read.since) if when is not None), default=None)
        until = None if old.until is None or read.until is None else max(old.until, read.until)
        through = old.through if read.through is not None else None
        witness = min(old.witness, read.witness)
        read = _Read(read.identity, read.version, read.version_basis, old.basis, witness, since, cells, until, through)
    reads[place] = read


def _rows(claims: Claims, version: str, facets: dict[str, Json], witness: str) -> dict[str, Json]:
    """Edge properties that say which rows were read; each row set becomes a node beside the version.

    ``row_set`` is the one stated; where one version was read as several row sets, ``row_sets`` holds all of them.
    """
    if not facets:
        return {}
    listed = facets.get("govern_rowSet")
    others = {name: value for name, value in facets.items() if name != "govern_rowSet"}
    found: dict[str, Json] = input_props(others)
    if others:
        found["facets_digest"] = facets_digest(others)
    sets, roles = [], set()
    for one in listed if isinstance(listed, list) else []:
        digest, count = one.get("digest"), one.get("count")
        if isinstance(digest, str) and isinstance(count, int) and not isinstance(count, bool):
            rows = claims.node(row_set_key(digest, count), "RowSet", digest=digest, count=count)
            claims.link("OF", rows, version, witness=witness)
            sets.append(content(one))
        if isinstance(one.get("role"), str):
            roles.add(one["role"])
    if sets:
        found["row_set"] = sets[0]
    if len(sets) > 1:
        found["row_sets"] = sets
    if roles:
        found["role"] = "+".join(sorted(roles))
    return found


def _writes(
    claims: Claims, facts: Facts, meaning: RunState, reads: dict[tuple[str, str | None], _Read], context: Context
) -> list[tuple[str, bool, Mapping[str, Json]]]:
    """What the run wrote, or would have written; returns (key, whether of a model, facets) of every version."""
    run = run_key(facts["id"])
    job = value_of(facts.get("job"))
    since = meaning.written_at or meaning.start
    by_dataset: dict[str, list[_Read]] = {}
    for read in reads.values():
        by_dataset.setdefault(read.identity.key, []).append(read)
        if read.through is not None:  # what is said to come from a view comes from what the view is made of
            by_dataset.setdefault(read.through, []).append(read)
    versions: dict[str, set[str]] = {}  # names of one dataset are one output: versions, and the order of their names, are joined
    outputs: dict[str, list[Facts]] = {}
    for _, output in sorted(facts["out"].items()):
        identity = context.identity(output["n"])
        outputs.setdefault(identity.key, []).append(output)
        versions.setdefault(identity.key, set()).update(output["v"])
    made: list[tuple[str, bool, Mapping[str, Json]]] = []
    for dataset, parts in sorted(outputs.items()):
        identity = context.identity(parts[0]["n"])
        basis, sources = _sources(facts, parts, reads, context)
        dangling = basis == "explicit" and not any("exp" in part for part in parts)
        witness = min(part["w"] for part in parts)
        present = any(_until(facts, part) is None for part in parts)
        if job is not None and meaning.outputs != "planned" and present:
            claims.link("WRITES", job_key(job[0], job[1]), dataset, witness=witness)
        facets, io = _said(parts)
        for version in sorted(versions[dataset]) or versions_written(facts, parts[0]):
            key = claim_version(claims, identity, version, witness)
            claims.tell(key, f"1/{stamp(since or 0)}", _output_props(facts, facets, io, meaning))
            made.append((key, identity.model, {**facets, **io}))
            if meaning.outputs == "planned":
                claims.edge("PLANNED", run, key, witness=witness, since=since, basis=basis)
                continue
            cartesian = basis == "cartesian"
            more: dict[str, Json] = {"inputs": len(reads), "outputs": len(outputs)} if cartesian else {}
            if dangling and not any(into_own_job(facts)):
                more["dangling"] = True
            until = _end(facts, parts, version)
            status = meaning.outputs
            claims.edge("PRODUCED", run, key, walk=cartesian, witness=witness, since=since, until=until, basis=basis, status=status, **more)
            origins = {read.identity.version_key(read.version): read for source in sorted(sources) for read in by_dataset.get(source, [])}
            for origin, read in origins.items():
                if origin != key:
                    claims.edge(
                        "DERIVED",
                        origin,
                        key,
                        more=(facts["id"],),
                        walk=True,
                        witness=witness,
                        since=since,
                        until=until,
                        basis=basis,
                        version_basis=read.version_basis,
                        run=facts["id"],
                        status=status,
                    )
            handed = into_own_job(facts)[1] if dangling else [one for part in parts for one in part.get("exp", {}).get("jobs", ())]
            for hand in sorted({tuple(one) for one in handed}):
                claim_handed(claims, facts, meaning, context, hand, target=key, witness=witness, since=since)
    return made


def _end(facts: Facts, parts: list[Facts], version: str) -> int | None:
    """When a snapshot of the run no longer named this version of an output."""
    ends = [_until(facts, part["v"].get(version, part)) for part in parts]
    last = [end for end in ends if end is not None]
    return max(last) if len(last) == len(ends) else None


def _sources(facts: Facts, parts: list[Facts], reads: dict[tuple[str, str | None], _Read], context: Context) -> tuple[str, set[str]]:
    """(basis, keys of datasets, or names of views) from which an output comes: explicit, else column lineage, else all inputs (rule 2)."""
    found = [_named(facts, part) for part in parts]
    basis = min((basis for basis, _ in found), key=_PRECEDENCE.index)
    sources: set[str] = set()
    for one in (context.identity(name) for how, names in found if how == basis for name in names):
        sources |= {one.key, f"{one.namespace} {one.name}"}
    if any(part["exp"]["job"] for part in parts if "exp" in part):
        sources |= {dataset for dataset, _ in reads}
    return basis, sources


_PRECEDENCE = ("explicit", "column", "cartesian")


def _said(parts: list[Facts]) -> tuple[dict[str, Json], dict[str, Json]]:
    """(dataset facets, output facets) of an output under all its names."""
    facets: dict[str, Json] = {}
    io: dict[str, Json] = {}
    for part in parts:
        facets.update(visible(part["f"]))
        io.update(stated(part["io"]))
    return facets, io


def _output_props(facts: Facts, facets: dict[str, Json], io: dict[str, Json], meaning: RunState) -> dict[str, Json]:
    props = {"created": meaning.written_at, "status": meaning.outputs, "run": facts["id"], **version_props(facets, io)}
    if facets or io:
        props["facets_digest"] = facets_digest({**facets, **io})
    return props
