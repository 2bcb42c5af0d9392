"""The rows of a version that a training was given: all of them, or those of a committed row set without the suppressed ones.

A row set is a root over keyed commitments, so what was left out is told by the commitments alone; nothing names a row or a person.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from governance.registry.datasets import Datasets
from lineage.errors import BadInput
from trainers.model import InputSpec

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["read_committed", "without_suppressed"]

_ROW_ID = "govern_row_id"


def read_committed(datasets: Datasets, name: str, version: str, row_set: str) -> pa.Table:
    """The rows of ``name@version`` that are in the committed row set, in row-id order.

    Raises:
        Gone: the version was purged.
        NotFound: the row set is not the version's own and its commitments are not kept here.
    """
    import pyarrow as pa

    table = datasets.read(name, version)
    if row_set == datasets.version(name, version).row_set.digest:
        return table
    committed = frozenset(datasets.commitments(row_set))
    stays = [datasets.commitment(name, row) in committed for row in table.column(_ROW_ID).to_pylist()]
    return table.filter(pa.array(stays, pa.bool_()))


def without_suppressed(datasets: Datasets, inputs: Sequence[InputSpec]) -> tuple[InputSpec, ...]:
    """The inputs without the rows of persons whose erasure was approved: other row sets of the same versions, committed and kept.

    The answer is the same object for an input that holds none of them.

    Raises:
        BadInput: nothing is left of an input to train on.
    """
    away = datasets.suppression.rows()
    return tuple(_trimmed(datasets, given, away) for given in inputs)


def _trimmed(datasets: Datasets, given: InputSpec, away: Mapping[str, frozenset[int]]) -> InputSpec:
    suppressed = away.get(given.dataset)
    if not suppressed:
        return given
    held = datasets.row_ids(given.dataset, given.version)
    if suppressed.isdisjoint(held):
        return given
    if given.row_set != datasets.version(given.dataset, given.version).row_set.digest:
        committed = frozenset(datasets.commitments(given.row_set))
        held = [row for row in held if datasets.commitment(given.dataset, row) in committed]
    left = [row for row in held if row not in suppressed]
    if len(left) == len(held):
        return given
    if not left and given.role == "train":
        raise BadInput(
            f"every row of {given.dataset}@{given.version} is of a person whose erasure was approved: there is nothing to train on",
            hint=f"write a version of {given.dataset} with other rows",
        )
    return dataclasses.replace(given, row_set=datasets.keep_rows(given.dataset, left), rows=len(left))
