"""The ledger's tables, and which version of them a file has.

The tables are made by the Alembic migrations beside this file; Alembic is imported only when there is something to migrate.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

import sqlalchemy as sa

from lineage.adapters.sql_ledger_file import HEAD, schema_version, suits

if TYPE_CHECKING:
    import sqlite3

__all__ = ["HEAD", "checkpoints", "entries", "metadata", "nodes", "prepare", "records", "upgrade"]

metadata = sa.MetaData()

entries = sa.Table(
    "entries",
    metadata,
    sa.Column("idx", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("recorded_at", sa.BigInteger, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("identity", sa.Text, nullable=True),
    sa.Column("leaf", sa.LargeBinary, nullable=False),
    sa.Column("salt", sa.LargeBinary, nullable=True),
    sa.Column("payload", sa.LargeBinary, nullable=True),
    sa.Index("entries_identity", "identity", unique=True),
    sa.Index("entries_kind", "kind", "idx"),
)
"""One row per entry; salt and payload become NULL once destroyed. The leaf stands first, to be read without the payload's pages."""

nodes = sa.Table(
    "nodes",
    metadata,
    sa.Column("level", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("position", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=False),
    sa.Column("hash", sa.LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)
"""Hashes of complete subtrees, level ≥ 1; level 0 is hashed from ``entries.leaf``."""

checkpoints = sa.Table(
    "checkpoints",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("root", sa.LargeBinary, nullable=False),
    sa.Column("note", sa.Text, nullable=False),
)

records = sa.Table(
    "records",
    metadata,
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("ident", sa.Text, primary_key=True),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("revision", sa.BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
"""Control records, a fold over the entries; ``revision`` is 1 + the index of the entry that last changed the record."""


def prepare(engine: sa.Engine, path: Path) -> None:
    """Make the tables in a new file; refuse a file whose tables are older or newer than this code's.

    Raises:
        StoreUnavailable: the file is not a ledger, or of another schema version.
    """
    with engine.connect() as connection:
        version = schema_version(cast("sqlite3.Connection", connection.connection.dbapi_connection), path)
    if version is None:
        upgrade(engine)
    else:
        suits(version, path)


def upgrade(engine: sa.Engine) -> None:
    """Bring the tables to :data:`HEAD`, all migrations in one transaction."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
