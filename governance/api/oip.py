"""Reading an Open Inference Protocol v2 request: shapes, datatypes, one batch size; pure.

The protocol (KServe, ``open-inference-protocol`` ``specification/protocol/inference_rest.md``) allows tensor data nested
or flat in row-major order; here it is always handed on flat.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

from lineage.errors import BadInput

__all__ = ["DATATYPES", "MAX_BATCH", "inference_request"]

MAX_BATCH: Final = 10_000


def _integer(bits: int) -> Callable[[Any], bool]:
    bound = 2 ** (bits - 1)
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and -bound <= value < bound


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


DATATYPES: Final[Mapping[str, Callable[[Any], bool]]] = {
    "BYTES": lambda value: isinstance(value, str),
    "FP64": _number,
    "FP32": _number,
    "INT64": _integer(64),
    "INT32": _integer(32),
    "BOOL": lambda value: isinstance(value, bool),
}
"""The datatypes that raw features come in, each with the test of one element."""

_REQUEST = {"id", "parameters", "inputs", "outputs"}
_TENSOR = {"name", "shape", "datatype", "parameters", "data"}


def inference_request(value: Mapping[str, Any]) -> dict[str, Any]:
    """The checked request with flat data.

    Raises:
        BadInput: names the input that is wrong; never what it holds.
    """
    _known(value, _REQUEST, "the request")
    if "id" in value and not isinstance(value["id"], str):
        raise BadInput("id must be a string")
    parameters = value.get("parameters", {})
    if not isinstance(parameters, dict):
        raise BadInput("parameters must be an object")
    _subject(parameters)
    inputs = value.get("inputs")
    if not isinstance(inputs, list) or not inputs:
        raise BadInput("inputs must be a list of at least one tensor", hint="GET /v2/models/NAME names the inputs")
    tensors = [_tensor(tensor, place) for place, tensor in enumerate(inputs)]
    names = [tensor["name"] for tensor in tensors]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise BadInput(f"input {twice[0]} is given twice")
    batches = {tensor["shape"][0] for tensor in tensors}
    if len(batches) > 1:
        raise BadInput(f"the inputs have different batch sizes: {', '.join(map(str, sorted(batches)))}")
    if "outputs" in value and not _outputs(value["outputs"]):
        raise BadInput("outputs must be a list of objects with a name")
    return {**value, "inputs": tensors}


def _known(value: Mapping[str, Any], names: set[str], where: str) -> None:
    unknown = sorted(set(value) - names)
    if unknown:
        raise BadInput(f"{where} has an unknown member {unknown[0][:80]}", hint=f"known: {', '.join(sorted(names))}")


def _subject(parameters: Mapping[str, Any]) -> None:
    subject = parameters.get("govern_subject")
    if subject is None:
        return
    kind, colon, person = subject.partition(":") if isinstance(subject, str) else ("", "", "")
    if not (kind and colon and person):
        raise BadInput('parameters.govern_subject must be "TYPE:VALUE"', hint='for example "applicant:17"')


def _tensor(tensor: Any, place: int) -> dict[str, Any]:
    if not isinstance(tensor, dict):
        raise BadInput(f"inputs[{place}] must be an object")
    name = tensor.get("name")
    if not isinstance(name, str) or not name:
        raise BadInput(f"inputs[{place}] has no name")
    where = f"input {name[:80]}"
    _known(tensor, _TENSOR, where)
    datatype = tensor.get("datatype")
    test = DATATYPES.get(datatype) if isinstance(datatype, str) else None
    if test is None:
        raise BadInput(f"{where} has no datatype that is read here", hint=f"one of {', '.join(DATATYPES)}")
    shape = tensor.get("shape")
    if not isinstance(shape, list) or not shape or not all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in shape):
        raise BadInput(f"{where}: shape must be a list of whole numbers, the batch first")
    if not 1 <= shape[0] <= MAX_BATCH:
        raise BadInput(f"{where}: the batch must have 1 to {MAX_BATCH} rows")
    if not isinstance(tensor.get("data"), list):
        raise BadInput(f"{where}: data must be a list")
    data = _flat(tensor["data"], where)
    if len(data) != math.prod(shape):
        raise BadInput(f"{where}: shape {shape} needs {math.prod(shape)} values, data has {len(data)}")
    wrong = next((index for index, element in enumerate(data) if not test(element)), None)
    if wrong is not None:
        raise BadInput(f"{where}: value {wrong} is not a {datatype}")
    return {**tensor, "data": data}


def _flat(data: list[Any], where: str, depth: int = 0) -> list[Any]:
    if depth > 8:
        raise BadInput(f"{where}: data is nested too deeply")
    if not any(isinstance(element, list) for element in data):
        return data
    if not all(isinstance(element, list) for element in data):
        raise BadInput(f"{where}: data mixes values and lists")
    return [value for part in data for value in _flat(part, where, depth + 1)]


def _outputs(outputs: Any) -> bool:
    return isinstance(outputs, list) and all(isinstance(output, dict) and isinstance(output.get("name"), str) for output in outputs)
