"""New applicants arrive: lines are appended to the landing file, and the loader says so in OpenLineage.

A loader that knows nothing of Govern: it uses the official client alone, configured by ``OPENLINEAGE_URL`` and ``OPENLINEAGE_API_KEY``.

``python append.py LANDING_FILE [LINES] --namespace govern://INSTALLATION``
"""

from __future__ import annotations

import argparse
import os
from datetime import UTC, datetime
from pathlib import Path

from openlineage.client import OpenLineageClient
from openlineage.client.event_v2 import Job, OutputDataset, Run, RunEvent, RunState
from openlineage.client.facet_v2 import job_type_job, lifecycle_state_change_dataset, output_statistics_output_dataset
from openlineage.client.uuid import generate_new_uuid

PRODUCER = "https://github.com/govern-ml/govern/tree/main/examples/credit/append.py"


def arrivals(lines: list[str], count: int) -> list[str]:
    """``count`` applicants made up from the first ones, each with another amount."""
    made = []
    for at in range(count):
        words = lines[at % len(lines)].split()
        words[4] = str(int(words[4]) + 100 + at)
        made.append(" ".join(words[:21]))
    return made


def append(path: Path, count: int) -> int:
    """Append to the landing file at once; returns how many applicants it holds then (an emptied line is none)."""
    before = path.read_text(encoding="utf-8")
    lines = [line for line in before.splitlines() if line.strip()]
    new = arrivals(lines, count)
    with path.open("a", encoding="utf-8") as file:
        file.write(("" if before.endswith("\n") else "\n") + "\n".join(new) + "\n")
        file.flush()
        os.fsync(file.fileno())
    return len(lines) + count


def main() -> None:
    """Append and tell."""
    parser = argparse.ArgumentParser(description="Append applicants to the landing file and say so in OpenLineage.")
    parser.add_argument("file", type=Path)
    parser.add_argument("lines", type=int, nargs="?", default=7)
    parser.add_argument(
        "--namespace", default=os.environ.get("GOVERN_NAMESPACE"), help="govern://INSTALLATION, as GET /api/v1/keys/public says"
    )
    parser.add_argument("--dataset", default="credit.raw")
    asked = parser.parse_args()
    if not asked.namespace:
        parser.error("--namespace govern://INSTALLATION is needed: the event names the dataset by it")
    client = OpenLineageClient()
    run = Run(runId=str(generate_new_uuid()))
    job = Job(
        namespace="credit",
        name="credit.load",
        facets={"jobType": job_type_job.JobTypeJobFacet(processingType="BATCH", integration="PYTHON", jobType="JOB")},
    )

    def tell(state: RunState, outputs: list[OutputDataset]) -> None:
        at = datetime.now(UTC).isoformat()
        client.emit(RunEvent(eventType=state, eventTime=at, run=run, job=job, inputs=[], outputs=outputs, producer=PRODUCER))

    tell(RunState.START, [])
    total = append(asked.file, asked.lines)
    counted = output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(
        rowCount=total, size=asked.file.stat().st_size, fileCount=1
    )
    changed = lifecycle_state_change_dataset.LifecycleStateChangeDatasetFacet(
        lifecycleStateChange=lifecycle_state_change_dataset.LifecycleStateChange.OVERWRITE
    )
    tell(
        RunState.COMPLETE,
        [
            OutputDataset(
                namespace=asked.namespace,
                name=asked.dataset,
                facets={"lifecycleStateChange": changed},
                outputFacets={"outputStatistics": counted},
            )
        ],
    )
    client.close()
    print(f"{asked.lines} applicants appended, {total} in all")


if __name__ == "__main__":
    main()
