"""The state of a training between two steps, as bytes and back: what the user's objects say of themselves, and the random generators.

::

    8 bytes      length of the tree, little endian
    tree         JSON: the values, tensors by number
    safetensors  the tensors

Plain data, never a pickle: reading it runs no code. Equal states are equal bytes. Bytes also rule out a trap: ``load_state_dict`` of an
optimizer keeps the tensors it is given, so that a checkpoint held as tensors changes as soon as one goes on from it.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import safetensors.torch
import torch

from lineage.errors import Tampered
from trainers.errors import BadModule

__all__ = ["freeze", "packed_values", "thaw", "unpacked_values"]

_HEAD = 8


def freeze(keep: Mapping[str, Any]) -> bytes:
    """The state of the objects and of the generators of torch, numpy and random.

    Args:
        keep: name → object with ``state_dict`` and ``load_state_dict``: a module, an optimizer, a schedule.

    Raises:
        BadModule: an object has no such methods, or its state holds what is neither plain data nor a dense tensor.
    """
    for name, one in keep.items():
        if not (callable(getattr(one, "state_dict", None)) and callable(getattr(one, "load_state_dict", None))):
            raise BadModule(
                f"run.replay(…) cannot keep {name!r}: {type(one).__name__} has no state_dict() and load_state_dict()",
                hint="keep modules, optimizers and schedules; a figure of your own fits in a module's buffer",
            )
    return packed_values({"objects": {name: one.state_dict() for name, one in keep.items()}, "random": _generators()})


def thaw(data: bytes, keep: Mapping[str, Any]) -> None:
    """Put what :func:`freeze` wrote back into the objects and the generators.

    Raises:
        BadModule: these are other objects than those that were kept.
        Tampered: the bytes are not what :func:`freeze` writes.
    """
    value = unpacked_values(data)
    if sorted(value["objects"]) != sorted(keep):
        raise BadModule(f"the checkpoint keeps {sorted(value['objects'])}, run.replay(…) was given {sorted(keep)}")
    for name, one in keep.items():
        try:
            one.load_state_dict(value["objects"][name])
        except (RuntimeError, ValueError, KeyError) as error:
            raise BadModule(f"the checkpoint's {name!r} does not fit the object that was given ({type(error).__name__})") from None
    drawn = value["random"]
    torch.set_rng_state(drawn["torch"])
    np.random.set_state((*drawn["numpy"][:1], drawn["numpy"][1].numpy().astype(np.uint32), *drawn["numpy"][2:]))  # noqa: NPY002
    random.setstate(drawn["random"])


def _generators() -> dict[str, Any]:
    name, words, *rest = np.random.get_state(legacy=True)  # noqa: NPY002 - user code may draw from the global generator; it must repeat
    return {
        "torch": torch.get_rng_state(),
        "numpy": (str(name), torch.from_numpy(np.asarray(words, dtype=np.int64)), *rest),
        "random": random.getstate(),
    }


def packed_values(value: Any) -> bytes:
    """Plain data and dense tensors as bytes; :class:`BadModule` names the type of anything else.

    >>> unpacked_values(packed_values({"lr": 0.1, 0: (1, None), "x": torch.tensor([1.5])}))
    {'lr': 0.1, 0: (1, None), 'x': tensor([1.5000])}
    """
    tensors: dict[str, torch.Tensor] = {}
    tree = json.dumps(_told(value, tensors), ensure_ascii=True, separators=(",", ":")).encode()
    return len(tree).to_bytes(_HEAD, "little") + tree + safetensors.torch.save(tensors)


def unpacked_values(data: bytes) -> Any:
    """What :func:`packed_values` wrote, in tensors of its own; :class:`Tampered` for other bytes."""
    end = _HEAD + int.from_bytes(data[:_HEAD], "little")
    try:
        tensors = {name: one.clone() for name, one in safetensors.torch.load(data[end:]).items()}
        return _meant(json.loads(data[_HEAD:end]), tensors)
    except (ValueError, KeyError, TypeError, AttributeError, safetensors.SafetensorError) as error:
        raise Tampered(f"the state of a checkpoint cannot be read ({type(error).__name__})") from None


def _told(value: Any, tensors: dict[str, torch.Tensor]) -> Any:
    """JSON: itself for null, truth, integer and text; else a list of the kind and what it holds."""
    if value is None or isinstance(value, bool | str) or type(value) is int:
        return value
    if isinstance(value, float):
        return ["f", float(value).hex()]  # every bit, and also what JSON cannot say
    if isinstance(value, torch.Tensor) and value.layout == torch.strided and not value.is_quantized:
        name = str(len(tensors))
        tensors[name] = value.detach().cpu().contiguous().clone()
        return ["x", name]
    if isinstance(value, Mapping) and all(isinstance(key, str) or type(key) is int for key in value):
        return ["d", [[key, _told(one, tensors)] for key, one in value.items()]]
    if isinstance(value, list | tuple):
        return ["l" if isinstance(value, list) else "t", [_told(one, tensors) for one in value]]
    raise BadModule(
        f"the training's state holds {type(value).__name__}, which a checkpoint cannot keep",
        hint="state_dict() may hold numbers, texts, truth values, lists, dicts with text or integer keys, and dense tensors",
    )


def _meant(told: Any, tensors: Mapping[str, torch.Tensor]) -> Any:
    if not isinstance(told, list):
        return told
    kind, inner = told
    if kind == "f":
        return float.fromhex(inner)
    if kind == "x":
        return tensors[inner]
    if kind == "d":
        return {key: _meant(one, tensors) for key, one in inner}
    if kind == "l":
        return [_meant(one, tensors) for one in inner]
    if kind == "t":
        return tuple(_meant(one, tensors) for one in inner)
    raise ValueError(kind)
