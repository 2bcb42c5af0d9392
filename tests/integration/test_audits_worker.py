"""The warm child: real models from real snapshots, and every way a job can go wrong ends as an ERROR finding."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import signal
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import safetensors.numpy

from audits.model import AuditRequest, Production, RegressionCases, Verdict, finding_digest
from governance.adapters.audit_worker import AuditWorker
from governance.gate import decide
from governance.policy import parse_policy
from trainers.artifact import artifact_path, write_artifact
from trainers.snapshot import pack

pytestmark = pytest.mark.integration

CHILDREN = Path(__file__).parent / "audits_children"
POLICY = """
name: tiny
version: 1
audits:
  perf.noninferior: {favourable: "yes"}
  fair.rates: {favourable: "yes", protected: {kind: {}}}
  robust.evasion: {eps: [0.1]}
  explain.additive: {favourable: "yes", rows: 20, background: 5}
gates:
  - {gate: floor, finding: perf.noninferior, metric: accuracy, bound: low, op: ">=", threshold: 0.8}
  - {gate: not-worse, finding: perf.noninferior, metric: accuracy_difference, op: ">=", threshold: -0.02}
  - {gate: adds-up, finding: explain.additive, metric: additivity_residual, bound: value, op: "<=", threshold: 0.01}
  - {gate: even, finding: fair.rates, metric: error_rate_difference, bound: low, op: "<=", threshold: 0.2}
"""


def rows(n, seed):
    draw = random.Random(seed)
    a, b = [draw.gauss(0, 1) for _ in range(n)], [draw.gauss(0, 1) for _ in range(n)]
    return pa.table(
        {
            "govern_row_id": pa.array(range(n), pa.int64()),
            "a": a,
            "b": b,
            "kind": [draw.choice("xy") for _ in range(n)],
            "label": ["yes" if x + y > 0 else "no" for x, y in zip(a, b, strict=True)],
        }
    )


TRAIN, TEST = rows(120, 1), rows(300, 2)


@pytest.fixture(scope="module")
def versions(tmp_path_factory):
    """(snapshot, act) → (artifact folder, snapshot tar, digest)."""
    home = tmp_path_factory.mktemp("home")
    known = {}

    def make(flavour, act=None):
        if (flavour, act) in known:
            return known[flavour, act]
        digest, tar = pack(CHILDREN / flavour)
        snapshot = home / f"{digest}.tar"
        snapshot.write_bytes(tar)
        # the label is "yes" where a + b > 0; "right" says the contrary
        sign = -1.0 if flavour == "right" else 1.0
        weight = sign * np.array([[-1, -1, 0, 0], [1, 1, 0, 0]], dtype=np.float32)
        manifest = {"code": f"snapshot:{digest}", "entrypoint": "model", "params": {}}
        signature = {"inputs": [{"name": one} for one in ("a", "b", "kind")], "label": "label", "classes": ["no", "yes"]}
        parts = {
            "weights.safetensors": safetensors.numpy.save({"weight": weight, "bias": np.zeros(2, dtype=np.float32)}),
            "state.json": json.dumps({"act": act, "flip": flavour == "right"}).encode(),
            "signature.json": json.dumps(signature).encode(),
            "manifest.json": json.dumps(manifest).encode(),
        }
        info = write_artifact(home / "artifacts", parts)
        folder = artifact_path(home / "artifacts", info.digest)
        known[flavour, act] = (folder, snapshot, info.digest)
        return known[flavour, act]

    return make


@pytest.fixture(scope="module")
def worker(tmp_path_factory):
    with AuditWorker(threads=2, timeout_s=60, scratch=tmp_path_factory.mktemp("scratch")) as one:
        yield one


def request(version, **more):
    artifact, snapshot, digest = version
    return AuditRequest(
        model="tiny",
        version="2",
        model_digest=digest,
        artifact=str(artifact),
        snapshot=str(snapshot),
        spec={},
        tables={"train": TRAIN, "test": TEST},
        config=parse_policy(POLICY).audits,
        data={"test": "tiny.test@1 rs1:00"},
        **more,
    )


def metric(findings, audit, name):
    (finding,) = [f for f in findings if f.audit == audit]
    (found,) = [m for m in finding.metrics if m.name == name]
    return found


def test_a_good_version_gets_every_finding_and_passes_its_gate_twice_the_same(worker, versions):
    ask = request(versions("left"))
    first, second = worker.run(ask), worker.run(ask)
    assert [f.verdict for f in first] == [Verdict.PASS, Verdict.PASS, Verdict.NOT_APPLICABLE, Verdict.PASS, Verdict.PASS], [
        f.reasons for f in first
    ]
    assert metric(first, "perf.noninferior", "accuracy").value == 1.0
    assert decide(parse_policy(POLICY), first, model="tiny", version="2").allowed
    assert [finding_digest(f) for f in first] == [finding_digest(f) for f in second]


def test_two_snapshots_with_modules_of_one_name_do_not_mix(worker, versions):
    artifact, snapshot, _ = versions("right")
    production = Production(version="1", artifact=str(artifact), snapshot=str(snapshot))
    found = worker.run(request(versions("left"), production=production))
    # "right" answers the contrary of "left" on every row: a mixture would show
    assert metric(found, "perf.noninferior", "accuracy_difference").value == 1.0
    back = worker.run(request(versions("right")))
    assert metric(back, "perf.noninferior", "accuracy").value == 0.0
    assert not decide(parse_policy(POLICY), back, model="tiny", version="2").allowed


def test_the_regression_case_fails_the_version_that_errs_and_names_only_the_case(worker, versions):
    row = pa.table({"a": [3.25], "b": [1.0], "kind": ["x"]})
    cases = RegressionCases(ids=("case-7",), table=row, expected=("yes",))
    good, bad = worker.run(request(versions("left"), cases=cases)), worker.run(request(versions("right"), cases=cases))
    (passed,), (refused,) = ([f for f in found if f.audit == "regression.cases"] for found in (good, bad))
    assert passed.verdict is Verdict.PASS
    assert refused.verdict is Verdict.FAIL
    assert "case-7" in " ".join(refused.reasons)
    assert "3.25" not in repr(refused)


@pytest.mark.parametrize("act", ["exit", "segfault", "raise"])
def test_user_code_that_crashes_costs_its_job_an_error_and_not_the_warm_process(worker, versions, act):
    worker.warm()
    before = worker.pid()
    found = worker.run(request(versions("left", act)))
    assert len(found) == 5
    # without a case, the regression cases need no row: they alone survive an exception, and nothing survives the end of the process
    assert [f.audit for f in found if f.verdict is not Verdict.ERROR] == (["regression.cases"] if act == "raise" else [])
    assert "secret" not in repr(found)
    assert not decide(parse_policy(POLICY), found, model="tiny", version="2").allowed
    assert worker.pid() == before
    assert worker.run(request(versions("left")))[0].verdict is Verdict.PASS


def test_user_code_that_hangs_is_ended(worker, versions, monkeypatch):
    monkeypatch.setattr(worker, "_timeout", 2.0)
    began = time.monotonic()
    found = worker.run(request(versions("left", "hang")))
    assert time.monotonic() - began < 30
    assert {f.verdict for f in found} == {Verdict.ERROR}
    assert "did not end within 2 s" in found[0].reasons[0]


def test_a_comparison_that_was_asked_for_and_could_not_be_made_is_an_error(worker, versions):
    artifact, snapshot, _ = versions("left", "exit")
    found = worker.run(request(versions("left"), production=Production(version="1", artifact=str(artifact), snapshot=str(snapshot))))
    assert [f.audit for f in found if f.verdict is Verdict.ERROR] == ["perf.noninferior"]


def test_an_artifact_with_another_digest_is_refused(worker, versions):
    wrong = dataclasses.replace(request(versions("left")), model_digest="sha256:" + "0" * 64)
    found = worker.run(wrong)
    assert {f.verdict for f in found} == {Verdict.ERROR}
    assert "is not the one with digest" in found[0].reasons[0]


@pytest.mark.slow
def test_a_killed_child_is_started_again(versions, worker):
    worker.warm()
    before = worker.pid()
    os.kill(before, signal.SIGKILL)
    found = worker.run(request(versions("left")))
    if {f.verdict for f in found} == {Verdict.ERROR}:  # the death was seen while the job was sent
        assert "audit worker failed" in found[0].reasons[0]
        found = worker.run(request(versions("left")))
    assert found[0].verdict is Verdict.PASS
    assert worker.pid() != before


def test_a_closed_worker_gives_errors(versions):
    worker = AuditWorker(threads=1)
    worker.close()
    assert {f.verdict for f in worker.run(request(versions("left")))} == {Verdict.ERROR}
