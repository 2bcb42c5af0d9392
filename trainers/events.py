"""A training in OpenLineage's own words: a BATCH run from dataset versions to a model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from trainers.model import InputSpec, TrainRecord, TrainSpec
from trainers.params import params_digest

__all__ = ["PRODUCER", "training_event"]

PRODUCER: Final = "https://github.com/govern-ml/govern"
_SPEC: Final = "https://openlineage.io/spec"
_TYPES: Final = frozenset({"START", "RUNNING", "COMPLETE", "FAIL", "ABORT"})


def training_event(
    spec: TrainSpec,
    *,
    run_id: str,
    event_type: str,
    at: int,
    installation: str,
    record: TrainRecord | None = None,
    job_namespace: str = "govern",
    policy_digest: str | None = None,
) -> dict[str, Any]:
    """One OpenLineage 2-0-2 RunEvent of a training.

    Args:
        spec: what is trained.
        run_id: UUID of the run; it is also the version of the model it makes.
        event_type: START, RUNNING, COMPLETE, FAIL or ABORT.
        at: event time, UTC nanoseconds (told in microseconds, rounded down).
        installation: our datasets and models are in ``govern://<installation>``.
        record: how it ended; gives artifact, metrics, spend or the reason.
        job_namespace: namespace of the job; its name is ``train.<model>``.
        policy_digest: digest of the policy under which it was asked for.

    Raises:
        ValueError: another event type.
    """
    if event_type not in _TYPES:
        raise ValueError(f"a training emits no {event_type} event")
    namespace = f"govern://{installation}"
    return {
        "eventType": event_type,
        "eventTime": _time(at),
        "producer": PRODUCER,
        "schemaURL": f"{_SPEC}/2-0-2/OpenLineage.json#/$defs/RunEvent",
        "run": {"runId": run_id, "facets": _run_facets(spec, record, policy_digest)},
        "job": {"namespace": job_namespace, "name": f"train.{spec.model}", "facets": _job_facets(spec)},
        "inputs": [_input(namespace, one) for one in spec.inputs],
        "outputs": [_output(namespace, spec, run_id, record)],
    }


def _run_facets(spec: TrainSpec, record: TrainRecord | None, policy_digest: str | None) -> dict[str, Any]:
    parameters = [
        {"key": name, "value": value if isinstance(value, str) else json.dumps(value, sort_keys=True)}
        for name, value in sorted(spec.params.items())
    ]
    facets = {
        "executionParameters": _facet("1-0-0/ExecutionParametersRunFacet", parameters=parameters),
        "govern_environment": _ours("EnvironmentRunFacet", digest=spec.environment, threads=spec.threads),
        "govern_training": _ours(
            "TrainingRunFacet",
            params=params_digest(spec.params),
            seed=None if spec.privacy else spec.seed,
            code=spec.code,
            entrypoint=spec.entrypoint,
            policy=policy_digest,
        ),
    }
    if spec.privacy is not None:
        spend = record.spend if record is not None else None
        facets["govern_privacy"] = _ours(
            "PrivacyRunFacet",
            epsilon=spec.privacy.epsilon,
            delta=spec.privacy.delta,
            unit=spec.privacy.unit,
            spent=None if spend is None else {"epsilon_rdp": spend.epsilon_rdp, "epsilon_pld": spend.epsilon_pld, "steps": spend.steps},
        )
    if record is not None and record.reason is not None:
        facets["errorMessage"] = _facet("1-0-1/ErrorMessageRunFacet", message=record.reason, programmingLanguage="Python")
    return facets


def _job_facets(spec: TrainSpec) -> dict[str, Any]:
    kind, _, revision = spec.code.partition(":")
    return {
        "jobType": _facet("2-0-4/JobTypeJobFacet", processingType="BATCH", integration="GOVERN", jobType="TRAINING"),
        "sourceCodeLocation": _facet(
            "1-1-0/SourceCodeLocationJobFacet", type=kind, url=spec.code, path=spec.entrypoint.replace(".", "/") + ".py", version=revision
        ),
    }


def _input(namespace: str, given: InputSpec) -> dict[str, Any]:
    return {
        "namespace": namespace,
        "name": given.dataset,
        "facets": {
            "version": _facet("1-0-1/DatasetVersionDatasetFacet", datasetVersion=given.version),
            "govern_rowSet": _ours("RowSetFacet", digest=given.row_set, count=given.rows, role=given.role),
        },
        "inputFacets": {"inputStatistics": _facet("1-0-0/InputStatisticsInputDatasetFacet", rowCount=given.rows)},
    }


def _output(namespace: str, spec: TrainSpec, run_id: str, record: TrainRecord | None) -> dict[str, Any]:
    facets = {
        "datasetType": _facet("1-0-1/DatasetTypeDatasetFacet", datasetType="MODEL"),
        "version": _facet("1-0-1/DatasetVersionDatasetFacet", datasetVersion=run_id),
    }
    if record is not None and record.artifact is not None:
        facets["govern_model"] = _ours(
            "ModelDatasetFacet", digest=record.artifact.digest, size=record.artifact.size, metrics=_finite(record.metrics)
        )
    return {"namespace": namespace, "name": spec.model, "facets": facets}


def _facet(schema: str, **values: Any) -> dict[str, Any]:
    name = schema.rpartition("/")[2]
    return {"_producer": PRODUCER, "_schemaURL": f"{_SPEC}/facets/{schema}.json#/$defs/{name}", **values}


def _ours(name: str, **values: Any) -> dict[str, Any]:
    return {"_producer": PRODUCER, "_schemaURL": f"{PRODUCER}/facets/1-0-0/{name}.json", **values}


def _finite(metrics: Mapping[str, float]) -> dict[str, float]:
    return {name: float(value) for name, value in sorted(metrics.items())}


def _time(at: int) -> str:
    seconds, nanos = divmod(at, 1_000_000_000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=nanos // 1000).isoformat().replace("+00:00", "Z")
