"""Whether the row index says what the store holds. A person whom the index does not know is a person whom no erasure finds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lineage.ports import RowIndex

__all__ = ["compare"]


def compare(index: RowIndex, name: str, versions: Mapping[str, Sequence[tuple[str, int]]]) -> dict[str, dict[str, int]]:
    """The versions for which index and store differ: ``{version: {"rows": in the store, "indexed": in the index}}``.

    Args:
        index: asked for its counts, and for every person of the store.
        name: the dataset.
        versions: of each version that can be read, the (reference, row) pairs that the store holds.

    A version differs when its count does. When all counts agree, every person's rows are compared too: then those versions
    differ that hold a row of which the index says something else, with equal counts on both sides.
    """
    differs = {}
    for version, pairs in versions.items():
        rows, indexed = len({row for _, row in pairs}), index.count(name, version)
        if rows != indexed:
            differs[version] = {"rows": rows, "indexed": indexed}
    if differs:
        return differs
    held: dict[str, set[int]] = {}
    for pairs in versions.values():
        for reference, row in pairs:
            held.setdefault(reference, set()).add(row)
    wrong: set[int] = set()
    for reference, rows_of in held.items():
        wrong |= rows_of.difference(index.lookup([reference]).get(name, ()))
    return {
        version: dict.fromkeys(("rows", "indexed"), len({row for _, row in pairs}))
        for version, pairs in versions.items()
        if wrong.intersection(row for _, row in pairs)
    }
