"""The specification's samples as events: each sample is the facets of one kind of entity, and its folder says of which."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["SAMPLES", "events_of", "samples"]

SAMPLES = Path(__file__).parent / "samples"
RUN = "01980000-0000-7000-8000-000000000001"
JOB = {"namespace": "suite", "name": "job"}
DATASET = {"namespace": "suite", "name": "dataset"}
SOURCE = {"namespace": "suite", "name": "source"}


def samples() -> Iterator[tuple[str, dict[str, Any]]]:
    """(name, content) of every sample, by name."""
    for path in sorted(SAMPLES.glob("**/*.json")):
        yield path.relative_to(SAMPLES).with_suffix("").as_posix(), json.loads(path.read_bytes())


def events_of(name: str, sample: dict[str, Any]) -> list[bytes]:
    """The events that carry a sample: a RunEvent, and the JobEvent or DatasetEvent that may carry it too."""
    if "eventTime" in sample:
        return [_bytes(sample)]
    kind = name.split("/", maxsplit=1)[0]
    run: dict[str, Any] = {"run": {"runId": RUN, "facets": {}}, "job": {**JOB, "facets": {}}, "inputs": [SOURCE], "outputs": []}
    run["outputs"] = [{**DATASET, "facets": {}}]
    more: list[dict[str, Any]] = []
    facets = list(sample.values())
    if kind == "LineageFacet":
        if "entries" in facets[0]:
            run["job"]["facets"] = sample
            more = [{"job": {"namespace": "suite", "name": "declared", "facets": sample}}]
        else:
            return [_bytes({"dataset": {**DATASET, "facets": sample}})]
    elif kind.endswith("RunFacet"):
        run["run"]["facets"] = sample
    elif kind.endswith("JobFacet"):
        run["job"]["facets"] = sample
        more = [{"job": {**JOB, "facets": sample}}]
    elif kind.endswith("InputDatasetFacet") or any("inputCondition" in facet for facet in facets):
        run["inputs"] = [{**SOURCE, "inputFacets": sample}]
    elif kind.endswith("OutputDatasetFacet") or any("outputCondition" in facet for facet in facets):
        run["outputs"] = [{**DATASET, "outputFacets": sample}]
    else:
        run["outputs"] = [{**DATASET, "facets": sample}]
        more = [{"dataset": {**DATASET, "facets": sample}}]
    return [_bytes(one) for one in ({"eventType": "COMPLETE", **run}, *more)]


def _bytes(event: dict[str, Any]) -> bytes:
    whole = {
        "eventTime": "2026-01-01T00:00:00Z",
        "producer": "https://example.org/suite",
        "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json",
    }
    return json.dumps({**whole, **event}).encode()
