"""Nodes and edges made by the ten thousand.

``__init__`` of a frozen dataclass sets each field through ``object.__setattr__``: most of the time it takes to read a large closure.
These make an open object of the same layout and then give it the frozen class: equal in every way to what the class itself makes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

from lineage.model import Edge, Json, Node

__all__ = ["make_edge", "make_node"]


class _Node:
    __slots__ = tuple(Node.__dataclass_fields__)

    if TYPE_CHECKING:
        key: Any
        label: Any
        props: Any
        recorded_at: Any

    def __init__(self, key: str, label: str, props: Mapping[str, Json], recorded_at: int) -> None:
        self.key = key
        self.label = label
        self.props = props
        self.recorded_at = recorded_at
        self.__class__ = Node  # type: ignore[assignment]


class _Edge:
    __slots__ = tuple(Edge.__dataclass_fields__)

    if TYPE_CHECKING:
        key: Any
        type: Any
        source: Any
        target: Any
        props: Any
        walk: Any
        witness: Any
        valid_from: Any
        valid_to: Any
        recorded_at: Any

    def __init__(  # noqa: PLR0917 - the fields of an edge, by place: naming them would cost what is saved
        self,
        key: str,
        type: str,  # noqa: A002 - the field's name
        source: str,
        target: str,
        props: Mapping[str, Json],
        walk: bool,
        witness: str,
        valid_from: int,
        valid_to: int | None,
        recorded_at: int,
    ) -> None:
        self.key = key
        self.type = type
        self.source = source
        self.target = target
        self.props = props
        self.walk = walk
        self.witness = witness
        self.valid_from = valid_from
        self.valid_to = valid_to
        self.recorded_at = recorded_at
        self.__class__ = Edge  # type: ignore[assignment]


make_node = cast("Callable[[str, str, Mapping[str, Json], int], Node]", _Node)
"""``make_node(key, label, props, recorded_at)``."""
make_edge = cast("Callable[[str, str, str, str, Mapping[str, Json], bool, str, int, int | None, int], Edge]", _Edge)
"""``make_edge(key, type, source, target, props, walk, witness, valid_from, valid_to, recorded_at)``."""
