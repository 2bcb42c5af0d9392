"""A training in OpenLineage's own words: a BATCH run from dataset versions to a model. Built with the official client's classes."""

from __future__ import annotations

from typing import Final

from openlineage.client.event_v2 import InputDataset, OutputDataset, RunEvent
from openlineage.client.facet_v2 import RunFacet, error_message_run, source_code_location_job

from lineage import emit
from trainers.model import InputSpec, TrainRecord, TrainSpec
from trainers.params import params_digest

__all__ = ["PRODUCER", "training_event"]

PRODUCER: Final = "https://github.com/govern-ml/govern"
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
) -> RunEvent:
    """One OpenLineage RunEvent of a training.

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
    return emit.run_event(
        event_type,
        at=at,
        run_id=run_id,
        job=emit.job(job_namespace, f"train.{spec.model}", "TRAINING", integration="GOVERN", code=_code(spec)),
        producer=PRODUCER,
        inputs=[_input(namespace, one) for one in spec.inputs],
        outputs=[_output(namespace, spec, run_id, record)],
        facets=_run_facets(spec, record, policy_digest),
    )


def _run_facets(spec: TrainSpec, record: TrainRecord | None, policy_digest: str | None) -> dict[str, RunFacet]:
    facets: dict[str, RunFacet] = {
        "executionParameters": emit.parameters(spec.params),
        "govern_environment": emit.GovernEnvironmentRunFacet(digest=spec.environment, threads=spec.threads),
        "govern_training": emit.GovernTrainingRunFacet(
            params=params_digest(spec.params),
            seed=None if spec.privacy else spec.seed,
            code=spec.code,
            entrypoint=spec.entrypoint,
            policy=policy_digest,
        ),
    }
    if spec.privacy is not None:
        spend = record.spend if record is not None else None
        facets["govern_privacy"] = emit.GovernPrivacyRunFacet(
            epsilon=spec.privacy.epsilon,
            delta=spec.privacy.delta,
            unit=spec.privacy.unit,
            spent=None
            if spend is None
            else emit.PrivacySpent(epsilon_rdp=spend.epsilon_rdp, epsilon_pld=spend.epsilon_pld, steps=spend.steps),
        )
    if record is not None and record.reason is not None:
        facets["errorMessage"] = error_message_run.ErrorMessageRunFacet(message=record.reason, programmingLanguage="Python")
    return facets


def _code(spec: TrainSpec) -> source_code_location_job.SourceCodeLocationJobFacet:
    kind, _, revision = spec.code.partition(":")
    return source_code_location_job.SourceCodeLocationJobFacet(
        type=kind, url=spec.code, path=spec.entrypoint.replace(".", "/") + ".py", version=revision
    )


def _input(namespace: str, given: InputSpec) -> InputDataset:
    rows = emit.RowSet(digest=given.row_set, count=given.rows)
    return emit.dataset_input(namespace, given.dataset, version=given.version, rows=rows, role=given.role)


def _output(namespace: str, spec: TrainSpec, run_id: str, record: TrainRecord | None) -> OutputDataset:
    if record is None or record.artifact is None:
        return emit.model_output(namespace, spec.model, run_id)
    return emit.model_output(
        namespace, spec.model, run_id, digest=record.artifact.digest, size=record.artifact.size, metrics=record.metrics
    )
