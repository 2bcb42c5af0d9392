"""The files of a Delta transaction log, decoded for what may name a person (Delta protocol, "Actions", "Checkpoints").

A commit is one JSON object a line, a checkpoint a Parquet table with one column an action. Three places can hold a value of a
row: the condition of a deletion (``commitInfo``), the statistics of a file (``add.stats``), its partition values.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lineage.datasets import ROW_ID

__all__ = ["LOG", "log_version", "read_log_file"]

LOG = "_delta_log"

_NAME = re.compile(r"(\d{20})\.(json|checkpoint\.parquet)")
_OWN_CONDITION = re.compile(rf'(?:"?{ROW_ID}"?|[0-9]+|\bIN\b|\bOR\b|[=(), ])+')
"""A condition on row ids alone, however the library words it: ``= 2``, ``IN (2, 3)``, ``= 2 OR … = 3``."""
_STATISTICS = ("minValues", "maxValues")


def log_version(name: str) -> int | None:
    """The version that a log file belongs to; ``None`` for a file of no known kind."""
    match = _NAME.fullmatch(name)
    return int(match[1]) if match else None


def read_log_file(name: str, content: bytes) -> str | None:
    """Decode one file of the log, named without its folder; what is wrong with it in words, ``None`` when it can name nobody."""
    if name == "_last_checkpoint":
        return _spoken(_json, content)
    if log_version(name) is None:
        return "is of no known kind and was not scanned"
    return _spoken(_checkpoint if name.endswith(".parquet") else _commit, content)


def _spoken(read: Callable[[bytes], Iterator[str]], content: bytes) -> str | None:
    try:
        return next(read(content), None)
    except (ValueError, TypeError, AttributeError, KeyError, pa.ArrowException) as error:
        return f"cannot be decoded: {error!r}"


def _json(content: bytes) -> Iterator[str]:
    json.loads(content)
    return iter(())


def _commit(content: bytes) -> Iterator[str]:
    for line in content.decode().splitlines():
        for kind, action in json.loads(line).items():
            yield from _action(kind, action)


def _checkpoint(content: bytes) -> Iterator[str]:
    table = pq.ParquetFile(pa.BufferReader(content)).read()
    for kind in table.column_names:
        for action in table.column(kind).to_pylist():
            if action is not None:
                yield from _action(kind, action)


def _action(kind: str, action: Any) -> Iterator[str]:
    if kind == "commitInfo":
        for name, value in (action.get("operationParameters") or {}).items():
            if "predicate" in name.lower() and str(value) not in {"None", "", "[]"} and not _OWN_CONDITION.fullmatch(str(value)):
                yield "keeps a condition on values, which may name a person"
    if kind in {"add", "remove"}:
        partition = dict(action.get("partitionValues") or {})
        if partition:
            yield f"keeps values of the partition column {next(iter(partition))!r}"
        stats = action.get("stats")
        parsed = json.loads(stats) if isinstance(stats, str) and stats else action.get("stats_parsed") or {}
        others = sorted({name for part in _STATISTICS for name in parsed.get(part) or {}} - {ROW_ID})
        if others:
            yield f"keeps the least and largest value of column {others[0]!r}"
    if kind == "cdc":
        yield "lists change data, a copy of changed rows"
