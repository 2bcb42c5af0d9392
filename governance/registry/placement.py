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

from governance.registry.subject_keys import people, subject_keys
from lineage.errors import BadInput
from lineage.ports import KeyStore

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
    name, keys_of = dataset["name"], subject_keys(dataset)
    if not keys_of:
        raise BadInput(
            f"dataset {name} has no subject key, and shards are made of persons: rows sharded by themselves spread a person over many",
            hint="register it with a subject_key, or use `strategy: full`",
        )
    if len(keys_of) > 1:
        raise BadInput(
            f"the rows of dataset {name} are about several people, and a shard holds all rows of one: no such division exists",
            hint="use `strategy: full`",
        )
    (key,) = keys_of
    row_ids = table["govern_row_id"].to_pylist()
    if dataset["kind"] == "lines":
        people_of = [key.canonical([row]) for row in row_ids]
    elif lacking := [column for column in key.columns if column not in table.column_names]:
        raise BadInput(f"the rows of dataset {name} lack their subject key {lacking[0]!r}")
    else:
        (people_of,) = people([key], table, kind=dataset["kind"])
    found: dict[str, int] = {}
    listed = []
    for row, person in zip(row_ids, people_of, strict=True):
        subject = f"\x00row:{name}:{row}" if person is None else person
        if subject not in found:
            found[subject] = place(keys, model, subject, shards)
        listed.append(found[subject])
    return listed
