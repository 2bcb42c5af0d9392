"""Gotcha 8: an object store keeps what was deleted. Each guard of the adapter, and beside it the same erasure without the guard."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pyarrow as pa
import pytest
from s3fs import S3FileSystem

from lineage.adapters.s3_history import S3History
from lineage.adapters.table_dataset import TableDataset
from lineage.errors import BadInput, Conflict, Incomplete, StoreUnavailable
from tests.support.dataset_objects import data_objects, held_ids, open_at, present_ids
from tests.support.s3 import S3, Bucket

ERASED = 2
SENTINEL = "Sentinel-Qqx-4711"
Open = Callable[..., TableDataset]


def people() -> pa.Table:
    return pa.table({"who": ["Anna-Aa-0001", SENTINEL, "Zoe-Zz-9999"], "v": [1, 2, 3]})


@pytest.fixture(params=["parquet", *(pytest.param(one, marks=pytest.mark.slow) for one in ("lance", "delta"))])
def kind(request: pytest.FixtureRequest) -> str:
    """Every table; what Lance and Delta are held to in each run is in ``test_datasets_objects_tables.py``."""
    return str(request.param)


@pytest.fixture
def at(kind: str, tmp_path: Path) -> Open:
    """Opens the dataset at a URL; each opening is as after a restart."""
    return lambda url, name="d": open_at(kind, tmp_path / "datasets", url, name, sort_by="who")


# ── the same promises ───────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("versions", ["Enabled", *(pytest.param(one, marks=pytest.mark.slow) for one in ("Suspended", None))])
def test_8_a_purge_leaves_no_version_of_any_object(s3: S3, at: Open, versions: str | None) -> None:
    bucket = s3.bucket(versions=versions)
    ds = at(bucket.url())
    ds.write(people())
    ds.write(people().slice(0, 1), mode="append")
    report = at(bucket.url()).purge([ERASED], request="er-1")
    assert (report.rows_deleted, report.residual_rows, report.unpurged) == (1, 0, None)
    assert report.versions_removed == ("1", "2")
    assert ds.read("latest").column("govern_row_id").to_pylist() == [1, 3, 4]
    assert held_ids(bucket) == {1, 3, 4}
    assert len(bucket.versions()) == len(bucket.present()), "nothing is kept beside what is present"
    assert bucket.markers() == []
    assert at(bucket.url()).purge([ERASED], request="er-1") == report


def test_8_bites_a_deletion_in_a_bucket_with_versions_only_hides(s3: S3, at: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = s3.bucket()
    ds = at(bucket.url())
    ds.write(people())
    monkeypatch.setattr(S3History, "drop", lambda _self: None)
    report = ds.purge([ERASED], request="er-1")
    assert report.residual_rows == 1, "the scan reads what is hidden"
    assert "old object version(s) stay: no purge has removed them yet" in str(report.unpurged)
    assert present_ids(bucket) == {1, 3}, "to a reader the row is gone"
    assert ERASED in held_ids(bucket)
    monkeypatch.undo()


@pytest.mark.slow
def test_8_bites_a_scan_of_what_is_present_finds_nothing(s3: S3, at: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = s3.bucket()
    ds = at(bucket.url())
    ds.write(people())
    monkeypatch.setattr(S3History, "drop", lambda _self: None)
    monkeypatch.setattr(S3History, "kept", lambda _self: [])
    assert ds.purge([ERASED], request="er-1").residual_rows == 0
    assert ERASED in held_ids(bucket), "which is why it also reads what the bucket keeps"


@pytest.mark.slow
def test_8_what_was_deleted_before_govern_looked_is_found_and_goes(s3: S3, at: Open, kind: str) -> None:
    """Another program deletes and overwrites objects: their old contents are nobody's present file."""
    bucket = s3.bucket()
    ds = at(bucket.url())
    ds.write(people())
    file = data_objects(bucket.present())[0]
    hidden = file.replace(*{"parquet": ("-0000.", "-0077."), "lance": (".lance", "77.lance"), "delta": ("-c000.", "-c077.")}[kind])
    body = bucket.client.get_object(Bucket=bucket.name, Key=file)["Body"].read()
    bucket.client.put_object(Bucket=bucket.name, Key=hidden, Body=body)
    bucket.client.delete_object(Bucket=bucket.name, Key=hidden)
    bucket.client.put_object(Bucket=bucket.name, Key=file, Body=body)
    assert bucket.present().count(hidden) == 0
    assert ds.residual_scan([ERASED])[0] == 3
    assert ds.purge([ERASED], request="er-1").residual_rows == 0
    assert held_ids(bucket) == {1, 3}
    assert bucket.markers() == []


@pytest.mark.slow
def test_8_an_unfinished_upload_is_no_pass_and_is_aborted(s3: S3, at: Open) -> None:
    bucket = s3.bucket()
    ds = at(bucket.url())
    ds.write(people())
    key = "lake/people/data/00000009-0000.parquet"
    upload = bucket.client.create_multipart_upload(Bucket=bucket.name, Key=key)["UploadId"]
    bucket.client.upload_part(Bucket=bucket.name, Key=key, UploadId=upload, PartNumber=1, Body=SENTINEL.encode())
    with pytest.raises(Incomplete, match="never ended") as caught:
        ds.residual_scan([ERASED])
    assert caught.value.hint
    assert ds.purge([ERASED], request="er-1").residual_rows == 0
    assert not bucket.client.list_multipart_uploads(Bucket=bucket.name).get("Uploads")


@pytest.mark.slow
def test_8_more_versions_than_one_page_holds(s3: S3, at: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lineage.adapters.s3_history._AT_ONCE", 3)
    bucket = s3.bucket()
    ds = at(bucket.url())
    for _ in range(3):
        ds.write(people())
    assert ds.purge([ERASED, 5, 8], request="er-1").residual_rows == 0
    assert len(bucket.versions()) == len(bucket.present())
    assert bucket.markers() == []


# ── what the bucket refuses ─────────────────────────────────────────────────────────────────────
def locked(s3: S3, *, days: int = 3650) -> Bucket:
    bucket = s3.bucket(lock=True)
    rule = {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": days}}
    bucket.client.put_object_lock_configuration(Bucket=bucket.name, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": rule})
    return bucket


def test_8_object_lock_is_said_with_its_end_and_hides_all_the_same(s3: S3, at: Open) -> None:
    bucket = locked(s3)
    ds = at(bucket.url())
    ds.write(people())
    report = ds.purge([ERASED], request="er-1")
    until = (dt.datetime.now(dt.UTC) + dt.timedelta(days=3650)).year
    assert report.residual_rows == 1
    assert f"object lock until {until}" in str(report.unpurged)
    assert ERASED in held_ids(bucket)
    assert ds.read("latest").column("who").to_pylist() == ["Anna-Aa-0001", "Zoe-Zz-9999"]
    again = at(bucket.url()).purge([ERASED], request="er-1")
    assert (again.residual_rows, again.unpurged) == (1, report.unpurged)
    # The deletion markers stay where a locked version is behind them: without them it would be present again.
    assert present_ids(bucket) == {1, 3}


@pytest.mark.slow
def test_8_what_a_lock_held_goes_when_it_has_ended(s3: S3, at: Open) -> None:
    bucket = s3.bucket(lock=True)
    ds = at(bucket.url())
    ds.write(people())
    held = [(key, version) for key, version in bucket.versions() if data_objects([key])]
    for key, version in held:
        bucket.client.put_object_legal_hold(Bucket=bucket.name, Key=key, VersionId=version, LegalHold={"Status": "ON"})
    report = ds.purge([ERASED], request="er-1")
    assert "legal hold" in str(report.unpurged)
    assert report.residual_rows == 1
    for key, version in held:
        bucket.client.put_object_legal_hold(Bucket=bucket.name, Key=key, VersionId=version, LegalHold={"Status": "OFF"})
    fresh = at(bucket.url())
    fresh.scan()
    assert fresh.residual_scan([ERASED])[0] == 0
    assert fresh.cannot_purge() is None
    assert bucket.markers() == []


@pytest.mark.slow
def test_8_bites_without_the_rule_on_markers_a_locked_file_comes_back(s3: S3, at: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = locked(s3)
    ds = at(bucket.url())
    ds.write(people())

    def markers_too(self: S3History) -> None:
        listed = self._versions()
        self._delete([one for one in listed if one.marker])

    ds.purge([ERASED], request="er-1")
    before = len(bucket.present())
    monkeypatch.setattr(S3History, "drop", markers_too)
    ds.scan()
    assert len(bucket.present()) > before


@pytest.mark.slow
def test_8_a_bucket_that_is_copied_elsewhere_is_said(s3: S3, at: Open) -> None:
    bucket, goal = s3.bucket(), s3.bucket()
    rule = {
        "ID": "all", "Priority": 1, "Status": "Enabled", "Filter": {"Prefix": ""}, "DeleteMarkerReplication": {"Status": "Enabled"},
        "Destination": {"Bucket": f"arn:aws:s3:::{goal.name}"},
    }  # fmt: skip
    bucket.client.put_bucket_replication(
        Bucket=bucket.name, ReplicationConfiguration={"Role": "arn:aws:iam::123456789012:role/copy", "Rules": [rule]}
    )
    ds = at(bucket.url())
    ds.write(people())
    report = ds.purge([ERASED], request="er-1")
    assert report.residual_rows == 0
    assert f"copied to arn:aws:s3:::{goal.name}" in str(report.unpurged)


@pytest.mark.parametrize(
    ("rights", "said"),
    [
        (["s3:ListBucketVersions"], "cannot be listed (AccessDenied): allow s3:ListBucketVersions"),
        (["s3:DeleteObjectVersion"], "refused with AccessDenied: allow s3:DeleteObjectVersion"),
        pytest.param(["s3:ListBucketMultipartUploads"], "allow s3:ListBucketMultipartUploads", marks=pytest.mark.slow),
        pytest.param(["s3:GetReplicationConfiguration"], "allow s3:GetReplicationConfiguration", marks=pytest.mark.slow),
    ],
)
def test_8_a_missing_right_is_said_and_no_pass(s3: S3, at: Open, rights: list[str], said: str) -> None:
    bucket = s3.bucket()
    ds = at(bucket.url())
    ds.write(people())
    s3.refuse(bucket, *rights)
    report = ds.purge([ERASED], request="er-1")
    assert said in str(report.unpurged)
    assert ds.read("latest").column("v").to_pylist() == [1, 3]
    s3.refuse(bucket)
    again = at(bucket.url()).purge([ERASED], request="er-1")  # the right was given: the same purge ends the work
    assert (again.residual_rows, again.unpurged, again.rows_deleted) == (0, None, 1)
    assert held_ids(bucket) == {1, 3}


@pytest.mark.slow
def test_8_a_bucket_without_versions_needs_no_right_to_list_them(s3: S3, at: Open) -> None:
    bucket = s3.bucket(versions=None)
    s3.refuse(bucket, "s3:ListBucketVersions")
    ds = at(bucket.url())
    ds.write(people())
    assert ds.purge([ERASED], request="er-1").unpurged is None
    s3.refuse(bucket, "s3:ListBucketVersions", "s3:GetBucketVersioning")
    assert "allow s3:ListBucketVersions" in str(at(bucket.url()).cannot_purge()), "unknown is never a pass"


@pytest.mark.slow
def test_a_write_that_is_refused_loses_nothing(s3: S3, at: Open) -> None:
    bucket = s3.bucket()
    ds = at(bucket.url())
    first = ds.write(people())
    s3.refuse(bucket, "s3:PutObject")
    with pytest.raises(StoreUnavailable, match="refuses this") as caught:
        ds.write(people(), mode="append")
    assert "rights" in str(caught.value.hint)
    s3.refuse(bucket)
    assert at(bucket.url()).versions() == [first]
    assert at(bucket.url()).purge([ERASED], request="er-1").residual_rows == 0


# ── other places, other errors ──────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("kind", ["parquet"])
def test_a_store_whose_past_nobody_can_list_says_so(at: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    import fsspec
    from fsspec.implementations.memory import MemoryFileSystem

    class Other(MemoryFileSystem):
        protocol = "otherstore"
        store: ClassVar[dict] = {}
        pseudo_dirs: ClassVar[list] = [""]

    fsspec.register_implementation("otherstore", Other, clobber=True)
    ds = at("otherstore://lake/people")
    ds.write(people())
    report = ds.purge([ERASED], request="er-1")
    assert report.residual_rows == 0
    assert "cannot list what otherstore:// keeps" in str(report.unpurged)


@pytest.mark.parametrize(("kind", "scheme"), [("parquet", "memory"), ("parquet", "file"), ("lance", "file"), ("delta", "file")])
def test_places_that_keep_nothing(at: Open, tmp_path: Path, scheme: str) -> None:
    url = f"memory://{tmp_path.name}/people" if scheme == "memory" else f"file://{tmp_path}/elsewhere"
    ds = at(url)
    ds.write(people())
    report = at(url).purge([ERASED], request="er-1")
    assert (report.residual_rows, report.unpurged, report.rows_deleted) == (0, None, 1)
    assert at(url).read("latest").column("v").to_pylist() == [1, 3]


def test_a_place_that_holds_something_else_is_refused(s3: S3, at: Open) -> None:
    """A purge removes whatever its dataset does not list: another's objects must not lie there, not even hidden ones."""
    bucket = s3.bucket()
    bucket.client.put_object(Bucket=bucket.name, Key="lake/people/report.csv", Body=b"theirs")
    with pytest.raises(Conflict, match="not of this dataset"):
        at(bucket.url()).write(people())
    bucket.client.delete_object(Bucket=bucket.name, Key="lake/people/report.csv")
    with pytest.raises(Conflict, match="old versions count"):
        at(bucket.url()).write(people())
    assert [bucket.body(*one) for one in bucket.versions()] == [b"theirs"]


def test_a_folder_that_holds_something_else_is_refused(at: Open, tmp_path: Path) -> None:
    theirs = tmp_path / "lake" / "data" / "00000001-0000.parquet"
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(b"theirs")
    with pytest.raises(Conflict, match="not of this dataset"):
        at(f"file://{tmp_path}/lake").write(people())
    assert theirs.read_bytes() == b"theirs"


@pytest.mark.slow
def test_two_datasets_never_share_a_place(s3: S3, at: Open) -> None:
    bucket = s3.bucket()
    at(bucket.url()).write(people())
    with pytest.raises(Conflict, match="belongs to another dataset"):
        at(bucket.url(), "e").write(people())
    assert at(bucket.url()).read("latest").num_rows == 3


@pytest.mark.slow
def test_a_bucket_that_is_not_there_is_named(s3: S3, at: Open) -> None:
    with pytest.raises(StoreUnavailable, match="s3://govern-nowhere/people is not there"):
        at("s3://govern-nowhere/people").write(people())


def test_a_server_that_is_away_is_named_and_loses_nothing(s3: S3, at: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = s3.bucket()
    ds = at(bucket.url())
    first = ds.write(people())
    with monkeypatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        patch.setenv("AWS_MAX_ATTEMPTS", "1")
        S3FileSystem.clear_instance_cache()
        away = at(bucket.url())
        with pytest.raises(StoreUnavailable, match=r"cannot be reached|is away") as caught:
            away.purge([ERASED], request="er-1")
        assert caught.value.hint
        assert "not-a-secret" not in f"{caught.value} {caught.value.hint}"
    S3FileSystem.clear_instance_cache()
    assert at(bucket.url()).purge([ERASED], request="er-1").versions_removed == (first.version,)


def test_a_package_that_is_missing_is_named(at: Open) -> None:
    with pytest.raises(BadInput, match=r"cannot be opened|needs a package") as caught:
        at("nosuchstore://lake/people")
    assert caught.value.hint
