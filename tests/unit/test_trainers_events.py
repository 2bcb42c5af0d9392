"""A training in OpenLineage's words: the model's version is the run, row sets are digests, a private run tells no seed."""

from __future__ import annotations

import dataclasses
import json

import pytest
from openlineage.client.serde import Serde

from lineage.errors import BadInput
from trainers.events import PRODUCER, training_event
from trainers.model import ArtifactInfo, InputSpec, PrivacySpec, PrivacySpend, TrainRecord, TrainSpec
from trainers.params import canonical, params_digest

RUN = "0193a1b2-0000-7000-8000-000000000001"
SPEC = TrainSpec(
    model="credit-risk",
    entrypoint="pkg.model",
    code="snapshot:" + "a" * 64,
    params={"lr": 0.1, "name": "adam"},
    seed=7,
    threads=1,
    inputs=(InputSpec(role="train", dataset="credit.train", version="3", row_set="rs1:ab", rows=686),),
    environment="sha256:ee",
    label="credit",
    features=("age",),
)


def event(spec=SPEC, event_type="COMPLETE", record=None):
    made = training_event(spec, run_id=RUN, event_type=event_type, at=1_763_704_800_123_456_789, installation="i1", record=record)
    return json.loads(Serde.to_json(made))


def test_a_complete_event_names_inputs_code_parameters_and_the_model():
    artifact = ArtifactInfo(digest="sha256:aa", files={}, size=10)
    record = TrainRecord(run_id=RUN, spec=SPEC, status="COMPLETE", started_at=1, ended_at=2, artifact=artifact, metrics={"accuracy": 0.7})
    told = event(record=record)
    assert told["eventTime"] == "2025-11-21T06:00:00.123456Z"
    (given,) = told["inputs"]
    assert (given["namespace"], given["name"], given["facets"]["version"]["datasetVersion"]) == ("govern://i1", "credit.train", "3")
    rows = given["inputFacets"]["govern_rowSet"]
    assert (rows["digest"], rows["count"], rows["role"]) == ("rs1:ab", 686, "train")
    (model,) = told["outputs"]
    assert (model["namespace"], model["name"]) == ("govern://i1", "credit-risk")
    assert model["facets"]["datasetType"]["datasetType"] == "MODEL"
    assert model["facets"]["version"]["datasetVersion"] == RUN
    assert model["facets"]["govern_model"]["digest"] == "sha256:aa"
    parameters = told["run"]["facets"]["executionParameters"]["parameters"]
    assert parameters == [{"key": "lr", "value": "0.1"}, {"key": "name", "value": "adam"}]
    assert told["job"]["facets"]["sourceCodeLocation"]["version"] == "a" * 64
    assert {facet["_producer"] for facet in told["run"]["facets"].values()} == {PRODUCER}


def test_a_metric_that_is_no_number_is_left_out_and_the_same_training_is_told_in_the_same_bytes():
    artifact = ArtifactInfo(digest="sha256:aa", files={}, size=10)
    metrics = {"accuracy": 0.7, "loss": float("nan"), "bound": float("inf")}
    record = TrainRecord(run_id=RUN, spec=SPEC, status="COMPLETE", started_at=1, ended_at=2, artifact=artifact, metrics=metrics)
    assert event(record=record)["outputs"][0]["facets"]["govern_model"]["metrics"] == {"accuracy": 0.7}
    assert event(record=record) == event(record=record)


def test_a_failed_event_tells_the_reason_and_no_other_type_is_known():
    record = TrainRecord(run_id=RUN, spec=SPEC, status="FAIL", started_at=1, ended_at=2, reason="ValueError in train (model.py, line 3)")
    told = event(event_type="FAIL", record=record)
    assert told["run"]["facets"]["errorMessage"]["message"] == record.reason
    assert "govern_model" not in told["outputs"][0]["facets"]
    with pytest.raises(ValueError, match="OTHER"):
        event(event_type="OTHER")


def test_a_private_run_tells_its_spend_and_no_seed():
    spec = dataclasses.replace(SPEC, privacy=PrivacySpec(epsilon=3.0, delta=1e-4))
    spend = PrivacySpend(
        delta=1e-4, noise_multiplier=2.0, sample_rate=0.1, steps=9, epsilon_rdp=2.9, epsilon_pld=2.7, poisson=True, noise_source="os"
    )
    record = TrainRecord(run_id=RUN, spec=spec, status="COMPLETE", started_at=1, ended_at=2, spend=spend)
    facets = event(spec, record=record)["run"]["facets"]
    assert "seed" not in facets["govern_training"]
    assert facets["govern_privacy"]["spent"] == {"epsilon_rdp": 2.9, "epsilon_pld": 2.7, "steps": 9}
    assert event()["run"]["facets"]["govern_training"]["seed"] == 7


def test_parameters_have_one_digest_whatever_their_order_and_must_be_json():
    assert params_digest({"a": 1, "b": [0.5, None]}) == params_digest({"b": [0.5, None], "a": 1.0})
    assert params_digest({"a": 1}) != params_digest({"a": 2})
    for wrong in ({"a": float("nan")}, {"a": 2**60}, {"a": object()}):
        with pytest.raises(BadInput, match="RFC 8785"):
            canonical(wrong)
