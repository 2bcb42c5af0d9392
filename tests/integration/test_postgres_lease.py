"""Who owns a home in a real PostgreSQL: one at a time, taken over when the owner is gone or frozen, and fenced from then on."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace

import psycopg
import pytest

from lineage.adapters import postgres_owner
from lineage.adapters.machine import ProcessName
from lineage.adapters.postgres_database import PostgresDatabase
from lineage.adapters.postgres_lease import PostgresLease
from lineage.adapters.sql_ledger import SqlLedger
from lineage.adapters.sql_ledger_postgres import PostgresPlace
from lineage.errors import StoreUnavailable
from lineage.ledger import fsck
from lineage.model import NewEntry
from tests.conftest import MemoryKeys, TickingClock

pytestmark = pytest.mark.integration

SECONDS = 1.5
ELSEWHERE = replace(ProcessName.own(), host="elsewhere", machine="another")
CHILD = """
import sys, time
from lineage.adapters.postgres_database import PostgresDatabase
from lineage.adapters.postgres_lease import PostgresLease
lease = PostgresLease(PostgresDatabase(sys.argv[1]), home="the home h", seconds=float(sys.argv[2]), lost=print)
lease.__enter__()
session = PostgresDatabase(sys.argv[1], fence=lease).open("")
print("owner", flush=True)
time.sleep(600)
"""


class Owners:
    """Leases on one database, each with what it was told."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.began = time.monotonic()
        self.lost: list[StoreUnavailable] = []
        self.seen: list[object] = []
        self.made: list[PostgresLease] = []

    def late(self) -> bool:
        return time.monotonic() > self.began + 30

    def lease(self, **more: object) -> PostgresLease:
        options = {"home": "the home h", "seconds": SECONDS, "lost": self.lost.append} | more
        self.made.append(PostgresLease(PostgresDatabase(self.uri), **options))  # type: ignore[arg-type]
        return self.made[-1]

    def waiting(self, lease: PostgresLease, *, stopped: Callable[[], bool] = lambda: False) -> threading.Thread:
        thread = threading.Thread(target=lease.wait, args=(self.seen.append,), kwargs={"stopped": stopped}, daemon=True)
        thread.start()
        self.until(lambda: bool(self.seen))
        assert self.look(postgres_owner.standing_by)
        return thread

    def look(self, what: Callable) -> object:
        with psycopg.connect(self.uri, autocommit=True) as db:
            return what(db)

    def until(self, holds: Callable[[], bool], seconds: float = 20.0) -> float:
        began = time.monotonic()
        while not holds():
            assert time.monotonic() < began + seconds
            time.sleep(0.02)
        return time.monotonic() - began

    def ledger(self, lease: PostgresLease | None) -> SqlLedger:
        place = PostgresPlace(self.uri, origin="govern.test/log", fence=lease)
        return SqlLedger(place, keys=MemoryKeys(), origin="govern.test/log", clock=TickingClock())


@pytest.fixture
def owners(postgres_uri: str) -> Iterator[Owners]:
    made = Owners(postgres_uri)
    yield made
    for lease in made.made:
        lease.__exit__(None, None, None)


def test_one_owner_at_a_time_and_the_next_one_after_it(owners: Owners) -> None:
    with owners.lease() as first:
        first.announce("http://127.0.0.1:5099")
        with pytest.raises(StoreUnavailable, match="the home h is owned by process") as caught, owners.lease(me=ELSEWHERE):
            pass
        assert "GOVERN_URL=http://127.0.0.1:5099" in str(caught.value.hint)
        token = first.token
    with owners.lease() as second:
        assert second.token > token
    assert not owners.lost
    with pytest.raises(StoreUnavailable, match="not held"):
        owners.lease().announce("http://x")


@pytest.fixture
def child(owners: Owners) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen([sys.executable, "-c", CHILD, owners.uri, str(SECONDS)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "owner\n"
        yield process
        process.kill()


def test_who_stands_by_owns_the_home_of_a_killed_process_at_once(owners: Owners, child: subprocess.Popen[str]) -> None:
    lease = owners.lease()
    thread = owners.waiting(lease)
    assert [owner.process.pid for owner in owners.seen] == [child.pid]  # type: ignore[attr-defined]
    child.send_signal(signal.SIGKILL)
    took = owners.until(lambda: not thread.is_alive())
    assert took < SECONDS, "the server gives the lock; no beat was waited for"
    assert lease.token == 2
    assert owners.look(postgres_owner.standing_by) == []
    assert owners.look(postgres_owner.owner).living  # type: ignore[attr-defined]


def test_a_frozen_owner_on_this_machine_is_ended_and_one_elsewhere_finds_itself_fenced(
    owners: Owners, child: subprocess.Popen[str]
) -> None:
    child.send_signal(signal.SIGSTOP)
    with pytest.raises(StoreUnavailable, match="is owned by"), owners.lease():
        pass  # only who stands by takes a home from a frozen owner
    lease = owners.lease()
    assert lease.wait(owners.seen.append, stopped=owners.late)
    assert child.wait(10) == -signal.SIGKILL


def test_an_owner_that_beats_keeps_the_home_however_long_somebody_waits(owners: Owners) -> None:
    with owners.lease() as owner:
        end = time.monotonic() + 2 * SECONDS
        assert not owners.lease(me=ELSEWHERE).wait(owners.seen.append, stopped=lambda: time.monotonic() > end)
        PostgresDatabase(owners.uri, fence=owner).open("").close()
    assert not owners.lost


def test_what_a_fenced_owner_had_begun_is_undone_and_nothing_more_is_let_in(owners: Owners) -> None:
    owner = owners.lease(seconds=SECONDS * 50)  # beats too seldom for who waits, as if it were frozen
    with owner, closing(owners.ledger(owner)) as ledger:
        ledger.append([NewEntry(kind="govern.test", actor="a", payload=b"{}")])
        held, go_on = threading.Event(), threading.Event()

        def long(tx) -> None:
            tx.append(NewEntry(kind="govern.test", actor="a", payload=b'{"late":1}'))
            tx.flush()
            held.set()
            go_on.wait(20)

        failed: list[BaseException] = []

        def act() -> None:
            try:
                ledger.transact(long)
            except BaseException as error:
                failed.append(error)

        thread = threading.Thread(target=act)
        thread.start()
        assert held.wait(20)
        other = owners.lease(me=ELSEWHERE, ends_frozen=False)
        assert other.wait(owners.seen.append, stopped=owners.late)
        go_on.set()
        thread.join(20)
        assert isinstance(failed[0], StoreUnavailable)
        with pytest.raises(StoreUnavailable, match=r"taken over by process \d+ on elsewhere"):
            ledger.append([NewEntry(kind="govern.test", actor="a", payload=b'{"later":1}')])
        with pytest.raises(StoreUnavailable, match="taken over"):
            PostgresDatabase(owners.uri, fence=owner).open("")
        assert len(owners.lost) == 1, "told once"
        with closing(owners.ledger(other)) as theirs:
            assert theirs.size() == 1
            theirs.append([NewEntry(kind="govern.test", actor="b", payload=b'{"mine":1}')])
            assert fsck(theirs).ok


def test_a_transaction_asks_even_where_its_session_was_not_ended(owners: Owners, monkeypatch: pytest.MonkeyPatch) -> None:
    """The token in the transaction is a fence of its own: here nobody ends the sessions."""
    owner = owners.lease(seconds=SECONDS * 50)
    with owner, closing(owners.ledger(owner)) as ledger:
        ledger.append([NewEntry(kind="govern.test", actor="a", payload=b"{}")])
        with psycopg.connect(owners.uri) as db:
            db.execute("UPDATE govern_home.owner SET token = token + 1, pid = 7, host = 'elsewhere'")
        with pytest.raises(StoreUnavailable, match="taken over by process 7 on elsewhere"):
            ledger.append([NewEntry(kind="govern.test", actor="a", payload=b'{"late":1}')])
        assert ledger.size() == 1
    assert len(owners.lost) == 1


def test_an_owner_whose_session_was_ended_comes_back_when_nobody_took_the_home(owners: Owners) -> None:
    with owners.lease() as owner:
        token = owner.token
        with psycopg.connect(owners.uri, autocommit=True) as db:
            postgres_owner.end_sessions(db, token + 1, owner=True)
        owners.until(lambda: bool(owners.look(postgres_owner.owner).living))  # type: ignore[attr-defined]
        PostgresDatabase(owners.uri, fence=owner).open("").close()
        assert owner.token == token
    assert not owners.lost


def test_a_process_is_told_apart_from_a_later_one_of_the_same_number_and_from_one_elsewhere() -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as process:
        try:
            own = ProcessName.own()
            theirs = replace(own, pid=process.pid)  # its number, and not when it was started
            assert theirs.kill()
            assert not replace(theirs, machine="another").kill()
            assert not replace(theirs, machine="").kill()
            assert process.poll() is None
        finally:
            process.kill()


def test_sessions_of_every_owner_before_are_ended_not_of_the_last_one_alone(owners: Owners) -> None:
    """Who took the home from a frozen owner died before it had ended that one's sessions."""
    frozen = owners.lease(seconds=SECONDS * 50)
    with frozen:
        session = PostgresDatabase(owners.uri, fence=frozen).open("")
        with psycopg.connect(owners.uri, autocommit=True) as db:
            assert postgres_owner.raised(db, ELSEWHERE, frozen.token, None) == frozen.token + 1  # and then it died
        next_one = owners.lease(me=replace(ELSEWHERE, pid=8))
        assert next_one.wait(owners.seen.append, stopped=owners.late)
        with pytest.raises(psycopg.OperationalError):
            session.execute("SELECT 1")
        session.close()
