"""Datasets in an object store through registration, erasure and certificate: what may be registered, and the level that is reached."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from governance.registry.dataset_urls import checked_url
from lineage.errors import BadInput, Conflict
from tests.support.core import Core, assets, opened
from tests.support.s3 import S3
from tests.support.scanner import scan

PERSON = 4_711_000_003
OTHER = 4_711_000_001


@pytest.fixture
def core(tmp_path: Path, memory_keys, ticking_clock) -> Iterator[Core]:
    with opened(tmp_path / "home", keys=memory_keys, clock=ticking_clock) as core:
        yield core


def register(core: Core, name: str = "clicks", **more: object) -> dict:
    body = {"name": name, "kind": "parquet", "subject_key": "person", "subject_type": "applicant", **more}
    return core.datasets.register(body, actor="key:e")


def write(core: Core, name: str = "clicks") -> None:
    rows = pa.table({"person": [str(OTHER), str(PERSON)], "page": ["a", "b"]})
    core.datasets.write(name, rows, mode="replace", key="person", actor="key:e")


@pytest.mark.parametrize("kind", ["parquet", "lance", pytest.param("delta", marks=pytest.mark.slow)])
def test_an_erasure_in_a_bucket_with_versions_reaches_l1(core: Core, s3: S3, kind: str) -> None:
    bucket = s3.bucket()
    record = register(core, kind=kind, url=f"{bucket.url()}/")
    assert record["url"] == bucket.url()
    write(core)
    home = [path.name for path in (core.root / "datasets" / "clicks").rglob("*") if path.is_file()]
    assert home == ["catalog.json"], "the rows do not lie in the home"
    done = core.erase(PERSON)
    assert done["state"] == "completed", done
    asset = assets(done)["dataset:clicks"]
    assert (asset["level"], asset["status"], asset["detail"]["unpurged"]) == ("L1", "done", None)
    assert len(bucket.versions()) == len(bucket.present())
    assert core.datasets.read("clicks", "latest").column("person").to_pylist() == [str(OTHER)]
    assert register(core, kind=kind, url=bucket.url())["versions"] >= 2
    assert scan(core.root, [b"not-a-secret-of-anybody", b"AKIATESTTESTTESTTEST"]).hits == []


def test_what_a_bucket_locks_is_certified_as_l0_with_its_end(core: Core, s3: S3) -> None:
    bucket = s3.bucket(lock=True)
    rule = {"DefaultRetention": {"Mode": "COMPLIANCE", "Years": 30}}
    bucket.client.put_object_lock_configuration(Bucket=bucket.name, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": rule})
    register(core, url=bucket.url())
    write(core)
    done = core.erase(PERSON)
    asset = assets(done)["dataset:clicks"]
    assert (asset["level"], asset["detail"]["residual_rows"]) == ("L0", 1)
    assert "object lock until" in asset["reason"]
    assert "deleted logically only" in asset["reason"]
    assert core.papers[done["report"]].data["level"] == "L0"
    assert core.datasets.read("clicks", "latest").column("person").to_pylist() == [str(OTHER)]


def test_rows_that_nothing_explains_still_fail_a_request(core: Core, s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the sentence of the store, what is left is a failure, not a level."""
    bucket = s3.bucket()
    register(core, url=bucket.url())
    write(core)
    monkeypatch.setattr("lineage.adapters.s3_history.S3History.drop", lambda _self: None)
    monkeypatch.setattr("lineage.adapters.s3_history.S3History.stays", lambda _self: None)
    done = core.erase(PERSON)
    assert done["state"] == "failed"
    assert assets(done)["dataset:clicks"]["status"] == "failed"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("s3://key:secret@lake/people", "credentials"),
        ("s3://lake/people?endpoint=x", "credentials or options"),
        ("s3://lake", "names no folder"),
        ("s3:///people", "names no folder"),
        ("s3://lake/../people", "names no folder"),
        ("people", "names no folder"),
        ("file://lake/people", "names no folder"),
        (7, "cannot be read"),
        ("s3://[lake/people", "cannot be read"),
    ],
)
def test_urls_that_are_refused(core: Core, url: object, said: str) -> None:
    with pytest.raises(BadInput, match=said) as caught:
        register(core, url=url)
    assert caught.value.hint
    assert "secret" not in f"{caught.value} {caught.value.hint}"
    assert core.datasets.names() == []


@pytest.mark.parametrize(
    ("kind", "url"),
    [("lines", "s3://lake/people"), ("csv", "s3://lake/people"), ("lance", "gs://lake/people"), ("delta", "memory://lake/people")],
)
def test_kinds_that_cannot_lie_there_take_no_url(kind: str, url: str) -> None:
    with pytest.raises(BadInput, match="lies in the home") as caught:
        checked_url("d", kind, url, [])
    assert caught.value.hint


@pytest.mark.parametrize("kind", ["lance", "delta", "parquet"])
def test_tables_lie_in_a_bucket(kind: str) -> None:
    assert checked_url("d", kind, "s3://lake/people/", []) == "s3://lake/people"


def test_datasets_do_not_lie_in_one_another(core: Core) -> None:
    register(core, url="memory://lake/all/people")
    assert register(core, url="memory://lake/all/people/")["versions"] == 0
    with pytest.raises(Conflict, match="registered otherwise"):
        register(core, url="memory://lake/elsewhere")
    with pytest.raises(Conflict, match="registered otherwise"):
        register(core)
    for url in ("memory://lake/all/people", "memory://lake//all/people/below", "memory://lake/all"):
        with pytest.raises(Conflict, match="dataset clicks lies at"):
            register(core, "other", url=url)
    assert register(core, "other", url="memory://lake/all/people2")["url"] == "memory://lake/all/people2"


def test_a_missing_package_is_said_at_registration(core: Core) -> None:
    with pytest.raises(BadInput, match="cannot be opened"):
        register(core, url="nosuchstore://lake/people")
    assert core.datasets.names() == []
