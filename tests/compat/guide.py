"""The examples of OpenLineage's guide to explicit lineage, as events: what each states is in ``expected/guide.json``.

Source: proposals/explicit_lineage_facet/ExplicitLineageExamples.md, numbered as there; written anew.
"""

from __future__ import annotations

import json
from typing import Any

__all__ = ["EXAMPLES"]

SHOP = "postgresql://shop:5432"


def dataset(name: str, namespace: str = SHOP, **more: Any) -> dict[str, Any]:
    return {"namespace": namespace, "name": name, "type": "DATASET", **more}


def job(name: str, namespace: str = "airflow://prod", **more: Any) -> dict[str, Any]:
    return {"namespace": namespace, "name": name, "type": "JOB", **more}


def how(kind: str, subtype: str) -> list[dict[str, str]]:
    return [{"type": kind, "subtype": subtype}]


def run(name: str, entries: list[dict[str, Any]] | None, inputs: str = "", outputs: str = "", run_id: str = "r", minute: int = 0) -> bytes:
    """A RunEvent; inputs and outputs are names of tables, with a blank between them."""
    facets = {} if entries is None else {"lineage": {"_producer": "https://example.org", "entries": entries}}
    body = {
        "eventType": "COMPLETE",
        "eventTime": f"2026-03-25T10:{minute:02d}:00Z",
        "run": {"runId": run_id},
        "job": {"namespace": "airflow://prod", "name": name, "facets": facets},
        "inputs": [{"namespace": SHOP, "name": one} for one in inputs.split()],
        "outputs": [{"namespace": SHOP, "name": one} for one in outputs.split()],
    }
    return json.dumps(body).encode()


def declared(kind: str, facet: dict[str, Any], name: str) -> bytes:
    """A JobEvent or DatasetEvent with the facet."""
    entity = {"namespace": "airflow://prod" if kind == "job" else SHOP, "name": name, "facets": {"lineage": facet}}
    return json.dumps({"eventTime": "2026-03-25T10:00:00Z", kind: entity}).encode()


EXAMPLES: dict[str, list[bytes]] = {
    "01 two tables into two": [
        run("etl", [dataset("c", inputs=[dataset("a")]), dataset("d", inputs=[dataset("b")])], "a b", "c d"),
    ],
    "01 told in two events": [
        run("etl", [dataset("c", inputs=[dataset("a")])], "a b", "c d"),
        run("etl", [dataset("d", inputs=[dataset("b")])], minute=1),
    ],
    "02 columns": [
        run(
            "agg",
            [dataset("out", fields={"total": {"inputs": [dataset("in", field="amount", transformations=how("DIRECT", "AGGREGATION"))]}})],
            "in",
            "out",
        ),
    ],
    "03 mixed granularity": [
        run(
            "mixed",
            [
                dataset(
                    "x",
                    inputs=[dataset("a"), dataset("a", field="g", transformations=how("INDIRECT", "GROUP_BY"))],
                    fields={"c1": {"inputs": [dataset("a", field="col_a")]}, "c2": {"inputs": [dataset("a")]}},
                )
            ],
            "a",
            "x",
        ),
    ],
    "04 a view": [declared("dataset", {"inputs": [dataset("customers"), dataset("orders")]}, "view"), run("reads", None, "view", "report")],
    "05 a declared job": [declared("job", {"entries": [dataset("out", inputs=[dataset("in")])]}, "daily")],
    "06 a sink": [run("fraud", None, "transactions")],
    "07 a generator": [run("extract", None, "", "extracted")],
    "08 an enriched generator": [
        run(
            "extract",
            [
                dataset(
                    "extracted", inputs=[], fields={"total": {"inputs": [{"type": "JOB", "transformations": how("DIRECT", "AGGREGATION")}]}}
                )
            ],
            "",
            "extracted",
        ),
    ],
    "09 a declared chain of jobs": [declared("job", {"entries": [job("dag_b.task_1", inputs=[job("dag_a.task_3")])]}, "dag_b")],
    "10 an observed chain of runs": [
        run("dag_a.task_3", None, "in", run_id="run-a"),
        run("dag_b.task_1", [job("dag_b.task_1", runId="run-b", inputs=[job("dag_a.task_3", runId="run-a")])], "", "out", "run-b", 1),
    ],
    "11 a chain across namespaces": [
        run("enrichment", [job("enrichment", runId="r", inputs=[job("normaliser", "flink://ingest")])]),
    ],
    "12 known columns into a file": [
        run("export", [dataset("R.pdf", "file://", inputs=[dataset("X", field="A"), dataset("X", field="B")])], "X"),
    ],
    "precedence: the facet over columnLineage and over all inputs": [
        json.dumps(
            {
                "eventType": "COMPLETE",
                "eventTime": "2026-03-25T10:00:00Z",
                "run": {"runId": "r"},
                "job": {
                    "namespace": "airflow://prod",
                    "name": "all",
                    "facets": {"lineage": {"entries": [dataset("x", inputs=[dataset("a")])]}},
                },
                "inputs": [{"namespace": SHOP, "name": "a"}, {"namespace": SHOP, "name": "b"}],
                "outputs": [
                    {
                        "namespace": SHOP,
                        "name": name,
                        "facets": {"columnLineage": {"fields": {"c": {"inputFields": [dataset("b", field="f")]}}}},
                    }
                    for name in ("x", "undescribed")
                ],
            }
        ).encode(),
    ],
}
