"""Who owns a home whose ledger lies in a PostgreSQL: one process by a lease, fenced by a token that its sessions are held to.

1. **One.** The owner's lease is an advisory lock of its session, which the server gives back the moment that the process is gone, and a
   row that says who it is. Taking the home raises the row's ``token``.
2. **Alive.** The owner renews the row's ``beat`` every few seconds. Whoever stands by waits for the lock; a beat that is older than the
   lease says that the owner is frozen, though the server sees its session.
3. **Fenced.** Each session of an owner holds a lock of its token's name, and each of its ledger's transactions asks for the token. Who
   takes the home raises the token first, then ends every session that holds an older one's lock, and waits until none is left: what they
   had begun is undone, and no new one is let in. A frozen owner on the same machine is ended as well, for the sake of the home's files.
4. **Gone.** An owner that wakes finds another token, writes nothing, and ends itself.

Times are the server's, so that the clocks of two machines need not agree. (Gray and Cheriton, "Leases", SOSP 1989; Kleppmann, "How to do
distributed locking", 2016, for the token.)
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Self

import psycopg

from lineage.adapters import postgres_owner as rows
from lineage.adapters.machine import ProcessName
from lineage.adapters.postgres_database import PostgresDatabase
from lineage.adapters.postgres_owner import Owner
from lineage.errors import StoreUnavailable

__all__ = ["PostgresLease"]

_log = logging.getLogger(__name__)

_BEATS: Final = 5
"""So many in the time of a lease: four may be late."""
_LOOK: Final = 1.0
"""Seconds between two looks at the beat while standing by; that the owner is gone is told at once."""
_GOING: Final = 30.0
"""Seconds that the sessions of the owner before may take to end."""


class PostgresLease:
    """The right of one process to a home, and the fence of its sessions (:class:`lineage.adapters.postgres_database.Fence`).

    Args:
        database: where the ledger lies; itself without a fence.
        home: what the home is called in messages.
        seconds: without a beat after which the owner may be taken for frozen.
        lost: told once, in any thread, when the home was taken over; it should end the process.
        me: this process.
        ends_frozen: end a frozen owner that runs on this machine.
    """

    def __init__(
        self,
        database: PostgresDatabase,
        *,
        home: str,
        seconds: float,
        lost: Callable[[StoreUnavailable], None],
        me: ProcessName | None = None,
        ends_frozen: bool = True,
    ) -> None:
        self._database = database
        self._home = home
        self._seconds = seconds
        self._lost = lost
        self._me = me or ProcessName.own()
        self._ends_frozen = ends_frozen
        self._gate = threading.Lock()
        self._using = threading.Lock()
        self._closing = threading.Event()
        self._told = False
        self._db: psycopg.Connection[Any] | None = None
        self._thread: threading.Thread | None = None
        self._token: int | None = None

    # ── taking it ───────────────────────────────────────────────────────────────────────────────
    def __enter__(self) -> Self:
        """Own the home now.

        Raises:
            StoreUnavailable: another process does, or the server is away.
        """
        with self._database.explained():
            db = self._database.open("")
            try:
                rows.make(db)
                token = self._taken(db, patience=0.5)
                owner = rows.owner(db)
            except BaseException:
                db.close()
                raise
        if token is None:
            db.close()
            raise self._owned(owner)
        self._begin(db, token)
        return self

    def wait(self, seen: Callable[[Owner | None], None], *, stopped: Callable[[], bool]) -> bool:
        """Stand by until the home has no owner or a frozen one, and own it then; false when ``stopped`` said so before.

        Args:
            seen: told who owns it, at first and whenever that changes.
            stopped: asked every second.

        Raises:
            StoreUnavailable: the server refuses us. While it is merely away, it is waited for.
        """
        known: object = self
        seen_before = False
        while not stopped():
            try:
                with self._database.explained():
                    db = self._database.open("")
                    try:
                        rows.make(db)
                        rows.stand_by(db, f"{self._me.host}:{self._me.pid}")
                        while not stopped():
                            owner = rows.owner(db)
                            seen_before = True
                            if (owner and owner.token) != known:
                                known = owner and owner.token
                                seen(owner)
                            token = self._taken(db, patience=_LOOK) or self._deposed(db)
                            if token is not None:
                                rows.stand_by(db, None)
                                self._begin(db, token)
                                return True
                    except BaseException:
                        db.close()
                        raise
                    db.close()
            except StoreUnavailable as error:
                if not seen_before:
                    raise
                _log.warning("%s; tried again", error.message)  # the owner is cut off from it just as well
                time.sleep(_LOOK)
        return False

    def _taken(self, db: psycopg.Connection[Any], *, patience: float) -> int | None:
        """The token of this process when the home has no owner, waiting so many seconds for one that ends; else ``None``."""
        if not rows.locked(db, patience):
            return None
        before = rows.owner(db)
        token = rows.raised(db, self._me, before.token if before else 0, None)
        if token is not None:
            self._emptied(db, token)
        return self._confirmed(db, token)

    def _deposed(self, db: psycopg.Connection[Any]) -> int | None:
        """The token of this process when the owner is frozen: it was fenced, and ended where that can be done; else ``None``."""
        before = rows.owner(db)
        if before is None or not before.living or before.silent < self._seconds:
            return None
        token = rows.raised(db, self._me, before.token, self._seconds)
        if token is None:
            return None  # it beat in this very moment, or another one was quicker
        _log.warning("%s has not answered for %.0f s: %s is taken over from it", before, before.silent, self._home)
        if self._ends_frozen:
            before.process.kill()
        rows.end_sessions(db, token, owner=True)
        if not rows.locked(db, _GOING):
            return None
        self._emptied(db, token)
        return self._confirmed(db, token)

    def _emptied(self, db: psycopg.Connection[Any], token: int) -> None:
        """End every session of the owners before, and wait until the last one is gone."""
        end = time.monotonic() + _GOING
        while rows.end_sessions(db, token):
            if time.monotonic() > end:
                raise StoreUnavailable(
                    f"sessions of a process that owned {self._home} before do not end at {self._database.name}",
                    hint="end them there (pg_stat_activity), then try again",
                )
            time.sleep(0.02)

    def _confirmed(self, db: psycopg.Connection[Any], token: int | None) -> int | None:
        """The token, when it is still the owner's; else the owner's lock is given back."""
        now = rows.owner(db)
        if token is not None and now is not None and now.token == token:
            return token
        rows.release(db)
        return None

    def _owned(self, owner: Owner | None) -> StoreUnavailable:
        url = owner and owner.url
        hint = f"GOVERN_URL={url} govern …" if url else "use its URL as GOVERN_URL, or stop that process"
        if owner is not None and owner.silent > self._seconds:
            hint = f"it has not answered for {owner.silent:.0f} s; govern worker takes the home over from it"
        return StoreUnavailable(f"{self._home} is owned by {owner or 'another process'}", hint=hint)

    # ── having it ───────────────────────────────────────────────────────────────────────────────
    @property
    def token(self) -> int:
        """Of this process's ownership."""
        if self._token is None:
            raise StoreUnavailable(f"{self._home} is not held by this process")
        return self._token

    def enter(self, db: psycopg.Connection[Any]) -> None:
        """Let a session of this process in: it holds the token's lock from now on, so that it can be found and ended."""
        self.check(*rows.joined(db, self.token))

    def check(self, token: object, whose: str = "another process") -> None:
        """Go on when the token that the server names is this process's; ``whose`` it is.

        Raises:
            StoreUnavailable: the home is another's; ``lost`` was told.
        """
        if token == self._token:
            return
        error = StoreUnavailable(
            f"{self._home} was taken over by {whose} while this process did not answer; it has written nothing since, and ends",
            hint="look at what kept it from answering: a stopped process, a machine without memory, a lost network",
        )
        with self._gate:
            first, self._told = not self._told, True
        if first and not self._closing.is_set():
            self._lost(error)
        raise error

    def announce(self, url: str) -> None:
        """Write where the owner answers, so that others are sent there."""
        with self._using, self._database.explained():
            rows.tell_url(self._session(), self.token, url)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._closing.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
        if self._db is not None:
            self._db.close()  # and the server gives the lock to who waits for it

    def _begin(self, db: psycopg.Connection[Any], token: int) -> None:
        self._db, self._token = db, token
        self._thread = threading.Thread(target=self._run, name="govern-lease", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        away = False
        while not self._closing.wait(self._seconds / _BEATS):
            try:
                with self._using:
                    db = self._session()
                    if not rows.beat(db, self.token):
                        self.enter(db)
                away = False
            except (psycopg.Error, StoreUnavailable) as error:
                if self._told:
                    return
                if not away:
                    _log.warning("the lease on %s cannot be renewed (%s); tried again", self._home, type(error).__name__)
                away = True

    def _session(self) -> psycopg.Connection[Any]:
        """The lease's own session; opened again when it was lost, and the owner's lock asked for again."""
        if self._db is None or self._db.closed:
            db = self._database.open("")
            try:
                self.enter(db)
                rows.locked(db, 0.1)  # not got: a session of ours that the server still sees, or one who will raise the token now
            except BaseException:
                db.close()
                raise
            self._db = db
        return self._db
