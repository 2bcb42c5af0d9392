"""An exported CSV file as a versioned dataset: one line one row, its columns readable, so that a person is found by a column.

The promises are a landing file's (:mod:`lineage.adapters.lines_dataset`): the line's number is the row id, a purge empties the
line, digests are kept and never copies. The first line names the columns and is no row. Values are text, as they stand there.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

import pyarrow as pa

from lineage.adapters.lines_dataset import LinesDataset
from lineage.datasets import ROW_ID
from lineage.errors import BadInput
from lineage.model import DatasetVersionInfo

__all__ = ["CsvDataset"]


class CsvDataset(LinesDataset):
    """A dataset of kind ``csv`` (port :class:`lineage.ports.VersionedDataset`); RFC 4180 without line breaks in values."""

    def write(self, table: pa.Table, *, mode: str = "append", key: str | None = None) -> DatasetVersionInfo:
        """Append the table's rows as lines, in the file's order of columns.

        Raises:
            BadInput: another mode, a key, other columns than the file's, a value with a line break.
        """
        with self._lock:
            header = self._header()
            if set(table.column_names) != set(header):
                raise BadInput(f"{self.name}: the file has the columns {', '.join(header)}, the table {', '.join(table.column_names)}")
            text = [["" if value is None else str(value) for value in table.column(name).to_pylist()] for name in header]
            lines = [_line(row) for row in zip(*text, strict=True)]
            return super().write(pa.table({"line": pa.array(lines, pa.string())}), mode=mode, key=key)

    def _table(self) -> pa.Table:
        """Number and values of every line that holds text, the first left out."""
        lines = super()._table()
        header = self._header()
        numbers: list[int] = []
        rows: list[Sequence[str]] = []
        for number, line in zip(lines.column(0).to_pylist(), lines.column(1).to_pylist(), strict=True):
            if number > 1:
                values = self._fields(line, number)
                if len(values) != len(header):
                    raise BadInput(
                        f"{self.name}: line {number} of {self._path.name} has {len(values)} values for {len(header)} columns",
                        hint="repair the line; a value must not hold a line break",
                    )
                numbers.append(number)
                rows.append(values)
        columns = list(zip(*rows, strict=True)) or [()] * len(header)
        given = {name: pa.array(column, pa.string()) for name, column in zip(header, columns, strict=True)}
        return pa.table({ROW_ID: pa.array(numbers, pa.int64()), **given})

    def _header(self) -> list[str]:
        first = self._bytes().split(b"\n", 1)[0].removesuffix(b"\r").removeprefix(b"\xef\xbb\xbf").decode(errors="replace")
        names = self._fields(first, 1)
        if not first.strip() or len(set(names)) != len(names) or "" in names or ROW_ID in names:
            raise BadInput(
                f"{self.name}: the first line of {self._path.name} must name its columns, each once and none {ROW_ID}",
                hint=f"write a header line, or register the file with: govern dataset register {self.name} --kind lines",
            )
        return names

    def _fields(self, line: str, number: int) -> list[str]:
        try:
            return next(csv.reader([line], strict=True), [])
        except csv.Error as error:
            raise BadInput(
                f"{self.name}: line {number} of {self._path.name} is no CSV: {error}", hint="quote values, no line breaks in them"
            ) from error


def _line(values: Sequence[str]) -> str:
    sink = io.StringIO()
    csv.writer(sink, lineterminator="").writerow(values)
    return sink.getvalue()
