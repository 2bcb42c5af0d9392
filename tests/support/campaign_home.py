"""Three models on two datasets in a real home, with everything real but what a training computes: it is a process that makes a digest.

Real are the home, its ledger, its stores of rows, row index, prediction records, graph, DBOS, the planner, the papers and their signatures,
and the training's process with its lifeline. An audit answers at once. So an erasure takes about a second, and hundreds can be killed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from governance.evidence import canonical
from governance.settings import Settings
from governance.wiring import system as wiring
from governance.wiring.system import System
from lineage.rows import canonical_subject
from tests.support.core import Auditor, policy_text
from trainers.child import Child
from trainers.model import ArtifactInfo, TrainRecord, TrainSpec

__all__ = ["DATASETS", "LATER", "MODELS", "ORDERED", "PAUSE", "PERSON", "SENTINEL", "CampaignHome", "approve", "ended", "make", "settings"]

ROOT = Path(__file__).resolve().parents[2]
DATASETS = {"people.wide": "lance", "people.narrow": "parquet"}
MODELS = {"alpha": "people.wide", "beta": "people.narrow", "gamma": "people.wide"}
ORDERED, LATER = "people.wide", 12
"""The dataset whose first version an order is about, and how many rows it has beside those: its models are trained again on them."""
PERSON, OTHERS = "4711", 30
SENTINEL = "SENTINEL-71c4a0f1b2"
PAUSE = 0.15
"""Seconds that a training takes besides its process's start."""


def settings(database: str | None) -> Settings:
    """Those of each process of the campaign."""
    return Settings(database=database or "", lease_seconds=5, spare_trainings=0)


class _NoSpare:
    def prepare(self) -> None:
        pass

    def close(self) -> None:
        pass


class _NoRunner:
    """Nothing is predicted in the campaign."""

    def close(self) -> None:
        pass


class CampaignHome(System):
    """The home, with trainings that compute a digest in a process of their own; ``side`` is told of each."""

    def __init__(self, home: Path, side: Path, *, pause: float = PAUSE, **options: Any) -> None:
        self.side, self.pause = side, pause
        super().__init__(home, **options)

    def _make_spare(self) -> Any:
        return _NoSpare()

    def _make_auditor(self) -> Any:
        return Auditor()

    def _start_runner(self, *, artifact: Path, snapshot: Path, spec: Mapping[str, Any]) -> Any:
        return _NoRunner()

    def _train(self, spec: TrainSpec, **given: Any) -> TrainRecord:
        started = self.clock.now()
        rows = {role: sorted(table["govern_row_id"].to_pylist()) for role, table in given["tables"].items()}
        scratch = self.home / "scratch"
        with Child("tests.support.campaign_training", threads=1, scratch=scratch, env={"PYTHONPATH": str(ROOT)}) as child:
            child.send("train", {"side": str(self.side), "model": spec.model, "pause": self.pause}, json.dumps(rows).encode())
            kind, header, weights = child.receive(60)
        assert kind == "trained", kind
        name = header["name"]
        folder = given["artifacts"] / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "weights.safetensors").write_bytes(weights)
        (folder / "signature.json").write_text(json.dumps({"inputs": [{"name": one, "type": "FP64"} for one in spec.features]}))
        artifact = ArtifactInfo(digest=f"sha256:{name}", files={"weights.safetensors": name}, size=len(weights))
        return TrainRecord(
            run_id=given["run_id"], spec=spec, status="COMPLETE", started_at=started, ended_at=self.clock.now(), artifact=artifact,
            metrics={"loss": 0.1},
        )  # fmt: skip


wiring._environment = lambda threads: "sha256:" + hashlib.sha256(f"campaign {threads}".encode()).hexdigest()  # the real one imports torch


def make(home: Path, side: Path, database: str | None, *, order: bool = False) -> str:
    """Fill a fresh home up to a request that waits for its approval, or an order that does; returns its id."""
    with CampaignHome(home, side, settings=settings(database)) as system:
        for name, kind in DATASETS.items():
            system.datasets.register({"name": name, "kind": kind, "subject_key": "person", "subject_type": "applicant"}, actor="key:e")
            system.datasets.write(name, _people(), mode="replace", key="person", actor="key:e")
        if order:
            system.datasets.write(ORDERED, _later(), mode="append", key=None, actor="key:e")
        data = b"the code"
        code = hashlib.sha256(data).hexdigest()
        system.snapshots.put(code, data, actor="key:e")
        for model, dataset in MODELS.items():
            config = {
                "entrypoint": "model", "label": "y", "features": ["age"], "subject_key": "person", "datasets": {"train": dataset},
            }  # fmt: skip
            started = system.trainings.start(
                model, {"code": f"snapshot:{code}", "policy_text": policy_text(), "config": config}, actor="key:e"
            )
            _until(lambda started=started: system.operations.get(started["operation"])["state"] == "done")
            system.audits.carry_out(model, 1)
            system.findings.gate(model, "1")
            deployed = system.deployments.release(model, "1", "production", actor="key:e")
            epoch, (ref,) = system.datasets.references.newest([canonical_subject("applicant", PERSON)])
            inputs = canonical({"inputs": [{"name": "note", "datatype": "BYTES", "shape": [1], "data": [SENTINEL]}]})
            system._predictions.record(
                id=f"p-{model}", at=system.clock.now(), deployment=deployed["id"], model=model, version="1", subject_ref=ref, epoch=epoch,
                inputs=inputs, outputs=b"{}",
            )  # fmt: skip
        if order:
            assert system.ingestor.wait(30) == 0
            body = {
                "dataset": ORDERED, "version": system.datasets.infos(ORDERED)[0].version, "ground": "no consent", "reference": "C-1",
                "due_at": system.clock.now() + 30 * 86_400 * 10**9,
            }  # fmt: skip
            return str(system.erasures.disgorge(body, actor="key:asks")["id"])
        body = {"subject": {"type": "applicant", "value": PERSON}, "regulation": "GDPR", "ground": "Article 17(1)(b)"}
        request = str(system.erasures.request(body, actor="key:asks")["id"])
        system.erasures.verify(request, {"method": "passport"}, actor="key:asks")
        assert system.ingestor.wait(30) == 0
        return request


def approve(system: System, request: str) -> None:
    """As a user does, again when the answer did not come."""
    if system.erasures.get(request)["state"] == "in_review":
        system.erasures.approve(request, {}, actor="key:other")


def ended(system: System, request: str) -> dict[str, Any]:
    """The request once nothing more happens by itself."""
    _until(lambda: system.erasures.get(request)["state"] in ("completed", "completed_partial", "failed", "awaiting_decision"))
    return dict(system.erasures.get(request))


def _people() -> pa.Table:
    persons = [*(str(number) for number in range(1, OTHERS)), PERSON]
    return pa.table(
        {
            "person": persons,
            "age": [20.0 + at for at in range(len(persons))],
            "note": [SENTINEL if person == PERSON else f"note {person}" for person in persons],
            "y": ["good" if at % 2 else "bad" for at in range(len(persons))],
        }
    )


def _later() -> pa.Table:
    persons = [str(9000 + at) for at in range(LATER)]
    years, notes = [30.0 + at for at in range(LATER)], [f"note {person}" for person in persons]
    return pa.table({"person": persons, "age": years, "note": notes, "y": ["good" if at % 2 else "bad" for at in range(LATER)]})


def _until(holds: Any, seconds: float = 120.0) -> None:
    import time

    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)
