"""The frozen types of lineage: what an event says, what the graph holds, what a trace answers.

Time is int64 UTC nanoseconds everywhere. JSON values are plain Python values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = [
    "Checkpoint",
    "ColumnFlow",
    "Completeness",
    "DatasetRef",
    "DatasetVersionInfo",
    "Direction",
    "Edge",
    "Gap",
    "GraphDelta",
    "Impact",
    "JobFlow",
    "JobRef",
    "Json",
    "LedgerEntry",
    "NewEntry",
    "Node",
    "OwnedRows",
    "PurgeReport",
    "RecordChange",
    "RowSetInfo",
    "RunEvent",
    "StatedRow",
    "Subgraph",
    "SubjectRows",
]

Json = Any
"""A JSON value: ``None``, bool, int, float, str, list or dict with string keys."""


# ── what an event says ──────────────────────────────────────────────────────────────────────────
@dataclass(frozen=True, slots=True, kw_only=True)
class JobRef:
    """An OpenLineage job as one event names it."""

    namespace: str
    name: str
    facets: Mapping[str, Json] = field(default_factory=dict)


class ColumnFlow(NamedTuple):
    """One statement of column lineage about a dataset: what feeds one of its columns, or the whole of it. Text is empty where unknown."""

    field: str
    """The column that is fed; empty: the whole dataset (a filter, a join, a grouping)."""
    kind: str
    """``DATASET`` or ``JOB``: what the source is."""
    namespace: str
    name: str
    source: str
    """The column of the source."""
    type: str
    """``DIRECT`` or ``INDIRECT``."""
    subtype: str
    masking: str
    """``true`` or ``false``: whether the transformation hides the data."""
    description: str


class JobFlow(NamedTuple):
    """What an explicit ``lineage`` facet says flows into a job."""

    namespace: str
    name: str
    run_id: str
    """Empty where no run is named."""
    datasets: tuple[tuple[str, str], ...]
    jobs: tuple[tuple[str, str, str], ...]
    """(namespace, name, run id or "") of the jobs that hand data over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetRef:
    """An OpenLineage dataset as one event names it."""

    namespace: str
    name: str
    facets: Mapping[str, Json] = field(default_factory=dict)
    """Dataset facets."""
    io_facets: Mapping[str, Json] = field(default_factory=dict)
    """``inputFacets`` or ``outputFacets``."""
    version: str | None = None
    """What the ``version`` facet states."""
    kind: str | None = None
    """What the ``datasetType`` facet states, upper case: ``TABLE``, ``MODEL`` …"""
    symlinks: tuple[tuple[str, str, str], ...] | None = None
    """(namespace, name, type) of the other names of this same dataset, normalised; ``None`` = no statement."""
    column_sources: tuple[tuple[str, str], ...] | None = None
    """Datasets that the ``columnLineage`` facet names; ``None`` when it names none."""
    lineage_sources: tuple[tuple[str, str], ...] | None = None
    """Datasets that the explicit ``lineage`` facet names; empty = it states that there is no source, ``None`` = no statement."""
    lineage_from_job: bool = False
    """The explicit ``lineage`` facet names the event's own job as a source: all that the run read."""
    lineage_jobs: tuple[tuple[str, str, str], ...] = ()
    """(namespace, name, run id or "") of other jobs that the explicit ``lineage`` facet names as sources."""
    columns: tuple[ColumnFlow, ...] | None = None
    """Column lineage of an output or of a DatasetEvent's dataset, by the explicit facet where there is one; ``None`` = no statement."""
    renamed_from: tuple[str, str] | None = None
    """The name that it had until this event, normalised (``lifecycleStateChange`` RENAME)."""
    raw: tuple[str, str] | None = None
    """(namespace, name) as sent, where they were normalised."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEvent:
    """One OpenLineage RunEvent, JobEvent or DatasetEvent, parsed (spec 2-0-2).

    ``kind`` is decided by what is present (run and job → ``run``; job → ``job``; dataset → ``dataset``), never by ``schemaURL``.
    """

    kind: str
    """``run`` | ``job`` | ``dataset``."""
    digest: str
    """SHA-256, hex, of the event as sorted compact JSON: its identity."""
    event_time: int
    """UTC nanoseconds; a naive time is UTC."""
    event_type: str
    """START RUNNING COMPLETE ABORT FAIL OTHER; a missing or unknown one is OTHER."""
    producer: str
    run_id: str | None
    run_facets: Mapping[str, Json]
    job: JobRef | None
    inputs: tuple[DatasetRef, ...]
    outputs: tuple[DatasetRef, ...]
    dataset: DatasetRef | None
    """The dataset of a DatasetEvent."""
    parent: tuple[str, str, str] | None = None
    """(run id, job namespace, job name) of the run that contains this one."""
    root: tuple[str, str, str] | None = None
    """(run id, job namespace, job name) of the outermost run that contains this one."""
    processing: str | None = None
    """``processingType`` of the ``jobType`` facet, upper case: BATCH STREAMING SERVICE NONE."""
    explicit: bool = False
    """The job carries an explicit ``lineage`` facet."""
    job_flows: tuple[JobFlow, ...] = ()
    """What that facet says flows into jobs; the datasets that the own job reads are among ``inputs`` too."""
    snapshot: bool = False
    """Inputs and outputs are all there are: they replace those of earlier events of the run (``COMPLETE_SNAPSHOT``)."""
    small: bool = False
    """As sent it is shorter than any facet that is kept apart: none needs to be measured."""


# ── what the graph holds ────────────────────────────────────────────────────────────────────────
@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node of the lineage graph. ``key`` is ``<kind>:<sha256 of the natural key>``."""

    key: str
    label: str
    """Dataset Job Model | DatasetVersion RowSet JobVersion CodeRevision ParamSet Environment Run ModelVersion Deployment …"""
    props: Mapping[str, Json]
    recorded_at: int = 0
    """When Govern first knew of it, set by the store; not part of the graph digest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """A relationship, in data-flow direction.

    ``walk`` is true for INPUT_TO, DERIVED, DEPLOYED_AS, and for PRODUCED whose basis is cartesian: a trace follows only these.
    """

    key: str
    type: str
    source: str
    target: str
    props: Mapping[str, Json]
    """``basis``, ``version_basis``, ``role``, ``row_set`` …"""
    walk: bool
    witness: str
    """Digest of the witnessing event; the smallest wins."""
    valid_from: int
    valid_to: int | None = None
    recorded_at: int = 0
    """When Govern first knew it so; not part of the graph digest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphDelta:
    """What one event changes in the graph: full new values, and what is no longer so."""

    nodes: tuple[Node, ...] = ()
    edges: tuple[Edge, ...] = ()
    removed_nodes: tuple[str, ...] = ()
    removed_edges: tuple[str, ...] = ()
    removed_ends: tuple[tuple[str, str], ...] = ()
    """(source, target) of each removed edge, so that a store need not look edges up by key; empty where they are not known."""
    fresh: frozenset[str] = frozenset()
    """Keys among ``edges`` that were surely not there before, so that a store need not look for them."""
    recorded_at: int = 0
    """When Govern knew it, so that a store can answer as known on a day; edges removed are closed at this time."""


class Direction(StrEnum):
    """Which way a trace walks."""

    UP = "up"
    DOWN = "down"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subgraph:
    """Nodes and the edges among them, each sorted by key; ``truncated`` when a limit cut it."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    truncated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """One kind of thing that an answer does not know: how often it was met, and some of it by name."""

    kind: str
    """One of :data:`lineage.trace.completeness.KINDS`, e.g. ``failed_runs``."""
    count: int
    examples: tuple[Mapping[str, Json], ...] = ()
    """The first few: ``reason``, a sentence a person can act on, and the names it speaks of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Completeness:
    """What an answer rests on. ``complete`` is false as soon as one gap stands."""

    complete: bool
    reasons: tuple[str, ...]
    """Sentences a person can act on, sorted: those of the gaps' examples, and how many more there are of a kind."""
    hops_by_basis: Mapping[str, int]
    lag: int = 0
    """Acknowledged ledger entries not yet projected when the answer was made."""
    gaps: tuple[Gap, ...] = ()
    """Those that stand, in the order of their kinds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Impact:
    """The answer of a trace: the start nodes, the direction, all that was reached, and how complete that is."""

    start: tuple[str, ...]
    direction: Direction
    graph: Subgraph
    completeness: Completeness
    as_of: int | None = None
    known_at: int | None = None


# ── the ledger ──────────────────────────────────────────────────────────────────────────────────
@dataclass(frozen=True, slots=True, kw_only=True)
class NewEntry:
    """An entry to append. ``payload`` is what is kept: raw event bytes, or sorted compact JSON for Govern's own acts."""

    kind: str
    """``openlineage`` or ``govern.<noun>.<verb>``, e.g. ``govern.erasure.approved``."""
    payload: bytes
    actor: str
    """Key id of who did it, e.g. ``key:3f2a…`` or ``system``. Never a person's identifier."""
    identity: str | None = None
    """Idempotency: a second entry with the same identity is not appended (events: their digest)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """One entry of the log, as durable. ``payload`` is ``None`` once destroyed; the leaf stays."""

    index: int
    kind: str
    recorded_at: int
    actor: str
    payload: bytes | None
    salt: bytes | None
    leaf: bytes
    """H(salt ‖ canonical entry), the leaf data of the RFC 6962 tree."""
    identity: str | None = None
    duplicate: bool = False
    """True when this answers an append whose identity was there already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordChange:
    """A control record as an entry leaves it: ``body`` is the full new value, ``None`` removes the record."""

    kind: str
    ident: str
    body: Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A signed note over the tree (C2SP tlog-checkpoint)."""

    origin: str
    size: int
    root: bytes
    note: str
    """The whole signed note as text."""


# ── datasets and rows ───────────────────────────────────────────────────────────────────────────
@dataclass(frozen=True, slots=True, kw_only=True)
class RowSetInfo:
    """A committed set of rows: Merkle root over the sorted commitments of row ids."""

    digest: str
    """``rs1:<hex>``."""
    count: int
    uri: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetVersionInfo:
    """One version of a registered dataset as its store knows it."""

    dataset: str
    version: str
    """The store's own version string."""
    rows: int
    digest: str
    """``sha256:<hex>`` root over per-row hashes in row-id order."""
    created_at: int
    row_set: RowSetInfo
    gone: bool = False
    """True for a tombstone: the rows were purged by ``request``."""
    request: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PurgeReport:
    """What a purge did to one dataset, and what it checked afterwards."""

    dataset: str
    rows_deleted: int
    versions_removed: tuple[str, ...]
    """Versions that held an erased row; tombstones answer for them."""
    new_version: DatasetVersionInfo
    bytes_rewritten: int
    residual_rows: int
    """Erased rows still found after decoding every remaining file; 0 or the purge failed."""
    files_scanned: int
    unpurged: str | None = None
    """Why bytes of the rows may stay in the store all the same (a bucket that keeps old object versions); such a purge is level L0."""
    redacted: tuple[tuple[int, tuple[str, ...]], ...] = ()
    """Rows that stay in the new version, under these new ids, without these columns; their old rows are among those deleted."""


@dataclass(frozen=True, slots=True)
class OwnedRows:
    """Many rows, each with the data subject it is of: what to give a row index for millions of them."""

    refs: bytes
    """The references as 16 bytes each, one after the other."""
    rows: npt.NDArray[np.int64]
    """As many row ids, each ≥ 0."""


StatedRow: TypeAlias = tuple[str, int] | OwnedRows
"""(subject reference, row id), the reference empty where nobody is known for the row; or many at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectRows:
    """What a row index knows of a data subject in one dataset."""

    dataset: str
    rows: tuple[int, ...]
    """Row ids over all versions, sorted."""
    versions: tuple[str, ...]
    """The versions that hold one of them as theirs, in the order in which they were indexed."""
