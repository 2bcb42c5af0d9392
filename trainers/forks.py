"""A process that has imported what trainings and runners import, and forks them: importing torch takes seconds, a fork milliseconds.

The server imports and computes nothing: no row, no model and no code of a user is ever in it, so a fork is as fresh as a new process. It
has one thread, for only a process of one thread can be forked safely (POSIX.1-2017, ``fork``). Each fork has a session, pipes, a
lifeline and a private folder of its own, as if it had been started by itself (:class:`trainers.child.Child`).

The parent asks over a Unix socket and passes the fork's pipes with the question (``SCM_RIGHTS``). A socket per fork says its pid at once
and its status when it ends; the server reaps it only when the parent has let that socket go, so a pid that is signalled is never another's.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path
from typing import Final, NoReturn

from trainers.errors import ChildDied

__all__ = ["ForkServer", "Forked"]

_BOOT: Final = "from trainers.forks import _serve; _serve()"
_START_S: Final = 300.0
"""Seconds that a fork may take: the first waits until the server has imported, on a machine that may be busy."""
_PID: Final = b"pid "
_STATUS: Final = b"status "
_UNKNOWN: Final = 255
"""The status of a fork whose server died before it."""
_LOOK_S: Final = 0.02


class Forked:
    """A fork, as much of :class:`subprocess.Popen` as is used of it.

    Args:
        said: the socket on which the server says the pid, then the status.

    Raises:
        ChildDied: the server is gone, or could not fork.
    """

    def __init__(self, said: socket.socket) -> None:
        self._said = said
        self._lock = threading.Lock()
        self._orphan = False
        self.returncode: int | None = None
        """As Popen's: the exit status, or the negative number of the signal that ended it; ``None`` while it runs.

        255 where nobody can say, because the server was killed before.
        """
        said.settimeout(_START_S)
        try:
            first = said.recv(64)
        except OSError:
            first = b""
        said.settimeout(None)
        if not first.startswith(_PID):
            said.close()
            raise ChildDied("no process could be forked from the one that is kept warm")
        self.pid = int(first.removeprefix(_PID))

    def poll(self) -> int | None:
        """The status, when it has ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Its status; ``TimeoutExpired`` when it runs after ``timeout`` seconds (``None`` waits)."""
        end = None if timeout is None else time.monotonic() + timeout
        if self.returncode is None:
            said = select.poll()
            said.register(self._said, select.POLLIN)
            if not said.poll(None if timeout is None else timeout * 1000):
                raise subprocess.TimeoutExpired("fork", timeout or 0)
        with self._lock:
            if self.returncode is None:
                last = b"" if self._orphan else self._said.recv(64)
                self._orphan = not last
                if last:
                    self.returncode = int(last.removeprefix(_STATUS))
            while self.returncode is None:  # the server is gone: nobody says how the fork ends, but it may well do its work
                if not _runs(self.pid):
                    self.returncode = _UNKNOWN
                elif end is not None and time.monotonic() >= end:
                    raise subprocess.TimeoutExpired("fork", timeout or 0)
                else:
                    time.sleep(_LOOK_S)
            return self.returncode

    def release(self) -> None:
        """Its pid may be given to another process from now on."""
        self._said.close()


def _runs(pid: int) -> bool:
    """Whether it runs, and is not only a name that nobody has reaped."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


class ForkServer:
    """Starts children by forks of one warm process.

    Args:
        threads: threads of the numeric libraries, which count them when they are imported: all forks have the same.
        scratch: where the server's private folder is made (default: the system's temp folder).
    """

    available: Final = sys.platform == "linux"
    """Elsewhere a process that has loaded numeric libraries may not be forked (macOS), or not at all."""

    def __init__(self, *, threads: int, scratch: Path | None = None) -> None:
        from trainers.child import SCRATCH, environment_of

        self.threads = threads
        self._scratch = Path(tempfile.mkdtemp(prefix=f"{SCRATCH}{os.getpid()}-", dir=scratch))
        self._asks, control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        lifeline, self._lifeline = os.pipe()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-s", "-P", "-c", _BOOT, str(control.fileno()), str(lifeline)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(control.fileno(), lifeline),
                cwd=self._scratch,
                env=environment_of(self._scratch, threads, {}),
                start_new_session=True,
            )
        except BaseException:
            self._asks.close()
            os.close(self._lifeline)
            shutil.rmtree(self._scratch, ignore_errors=True)
            raise
        finally:
            control.close()
            os.close(lifeline)
        self.pid = self._process.pid
        self._lock = threading.Lock()
        self._closed = False

    def alive(self) -> bool:
        """Whether it can fork."""
        return not self._closed and self._process.poll() is None

    def start(self, module: str, *, scratch: Path, fds: tuple[int, int, int, int]) -> Forked:
        """Fork a process that runs ``main()`` of a module.

        Args:
            module: as for :class:`trainers.child.Child`.
            scratch: its HOME, TMPDIR and working folder.
            fds: its ends of the pipes: messages in, messages out, lifeline, what it prints.

        Raises:
            ChildDied: the server is gone, or could not fork.
        """
        mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            asked = json.dumps({"module": module, "scratch": str(scratch)}).encode()
            with self._lock:
                socket.send_fds(self._asks, [asked], [*fds, theirs.fileno()])
        except OSError:
            mine.close()
            raise ChildDied("the process that forks trainings is gone") from None
        finally:
            theirs.close()
        return Forked(mine)

    def kill(self) -> None:
        """End the server; its forks go on, each with its own lifeline. Again: nothing happens."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        self._asks.close()
        os.close(self._lifeline)
        shutil.rmtree(self._scratch, ignore_errors=True)


# ── the server's side ───────────────────────────────────────────────────────────────────────────
def _serve() -> None:
    from trainers.child import kernel_watch

    control, lifeline = socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2])
    kernel_watch(lifeline)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    woken, wakes = os.pipe()
    os.set_blocking(wakes, False)
    signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    _warm()
    poll = select.poll()
    for fd in (control.fileno(), lifeline, woken):
        poll.register(fd, select.POLLIN)
    forks: dict[int, tuple[int, socket.socket]] = {}  # its socket's descriptor → the fork
    while True:
        for fd, _event in poll.poll():
            if fd == lifeline:  # nothing is ever written: its other end is closed
                os.killpg(os.getpgrp(), signal.SIGKILL)
            elif fd == woken:
                os.read(woken, 4096)
                _tell(forks)
            elif fd == control.fileno():
                data, fds, _flags, _address = socket.recv_fds(control, 4096, 5)
                if not data:
                    return
                told = socket.socket(fileno=fds[4])
                pid = _fork(json.loads(data), (fds[0], fds[1], fds[2], fds[3]), told, [control.fileno(), lifeline, woken, wakes, *forks])
                for one in fds[:4]:
                    os.close(one)
                if pid:
                    forks[told.fileno()] = (pid, told)
                    poll.register(told.fileno(), select.POLLIN)
                else:
                    told.close()
                _tell(forks)  # it may have ended before it was noted
            else:  # the parent has let it go
                poll.unregister(fd)
                pid, told = forks.pop(fd)
                told.close()
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(pid, signal.SIGKILL)
                os.waitpid(pid, 0)


def _tell(forks: dict[int, tuple[int, socket.socket]]) -> None:
    """Say the status of those that have ended; they stay unreaped, so that their pids stay theirs."""
    for pid, told in forks.values():
        ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if ended is not None:
            status = ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
            with contextlib.suppress(OSError):  # told before, and not read yet; or the parent is gone
                told.send(_STATUS + str(status).encode(), socket.MSG_DONTWAIT)


def _fork(asked: dict[str, str], fds: tuple[int, int, int, int], told: socket.socket, ours: list[int]) -> int:
    """The pid of a new fork; 0 when the system gives none."""
    try:
        pid = os.fork()
    except OSError:
        return 0
    if pid == 0:
        _become(asked["module"], asked["scratch"], fds, told, ours)
    return pid


def _become(module: str, scratch: str, fds: tuple[int, int, int, int], told: socket.socket, ours: list[int]) -> NoReturn:
    """In the fork: let go of what is the server's, and be a child that was started by itself."""
    from trainers.child import run_child

    status = 1
    try:
        os.setsid()
        told.send(_PID + str(os.getpid()).encode())  # not before there is a group of that name to be signalled
        told.close()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        inbound, outbound, lifeline, prints = fds
        os.dup2(prints, 1)
        os.dup2(prints, 2)
        for fd in (*ours, prints):
            os.close(fd)
        os.chdir(scratch)
        os.environ["HOME"] = os.environ["TMPDIR"] = scratch
        tempfile.tempdir = None
        run_child(module, inbound, outbound, lifeline)
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException:  # noqa: BLE001 - a fork must never return into the server's loop
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def _warm() -> None:
    """Import what a training and a runner import, and compute nothing."""
    import trainers.main
    import trainers.serve_main

    trainers.main.warm()
    assert trainers.serve_main
