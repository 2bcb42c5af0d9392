"""The parts of an event, as values of the official client's classes: datasets, models, jobs, parameters, the event itself. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent, RunState
from openlineage.client.facet_v2 import (
    PRODUCER,
    BaseFacet,
    DatasetFacet,
    InputDatasetFacet,
    JobFacet,
    OutputDatasetFacet,
    RunFacet,
    dataset_type_dataset,
    dataset_version_dataset,
    execution_parameters_run,
    input_statistics_input_dataset,
    job_type_job,
    output_statistics_output_dataset,
    schema_dataset,
)
from openlineage.client.serde import Serde

from lineage.emit._facets import GovernModelDatasetFacet, GovernRowSetDatasetFacet, GovernRowSetInputDatasetFacet
from lineage.emit._rows import RowSet

__all__ = ["dataset_facets", "dataset_input", "dataset_output", "job", "model_input", "model_output", "parameters", "run_event"]

_PROCESSING: Final = {"DEPLOYMENT": "SERVICE"}
"""Kinds of jobs that are no BATCH job."""


def dataset_input(
    namespace: str,
    name: str,
    *,
    version: str | None = None,
    rows: RowSet | None = None,
    role: str | None = None,
    row_count: int | None = None,
    facets: Mapping[str, DatasetFacet] | None = None,
) -> InputDataset:
    """A dataset that was read.

    Args:
        namespace: OpenLineage namespace, e.g. ``s3://lake``.
        name: its name there.
        version: which version was read; without it Govern infers one from time, and every answer says so.
        rows: which of its rows; without it Govern says for a store it cannot read that they are unknown.
        role: what they were read for: ``train``, ``test``, ``reference``.
        row_count: rows read, where no set of them is stated.
        facets: further dataset facets.

    >>> read = dataset_input("s3://lake", "orders", version="7", rows=RowSet(digest="rs1:ab", count=3), role="train")
    >>> read.facets["version"].datasetVersion, read.inputFacets["govern_rowSet"].count
    ('7', 3)
    """
    counted = rows.count if rows is not None else row_count
    told: dict[str, InputDatasetFacet] = {}
    if rows is not None:
        told["govern_rowSet"] = GovernRowSetInputDatasetFacet(
            digest=rows.digest, count=rows.count, role=role, uri=rows.uri, keyColumns=list(rows.key_columns) or None
        )
    if counted is not None:
        told["inputStatistics"] = input_statistics_input_dataset.InputStatisticsInputDatasetFacet(rowCount=counted)
    return InputDataset(namespace=namespace, name=name, facets={**_version(version), **(facets or {})}, inputFacets=told)


def dataset_output(
    namespace: str,
    name: str,
    *,
    version: str | None = None,
    rows: RowSet | None = None,
    row_count: int | None = None,
    columns: Mapping[str, str] | None = None,
    facets: Mapping[str, DatasetFacet] | None = None,
) -> OutputDataset:
    """A dataset that was written; ``rows`` are the rows it holds, ``columns`` map a name to its type."""
    counted = rows.count if rows is not None else row_count
    told = _pinned(version, rows)
    if columns is not None:
        fields = [schema_dataset.SchemaDatasetFacetFields(name=column, type=kind) for column, kind in columns.items()]
        told["schema"] = schema_dataset.SchemaDatasetFacet(fields=fields)
    statistics: dict[str, OutputDatasetFacet] = {}
    if counted is not None:
        statistics["outputStatistics"] = output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(rowCount=counted)
    return OutputDataset(namespace=namespace, name=name, facets={**told, **(facets or {})}, outputFacets=statistics)


def dataset_facets(*, version: str, rows: RowSet, producer: str) -> dict[str, Any]:
    """The facets that pin a dataset version and its rows, as JSON, for whoever writes an event of their own."""
    facets = _pinned(version, rows)
    _sign(facets, producer)
    return {name: Serde.to_dict(facet) for name, facet in facets.items()}


def model_input(namespace: str, name: str, version: str) -> InputDataset:
    """A model version that was read: by an audit, a batch scoring, a deployment."""
    return InputDataset(namespace=namespace, name=name, facets=_model(version))


def model_output(
    namespace: str,
    name: str,
    version: str,
    *,
    digest: str | None = None,
    size: int | None = None,
    metrics: Mapping[str, float] | None = None,
) -> OutputDataset:
    """A model version that was made: a dataset of type MODEL; ``digest`` and ``size`` are its artifact's."""
    facets = _model(version)
    if not (digest is None and size is None and metrics is None):
        facets["govern_model"] = GovernModelDatasetFacet(digest=digest, size=size, metrics=_finite(metrics))
    return OutputDataset(namespace=namespace, name=name, facets=facets)


def job(namespace: str, name: str, kind: str = "TRAINING", *, integration: str = "PYTHON", code: JobFacet | None = None) -> Job:
    """A job: BATCH, or SERVICE where ``kind`` is ``DEPLOYMENT``; ``code`` as :func:`lineage.emit.code_location` makes it."""
    facets: dict[str, JobFacet] = {
        "jobType": job_type_job.JobTypeJobFacet(processingType=_PROCESSING.get(kind, "BATCH"), integration=integration, jobType=kind)
    }
    if code is not None:
        facets["sourceCodeLocation"] = code
    return Job(namespace=namespace, name=name, facets=facets)


def parameters(values: Mapping[str, Any]) -> execution_parameters_run.ExecutionParametersRunFacet:
    """Hyperparameters as the ``executionParameters`` facet: sorted by name, texts as they are, anything else as its JSON.

    >>> [(one.key, one.value) for one in parameters({"lr": 0.1, "solver": "lbfgs", "warm": True}).parameters]
    [('lr', '0.1'), ('solver', 'lbfgs'), ('warm', 'true')]
    """
    return execution_parameters_run.ExecutionParametersRunFacet(
        parameters=[
            execution_parameters_run.ExecutionParameter(
                key=name, value=value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)
            )
            for name, value in sorted(values.items())
        ]
    )


def run_event(
    state: str,
    *,
    at: int,
    run_id: str,
    job: Job,
    producer: str,
    inputs: Iterable[InputDataset] = (),
    outputs: Iterable[OutputDataset] = (),
    facets: Mapping[str, RunFacet] | None = None,
) -> RunEvent:
    """One RunEvent; what it holds of unnamed producer is said to be ``producer``'s.

    Args:
        state: START, RUNNING, COMPLETE, FAIL, ABORT or OTHER.
        at: UTC nanoseconds; told in microseconds, rounded down.
        run_id: a UUID, the same in all events of the run.
        job: what ran.
        producer: URI of who says so.
        inputs: what was read.
        outputs: what was written.
        facets: run facets.
    """
    event = RunEvent(
        eventType=RunState(state),
        eventTime=_time(at),
        run=Run(runId=run_id, facets=dict(facets or {})),
        job=job,
        inputs=list(inputs),
        outputs=list(outputs),
        producer=producer,
    )
    groups: list[Mapping[str, BaseFacet] | None] = [event.run.facets, event.job.facets]
    groups += [group for one in event.inputs or [] for group in (one.facets, one.inputFacets)]
    groups += [group for one in event.outputs or [] for group in (one.facets, one.outputFacets)]
    for group in groups:
        _sign(group or {}, producer)
    return event


def _sign(facets: Mapping[str, BaseFacet], producer: str) -> None:
    """Name the producer of facets that name none; one that a caller passes as ready JSON names its own."""
    for facet in facets.values():
        if getattr(facet, "_producer", None) == PRODUCER:
            facet._producer = producer  # noqa: SLF001  # the name that the standard gives this field


def _pinned(version: str | None, rows: RowSet | None) -> dict[str, DatasetFacet]:
    told = _version(version)
    if rows is not None:
        told["govern_rowSet"] = GovernRowSetDatasetFacet(
            digest=rows.digest, count=rows.count, uri=rows.uri, keyColumns=list(rows.key_columns) or None
        )
    return told


def _version(version: str | None) -> dict[str, DatasetFacet]:
    return {} if version is None else {"version": dataset_version_dataset.DatasetVersionDatasetFacet(datasetVersion=version)}


def _model(version: str) -> dict[str, DatasetFacet]:
    return {"datasetType": dataset_type_dataset.DatasetTypeDatasetFacet(datasetType="MODEL"), **_version(version)}


def _finite(metrics: Mapping[str, float] | None) -> dict[str, float] | None:
    """Metrics that JSON can say, sorted by name."""
    if metrics is None:
        return None
    return {name: float(value) for name, value in sorted(metrics.items()) if math.isfinite(value)}


def _time(at: int) -> str:
    seconds, nanos = divmod(at, 1_000_000_000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=nanos // 1000).isoformat(timespec="microseconds").replace("+00:00", "Z")
