"""A rotation of the epoch: what comes in between, what cannot be re-keyed and why, and the whole way as its user goes it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from governance.cli import main
from governance.erasure.states import FINAL
from governance.registry.acts import act
from governance.registry.asked import KIND, OVER
from governance.registry.gate import Gate
from governance.registry.references import References
from governance.wiring import init_home
from lineage.errors import BadInput, Conflict, StoreUnavailable
from lineage.rows import canonical_subject, subject_refs
from tests.support.core import Core, Killed, opened
from tests.support.persons import PERSONS, opened_persons


@pytest.fixture
def core(tmp_path: Path, memory_keys: Any, ticking_clock: Any) -> Iterator[Core]:
    with opened(tmp_path / "home", keys=memory_keys, clock=ticking_clock) as core:
        core.people("a", [1, 2, 3])
        yield core


def rotated(core: Core) -> dict[str, Any]:
    begun = core.rotation.rotate(actor="key:admin")
    core.engine.run()
    ended: dict[str, Any] = core.operations.get(begun["operation"])
    assert ended["state"] == "done", ended
    return dict(ended["result"])


def refs(core: Core, person: int) -> list[str]:
    return subject_refs(core.keys, canonical_subject("applicant", str(person)))


# ── requests learn the epoch ────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("guard", [True, False])
def test_a_request_from_before_finds_rows_that_come_after(core: Core, monkeypatch: pytest.MonkeyPatch, *, guard: bool) -> None:
    if not guard:
        monkeypatch.setattr(References, "carry", lambda *_: 0)
    ident = core.request(1)
    core.rotation.rotate(actor="key:admin")
    core.engine.waiting.clear()  # nothing is re-keyed yet
    core.people("b", [1, 2])
    if not guard:
        assert core.searcher.located(ident).get("b") is None, "the gap that the guard closes"
        return
    (row,) = core.searcher.located(ident)["b"]
    record = core.erasures.record(ident)
    assert record["epochs"] == ["epoch-2", "epoch-1"]
    assert record["subject_refs"] == refs(core, 1)
    (entry,) = core.ledger.entries(kind="govern.erasure.carried")
    assert json.loads(entry.payload or b"")["detail"] == {"epochs": ["epoch-2"]}
    core.erasures.approve(ident, {}, actor="key:other")
    core.engine.run()
    assert core.erasures.get(ident)["state"] == "completed"
    assert row not in core.datasets.row_ids("b", core.datasets.infos("b")[-1].version)


def test_only_open_requests_about_the_person_learn_it(core: Core) -> None:
    over = core.erase(1)["id"]
    other = core.request(2)
    mine = [core.request(3), core.request(3)]
    core.rotation.rotate(actor="key:admin")
    core.people("b", [3])
    assert [len(core.erasures.record(ident)["epochs"]) for ident in (over, other, *mine)] == [1, 1, 2, 2]
    core.people("b", [3], mode="append")
    assert len(core.ledger.entries(kind="govern.erasure.carried")) == 2, "each once"
    shown = core.erasures.get(mine[0])
    assert not {"epochs", "subject_refs"} & set(shown)


def test_an_intake_that_began_before_the_rotation_knows_the_new_epoch(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rotation comes after the intake was called and before its transaction: references are made in there."""
    original = type(core.ledger).transact

    def first(ledger: Any, work: Any) -> Any:
        monkeypatch.setattr(type(core.ledger), "transact", original)
        core.keys.rotate("epoch")
        return original(ledger, work)

    monkeypatch.setattr(type(core.ledger), "transact", first)
    ident = core.erasures.request({"subject": {"type": "applicant", "value": "1"}}, actor="key:asks")["id"]
    assert core.erasures.record(ident)["epochs"] == ["epoch-2", "epoch-1"]


def test_a_search_over_which_rows_are_moved_looks_again(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    ident = core.request(1)
    before = core.searcher.located(ident)
    original, moved = core.index.find, []

    def find(references: Any) -> Any:
        monkeypatch.setattr(core.index, "find", original)
        moved.append(rotated(core))
        return original(references)

    monkeypatch.setattr(core.index, "find", find)
    assert core.searcher.located(ident) == before
    assert moved[0]["datasets"] == [{"dataset": "a", "moved": 3, "predictions": 0, "left": 0, "why": None}]


def test_the_list_of_who_is_asked_about_is_a_fold_of_the_log(core: Core) -> None:
    assert {str(state) for state in FINAL} == OVER
    ident = core.request(1)
    core.erase(2)
    listed = core.ledger.records(KIND)
    assert [body for _ident, body, _revision in listed] == [{"request": ident, "epochs": ["epoch-1"]}]
    core.ledger.rebuild_records()
    assert core.ledger.records(KIND) == listed
    core.erasures.withdraw(ident, {}, actor="key:asks")
    assert core.ledger.records(KIND) == []


def test_a_request_of_before_there_was_a_list_is_listed_by_the_rotation(core: Core) -> None:
    ident = core.request(1)
    (listed,) = core.ledger.records(KIND)
    core.ledger.append([act("record.restored", actor="t", drop=[(KIND, listed[0])])])
    assert core.ledger.records(KIND) == []
    core.rotation.rotate(actor="key:admin")
    core.people("b", [1])
    assert core.erasures.record(ident)["epochs"] == ["epoch-2", "epoch-1"]
    assert core.searcher.located(ident)["b"]


def test_once_every_open_request_knows_the_epoch_nobody_is_looked_for(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    ident = core.request(1)
    other = core.erasures.request({"subject": {"type": "applicant", "value": "99"}}, actor="key:asks")["id"]
    rotated(core)
    assert core.erasures.record(ident)["epochs"] == ["epoch-2", "epoch-1"], "its person stands in a dataset that was re-keyed"
    assert not core.datasets.references.settle(), "of the other nobody knows an identifier"
    core.erasures.withdraw(other, {}, actor="key:asks")
    assert core.datasets.references.settle()
    calls: list[Any] = []
    monkeypatch.setattr(type(core.ledger), "transact", lambda *_: calls.append(1))
    assert core.datasets.references.newest([canonical_subject("applicant", "99")])[0] == "epoch-2"
    assert calls == []


# ── the rotation ────────────────────────────────────────────────────────────────────────────────
def test_one_at_a_time_and_again_is_the_same(core: Core) -> None:
    begun = core.rotation.rotate(actor="key:admin", idempotency="k")
    assert core.rotation.rotate(actor="key:admin", idempotency="k") == begun
    with pytest.raises(Conflict, match="brings everything under epoch-2 now"):
        core.rotation.rotate(actor="key:other")
    with pytest.raises(Conflict, match="brings everything under epoch-2 now"):
        core.rotation.rekey(actor="key:admin")
    with pytest.raises(Conflict, match="used for another request"):
        core.rotation.rekey(actor="key:admin", idempotency="k")
    core.engine.run()
    assert core.rotation.rotate(actor="key:other")["epoch"] == "epoch-3"
    assert core.rotation.rotate(actor="key:admin", idempotency="k")["epoch"] == "epoch-2", "the answer of then"
    assert [json.loads(entry.payload or b"")["detail"] for entry in core.ledger.entries(kind="govern.epoch.made")] == [
        {"epoch": "epoch-2", "before": "epoch-1"},
        {"epoch": "epoch-3", "before": "epoch-2"},
    ]


def test_two_at_once_make_one(core: Core) -> None:
    told: list[Any] = []
    start = threading.Barrier(4)

    def one(number: int) -> None:
        start.wait()
        try:
            told.append(core.rotation.rotate(actor=f"key:{number}")["epoch"])
        except Conflict as error:
            told.append(error)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [one for one in told if isinstance(one, str)] == ["epoch-2"]
    assert core.keys.living("epoch-") == ["epoch-2", "epoch-1"]


@pytest.mark.parametrize("step", ["epoch", "rekey a", "finish"])
def test_what_was_killed_goes_on(core: Core, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if step == "epoch":  # between the entry and the key

        def die(*_: Any, **__: Any) -> str:
            raise Killed

        with monkeypatch.context() as patch:
            patch.setattr(core.keys, "rotate", die)
            with pytest.raises(Killed):
                core.rotation.rotate(actor="key:admin")
        assert core.keys.living("epoch-") == ["epoch-1"]
        (operation,) = core.ledger.records("operation")
        core._enqueue_rekey(operation[0])  # as a start of the process does
    else:
        core.rotation.rotate(actor="key:admin")
        core.engine.run_until(step)
    core.engine.run()
    assert core.keys.living("epoch-") == ["epoch-2", "epoch-1"]
    assert core.datasets.indexed_before("a") == 0
    assert core.shredding.epochs()["rekeyed"]["datasets"][0]["left"] == 0


def test_what_cannot_be_rekeyed_is_counted_with_the_reason(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    (core.root / "landing" / "l.csv").write_text("person,x\n7,1\n8,2\n")
    core.datasets.register({"name": "l", "kind": "csv", "path": "l.csv", "subject_key": "person", "subject_type": "applicant"}, actor="t")
    core.datasets.write("l", None, mode="replace", key=None, actor="t")
    (core.root / "landing" / "l.csv").write_text("person,x\n8,2\n")
    core.datasets.write("l", None, mode="replace", key=None, actor="t")
    core.predict("p-1", 1)
    core.predict("p-99", 99)
    plan = core.rotation.plan()
    assert (plan["epoch"], plan["predictions"]) == ("epoch-2", {"named": 2, "unknown": 1})
    assert [(one["dataset"], one["persons"], one["unreadable"]) for one in plan["datasets"]] == [("a", 3, 0), ("l", 1, 1)]
    assert core.keys.living("epoch-") == ["epoch-1"], "a plan changes nothing"
    assert core.ledger.entries(kind="govern.epoch.made") == []
    original = core.datasets.persons

    def away(name: str) -> set[str]:
        if name == "a":
            raise StoreUnavailable("the store of a is away")
        return original(name)

    with monkeypatch.context() as patch:
        patch.setattr(core.datasets, "persons", away)
        told = {one["dataset"]: one for one in rotated(core)["datasets"]}
    assert told["a"] == {"dataset": "a", "moved": 0, "predictions": 0, "left": None, "why": "the store of a is away"}
    with pytest.raises(Conflict, match="indexed under an older epoch"):
        core.shredding.destroy("epoch-1", actor="key:admin")
    begun = core.rotation.rekey(actor="key:admin")
    core.engine.run()
    result = core.operations.get(begun["operation"])["result"]
    told = {one["dataset"]: one for one in result["datasets"]}
    assert (told["a"]["moved"], told["a"]["predictions"], told["a"]["left"]) == (3, 1, 0)
    assert told["l"]["left"] == 1
    assert "held by no version that can be read" in told["l"]["why"]
    assert result["predictions"] == {
        "left": 1,
        "why": "1 prediction record(s) are about persons whom no dataset names: nobody's identifier is at hand",
    }
    with pytest.raises(Conflict, match="not everything could be brought under epoch-2; l: 1 row"):
        core.shredding.destroy("epoch-1", actor="key:admin")
    assert core.index.lookup(refs(core, 7)) == {"l": [2]}, "the old key still finds what was there"


# ── the end of the old key ──────────────────────────────────────────────────────────────────────
def test_an_open_request_keeps_the_key_only_as_long_as_it_needs_it(core: Core) -> None:
    stranger = core.erasures.request({"subject": {"type": "applicant", "value": "99"}}, actor="key:asks")["id"]
    rotated(core)
    assert core.shredding.epochs()["use"] == [
        {"epoch": "epoch-2", "predictions": 0, "requests": 0},
        {"epoch": "epoch-1", "predictions": 0, "requests": 1},
    ]
    with pytest.raises(Conflict, match=stranger):
        core.shredding.destroy("epoch-1", actor="key:admin")
    core.erasures.withdraw(stranger, {}, actor="key:asks")
    later = core.request(1)
    assert core.shredding.destroy("epoch-1", actor="key:admin")["living"] == ["epoch-2"], "it knows the new epoch and needs no other"
    core.erasures.approve(later, {}, actor="key:other")
    core.engine.run()
    assert core.erasures.get(later)["state"] == "completed"
    assert core.located(1) == {}


def test_predictions_that_only_the_old_key_names_are_not_lost_unnoticed(core: Core) -> None:
    core.predict("p-99", 99)
    rotated(core)
    with pytest.raises(Conflict, match="1 prediction record") as refused:
        core.shredding.destroy("epoch-1", actor="key:admin")
    assert "--unlink-predictions" in str(refused.value.hint)
    core.shredding.destroy("epoch-1", actor="key:admin", unlink=True)
    assert core.predictions.unknown_subjects() == 1
    asked = core.erase(1)
    assert asked["unknown_subject_predictions"] == 1, "the certificate counts it"


def test_nobody_is_about_to_keep_a_reference_when_a_key_goes() -> None:
    gate, order = Gate(), []
    inside, go = threading.Event(), threading.Event()

    def keep() -> None:
        with gate.inside():
            inside.set()
            go.wait(10)
            order.append("kept")

    def destroy() -> None:
        with gate.alone():
            order.append("destroyed")

    keeper, destroyer = threading.Thread(target=keep), threading.Thread(target=destroy)
    keeper.start()
    inside.wait(10)
    destroyer.start()
    destroyer.join(0.05)
    assert destroyer.is_alive()
    go.set()
    keeper.join(10)
    destroyer.join(10)
    assert order == ["kept", "destroyed"]
    with gate.inside(), gate.inside():
        pass


def test_only_epochs_are_rotated(tmp_path: Path) -> None:
    from lineage.adapters.file_keys import FileKeyStore

    keys = FileKeyStore.create(tmp_path / "keys")
    with pytest.raises(BadInput, match="are not rotated here"):
        keys.rotate("pdf")
    assert keys.rotate("epoch", to="epoch-2") == keys.rotate("epoch", to="epoch-2") == "epoch-2"
    for wrong in ("epoch-1", "epoch-9", "suppression"):
        with pytest.raises(BadInput, match="the next key of the family is epoch-3"):
            keys.rotate("epoch", to=wrong)
    assert keys.living("epoch-") == ["epoch-2", "epoch-1"]


# ── as a user ───────────────────────────────────────────────────────────────────────────────────
def code(words: list[str]) -> int:
    with pytest.raises(SystemExit) as end:
        main(words)
    return int(end.value.code or 0)


def test_from_the_rotation_to_the_destroyed_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the commands alone, over the real engine: rotate, re-key, close the old request, destroy."""
    init_home(tmp_path / "home")
    monkeypatch.setenv("GOVERN_HOME", str(tmp_path / "home"))
    with opened_persons(tmp_path / "home") as system:
        system.datasets.register({"name": "people", "kind": "parquet", "subject_key": "mail", "subject_type": "email"}, actor="key:1")
        system.datasets.write("people", pa.table({"mail": list(PERSONS)}), mode="replace", key="mail", actor="key:1")
        old = system.erasures.request({"subject": {"type": "email", "value": "nobody@example.org"}}, actor="key:1")["id"]
    assert code(["keys", "rotate", "pdf"]) == 2
    assert code(["keys", "rotate", "epoch", "--dry-run"]) == 0
    assert "would make epoch-2 after epoch-1; nothing was changed" in capsys.readouterr().out
    assert code(["keys", "rotate", "epoch", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["epoch"], told["living"]) == ("epoch-2", ["epoch-2", "epoch-1"])
    assert told["datasets"] == [{"dataset": "people", "moved": 6, "predictions": 0, "left": 0, "why": None}]
    assert code(["dataset", "scan", "people"]) == 0, "the index agrees with the rows"
    assert code(["keys", "destroy", "epoch-1", "--yes"]) == 1
    assert old in capsys.readouterr().err
    assert code(["erasure", "withdraw", old]) == 0
    capsys.readouterr()
    assert code(["keys", "destroy", "epoch-1", "--yes", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["living"] == ["epoch-2"]
    assert code(["keys", "epochs"]) == 0
    assert "epoch-1" not in capsys.readouterr().out
    assert code(["ledger", "fsck"]) == 0
    (tmp_path / "person").write_text(f"email:{PERSONS[1]}")
    capsys.readouterr()
    assert code(["impact", "--subject", str(tmp_path / "person"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["datasets"][0]["rows"] == 1
