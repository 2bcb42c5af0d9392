"""The ledger's tables, the same on every database.

They are made by the Alembic migrations beside this file; Alembic is imported only when there is something to migrate.
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

__all__ = ["checkpoints", "entries", "log", "metadata", "migrate", "nodes", "of_postgres", "records"]

metadata = sa.MetaData()
of_postgres = sa.MetaData()
"""What only PostgreSQL has."""

_INDEX = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
"""Text that sorts by code point on both."""

entries = sa.Table(
    "entries",
    metadata,
    sa.Column("idx", _INDEX, primary_key=True, autoincrement=False),
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
    sa.Column("position", _INDEX, primary_key=True, autoincrement=False),
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
    sa.Column("kind", _NAME, primary_key=True),
    sa.Column("ident", _NAME, primary_key=True),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("revision", sa.BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
"""Control records, a fold over the entries; ``revision`` is 1 + the index of the entry that last changed the record."""


log = sa.Table(
    "log",
    of_postgres,
    sa.Column("origin", sa.Text, primary_key=True),
    sa.Column("emptied", sa.BigInteger, nullable=True),
)
"""One row: whose ledger it is, and the last entry that destroyed payloads whose bytes were then taken out of the files."""


def migrate(connection: sa.Connection) -> None:
    """Bring the tables to the newest version, all migrations in the connection's transaction."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
