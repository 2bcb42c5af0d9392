"""The subject keys of a dataset as options: words in, the body of the request out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from governance.cli.exits import Usage

__all__ = ["keys_given"]


def keys_given(
    *,
    subject: Sequence[str] | None,
    about: Sequence[str],
    region: Sequence[str],
    shared_rows: str | None,
    ground: str | None,
    subject_key: str | None,
    subject_type: str | None,
) -> dict[str, Any]:
    """``{"subject_keys": [...], "shared_rows": {...}}``; ``--about`` and ``--region`` name a key by its first column.

    Raises:
        Usage: words that are no such option, a column that no key begins with, keys given in both ways.
    """
    if subject_key or subject_type or not subject:
        raise Usage(
            "keys are given by --subject alone, or by --subject-key and --subject-type", hint="--subject TYPE=COLUMN, once for each person"
        )
    keys: dict[str, dict[str, Any]] = {}
    for one in subject:
        kind, columns = _pair("--subject", one, "TYPE=COLUMN")
        if columns[0] in keys:
            raise Usage(f"two keys begin with the column {columns[0]}", hint="name each key's columns in another order")
        keys[columns[0]] = {"type": kind, "columns": columns}
    for one in about:
        column, others = _pair("--about", one, "COLUMN=COLUMN")
        _of(keys, column).setdefault("about", []).extend(others)
    for one in region:
        column, (code, *more) = _pair("--region", one, "COLUMN=REGION")
        if more:
            raise Usage(f"--region {one}: one region for each column", hint="--region mobile=DE")
        _of(keys, column)["region"] = code
    rule = {} if shared_rows is None and ground is None else {"shared_rows": _without_none(rule=shared_rows, ground=ground)}
    return {"subject_keys": list(keys.values()), **rule}


def _pair(option: str, given: str, shape: str) -> tuple[str, list[str]]:
    name, equals, rest = given.partition("=")
    values = [value.strip() for value in rest.split(",")]
    if not name.strip() or not equals or not all(values):
        raise Usage(f"{option} {given}: expected {shape}", hint=f"{option} {shape}[,…]")
    return name.strip(), values


def _of(keys: dict[str, dict[str, Any]], column: str) -> dict[str, Any]:
    if column not in keys:
        raise Usage(f"no subject key begins with the column {column}", hint=f"the keys begin with {', '.join(keys)}")
    return keys[column]


def _without_none(**given: str | None) -> dict[str, str]:
    return {name: value for name, value in given.items() if value is not None}
