"""The OpenLineage events that Govern's own acts emit: a deployment, a purge, an audit. Pure; they enter by the front door."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from governance.evidence import derived_id
from governance.registry.datasets import PRODUCER
from lineage.model import PurgeReport

__all__ = ["audit_event", "deployment_event", "purge_event"]

_RUN_EVENT = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
_FACETS = "https://openlineage.io/spec/facets"


def _time(at: int) -> str:
    moment = datetime.fromtimestamp(at // 1_000_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{moment}.{at % 1_000_000_000 // 1000:06d}Z"


def _event(installation: str, *, event_type: str, at: int, run_id: str, job: str, kind: str, **more: Any) -> dict[str, Any]:
    job_type = {"_producer": PRODUCER, "_schemaURL": f"{_FACETS}/2-0-3/JobTypeJobFacet.json", "integration": "GOVERN", **_PROCESSING[kind]}
    return {
        "eventType": event_type,
        "eventTime": _time(at),
        "producer": PRODUCER,
        "schemaURL": _RUN_EVENT,
        "run": {"runId": run_id, "facets": more.pop("run_facets", {})},
        "job": {"namespace": f"govern://{installation}", "name": job, "facets": {"jobType": job_type}},
        "inputs": more.pop("inputs", []),
        "outputs": more.pop("outputs", []),
    }


_PROCESSING: Mapping[str, Mapping[str, str]] = {
    "deployment": {"processingType": "SERVICE", "jobType": "DEPLOYMENT"},
    "purge": {"processingType": "BATCH", "jobType": "ERASURE"},
    "audit": {"processingType": "BATCH", "jobType": "AUDIT"},
}


def _version(installation: str, name: str, version: str, **facets: Any) -> dict[str, Any]:
    stated = {"_producer": PRODUCER, "_schemaURL": f"{_FACETS}/1-0-1/DatasetVersionDatasetFacet.json", "datasetVersion": version}
    return {"namespace": f"govern://{installation}", "name": name, "facets": {"version": stated, **facets}}


def _model(installation: str, model: str, run_id: str) -> dict[str, Any]:
    kind = {"_producer": PRODUCER, "_schemaURL": f"{_FACETS}/1-0-0/DatasetTypeDatasetFacet.json", "datasetType": "MODEL"}
    return _version(installation, model, run_id, datasetType=kind)


def deployment_event(installation: str, deployment: Mapping[str, Any], version: Mapping[str, Any], event_type: str) -> dict[str, Any]:
    """A deployment as a run of a SERVICE job whose input is the model version; START when it goes live, COMPLETE when it ends."""
    return _event(
        installation,
        event_type=event_type,
        at=deployment["active_from"] if event_type == "START" else deployment["active_to"],
        run_id=deployment["run_id"],
        job=f"{deployment['model']}.{deployment['environment']}",
        kind="deployment",
        inputs=[_model(installation, version["model"], version["run_id"])],
    )


def purge_event(installation: str, request: str, before: str, report: PurgeReport, at: int) -> dict[str, Any]:
    """A purge as a run from the dataset's last version to the one without the rows, so that what follows still leads to its sources."""
    row_set = {
        "_producer": PRODUCER,
        "_schemaURL": f"{PRODUCER}/facets/1-0-0/RowSetFacet.json",
        "digest": report.new_version.row_set.digest,
        "count": report.new_version.row_set.count,
    }
    return _event(
        installation,
        event_type="COMPLETE",
        at=at,
        run_id=derived_id("purge", request, report.dataset, report.new_version.version),
        job=f"govern.purge.{report.dataset}",
        kind="purge",
        inputs=[_version(installation, report.dataset, before)],
        outputs=[_version(installation, report.dataset, report.new_version.version, govern_rowSet=row_set)],
    )


def audit_event(installation: str, version: Mapping[str, Any], findings: Mapping[str, Any]) -> dict[str, Any]:
    """An audit as a run that reads the model version and the rows it was measured on; its verdicts in the ``test`` run facet."""
    tests = [
        {
            "name": item["audit"],
            "status": {"PASS": "pass", "FAIL": "fail"}.get(item["verdict"], "skip"),
            "type": "govern",
            "severity": "error",
        }
        for item in findings["findings"]
    ]
    facet = {"_producer": PRODUCER, "_schemaURL": f"{_FACETS}/1-0-0/TestRunFacet.json", "tests": tests}
    return _event(
        installation,
        event_type="COMPLETE",
        at=findings["at"],
        run_id=derived_id("audit-run", version["model"], version["run_id"], str(findings["at"])),
        job=f"govern.audit.{version['model']}",
        kind="audit",
        run_facets={"test": facet},
        inputs=[
            _model(installation, version["model"], version["run_id"]),
            *(_version(installation, given["dataset"], given["version"]) for given in version["spec"]["inputs"]),
        ],
    )
