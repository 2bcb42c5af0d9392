"""How the rows of a sharded training are divided, and what each constituent is a function of. No torch.

The shard of a row is a number that comes with the rows, in the column :data:`PLACE`: a keyed hash of the row's *subject*, made where the
key lies (``governance.registry.placement``). All rows of one person lie in one shard, so that one erasure touches one constituent; were
rows hashed by themselves, a person with m rows would touch up to m. Nobody without the key can choose a shard, nor see one: the column is
taken off before user code gets the rows, and an artifact holds counts only. (An adversary who sees the shards can erase so that every
constituent is trained again, and adaptive deletion voids the guarantee: Gupta et al. 2021, arXiv:2106.04378.)
"""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from lineage.datasets import ROW_ID, dataset_digest
from lineage.errors import BadInput
from trainers.model import Sharding, TrainSpec
from trainers.params import canonical, params_digest

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["PLACE", "constituent_seed", "input_digest", "packed", "rows_of_shards", "unpacked", "without_traces"]

PLACE: Final = "govern_place"
"""Column of the training rows, an integer from 0 to shards - 1: the row's shard. User code never sees it."""


def rows_of_shards(table: pa.Table, sharding: Sharding) -> list[pa.Table]:
    """The rows of each shard in row-id order, without :data:`PLACE`; a shard may be empty.

    What the rows of other shards leave behind in a table is taken off too (:func:`without_traces`).

    Raises:
        BadInput: there is no such column, or a number in it is no shard.
    """
    import numpy as np

    if PLACE not in table.column_names:
        raise BadInput(f"the rows of a sharded training need the column {PLACE}: which shard each row belongs to")
    places = np.asarray(table[PLACE].to_numpy())
    if (
        places.dtype.kind not in "iu"
        or table[PLACE].null_count
        or (len(places) and not 0 <= places.min() <= places.max() < sharding.shards)
    ):
        raise BadInput(f"column {PLACE} must hold integers from 0 to {sharding.shards - 1}")
    plain = without_traces(table.drop_columns([PLACE]).sort_by(ROW_ID))
    places = places[np.argsort(table[ROW_ID].to_numpy(), kind="stable")]
    return [plain.take(np.flatnonzero(places == shard)).combine_chunks() for shard in range(sharding.shards)]


def without_traces(table: pa.Table) -> pa.Table:
    """The same rows without what other rows leave behind in a table: dictionaries become plain values, metadata goes."""
    import pyarrow as pa

    for position, column in enumerate(table.schema):
        if pa.types.is_dictionary(column.type):
            table = table.set_column(position, column.name, table[column.name].cast(column.type.value_type))
    return table.replace_schema_metadata(None)


def constituent_seed(seed: int, shard: int) -> int:
    """The seed of a constituent's own run, 63 bits: SHA-256 of the model's seed and the shard.

    >>> constituent_seed(7, 0) != constituent_seed(7, 1) and constituent_seed(7, 0) == constituent_seed(7, 0)
    True
    """
    return int.from_bytes(hashlib.sha256(f"govern sisa constituent\n{seed}\n{shard}".encode()).digest()[:8], "big") >> 1


def input_digest(spec: TrainSpec, shard: int, tables: Mapping[str, pa.Table]) -> str:
    """``sha256:<hex>`` over all that determines a constituent's weights: two runs with equal digests make equal weights.

    Rows by their values and by their ids (the order of batches comes from the ids), code, parameters, seed, threads, environment.
    """
    sharding = spec.sharding
    assert sharding is not None
    body: dict[str, Any] = {
        "format": 1,
        "strategy": spec.strategy,
        "shards": sharding.shards,
        "shard": shard,
        "code": spec.code,
        "entrypoint": spec.entrypoint,
        "params": params_digest(spec.params),
        "seed": str(constituent_seed(spec.seed, shard)),
        "threads": spec.threads,
        "environment": spec.environment,
        "label": spec.label,
        "features": list(spec.features),
        "rows": {role: {"ids": _ids(table), "values": dataset_digest(table)} for role, table in sorted(tables.items())},
        "columns": {role: table.column_names for role, table in sorted(tables.items())},
    }
    return "sha256:" + hashlib.sha256(canonical(body)).hexdigest()


def packed(places: Sequence[int]) -> str:
    """Places as text, for whoever trains elsewhere and has no key: base64 of zlib of 16-bit integers, big endian.

    >>> unpacked(packed([0, 4, 65535]))
    [0, 4, 65535]
    """
    return base64.b64encode(zlib.compress(b"".join(place.to_bytes(2, "big") for place in places))).decode()


def unpacked(text: str) -> list[int]:
    """The places that :func:`packed` wrote; :class:`BadInput` for other text."""
    try:
        data = zlib.decompress(base64.b64decode(text, validate=True))
    except (ValueError, zlib.error):
        raise BadInput("the places of a sharded training cannot be read") from None
    return [int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2)]


def _ids(table: pa.Table) -> str:
    import numpy as np

    ids = np.asarray(table[ROW_ID].to_numpy(), dtype=np.int64)
    return "sha256:" + hashlib.sha256(ids.astype(">i8").tobytes()).hexdigest()
