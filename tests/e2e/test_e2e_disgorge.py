"""An order by the command line against a real server: a dataset, its descendants, the model that served; certified, checked offline."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reports.verify import TrustedKeys, verify
from tests.support.river import River

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(600)]


def test_an_order_takes_a_dataset_its_copies_and_the_model_that_serves_and_asks_the_owner_elsewhere(
    deployed: River, tmp_path: Path
) -> None:
    river = deployed
    version = river.ask("GET", "/api/v1/datasets/credit.train/versions")["versions"][-1]
    told = {
        "eventType": "COMPLETE", "eventTime": "2026-11-21T00:00:00Z", "producer": "https://x.test",
        "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
        "run": {"runId": "0190a000-0000-7000-8000-000000000001"}, "job": {"namespace": "elsewhere", "name": "fit"},
        "inputs": [river_dataset(river, "credit.train", version["version"])],
        "outputs": [{"namespace": "s3://lake", "name": "their-model", "facets": facets("v1", MODEL)}],
    }  # fmt: skip
    river.ask("POST", "/api/v1/lineage", json=told)
    words = ["erasure", "disgorge", "credit.train", "--ground", "no consent", "--reference", "C-4743", "--due", "2030-01-01", "--json"]
    plan = json.loads(river.cli(*words, "--dry-run").stdout)
    actions = {item["id"]: item["action"] for item in plan["assets"]}
    assert (actions["dataset:credit.train"], actions["model:credit-risk@1"]) == ("purge", "retire")
    assert river.ask("GET", "/api/v1/erasure-requests")["requests"] == []
    ident = json.loads(river.cli(*words).stdout)["id"]
    river.cli("erasure", "approve", ident, expect=1)  # who entered it
    river.cli("erasure", "approve", ident, key=river.new_key("privacy"))
    done = river.wait_erasure(ident)
    assert done["state"] == "completed_partial", done
    found = {item["id"]: item for item in done["assets"]}
    assert {found[name]["level"] for name in ("dataset:credit.train", "model:credit-risk@1")} == {"L1", "L2"}
    assert river.ask("GET", "/api/v1/deployments?active=true")["deployments"] == []
    assert river.rows("credit.train") == []
    (task,) = json.loads(river.cli("erasure", "task", "list", "--request", ident, "--json").stdout)["tasks"]
    evidence = tmp_path / "evidence.txt"
    evidence.write_text("withdrawn")
    river.cli("erasure", "task", "answer", task["id"], "--done", "--evidence", str(evidence))
    done = river.wait_erasure_after(ident, "completed_partial")
    assert done["state"] == "completed", done
    river.cli("erasure", "certificate", ident, "--out", str(tmp_path / "order.pdf"))
    keys = TrustedKeys.from_json(river.ask("GET", "/api/v1/keys/public"))
    result = verify((tmp_path / "order.pdf").read_bytes(), keys)
    assert (result.exit_code, result.facts["kind"]) == (0, "disgorgement-certificate"), result.sentences


MODEL = {"datasetType": {"_producer": "https://x.test", "_schemaURL": "https://x.test/t", "datasetType": "MODEL"}}


def facets(version: str, more: dict | None = None) -> dict:
    return {"version": {"_producer": "https://x.test", "_schemaURL": "https://x.test/v", "datasetVersion": version}} | (more or {})


def river_dataset(river: River, name: str, version: str) -> dict:
    namespace = f"govern://{json.loads((river.home / 'govern.json').read_text())['installation']}"
    return {"namespace": namespace, "name": name, "facets": facets(version)}
