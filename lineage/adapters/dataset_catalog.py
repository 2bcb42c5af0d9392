"""What a dataset adapter must remember beside its data: versions, tombstones, the next row id, a purge that is under way.

One small JSON file per dataset, replaced atomically, so that after a crash it is either as before or as after. It holds row
ids, counts and digests; never a value of a row.
"""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypedDict

from lineage.errors import BadInput, NotFound, StoreUnavailable, Tampered
from lineage.model import DatasetVersionInfo, Json, RowSetInfo

__all__ = [
    "Catalog",
    "CatalogFile",
    "PendingPurge",
    "PurgeRecord",
    "Redacted",
    "StoredVersion",
    "checked_name",
    "checked_row_ids",
    "dataset_lock",
    "from_ranges",
    "temporary_of",
    "to_ranges",
    "write_atomic",
]

_SCHEMA = 2
"""2 knows redacted rows; what 1 wrote is read as it is."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")

Ranges = list[list[int]]
"""Sorted row ids as inclusive ``[first, last]`` pairs."""


@dataclass(slots=True, kw_only=True)
class StoredVersion:
    """One version in the catalog. ``at`` is the store's own number of it (Lance), ``members`` its row ids (landing files)."""

    version: str
    rows: int
    digest: str
    row_set: str
    created_at: int
    at: int = 0
    members: Ranges = field(default_factory=list)
    gone: bool = False
    request: str | None = None

    def info(self, dataset: str) -> DatasetVersionInfo:
        """The version as the port shows it; a tombstone keeps count, digest and row set."""
        return DatasetVersionInfo(
            dataset=dataset,
            version=self.version,
            rows=self.rows,
            digest=self.digest,
            created_at=self.created_at,
            row_set=RowSetInfo(digest=self.row_set, count=self.rows),
            gone=self.gone,
            request=self.request,
        )


class Redacted(TypedDict):
    """Rows of which something stays, those that are treated alike: ids and names of columns, never a value."""

    columns: list[str]
    """Emptied."""
    old: list[int]
    new: list[int]
    """The ids under which they stay, in the same order."""


@dataclass(slots=True, kw_only=True)
class PendingPurge:
    """The intent of a purge, durable before the first row is touched; a restart finishes it."""

    request: str
    asked: str
    """Row-set digest of the rows that were asked for: with the request, the purge's identity."""
    row_ids: list[int]
    """Those of them that some version held."""
    versions: list[str]
    rewrite: bool
    """Whether the latest version held one of them, so that a new version must follow."""
    files: list[str] = field(default_factory=list)
    """The data files before it began, so that what it wrote can be told also after a crash."""
    bytes_rewritten: int = 0
    redacted: list[Redacted] = field(default_factory=list)
    """Rows of the latest version of which something stays, as another row."""
    source: int = 0
    """The store's number of that version, from which they are read."""


@dataclass(slots=True, kw_only=True)
class PurgeRecord:
    """A finished purge: the same request for the same rows gets the same answer again."""

    request: str
    asked: str
    rows_deleted: int
    versions: list[str]
    bytes_rewritten: int
    redacted: list[Redacted] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class Catalog:
    """All that the file holds."""

    dataset: str
    next_row_id: int = 1
    writing: bool = False
    """A write was begun and not recorded: what the store holds beyond the catalog is an orphan."""
    versions: list[StoredVersion] = field(default_factory=list)
    pending: PendingPurge | None = None
    purges: list[PurgeRecord] = field(default_factory=list)
    erased: Ranges = field(default_factory=list)
    """Row ids whose rows were erased for ever (landing files, where a line number cannot be minted anew)."""

    def live(self) -> list[StoredVersion]:
        """The versions that are no tombstones, oldest first."""
        return [v for v in self.versions if not v.gone]

    def latest(self) -> StoredVersion | None:
        """The newest live version."""
        live = self.live()
        return live[-1] if live else None

    def version(self, version: str) -> StoredVersion:
        """The version by its string (``latest`` for the newest live one); raises ``NotFound``."""
        found = self.latest() if version == "latest" else next((v for v in self.versions if v.version == version), None)
        if found is None:
            known = ", ".join(v.version for v in self.versions[-5:]) or "none yet"
            raise NotFound(
                f"{self.dataset} has no version {version!r}; the last ones are: {known}", hint=f"govern dataset versions {self.dataset}"
            )
        return found

    def begin_purge(self, intent: PendingPurge) -> None:
        """Set the intent and put the tombstones in place; the caller saves before it touches data."""
        self.pending = intent
        for version in self.versions:
            if version.version in intent.versions:
                version.gone, version.request = True, intent.request

    def end_purge(self) -> None:
        """Turn the intent into a record."""
        assert self.pending is not None
        done = self.pending
        self.purges.append(
            PurgeRecord(
                request=done.request,
                asked=done.asked,
                rows_deleted=len(done.row_ids),
                versions=done.versions,
                bytes_rewritten=done.bytes_rewritten,
                redacted=done.redacted,
            )
        )
        self.pending = None

    def purge_record(self, request: str, asked: str) -> PurgeRecord | None:
        """The finished purge of this request for these rows."""
        return next((p for p in self.purges if (p.request, p.asked) == (request, asked)), None)


class CatalogFile:
    """The catalog on disk.

    Args:
        path: the JSON file; its folder is made on the first save.
        dataset: the name it must be for.
    """

    def __init__(self, path: Path, dataset: str) -> None:
        self._path = path
        self._dataset = dataset

    def load(self) -> Catalog:
        """The catalog, an empty one when there is no file; raises ``Tampered`` or ``StoreUnavailable``."""
        try:
            text = self._path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return Catalog(dataset=self._dataset)
        except OSError as error:
            raise StoreUnavailable(f"{self._dataset}: its catalog cannot be read: {error}", hint="govern doctor") from error
        try:
            body = json.loads(text)
            schema = body.pop("schema")
            if schema > _SCHEMA:
                raise StoreUnavailable(
                    f"{self._dataset}: its catalog has schema {schema}, newer than {_SCHEMA}", hint="use the newer Govern"
                )
            body["versions"] = [StoredVersion(**v) for v in body["versions"]]
            body["pending"] = PendingPurge(**body["pending"]) if body["pending"] else None
            body["purges"] = [PurgeRecord(**p) for p in body["purges"]]
            catalog = Catalog(**body)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise Tampered(
                f"{self._dataset}: the catalog {self._path.name} is damaged: {error!r}", hint="restore it from a backup"
            ) from error
        if catalog.dataset != self._dataset:
            raise Tampered(f"the catalog {self._path.name} is of {catalog.dataset!r}, not of {self._dataset!r}")
        return catalog

    def save(self, catalog: Catalog) -> None:
        """Replace the file durably; raises ``StoreUnavailable`` and leaves the old one."""
        body: dict[str, Json] = {"schema": _SCHEMA, **asdict(catalog)}
        data = json.dumps(body, sort_keys=True, separators=(",", ":")).encode()
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(self._path, data)
        except OSError as error:
            raise StoreUnavailable(
                f"{self._dataset}: its catalog cannot be written: {error}", hint="free some disk space, then again"
            ) from error


def write_atomic(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Replace a file by a new one in the same folder: temporary file, fsync, rename, fsync of the folder. Raises ``OSError``."""
    temporary = temporary_of(path)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def temporary_of(path: Path) -> Path:
    """Where :func:`write_atomic` prepares the new file: a fixed name, so that one left by a crash is found and removed."""
    return path.with_name(f".{path.name}.govern-tmp")


def to_ranges(row_ids: Iterable[int]) -> Ranges:
    """Row ids as sorted inclusive ranges."""
    ranges: Ranges = []
    for row_id in sorted(set(row_ids)):
        if ranges and ranges[-1][1] == row_id - 1:
            ranges[-1][1] = row_id
        else:
            ranges.append([row_id, row_id])
    return ranges


def from_ranges(ranges: Ranges) -> list[int]:
    """The sorted row ids of :func:`to_ranges`."""
    return [row_id for first, last in ranges for row_id in range(first, last + 1)]


def checked_name(name: str) -> str:
    """The dataset's name, which is also a folder's; raises ``BadInput``."""
    if not _NAME.fullmatch(name):
        raise BadInput(f"dataset name {name!r}: use letters, digits, '.', '_' and '-', a letter or digit first")
    return name


def checked_row_ids(dataset: str, row_ids: Sequence[int]) -> list[int]:
    """The row ids sorted, each once; raises ``BadInput`` for what is no int64 ≥ 0."""
    for row_id in row_ids:
        if isinstance(row_id, bool) or not isinstance(row_id, int) or not 0 <= row_id < 2**63:
            raise BadInput(f"{dataset}: row id {row_id!r} is not an integer from 0 to 2^63 - 1")
    return sorted(set(row_ids))


_LOCKS: dict[Path, threading.RLock] = {}
_LOCKS_GUARD = threading.Lock()


def dataset_lock(path: Path) -> threading.RLock:
    """The one lock of this process for the dataset at ``path`` (one process owns a home)."""
    with _LOCKS_GUARD:
        return _LOCKS.setdefault(path.resolve(), threading.RLock())
