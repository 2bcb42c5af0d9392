"""Appends to a ledger from several threads until it is killed or the disk is full, and prints every acknowledged entry.

Run as ``ledger_appender.py LEDGER THREADS``, where the ledger is a file or the address of a PostgreSQL; the keys and the reducer are those
of the tests.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import threading
from pathlib import Path

from lineage.adapters.sql_ledger import SqlLedger
from lineage.errors import GovernError
from lineage.model import NewEntry, RecordChange


def fakes():
    spec = importlib.util.spec_from_file_location("test_fakes", Path(__file__).parents[1] / "conftest.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def counting(entry, read):
    yield RecordChange(kind="count", ident="appended", body=(read("count", "appended") or 0) + 1)


def place(where: str):
    if "://" not in where:
        return Path(where)
    from lineage.adapters.sql_ledger_postgres import PostgresPlace

    return PostgresPlace(where, origin="govern.test/log")


def main(where: str, threads: int) -> None:
    support = fakes()
    ledger = SqlLedger(place(where), keys=support.MemoryKeys(), origin="govern.test/log", clock=support.TickingClock(), reducer=counting)
    printing = threading.Lock()

    def run(thread: int) -> None:
        number = 0
        while True:
            identity = f"{os.getpid()}.{thread}.{number}"
            try:
                entry = ledger.append([NewEntry(kind="test.noted", payload=os.urandom(200), actor="key:test", identity=identity)])[0]
                if number % 10 == 9:
                    ledger.checkpoint()
            except GovernError as error:
                sys.stderr.write(f"{type(error).__name__}: {error}\n")
                sys.stderr.flush()
                os._exit(1)
            with printing:
                sys.stdout.write(f"{entry.index} {identity}\n")
                sys.stdout.flush()
            number += 1

    for thread in range(threads):
        threading.Thread(target=run, args=(thread,)).start()


main(sys.argv[1], int(sys.argv[2]))
