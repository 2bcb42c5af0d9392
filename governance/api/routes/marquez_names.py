"""Marquez's reads of things by name: namespaces, sources, tags, datasets, jobs, runs and their versions.

Names stand percent-encoded in the path (``s3%3A%2F%2Flake``). There is nothing to write here: all that Marquez lets a client put is
said by OpenLineage events.
"""

from __future__ import annotations

from typing import Any, Final

from governance.api.call import Call, Param, Reply, Route
from governance.api.routes.marquez import PAGE, READ, answer
from lineage.errors import BadInput

__all__ = ["ROUTES"]

_DATASET: Final = "/api/v1/namespaces/{namespace}/datasets/{dataset}"
_JOB: Final = "/api/v1/namespaces/{namespace}/jobs/{job}"


def namespaces(system: Any, call: Call) -> Reply:
    """All namespaces."""
    return answer(system, system.marquez().namespaces(**call.query))


def namespace(system: Any, call: Call) -> Reply:
    """One namespace."""
    return answer(system, system.marquez().namespace(call.path["namespace"]))


def sources(system: Any, call: Call) -> Reply:
    """All sources."""
    return answer(system, system.marquez().sources(**call.query))


def source(system: Any, call: Call) -> Reply:
    """One source."""
    return answer(system, system.marquez().source(call.path["source"]))


def tags(system: Any, call: Call) -> Reply:
    """All tags."""
    return answer(system, system.marquez().tags(**call.query))


def datasets(system: Any, call: Call) -> Reply:
    """The datasets of a namespace."""
    return answer(system, system.marquez().datasets(call.path["namespace"], **call.query))


def dataset(system: Any, call: Call) -> Reply:
    """One dataset."""
    return answer(system, system.marquez().dataset(call.path["namespace"], call.path["dataset"]))


def dataset_versions(system: Any, call: Call) -> Reply:
    """The versions of a dataset."""
    return answer(system, system.marquez().versions(call.path["namespace"], call.path["dataset"], **call.query))


def dataset_version(system: Any, call: Call) -> Reply:
    """One version of a dataset."""
    return answer(system, system.marquez().version(call.path["namespace"], call.path["dataset"], call.path["version"]))


def all_jobs(system: Any, call: Call) -> Reply:
    """The jobs of all namespaces."""
    return answer(system, _jobs(system, None, call))


def jobs(system: Any, call: Call) -> Reply:
    """The jobs of a namespace."""
    return answer(system, _jobs(system, call.path["namespace"], call))


def job(system: Any, call: Call) -> Reply:
    """One job."""
    return answer(system, system.marquez().job(call.path["namespace"], call.path["job"]))


def job_versions(system: Any, call: Call) -> Reply:
    """What a job has been."""
    return answer(system, system.marquez().job_versions(call.path["namespace"], call.path["job"], **call.query))


def job_version(system: Any, call: Call) -> Reply:
    """One version of a job."""
    return answer(system, system.marquez().job_version(call.path["namespace"], call.path["job"], call.path["version"]))


def job_runs(system: Any, call: Call) -> Reply:
    """The runs of a job."""
    return answer(system, system.marquez().runs(call.path["namespace"], call.path["job"], **call.query))


def run(system: Any, call: Call) -> Reply:
    """One run."""
    return answer(system, system.marquez().run(call.path["id"]))


def run_facets(system: Any, call: Call) -> Reply:
    """The facets of a run or of its job."""
    kind = (call.query["type"] or "").lower()
    if kind not in ("run", "job"):
        raise BadInput("query param type must be run or job", hint="type=run")
    return answer(system, system.marquez().run_facets(call.path["id"], kind))


def _jobs(system: Any, name: str | None, call: Call) -> Any:
    query = call.query
    return system.marquez().jobs(name, states=tuple(query["lastRunStates"]), limit=query["limit"], offset=query["offset"])


_STATES = {"items": {"enum": ["NEW", "RUNNING", "COMPLETED", "FAILED", "ABORTED"]}}
_JOBS = (*PAGE, Param(name="lastRunStates", kind="list", default=(), schema=_STATES, about="only jobs whose latest run is one of these"))

ROUTES = (
    Route(**READ, path="/api/v1/namespaces", summary="Namespaces", handler=namespaces, query=PAGE),
    Route(**READ, path="/api/v1/namespaces/{namespace}", summary="One namespace", handler=namespace),
    Route(**READ, path="/api/v1/sources", summary="Sources that `dataSource` facets name", handler=sources, query=PAGE),
    Route(**READ, path="/api/v1/sources/{source}", summary="One source", handler=source),
    Route(**READ, path="/api/v1/tags", summary="Tags of datasets and jobs", handler=tags, query=PAGE),
    Route(**READ, path="/api/v1/namespaces/{namespace}/datasets", summary="Datasets and models", handler=datasets, query=PAGE),
    Route(**READ, path=_DATASET, summary="One dataset, by any of its names", handler=dataset),
    Route(**READ, path=f"{_DATASET}/versions", summary="Versions of a dataset, the newest first", handler=dataset_versions, query=PAGE),
    Route(**READ, path=f"{_DATASET}/versions/{{version}}", summary="One version of a dataset", handler=dataset_version),
    Route(**READ, path="/api/v1/jobs", summary="Jobs of all namespaces", handler=all_jobs, query=_JOBS),
    Route(**READ, path="/api/v1/namespaces/{namespace}/jobs", summary="Jobs of a namespace", handler=jobs, query=_JOBS),
    Route(**READ, path=_JOB, summary="One job", handler=job),
    Route(**READ, path=f"{_JOB}/versions", summary="What a job has been, the newest first", handler=job_versions, query=PAGE),
    Route(**READ, path=f"{_JOB}/versions/{{version}}", summary="One version of a job", handler=job_version),
    Route(**READ, path=f"{_JOB}/runs", summary="Runs of a job, the last first", handler=job_runs, query=PAGE),
    Route(**READ, path="/api/v1/jobs/runs/{id}", summary="One run", handler=run),
    Route(
        **READ,
        path="/api/v1/jobs/runs/{id}/facets",
        summary="The facets of a run or of its job",
        handler=run_facets,
        query=(Param(name="type", about="`run` or `job`", required=True, schema={"enum": ["run", "job"]}),),
    ),
)
