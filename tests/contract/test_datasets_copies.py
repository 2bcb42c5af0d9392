"""Copies are datasets: a feature table, a table of embeddings and an exported file hold the person too, are found, and are purged."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from lineage.errors import BadInput, Conflict, Gone
from tests.support.core import Core, assets, opened
from tests.support.scanner import scan

PERSON = 4_711_000_003
OTHERS = [4_711_000_001, 4_711_000_002, 4_711_000_004]
MARK = "Sentinel-Qqx-4711"


@pytest.fixture
def core(tmp_path: Path, memory_keys, ticking_clock) -> Iterator[Core]:
    with opened(tmp_path / "home", keys=memory_keys, clock=ticking_clock) as core:
        yield core


def register(core: Core, name: str, kind: str, **more: str) -> None:
    core.datasets.register({"name": name, "kind": kind, "subject_key": "person", "subject_type": "applicant", **more}, actor="key:e")


def write(core: Core, name: str, table: pa.Table) -> dict:
    return core.datasets.write(name, table, mode="replace", key="person", actor="key:e")


def export(core: Core) -> Path:
    path = core.root / "landing" / "export.csv"
    path.write_text(f'person,note\n{OTHERS[0]},first\n{PERSON},"{MARK}, twice"\n{OTHERS[1]},last\n')
    return path


def all_four(core: Core) -> None:
    persons = [str(person) for person in (*OTHERS, PERSON)]
    register(core, "applicants", "lance")
    write(core, "applicants", pa.table({"person": persons, "name": ["a", "b", "c", MARK]}))
    register(core, "features", "parquet")
    write(core, "features", pa.table({"person": persons, "f0": [0.1, 0.2, 0.3, 0.4], "bin": ["x", "y", "z", f"{MARK}-bin"]}))
    register(core, "embeddings", "delta")
    vectors = pa.FixedSizeListArray.from_arrays(pa.array([float(n) for n in range(16)], pa.float32()), 4)
    write(core, "embeddings", pa.table({"person": persons, "vector": vectors, "text": ["x", "y", "z", MARK]}))
    export(core)
    register(core, "export", "csv", path="export.csv")
    core.datasets.write("export", None, mode="replace", key=None, actor="key:e")


def test_a_request_finds_and_purges_every_copy(core: Core) -> None:
    all_four(core)
    assert {name: len(rows) for name, rows in core.located(PERSON).items()} == dict.fromkeys(
        ("applicants", "features", "embeddings", "export"), 1
    )
    assert not scan(core.root / "datasets", [MARK.encode()]).clean
    done = core.erase(PERSON)
    assert done["state"] == "completed", done
    held = {name: asset for name, asset in assets(done).items() if name.startswith("dataset:")}
    assert set(held) == {f"dataset:{name}" for name in ("applicants", "features", "embeddings", "export")}
    assert {asset["level"] for asset in held.values()} == {"L1"}
    assert core.located(PERSON) == {}
    for folder in ("datasets", "landing"):
        report = scan(core.root / folder, [MARK.encode()])
        assert report.clean, report
        assert not report.unknown
    assert (core.root / "landing" / "export.csv").read_text() == f"person,note\n{OTHERS[0]},first\n\n{OTHERS[1]},last\n"
    for name, columns in (("features", ["f0", "bin"]), ("embeddings", ["vector", "text"]), ("export", ["note"])):
        left = core.datasets.read(name, "latest")
        assert left.column_names[2:] == columns
        assert str(PERSON) not in left.column("person").to_pylist()
    assert core.datasets.read("embeddings", "latest").column("vector").to_pylist()[1] == [4.0, 5.0, 6.0, 7.0]


def test_a_store_that_cannot_purge_does_not_pass_l0(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    all_four(core)
    store = core.datasets._store("features")
    monkeypatch.setattr(store._store, "cannot_purge", lambda: "the bucket keeps old object versions until 2027-01-01")
    done = core.erase(PERSON)
    held = assets(done)
    assert held["dataset:features"]["level"] == "L0"
    assert "until 2027-01-01" in held["dataset:features"]["reason"]
    assert held["dataset:applicants"]["level"] == "L1"
    assert core.papers[done["report"]].data["level"] == "L0"


def test_an_index_that_disagrees_is_found_and_made_anew(core: Core) -> None:
    all_four(core)
    for name in ("applicants", "embeddings", "export"):
        agreed = core.datasets.write(name, None, mode="replace", key=None, actor="key:e")
        assert agreed["index"] == {"agrees": True, "differs": {}, "repaired": False}
    row = core.located(PERSON)["features"][0]
    core.index.forget("features", [row])
    found = core.datasets.write("features", None, mode="replace", key=None, actor="key:e")
    assert found["index"] == {"agrees": False, "differs": {"1": {"rows": 4, "indexed": 3}}, "repaired": False}
    assert "features" not in core.located(PERSON), "whom the index does not know, no erasure finds"
    repaired = core.datasets.write("features", None, mode="replace", key=None, actor="key:e", repair=True)
    assert repaired["index"]["agrees"]
    assert repaired["index"]["repaired"]
    assert core.located(PERSON)["features"] == [row]


def test_an_index_with_the_right_count_and_the_wrong_person_is_found(core: Core) -> None:
    all_four(core)
    held = dict(core.datasets._subjects(core.datasets.record("features"), "1"))
    first, second, *rest = held.items()
    core.index.forget("features", list(held.values()))
    core.index.replace("features", "1", [(first[0], second[1]), (second[0], first[1]), *rest])
    found = core.datasets.write("features", None, mode="replace", key=None, actor="key:e")
    assert not found["index"]["agrees"]
    assert core.datasets.write("features", None, mode="replace", key=None, actor="key:e", repair=True)["index"]["agrees"]


def test_what_another_program_appends_is_a_version_that_an_erasure_reaches(core: Core) -> None:
    from deltalake import write_deltalake

    all_four(core)
    theirs = pa.table({"person": [str(PERSON)], "vector": [[1.0, 2.0, 3.0, 4.0]], "text": [f"{MARK} again"]})
    theirs = theirs.set_column(1, "vector", theirs.column("vector").cast(pa.list_(pa.float32())))
    write_deltalake(str(core.root / "datasets" / "embeddings" / "delta"), theirs, mode="append", schema_mode="merge")
    before = core.located(PERSON)["embeddings"]
    taken = core.datasets.versions("embeddings")["versions"]
    assert taken[-1]["rows"] == 5
    assert len(core.located(PERSON)["embeddings"]) == len(before) + 1
    done = core.erase(PERSON)
    assert done["state"] == "completed", done
    assert scan(core.root / "datasets", [MARK.encode()]).clean


# ── the CSV kind ────────────────────────────────────────────────────────────────────────────────
def test_a_csv_file_is_read_by_column_and_appended_to(core: Core) -> None:
    path = export(core)
    register(core, "export", "csv", path="export.csv")
    first = core.datasets.write("export", None, mode="replace", key=None, actor="key:e")
    read = core.datasets.read("export", first["version"]).to_pydict()
    assert read["govern_row_id"] == [2, 3, 4]
    assert read["note"] == ["first", f"{MARK}, twice", "last"]
    store = core.datasets._store("export")
    store.write(pa.table({"note": ['says "no"', None], "person": ["9", "10"]}), mode="append")
    assert path.read_text().splitlines()[-2:] == ['9,"says ""no"""', "10,"]
    assert store.read("latest", ["note"]).column("note").to_pylist()[-2:] == ['says "no"', ""]
    with pytest.raises(BadInput, match="the table other"):
        store.write(pa.table({"other": ["9"]}), mode="append")
    with pytest.raises(BadInput, match="not one line"):
        store.write(pa.table({"note": ["two\nlines"], "person": ["9"]}), mode="append")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "first line"),
        ("a,a\n1,2\n", "each once"),
        ("a,b\n1\n", "line 2 of export.csv has 1 values for 2 columns"),
        ('a,b\n1,"two\nlines"\n', "line 2 of export.csv is no CSV"),
        ("govern_row_id,b\n1,2\n", "none govern_row_id"),
    ],
)
def test_a_csv_file_that_cannot_be_read_line_by_line_is_refused(core: Core, text: str, said: str) -> None:
    (core.root / "landing" / "export.csv").write_text(text)
    core.datasets.register({"name": "export", "kind": "csv", "path": "export.csv", "subject_key": None}, actor="key:e")
    with pytest.raises(BadInput, match=said):
        core.datasets.write("export", None, mode="replace", key=None, actor="key:e")


def test_an_erased_line_that_comes_back_is_a_conflict(core: Core) -> None:
    path = export(core)
    before = path.read_text()
    register(core, "export", "csv", path="export.csv")
    core.datasets.write("export", None, mode="replace", key=None, actor="key:e")
    core.datasets.purge("export", [3], request="er-1")
    with pytest.raises(Gone):
        core.datasets.read("export", "1")
    path.write_text(before)
    with pytest.raises(Conflict, match="was erased and holds text again"):
        core.datasets.write("export", None, mode="replace", key=None, actor="key:e")
