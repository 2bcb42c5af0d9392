"""The registry: keys, models, deployments, operations, and the hints of what is not there."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pyarrow as pa
import pytest

from governance.cli.table import COMMANDS
from governance.errors import GateRefused, Held
from governance.registry.access import ROLES, Access
from governance.registry.acts import reduce_entry
from governance.registry.find import LISTINGS, must_find, nearest
from governance.registry.models import Models, spec_from_json, spec_to_json
from governance.registry.operations import Operations
from lineage.errors import BadInput, Conflict, Forbidden, Gone, NotFound
from tests.support.core import Core, opened
from trainers.model import ArtifactInfo, InputSpec, PrivacySpec, Sharding, TrainRecord, TrainSpec


def spec(model="m", **more) -> TrainSpec:
    given = InputSpec(role="train", dataset="rows", version="1", row_set="rs1:" + "0" * 64, rows=9)
    body = {"model": model, "entrypoint": "model", "code": "snapshot:" + "0" * 64, "params": {"lr": 0.1}, "seed": 1, "threads": 1}
    return TrainSpec(**body | {"inputs": (given,), "environment": "sha256:0", "label": "y", "features": ("age",)} | more)


def record(run: str, model: str = "m", digest: str = "aa") -> TrainRecord:
    artifact = ArtifactInfo(digest=f"sha256:{digest}", files={}, size=1)
    return TrainRecord(run_id=run, spec=spec(model), status="COMPLETE", started_at=1, ended_at=2, artifact=artifact)


@pytest.fixture
def home(open_ledger, ticking_clock, memory_keys, tmp_path):
    ledger = open_ledger(reducer=reduce_entry)
    (tmp_path / "artifacts").mkdir()
    access = Access(ledger, memory_keys, ticking_clock, installation="test", origin="govern.test", certificate=lambda: b"PEM")
    models = Models(ledger, ticking_clock, tmp_path / "artifacts")
    return SimpleNamespace(
        ledger=ledger, clock=ticking_clock, access=access, models=models, root=tmp_path, operations=Operations(ledger, ticking_clock)
    )


# ── keys ────────────────────────────────────────────────────────────────────────────────────────
def test_a_key_is_shown_once_and_only_its_hash_is_kept(home) -> None:
    made = home.access.create("ci", ["ingest", "ingest", "predict"])
    assert made["roles"] == ["ingest", "predict"]
    assert "hash" not in str(home.access.list())
    secret = made["api_key"].split("_", 2)[2]  # which may hold further underscores
    assert len(secret) > 30
    for path in home.root.glob("ledger.db*"):
        assert secret.encode() not in path.read_bytes()
    who = home.access.authenticate(made["api_key"])
    assert (who.id, who.roles) == (f"key:{made['id']}", frozenset({"ingest", "predict"}))


def test_unknown_and_revoked_keys_get_the_same_answer(home) -> None:
    made = home.access.create("ci", ["ingest"])
    first = home.access.revoke(made["id"], actor="key:admin")
    assert home.access.revoke(f"key:{made['id']}", actor="key:admin") == first, "again changes nothing"
    said = set()
    for key in (made["api_key"], made["api_key"] + "x", "gv_" + made["id"], "gv_nobody_secret", "", "gv_"):
        with pytest.raises(Forbidden) as refused:
            home.access.authenticate(key)
        said.add((refused.value.message, refused.value.hint))
    assert len(said) == 1


@pytest.mark.parametrize("roles", [[], ["root"], ["ingest", "root"]])
def test_a_key_needs_known_roles(home, roles) -> None:
    with pytest.raises(BadInput, match="roles must be some of"):
        home.access.create("ci", roles)
    assert home.access.list() == {"keys": []}


def test_the_local_owner_may_everything_and_public_keys_are_public(home) -> None:
    assert home.access.local_owner().roles == frozenset(ROLES)
    public = home.access.public()
    assert len(bytes.fromhex(public["evidence"]["key"])) == 32
    assert public["pdf"] == {"certificate": "PEM"}


# ── hints ───────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("listing", sorted(set(LISTINGS.values())))
def test_a_hint_names_a_command_that_there_is(listing: str) -> None:
    import importlib

    import typer
    import typer.main

    program, name, *rest = listing.split()
    assert program == "govern"
    found = getattr(importlib.import_module(f"governance.cli.commands.{COMMANDS[name].module}"), name)
    if rest and rest[0].startswith("--"):
        app = typer.Typer()
        app.command()(found)
        assert any(rest[0] in param.opts for param in typer.main.get_command(app).params)
    elif rest and name != "report":
        group = typer.main.get_command(found)
        assert rest[0] in group.commands
    else:
        assert callable(found)


def test_what_is_not_there_is_answered_with_what_is_near(home) -> None:
    home.models.declare("credit-risk", {}, actor="key:e")
    with pytest.raises(NotFound) as near:
        home.models.get("credit-rsk")
    assert near.value.hint == "did you mean credit-risk? `govern models` lists all"
    with pytest.raises(NotFound) as far:
        home.models.get("zzz")
    assert far.value.hint == "`govern models` lists what there is"
    with pytest.raises(NotFound) as operation:
        home.operations.get("zzz")
    assert operation.value.hint == "its id is in the answer that began it"
    assert nearest("a", [], listing="govern models") == "`govern models` lists what there is"


def test_ids_that_look_alike_by_chance_are_not_near(home) -> None:
    made = home.access.create("ci", ["ingest"])["id"]
    with pytest.raises(NotFound) as other:
        must_find(home.ledger, "key", made[:6] + "ffffff", what="API key")
    assert other.value.hint == "`govern keys list` lists what there is"


# ── models ──────────────────────────────────────────────────────────────────────────────────────
def test_versions_are_numbered_in_ledger_order_also_when_many_register_at_once(home) -> None:
    home.models.declare("m", {}, actor="key:e")
    home.models.declare("n", {}, actor="key:e")
    runs = [(f"run-{place % 8}", "m") for place in range(24)] + [("run-n", "n")] * 4
    gate = threading.Barrier(7)

    def register(batch):
        gate.wait()
        return [home.models.register(record(run, model), policy="p", operation="o") for run, model in batch]

    with ThreadPoolExecutor(7) as pool:
        made = [body for batch in pool.map(register, [runs[place::7] for place in range(7)]) for body in batch]
    numbers = {}
    for body in made:
        assert numbers.setdefault((body["model"], body["run_id"]), body["version"]) == body["version"]
    assert sorted(number for (model, _run), number in numbers.items() if model == "m") == list(range(1, 9))
    assert numbers["n", "run-n"] == 1
    assert home.models.get("m")["latest"] == 8
    entries = [entry.identity for entry in home.ledger.entries(0, 1000, "govern.version.registered") if ":m:" in entry.identity]
    assert [f"version:m:{body['run_id']}" for body in home.models.get("m")["versions"]] == entries


def test_references_resolve(home) -> None:
    home.models.declare("m", {"purpose": "credit"}, actor="key:e")
    with pytest.raises(NotFound, match="has no version yet"):
        home.models.resolve("m")
    for run in ("r1", "r2", "r3"):
        home.models.register(record(run), policy="p", operation="o")
    assert [home.models.resolve("m", ref)["version"] for ref in (None, "", "latest", "1", 2)] == [3, 3, 3, 1, 2]
    home.models.set_status("m", 2, "released", aliases={"production": 2})
    assert home.models.resolve("m")["version"] == home.models.resolve("m", "production")["version"] == 2
    for wrong in ("4", "0", "-1", "prodction", "1.0"):
        with pytest.raises(NotFound) as missing:
            home.models.resolve("m", wrong)
    with pytest.raises(NotFound) as missing:
        home.models.resolve("m", "prodction")
    assert missing.value.hint == "did you mean production? `govern models m` lists all"
    assert home.models.by_run("r2")["version"] == 2
    assert home.models.by_run("r9") is None


@pytest.mark.parametrize("name", ["", "-m", "a/b", "a b", "x" * 129, "ü"])
def test_a_model_needs_a_plain_name(home, name) -> None:
    with pytest.raises(BadInput, match="is no model name"):
        home.models.declare(name, {}, actor="key:e")


def test_a_run_that_left_nothing_is_no_version(home) -> None:
    home.models.declare("m", {}, actor="key:e")
    failed = TrainRecord(run_id="r", spec=spec(), status="FAIL", started_at=1, ended_at=2, reason="it broke")
    with pytest.raises(BadInput, match="it broke"):
        home.models.register(failed, policy="p", operation="o")
    with pytest.raises(NotFound):
        home.models.register(record("r", "unknown"), policy="p", operation="o")


def test_shared_weights_live_as_long_as_one_version_needs_them(home) -> None:
    home.models.declare("m", {}, actor="key:e")
    (home.root / "artifacts" / "aa").mkdir()
    one, two = (home.models.register(record(run), policy="p", operation="o") for run in ("r1", "r2"))
    assert home.models.destroy("m", 1, request="q-1") is False
    assert home.models.living_artifact(two).is_dir()
    with pytest.raises(Gone, match="m@1 was destroyed by request q-1"):
        home.models.living_artifact(home.models.resolve("m", one["version"]))
    assert home.models.destroy("m", 2, request="q-2") is True
    assert home.models.destroy("m", 2, request="q-3") is True
    assert home.models.resolve("m", 2)["destroyed_by"] == "q-2", "the first request is the one that did it"
    with pytest.raises(Gone):
        home.models.artifact_path("sha256:aa")


def test_a_spec_is_the_same_after_json() -> None:
    import json

    for given in (spec(), spec(privacy=PrivacySpec(epsilon=1.0, delta=1e-5), subject_key="person")):
        assert spec_from_json(json.loads(json.dumps(spec_to_json(given)))) == given


# ── operations ──────────────────────────────────────────────────────────────────────────────────
def test_an_operation_is_entered_once_and_ends_once(home) -> None:
    given = {"subject": "m", "given": {"x": 1}, "actor": "key:e"}
    assert home.operations.queue("o", "training", **given) is True
    assert home.operations.queue("o", "training", **given) is False
    for kind, other in (("audit", given), ("training", given | {"given": {"x": 2}}), ("training", given | {"subject": "n"})):
        with pytest.raises(Conflict, match="Idempotency-Key"):
            home.operations.queue("o", kind, **other)
    home.operations.progress("o", 1, 3, "epochs")
    assert home.operations.get("o")["progress"] == {"done": 1, "total": 3, "what": "epochs"}
    home.operations.start("o")
    home.operations.finish("o", result={"version": 1})
    home.operations.finish("o", error={"detail": "late", "hint": None})
    ended = home.operations.get("o")
    assert (ended["state"], ended["result"], ended["error"]) == ("done", {"version": 1}, None)
    assert "input" not in ended
    home.operations.start("o")
    assert home.operations.get("o")["state"] == "done"


# ── deployments ─────────────────────────────────────────────────────────────────────────────────
@pytest.fixture
def core(tmp_path, memory_keys, ticking_clock):
    with opened(tmp_path / "home", keys=memory_keys, clock=ticking_clock) as core:
        core.people("credit.train", list(range(6)))
        core.train()
        yield core


def test_nothing_is_released_without_a_pass(core: Core) -> None:
    with pytest.raises(GateRefused, match="was not audited"):
        core.deployments.release("m", "1", "production", actor="key:e")
    for accuracy, said in ((0.5, "says fail"), (0.72, "says inconclusive")):
        core.auditor.accuracy = accuracy
        with pytest.raises(GateRefused, match=said):
            core.release()
    assert core.deployments.list()["deployments"] == []
    core.auditor.accuracy = 0.9
    assert core.release()["active_to"] is None


def test_the_one_before_ends_at_the_same_instant(core: Core) -> None:
    first = core.release()
    core.train()
    second = core.release(version=2)
    ended = core.ledger.record("deployment", first["id"])[0]
    assert ended["active_to"] == second["active_from"]
    assert core.models.resolve("m", 1)["status"] == "superseded"
    assert core.models.get("m")["aliases"] == {"production": 2}
    assert core.retired == [("m", 1)]
    assert [body["id"] for body in core.deployments.list("m", active=True)["deployments"]] == [second["id"]]


def test_environments_do_not_disturb_each_other(core: Core) -> None:
    core.release()
    core.release(environment="staging")
    assert len(core.deployments.list(active=True)["deployments"]) == 2
    assert core.deployments.active("m")["environment"] == "production"
    assert core.deployments.active("m", "elsewhere") is None


def test_the_same_idempotency_key_is_the_same_release(core: Core) -> None:
    first = core.release(idempotency="k")
    assert core.release(idempotency="k")["id"] == first["id"]
    assert len(core.deployments.list()["deployments"]) == 1
    with pytest.raises(Conflict, match="Idempotency-Key"):
        core.release(environment="staging", idempotency="k")


def test_a_held_version_is_not_deployed(core: Core) -> None:
    core.hold("model:m@1")
    with pytest.raises(Held, match="under investigation") as held:
        core.release()
    assert held.value.hint == "govern incident close i-1"
    core.unhold("model:m@1")
    core.hold("model:m")
    with pytest.raises(Held):
        core.release()


def test_rollback_and_its_refusals(core: Core) -> None:
    with pytest.raises(NotFound, match="never released"):
        core.deployments.rollback("m", "production", actor="key:e")
    core.release()
    with pytest.raises(Conflict, match="no earlier version"):
        core.deployments.rollback("m", "production", actor="key:e")
    core.train()
    core.release(version=2)
    assert core.deployments.rollback("m", "production", actor="key:e")["version"] == 1
    assert core.deployments.active("m")["reason"] == "rollback"


def test_a_destroyed_version_cannot_come_back(core: Core) -> None:
    core.release()
    assert core.erase(3)["state"] == "completed"
    with pytest.raises((GateRefused, Gone)):
        core.deployments.rollback("m", "production", actor="key:e")
    with pytest.raises(Gone):
        core.deployments.release("m", "1", "production", actor="key:e")


def test_withdraw_ends_service_once(core: Core) -> None:
    core.release()
    assert len(core.deployments.withdraw("m", 1, reason="recalled")) == 1
    assert core.deployments.withdraw("m", 1, reason="again") == []
    assert core.deployments.active("m") is None
    assert core.models.get("m")["aliases"] == {}


def test_only_declared_environments(core: Core) -> None:
    core.models.declare("m", {"environments": ["production"]}, actor="key:e")
    with pytest.raises(BadInput, match="declares the environments production"):
        core.release(environment="prod")
    with pytest.raises(BadInput, match="needs an environment"):
        core.release(environment="")


def test_rows_whose_person_cannot_be_referred_to_are_refused_before_they_are_written(core: Core) -> None:
    before = core.datasets.infos("credit.train")
    table = pa.table({"person": ["7", "bad\x07person"], "age": [1.0, 2.0], "y": ["good", "bad"]})
    with pytest.raises(BadInput, match="holds a control character") as error:
        core.datasets.write("credit.train", table, mode="append", key=None, actor="key:e")
    assert "person\x07" not in error.value.message
    assert core.datasets.infos("credit.train") == before, "a version that is not indexed could never be purged"
    assert core.datasets.write("credit.train", table.slice(0, 1), mode="append", key=None, actor="key:e")["rows"] == 7


def test_a_sharded_version_reads_as_it_was_written_and_one_from_before_shards_is_whole():
    sharded = spec(strategy="sisa", sharding=Sharding(shards=5))
    assert spec_from_json(json.loads(json.dumps(spec_to_json(sharded)))) == sharded
    old = {name: value for name, value in spec_to_json(spec()).items() if name not in ("strategy", "sharding")}
    assert spec_from_json(old) == spec()
    assert (spec().strategy, spec().sharding) == ("full", None)
