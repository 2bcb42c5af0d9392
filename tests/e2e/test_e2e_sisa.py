"""A model trained in shards, as its users see it: one applicant is erased, a part is trained again, and the certificate says L4."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.river import GOVERN, River, clean_environment

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(1800)]

MODEL = "credit-risk-sisa"
SHARDS = 5


def test_an_erasure_trains_a_part_again_and_reaches_l4(fresh: River, tmp_path: Path) -> None:
    river = fresh
    river.land()
    river.pipeline()
    said = river.cli("train", MODEL, cwd=river.project).stdout
    assert said.startswith(
        f"strategy: sisa, {SHARDS} shards; a retrain after an erasure is expected to train on 20% for 1, 67% for 5, 99% for 20"
    ), said
    version = river.ask("GET", f"/api/v1/models/{MODEL}/versions/1")
    assert version["retrained"]["retrain_fraction"] == 1.0
    audit = river.ask("POST", f"/api/v1/models/{MODEL}/versions/1/audits")["operation"]
    assert river.wait(audit, timeout=900)["state"] == "done"
    gate = river.ask("POST", f"/api/v1/models/{MODEL}/versions/1/gate")
    assert gate["outcome"] == "pass", gate
    river.release(MODEL, 1)

    rows = river.rows("credit.train")
    row = rows[0]
    assert river.predict(row, model=MODEL)["model_version"] == "1"
    done = river.wait_erasure(river.approve_erasure(row["applicant"]), timeout=900)
    assert done["state"] == "completed", done
    asset = next(one for one in done["assets"] if one["id"] == f"model:{MODEL}@1")
    assert asset["level"] == "L4", asset
    successor = done["successors"][0]
    shortcut = successor["shortcut"]
    assert (shortcut["constituents"], shortcut["taken_over"], shortcut["rows"]) == (SHARDS, SHARDS - 1, len(rows) - 1)
    assert 0.1 < shortcut["retrain_fraction"] < 0.3
    assert successor["reproduction"]["artifact_digest"] == successor["artifact_digest"]
    assert river.predict(rows[1], model=MODEL)["model_version"] == "2"

    certificate_says_l4_offline(river, done, tmp_path / "auditor")
    another_machine_makes_it_again(river, tmp_path / "elsewhere")

    # no shard of anybody is told where many read
    told = json.dumps([done, river.ask("GET", f"/api/v1/models/{MODEL}/versions/2")])
    assert "govern_place" not in told
    assert '"shard":' not in told


def certificate_says_l4_offline(river: River, done: dict[str, Any], folder: Path) -> None:
    """In an empty folder, without any GOVERN_* variable: it holds and says L4 for the model; with one changed byte it does not hold."""
    folder.mkdir()
    paper = folder / "certificate.pdf"
    paper.write_bytes(river.ask("GET", f"/api/v1/erasure-requests/{done['id']}/certificate"))
    (folder / "keys.json").write_bytes((river.home / "public" / "keys.json").read_bytes())

    def verified(expect: int) -> dict[str, Any]:
        words = [*GOVERN, "verify", "certificate.pdf", "--keys", "keys.json", "--json"]
        run = subprocess.run(words, cwd=folder, env=clean_environment(), capture_output=True, text=True, check=False)
        assert run.returncode == expect, run.stdout + run.stderr
        return json.loads(run.stdout)

    answer = verified(0)
    assert [answer[name] for name in ("intact", "complete", "trusted", "anchored")] == [True] * 4
    said = json.loads(river.cli("erasure", "certificate", done["id"], "--json").stdout)["data"]
    assert next(one for one in said["assets"] if one["id"] == f"model:{MODEL}@1")["level"] == "L4"
    assert said["level"] == "L1", "the whole is as good as its lowest part: the data"
    data = bytearray(paper.read_bytes())
    data[len(data) // 2] ^= 1
    paper.write_bytes(data)
    verified(3)


def another_machine_makes_it_again(river: River, folder: Path) -> None:
    """It gets the rows and their places, and not the key; it takes nothing over."""
    folder.mkdir()
    answer = json.loads(river.cli("reproduce", f"{MODEL}@2", "--json", cwd=folder).stdout)
    assert answer["same"], answer
    river.cli("reproduce", f"{MODEL}@1", expect=4, cwd=folder)
