"""One document model for every paper: blocks with facts, each fact computed, declared or a gap."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

__all__ = ["Basis", "Block", "Dossier", "Drawing", "Fact", "Facts", "Note", "Section", "Table"]


class Basis(StrEnum):
    """Where a fact comes from."""

    COMPUTED = "computed"
    DECLARED = "declared"
    GAP = "gap"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One statement. A gap has value ``None`` and says in ``source`` what is missing."""

    label: str
    value: str | int | float | bool | None
    basis: Basis
    source: str = ""
    """Computed: from what; declared: by whom and when; gap: why it is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """A list of facts, printed as rows: label, value, basis."""

    items: tuple[Fact, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table with a header, whose cells are strings or numbers; ``basis`` holds for all of it."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str | int | float | None, ...], ...]
    basis: Basis = Basis.COMPUTED
    caption: str = ""
    total: int | None = None
    """Number of rows there are, when the table was capped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """A lineage picture: nodes (id, label, kind) and edges (from, to, note); drawn as vectors, its table stands beside it."""

    nodes: tuple[tuple[str, str, str], ...]
    edges: tuple[tuple[str, str, str], ...]
    caption: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A paragraph in plain words."""

    text: str
    tone: str = "plain"
    """plain | good | warn | bad."""


Block = Facts | Table | Drawing | Note


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A titled run of blocks."""

    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dossier:
    """A paper before it is rendered: everything it says, and nothing about how it looks."""

    kind: str
    """model-trace | prediction-trace | incident-trace | dataset-impact | erasure-certificate | disgorgement-certificate."""
    title: str
    subject: str
    """What it is about, e.g. ``credit-risk@2`` or a request id. Never a person."""
    verdict: str
    """One sentence."""
    tone: str
    """good | warn | bad | plain."""
    as_of: int
    """UTC nanoseconds; dates inside the file derive from it."""
    installation: str
    generator: str
    sections: tuple[Section, ...]
    limits: tuple[str, ...] = ()
    """What this paper does not show, in plain words."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """Machine-readable twin of what the sections say (ids, digests, levels)."""
