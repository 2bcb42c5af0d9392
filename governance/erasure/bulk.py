"""Many requests at once: lines of JSON, a JSON array or CSV, each row judged by itself, nothing of the file kept.

A row is ``{"type": …, "value": …, "regulation": …, "ground": …, "key": …}``; ``regulation``, ``ground`` and ``key`` may be missing, and
``{"subject": {"type", "value"}, …}`` is read as well, as the single door takes it. CSV has these names in its first line. A row that
cannot be used is named by its line and a reason; neither ever repeats what the row held.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import IO, Any, Final, Protocol

from lineage.errors import BadInput, Conflict, GovernError
from lineage.ports import Clock
from lineage.rows import canonical_subject

__all__ = ["FORMATS", "MOST_ROWS", "Bulk", "Row", "lines_of", "rows_of"]

FORMATS: Final = ("ndjson", "json", "csv")
MOST_ROWS: Final = 10_000
"""Rows of one body; a longer list is sent in several."""
MOST_LINE: Final = 16 * 1024
"""Bytes of one row."""
_MOST_READ: Final = 4 * MOST_LINE

_FIELDS: Final = ("type", "value", "regulation", "ground", "key")
_TYPE: Final = re.compile(r"[a-z][a-z0-9_]{0,199}")
_KEY: Final = re.compile(r"[\x21-\x7e]{1,200}")
_MOST_GROUND: Final = 4000
_THREADS: Final = 8
"""Requests that are entered side by side, so that they share the ledger's commits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row as it was read: what it asks for, or why it cannot be used."""

    line: int
    """Where it begins: the line of the file from 1, or the place in a JSON array from 1."""
    body: Mapping[str, Any] | None = None
    fault: str = ""


class Door(Protocol):
    """The one door of the erasure service that is used here."""

    def request(self, body: Mapping[str, Any], *, actor: str, idempotency: str | None = None) -> dict[str, Any]: ...


def rows_of(lines: Iterable[bytes], form: str) -> Iterator[Row]:
    """The rows of a file, one after the other; of ``ndjson`` and ``csv`` only one is in memory at a time.

    Args:
        lines: the file's lines with their ends, from its beginning.
        form: one of :data:`FORMATS`.

    Raises:
        BadInput: no such form; a JSON body that is no array; a CSV without the columns ``type`` and ``value``.
    """
    if form == "ndjson":
        return _lines(lines)
    if form == "csv":
        return _csv(lines)
    if form == "json":
        return _array(b"".join(lines))
    raise BadInput(f"rows come as {', '.join(FORMATS)}, not as {form[:20]!r}", hint="--format csv")


def lines_of(source: IO[bytes]) -> Iterator[bytes]:
    """The lines of a file; of one that is far too long only its beginning, so that no line fills the memory."""
    while line := source.readline(_MOST_READ):
        yield line
        while len(line) == _MOST_READ and not line.endswith(b"\n"):
            line = source.readline(_MOST_READ)


def _lines(lines: Iterable[bytes]) -> Iterator[Row]:
    for number, raw in enumerate(lines, 1):
        if raw.strip():
            yield _parsed(number, raw.removeprefix(b"\xef\xbb\xbf") if number == 1 else raw)


def _array(raw: bytes) -> Iterator[Row]:
    try:
        listed = json.loads(raw)
    except (ValueError, RecursionError):
        raise BadInput("the body is not JSON", hint="send a JSON array of requests, or lines of JSON as application/x-ndjson") from None
    if not isinstance(listed, list):
        raise BadInput("the body is no JSON array of requests", hint="one request goes to POST /api/v1/erasure-requests")
    return (_checked(number, item) for number, item in enumerate(listed, 1))


def _parsed(number: int, raw: bytes) -> Row:
    if len(raw) > MOST_LINE:
        return Row(line=number, fault=f"the row is longer than {MOST_LINE} bytes")
    try:
        return _checked(number, json.loads(raw))
    except (ValueError, RecursionError):
        return Row(line=number, fault="the row is not JSON")


def _csv(lines: Iterable[bytes]) -> Iterator[Row]:
    texts = (raw.decode("utf-8", errors="surrogateescape") for raw in lines)
    first = next(texts, "").removeprefix("\ufeff")
    cut = ";" if ";" in first and "," not in first else ","
    names = [name.strip() for name in next(csv.reader([first], delimiter=cut), [])]
    strange = [number for number, name in enumerate(names, 1) if name not in _FIELDS]
    if strange or len(set(names)) < len(names) or not {"type", "value"} <= set(names):
        where = f" (column {strange[0]} is none of them)" if strange else ""
        raise BadInput(
            f"the first line of a CSV names its columns: type and value, perhaps {', '.join(_FIELDS[2:])}; each once{where}",
            hint="type,value,regulation,ground",
        )
    return _records(texts, names, cut)


def _records(texts: Iterator[str], names: list[str], cut: str) -> Iterator[Row]:
    reader = csv.reader(texts, delimiter=cut, strict=True)
    while True:
        number = reader.line_num + 2  # the header was line 1
        try:
            cells = next(reader, None)
        except csv.Error:
            yield Row(line=number, fault="the CSV cannot be read from here on: a quote is open or misplaced, or a cell is too long")
            return
        if cells is None:
            return
        if not cells:
            continue
        if len(cells) != len(names):
            yield Row(line=number, fault=f"the row has {len(cells)} cells, the header {len(names)}")
            continue
        yield _checked(number, {name: cell for name, cell in zip(names, cells, strict=True) if cell.strip()})


def _checked(line: int, item: object) -> Row:
    """A row with the body for the erasure service, and its key; or the fault, without what the row held."""
    if not isinstance(item, Mapping):
        return Row(line=line, fault="the row is no object")
    flat = dict(item)
    subject = flat.pop("subject", None)
    if isinstance(subject, Mapping) and set(subject) <= {"type", "value"} and not flat.keys() & {"type", "value"}:
        flat |= subject
    elif subject is not None:
        return Row(line=line, fault="subject must be {type, value}, without type and value beside it")
    if not set(flat) <= set(_FIELDS):
        return Row(line=line, fault=f"a field is unknown: a row has {', '.join(_FIELDS)}")
    flat = {name: value for name, value in flat.items() if value is not None}
    for name in ("type", "value"):
        if name not in flat:
            return Row(line=line, fault=f"{name} is missing")
    value = flat["value"]
    if isinstance(value, bool) or not isinstance(value, str | int):
        return Row(line=line, fault="value must be text or a whole number")
    for name in ("type", "regulation", "ground", "key"):
        if not isinstance(flat.get(name, ""), str):
            return Row(line=line, fault=f"{name} must be text")
    if not _TYPE.fullmatch(flat["type"]):
        return Row(line=line, fault="type must be a name like applicant: lower case letters, digits and _, a letter first")
    if "key" in flat and not _KEY.fullmatch(flat["key"]):
        return Row(line=line, fault="key must be 1 to 200 visible ASCII characters; never a person's identifier")
    if len(flat.get("ground", "")) > _MOST_GROUND:
        return Row(line=line, fault=f"ground is longer than {_MOST_GROUND} characters")
    try:
        canonical_subject(flat["type"], value)
    except BadInput as error:
        return Row(line=line, fault=error.message)
    return Row(line=line, body=flat)


class Bulk:
    """Enters rows through the door that single requests come by.

    Args:
        door: gives the erasure service.
        clock: tells a request that was there before from a new one.
        regulations: gives the laws whose clocks can run.
    """

    def __init__(self, door: Callable[[], Door], clock: Clock, *, regulations: Callable[[], Collection[str]]) -> None:
        self._door = door
        self._clock = clock
        self._regulations = regulations

    def take(
        self, lines: Iterable[bytes], form: str, *, actor: str, idempotency: str | None = None, dry_run: bool = False
    ) -> dict[str, Any]:
        """Enter every row that can be used; with ``dry_run`` only say what would be entered.

        Args:
            lines: the body's lines.
            form: one of :data:`FORMATS`.
            actor: who sends them.
            idempotency: with it, or with a row's own ``key``, the same row again is the same request.
            dry_run: nothing is entered.

        Returns:
            ``{dry_run, summary: {rows, entered, known, refused}, rows: [{line, status, id, reason}]}``; ``status`` is ``entered``,
            ``known`` (it was there), ``refused``, or ``usable`` in a dry run.

        Raises:
            BadInput: the body as a whole cannot be read, or has more than 10 000 rows; nothing is entered.
        """
        rows = []
        for row in rows_of(lines, form):
            rows.append(row)
            if len(rows) > MOST_ROWS:
                raise BadInput(
                    f"more than {MOST_ROWS} rows in one body: nothing was entered",
                    hint="send them in parts, or use govern erasure intake FILE",
                )
        laws = sorted(self._regulations())
        seen: dict[str, int] = {}
        rows = [self._twice(self._lawful(row, laws), seen) for row in rows]
        if dry_run:
            results = [self._said(row, "usable") for row in rows]
        else:
            with ThreadPoolExecutor(_THREADS, thread_name_prefix="govern-intake") as pool:
                results = list(pool.map(lambda row: self._enter(row, actor=actor, idempotency=idempotency), rows))
        counts = {name: sum(one["status"] == name for one in results) for name in ("entered", "known", "refused", "usable")}
        return {"dry_run": dry_run, "summary": {"rows": len(results), **counts}, "rows": results}

    @staticmethod
    def _lawful(row: Row, laws: list[str]) -> Row:
        if row.body is not None and row.body.get("regulation", laws[0]) not in laws:
            return Row(line=row.line, fault=f"regulation must be one of {', '.join(laws)}")
        return row

    @staticmethod
    def _twice(row: Row, seen: dict[str, int]) -> Row:
        """The same key on two rows would make them one request: the second is refused."""
        key = row.body.get("key") if row.body is not None else None
        if key is None:
            return row
        first = seen.setdefault(key, row.line)
        return row if first == row.line else Row(line=row.line, fault=f"its key is that of line {first}")

    def _enter(self, row: Row, *, actor: str, idempotency: str | None) -> dict[str, Any]:
        if row.body is None:
            return self._said(row, "refused")
        body = {"subject": {"type": row.body["type"], "value": row.body["value"]}}
        body |= {name: row.body[name] for name in ("regulation", "ground") if name in row.body}
        key = row.body.get("key")
        own = f"row:{key}" if key is not None else f"batch:{idempotency}:{row.line}" if idempotency is not None else None
        began = self._clock.now()
        try:
            answer = self._door().request(body, actor=actor, idempotency=own)
        except Conflict:
            return self._said(Row(line=row.line, fault="its key was used for another request"), "refused")
        except GovernError as error:
            return self._said(Row(line=row.line, fault=error.message), "refused")
        return self._said(row, "known" if answer["created_at"] < began else "entered", answer["id"])

    @staticmethod
    def _said(row: Row, status: str, ident: str | None = None) -> dict[str, Any]:
        return {"line": row.line, "status": "refused" if row.fault else status, "id": ident, "reason": row.fault or None}
