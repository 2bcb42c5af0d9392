"""What stands beside a run: its job, code, parameters, environment, parents, its tests, and the deployment that it is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence

import rfc8785

from lineage.graph.claims import Claims
from lineage.graph.derive_props import evaluations, facets_digest, run_props
from lineage.graph.facts import Facts, stated, value_of
from lineage.graph.keys import (
    canonical,
    code_key,
    deployment_key,
    environment_key,
    job_key,
    job_version_key,
    params_key,
    run_key,
    test_key,
)
from lineage.graph.meaning import RunState
from lineage.model import Json

__all__ = ["claim_beside", "claim_deployment", "claim_tests", "content"]


def claim_beside(claims: Claims, facts: Facts, run: str, meaning: RunState) -> None:
    """The run itself and all that it is connected with but data."""
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
    if meaning.state == "COMPLETE" and meaning.attempts > 1:  # the message of an attempt that failed before; the facet keeps it
        props.pop("error", None)
    if facets:
        props["facets_digest"] = facets_digest(facets)
    code = None
    location = value_of(facts.get("code"))
    if isinstance(location, dict):
        location = content(location)
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
        details = content(environment)
        target = claims.node(environment_key(details), "Environment", **{"details": details, **_texts(details)})
        claims.edge("IN_ENV", run, target, witness=witness, since=meaning.start)
    parent = value_of(facts.get("parent"))
    if parent is not None and parent[0] != facts["id"]:
        above = claims.node(run_key(parent[0]), "Run", run_id=parent[0])
        claims.edge("CHILD_OF", run, above, witness=witness, since=meaning.start, job={"namespace": parent[1], "name": parent[2]})
    root = value_of(facts.get("root"))
    if root is not None and root[0] != facts["id"]:
        above = claims.node(run_key(root[0]), "Run", run_id=root[0])
        claims.edge("ROOT", run, above, witness=witness, since=meaning.start, job={"namespace": root[1], "name": root[2]})
    claims.tell(run, "0", props)


def claim_tests(claims: Claims, facts: Facts, meaning: RunState, tested: Sequence[tuple[str, bool, Mapping[str, Json]]]) -> None:
    """A Test for every result of the run's ``test`` facet, and of the ``dataQualityAssertions`` of what it read and wrote.

    ``tested`` are the versions: (key, whether of a model, facets said of it by this run). The results of the ``test`` facet speak of
    the models among them, or where there are none of all datasets; assertions speak of their own version.
    """
    if "test" not in facts["f"] and not any("dataQualityAssertions" in facets for _, _, facets in tested):
        return
    results = evaluations(value_of(facts["f"].get("test")), "tests")
    subjects = sorted({key for key, model, _ in tested if model} or {key for key, _, _ in tested}) if results else []
    for result in results:
        _test(claims, facts, meaning, result=result, subjects=subjects, of="")
    for key, _, facets in tested:
        for result in evaluations(facets.get("dataQualityAssertions"), "assertions"):
            _test(claims, facts, meaning, result=result, subjects=[key], of=key)


def _test(claims: Claims, facts: Facts, meaning: RunState, *, result: dict[str, Json], subjects: Sequence[str], of: str) -> None:
    run = run_key(facts["id"])
    test = claims.node(test_key(facts["id"], result["name"], of), "Test", name=result["name"], run=facts["id"])
    claims.tell(test, "0", result)
    claims.edge("EVIDENCED_BY", test, run, witness=facts["w"], since=meaning.start)
    for subject in subjects:
        claims.edge("AUDITED_BY", subject, test, witness=facts["w"], since=meaning.end or meaning.start)


def claim_deployment(claims: Claims, facts: Facts, run: str, meaning: RunState, models: Sequence[tuple[str, str, str]]) -> None:
    """The Deployment that a run of a SERVICE job is; ``models`` are (version key, version basis, witness) of what it serves."""
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
    for version, version_basis, witness in models:
        claims.edge(
            "DEPLOYED_AS",
            version,
            key,
            walk=True,
            witness=witness,
            since=meaning.start,
            until=meaning.end,
            basis="declared",
            version_basis=version_basis,
        )


def content(facet: dict[str, Json]) -> dict[str, Json]:
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
