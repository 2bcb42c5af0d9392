"""Jobs as Marquez shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lineage.marquez.datasets import tags_of
from lineage.marquez.known import JobFacts, Known, RunFacts
from lineage.marquez.names import instant, uuid_of
from lineage.marquez.runs import job_version, named, run_view
from lineage.model import Json, Node

__all__ = ["LATEST", "job_data", "job_of", "job_view"]

LATEST = 10
"""So many runs are shown with a job."""

_TYPES = {"STREAMING": "STREAM", "SERVICE": "SERVICE"}


def job_of(known: Known, node: Node) -> JobFacts:
    """The facts of a Job node; of one that is only named (by a parent, by a lineage facet) its name is known."""
    namespace, name = node.props["namespace"], node.props["name"]
    found = known.job(namespace, name)
    if found is not None:
        return found
    return JobFacts(namespace=namespace, name=name, first=None, last=None, facets={}, processing=None)


def job_data(job: JobFacts, latest: RunFacts | None, recorded_at: int) -> dict[str, Json]:
    """What every view of a job shows; ``inputs`` and ``outputs`` are those of its latest run.

    Args:
        job: what is known of it.
        latest: the run that started last.
        recorded_at: when Govern first knew of it, shown where no event says a time of its own.
    """
    parent = latest.parent if latest is not None else None
    prefix = f"{parent[2]}." if parent else ""
    first = job.first or recorded_at
    location = _facet(job.facets, "sourceCodeLocation").get("url")
    return {
        "id": {"namespace": job.namespace, "name": job.name},
        "type": _TYPES.get(job.processing or "", "BATCH"),
        "name": job.name,
        "simpleName": job.name.removeprefix(prefix) or job.name,
        "parentJobName": parent[2] if parent else None,
        "parentJobUuid": uuid_of("job", parent[1], parent[2]) if parent else None,
        "createdAt": instant(first),
        "updatedAt": instant(job.last or first),
        "namespace": job.namespace,
        "inputs": named(latest.inputs) if latest else [],
        "outputs": named(latest.outputs) if latest else [],
        "location": location if isinstance(location, str) else None,
        "description": _facet(job.facets, "documentation").get("description"),
        "latestRun": run_view(latest) if latest else None,
    }


def job_view(known: Known, node: Node) -> dict[str, Json]:
    """A job, as in ``GET /namespaces/{namespace}/jobs/{job}``."""
    job = job_of(known, node)
    runs = known.runs(job.ident, limit=LATEST)
    latest = runs[0] if runs else None
    return {
        **job_data(job, latest, node.recorded_at),
        "latestRuns": _views(runs) or None,
        "facets": dict(job.facets),
        "currentVersion": job_version(latest) if latest else None,
        "labels": _labels(job.facets),
        "tags": tags_of(job.facets),
    }


def _views(runs: Sequence[RunFacts]) -> list[dict[str, Json]]:
    return [run_view(run) for run in runs]


def _labels(facets: Mapping[str, Json]) -> list[str]:
    kind = _facet(facets, "jobType")
    return [kind[name] for name in ("jobType", "integration") if isinstance(kind.get(name), str)]


def _facet(facets: Mapping[str, Json], name: str) -> Mapping[str, Json]:
    found = facets.get(name)
    return found if isinstance(found, dict) else {}
