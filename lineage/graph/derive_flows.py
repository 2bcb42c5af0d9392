"""What explicit lineage says of jobs: data handed from run to run, or read by a job that the event only names.

A job is named with its run, or without. Without, the run is the one of that job that began last when the data was taken over
(``run_basis: inferred``); where none is known, or where a job is a target, the flow ends at the Job itself (``unknown``), so that it is
seen and not lost.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from lineage.graph.claims import Claims
from lineage.graph.context import Context
from lineage.graph.facts import Facts
from lineage.graph.keys import job_key, run_key
from lineage.graph.meaning import RunState

__all__ = ["claim_handed", "claim_job_flows", "into_own_job"]


def claim_job_flows(claims: Claims, facts: Facts, meaning: RunState, context: Context) -> None:
    """The flows into jobs that the run's explicit lineage states; what its own job reads is among its inputs."""
    since = meaning.read_at[-1] if meaning.read_at else meaning.start
    for target, flow in sorted(facts["jf"].items()):
        namespace, name, run_id = json.loads(target)
        job = claims.node(job_key(namespace, name), "Job", namespace=namespace, name=name)
        end = job if not run_id else claims.node(run_key(run_id), "Run", run_id=run_id)
        for dataset in flow["d"] if run_id != facts["id"] else ():  # what the own job reads is claimed with its inputs
            identity = context.identity(dataset)
            for read in context.read_at(identity, since, run_id or None):
                one = read.identity
                whole = claims.node(one.key, one.label, namespace=one.namespace, name=one.name)
                label = "ModelVersion" if one.model else "DatasetVersion"
                key = claims.node(one.version_key(read.version), label, namespace=one.namespace, name=one.name, version=read.version)
                claims.link("HAS_VERSION", whole, key, witness=facts["w"])
                claims.link("READ_BY", whole, job, witness=facts["w"])
                claims.edge(
                    "INPUT_TO",
                    key,
                    end,
                    more=(facts["id"],),
                    walk=True,
                    witness=facts["w"],
                    since=since,
                    basis="explicit",
                    version_basis="unknown" if read.version is None else "inferred",
                    run_basis="stated" if run_id else "unknown",
                    run=facts["id"],
                )
        for source in flow["j"]:
            claims.link("HANDS_TO", _job(claims, source), job, witness=facts["w"])
            claim_handed(claims, facts, meaning, context, source, target=end, witness=facts["w"], since=since)


def into_own_job(facts: Facts) -> tuple[list[list[str]], list[list[str]]]:
    """(datasets, jobs) that explicit lineage says flow into the run's own job: what it writes without saying more comes from them."""
    own = [flow for target, flow in sorted(facts.get("jf", {}).items()) if json.loads(target)[2] == facts["id"]]
    return [name for flow in own for name in flow["d"]], [source for flow in own for source in flow["j"]]


def claim_handed(
    claims: Claims,
    facts: Facts,
    meaning: RunState,
    context: Context,
    source: Sequence[str],
    *,
    target: str,
    witness: str,
    since: int | None,
) -> None:
    """Data that a run of the job ``source`` (namespace, name, run id or "") handed to ``target`` without a dataset between them."""
    namespace, name, stated = source
    job = _job(claims, source)
    when = meaning.read_at[-1] if meaning.read_at else meaning.start
    run_id = stated or context.run_at((namespace, name), when, facts["id"])
    origin = job if run_id is None else claims.node(run_key(run_id), "Run", run_id=run_id)
    if origin == target:
        return
    claims.edge(
        "DERIVED",
        origin,
        target,
        more=(facts["id"], namespace, name),
        walk=True,
        witness=witness,
        since=since,
        basis="explicit",
        run_basis="stated" if stated else "unknown" if run_id is None else "inferred",
        run=facts["id"],
        status=meaning.outputs,
    )


def _job(claims: Claims, source: Sequence[str]) -> str:
    return claims.node(job_key(source[0], source[1]), "Job", namespace=source[0], name=source[1])
