"""The object versions of an S3 bucket under one prefix: listed, read, and deleted by their version ids.

In a bucket with versioning a deletion adds a *delete marker* and every content stays (Amazon S3 User Guide, "Deleting object versions").
So a sweep deletes the old versions first and a marker only when nothing is left behind it: without its marker, a version that the
bucket refuses to delete (object lock, missing right) would be the present content again. Unfinished uploads hold bytes too and are
aborted. What S3 keeps elsewhere (replicas) Govern cannot remove and says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from lineage.adapters.table_files import Content
from lineage.errors import Incomplete

__all__ = ["S3History"]

_AT_ONCE = 1000
"""Objects of one request, the most that S3 takes and gives."""
_ASKED = 50
"""Refused versions whose lock is asked for: one request each."""
_NO_SUCH = frozenset({"NotImplemented", "MethodNotAllowed", "ReplicationConfigurationNotFoundError", "NoSuchLifecycleConfiguration"})
"""What a store answers that lacks a feature, or has it switched off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Version:
    """One line of ListObjectVersions."""

    key: str
    version: str
    size: int
    latest: bool
    marker: bool


class S3History:
    """The past of one prefix (:class:`lineage.adapters.object_history.History`).

    Args:
        system: s3fs's file system.
        path: ``bucket/prefix``.
        name: the dataset's registered name, for messages.
    """

    def __init__(self, system: Any, path: str, name: str) -> None:
        self._system = system
        self._bucket, _, prefix = path.strip("/").partition("/")
        self._prefix = f"{prefix}/"
        self._name = name
        self._refused: dict[tuple[str, str], str] = {}
        self._hidden: list[str] = []

    def kept(self) -> list[Content]:
        """Every version that is not its key's present content; delete markers hold none.

        Raises:
            Incomplete: an upload that never ended holds bytes, which nobody can read.
        """
        listed = self._versions()
        if unfinished := self._uploads():
            raise Incomplete(
                f"{self._name}: {len(unfinished)} upload(s) to s3://{self._bucket}/{self._prefix} never ended; their bytes cannot be read",
                hint=f"govern dataset scan {self._name}, which aborts them",
            )
        old = [one for one in listed if not one.marker and not one.latest]
        return [Content(name=one.key.removeprefix(self._prefix), size=one.size, version=one.version) for one in old]

    def read(self, name: str, version: str) -> bytes:
        """The content of one version."""
        found: bytes = self._system.cat_file(f"{self._bucket}/{self._prefix}{name}", version_id=version)
        return found

    def drop(self) -> None:
        """Delete the old versions, then the markers that hide nothing any more; abort unfinished uploads."""
        self._refused = {}
        listed = self._versions()
        self._delete([one for one in listed if not one.marker and not one.latest])
        behind = {key for key, _version in self._refused}
        self._delete([one for one in listed if one.marker and not (one.latest and one.key in behind)])
        for key, upload in self._uploads():
            self._call("abort_multipart_upload", Key=key, UploadId=upload)

    def stays(self) -> str | None:
        """What could not be listed, what was refused, and where the bucket is copied to, in words."""
        left = [(one.key, one.version) for one in self._versions() if not one.marker and not one.latest]
        self._uploads()
        said = [*self._hidden, *self._left(left), *self._replicated()]
        return "; ".join(said) or None

    def is_away(self, error: Exception) -> bool:
        """No endpoint, no credentials, no region: errors of botocore before there is an answer."""
        from botocore.exceptions import BotoCoreError  # type: ignore[import-untyped]

        return isinstance(error, BotoCoreError)

    # ── what is there ───────────────────────────────────────────────────────────────────────────
    def _versions(self) -> list[_Version]:
        """Every version and marker; none, and :meth:`stays` says so, where they may not be listed."""
        self._hidden = []
        try:
            return list(self._pages())
        except OSError as error:
            if not isinstance(error, PermissionError) and _code(error) not in _NO_SUCH:
                raise
            if not self._never_versioned():
                self._hidden = [f"the versions of its objects cannot be listed ({_code(error)}): allow s3:ListBucketVersions"]
            return []

    def _pages(self) -> Iterator[_Version]:
        start: dict[str, str] = {}
        while True:
            page = self._call("list_object_versions", Prefix=self._prefix, MaxKeys=_AT_ONCE, **start)
            for marker, field in ((False, "Versions"), (True, "DeleteMarkers")):
                for one in page.get(field) or ():
                    yield _Version(
                        key=one["Key"], version=one["VersionId"], size=int(one.get("Size", 0)), latest=bool(one["IsLatest"]), marker=marker
                    )
            if not page.get("IsTruncated"):
                return
            start = {name: page[f"Next{name}"] for name in ("KeyMarker", "VersionIdMarker") if page.get(f"Next{name}")}

    def _never_versioned(self) -> bool:
        """Whether the bucket never had versions (a suspended one may hold some)."""
        try:
            return "Status" not in self._call("get_bucket_versioning")
        except OSError:  # then nobody knows, which is no "never"
            return False

    def _uploads(self) -> list[tuple[str, str]]:
        """(key, upload id) of every upload that was begun and not ended."""
        found: list[tuple[str, str]] = []
        start: dict[str, str] = {}
        while True:
            try:
                page = self._call("list_multipart_uploads", Prefix=self._prefix, **start)
            except PermissionError as error:
                self._hidden.append(f"unfinished uploads cannot be listed ({_code(error)}): allow s3:ListBucketMultipartUploads")
                return found
            found += [(one["Key"], one["UploadId"]) for one in page.get("Uploads") or ()]
            if not page.get("IsTruncated"):
                return found
            start = {name: page[f"Next{name}"] for name in ("KeyMarker", "UploadIdMarker") if page.get(f"Next{name}")}

    # ── what may not go ─────────────────────────────────────────────────────────────────────────
    def _delete(self, versions: Sequence[_Version]) -> None:
        for first in range(0, len(versions), _AT_ONCE):
            some = versions[first : first + _AT_ONCE]
            objects = [{"Key": one.key, "VersionId": one.version} for one in some]
            try:
                answer = self._call("delete_objects", Delete={"Objects": objects, "Quiet": True})
            except PermissionError as error:
                self._refused |= {(one.key, one.version): _code(error) for one in some}
                continue
            for refused in answer.get("Errors") or ():
                for one in some:  # not every store says which version it means
                    if one.key == refused.get("Key") and one.version == refused.get("VersionId", one.version):
                        self._refused[one.key, one.version] = str(refused.get("Code"))

    def _left(self, left: Sequence[tuple[str, str]]) -> list[str]:
        if not left:
            return []
        locks = [self._lock(key, version) for key, version in left[:_ASKED]]
        until = max((day for day, _hold in locks if day), default=None)
        why = [f"object lock until {until}"] if until else []
        why += ["a legal hold without end"] if any(hold for _day, hold in locks) else []
        if not why:
            codes = sorted({self._refused[one] for one in left if one in self._refused})
            why = [f"refused with {', '.join(codes)}: allow s3:DeleteObjectVersion"] if codes else ["no purge has removed them yet"]
        if days := self._expiry():
            why.append(f"a lifecycle rule of the bucket removes them after {days} days")
        return [f"{len(left)} old object version(s) stay: {'; '.join(why)}"]

    def _lock(self, key: str, version: str) -> tuple[str | None, bool]:
        """(day on which its retention ends, whether it is under legal hold); nothing where that cannot be asked."""
        found = self._asked("head_object", Key=key, VersionId=version)
        until = found.get("ObjectLockRetainUntilDate")
        return (until.date().isoformat() if until else None), found.get("ObjectLockLegalHoldStatus") == "ON"

    def _expiry(self) -> int | None:
        rules = self._asked("get_bucket_lifecycle_configuration").get("Rules") or ()
        days = [(rule.get("NoncurrentVersionExpiration") or {}).get("NoncurrentDays") for rule in rules if rule.get("Status") == "Enabled"]
        return min((int(one) for one in days if one), default=None)

    def _replicated(self) -> list[str]:
        try:
            found = self._call("get_bucket_replication")
        except OSError as error:
            if _code(error) in _NO_SUCH:
                return []
            return [f"whether the bucket is copied elsewhere cannot be read ({_code(error)}): allow s3:GetReplicationConfiguration"]
        rules = (found.get("ReplicationConfiguration") or {}).get("Rules") or ()
        goals = sorted({rule["Destination"]["Bucket"] for rule in rules if rule.get("Status") == "Enabled"})
        return [f"the bucket is copied to {', '.join(goals)}, where deleted versions stay"] if goals else []

    # ── the library ─────────────────────────────────────────────────────────────────────────────
    def _call(self, method: str, **given: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self._system.call_s3(method, Bucket=self._bucket, **given)
        return answer

    def _asked(self, method: str, **given: Any) -> dict[str, Any]:
        """An answer that adds a reason to what is refused already; none is no error."""
        try:
            return self._call(method, **given)
        except OSError:
            return {}


def _code(error: BaseException) -> str:
    """S3's own code of an error that s3fs has translated."""
    cause = error.__cause__ if error.__cause__ is not None else error
    response = getattr(cause, "response", None) or {}
    return str((response.get("Error") or {}).get("Code") or type(error).__name__)
