"""The migrations make the tables that the code uses, and are not imported when nothing is to migrate."""

from __future__ import annotations

import subprocess
import sys

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from lineage.adapters import sql_ledger_schema as schema

OPEN = """
import sys
from pathlib import Path
from lineage.adapters.sql_ledger import SqlLedger
class Unused: ...
SqlLedger(Path(sys.argv[1]), keys=Unused(), origin="o", clock=Unused()).close()
print("alembic" in sys.modules)
"""


def test_the_migrated_tables_are_those_of_the_code(open_ledger, tmp_path):
    open_ledger().close()
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'ledger.db'}")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), schema.metadata) == []
    engine.dispose()


def test_a_current_file_opens_without_alembic(tmp_path):
    def opened() -> str:
        run = subprocess.run([sys.executable, "-c", OPEN, str(tmp_path / "l.db")], capture_output=True, text=True, check=True)
        return run.stdout.strip()

    assert opened() == "True"
    assert opened() == "False"
