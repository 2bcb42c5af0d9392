"""Arrow types as Delta Lake holds them (Delta protocol, "Primitive Types"): what it lacks is widened where no value changes."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from pyarrow import types

from lineage.errors import BadInput

__all__ = ["delta_schema"]


def delta_schema(schema: pa.Schema, dataset: str) -> pa.Schema:
    """The schema in Delta's types, without metadata; raises ``BadInput`` for a type that has no counterpart."""
    return pa.schema([pa.field(field.name, _held(field.type, dataset, field.name)) for field in schema])


def _held(kind: Any, dataset: str, where: str) -> Any:
    if types.is_unsigned_integer(kind):
        return {8: pa.int16(), 16: pa.int32(), 32: pa.int64(), 64: pa.int64()}[kind.bit_width]
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return pa.string()
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind) or types.is_binary_view(kind):
        return pa.binary()
    if types.is_timestamp(kind):
        return pa.timestamp("us", tz="UTC" if kind.tz else None)
    if types.is_date(kind):
        return pa.date32()
    if types.is_float16(kind):
        return pa.float32()
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return pa.list_(_held(kind.value_type, dataset, f"{where}[]"))
    if types.is_struct(kind):
        fields = [kind.field(number) for number in range(kind.num_fields)]
        return pa.struct([pa.field(f.name, _held(f.type, dataset, f"{where}.{f.name}")) for f in fields])
    if types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind) or types.is_decimal128(kind):
        return kind
    raise BadInput(f"{dataset}: Delta Lake has no type for column {where} ({kind})", hint="cast the column, e.g. to int64 or string")
