"""Fakes that implement the production ports and keep their rules, for every test that needs a clock, keys or a ledger."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from lineage.errors import NotFound
from tests.support.kafka import follow, kafka, new_topic
from tests.support.ledger_stores import _postgres_database, ledger_store, postgres_ledger
from tests.support.neo4j import neo4j_place, open_neo4j
from tests.support.postgres import postgres_server, postgres_uri
from tests.support.row_indexes import rows_index
from tests.support.s3 import s3, s3_server
from tests.support.schedule import ByServer
from tests.support.schedule import place as shared
from trainers.spare import Spare

__all__ = [
    "_postgres_database", "follow", "kafka", "ledger_store", "neo4j_place", "new_topic", "open_neo4j", "postgres_ledger", "postgres_server",
    "postgres_uri", "rows_index", "s3", "s3_server",
]  # fmt: skip

settings.register_profile("commit", derandomize=True)
"""The same examples for the same code, so that a commit passes or fails for what it is; ``make test-all`` looks for new ones."""


class TickingClock:
    """A clock that moves one microsecond at every look, and can be set."""

    def __init__(self, start: int = 1_700_000_000_000_000_000) -> None:
        self.at = start

    def now(self) -> int:
        self.at += 1000
        return self.at


class MemoryKeys:
    """Keys derived from their names: the same in every run, and gone with the process."""

    def __init__(self) -> None:
        self._destroyed: set[str] = set()
        self._epochs = ["epoch-1"]

    def _private(self, name: str) -> bytes:
        if name in self._destroyed:
            raise NotFound(f"no key {name!r}")
        return hashlib.sha256(f"test key {name}".encode()).digest()

    def sign_ed25519(self, name: str, message: bytes) -> bytes:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return Ed25519PrivateKey.from_private_bytes(self._private(name)).sign(message)

    def public_ed25519(self, name: str) -> bytes:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return Ed25519PrivateKey.from_private_bytes(self._private(name)).public_key().public_bytes_raw()

    def hmac(self, name: str, message: bytes) -> bytes:
        return hmac.new(self._private(name), message, hashlib.sha256).digest()

    def hmacs(self, name: str, messages: Iterable[bytes]) -> list[bytes]:
        return [self.hmac(name, message) for message in messages]

    def secret(self, name: str) -> bytes:
        return self._private(name)

    def living(self, prefix: str) -> list[str]:
        names = [*reversed(self._epochs), "checkpoint", "evidence", "rowset", "suppression"]
        return [name for name in names if name.startswith(prefix) and name not in self._destroyed]

    def canonicalisation(self, name: str) -> int:
        from lineage.rows import RULES

        return RULES

    def rotate(self, family: str = "epoch", *, to: str | None = None) -> str:
        if to is None or to not in self._epochs:
            self._epochs.append(f"{family}-{len(self._epochs) + 1}")
        return self._epochs[-1]

    def destroy(self, name: str) -> None:
        self._destroyed.add(name)


@pytest.fixture
def ticking_clock() -> TickingClock:
    return TickingClock()


@pytest.fixture
def memory_keys() -> MemoryKeys:
    return MemoryKeys()


@pytest.fixture
def open_ledger(tmp_path: Path, memory_keys: MemoryKeys, ticking_clock: TickingClock) -> Iterator[Callable]:
    """Opens ledgers (``open_ledger(path=None, **options)``) and closes them after the test."""
    from lineage.adapters.sql_ledger import SqlLedger

    opened = []

    def open_one(path: Path | None = None, **options):
        options = {"keys": memory_keys, "origin": "govern.test/log", "clock": ticking_clock} | options
        ledger = SqlLedger(path or tmp_path / "ledger.db", **options)
        opened.append(ledger)
        return ledger

    yield open_one
    for ledger in opened:
        ledger.close()


_LONGEST_FIRST = ("tests/crash/test_crash_erasure", "tests/e2e/", "tests/integration/", "tests/crash/", "tests/unit/test_trainers")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long tests begin first, so that two processes end together; among themselves the random order stays."""

    def place(item: pytest.Item) -> int:
        return next((rank for rank, prefix in enumerate(_LONGEST_FIRST) if item.nodeid.startswith(prefix)), len(_LONGEST_FIRST))

    items.sort(key=place)
    servers = (("neo4j_place", "neo4j"), ("kafka", "kafka"), ("postgres_server", "postgres"))
    strangers = [
        f"{item.nodeid} starts a {server}"
        for item in items
        for fixture, server in servers
        if fixture in getattr(item, "fixturenames", ()) and shared(item.nodeid) != server
    ]
    if strangers:  # in a process of their own they would start a second one (schedule.py)
        raise pytest.UsageError("these names must say so: " + "; ".join(strangers))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Tests that share a server run in one process, which starts one."""
    return ByServer(config, log)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Which Neo4j the tests ran on, and how many did."""
    reports = [report for found in terminalreporter.stats.values() for report in found if getattr(report, "when", "") == "call"]
    ran = [(dict(report.user_properties).get("neo4j"), report.nodeid) for report in reports]
    for server in sorted({name for name, _ in ran if name}):
        nodes = [node for name, node in ran if name == server]
        contract = sum("tests/contract/" in node for node in nodes)
        terminalreporter.write_line(f"dbms.components(): {server}; {len(nodes)} tests ran on it, {contract} of them contract cases")


@pytest.fixture(scope="session")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Spare]:
    """Processes for trainings and runners, forked from one that has torch imported, as a home has them."""
    spare = Spare(tmp_path_factory.mktemp("warm"))
    yield spare
    spare.close()
