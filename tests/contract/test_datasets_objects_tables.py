"""Lance and Delta Lake in a bucket: their libraries write there by themselves, and a purge still leaves no version of anything."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from s3fs import S3FileSystem

from lineage.adapters.object_access import s3_options
from lineage.adapters.object_files import ObjectFiles, files_at
from lineage.adapters.s3_history import S3History
from lineage.adapters.table_dataset import TableDataset
from lineage.errors import BadInput, Conflict, Gone, Incomplete, StoreUnavailable
from tests.support.dataset_objects import held_ids, open_at, present_ids
from tests.support.rows_keys import MemoryKeys
from tests.support.s3 import S3, Bucket

ERASED = 2
SENTINEL = "Sentinel-Qqx-4711"
Open = Callable[..., TableDataset]


@pytest.fixture(params=["lance", "delta"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def at(kind: str, tmp_path: Path) -> Open:
    """Opens the dataset at a URL; each opening is as after a restart."""
    return lambda url, name="d": open_at(kind, tmp_path / "datasets", url, name, sort_by="who")


def people() -> pa.Table:
    return pa.table({"who": ["Anna-Aa-0001", SENTINEL, "Zoe-Zz-9999"], "v": [1, 2, 3]})


def options(bucket: Bucket) -> dict[str, str]:
    """What another program opens the table with."""
    access = files_at(bucket.url(), "other", keys=MemoryKeys(), library=True).access()
    return dict(access.options or {})


def raw_append(kind: str, bucket: Bucket, rows: pa.Table) -> None:
    if kind == "lance":
        import lance

        lance.write_dataset(rows, bucket.url(), mode="append", storage_options=options(bucket))
    else:
        from deltalake import write_deltalake

        write_deltalake(bucket.url(), rows, mode="append", storage_options=options(bucket))


# ── the purge ───────────────────────────────────────────────────────────────────────────────────
def test_a_purge_leaves_no_version_and_the_neighbours_stay(s3: S3, at: Open) -> None:
    bucket = s3.bucket()
    ds = at(bucket.url())
    spared = ds.write(people().slice(0, 1))
    ds.write(people(), key="who")
    report = at(bucket.url()).purge([ERASED], request="er-1")
    assert (report.rows_deleted, report.residual_rows, report.unpurged) == (1, 0, None)
    assert ds.read("latest").column("govern_row_id").to_pylist() == [1, 3]
    assert ds.read(spared.version).column("who").to_pylist() == ["Anna-Aa-0001"]
    with pytest.raises(Gone):
        ds.read(report.versions_removed[0])
    assert held_ids(bucket) == {1, 3}
    assert (len(bucket.versions()), bucket.markers()) == (len(bucket.present()), []), "nothing is kept beside what is present"
    assert not any(SENTINEL.encode() in bucket.body(*one) for one in bucket.versions()), "no log names the erased"
    assert at(bucket.url()).purge([ERASED], request="er-1") == report


@pytest.mark.slow
def test_bites_the_librarys_own_cleanup_ends_in_delete_markers(s3: S3, at: Open, kind: str) -> None:
    bucket = s3.bucket()
    at(bucket.url()).write(people())
    if kind == "lance":
        import datetime as dt

        import lance

        table = lance.dataset(bucket.url(), storage_options=options(bucket))
        table.delete(f"govern_row_id = {ERASED}")
        table.optimize.compact_files(materialize_deletions_threshold=0.0)
        lance.dataset(bucket.url(), storage_options=options(bucket)).cleanup_old_versions(dt.timedelta(0), delete_unverified=True)
    else:
        from deltalake import DeltaTable

        table = DeltaTable(bucket.url(), storage_options=options(bucket))
        table.delete(f"govern_row_id = {ERASED}")
        table.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    assert ERASED not in present_ids(bucket)
    assert ERASED in held_ids(bucket), "which is why a sweep follows every cleanup"


def test_bites_without_the_sweep_the_scan_decodes_what_is_hidden(s3: S3, at: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = s3.bucket()
    ds = at(bucket.url())
    ds.write(people())
    with monkeypatch.context() as patch:
        patch.setattr(S3History, "drop", lambda _self: None)
        report = ds.purge([ERASED], request="er-1")
    assert (report.residual_rows, ERASED in present_ids(bucket), ERASED in held_ids(bucket)) == (1, False, True)
    assert "old object version(s) stay" in str(report.unpurged)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["catalog.json"], "what was decoded is not kept in the home"
    again = at(bucket.url()).purge([ERASED], request="er-1")
    assert (again.residual_rows, again.unpurged) == (0, None)
    assert held_ids(bucket) == {1, 3}


@pytest.mark.slow
def test_a_locked_bucket_takes_the_objects_and_says_what_stays(s3: S3, at: Open) -> None:
    """Object lock wants a checksum with every upload, also with those of the libraries."""
    bucket = s3.bucket(lock=True)
    rule = {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 3650}}
    bucket.client.put_object_lock_configuration(Bucket=bucket.name, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": rule})
    ds = at(bucket.url())
    ds.write(people())
    report = ds.purge([ERASED], request="er-1")
    assert report.residual_rows == 1
    assert "object lock until" in str(report.unpurged)
    assert present_ids(bucket) == {1, 3}
    assert ds.read("latest").column("who").to_pylist() == ["Anna-Aa-0001", "Zoe-Zz-9999"]


@pytest.mark.slow
def test_bites_a_locked_bucket_takes_nothing_without_a_checksum(s3: S3, at: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = s3.bucket(lock=True)
    rule = {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 3650}}
    bucket.client.put_object_lock_configuration(Bucket=bucket.name, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": rule})

    def without(system: object, region: str) -> dict[str, str]:
        return {name: value for name, value in s3_options(system, region).items() if name != "aws_checksum_algorithm"}

    with monkeypatch.context() as patch:
        patch.setattr("lineage.adapters.object_files.s3_options", without)
        with pytest.raises(StoreUnavailable, match="ObjectLock"):
            at(bucket.url()).write(people())
    assert at(bucket.url()).write(people()).rows == 3, "and nothing was lost"


# ── the log's past ──────────────────────────────────────────────────────────────────────────────
@pytest.mark.slow
def test_a_hidden_log_that_names_a_person_is_no_pass(s3: S3, at: Open, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A deletion by value of another program: its log goes from sight at the next scan, and stays as an old version until the sweep."""
    bucket = s3.bucket()
    ds = at(bucket.url())
    ds.write(people())
    if kind == "lance":
        import lance

        lance.dataset(bucket.url(), storage_options=options(bucket)).delete(f"who = '{SENTINEL}'")
    else:
        from deltalake import DeltaTable

        DeltaTable(bucket.url(), storage_options=options(bucket)).delete(f"who = '{SENTINEL}'")
    with pytest.raises(Incomplete, match="condition on values"):
        ds.residual_scan([ERASED])
    with monkeypatch.context() as patch:
        patch.setattr(S3History, "drop", lambda _self: None)
        ds.scan()
        with pytest.raises(Incomplete, match="condition on values"):
            ds.residual_scan([ERASED])
    assert ds.purge([ERASED], request="er-1").residual_rows == 0
    assert not any(SENTINEL.encode() in bucket.body(*one) for one in bucket.versions())


# ── commits ─────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.slow
def test_what_another_program_appended_is_taken_in(s3: S3, at: Open, kind: str) -> None:
    bucket = s3.bucket()
    ds = at(bucket.url())
    ds.write(people())
    raw_append(kind, bucket, pa.table({"govern_row_id": pa.array([None], pa.int64()), "who": ["Theirs"], "v": [9]}))
    assert ds.scan().rows == 4
    report = ds.purge([ERASED], request="er-1")
    assert report.residual_rows == 0
    assert sorted(ds.read("latest").column("who").to_pylist()) == ["Anna-Aa-0001", "Theirs", "Zoe-Zz-9999"]
    assert ERASED not in held_ids(bucket)


@pytest.mark.slow
def test_a_commit_that_came_in_between_is_not_overwritten(s3: S3, at: Open, kind: str) -> None:
    bucket = s3.bucket()
    at(bucket.url()).write(people())
    assert racing(s3, kind, bucket) == {"Anna-Aa-0001", SENTINEL, "Zoe-Zz-9999", "First", "Second"}


def test_a_store_without_conditional_writes_is_refused(s3: S3, at: Open, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = s3.bucket()
    s3.gate.unconditional.add(bucket.name)
    with pytest.raises(BadInput, match="ignores If-None-Match") as caught:
        at(bucket.url()).write(people())
    assert "parquet" in str(caught.value.hint)
    assert held_ids(bucket) == set()
    monkeypatch.setattr(ObjectFiles, "_check_conditional", lambda _self: None)
    at(bucket.url()).write(people())
    assert "First" not in racing(s3, kind, bucket), "without the guard the first commit is lost, and nobody is told"


def racing(s3: S3, kind: str, bucket: Bucket) -> set[str]:
    """A program appends, and another one while the first one's commit is on its way; the names in the table afterwards."""

    def append(name: str, n: int) -> None:
        raw_append(kind, bucket, pa.table({"govern_row_id": [n], "who": [name], "v": [n]}))

    s3.gate.meanwhile[bucket.name] = lambda: append("First", 8)
    append("Second", 9)
    assert not s3.gate.meanwhile, "it did happen in between"
    return set(rows_of(kind, bucket).column("who").to_pylist())


def rows_of(kind: str, bucket: Bucket) -> pa.Table:
    if kind == "lance":
        import lance

        return lance.dataset(bucket.url(), storage_options=options(bucket)).to_table()
    from deltalake import DeltaTable

    return DeltaTable(bucket.url(), storage_options=options(bucket)).to_pyarrow_table()


# ── one user ────────────────────────────────────────────────────────────────────────────────────
def test_the_library_is_the_user_that_botocore_found(s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A profile in a file, an endpoint in the same file: Lance and delta-rs are handed both, and none is kept or printed."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION", "AWS_REGION", "AWS_ALLOW_HTTP"):
        monkeypatch.delenv(name, raising=False)
    config = tmp_path / "config"
    config.write_text(
        f"[profile lake]\nregion = us-east-1\nendpoint_url = {s3.endpoint}\naws_access_key_id = AKIAPROFILE\n"
        "aws_secret_access_key = secret-of-the-profile\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_PROFILE", "lake")
    S3FileSystem.clear_instance_cache()
    bucket = s3.bucket()
    access = files_at(bucket.url(), "d", keys=MemoryKeys(), library=True).access()
    given = dict(access.options or {})
    assert (given["aws_access_key_id"], given["aws_endpoint"], given["aws_region"]) == ("AKIAPROFILE", s3.endpoint, "us-east-1")
    assert (given["aws_conditional_put"], given["aws_checksum_algorithm"]) == ("etag", "SHA256")
    assert "secret-of-the-profile" not in repr(access)
    ds = open_at("lance", tmp_path / "datasets", bucket.url())
    ds.write(people())
    assert ds.purge([ERASED], request="er-1").residual_rows == 0
    assert "AWS_ACCESS_KEY_ID" not in os.environ
    assert not any(b"secret-of" in path.read_bytes() for path in (tmp_path / "datasets").rglob("*") if path.is_file())


@pytest.mark.slow
def test_a_place_of_something_else_is_refused_before_the_library_writes(s3: S3, at: Open) -> None:
    bucket = s3.bucket()
    bucket.client.put_object(Bucket=bucket.name, Key="lake/people/report.csv", Body=b"theirs")
    with pytest.raises(Conflict, match="not of this dataset"):
        at(bucket.url()).write(people())
    assert bucket.present() == ["lake/people/report.csv"]


def test_a_place_that_the_library_cannot_write_to_is_refused(at: Open) -> None:
    with pytest.raises(BadInput, match="cannot be opened by the library") as caught:
        at("memory://lake/people")
    assert "parquet" in str(caught.value.hint)
