"""A destroyed epoch key: old references link to nobody, every proof holds, the suppression list goes on working."""

from __future__ import annotations

import hashlib
import hmac
import json
import shutil
from pathlib import Path

import pyarrow as pa
import pytest

from governance.cli import main
from governance.wiring import init_home
from governance.wiring.backups import make_backup, restore
from lineage.errors import BadInput, Conflict, Gone, NotFound
from lineage.ledger import fsck
from lineage.rows import canonical_subject, subject_ref, subject_refs
from reports.verify import TrustedKeys, verify
from tests.support.persons import PERSONS, Persons, opened_persons
from tests.support.scanner import scan

ERASED, OTHER = PERSONS[0], PERSONS[1]
DAY = 86_400 * 10**9


def code(words: list[str]) -> int:
    """The exit code of a command."""
    with pytest.raises(SystemExit) as end:
        main(words)
    return int(end.value.code or 0)


def rotated(system: Persons) -> str:
    """A new epoch by its door, and everything re-keyed under it."""
    begun = system.rotation.rotate(actor="key:1")
    system.work()
    ended = system.operations.get(begun["operation"])
    assert ended["state"] == "done", ended
    return str(begun["epoch"])


def test_unlinkable_proven_and_suppressed(tmp_path: Path) -> None:
    home = tmp_path / "home"
    init_home(home)
    with opened_persons(home) as system:
        system.filled()
        checkpoint = system.log.checkpoint()
        make_backup(home, tmp_path / "old", keep=DAY, checkpoint=checkpoint.note)
        shutil.copytree(home / "keys", tmp_path / "keys")
        canonical = canonical_subject("email", ERASED)
        old_refs = subject_refs(system.keystore, canonical)
        key = system.keystore.secret("epoch-1")
        request = system.erase(ERASED)
        assert request["state"] == "completed"
        certificate = system.erasures.certificate(request["id"])
        trusted = TrustedKeys.from_json(system.keys.public())
        assert verify(certificate, trusted).exit_code == 0

        assert rotated(system) == "epoch-2"
        assert system.erasures.record(request["id"])["subject_refs"] == old_refs == [subject_ref_under(key, canonical)]
        answer = system.shredding.destroy("epoch-1", actor="key:1")
        assert answer["living"] == ["epoch-2"]
        assert system.shredding.destroy("epoch-1", actor="key:1") == answer, "again is no error, and no second entry"

        # 1. nobody can make the old reference again: not from the identifier, not from any file of the home
        assert set(subject_refs(system.keystore, canonical)).isdisjoint(old_refs)
        assert system.datasets.index.lookup(old_refs) == {}
        report = scan(home, [key])
        assert (report.hits, report.unknown) == ([], [])
        assert not (home / "keys" / "epoch-1.json").exists()
        with pytest.raises(Gone):
            system.keystore.hmac("epoch-1", canonical.encode())

        # 2. every proof holds
        assert fsck(system.log, trusted=[checkpoint.note]).problems == ()
        assert verify(certificate, trusted).exit_code == 0
        assert json.loads(system.log.entry(answer["entry"]).payload)["detail"] == {"epoch": "epoch-1"}

        # 3. the suppression list works: the person is found under its own key, and the others still under the new epoch
        suppressed = system.keystore.hmac("suppression", canonical.encode()).hex()[:32]
        assert system.log.record("suppression", suppressed) is not None
        assert system.subjects.trace("email", OTHER, actor="key:dpo")["datasets"] != []
        (tmp_path / "list.json").write_bytes(system.erased.export())

    # and a backup from before, with a copy of the keys from before: it lacks the new epoch, and is refused
    restored = tmp_path / "restored"
    with pytest.raises(NotFound, match="the keys lack epoch-2"):
        restore(restored, source=tmp_path / "old", keys=tmp_path / "keys", replay=tmp_path / "list.json")
    shutil.copy2(home / "keys" / "epoch-2.json", restored / "keys")
    told = restore(restored, replay=tmp_path / "list.json")
    assert told["rekeyed"] == {"people": 5, "people.copy": 5}, "its index was under the epoch that is no more"
    # nobody is back, the epoch is gone there too, and the others are found
    with opened_persons(restored) as system:
        assert ERASED not in system.mails()
        assert system.shredding.living() == ["epoch-2"]
        assert system.subjects.trace("email", OTHER, actor="key:dpo")["predictions"] == 1
        assert {one["dataset"]: one["rows"] for one in system.subjects.trace("email", OTHER, actor="key:dpo")["datasets"]} == {
            "people": 1,
            "people.copy": 1,
        }
        assert rotated(system) == "epoch-3", "and it goes on"
    assert scan(restored, [ERASED.encode(), key]).hits == []


def subject_ref_under(key: bytes, canonical: str) -> str:
    """The reference, computed by nobody's code but this."""
    return hmac.new(key, canonical.encode(), hashlib.sha256).hexdigest()[:32]


def test_what_still_has_to_be_found_is_not_shredded(tmp_path: Path) -> None:
    init_home(tmp_path / "home")
    with opened_persons(tmp_path / "home") as system:
        system.datasets.register({"name": "people", "kind": "lance", "subject_key": "mail", "subject_type": "email"}, actor="key:1")
        system.datasets.write("people", pa.table({"mail": list(PERSONS)}), mode="replace", key="mail", actor="key:1")
        with pytest.raises(Conflict, match="the newest epoch"):
            system.shredding.destroy("epoch-1", actor="key:1")
        system.keystore.rotate("epoch")
        with pytest.raises(Conflict, match=r"6 row\(s\) of people are indexed under an older epoch"):
            system.shredding.destroy("epoch-1", actor="key:1")
        request = system.erasures.request({"subject": {"type": "email", "value": OTHER}}, actor="key:desk")["id"]
        with pytest.raises(Conflict, match=request):
            system.shredding.destroy("epoch-1", actor="key:1")
        system.erasures.withdraw(request, {}, actor="key:desk")
        for name in ("suppression", "checkpoint", "epoch-x", "../epoch-1"):
            with pytest.raises(BadInput, match="is no epoch"):
                system.shredding.destroy(name, actor="key:1")
        with pytest.raises(NotFound, match="no key epoch-9"):
            system.shredding.destroy("epoch-9", actor="key:1")
        assert system.shredding.living() == ["epoch-2", "epoch-1"]
        assert subject_ref(system.keystore, "email:x") == subject_refs(system.keystore, "email:x")[0]
        assert system.log.entries(kind="govern.epoch.destroyed") == []
        with pytest.raises(Conflict, match="indexed under an older epoch"):
            system.shredding.destroy("epoch-1", actor="key:1")
        begun = system.rotation.rekey(actor="key:1")
        assert begun["epoch"] == "epoch-2"
        system.work()
        system.shredding.destroy("epoch-1", actor="key:1")
        assert system.subjects.trace("email", OTHER, actor="key:dpo")["datasets"] != []


def test_the_command_asks_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    init_home(tmp_path / "home")
    with opened_persons(tmp_path / "home") as system:
        rotated(system)
    monkeypatch.setenv("GOVERN_HOME", str(tmp_path / "home"))
    assert code(["keys", "destroy", "epoch-1"]) == 2
    assert "nothing brings it back" in capsys.readouterr().err
    assert code(["keys", "destroy", "epoch-2", "--yes"]) == 1
    assert code(["keys", "destroy", "epoch-1", "--yes"]) == 0
    assert code(["keys", "epochs", "--json"]) == 0
    assert '"epochs": [\n    "epoch-2"\n  ]' in capsys.readouterr().out
