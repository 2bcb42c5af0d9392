"""Several safetensors files as one, tensor names prefixed, and back: on the bytes alone, without torch.

The format (https://github.com/huggingface/safetensors, "Format"): 8 bytes little endian, the header's length; the header, a JSON object
name → {dtype, shape, data_offsets}, padded with spaces; then the tensors' bytes without a gap. We write it in one normal form, whatever
form came in: tensors by falling size of their elements, then by name (so that each lies aligned), no metadata.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, Final

from lineage.errors import Tampered

__all__ = ["joined", "normal", "separated"]

_HEAD: Final = 8
_Tensor = tuple[str, tuple[int, ...], bytes]
"""(dtype, shape, data)."""


def normal(data: bytes) -> bytes:
    """The same tensors in the normal form: equal tensors under equal names are equal bytes. Raises :class:`Tampered`."""
    return _written(_read(data))


def joined(parts: Mapping[str, bytes]) -> bytes:
    """One file with every tensor of every part under ``<part>/<name>``; no part's name holds a slash.

    >>> empty = (2).to_bytes(8, "little") + b"{}"
    >>> separated(joined({"a": empty}))
    {}
    """
    return _written({f"{part}/{name}": tensor for part, data in parts.items() for name, tensor in _read(data).items()})


def separated(data: bytes) -> dict[str, bytes]:
    """The parts of :func:`joined`, each in the normal form; a part without a tensor has left no trace. Raises :class:`Tampered`."""
    parts: dict[str, dict[str, _Tensor]] = {}
    for full, tensor in _read(data).items():
        part, _, name = full.partition("/")
        parts.setdefault(part, {})[name] = tensor
    return {part: _written(tensors) for part, tensors in parts.items()}


def _read(data: bytes) -> dict[str, _Tensor]:
    size = int.from_bytes(data[:_HEAD], "little")
    start = _HEAD + size
    tensors: dict[str, _Tensor] = {}
    if start > len(data):
        raise Tampered("the weights are cut off")
    try:
        header: dict[str, Any] = json.loads(data[_HEAD:start])
        for name, entry in header.items():
            if name != "__metadata__":
                low, high = entry["data_offsets"]
                if not 0 <= low <= high <= len(data) - start:
                    raise Tampered("the weights are cut off")
                tensors[name] = (str(entry["dtype"]), tuple(entry["shape"]), data[start + low : start + high])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Tampered(f"the weights are not in the safetensors format ({type(error).__name__})") from None
    return tensors


def _written(tensors: Mapping[str, _Tensor]) -> bytes:
    header: dict[str, Any] = {}
    body = bytearray()
    for name in sorted(tensors, key=lambda one: (-_element(tensors[one]), one)):
        dtype, shape, data = tensors[name]
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    head = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    head += b" " * (-len(head) % _HEAD)
    return len(head).to_bytes(_HEAD, "little") + head + bytes(body)


def _element(tensor: _Tensor) -> int:
    """Bytes of one element; 0 for an empty tensor."""
    _, shape, data = tensor
    count = math.prod(shape)
    return len(data) // count if count else 0
