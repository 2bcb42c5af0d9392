"""Open Inference Protocol v2 tensors ↔ Arrow tables of raw named features. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lineage.errors import BadInput

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["outputs_of", "table_of"]


def table_of(request: Mapping[str, Any], features: Sequence[str]) -> pa.Table:
    """One row per element of the request's tensors, columns in the order of ``features``.

    Raises:
        BadInput: a feature is missing, or tensors differ in length; the message names features, never values.
    """
    import pyarrow as pa

    types = {
        "BYTES": pa.string(), "FP64": pa.float64(), "FP32": pa.float32(), "INT64": pa.int64(), "INT32": pa.int32(), "BOOL": pa.bool_(),
    }  # fmt: skip
    given = {tensor["name"]: tensor for tensor in request["inputs"]}
    missing = [name for name in features if name not in given]
    if missing:
        raise BadInput(f"the request lacks the feature(s) {', '.join(missing)}", hint="GET /v2/models/{name} lists the inputs")
    lengths = {len(tensor["data"]) for tensor in given.values()}
    if len(lengths) != 1:
        raise BadInput("the input tensors have different lengths", hint="send one element per row in each tensor")
    columns = {}
    for name in features:
        tensor = given[name]
        try:
            kind = types[tensor["datatype"]]
            if pa.types.is_integer(kind) and any(isinstance(value, float) for value in tensor["data"]):
                raise TypeError("a fraction")  # noqa: TRY301 - pyarrow would cut it off silently
            columns[name] = pa.array(tensor["data"], kind)
        except (KeyError, OverflowError, TypeError, pa.ArrowInvalid) as error:
            raise BadInput(
                f"the data of input {name!r} is not {tensor.get('datatype')!r}", hint="GET /v2/models/{name} lists the datatypes"
            ) from error
    return pa.table(columns)


def outputs_of(labels: Sequence[Any], scores: Sequence[Sequence[float]], classes: Sequence[Any]) -> list[dict[str, Any]]:
    """The answer's tensors: ``label`` per row, and ``scores`` per row and class (class names in its parameters)."""
    text = all(isinstance(label, str) for label in labels)
    return [
        {"name": "label", "datatype": "BYTES" if text else "INT64", "shape": [len(labels)], "data": list(labels)},
        {
            "name": "scores",
            "datatype": "FP64",
            "shape": [len(labels), len(classes)],
            "parameters": {"classes": ",".join(str(name) for name in classes)},
            "data": [float(score) for row in scores for score in row],
        },
    ]
