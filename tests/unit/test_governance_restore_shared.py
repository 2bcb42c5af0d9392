"""A restored backup erases rows about two people again as they were erased: by the rule of their dataset, and nobody else's."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from governance.wiring import init_home
from governance.wiring.backups import make_backup, restore
from tests.support.persons import PERSONS, opened_persons
from tests.support.scanner import scan

DAY = 86_400 * 10**9
ADA, BOB, CY, DAN = PERSONS[:4]


def payments() -> pa.Table:
    return pa.table({"number": [1, 2, 3, 4], "sender": [ADA, CY, ADA, CY], "receiver": [BOB, ADA, None, DAN]})


def test_restored_rows_about_two_people_keep_the_one_who_was_not_erased(tmp_path: Path) -> None:
    home, target = tmp_path / "home", tmp_path / "restored"
    init_home(home)
    keys = [{"type": "email", "columns": ["sender"]}, {"type": "email", "columns": ["receiver"]}]
    with opened_persons(home) as system:
        for name, rule in (("redacts", {"rule": "redact"}), ("retains", {"rule": "retain", "ground": "accounts"})):
            system.datasets.register({"name": name, "kind": "parquet", "subject_keys": keys, "shared_rows": rule}, actor="key:1")
            system.datasets.write(name, payments(), mode="replace", key="number", actor="key:1")
        make_backup(home, tmp_path / "old.tar", keep=30 * DAY, checkpoint=system.log.checkpoint().note)
        assert {system.erase(person)["state"] for person in (ADA, BOB)} == {"completed"}
        expected = {name: system.datasets.read(name, "latest").drop_columns("govern_row_id").to_pylist() for name in ("redacts", "retains")}
        (tmp_path / "list.json").write_bytes(system.erased.export())
    assert sorted(one["number"] for one in expected["redacts"]) == [2, 4]
    assert sorted(one["number"] for one in expected["retains"]) == [1, 2, 4]
    restore(target, source=tmp_path / "old.tar", keys=home / "keys", replay=tmp_path / "list.json")
    assert scan(target / "datasets" / "redacts", [ADA.encode(), BOB.encode()]).clean
    with opened_persons(target) as system:
        for name, rows in expected.items():
            found = system.datasets.read(name, "latest").drop_columns("govern_row_id").to_pylist()
            assert sorted(found, key=lambda row: row["number"]) == sorted(rows, key=lambda row: row["number"])
