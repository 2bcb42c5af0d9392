"""Runs and job versions as Marquez shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lineage.marquez.known import JobFacts, Known, Part, RunFacts
from lineage.marquez.names import instant, uuid_of, version_id, zoned
from lineage.model import Json

__all__ = ["RUNS_READ", "job_version", "job_versions", "named", "run_facets", "run_view"]

RUNS_READ = 1000
"""So many of a job's runs, the newest, are looked at for its versions."""

_STATES = {"COMPLETE": "COMPLETED", "FAIL": "FAILED", "ABORT": "ABORTED", "RUNNING": "RUNNING", "START": "RUNNING"}
_PARENTS = frozenset({"parent", "parentRun"})


def run_view(run: RunFacts) -> dict[str, Json]:
    """A run, as in ``GET /jobs/runs/{id}``."""
    started = _started(run)
    ended = run.meaning.end
    nominal = run.facets.get("nominalTime")
    nominal = nominal if isinstance(nominal, dict) else {}
    first = run.facts.get("t")
    return {
        "id": run.id,
        "createdAt": instant(first),
        "updatedAt": instant(run.facts.get("u", first)),
        "nominalStartTime": _text(nominal.get("nominalStartTime")),
        "nominalEndTime": _text(nominal.get("nominalEndTime")),
        "state": _STATES.get(run.meaning.state, "NEW"),
        "startedAt": instant(started),
        "endedAt": instant(ended),
        "durationMs": None if started is None or ended is None else (ended - started) // 1_000_000,
        "args": _args(run, nominal),
        "jobVersion": None if run.job is None else {"namespace": run.job[0], "name": run.job[1], "version": job_version(run)},
        "inputDatasetVersions": [_version(part) for part in run.inputs],
        "outputDatasetVersions": [_version(part) for part in run.outputs],
        "facets": {name: body for name, body in run.facets.items() if name not in _PARENTS},
    }


def run_facets(known: Known, run: RunFacts, kind: str) -> dict[str, Json]:
    """The facets of a run or of its job, as in ``GET /jobs/runs/{id}/facets``."""
    facets: Mapping[str, Json] = run.facets
    if kind == "job":
        job = known.job(*run.job) if run.job is not None else None
        facets = job.facets if job is not None else {}
    return {"runId": run.id, "facets": dict(facets)}


def job_version(run: RunFacts) -> str:
    """The id of what its job was in this run: its name, what it read and wrote, and where its code lies."""
    return uuid_of("job-version", list(run.job or ()), named(run.inputs), named(run.outputs), run.location)


def job_versions(known: Known, job: JobFacts) -> list[dict[str, Json]]:
    """What a job has been, the newest first, as in ``GET …/jobs/{job}/versions``; its last :data:`RUNS_READ` runs are looked at."""
    found: dict[str, list[RunFacts]] = {}
    for run in known.runs(job.ident, limit=RUNS_READ):
        found.setdefault(job_version(run), []).append(run)
    return [_job_version(job, version, runs) for version, runs in found.items()]


def _job_version(job: JobFacts, version: str, runs: Sequence[RunFacts]) -> dict[str, Json]:
    newest, oldest = runs[0], runs[-1]
    place = {"namespace": job.namespace, "name": job.name, "version": version}
    return {
        "id": place,
        "name": job.name,
        "createdAt": instant(oldest.facts.get("t")),
        "version": version,
        "namespace": job.namespace,
        "location": newest.location,
        "inputs": named(newest.inputs),
        "outputs": named(newest.outputs),
        "latestRun": run_view(newest),
    }


def named(parts: Sequence[Part]) -> list[dict[str, str]]:
    """The datasets, each once, sorted."""
    names = sorted({(part.identity.namespace, part.identity.name) for part in parts})
    return [{"namespace": namespace, "name": name} for namespace, name in names]


def _version(part: Part) -> dict[str, Json]:
    place = {"namespace": part.identity.namespace, "name": part.identity.name, "version": version_id(part.key)}
    return {"datasetVersionId": place, "facets": dict(part.facets)}


def _started(run: RunFacts) -> int | None:
    """When the last attempt was started; ``None`` when no START was sent."""
    starts, ends = run.facts["starts"], run.facts["ends"]
    if not starts:
        return None
    before = max((end[0] for end in ends if end[0] and end[0] < starts[-1]), default=None)
    found: int = next((start for start in starts if before is None or start > before), starts[-1])
    return found


def _args(run: RunFacts, nominal: Mapping[str, Json]) -> dict[str, str]:
    """Marquez's run arguments: the nominal times and the parent."""
    found = {"nominal_start_time": zoned(nominal.get("nominalStartTime")), "nominal_end_time": zoned(nominal.get("nominalEndTime"))}
    args = {name: value for name, value in found.items() if value is not None}
    if run.parent is not None:
        args |= {"run_id": run.parent[0], "name": run.parent[2], "namespace": run.parent[1]}
    return args


def _text(value: Json) -> str | None:
    return value if isinstance(value, str) else None
