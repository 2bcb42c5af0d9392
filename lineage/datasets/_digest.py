"""The digest of rows: one hash per row, one root per dataset version, equal wherever the same values are read.

A row is encoded column by column in the order of the column names; each value begins with a tag for its kind, so that null,
an empty string, ``0``, ``False`` and ``"0"`` differ. The root's first leaf is the schema. ``govern_row_id`` orders the rows
and is not hashed: the digest speaks of what the rows say, the row set of which rows they are.
"""

from __future__ import annotations

import itertools
import math
import struct
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from lineage.datasets._columns import BOOL, BYTES, DECIMAL, FLOAT, INT, LIST, NULL, STRUCT, TEXT, joined, pieces
from lineage.datasets._merkle import leaf_hash, packed_leaf_hashes, packed_root, unpacked
from lineage.errors import BadInput

if TYPE_CHECKING:
    import pyarrow as pa

ROW_ID = "govern_row_id"
"""The column that names a row for ever: int64, minted per dataset, never used again."""

_ROWS_AT_ONCE = 65_536
_LEAF = b"\x00"
"""With which a leaf begins (RFC 6962 section 2.1)."""
_NAN = struct.pack(">d", math.nan)

Encoder = Callable[[Any], bytes]


def row_hashes(table: pa.Table) -> list[bytes]:
    """The hash of each row in the table's order, 32 bytes each: SHA-256(0x00 ‖ canonical encoding).

    Raises:
        BadInput: a column's type has no canonical encoding (map, union, extension), or two columns share a name.
    """
    return [one for part in _packed(table) for one in unpacked(part)]


def dataset_digest(table: pa.Table) -> str:
    """``sha256:<hex>``: the RFC 6962 root over the schema and the row hashes in row-id order.

    A table without ``govern_row_id`` is taken in its own order. Raises ``BadInput`` as :func:`row_hashes`.
    """
    if ROW_ID in table.column_names:
        table = table.sort_by(ROW_ID)
    fields = [_text(name) + _text(_type_name(table.schema.field(name).type, name)) for name in _names(table)]
    leaves = b"".join([leaf_hash(b"schema\x00" + b"".join(fields)), *_packed(table)])
    return "sha256:" + packed_root(leaves).hex()


def _packed(table: pa.Table) -> Iterator[bytes]:
    """The rows' hashes, packed, part by part: encoded rows take much more memory than their hashes."""
    names = _names(table)
    if not names:
        yield leaf_hash(b"") * table.num_rows
        return
    for start in range(0, max(1, table.num_rows), _ROWS_AT_ONCE):
        part = table.slice(start, _ROWS_AT_ONCE)
        rows, size = joined(_LEAF, [_encoded(part, name) for name in names])
        yield packed_leaf_hashes(rows, mean=size / max(1, len(rows)))


def _names(table: pa.Table) -> list[str]:
    names = sorted(name for name in table.column_names if name != ROW_ID)
    twice = [a for a, b in itertools.pairwise(names) if a == b]
    if twice:
        raise BadInput(f"two columns are called {twice[0]!r}", hint="give each column its own name")
    return names


def _encoded(table: pa.Table, name: str) -> list[pa.Array]:
    """The column's encoded values, in pieces that are put together row by row."""
    import pyarrow as pa

    column = table.column(name)
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    encode = _encoder(column.type, name)  # also refuses a type without an encoding
    whole = pieces(column)
    if whole is None:
        whole = [pa.array([NULL if value is None else encode(value) for value in column.to_pylist()], pa.large_binary())]
    return whole


def _encoder(kind: Any, where: str) -> Encoder:
    from pyarrow import types

    if types.is_null(kind):
        return lambda _: NULL
    if types.is_boolean(kind):
        return lambda value: BOOL + (b"\x01" if value else b"\x00")
    if types.is_integer(kind):
        return _integer
    if types.is_temporal(kind) and not types.is_interval(kind):
        return _temporal(kind)
    if types.is_floating(kind):
        return lambda value: FLOAT + (_NAN if math.isnan(value) else struct.pack(">d", value))
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return lambda value: TEXT + _text(value)
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind) or types.is_binary_view(kind):
        return lambda value: BYTES + _sized(value)
    if types.is_decimal(kind):
        return lambda value: DECIMAL + _text(str(value))
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        item = _encoder(kind.value_type, f"{where}[]")
        return lambda value: LIST + len(value).to_bytes(8, "big") + b"".join(NULL if v is None else item(v) for v in value)
    if types.is_struct(kind):
        return _struct(kind, where)
    raise BadInput(f"column {where}: {kind} has no canonical encoding", hint="cast the column to a plain type before writing it")


def _struct(kind: Any, where: str) -> Encoder:
    fields = {kind.field(i).name: _encoder(kind.field(i).type, f"{where}.{kind.field(i).name}") for i in range(kind.num_fields)}
    names = sorted(fields)

    def encode(value: dict[str, Any]) -> bytes:
        parts = (_text(name) + (NULL if value[name] is None else fields[name](value[name])) for name in names)
        return STRUCT + len(names).to_bytes(8, "big") + b"".join(parts)

    return encode


def _temporal(kind: Any) -> Encoder:
    """A time as its integer; inside lists and structs Python gives objects, which are brought back to the same integer."""
    import pyarrow as pa

    width = pa.int32() if kind.bit_width == 32 else pa.int64()

    def encode(value: Any) -> bytes:
        return _integer(value if isinstance(value, int) else pa.scalar(value, kind).cast(width).as_py())

    return encode


def _integer(value: int) -> bytes:
    return INT + _text(str(value))


def _sized(data: bytes) -> bytes:
    return len(data).to_bytes(8, "big") + data


def _text(value: str) -> bytes:
    return _sized(value.encode())


def _type_name(kind: Any, where: str) -> str:
    """The type's name with storage details left out: a store may hand ``string`` back for ``large_string``."""
    from pyarrow import types

    if types.is_dictionary(kind):
        return _type_name(kind.value_type, where)
    if types.is_large_string(kind) or types.is_string_view(kind):
        return "string"
    if types.is_large_binary(kind) or types.is_binary_view(kind):
        return "binary"
    if types.is_list(kind) or types.is_large_list(kind):
        return f"list<{_type_name(kind.value_type, where)}>"
    if types.is_struct(kind):
        parts = sorted(f"{kind.field(i).name}: {_type_name(kind.field(i).type, where)}" for i in range(kind.num_fields))
        return f"struct<{', '.join(parts)}>"
    return str(kind)
