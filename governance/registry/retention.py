"""How long raw events are kept: an act that someone asks for, or a policy that is carried out every day. One run at a time."""

from __future__ import annotations

import logging
import threading
from typing import Any, Final

from lineage.errors import Conflict, GovernError, NotFound
from lineage.ports import Clock, SnapshotFiles
from lineage.retention import Archive, Retention, age

__all__ = ["PIECE", "RetentionDoor"]

PIECE: Final = 8 * 1024 * 1024
"""Bytes of a snapshot that one answer holds at most."""
_FIRST: Final = 60.0
_DAY: Final = 86_400.0
_log = logging.getLogger(__name__)


class RetentionDoor:
    """Runs in a thread of its own; :meth:`state` says how the last run ended.

    Args:
        retention: the procedure.
        archive: the snapshots.
        files: where they lie.
        clock: when a run began and ended.
        policy: the age after which events are retired every day, as written (``90d``); empty: never by itself.
    """

    def __init__(self, retention: Retention, archive: Archive, files: SnapshotFiles, clock: Clock, *, policy: str = "") -> None:
        self._retention = retention
        self._archive = archive
        self._files = files
        self._clock = clock
        self._policy = policy
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._run: dict[str, Any] | None = None
        self._threads: list[threading.Thread] = []

    def start(self, older_than: str, *, actor: str) -> dict[str, Any]:
        """Begin a run; returns :meth:`state`.

        Raises:
            BadInput: no age. Conflict: a run is under way.
        """
        wanted = age(older_than, "older_than")
        self._begin(older_than, actor)
        self._thread(self._work, wanted, actor)
        return self.state()

    def state(self, older_than: str | None = None) -> dict[str, Any]:
        """``{policy, run}``, and ``would`` with an age: what a run would retire now.

        ``run`` is ``None`` or ``{state, older_than, actor, started_at, ended_at, answer, error}``; ``state`` is ``running``, ``done`` or
        ``failed``; ``error`` is ``{detail, hint}``.
        """
        with self._lock:
            answer: dict[str, Any] = {"policy": self._policy or None, "run": dict(self._run) if self._run else None}
        if older_than is not None:
            answer["would"] = self._retention.run(age(older_than, "older_than"), actor="", dry_run=True)
        return answer

    def daily(self) -> None:
        """Carry the policy out soon, and then every day, until :meth:`close`; nothing without a policy."""
        if self._policy:
            self._thread(self._every_day, age(self._policy, "GOVERN_RETAIN_EVENTS"))

    def close(self) -> None:
        """End a run at its next step, and the days."""
        self._closing.set()
        self._retention.stop()
        for thread in self._threads:
            thread.join()

    # ── snapshots ───────────────────────────────────────────────────────────────────────────────
    def snapshots(self) -> dict[str, Any]:
        """``{snapshots, needed, unusable}``: those from which a rebuild may begin, the newest first; below ``needed`` payloads are gone."""
        reasons: list[str] = []
        there = self._files.names()
        listed = [
            {
                "entry": one.entry, "position": one.position, "sha256": one.sha256, "bytes": one.size, "created_at": one.created_at,
                "generator": one.generator, **one.said, "there": one.sha256 in there,
            }
            for one in self._archive.usable(reasons)
        ]  # fmt: skip
        return {"snapshots": listed, "needed": self._archive.needed(), "unusable": reasons}

    def piece(self, sha256: str, start: int) -> bytes:
        """At most :data:`PIECE` bytes of a snapshot's file from ``start`` on; empty at its end.

        Raises:
            NotFound: there is no such file.
        """
        if sha256 not in self._files.names():
            raise NotFound(f"there is no snapshot {sha256[:12]}… in this home", hint="GET /api/v1/lineage/snapshots lists them")
        found = b""
        for piece in self._files.read(sha256, start):
            found += piece
            if len(found) >= PIECE:
                break
        return found[:PIECE]

    # ── the thread ──────────────────────────────────────────────────────────────────────────────
    def _begin(self, said: str, actor: str) -> None:
        with self._lock:
            if self._run is not None and self._run["state"] == "running":
                raise Conflict("events are being retired already", hint="GET /api/v1/lineage/retain says how far it is")
            started = {"state": "running", "older_than": said, "actor": actor, "started_at": self._clock.now(), "ended_at": None}
            self._run = started | {"answer": None, "error": None}

    def _work(self, older_than: int, actor: str) -> None:
        ended: dict[str, Any]
        try:
            ended = {"state": "done", "answer": self._retention.run(older_than, actor=actor)}
        except GovernError as error:
            ended = {"state": "failed", "error": {"detail": error.message, "hint": error.hint}}
        except Exception as error:  # noqa: BLE001 - whatever it is, the run is over: state() says it, the log without words that may be data
            ended = {"state": "failed", "error": {"detail": f"{type(error).__name__}: {error}", "hint": "govern doctor"}}
        if ended["state"] == "failed":
            _log.error("events were not retired: see GET /api/v1/lineage/retain")
        with self._lock:
            assert self._run is not None
            self._run |= ended | {"ended_at": self._clock.now()}

    def _every_day(self, older_than: int) -> None:
        pause = _FIRST
        while not self._closing.wait(pause):
            pause = _DAY
            try:
                self._begin(self._policy, "system")
            except Conflict:  # someone asked for a run this very moment
                continue
            self._work(older_than, "system")

    def _thread(self, work: Any, *args: Any) -> None:
        thread = threading.Thread(target=work, args=args, name="govern-retention", daemon=True)
        self._threads = [*(one for one in self._threads if one.is_alive()), thread]
        thread.start()
