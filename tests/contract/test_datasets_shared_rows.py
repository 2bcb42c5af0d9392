"""Rows about two people, in every store: erasing one keeps the other's, by the rule that the dataset states."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from lineage.errors import BadInput, Conflict
from lineage.rows import canonical_subject, subject_refs
from tests.support.core import Core, assets, opened
from tests.support.scanner import scan

ADA, BOB, CY, DAN = (f"{name}.qqx4711@example.org" for name in ("ada", "bob", "cy", "dan"))
NAME = "Ada Sentinel-Qqx"
TABLES = ("lance", "delta", "parquet")


@pytest.fixture
def core(tmp_path: Path, memory_keys, ticking_clock) -> Iterator[Core]:
    with opened(tmp_path / "home", keys=memory_keys, clock=ticking_clock) as core:
        yield core


def keys(*about: str) -> list[dict[str, Any]]:
    return [{"type": "email", "columns": ["sender"], "about": list(about)}, {"type": "email", "columns": ["receiver"]}]


def register(core: Core, name: str, kind: str, rule: str, ground: str | None = None) -> None:
    rows = {"rule": rule, **({"ground": ground} if ground else {})}
    core.datasets.register({"name": name, "kind": kind, "subject_keys": keys("sender_name"), "shared_rows": rows}, actor="key:e")


def payments() -> pa.Table:
    """Ada pays Bob, Cy pays Ada, Ada pays nobody known, Ada pays herself, Bob pays Cy."""
    return pa.table(
        {
            "number": [1, 2, 3, 4, 5],
            "sender": [ADA, CY, ADA, ADA, BOB],
            "sender_name": [NAME, "Cy", NAME, NAME, "Bob"],
            "receiver": [BOB, ADA, None, ADA.upper(), CY],
            "amount": [10.5, 20.25, 30.0, 40.0, 50.0],
        }
    )


def write(core: Core, name: str, table: pa.Table | None = None) -> dict[str, Any]:
    return core.datasets.write(name, table or payments(), mode="replace", key="number", actor="key:e")


def rows_of(core: Core, person: str) -> dict[str, list[int]]:
    return core.index.lookup(subject_refs(core.keys, canonical_subject("email", person)))


def erase(core: Core, person: str) -> dict[str, Any]:
    ident = requested(core, person)
    core.erasures.approve(ident, {}, actor="key:other")
    core.engine.run()
    return core.erasures.get(ident)


def requested(core: Core, person: str) -> str:
    ident = core.erasures.request({"subject": {"type": "email", "value": person}, "regulation": "GDPR"}, actor="key:asks")["id"]
    core.erasures.verify(ident, {"method": "passport"}, actor="key:asks")
    return ident


@pytest.mark.parametrize("kind", TABLES)
def test_a_redacted_row_stays_for_the_other_person_and_the_old_one_is_nowhere(core: Core, kind: str) -> None:
    register(core, "payments", kind, "redact")
    write(core, "payments")
    first = core.datasets.infos("payments")[0].version
    assert rows_of(core, ADA)["payments"] == [1, 2, 3, 4]
    assert not scan(core.root / "datasets", [NAME.encode()]).clean
    done = erase(core, ADA)
    assert done["state"] == "completed", done
    asset = assets(done)["dataset:payments"]
    assert (asset["level"], asset["found"], asset["detail"]["rows_deleted"]) == ("L1", 4, 2)
    shared = asset["detail"]["shared"]
    assert shared == {
        "rule": "redact", "rows": 2, "kept": 2, "columns": ["receiver", "sender", "sender_name"], "cells": 3, "cells_left": 0,
    }  # fmt: skip
    left = core.datasets.read("payments", "latest")
    assert left.column("govern_row_id").to_pylist() == [5, 6, 7], "what stays is another row"
    assert sorted(
        zip(*(left.column(name).to_pylist() for name in ("number", "sender", "sender_name", "receiver", "amount")), strict=True)
    ) == [
        (1, None, None, BOB, 10.5),
        (2, CY, "Cy", None, 20.25),
        (5, BOB, "Bob", CY, 50.0),
    ]
    assert core.datasets.version("payments", first).gone
    assert rows_of(core, ADA) == {}
    assert len(rows_of(core, BOB)["payments"]) == len(rows_of(core, CY)["payments"]) == 2
    found = scan(core.root / "datasets", [NAME.encode(), ADA.encode(), ADA.upper().encode()])
    assert found.clean, found
    assert not found.unknown
    paper = core.papers[done["report"]]
    assert "2 rows stay without receiver, sender, sender_name; 3 emptied cells were read again, 0 held a value" in str(paper.sections)
    assert next(one for one in paper.data["assets"] if one["id"] == "dataset:payments")["shared"]["cells_left"] == 0
    again = erase(core, BOB)
    assert again["state"] == "completed"
    assert sorted(core.datasets.read("payments", "latest").column("number").to_pylist()) == [2, 5], "of the first nobody is left"


@pytest.mark.parametrize("kind", [*TABLES, "csv"])
def test_under_purge_the_row_goes_for_both(core: Core, kind: str) -> None:
    if kind == "csv":
        lines = [",".join("" if cell is None else str(cell) for cell in row.values()) for row in payments().to_pylist()]
        (core.root / "landing" / "payments.csv").write_text("\n".join([",".join(payments().column_names), *lines]) + "\n")
        body = {"name": "payments", "kind": kind, "path": "payments.csv", "subject_keys": keys(), "shared_rows": {"rule": "purge"}}
        core.datasets.register(body, actor="key:e")
        core.datasets.write("payments", None, mode="replace", key=None, actor="key:e")
    else:
        register(core, "payments", kind, "purge")
        write(core, "payments")
    done = erase(core, ADA)
    asset = assets(done)["dataset:payments"]
    assert (done["state"], asset["level"], asset["detail"]["rows_deleted"]) == ("completed", "L1", 4)
    assert asset["detail"]["shared"] == {"rule": "purge", "rows": 2}
    assert [int(number) for number in core.datasets.read("payments", "latest").column("number").to_pylist()] == [5]
    assert len(rows_of(core, BOB)["payments"]) == 1
    assert "purged with the others, for everybody in them" in str(core.papers[done["report"]].sections)


def test_a_retained_row_stays_as_it_is_on_the_ground_that_was_stated(core: Core) -> None:
    register(core, "payments", "parquet", "retain", "booked payments are kept for ten years, a legal obligation")
    write(core, "payments")
    done = erase(core, ADA)
    found = assets(done)
    assert done["state"] == "completed", done
    assert (found["dataset:payments"]["level"], found["dataset:payments"]["found"]) == ("L1", 2)
    retained = found["shared:payments"]
    assert (retained["status"], retained["found"], retained["action"]) == ("retained", 2, "retain")
    assert "a legal obligation" in retained["reason"]
    assert rows_of(core, ADA)["payments"] == [1, 2]
    assert core.datasets.read("payments", "latest").column("number").to_pylist() == [1, 2, 5]
    paper = core.papers[done["report"]]
    assert "1 asset was retained or held" in paper.verdict
    assert "retained: they are about other people too" in str(paper.sections)


def test_a_successor_is_shown_not_to_rest_on_the_old_rows(core: Core) -> None:
    register(core, "payments", "parquet", "redact")
    write(core, "payments")
    core.train(dataset="payments", features=["amount"], label="number", subject_key=None)
    core.release()
    ident = requested(core, ADA)
    core.erasures.approve(ident, {}, actor="key:other")
    core.engine.run()
    core.wake()
    core.engine.run()
    done = core.erasures.get(ident)
    assert done["state"] == "completed", done
    assert core.rows_of("m", 1, {"payments": [1, 2, 3, 4]}) == 4
    (successor,) = done["successors"]
    assert successor["excluded"]
    assert core.rows_of("m", successor["version"], {"payments": [1, 2, 3, 4]}) == 0
    assert core.rows_of("m", successor["version"], {"payments": [5, 6, 7]}) == 3, "what stays of them is trained on"
    assert assets(done)["model:m@1"]["level"] in ("L2", "L3")


def test_the_preview_counts_rows_about_others(core: Core) -> None:
    register(core, "payments", "lance", "redact")
    write(core, "payments")
    (planned,) = (one for one in core.previews.plan(requested(core, ADA))["purge"] if one["asset"] == "dataset:payments")
    assert (planned["found"], planned["shared"]) == (4, {"rule": "redact", "rows": 2})


def test_a_person_who_was_erased_does_not_come_in_again_with_others(core: Core) -> None:
    for name, rule in (("redacts", "redact"), ("purges", "purge")):
        register(core, name, "parquet", rule)
        write(core, name)
    erase(core, ADA)
    answer = write(core, "redacts")
    assert (answer["left_out"], answer["redacted"], answer["rows"]) == (2, 2, 3)
    assert core.datasets.read("redacts", "latest").column("sender").to_pylist().count(ADA) == 0
    answer = write(core, "purges")
    assert (answer["left_out"], answer["redacted"], answer["rows"]) == (4, 0, 1)


def test_emptied_cells_that_hold_a_value_are_found(core: Core) -> None:
    register(core, "payments", "parquet", "redact")
    write(core, "payments")
    row, *_ = rows_of(core, CY)["payments"]
    assert core.datasets.redacted_cells("payments", {row: ["sender", "amount"]}) == (2, 2)
    assert core.datasets.redacted_cells("payments", {3: ["receiver"]}) == (1, 0)


def test_several_people_make_no_shards(core: Core) -> None:
    register(core, "payments", "parquet", "purge")
    write(core, "payments")
    with pytest.raises(BadInput, match="about several people"):
        core.datasets.places("payments", core.datasets.read("payments", "latest"), model="m", shards=2)


def test_a_tuple_of_columns_names_a_person(core: Core) -> None:
    key = [{"type": "passport", "columns": ["country", "number"]}]
    core.datasets.register({"name": "travellers", "kind": "parquet", "subject_keys": key}, actor="key:e")
    table = pa.table({"country": ["a,b", "a", "DE", None], "number": ["c", "b,c", "17", "9"], "x": [1, 2, 3, 4]})
    core.datasets.write("travellers", table, mode="replace", key=None, actor="key:e")

    def located(country: str, number: str) -> list[int]:
        refs = subject_refs(core.keys, canonical_subject("passport", [country, number]))
        return core.index.lookup(refs).get("travellers", [])

    assert (located("a,b", "c"), located("a", "b,c"), located("DE", "17")) == ([1], [2], [3])
    assert core.index.count("travellers", "1") == 3, "half a name names nobody"


def test_a_number_without_a_country_is_of_the_region_that_was_stated_and_of_none_else(core: Core) -> None:
    table = pa.table({"mobile": ["0171 1234567", "+49 171 7654321"], "x": [1, 2]})
    for name, region in (("german", "DE"), ("unknown", None)):
        key = {"type": "phone", "columns": ["mobile"], **({"region": region} if region else {})}
        core.datasets.register({"name": name, "kind": "parquet", "subject_keys": [key]}, actor="key:e")
        core.datasets.write(name, table, mode="replace", key=None, actor="key:e")
    found = core.index.lookup(subject_refs(core.keys, canonical_subject("phone", "+49 171 1234567")))
    assert found == {"german": [1]}
    both = core.index.lookup(subject_refs(core.keys, canonical_subject("phone", "+49 171 7654321")))
    assert both == {"german": [2], "unknown": [2]}
    assert core.datasets.record("german")["subject_rules"] == 2


def test_what_was_registered_with_one_key_is_read_and_registered_again(core: Core) -> None:
    old = {"name": "old", "kind": "parquet", "subject_key": "person", "subject_type": "applicant"}
    core.datasets.register(old, actor="key:e")
    listed = {"name": "old", "kind": "parquet", "subject_keys": [{"type": "applicant", "columns": ["person"]}]}
    assert core.datasets.register(listed, actor="key:e")["subject_key"] == "person", "the same in other words"
    with pytest.raises(Conflict, match="registered otherwise"):
        core.datasets.register(listed | {"subject_keys": [{"type": "phone", "columns": ["person"], "region": "DE"}]}, actor="key:e")
    assert "subject_keys" not in core.datasets.record("old")


def test_an_index_of_rows_about_two_people_agrees_with_its_rows(core: Core) -> None:
    register(core, "payments", "parquet", "redact")
    write(core, "payments")
    agreed = core.datasets.write("payments", None, mode="replace", key=None, actor="key:e")
    assert agreed["index"] == {"agrees": True, "differs": {}, "repaired": False}
    core.index.forget("payments", [2])
    assert not core.datasets.write("payments", None, mode="replace", key=None, actor="key:e")["index"]["agrees"]


def test_a_store_of_lines_leaves_nothing_of_a_row(core: Core) -> None:
    (core.root / "landing" / "raw.txt").write_text("one\ntwo\n")
    core.datasets.register(
        {"name": "raw", "kind": "lines", "path": "raw.txt", "subject_key": "line", "subject_type": "line"}, actor="key:e"
    )
    core.datasets.write("raw", None, mode="replace", key=None, actor="key:e")
    with pytest.raises(BadInput, match="whole lines"):
        core.datasets._store("raw").purge([1], request="r-1", redact={1: ["line"]})


@pytest.mark.parametrize("kind", TABLES)
def test_a_column_that_is_none_is_not_redacted(core: Core, kind: str) -> None:
    register(core, "payments", kind, "redact")
    write(core, "payments")
    store = core.datasets._store("payments")
    for column in ("no-such", "govern_row_id"):
        with pytest.raises(BadInput, match="cannot be redacted"):
            store.purge([1], request="r-1", redact={1: [column]})
    assert store.residual_scan([1])[0] == 1, "nothing was touched"
