"""Alembic migrations of the ledger's database; run by :mod:`lineage.adapters.sql_ledger_schema`."""
