"""The OpenLineage events that Govern's own acts emit: a deployment, a purge, an audit. Pure; they enter by the front door.

Built with the official client's classes, which are imported when the first act is told: a command that only reads needs none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from governance.evidence import derived_id
from governance.registry.datasets import PRODUCER
from lineage.model import PurgeReport

if TYPE_CHECKING:
    from openlineage.client.event_v2 import RunEvent

__all__ = ["audit_event", "deployment_event", "purge_event"]


def deployment_event(installation: str, deployment: Mapping[str, Any], version: Mapping[str, Any], event_type: str) -> RunEvent:
    """A deployment as a run of a SERVICE job whose input is the model version; START when it goes live, COMPLETE when it ends."""
    from lineage import emit

    namespace = f"govern://{installation}"
    return emit.deployment(
        event_type,
        at=deployment["active_from"] if event_type == "START" else deployment["active_to"],
        run_id=deployment["run_id"],
        namespace=namespace,
        name=f"{deployment['model']}.{deployment['environment']}",
        model=(namespace, version["model"], version["run_id"]),
        producer=PRODUCER,
        integration="GOVERN",
    )


def purge_event(installation: str, request: str, before: str, report: PurgeReport, at: int) -> RunEvent:
    """A purge as a run from the dataset's last version to the one without the rows, so that what follows still leads to its sources."""
    from lineage import emit

    namespace, after = f"govern://{installation}", report.new_version
    rows = emit.RowSet(digest=after.row_set.digest, count=after.row_set.count)
    return emit.run_event(
        "COMPLETE",
        at=at,
        run_id=derived_id("purge", request, report.dataset, after.version),
        job=emit.job(namespace, f"govern.purge.{report.dataset}", "ERASURE", integration="GOVERN"),
        producer=PRODUCER,
        inputs=[emit.dataset_input(namespace, report.dataset, version=before)],
        outputs=[emit.dataset_output(namespace, report.dataset, version=after.version, rows=rows)],
    )


def audit_event(installation: str, version: Mapping[str, Any], findings: Mapping[str, Any]) -> RunEvent:
    """An audit as a run that reads the model version and the rows it was measured on; its verdicts in the ``test`` run facet."""
    from lineage import emit

    namespace = f"govern://{installation}"
    verdicts = [(item["audit"], {"PASS": True, "FAIL": False}.get(item["verdict"])) for item in findings["findings"]]
    return emit.run_event(
        "COMPLETE",
        at=findings["at"],
        run_id=derived_id("audit-run", version["model"], version["run_id"], str(findings["at"])),
        job=emit.job(namespace, f"govern.audit.{version['model']}", "AUDIT", integration="GOVERN"),
        producer=PRODUCER,
        facets={"test": emit.evaluation(verdicts, kind="govern")},
        inputs=[
            emit.model_input(namespace, version["model"], version["run_id"]),
            *(emit.dataset_input(namespace, given["dataset"], version=given["version"]) for given in version["spec"]["inputs"]),
        ],
    )
