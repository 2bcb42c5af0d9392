"""A model trained in shards, as its users see it: one applicant is erased, a part is trained again, and the certificate says L4."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.river import River

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(1800)]

MODEL = "credit-risk-sisa"


def test_an_erasure_trains_a_part_again_and_reaches_l4(fresh: River, tmp_path: Path) -> None:
    river = fresh
    river.land()
    river.pipeline()
    said = river.cli("train", MODEL, cwd=river.project).stdout
    assert said.startswith(
        "strategy: sisa, 5 shards; a retrain after an erasure is expected to train on 20% for 1, 67% for 5, 99% for 20"
    ), said
    version = river.ask("GET", f"/api/v1/models/{MODEL}/versions/1")
    assert version["retrained"]["retrain_fraction"] == 1.0
    audit = river.ask("POST", f"/api/v1/models/{MODEL}/versions/1/audits")["operation"]
    assert river.wait(audit, timeout=900)["state"] == "done"
    gate = river.ask("POST", f"/api/v1/models/{MODEL}/versions/1/gate")
    assert gate["outcome"] == "pass", gate
    river.release(MODEL, 1)

    row = next(iter(river.rows("credit.train")))
    before = river.predict(row, model=MODEL)
    assert before["model_version"] == "1"
    done = river.wait_erasure(river.approve_erasure(row["applicant"]), timeout=900)
    assert done["state"] == "completed", done
    asset = next(one for one in done["assets"] if one["id"] == f"model:{MODEL}@1")
    assert asset["level"] == "L4", asset
    shortcut = done["successors"][0]["shortcut"]
    assert (shortcut["constituents"], shortcut["taken_over"], shortcut["rows"]) == (5, 4, 685)
    assert 0.1 < shortcut["retrain_fraction"] < 0.3
    assert done["successors"][0]["reproduction"]["artifact_digest"] == done["successors"][0]["artifact_digest"]
    assert river.predict(row, model=MODEL)["model_version"] == "2"

    # another machine has the rows and their places, and not the key
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    answer = json.loads(river.cli("reproduce", f"{MODEL}@2", "--json", cwd=elsewhere).stdout)
    assert answer["same"], answer

    # no shard of anybody is told where many read
    told = json.dumps([done, river.ask("GET", f"/api/v1/models/{MODEL}/versions/2")])
    assert "govern_place" not in told
    assert '"shard":' not in told
