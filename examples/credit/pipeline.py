"""What both pipeline scripts need: rows over HTTP, and lineage with the official OpenLineage client.

``GOVERN_URL`` and ``GOVERN_API_KEY`` say where Govern is; the OpenLineage client reads its own variables, set from them when absent.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import httpx2
import pyarrow as pa
from openlineage.client import OpenLineageClient
from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent, RunState
from openlineage.client.facet_v2 import (
    dataset_version_dataset,
    error_message_run,
    job_type_job,
    output_statistics_output_dataset,
    schema_dataset,
    source_code_location_job,
)
from openlineage.client.uuid import generate_new_uuid

PRODUCER = "https://github.com/govern-ml/govern/tree/main/examples/credit"


class Govern:
    """Reads and writes versions of datasets over Govern's HTTP routes."""

    def __init__(self) -> None:
        url, key = os.environ["GOVERN_URL"], os.environ.get("GOVERN_API_KEY", "")
        os.environ.setdefault("OPENLINEAGE_URL", url)
        os.environ.setdefault("OPENLINEAGE_API_KEY", key)
        self._http = httpx2.Client(base_url=url, headers={"Authorization": f"Bearer {key}"} if key else {}, timeout=60)
        self.lineage = OpenLineageClient()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()
        self.lineage.close()

    def namespace(self) -> str:
        """OpenLineage namespace of Govern's own datasets."""
        return f"govern://{self._ask('GET', '/api/v1/keys/public').json()['installation']}"

    def register(self, dataset: Mapping[str, Any]) -> None:
        """Make a dataset known."""
        self._ask("POST", "/api/v1/datasets", json=dict(dataset))

    def latest(self, dataset: str) -> Mapping[str, Any]:
        """The newest version of a dataset that was not purged."""
        versions = self._ask("GET", f"/api/v1/datasets/{dataset}/versions").json()["versions"]
        living = [one for one in versions if not one.get("gone")]
        if not living:
            raise SystemExit(f"{dataset} has no version yet: register it and run the job before this one")
        return living[-1]

    def read(self, dataset: str, version: str) -> pa.Table:
        """The rows of a version, ``govern_row_id`` first."""
        return pa.ipc.open_stream(self._ask("GET", f"/api/v1/datasets/{dataset}/versions/{version}/rows").content).read_all()

    def write(self, dataset: str, table: pa.Table, *, key: str) -> Mapping[str, Any]:
        """A new version; a row whose ``key`` was there before keeps its row id."""
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        route = f"/api/v1/datasets/{dataset}/versions"
        headers = {"Content-Type": "application/vnd.apache.arrow.stream"}
        return self._ask("POST", route, params={"mode": "replace", "key": key}, content=bytes(sink.getvalue()), headers=headers).json()

    def rescan(self, dataset: str) -> Mapping[str, Any]:
        """The version of a landing file as it lies there now."""
        return self._ask("POST", f"/api/v1/datasets/{dataset}/versions").json()

    def _ask(self, method: str, route: str, **more: Any) -> httpx2.Response:
        answer = self._http.request(method, route, **more)
        if answer.is_error:
            problem = answer.json() if "json" in answer.headers.get("content-type", "") else {}
            raise SystemExit(f"{method} {route}: {answer.status_code} {problem.get('detail', '')} {problem.get('hint') or ''}".rstrip())
        return answer


class JobRun:
    """One run of a job, told in OpenLineage: START with the inputs, COMPLETE or FAIL with the outputs."""

    def __init__(self, govern: Govern, name: str, script: str) -> None:
        code = hashlib.sha256(Path(script).read_bytes()).hexdigest()
        facets = {
            "jobType": job_type_job.JobTypeJobFacet(processingType="BATCH", integration="PYTHON", jobType="JOB"),
            "sourceCodeLocation": source_code_location_job.SourceCodeLocationJobFacet(
                type="file", url=f"{PRODUCER}/{Path(script).name}", path=Path(script).name, version=f"sha256:{code}"
            ),
        }
        self._client = govern.lineage
        self._job = Job(namespace="credit", name=name, facets=facets)
        self._run = str(generate_new_uuid())
        self._inputs: list[InputDataset] = []
        self._outputs: list[OutputDataset] = []

    def reads(self, namespace: str, dataset: str, version: str) -> None:
        """Name an input before the start."""
        facets = {"version": dataset_version_dataset.DatasetVersionDatasetFacet(datasetVersion=version)}
        self._inputs.append(InputDataset(namespace=namespace, name=dataset, facets=facets))

    def wrote(self, answer: Mapping[str, Any], table: pa.Table) -> None:
        """Name an output by what Govern answered when it was written: its version and committed row set as ready facets."""
        named = answer["openlineage"]
        facets = {
            **named["facets"],
            "schema": schema_dataset.SchemaDatasetFacet(
                fields=[schema_dataset.SchemaDatasetFacetFields(name=one.name, type=str(one.type)) for one in table.schema]
            ),
        }
        counted = {"outputStatistics": output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(rowCount=answer["rows"])}
        self._outputs.append(OutputDataset(namespace=named["namespace"], name=named["name"], facets=facets, outputFacets=counted))

    @contextmanager
    def telling(self) -> Iterator[None]:
        """START now, COMPLETE at the end; FAIL, with the kind of error only, when the work raises."""
        self._emit(RunState.START, {})
        try:
            yield
        except BaseException as error:
            message = error_message_run.ErrorMessageRunFacet(message=type(error).__name__, programmingLanguage="Python")
            self._emit(RunState.FAIL, {"errorMessage": message})
            raise
        self._emit(RunState.COMPLETE, {})

    def _emit(self, state: RunState, facets: dict[str, Any]) -> None:
        event = RunEvent(
            eventType=state,
            eventTime=datetime.now(UTC).isoformat(),
            run=Run(runId=self._run, facets=facets),
            job=self._job,
            inputs=self._inputs,
            outputs=self._outputs,
            producer=PRODUCER,
        )
        self._client.emit(event)
