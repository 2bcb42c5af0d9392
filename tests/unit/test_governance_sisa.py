"""An erasure of a model that is trained in shards, with real trainings: the shortcut is compared with a training from scratch."""

from __future__ import annotations

import sys
from pathlib import Path

import pyarrow as pa
import pytest

sys.path.insert(0, str(Path(__file__).parent / "trainers_children"))
from tiny_rows import TINY, rows

from governance.cli.commands.train import _placed
from governance.dossier import erasure_certificate
from lineage.errors import BadInput, Tampered
from reports.claims import check_claims
from tests.support.core import Core, assets, opened, policy_text
from trainers.snapshot import pack
from trainers.spare import Spare
from trainers.training import train

SHARDS = 4
CONFIG = {
    "entrypoint": "model",
    "label": "label",
    "features": ["a", "b", "kind"],
    "params": {"hidden": 4, "lr": 0.1, "epochs": 1, "batch_size": 16},
    "seed": 3,
    "strategy": "sisa",
    "sisa": {"shards": SHARDS},
}


class Trainer:
    """The real training, in warm processes; counts the rows it was given, outside of what it records."""

    def __init__(self, core: Core, warm: Spare) -> None:
        self.core, self.warm = core, warm
        self.calls: list[tuple[Path | None, Path]] = []
        self.child = warm.take
        """Where a training runs that asks to be alone: starting one takes seconds, and one test does."""
        self.alter = None

    def __call__(self, spec, *, alone=False, **given):
        self.calls.append((given.get("before"), given["artifacts"]))
        if self.alter is not None and given.get("before") is None:
            given["tables"] = {role: self.alter(table) for role, table in given["tables"].items()}
        return train(
            spec, clock=self.core.clock, scratch=self.core.root / "scratch", child=self.child if alone else self.warm.take, **given
        )


@pytest.fixture
def core(tmp_path, memory_keys, ticking_clock, warm):
    with opened(tmp_path / "home", keys=memory_keys, clock=ticking_clock) as core:
        core.trainer = core.trainings._trainer = core.successors._trainer = Trainer(core, warm)
        digest, data = pack(TINY)
        core.snapshots.put(digest, data, actor="key:e")
        core.code = lambda: f"snapshot:{digest}"
        core.datasets.register({"name": "people", "kind": "lance", "subject_key": "person", "subject_type": "applicant"}, actor="key:e")
        table = rows(90).drop_columns(["govern_row_id"]).append_column("person", pa.array([str(row // 3) for row in range(90)]))
        core.datasets.write("people", table, mode="replace", key=None, actor="key:e")
        yield core


def trained(core: Core, **config) -> None:
    core.train(dataset="people", policy=policy_text(reproduce=True), **{**CONFIG, **config})
    core.release()


def test_the_shortcut_of_an_erasure_reaches_l4(core: Core, warm: Spare) -> None:
    core.trainer.child = warm.started
    trained(core)
    table = core.datasets.read("people", core.datasets.version("people", "latest").version)
    places = core.datasets.places("people", table, model="m", shards=SHARDS)
    person = dict(zip(table["person"].to_pylist(), places, strict=True))
    done = core.erase(3)
    assert done["state"] == "completed", done["error"]
    found = assets(done)["model:m@1"]
    assert found["level"] == "L4", found

    successor = done["successors"][0]
    hers = sum(shard == person["3"] for shard in places) - 3
    assert successor["shortcut"] == {
        "strategy": "sisa",
        "constituents": SHARDS,
        "taken_over": SHARDS - 1,
        "rows": 87,
        "rows_trained": hers,
        "retrain_fraction": hers / 87,
    }
    assert core.models.resolve("m", 2)["retrained"]["retrain_fraction"] == hers / 87
    assert successor["reproduction"]["artifact_digest"] == successor["artifact_digest"]
    taken_from, made_in = core.trainer.calls[1]
    assert taken_from is not None, "the successor was allowed the shortcut"
    again_from, again_in = core.trainer.calls[2]
    assert again_from is None, "the second worker was not"
    assert again_in != made_in, "and it had an empty folder"
    assert not taken_from.exists(), "the version before is destroyed, constituents and all"

    paper = erasure_certificate(core.erasures.get(done["id"]), now=core.clock.now(), installation="test", generator="test")
    assert check_claims(paper.kind, paper.data)
    assert paper.data["successors"][0]["shortcut"]["taken_over"] == 3
    assert "sisa: 1 of 4 constituents trained again" in repr(paper)
    assert next(one for one in paper.data["assets"] if one["id"] == "model:m@1")["level"] == "L4"
    for lie in (
        lambda data: data["successors"][0].pop("shortcut"),
        lambda data: data["successors"][0].update(reproduced=None),
        lambda data: data["successors"][0]["reproduction"].update(artifact_digest="sha256:" + "0" * 64),
    ):
        data = erasure_certificate(core.erasures.get(done["id"]), now=1, installation="test", generator="test").data
        lie(data)
        with pytest.raises(Tampered):
            check_claims("erasure-certificate", data)


def test_a_shortcut_that_training_from_scratch_does_not_confirm_never_serves(core: Core) -> None:
    """The second worker comes to other weights (here: its rows say something else): whatever was taken over is not trusted."""
    trained(core)
    core.trainer.alter = lambda table: table.set_column(
        table.column_names.index("a"), "a", pa.array([value + 1.0 for value in table["a"].to_pylist()])
    )
    ident = core.approve(3)
    core.engine.run()
    done = core.erasures.get(ident)
    assert done["state"] == "awaiting_decision"
    assert "a training from scratch did not make the same weights" in assets(done)["model:m@1"]["reason"]
    assert core.deployments.active("m")["version"] == 1
    core.erasures.decide(ident, {"action": "release", "reason": "it will do"}, actor="key:dpo")
    core.engine.run()
    assert core.erasures.get(ident)["state"] == "awaiting_decision", "not by a human's word either"


def test_a_model_trained_as_a_whole_stays_at_l3(core: Core) -> None:
    trained(core, strategy="full", sisa=None)
    done = core.erase(3)
    assert assets(done)["model:m@1"]["level"] == "L3"
    assert done["successors"][0]["shortcut"] is None
    assert core.models.resolve("m", 2)["retrained"] is None


def test_another_machine_gets_the_places_and_not_the_key(core: Core) -> None:
    trained(core)
    recipe = core.trainings.reproduction("m", "1")
    spec = recipe["spec"]
    assert (spec["strategy"], spec["sharding"]) == ("sisa", {"shards": SHARDS})
    bare = core.datasets.read("people", recipe["inputs"][0]["version"])
    table = _placed(bare, recipe["places"])
    version = core.models.resolve("m", 1)
    record = core.trainer(
        _spec(version),
        run_id="elsewhere",
        tables={"train": table},
        snapshot=core.snapshots.path(recipe["code"]),
        artifacts=core.root / "elsewhere",
    )
    assert record.artifact.digest == recipe["artifact_digest"]
    with pytest.raises(Tampered, match="places 90 rows"):
        _placed(bare.slice(0, 89), recipe["places"])


def _spec(version):
    from governance.registry.models import spec_from_json

    return spec_from_json(version["spec"])


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"strategy": "slices"}, "no strategy 'slices'"),
        ({"sisa": None}, "needs `sisa: {shards: NUMBER}`"),
        ({"sisa": {"shards": 1}}, "from 2 to 1000"),
        ({"sisa": {"shards": True}}, "from 2 to 1000"),
        ({"privacy": {"epsilon": 1.0, "delta": 1e-5}}, "exclude each other"),
        ({"datasets": {"train": "nobody"}}, "no subject key"),
    ],
)
def test_what_cannot_be_kept_is_refused_before_anything_is_entered(core: Core, config, words) -> None:
    core.datasets.register({"name": "nobody", "kind": "lance"}, actor="key:e")
    core.datasets.write("nobody", rows(6).drop_columns(["govern_row_id"]), mode="replace", key=None, actor="key:e")
    body = {"code": core.code(), "policy_text": policy_text(), "config": {"datasets": {"train": "people"}, **CONFIG, **config}}
    with pytest.raises(BadInput, match=words):
        core.trainings.start("m", body, actor="key:e")
    assert not core.ledger.records("operation")
