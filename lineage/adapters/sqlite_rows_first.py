"""Brings over what a row index of the first schema held: one row for each posting, a compressed bitmap for each version."""

from __future__ import annotations

import zlib
from collections import defaultdict

import numpy as np
import sqlalchemy as sa

from lineage.adapters.sql_rows_write import Writer
from lineage.model import StatedRow
from lineage.rows.stated import gathered

__all__ = ["bring_over"]

_CHUNK_BITS = 16


def bring_over(connection: sa.Connection) -> None:
    """State every version anew from the old tables and drop these, inside the caller's transaction."""
    writer = Writer(connection)
    for number, name in connection.exec_driver_sql("SELECT id, name FROM dataset ORDER BY id").all():
        people: dict[int, list[str]] = defaultdict(list)
        asked = "SELECT p.row, s.ref FROM posting p JOIN subject s ON s.id=p.subject WHERE p.dataset=?"
        for row, ref in connection.exec_driver_sql(asked, (number,)):
            people[row].append(ref.hex())
        asked = "SELECT id, name FROM version WHERE dataset=? ORDER BY id"
        for version, called in connection.exec_driver_sql(asked, (number,)).all():
            stated: list[StatedRow] = []
            for chunk, bits in connection.exec_driver_sql("SELECT chunk, bits FROM member WHERE version=?", (version,)):
                held = np.unpackbits(np.frombuffer(zlib.decompress(bits), dtype=np.uint8)).nonzero()[0]
                for row in ((chunk << _CHUNK_BITS) + held).tolist():
                    stated += [(ref, row) for ref in people.get(row, ("",))]
            writer.replace(name, called, gathered(stated))
    for table in ("member", "posting", "subject", "version", "dataset"):
        connection.exec_driver_sql(f"DROP TABLE {table}")
