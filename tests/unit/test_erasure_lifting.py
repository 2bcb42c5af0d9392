"""A person whose erasure was done comes back: four eyes, a ground, and what was erased stays erased, in restored backups too."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from governance.cli import main
from governance.erasure.packs import Packs
from governance.wiring import init_home
from governance.wiring.backups import make_backup, restore
from lineage.errors import BadInput, Conflict, Forbidden
from lineage.rows import canonical_subject
from tests.support.core import Core, opened
from tests.support.persons import PERSONS, Persons, opened_persons

ASK = {"ground": "art-6-1-b", "reasons": "a new contract, signed at the desk"}
DAY = 86_400 * 10**9


@pytest.fixture
def core(tmp_path: Path, memory_keys: Any, ticking_clock: Any) -> Iterator[Core]:
    with opened(tmp_path / "home", keys=memory_keys, clock=ticking_clock) as core:
        core.people("a", [1, 2, 3])
        yield core


def lift(core: Core | Persons, ident: str) -> dict[str, Any]:
    core.erasures.lift(ident, ASK, actor="key:a")
    return core.erasures.lift_approve(ident, {"note": "seen"}, actor="key:b")


def test_who_comes_back_is_taken_in_again(core: Core) -> None:
    ident = core.erase(3)["id"]
    erased = core.erasures.record(ident)
    assert core.people("a", [3], mode="append")["left_out"] == 1
    asked = core.erasures.lift(ident, ASK, actor="key:a")
    assert (asked["lift"]["article"], asked["lift"]["approved"]) == ("Article 6(1)(b)", None)
    assert core.people("a", [3], mode="append")["left_out"] == 1, "asking changes nothing yet"
    with pytest.raises(Forbidden, match="may not approve it"):
        core.erasures.lift_approve(ident, {}, actor="key:a")
    lifted = core.erasures.lift_approve(ident, {"note": "seen"}, actor="key:b")
    assert {name: lifted["lift"]["approved"][name] for name in ("by", "note")} == {"by": "key:b", "note": "seen"}
    assert (lifted["state"], lifted["history"]) == ("completed", erased["history"])
    assert core.people("a", [3], mode="append")["left_out"] == 0
    assert len(core.located(3)["a"]) == 1
    core.datasets.suppression.refuse(canonical_subject("applicant", "3"))
    assert json.loads(core.ledger.entries(kind="govern.erasure.lifted")[0].payload or b"")["detail"] == {"request": ident}
    with pytest.raises(Conflict, match="nobody is suppressed"):
        core.erasures.lift(ident, ASK, actor="key:a")
    again = core.erase(3)
    assert again["state"] == "completed"
    assert core.located(3) == {}
    assert core.people("a", [3], mode="append")["left_out"] == 1, "and may go again"
    with pytest.raises(Conflict, match=f"later request than {ident}"):
        core.erasures.lift(ident, ASK, actor="key:a")


def test_not_while_anything_is_open(core: Core) -> None:
    ident = core.approve(3)
    with pytest.raises(Conflict, match="is queued"):
        core.erasures.lift(ident, ASK, actor="key:a")
    core.engine.run()
    core.erasures.lift(ident, ASK, actor="key:a")
    stranger = core.erasures.request({"subject": {"type": "applicant", "value": "3"}}, actor="key:x")["id"]
    core.erasures.lift(ident, ASK, actor="key:a")  # nobody showed to be the person: it stands in nobody's way
    core.erasures._verified(stranger, "key:x", method="passport", verifier="desk")
    with pytest.raises(Conflict, match=f"{stranger} about this person is scoping"):
        core.erasures.lift_approve(ident, {}, actor="key:b")
    assert core.ledger.records("suppression") != []


def test_a_withdrawal_later_puts_nobody_back_on_the_list(core: Core) -> None:
    lift(core, core.erase(3)["id"])
    core.people("a", [3], mode="append")
    second = core.approve(3)
    core.engine.waiting.clear()
    core.erasures.withdraw(second, {}, actor="key:asks")
    assert core.ledger.records("suppression") == [], "the first one was lifted"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"ground": "art-17-1", "reasons": "x"}, "there are art-6-1-a, art-6-1-b, art-6-1-c"),
        ({"ground": "", "reasons": "x"}, "lists no ground"),
        ({"ground": "art-6-1-b", "reasons": " "}, "say how the person showed"),
    ],
)
def test_no_lift_without_ground_and_reasons(core: Core, body: dict[str, str], said: str) -> None:
    ident = core.erase(3)["id"]
    with pytest.raises(BadInput, match=said):
        core.erasures.lift(ident, body, actor="key:a")
    with pytest.raises(Conflict, match="nobody asked"):
        core.erasures.lift_approve(ident, {}, actor="key:b")
    assert core.ledger.entries(kind="govern.erasure.lift-asked") == []


def test_every_shipped_pack_says_when_and_no_request_rests_on_it() -> None:
    for pack in Packs().all():
        assert pack.lifts
        assert not set(pack.lifts) & set(pack.grounds)
        assert "lifts" not in pack.terms()
        assert pack.model_copy(update={"lifts": {}}).terms() == pack.terms()
    assert any("Delete Act" in ground.says for pack in Packs().all() if pack.id == "CCPA" for ground in pack.lifts.values())


def test_the_command_wants_one_or_the_other(capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([], ["--approve", "--ground", "g"], ["--ground", "g"]):
        with pytest.raises(SystemExit) as end:
            main(["erasure", "lift", "er-1", *words])
        assert end.value.code == 2
    assert "--ground" in capsys.readouterr().err


def test_a_backup_from_before_the_lift_brings_nothing_back_and_one_from_after_keeps_what_came_since(tmp_path: Path) -> None:
    home, who = tmp_path / "home", PERSONS[0]
    init_home(home)
    with opened_persons(home) as system:

        def backup(name: str) -> None:
            make_backup(home, tmp_path / name, keep=DAY, checkpoint=system.log.checkpoint().note)

        system.datasets.register({"name": "people", "kind": "parquet", "subject_key": "mail", "subject_type": "email"}, actor="key:1")
        table = pa.table({"mail": list(PERSONS), "x": [1] * 6})
        system.datasets.write("people", table, mode="replace", key="mail", actor="key:1")
        (old,) = system.predict(who)
        backup("before")
        ident = system.erase(who)["id"]
        backup("erased")
        lift(system, ident)
        system.datasets.write("people", pa.table({"mail": [who], "x": [2]}), mode="append", key=None, actor="key:1")
        (new,) = system.predict(who)
        backup("after")
        (tmp_path / "list.json").write_bytes(system.erased.export())
    shutil.copytree(home / "keys", tmp_path / "keys")

    def restored(name: str) -> Persons:
        restore(tmp_path / f"{name}.home", source=tmp_path / name, keys=tmp_path / "keys", replay=tmp_path / "list.json")
        return Persons(tmp_path / f"{name}.home", worker=False)

    for name in ("before", "erased"):
        with restored(name) as system:
            assert who not in system.mails(), name
            assert system.log.records("suppression") == [], "the list knows that it was lifted"
            assert system._predictions.count() == 1
            assert system._predictions.residual([old]) == 0
            answer = system.datasets.write("people", pa.table({"mail": [who], "x": [3]}), mode="append", key=None, actor="key:1")
            assert answer["left_out"] == 0, "and who comes back is taken in here too"
    with restored("after") as system:
        assert who in system.mails()
        assert system.datasets.read("people", "latest").filter(pc.equal(table_mail(system), who))["x"].to_pylist() == [2]
        assert system._predictions.residual([old]) == 0
        assert system._predictions.residual([new]) == 1


def table_mail(system: Persons) -> pa.ChunkedArray:
    return system.datasets.read("people", "latest")["mail"]
