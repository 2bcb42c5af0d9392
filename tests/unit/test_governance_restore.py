"""A backup holds no keys; restored, it brings nobody back, and says how its ledger goes on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from governance.adapters.home_copy import MANIFEST
from governance.cli import main
from governance.erasure.erased import opened
from governance.wiring import init_home
from governance.wiring.backups import make_backup, restore
from lineage.errors import BadInput, Conflict, Gone, Incomplete, NotFound, StoreUnavailable, Tampered
from lineage.ledger import fsck
from tests.lineage_events import ds, run
from tests.support.persons import PERSONS, Persons, opened_persons
from tests.support.scanner import scan

DAY = 86_400 * 10**9
ERASED, KEPT = PERSONS[0], PERSONS[1]
LITERAL = "somebody-zyxwv@example.net"


def code(words: list[str]) -> int:
    """The exit code of a command."""
    with pytest.raises(SystemExit) as end:
        main(words)
    return int(end.value.code or 0)


class World:
    """A home that was backed up, and in which somebody was erased afterwards."""

    def __init__(self, root: Path) -> None:
        self.root, self.home = root, root / "home"
        made = init_home(self.home)
        self.api_key = made["api_key"]
        with opened_persons(self.home) as system:
            system.filled()
            event = run("r1", "COMPLETE", 1, [ds("a")], [ds("b")], facets={"own": {"note": f"for {LITERAL}"}})
            index = system.lineage.accept(event, actor="key:1").index
            self.stale = system.keys.create("revoked later", ["privacy"])["id"]
            self.old_list = system.erased.export()
            note = system.log.checkpoint().note
            self.manifest = make_backup(self.home, root / "old.tar", keep=30 * DAY, checkpoint=note)
            make_backup(self.home, root / "old", keep=30 * DAY, checkpoint=note)
            assert system.erase(ERASED)["state"] == "completed"
            system.redactions.redact({"entries": [index], "text": LITERAL, "reason": "a literal"}, actor="key:dpo")
            system.keys.revoke(self.stale, actor="key:1")
            self.pending = system.erasures.request({"subject": {"type": "email", "value": KEPT}}, actor="key:desk")["id"]
            (root / "list.json").write_bytes(system.erased.export())
            self.checkpoint = system.log.checkpoint().note
            self.live = {one["state"] for one in system.erasures.list()["requests"]}

    def restored(self, target: Path, **given: Any) -> dict[str, Any]:
        more = {"source": self.root / "old.tar", "keys": self.home / "keys", "replay": self.root / "list.json"} | given
        return restore(target, **more)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("world"))


def test_no_key_is_in_a_backup(world: World) -> None:
    system_keys = world.home / "keys"
    secrets = [bytes.fromhex((system_keys / "master.key").read_text().strip())]
    secrets += [json.loads(path.read_text())["wrapped"].encode() for path in system_keys.glob("*.json")]
    from lineage.adapters.file_keys import FileKeyStore

    store = FileKeyStore(system_keys)
    secrets += [store.secret(name) for name in store.living("") if name != "pdf"]
    secrets.append(b"".join(store.secret("pdf").splitlines()[1:-1])[40:80])
    for backup in (world.root / "old.tar", world.root / "old"):
        report = scan(backup, secrets)
        assert (report.hits, report.unknown) == ([], [])
        assert scan(backup, [ERASED.encode()]).hits, "and it was looked into"
    assert not [name for name in world.manifest["files"] if name.startswith(("keys", "scratch", "lock"))]


def test_restored_nobody_is_back(world: World, tmp_path: Path) -> None:
    home = tmp_path / "home"
    told = world.restored(home)
    assert told["requests"] == 1
    assert told["rows"] == {"people": 1, "people.copy": 1}
    assert (told["predictions"], told["versions"], len(told["redactions"])) == (1, ["m@1"], 1)
    assert told["keys_revoked"] == [world.stale]
    report = scan(home, [ERASED.encode(), LITERAL.encode()])
    assert (report.hits, report.unknown) == ([], [])
    assert not list((home / "artifacts").iterdir()), "the weights rested on them"
    with opened_persons(home) as system:
        assert system.mails() == system.mails("people.copy") == set(PERSONS[1:])
        assert system.deployments.active("m") is None
        with pytest.raises(Gone):
            system.models.living_artifact(system.models.resolve("m", 1))
        assert [body["state"] for body in system.erasures.list()["requests"]] == ["completed", "identity_pending"]
        assert system.subjects.trace("email", ERASED, actor="key:dpo")["predictions"] == 0
        assert system.subjects.trace("email", KEPT, actor="key:dpo")["datasets"] != []
        assert {version.gone for version in system.datasets.infos("people")} == {True, False}
    # what went is known for later too: rows, once suppressed, are told by their commitments
    with opened_persons(home) as system:
        assert system._suppressed_rows(system.models.resolve("m", 1)) == 1


def test_the_proofs_hold_and_the_fork_is_said(world: World, tmp_path: Path) -> None:
    told = world.restored(tmp_path / "home")
    with opened_persons(tmp_path / "home") as system:
        assert fsck(system.log, trusted=[world.manifest["ledger"]["checkpoint"]]).problems == ()
        (problem,) = fsck(system.log, trusted=[world.checkpoint]).problems
        assert "signs another history" in problem or "truncated" in problem
        said = json.loads(system.log.entry(told["entry"]).payload)["detail"]
        size = world.manifest["ledger"]["size"]
        assert said["fork"]["common"] == size == said["backup"]["size"]
        assert said["fork"]["former"]["size"] == size + said["fork"]["lost"]
        assert system.log.consistency(size, system.log.size()), "the beginning is the same log"


@pytest.mark.slow
def test_a_newer_backup_with_nothing_erased_since_forks_nothing(world: World, tmp_path: Path) -> None:
    with opened_persons(world.home) as system:
        note = system.log.checkpoint().note
        make_backup(world.home, tmp_path / "new", keep=DAY, checkpoint=note)
        (tmp_path / "new.json").write_bytes(system.erased.export())
    told = world.restored(tmp_path / "home", source=tmp_path / "new", replay=tmp_path / "new.json")
    assert told["fork"] is None
    with opened_persons(tmp_path / "home") as system:
        assert fsck(system.log, trusted=[world.checkpoint, note]).problems == ()
        assert system.mails() == set(PERSONS[1:])
        assert scan(tmp_path / "home", [ERASED.encode()]).hits == []


def test_without_the_list_it_serves_nobody(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    home = tmp_path / "home"
    words = ["restore", str(world.root / "old"), "--into", str(home), "--keys", str(world.home / "keys")]
    assert code(words) == 4
    assert "--replay LIST" in capsys.readouterr().err
    monkeypatch.setenv("GOVERN_HOME", str(home))
    assert code(["models"]) == 4
    assert code(["serve", "--port", "0"]) == 4
    assert "what was erased since it was made is still in it" in capsys.readouterr().err
    assert code([*words, "--replay", str(tmp_path / "nowhere")]) == 1
    assert code([*words, "--replay", str(world.root / "list.json")]) == 0
    said = capsys.readouterr().out
    assert "rows erased again         2" in said
    assert "another history" in said
    assert code(["models"]) == 0
    assert code(words) == 1, "it is a home now"


def test_files_that_are_merely_unpacked_serve_nobody_either(world: World, tmp_path: Path) -> None:
    shutil.copytree(world.root / "old", tmp_path / "home")
    shutil.copytree(world.home / "keys", tmp_path / "home" / "keys")
    with pytest.raises(Incomplete, match="serves nobody"):
        Persons(tmp_path / "home", worker=False)
    restore(tmp_path / "home", replay=world.root / "list.json")
    with opened_persons(tmp_path / "home") as system:
        assert system.mails() == set(PERSONS[1:])


def test_keys_backup_and_list_belong_together(world: World, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="has no keys"):
        world.restored(tmp_path / "a", keys=None)
    assert (tmp_path / "a" / MANIFEST).exists(), "it is unpacked, and goes on with keys"
    init_home(tmp_path / "other")
    with pytest.raises(Tampered):
        world.restored(tmp_path / "b", keys=tmp_path / "other" / "keys")
    (tmp_path / "old.json").write_bytes(world.old_list[:-20] + b"\n")
    (tmp_path / "before.json").write_bytes(world.old_list)
    with pytest.raises(BadInput, match="no list"):
        world.restored(tmp_path / "a", replay=tmp_path / "old.json")
    with pytest.raises(BadInput, match="no list"):
        world.restored(tmp_path / "a", replay=world.home / "govern.json")
    altered = json.loads((world.root / "list.json").read_bytes())
    altered["statement"]["requests"] = []
    (tmp_path / "altered.json").write_text(json.dumps(altered))
    with pytest.raises(Tampered, match="was altered"):
        world.restored(tmp_path / "a", replay=tmp_path / "altered.json")
    with opened_persons(tmp_path / "other") as system:
        (tmp_path / "foreign.json").write_bytes(system.erased.export())
    with pytest.raises(Tampered):
        world.restored(tmp_path / "a", replay=tmp_path / "foreign.json")
    with pytest.raises(Conflict, match="holds another backup"):
        world.restored(tmp_path / "a", source=tmp_path / "altered.json")
    with pytest.raises(Conflict, match="is not empty"):
        world.restored(world.root)
    assert (tmp_path / "a" / MANIFEST).exists()
    assert world.restored(tmp_path / "a")["rows"] == {"people": 1, "people.copy": 1}


@pytest.mark.slow
def test_a_list_that_is_older_than_the_backup_is_refused(world: World, tmp_path: Path) -> None:
    with opened_persons(world.home) as system:
        make_backup(world.home, tmp_path / "new", keep=DAY, checkpoint=system.log.checkpoint().note)
    (tmp_path / "before.json").write_bytes(world.old_list)
    with pytest.raises(BadInput, match="what was erased in between is not in it"):
        world.restored(tmp_path / "home", source=tmp_path / "new", replay=tmp_path / "before.json")
    assert (tmp_path / "home" / MANIFEST).exists()


@pytest.mark.slow
def test_a_list_of_another_history_is_refused(world: World, tmp_path: Path) -> None:
    """The restored home and the former one are two histories: a list of the one does not fit a backup of the other."""
    world.restored(tmp_path / "fork")
    with opened_persons(tmp_path / "fork") as system:
        note = system.log.checkpoint().note
        make_backup(tmp_path / "fork", tmp_path / "forked", keep=DAY, checkpoint=note)
    with opened_persons(world.home) as system:
        (tmp_path / "former.json").write_bytes(system.erased.export())
    with pytest.raises(Tampered, match="of another history"):
        world.restored(tmp_path / "home", source=tmp_path / "forked", replay=tmp_path / "former.json")


@pytest.mark.parametrize(
    "step", ["_forget", *(pytest.param(step, marks=pytest.mark.slow) for step in ("_rows", "_destroy", "_keys_again"))]
)
def test_a_replay_that_is_cut_off_is_begun_again(world: World, tmp_path: Path, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from governance.erasure.replay import Replay

    def fail(*_: Any) -> Any:
        raise StoreUnavailable("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(Replay, step, fail)
        with pytest.raises(StoreUnavailable):
            world.restored(tmp_path / "home")
    with pytest.raises(Incomplete):
        Persons(tmp_path / "home", worker=False)
    world.restored(tmp_path / "home", source=None)
    assert scan(tmp_path / "home", [ERASED.encode(), LITERAL.encode()]).hits == []
    with opened_persons(tmp_path / "home") as system:
        assert fsck(system.log).problems == ()
        assert [body["state"] for body in system.erasures.list()["requests"]] == ["completed", "identity_pending"]
        kinds = [entry.kind for entry in system.log.entries(limit=1000)]
        assert kinds.count("govern.home.restored") == 1


def test_the_list_names_nobody(world: World) -> None:
    report = scan(world.root / "list.json", [one.encode() for one in (*PERSONS, LITERAL)])
    assert (report.hits, report.unknown) == ([], [])
    with opened_persons(world.home) as system:
        public = system.keystore.public_ed25519("checkpoint")
        listed = opened((world.root / "list.json").read_bytes(), origin=f"govern.{system.installation}", public=public)
    assert [one["state"] for one in listed["requests"]] == ["completed", "identity_pending"]
    assert len(listed["row_sets"]) == 2


def test_a_backup_that_is_there_or_not_of_this_ledger_is_refused(world: World, tmp_path: Path) -> None:
    with pytest.raises(Conflict, match="is there already"):
        make_backup(world.home, world.root / "old.tar", keep=DAY, checkpoint="")
    with opened_persons(world.home) as system:
        size = system.log.size()
        body = {"id": "0" * 8, "made_at": 1, "until": 2, "size": size, "root": "00" * 32, "bytes": 1}
        with pytest.raises(BadInput, match="not of this ledger"):
            system.backups.made(body, actor="key:1")
        body |= {"root": system.log.root().hex(), "until": 900 * DAY}
        with pytest.raises(BadInput, match="730 days"):
            system.backups.made(body, actor="key:1")
        body["until"] = 2 * DAY
        assert system.backups.made(body, actor="key:1") == system.backups.made(body, actor="key:1")
        listed = system.backups.list()["backups"]  # the others are those that other tests made
        assert [one["overdue"] for one in listed if one["id"] == body["id"]] == [True]
        system.backups.deleted("0" * 8, actor="key:1")
        assert [one["overdue"] for one in system.backups.list()["backups"] if one["id"] == body["id"]] == [False]
        with pytest.raises(NotFound):
            system.backups.deleted("1" * 8, actor="key:1")


def test_an_erasure_over_which_it_was_copied_makes_it_anew(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from governance.adapters import home_copy
    from governance.registry.acts import act

    copies = []
    with opened_persons(world.home) as system:
        original = home_copy.copy_home

        def copying(home: Path, target: Path) -> Any:
            found = original(home, target)
            copies.append(target)
            if len(copies) == 1:
                system.log.append([act("erasure.asset", actor="system")])
            return found

        monkeypatch.setattr(home_copy, "copy_home", copying)
        make_backup(world.home, tmp_path / "b", keep=DAY, checkpoint=system.log.checkpoint().note)
        assert len(copies) == 2
        copies[:] = [Path()] * 5
        monkeypatch.setattr(
            home_copy,
            "copy_home",
            lambda home, target: (system.log.append([act("erasure.asset", actor="system")]), original(home, target))[1],
        )
        with pytest.raises(StoreUnavailable, match="erasures are under way"):
            make_backup(world.home, tmp_path / "c", keep=DAY, checkpoint="")
        assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_the_command_makes_one_and_tells_the_ledger(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setenv("GOVERN_HOME", str(world.home))
    target = tmp_path / "b.tar"
    assert code(["backup"]) == 2
    assert code(["backup", str(target), "--keep", "900d"]) == 1
    assert not list(tmp_path.iterdir()), "a copy of which the ledger knows nothing is not there"
    assert code(["backup", str(target), "--keep", "7d"]) == 0
    said = capsys.readouterr().out
    assert "does not hold  keys" in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.tar", "b.tar.suppression.json"]
    assert {path.stat().st_mode & 0o077 for path in tmp_path.iterdir()} == {0}
    assert code(["backup", str(target)]) == 1
    assert code(["backup", "--list", "--json"]) == 0
    (listed,) = [one for one in json.loads(capsys.readouterr().out)["backups"] if one["until"] - one["made_at"] == 7 * DAY]
    told = world.restored(tmp_path / "home", source=target, replay=tmp_path / "b.tar.suppression.json")
    assert told["fork"] == {"common": listed["size"], "lost": 1, "former": told["fork"]["former"]}, "the entry of the backup itself"
    assert code(["backup", "--deleted", listed["id"]]) == 0
    assert code(["erasure", "export-suppression", str(tmp_path / "newer.json")]) == 0
    assert (tmp_path / "newer.json").stat().st_mode & 0o077 == 0
