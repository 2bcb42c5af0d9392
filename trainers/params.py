"""Hyperparameters by digest: SHA-256 over their RFC 8785 canonical JSON."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import rfc8785

from lineage.errors import BadInput

__all__ = ["canonical", "params_digest"]


def canonical(value: Any) -> bytes:
    """The JSON value as RFC 8785 canonical bytes; :class:`BadInput` for what JSON cannot say (NaN, integers beyond 2**53).

    >>> canonical({"b": 1.0, "a": [True, None]})
    b'{"a":[true,null],"b":1}'
    """
    try:
        data: bytes = rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, TypeError, RecursionError) as error:
        raise BadInput(f"not a JSON value that can be canonicalised (RFC 8785): {type(error).__name__}") from None
    return data


def params_digest(params: Mapping[str, Any]) -> str:
    """``sha256:<hex>`` of the parameters, whatever the order of their keys.

    >>> params_digest({"lr": 0.1, "epochs": 5}) == params_digest({"epochs": 5, "lr": 0.1})
    True
    """
    return "sha256:" + hashlib.sha256(canonical(dict(params))).hexdigest()
