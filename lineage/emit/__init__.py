"""Say in OpenLineage what a machine-learning job did: facets of ours, and the parts of an event, over the official Python client.

A script that uses ``openlineage-python`` and this package is governed like Govern's own stages; they build their events with it too.
Nothing else of Govern is needed beside it, and no server: what is made here are values of the client's own classes.
"""

from __future__ import annotations

from openlineage.client.event_v2 import InputDataset, Job, OutputDataset

from lineage.emit._facets import (
    SCHEMAS,
    GovernEnvironmentRunFacet,
    GovernModelDatasetFacet,
    GovernPrivacyRunFacet,
    GovernRowSetDatasetFacet,
    GovernRowSetInputDatasetFacet,
    GovernTrainingRunFacet,
    PrivacySpent,
    schema,
)
from lineage.emit._parts import dataset_facets, dataset_input, dataset_output, job, model_input, model_output, parameters, run_event
from lineage.emit._rows import RowSet, row_set
from lineage.emit._surroundings import code_location, environment, file_version
from lineage.emit._telling import Emitter, LedgerTransport, Telling, deployment, evaluation, telling

__all__ = [
    "SCHEMAS",
    "Emitter",
    "GovernEnvironmentRunFacet",
    "GovernModelDatasetFacet",
    "GovernPrivacyRunFacet",
    "GovernRowSetDatasetFacet",
    "GovernRowSetInputDatasetFacet",
    "GovernTrainingRunFacet",
    "InputDataset",
    "Job",
    "LedgerTransport",
    "OutputDataset",
    "PrivacySpent",
    "RowSet",
    "Telling",
    "code_location",
    "dataset_facets",
    "dataset_input",
    "dataset_output",
    "deployment",
    "environment",
    "evaluation",
    "file_version",
    "job",
    "model_input",
    "model_output",
    "parameters",
    "row_set",
    "run_event",
    "schema",
    "telling",
]
