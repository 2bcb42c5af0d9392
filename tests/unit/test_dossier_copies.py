"""What a certificate says of the law pack and of backups; and that its rules are checked from the file alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from governance.dossier import erasure_certificate
from governance.erasure.packs import Packs
from governance.wiring import init_home
from governance.wiring.backups import make_backup
from lineage.errors import Tampered
from reports.claims import check_claims
from reports.model import Basis, Dossier, Facts, Note, Table
from reports.verify import TrustedKeys, verify
from tests.support.papers import AS_OF, golden
from tests.support.persons import PERSONS, opened_persons

DAY = 86_400 * 10**9


def certificate(request: dict[str, Any]) -> Dossier:
    return erasure_certificate(request, now=AS_OF, installation="test", generator="test")


def section(dossier: Dossier, title: str) -> tuple[Any, ...]:
    return next(one.blocks for one in dossier.sections if one.title == title)


def facts(dossier: Dossier, title: str) -> dict[str, Any]:
    return {fact.label: fact for block in section(dossier, title) if isinstance(block, Facts) for fact in block.items}


def test_the_law_pack_is_named_with_version_and_digest() -> None:
    request = golden("erasure_completed")
    said = facts(certificate(request), "The request")
    assert said["Law pack"].value == "GDPR version 1"
    assert said["Digest of the law pack"].value == request["law"]["digest"]
    assert request["law"]["digest"] == next(pack.digest for pack in Packs().all() if pack.id == "GDPR")
    missing = facts(certificate({name: value for name, value in request.items() if name != "law"}), "The request")
    assert {missing[name].basis for name in ("Law pack", "Digest of the law pack")} == {Basis.GAP}


def test_backups_that_may_hold_the_rows_are_listed_with_what_covers_them() -> None:
    dossier = certificate(golden("erasure_completed"))
    blocks = section(dossier, "What remains")
    table = next(block for block in blocks if isinstance(block, Table) and block.columns[0] == "Backup")
    assert [row[3][:4] for row in table.rows] == ["kept", "said"]
    said = facts(dossier, "What remains")
    assert said["Backups that may hold the rows"].value == 1
    assert said["Covered by"].value == "every list that was exported from ledger entry 5120 on"
    assert any(isinstance(block, Note) and "serves anybody before" in block.text for block in blocks)
    assert dossier.data["copies"]["backups"][0]["size"] == 3801
    none = certificate(golden("erasure_unknown"))
    assert any(isinstance(block, Note) and "knows of no backup" in block.text for block in section(none, "What remains"))
    assert facts(certificate(golden("erasure_partial")), "What remains")["Backups known to the ledger"].basis is Basis.GAP


def other_rule(law: dict[str, Any]) -> None:
    law["terms"]["rules"]["answer"]["limit"]["months"] = 12


def other_version(law: dict[str, Any]) -> None:
    law["version"] = 2


def other_law(law: dict[str, Any]) -> None:
    law["pack"] = law["terms"]["pack"] = "CCPA"


def test_the_rules_are_checked_from_the_file_alone() -> None:
    claims = check_claims("erasure-certificate", certificate(golden("erasure_completed")).data)
    assert any(claim.holds and "law pack GDPR version 1" in claim.sentence for claim in claims)
    request = golden("erasure_completed")
    del request["law"]["terms"]
    (claim,) = [one for one in check_claims("erasure-certificate", certificate(request).data) if "law pack" in one.sentence]
    assert claim.holds is None, "what is not carried is no pass"


@pytest.mark.parametrize("lie", [other_rule, other_version, other_law])
def test_other_rules_than_those_that_were_frozen_are_found_out(lie: Callable[[dict[str, Any]], None]) -> None:
    request = golden("erasure_completed")
    lie(request["law"])
    with pytest.raises(Tampered, match="law pack"):
        check_claims("erasure-certificate", certificate(request).data)


def test_a_certificate_of_a_home_names_its_backups_and_verifies(tmp_path: Path) -> None:
    init_home(tmp_path / "home")
    with opened_persons(tmp_path / "home") as system:
        system.datasets.register({"name": "people", "kind": "parquet", "subject_key": "mail", "subject_type": "email"}, actor="key:1")
        import pyarrow as pa

        system.datasets.write("people", pa.table({"mail": list(PERSONS)}), mode="replace", key="mail", actor="key:1")

        def backup(name: str) -> str:
            made = make_backup(tmp_path / "home", tmp_path / name, keep=DAY, checkpoint=system.log.checkpoint().note)
            body = {"id": made["backup"], "made_at": made["made_at"], "until": made["until"], "bytes": 1}
            return str(system.backups.made(body | {name: made["ledger"][name] for name in ("size", "root")}, actor="key:1")["id"])

        before = backup("before")
        request = system.erase(PERSONS[0])
        assert request["state"] == "completed"
        after = backup("after")
        data = system.erasures.dossier(request["id"])["data"]
        assert [one["id"] for one in data["copies"]["backups"]] == [before]
        assert after not in str(data["copies"])
        system.backups.deleted(before, actor="key:1")
        assert system.erasures.dossier(request["id"])["data"]["copies"]["backups"][0]["deleted_at"] is not None
        found = verify(system.erasures.certificate(request["id"]), TrustedKeys.from_json(system.keys.public()))
        assert found.exit_code == 0, found.sentences
        assert any("law pack GDPR version 1" in sentence for sentence in found.sentences)
        nobody = system.erasures.request({"subject": {"type": "email", "value": "nobody@example.org"}}, actor="key:desk")["id"]
        system.erasures.verify(nobody, {"method": "document"}, actor="key:desk")
        system.work()
        listed = system.erasures.dossier(nobody)["data"]["copies"]
        assert [one["id"] for one in listed["backups"]] == [before, after], "nothing was purged: each may hold what is not here"
