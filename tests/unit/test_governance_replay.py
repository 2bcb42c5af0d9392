"""An erasure of a model that is trained from a stream, with real trainings: from request to L4, and what must not serve."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

sys.path.insert(0, str(Path(__file__).parent / "trainers_children"))
from tiny_rows import STREAM, rows

import trainers.replaying
from governance.dossier import erasure_certificate
from governance.workflows.recovery import sweep
from lineage.errors import BadInput, Tampered
from reports.claims import check_claims
from tests.support.core import Core, assets, opened, policy_text
from trainers.contract import batch_order
from trainers.cost import expected_replay
from trainers.snapshot import pack
from trainers.spare import Spare
from trainers.training import train

SEED = 3
CONFIG: dict[str, Any] = {
    "entrypoint": "stream",
    "label": "label",
    "features": ["a", "b"],
    "params": {"hidden": 4, "lr": 0.1},
    "seed": SEED,
    "strategy": "replay",
    "replay": {"batch_size": 10, "checkpoints": 8},
}


class Trainer:
    """The real training, in warm processes; notes what it was given."""

    def __init__(self, core: Core, warm: Spare) -> None:
        self.core, self.warm = core, warm
        self.calls: list[dict[str, Any]] = []

    def __call__(self, spec, *, alone=False, **given):
        self.calls.append(given)
        child = self.warm.started if alone and self.core.truly_alone else self.warm.take
        return train(spec, clock=self.core.clock, scratch=self.core.root / "scratch", child=child, **given)


@pytest.fixture
def core(tmp_path, memory_keys, ticking_clock, warm):
    with opened(tmp_path / "home", keys=memory_keys, clock=ticking_clock) as core:
        core.truly_alone = False
        core.trainer = core.trainings._trainer = core.successors._trainer = Trainer(core, warm)
        digest, data = pack(STREAM)
        core.snapshots.put(digest, data, actor="key:e")
        core.code = lambda: f"snapshot:{digest}"
        core.datasets.register({"name": "people", "kind": "lance", "subject_key": "person", "subject_type": "applicant"}, actor="key:e")
        table = rows(90).drop_columns(["govern_row_id"]).append_column("person", pa.array([str(row // 3) for row in range(90)]))
        core.datasets.write("people", table, mode="replace", key=None, actor="key:e")
        yield core


def trained(core: Core, **config) -> None:
    core.train(dataset="people", policy=policy_text(reproduce=True), **{**CONFIG, **config})
    core.release()


def first_use(core: Core) -> dict[int, int]:
    """Person → the first place of the stream at which a row of hers stands."""
    table = core.datasets.read("people", core.datasets.version("people", "latest").version)
    people = table["person"].to_pylist()
    order = batch_order(SEED, 0, np.asarray(table["govern_row_id"].to_numpy()))
    found: dict[int, int] = {}
    for place, at in enumerate(order):
        found.setdefault(int(people[at]), place)
    return found


def late(core: Core) -> tuple[int, int]:
    """The person who is used last, and where first."""
    uses = first_use(core)
    person = max(uses, key=uses.__getitem__)
    assert uses[person] >= 20
    return person, uses[person]


def files(core: Core, version: int) -> set[str]:
    folder = core.models.checkpoints_path(core.models.resolve("m", version)["run_id"])
    return {path.name for path in folder.glob("*")}


def test_an_erasure_goes_on_from_a_checkpoint_and_reaches_l4(core: Core) -> None:
    trained(core)
    person, place = late(core)
    before = core.models.resolve("m", 1)["replayed"]
    assert files(core, 1) == {one["digest"].removeprefix("sha256:") for one in before["checkpoints"]}
    position = max(one["position"] for one in before["checkpoints"] if one["position"] <= place)
    standing = {one["digest"].removeprefix("sha256:") for one in before["checkpoints"] if one["position"] <= position}
    gone = files(core, 1) - standing

    core.truly_alone = True
    done = core.erase(person)
    assert done["state"] == "completed", done["error"]
    found = assets(done)["model:m@1"]
    assert found["level"] == "L4", found
    expected = expected_replay(1, 3, 8)
    planned = done["plan"]["retrain"][0]
    assert (planned["strategy"], planned["expected_fraction"]) == ("replay", expected)
    successor = done["successors"][0]
    assert successor["shortcut"] == {
        "strategy": "replay",
        "carried": len(standing),
        "rows": 87,
        "epochs": 1,
        "position": position,
        "retrain_fraction": 1 - position / 87,
        "changed": 3,
        "expected": expected,
    }
    assert successor["from_scratch"] is None
    assert successor["reproduction"]["artifact_digest"] == successor["artifact_digest"]
    shortcut, scratch = core.trainer.calls[1:]
    assert shortcut["known"], "the successor was allowed the shortcut"
    assert not scratch.keys() & {"before", "known", "checkpoints"}, "the second worker was not"

    assert not core.models.checkpoints_path(core.models.resolve("m", 1)["run_id"]).exists(), "the version before's are destroyed"
    assert standing <= files(core, 2), "those that stand are the successor's own"
    everywhere = {path.name for path in core.root.rglob("*")}
    assert gone
    assert not gone & everywhere, "what descends from her rows is nowhere"

    paper = erasure_certificate(core.erasures.get(done["id"]), now=core.clock.now(), installation="test", generator="test")
    assert check_claims(paper.kind, paper.data)
    told = repr(paper)
    assert f"replay: went on from the checkpoint after {position} rows; {1 - position / 87:.1%} of the training done again" in told
    assert f"{expected:.1%}" in told
    data = erasure_certificate(core.erasures.get(done["id"]), now=1, installation="test", generator="test").data
    data["successors"][0].pop("shortcut")
    with pytest.raises(Tampered):
        check_claims("erasure-certificate", data)


@pytest.mark.slow
def test_what_went_through_her_rows_never_serves(core: Core, monkeypatch) -> None:
    """The guard is off: every checkpoint is taken for one that stands. The training from scratch comes to other weights, and says no."""
    trained(core)
    person, _place = late(core)

    def trusting(before, known, digests):
        last = before.read(known[-1]) if before is not None else None
        return (list(known), last.state, None) if last else ([], None, None)

    monkeypatch.setattr(trainers.replaying, "_standing", trusting)
    ident = core.approve(person)
    core.engine.run()
    done = core.erasures.get(ident)
    assert done["state"] == "awaiting_decision"
    assert "a training from scratch did not make the same weights" in assets(done)["model:m@1"]["reason"]
    assert core.deployments.active("m")["version"] == 1
    core.erasures.decide(ident, {"action": "release", "reason": "it will do"}, actor="key:dpo")
    core.engine.run()
    assert core.erasures.get(ident)["state"] == "awaiting_decision", "not by a human's word either"


@pytest.mark.slow
def test_without_checkpoints_it_is_trained_from_scratch_and_says_so(core: Core) -> None:
    trained(core)
    person, _place = late(core)
    folder = core.models.checkpoints_path(core.models.resolve("m", 1)["run_id"])
    for path in folder.iterdir():
        path.unlink()
    done = core.erase(person)
    assert assets(done)["model:m@1"]["level"] == "L3"
    successor = done["successors"][0]
    assert successor["shortcut"] is None
    assert "is not there" in successor["from_scratch"]
    paper = erasure_certificate(core.erasures.get(done["id"]), now=1, installation="test", generator="test")
    assert "trained from scratch" in repr(paper)


@pytest.mark.slow
def test_a_sweep_removes_what_no_version_kept_and_nothing_else(core: Core) -> None:
    trained(core)
    mine = files(core, 1)
    stray = core.root / "checkpoints" / "a-run-that-was-killed"
    stray.mkdir()
    (stray / ".draft-00").write_bytes(b"half of a state")
    sweep(core.root, core.ledger)
    assert not stray.exists()
    assert files(core, 1) == mine


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"replay": None}, "needs `replay: {batch_size: NUMBER}`"),
        ({"replay": {"batch_size": 0}}, "needs `replay"),
        ({"replay": {"batch_size": True}}, "needs `replay"),
        ({"replay": {"batch_size": 8, "slices": 2}}, "needs `replay"),
        ({"replay": {"batch_size": 8, "checkpoints": 1001}}, "from 1 to 1000"),
        ({"privacy": {"epsilon": 1.0, "delta": 1e-5}}, "exclude each other"),
    ],
)
def test_what_cannot_be_kept_is_refused_before_anything_is_entered(core: Core, config, words) -> None:
    body = {"code": core.code(), "policy_text": policy_text(), "config": {"datasets": {"train": "people"}, **CONFIG, **config}}
    with pytest.raises(BadInput, match=words):
        core.trainings.start("m", body, actor="key:e")
    assert not core.ledger.records("operation")
