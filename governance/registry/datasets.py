"""Registered datasets: their versions, the index of whose rows they hold, and the OpenLineage facets that name them."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from governance.registry.acts import act
from governance.registry.dataset_urls import checked_url
from governance.registry.find import bodies, must_find
from governance.registry.gate import Gate
from governance.registry.index_check import compare
from governance.registry.placement import places
from governance.registry.references import References
from governance.registry.row_sets import RowSets
from governance.registry.shared_rows import filled, shared_with, without
from governance.registry.subject_keys import SubjectKey, declared_keys, people, shared_rule, subject_keys
from governance.registry.suppression import Suppression
from lineage.datasets import ROW_ID, commitments, row_set
from lineage.errors import BadInput, Conflict, Gone, NotFound
from lineage.model import DatasetVersionInfo, PurgeReport
from lineage.ports import Clock, KeyStore, Ledger, RowIndex, VersionedDataset
from lineage.rows import canonical_subject, subject_refs

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["KINDS", "LANDING", "PRODUCER", "Datasets", "dataset_facets", "version_json"]

KINDS = ("lance", "delta", "parquet", "lines", "csv")
"""What a dataset can be: three tables, and two kinds of file that others deliver."""

LANDING = ("lines", "csv")
"""The kinds that are a file in the landing folder."""

PRODUCER = "https://github.com/govern-ml/govern"
"""``producer`` of the OpenLineage events that Govern itself emits."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def version_json(info: DatasetVersionInfo) -> dict[str, Any]:
    """A dataset version as the API tells it."""
    return {
        "dataset": info.dataset,
        "version": info.version,
        "rows": info.rows,
        "digest": info.digest,
        "created_at": info.created_at,
        "row_set": {"digest": info.row_set.digest, "count": info.row_set.count},
        "gone": info.gone,
        "request": info.request,
    }


def dataset_facets(info: DatasetVersionInfo) -> dict[str, Any]:
    """The OpenLineage dataset facets that pin a version and its committed rows (never identifiers), as JSON for any client."""
    from lineage import emit

    rows = emit.RowSet(digest=info.row_set.digest, count=info.row_set.count)
    return emit.dataset_facets(version=info.version, rows=rows, producer=PRODUCER)


class Datasets:
    """The datasets of one home. ``open_store`` makes the store of a registered dataset; the landing folder holds raw files."""

    def __init__(
        self,
        ledger: Ledger,
        keys: KeyStore,
        clock: Clock,
        index: RowIndex,
        open_store: Callable[[dict[str, Any]], VersionedDataset],
        *,
        installation: str,
        landing: Path,
        rowsets: Path,
        gate: Gate | None = None,
    ) -> None:
        self._ledger = ledger
        self._keys = keys
        self._clock = clock
        self.index = index
        self.references = References(ledger, keys, gate)
        self.suppression = Suppression(ledger, keys, index)
        self._open_store = open_store
        self._stores: dict[str, VersionedDataset] = {}
        self._lock = threading.RLock()
        self._namespace = f"govern://{installation}"
        self._landing = landing
        self._row_sets = RowSets(keys, rowsets)
        self._landed: tuple[str, ...] | None = None
        self._landing_gate = threading.Lock()

    # ── registration ────────────────────────────────────────────────────────────────────────────
    def register(self, body: dict[str, Any], *, actor: str) -> dict[str, Any]:
        """Make a dataset known. A second registration with the same content answers the same; with another it is a ``Conflict``."""
        name, kind = str(body.get("name", "")), body.get("kind", "lance")
        if not _NAME.fullmatch(name):
            raise BadInput(f"{name!r} is no dataset name: letters, digits, dot, dash, underscore; at most 128")
        if kind not in KINDS:
            raise BadInput(f"dataset {name}: kind must be one of {', '.join(KINDS)}, not {kind!r}")
        record = {
            "name": name,
            "kind": kind,
            "path": self._landing_path(name, body.get("path")) if kind in LANDING else None,
            **declared_keys(body, name=name, kind=kind),
        }
        if body.get("url") is not None:
            record["url"] = checked_url(name, kind, body["url"], bodies(self._ledger, "dataset"))
        found = self._ledger.record("dataset", name)
        if found is not None:
            if _asked(found[0]) != _asked(record):
                raise Conflict(f"dataset {name} is registered otherwise", hint="choose another name, or register it as it is")
            return {**found[0], "versions": len(self._store(name).versions())}
        if "url" in record:
            self._open_store(record)  # a package that is missing is said now, and not at the first write
        record["created_at"] = self._clock.now()
        self._ledger.append([act("dataset.registered", actor=actor, records={("dataset", name): record}, identity=f"dataset:{name}")])
        with self._landing_gate:
            self._landed = None
        return record | {"versions": 0}

    def _landing_path(self, name: str, path: Any) -> str:
        if not isinstance(path, str) or not path:
            raise BadInput(f"dataset {name}: a file needs `path`, the file in the landing folder {self._landing}")
        try:
            resolved = (self._landing / path).resolve()
            there = resolved.is_file()
        except (OSError, ValueError):  # too long for this file system, or with a zero byte in it
            raise NotFound(f"dataset {name}: no file can have this path", hint=f"name a file under {self._landing}") from None
        if not resolved.is_relative_to(self._landing.resolve()):
            raise BadInput(
                f"dataset {name}: {path} is not in the landing folder", hint=f"put the file under {self._landing}, for a purge rewrites it"
            )
        if not there:
            raise NotFound(f"dataset {name}: there is no file {path} in the landing folder", hint=f"copy it to {self._landing}")
        return str(resolved.relative_to(self._landing.resolve()))

    def list(self) -> dict[str, Any]:
        """Every registered dataset with its latest version."""
        listed = []
        for record in bodies(self._ledger, "dataset"):
            latest = self._store(record["name"]).latest()
            listed.append(record | {"latest": version_json(latest) if latest else None})
        return {"datasets": listed}

    def record(self, name: str) -> dict[str, Any]:
        """The dataset's record; ``NotFound`` names the nearest."""
        return must_find(self._ledger, "dataset", name, what="dataset")

    def names(self) -> Sequence[str]:
        """The names of all registered datasets, sorted."""
        return [record["name"] for record in bodies(self._ledger, "dataset")]

    # ── versions ────────────────────────────────────────────────────────────────────────────────
    def write(self, name: str, table: pa.Table | None, *, mode: str, key: str | None, actor: str, repair: bool = False) -> dict[str, Any]:
        """A new version from a table; without one, from what lies in the store now, which another program may have changed.

        A look at the store also compares the row index with it; ``repair`` makes the index anew where they differ.
        Rows of persons on the suppression list are left out of a table; ``left_out`` says how many.
        """
        record = self.record(name)
        with self._lock:
            store = self._store(name)
            if table is None:
                if record["kind"] not in LANDING and store.latest() is None:
                    raise BadInput(f"dataset {name}: send the rows as an Arrow IPC stream")
                known = {found.version for found in store.versions()}
                info = store.scan()
                if info.version not in known:
                    self._took(record, info, actor=actor)
                return self._answer(info) | {"index": self._compared(record, repair=repair, actor=actor)}
            if record["kind"] in LANDING:
                raise BadInput(f"dataset {name} is a landing file: change the file, then post an empty body to scan it")
            keys = subject_keys(record)
            for column in dict.fromkeys(column for key in keys for column in key.theirs):
                if column not in table.column_names:
                    raise BadInput(
                        f"dataset {name}: the subject key column {column!r} is missing; there are {', '.join(table.column_names)}"
                    )
            people(keys, table, kind=record["kind"])  # refused before it is written: unindexed, it could never be purged
            self.refresh(name)
            table, left_out, redacted = without(keys, shared_rule(record), table, self._listed, kind=record["kind"])
            latest = store.latest()
            nothing_new = mode == "append" and left_out and not table.num_rows and latest is not None
            info = latest if nothing_new and latest is not None else store.write(table, mode=mode, key=key)
            self._took(record, info, actor=actor, left_out=left_out, redacted=redacted)
        return self._answer(info, left_out, redacted)

    def _answer(self, info: DatasetVersionInfo, left_out: int = 0, redacted: int = 0) -> dict[str, Any]:
        openlineage = {"namespace": self._namespace, "name": info.dataset, "facets": dataset_facets(info)}
        return version_json(info) | {"left_out": left_out, "redacted": redacted, "openlineage": openlineage}

    def _compared(self, record: dict[str, Any], *, repair: bool, actor: str) -> dict[str, Any]:
        """What the index says of the living versions beside what the store holds (:func:`governance.registry.index_check.compare`)."""
        name = record["name"]
        infos = {info.version: info for info in self._readable(name)}
        living = {version: list(self._subjects(record, version)) for version in infos}
        differs = compare(self.index, name, living)
        if repair and differs:
            for version in differs:
                self._took(record, infos[version], actor=actor)
            return {"agrees": not compare(self.index, name, living), "differs": differs, "repaired": True}
        return {"agrees": not differs, "differs": differs, "repaired": False}

    def _readable(self, name: str) -> Iterable[DatasetVersionInfo]:
        """The versions whose rows can be read: not erased, and for a file only the states that it still contains."""
        store = self._store(name)
        for info in store.versions():
            try:
                if not info.gone:
                    store.count(info.version)
                    yield info
            except Gone:
                continue

    def _listed(self, persons: Sequence[str]) -> Collection[str]:
        """Those of the persons who stand on the suppression list."""
        return {person for person, listed in zip(persons, self.suppression.listed(persons), strict=True) if listed}

    def _took(self, record: dict[str, Any], info: DatasetVersionInfo, *, actor: str, left_out: int = 0, redacted: int = 0) -> None:
        """Index whose rows the version holds, keep its commitments, and enter it in the ledger; repeating it changes nothing."""
        name = info.dataset
        with self.references.in_use():
            self.index.replace(name, info.version, self._subjects(record, info.version))
        self.keep_row_set(name, info)
        detail = {name: value for name, value in version_json(info).items() if name != "gone"}
        detail |= {name: count for name, count in (("left_out", left_out), ("redacted", redacted)) if count}
        self._ledger.append([act("dataset.version", actor=actor, detail=detail, identity=f"dataset-version:{name}@{info.version}")])

    def _subjects(self, record: dict[str, Any], version: str) -> Iterable[tuple[str, int]]:
        identified = self._identified(record, version)
        _epoch, references = self.references.newest([canonical for canonical, _row in identified])
        return [(reference, row) for reference, (_canonical, row) in zip(references, identified, strict=True)]

    def _identified(self, record: dict[str, Any], version: str) -> Sequence[tuple[str, int]]:
        """(canonical identifier of its person, row id) of every row of a version that names one: only ever held in memory."""
        keys, store = subject_keys(record), self._store(record["name"])
        if not keys:
            return []
        if record["kind"] == "lines":
            return [(canonical_subject(keys[0].type, str(row), numbers="lenient"), row) for row in store.row_ids(version)]
        table = store.read(version, columns=_columns(keys))
        rows = table[ROW_ID].to_pylist()
        named = people(keys, table, kind=record["kind"])
        return [(person, row) for listed in named for person, row in zip(listed, rows, strict=True) if person is not None]

    def rows_where(self, name: str, wanted: Callable[[str], bool]) -> set[tuple[int, str]]:
        """(row id, canonical identifier) of the rows, of every readable version, whose person is ``wanted``: for who must not keep it."""
        record = self.record(name)
        found: set[tuple[int, str]] = set()
        for info in self.infos(name):
            if not info.gone:
                with contextlib.suppress(Gone):  # a landing file keeps no old states: what it holds now is another version
                    found |= {(row, canonical) for canonical, row in self._identified(record, info.version) if wanted(canonical)}
        return found

    def persons(self, name: str) -> set[str]:
        """Canonical identifiers of everybody whom a readable version names: only ever held in memory."""
        record, found = self.record(name), set[str]()
        for info in self.infos(name):
            if not info.gone:
                with contextlib.suppress(Gone):
                    found.update(canonical for canonical, _row in self._identified(record, info.version))
        return found

    def coverage(self, name: str) -> tuple[int, int]:
        """(rows of persons in versions that can be read, rows that the index knows and no such version holds)."""
        record, held, indexed = self.record(name), set[int](), set[int]()
        for info in self.infos(name):
            if not info.gone:
                with contextlib.suppress(Gone):
                    held.update(row for _canonical, row in self._identified(record, info.version))
        for version in self.index.versions(name):
            indexed.update(self.index.row_ids(name, version))
        return len(held), len(indexed - held)

    def rekey(self, name: str, moves: Iterable[tuple[str, str]]) -> tuple[int, int]:
        """Put new references in place of old ones in the index (:meth:`lineage.ports.RowIndex.rekey`), while nothing is indexed."""
        with self._lock:
            return self.index.rekey(name, moves)

    @contextlib.contextmanager
    def still(self) -> Iterator[None]:
        """Inside, nothing is indexed and no reference is about to be kept."""
        with self._lock, self.references.unused():
            yield

    # ── rows about several people ───────────────────────────────────────────────────────────────
    def person(self, references: Sequence[str]) -> Callable[[str], bool]:
        """Whether a canonical identifier is that of the person with these references, under any living epoch."""
        known = frozenset(references)
        return lambda canonical: not known.isdisjoint(subject_refs(self._keys, canonical))

    def shared(self, name: str, row_ids: Sequence[int], whose: Callable[[str], bool]) -> dict[int, tuple[str, ...]]:
        """Those of a person's rows that are about somebody else too → the columns that are about the person.

        What the newest version that can be read says of a row counts. Of a dataset with one subject key: none.
        """
        record = self.record(name)
        keys, left = subject_keys(record), set(row_ids)
        if len(keys) < 2:
            return {}
        found: dict[int, tuple[str, ...]] = {}
        for info in reversed(list(self._readable(name))):
            table = _some(self._store(name).read(info.version, columns=_columns(keys)), left)
            shared, own = shared_with(keys, table, whose, kind=record["kind"])
            found |= shared
            left -= shared.keys() | own
            if not left:
                break
        return found

    def redacted_cells(self, name: str, columns: Mapping[int, Sequence[str]]) -> tuple[int, int]:
        """Reads redacted rows again, in every version that can be read: (cells looked at, those that hold a value all the same)."""
        looked = left = 0
        wanted = sorted({column for listed in columns.values() for column in listed})
        for info in self._readable(name):
            table = _some(self._store(name).read(info.version, columns=[ROW_ID, *wanted]), columns.keys())
            seen, held = filled(table, columns)
            looked, left = looked + seen, left + held
        return looked, left

    # ── row sets ────────────────────────────────────────────────────────────────────────────────
    def keep_row_set(self, name: str, info: DatasetVersionInfo) -> Path:
        """Write the version's commitments beside their root, for proofs of non-membership (keyed hashes, no identifiers)."""
        path = self._row_sets.path(info.row_set.digest)
        if not path.exists():
            self._row_sets.keep(name, self._store(name).row_ids(info.version), digest=info.row_set.digest, version=info.version)
        return path

    def keep_rows(self, name: str, row_ids: Sequence[int]) -> str:
        """Keep the commitments of given rows, as :meth:`keep_row_set` does for a version's; returns the digest of their set.

        The rows of an erased subject are told by them afterwards: the ids are forgotten, and who lacks the key learns nothing from them.
        """
        return self._row_sets.keep(name, row_ids)

    def take_row_set(self, name: str, digest: str, listed: Sequence[bytes]) -> None:
        """Keep commitments that were made elsewhere under the same key; ``Tampered`` when they are not those of the digest."""
        self._row_sets.take(name, digest, listed)

    def commitments(self, row_set_digest: str) -> Sequence[bytes]:
        """The sorted commitments of a row set that was kept; ``NotFound`` otherwise."""
        return self._row_sets.listed(row_set_digest)

    def committed(self, row_set_digest: str) -> frozenset[bytes]:
        """:meth:`commitments` as a set, which is parsed once."""
        return self._row_sets.members(row_set_digest)

    def committed_among(self, row_set_digest: str, wanted: Collection[bytes]) -> int:
        """How many of some commitments a row set holds; ``NotFound`` when it was not kept."""
        return self._row_sets.among(row_set_digest, wanted)

    def commitment(self, dataset: str, row_id: int) -> bytes:
        """The commitment of one row."""
        return commitments(self._keys, dataset, [row_id])[0]

    def commitments_of(self, dataset: str, row_ids: Sequence[int]) -> Sequence[bytes]:
        """The sorted commitments of rows; nothing is kept of them."""
        return commitments(self._keys, dataset, row_ids)

    def versions(self, name: str) -> dict[str, Any]:
        """Every version, tombstones included, oldest first; a changed landing file is scanned first."""
        self.refresh(name)
        return {"dataset": name, "versions": [version_json(info) for info in self._store(name).versions()]}

    def version(self, name: str, version: str) -> DatasetVersionInfo:
        """One version, or ``latest``."""
        if version == "latest":
            self.refresh(name)
        infos = self.infos(name)
        if version == "latest":
            if not infos:
                raise NotFound(f"dataset {name} has no version yet", hint=f"post one to /api/v1/datasets/{name}/versions")
            return infos[-1]
        for info in infos:
            if info.version == version:
                return info
        raise NotFound(f"dataset {name} has no version {version}", hint=f"govern dataset versions {name}")

    def infos(self, name: str) -> Sequence[DatasetVersionInfo]:
        """All versions as their store knows them, oldest first."""
        self.record(name)
        return self._store(name).versions()

    def read(self, name: str, version: str) -> pa.Table:
        """The rows in row-id order; ``Gone`` for a purged version."""
        info = self.version(name, version)
        return self._store(name).read(info.version)

    def places(self, name: str, table: pa.Table, *, model: str, shards: int) -> Sequence[int]:
        """The shard of each row for a model that is trained in shards (:mod:`governance.registry.placement`)."""
        return places(self._keys, self.record(name), table, model=model, shards=shards)

    def count(self, name: str, version: str) -> int:
        """Rows, recounted from the store's files."""
        self.record(name)
        return self._store(name).count(version)

    def row_ids(self, name: str, version: str) -> Sequence[int]:
        """The row ids that a version holds."""
        self.record(name)
        return self._store(name).row_ids(version)

    def row_set_of(self, name: str, row_ids: Sequence[int]) -> dict[str, Any]:
        """The committed set of given rows; nothing is kept of it (:meth:`keep_rows` does)."""
        info = row_set(self._keys, name, row_ids)
        return {"digest": info.digest, "count": info.count}

    def named_in(self, raws: Sequence[bytes]) -> tuple[str, ...]:
        """The landing files that events name, so that what was appended to them can be made a version at once."""
        landed = self._landed
        if landed is None:
            with self._landing_gate:  # a registration that is appended meanwhile waits, and then empties it
                landed = tuple(record["name"] for record in bodies(self._ledger, "dataset") if record["kind"] in LANDING)
                self._landed = landed
        return tuple(name for name in landed if any(f'"{name}"'.encode() in raw for raw in raws))

    def refresh(self, name: str) -> None:
        """Look at the store again: a landing file as it is now is its latest version, and so is what others committed to a table."""
        record = self.record(name)
        with self._lock:
            store = self._store(name)
            before = store.latest()
            if before is None and record["kind"] not in LANDING:
                return
            info = store.scan()
            if before is None or before.version != info.version:
                self._took(record, info, actor="system")

    def indexed_before(self, name: str) -> int:
        """Rows of readable versions that the index does not know under the newest epoch: what an older epoch alone still finds."""
        record = self.record(name)
        lost: set[int] = set()
        for info in self.infos(name):
            if info.gone:
                continue
            try:
                held = list(self._subjects(record, info.version))
            except Gone:  # a landing file keeps no old states: there is nothing to find in this one
                continue
            found: dict[str, set[int]] = {}
            for reference in dict.fromkeys(reference for reference, _row in held):
                found[reference] = set(self.index.lookup([reference]).get(name, ()))
            lost.update(row for reference, row in held if row not in found[reference])
        return len(lost)

    # ── erasure ─────────────────────────────────────────────────────────────────────────────────
    def purge(self, name: str, row_ids: Sequence[int], *, request: str, whose: Callable[[str], bool] | None = None) -> PurgeReport:
        """Delete rows from every version and from the index; repeating it finds nothing to do.

        Args:
            name: the dataset.
            row_ids: the rows.
            request: the erasure that asks for it.
            whose: whether a canonical identifier is the erased person's. Where the dataset says so, of rows that are about somebody
                else too another row stays, without the columns about this person; without it every row goes whole.
        """
        record = self.record(name)
        with self._lock:
            self.refresh(name)
            redact = self.shared(name, row_ids, whose) if whose is not None and shared_rule(record).rule == "redact" else None
            report = self._store(name).purge(row_ids, request=request, redact=redact)
            self.index.forget(name, row_ids)
            self._took(record, report.new_version, actor="system")
        return report

    def residual(self, name: str, row_ids: Sequence[int]) -> tuple[int, int]:
        """(rows found, files decoded) over every file of the dataset."""
        return self._store(name).residual_scan(row_ids)

    def _store(self, name: str) -> VersionedDataset:
        with self._lock:
            store = self._stores.get(name)
            if store is None:
                store = self._stores[name] = self._open_store(self.record(name))
            return store


def _asked(record: Mapping[str, Any]) -> dict[str, Any]:
    """What a registration asks for, without what Govern adds."""
    return {field: value for field, value in record.items() if field not in ("created_at", "subject_rules")}


def _columns(keys: Iterable[SubjectKey]) -> list[str]:
    return [ROW_ID, *dict.fromkeys(column for key in keys for column in key.columns)]


def _some(table: pa.Table, row_ids: Collection[int]) -> pa.Table:
    """The rows with these ids."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return table.filter(pc.is_in(table[ROW_ID], value_set=pa.array(sorted(row_ids), pa.int64())))
