"""The ledger's first schema: entries, tree nodes, checkpoints, control records."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_INDEX = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Create the four tables, and on PostgreSQL what it needs besides."""
    op.create_table(
        "entries",
        sa.Column("idx", _INDEX, primary_key=True, autoincrement=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("recorded_at", sa.BigInteger, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("identity", sa.Text, nullable=True),
        sa.Column("leaf", sa.LargeBinary, nullable=False),
        sa.Column("salt", sa.LargeBinary, nullable=True),
        sa.Column("payload", sa.LargeBinary, nullable=True),
    )
    op.create_index("entries_identity", "entries", ["identity"], unique=True)
    op.create_index("entries_kind", "entries", ["kind", "idx"])
    op.create_table(
        "nodes",
        sa.Column("level", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("position", _INDEX, primary_key=True, autoincrement=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "checkpoints",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("root", sa.LargeBinary, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
    )
    op.create_table(
        "records",
        sa.Column("kind", _NAME, primary_key=True),
        sa.Column("ident", _NAME, primary_key=True),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    if op.get_context().dialect.name == "postgresql":
        op.create_table("log", sa.Column("origin", sa.Text, primary_key=True), sa.Column("emptied", sa.BigInteger, nullable=True))
        for table, column in (("entries", "payload"), ("entries", "salt"), ("records", "body")):
            # or ANALYZE copies samples of what may have to be destroyed into the statistics
            op.execute(sa.text(f"ALTER TABLE {table} ALTER COLUMN {column} SET STATISTICS 0"))
