r"""Which shard a row of a ``sisa`` model belongs to: a keyed hash of its subject, made here because here lies the key.

    place = HMAC-SHA256(key "sharding", model \x00 subject)  mod  shards

* Of the **subject**, not of the row: all rows of one person lie in one shard, whatever number of rows she has.
* **Keyed**, so that nobody can choose a shard, nor find out who shares one. Whoever knew the shards could erase so that every
  constituent is trained again, and let what remains depend on them (Gupta et al. 2021, arXiv:2106.04378).
* With the **model's name** in it, so that what one model gives away about its shards says nothing about another's.

The canonical identifier is hashed and not its reference: references change with the epoch, and then every shard would. This key is not
rotated; without it the places cannot be told again, and versions trained with them cannot be reproduced.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from lineage.errors import BadInput
from lineage.ports import KeyStore
from lineage.rows import canonical_subject

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["KEY", "place", "places"]

KEY: Final = "sharding"
"""Name of the key in the KeyStore."""


def place(keys: KeyStore, model: str, subject: str, shards: int) -> int:
    """The shard of a subject, 0 to shards - 1; uniform to 2^-64."""
    digest = keys.hmac(KEY, model.encode() + b"\x00" + subject.encode())
    return int.from_bytes(digest[:16], "big") % shards


def places(keys: KeyStore, dataset: Mapping[str, Any], table: pa.Table, *, model: str, shards: int) -> list[int]:
    """The shard of each row of a version of ``dataset`` (its record), in the table's order.

    A row that names no subject belongs to nobody whose erasure could touch it; it is placed by its own id.

    Raises:
        BadInput: the dataset has no subject key, or its column is not among the rows.
    """
    name, key, kind = dataset["name"], dataset["subject_key"], dataset["subject_type"]
    if not key:
        raise BadInput(
            f"dataset {name} has no subject key, and shards are made of persons: rows sharded by themselves spread a person over many",
            hint="register it with a subject_key, or use `strategy: full`",
        )
    row_ids = table["govern_row_id"].to_pylist()
    if dataset["kind"] == "lines":
        values = [str(row) for row in row_ids]
    elif key in table.column_names:
        values = table[key].to_pylist()
    else:
        raise BadInput(f"the rows of dataset {name} lack their subject key {key!r}")
    found: dict[str, int] = {}
    listed = []
    for row, value in zip(row_ids, values, strict=True):
        subject = f"\x00row:{name}:{row}" if value is None else canonical_subject(kind, str(value), numbers="lenient")
        if subject not in found:
            found[subject] = place(keys, model, subject, shards)
        listed.append(found[subject])
    return listed
