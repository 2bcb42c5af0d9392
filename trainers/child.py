"""A subprocess for user code: framed messages on pipes of their own, and a lifeline so that it never outlives its parent.

Parent's side::

    with Child("trainers.main", threads=1) as child:
        child.send("train", {...}, body)
        kind, header, body = child.receive(timeout=60)

The child's module calls ``serve_child(handler)`` in its ``main()``.

* Messages travel on two dedicated pipes. What user code prints goes to another pipe whose last bytes the parent keeps in
  memory (:meth:`Child.tail`) for whoever runs the server; it may hold row values, so it is never stored nor put in a reason.
* The lifeline is a pipe that the parent holds open. When the parent ends, however it ends, the kernel sends SIGKILL to the child's
  process group (``F_SETSIG`` on the reading end: works while C code holds the interpreter lock), and a watcher thread does the same
  where the kernel cannot. ``PR_SET_PDEATHSIG`` would follow the *thread* that started us, which a worker pool ends at will.
* The environment is minimal: no variable of the parent's but ``LD_LIBRARY_PATH``; ``HOME`` and ``TMPDIR`` are a private scratch
  folder which the parent removes; threads of the numeric libraries are pinned; no GPU; string hashing is fixed; no core dumps.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Protocol, Self

from lineage.errors import GovernError
from trainers.errors import BadFeature, ChildDied, ChildFailed, ChildTimeout
from trainers.frames import EndOfStream, FrameReader, Message, frame, write_all

__all__ = [
    "SCRATCH", "Channel", "Child", "Handler", "describe", "environment_of", "in_fork", "kernel_watch", "run_child", "serve_child",
    "sweep_scratch",
]  # fmt: skip

SCRATCH: Final = "govern-child-"
"""How the names of private folders begin; the pid of who removes them follows."""
_TAIL_BYTES: Final = 16 * 1024
_BOOT: Final = "from trainers.child import _boot; _boot()"


class Process(Protocol):
    """A process that was started: by itself, or as a fork."""

    @property
    def pid(self) -> int: ...
    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def release(self) -> None:
        """Nobody signals it any more."""


class Forks(Protocol):
    """What starts processes by forks of a warm one (:class:`trainers.forks.ForkServer`)."""

    @property
    def threads(self) -> int: ...
    def start(self, module: str, *, scratch: Path, fds: tuple[int, int, int, int]) -> Process: ...


class Child:
    """A running subprocess that answers messages.

    Args:
        module: module whose ``main()`` calls :func:`serve_child`; imported by the child.
        threads: threads of OpenMP, MKL and OpenBLAS in the child.
        env: further environment variables; names that begin with ``GOVERN_`` are refused.
        scratch: folder in which the private scratch folder is made (default: the system's temp folder).
        forks: forks the process from one that has imported its libraries; a new interpreter without it. It decides ``threads``, and it
            knows no ``env``.
    """

    def __init__(
        self,
        module: str,
        *,
        threads: int,
        env: Mapping[str, str] | None = None,
        scratch: Path | None = None,
        forks: Forks | None = None,
    ) -> None:
        if forks is not None and (env or forks.threads != threads):
            raise ValueError("a fork has the threads and the environment of its server")
        base = scratch or Path(tempfile.gettempdir())
        sweep_scratch(base)
        self.scratch = Path(tempfile.mkdtemp(prefix=f"{SCRATCH}{os.getpid()}-", dir=base))
        """Private folder of the child: its HOME and TMPDIR."""
        inbound, self._to = os.pipe()
        self._from, outbound = os.pipe()
        lifeline, self._lifeline = os.pipe()
        printed, prints = os.pipe()
        try:
            self._process: Process
            if forks is None:
                self._process = _Spawned(
                    [sys.executable, "-s", "-P", "-c", _BOOT, module, str(inbound), str(outbound), str(lifeline)],
                    stdin=subprocess.DEVNULL,
                    stdout=prints,
                    stderr=prints,
                    pass_fds=(inbound, outbound, lifeline),
                    cwd=self.scratch,
                    env=environment_of(self.scratch, threads, env or {}),
                    start_new_session=True,
                )
            else:
                self._process = forks.start(module, scratch=self.scratch, fds=(inbound, outbound, lifeline, prints))
        except BaseException:
            for fd in (self._to, self._from, self._lifeline, printed):
                os.close(fd)
            shutil.rmtree(self.scratch, ignore_errors=True)
            raise
        finally:
            for fd in (inbound, outbound, lifeline, prints):
                os.close(fd)
        self.pid = self._process.pid
        """Process id, and id of the process group."""
        os.set_blocking(self._to, False)
        self._reader = FrameReader(self._from)
        self._tail = bytearray()
        self._drain = threading.Thread(target=self._drain_prints, args=(printed,), name=f"prints-{self.pid}", daemon=True)
        self._drain.start()
        self._closed = False
        self._lock = threading.Lock()

    def send(self, kind: str, header: Mapping[str, Any] | None = None, body: bytes = b"", *, timeout: float | None = 60.0) -> None:
        """Send one message; :class:`ChildTimeout` when the child does not read it, :class:`ChildDied` when it is gone."""
        deadline = None if timeout is None else time.monotonic() + timeout
        try:
            for part in frame(kind, header or {}, body):
                write_all(self._to, part, deadline)
        except EndOfStream:
            raise self._died() from None
        except TimeoutError:
            raise ChildTimeout(f"the process did not read its {kind} message within {timeout:g} s") from None

    def receive(self, timeout: float | None = None) -> Message:
        """The next message as (kind, header, body).

        Raises:
            ChildTimeout: nothing within ``timeout`` seconds; the child still runs.
            ChildDied: the process ended, or closed its pipe.
            BadFeature: the child's ``encode`` refused a raw feature.
            ChildFailed: the child answered ``error``; the message is its one sentence.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        try:
            kind, header, body = self._reader.read(deadline)
        except EndOfStream:
            raise self._died() from None
        except TimeoutError:
            raise ChildTimeout(f"the process did not answer within {timeout:g} s") from None
        except ValueError:
            raise ChildFailed("the process sent something that is no message") from None
        if kind == "error" and header.get("type") == BadFeature.__name__:
            raise BadFeature(str(header["reason"]), hint=header.get("hint"))
        if kind == "error":
            raise ChildFailed(str(header.get("reason", "user code failed")), hint=header.get("hint"))
        return kind, header, body

    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    def tail(self) -> str:
        """The last 16 KiB of what the process printed. May hold row values: show it, never store it."""
        return bytes(self._tail).decode("utf-8", "replace")

    def kill(self) -> None:
        """SIGKILL the whole process group, wait for the process, release pipes and scratch folder. Again: nothing happens."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        with contextlib.suppress(ProcessLookupError, PermissionError):  # PermissionError: macOS for a group of zombies
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        self._process.release()
        for fd in (self._to, self._from, self._lifeline):
            os.close(fd)
        self._drain.join(timeout=5)
        shutil.rmtree(self.scratch, ignore_errors=True)

    def close(self, timeout: float = 2.0) -> None:
        """Ask the process to end, then :meth:`kill` whatever remains of its group."""
        if not self._closed:
            with contextlib.suppress(ChildFailed):
                self.send("close", timeout=timeout)
                self._process.wait(timeout)
        self.kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None) -> None:
        self.kill()

    def _drain_prints(self, fd: int) -> None:
        with open(fd, "rb", buffering=0) as stream:
            while data := stream.read(65536):
                self._tail += data
                del self._tail[:-_TAIL_BYTES]

    def _died(self) -> ChildDied:
        try:
            code = self._process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            return ChildDied("the process closed its pipe without an answer")
        if code < 0:
            return ChildDied(f"the process was ended by {signal.Signals(-code).name}")
        return ChildDied(f"the process exited with status {code}")


class _Spawned(subprocess.Popen[bytes]):
    """A process that was started by itself."""

    def release(self) -> None:
        """Nothing: waiting for it was all."""


def sweep_scratch(folder: Path) -> int:
    """Remove scratch folders whose owner was killed before it could; returns how many. Another user's are left alone."""
    removed = 0
    for path in folder.glob(f"{SCRATCH}*-*"):
        owner = path.name.removeprefix(SCRATCH).split("-", 1)[0]
        if not owner.isdigit() or _runs(int(owner)):
            continue
        with contextlib.suppress(OSError):  # another user's folder, or another sweep was faster
            if path.stat().st_uid == os.getuid():
                shutil.rmtree(path)
                removed += 1
    return removed


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def environment_of(scratch: Path, threads: int, extra: Mapping[str, str]) -> dict[str, str]:
    """The variables of a child; ``extra`` are added, and may not begin with ``GOVERN_`` (``ValueError``)."""
    refused = sorted(name for name in extra if name.startswith("GOVERN_"))
    if refused:
        raise ValueError(f"user code gets no {', '.join(refused)}")
    count = str(threads)
    env = {
        "PATH": os.defpath,
        "HOME": str(scratch),
        "TMPDIR": str(scratch),
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "PYTHONHASHSEED": "0",
        "OMP_NUM_THREADS": count,
        "MKL_NUM_THREADS": count,
        "OPENBLAS_NUM_THREADS": count,
        "NUMEXPR_MAX_THREADS": count,
        "OMP_DYNAMIC": "FALSE",
        "MKL_DYNAMIC": "FALSE",
        "MKL_CBWR": "AUTO",  # the same results whatever the alignment of memory (Intel MKL, conditional numerical reproducibility)
        "CUDA_VISIBLE_DEVICES": "",
    }
    if "LD_LIBRARY_PATH" in os.environ:
        env["LD_LIBRARY_PATH"] = os.environ["LD_LIBRARY_PATH"]
    return {**env, **extra}


# ── the child's side ────────────────────────────────────────────────────────────────────────────
class Channel:
    """The child's end of the pipes."""

    def __init__(self, inbound: int, outbound: int) -> None:
        self._reader = FrameReader(inbound)
        self._outbound = outbound
        self._lock = threading.Lock()

    def send(self, kind: str, header: Mapping[str, Any] | None = None, body: bytes = b"") -> None:
        """Send one message to the parent; waits while the parent does not read."""
        with self._lock:
            for part in frame(kind, header or {}, body):
                write_all(self._outbound, part)

    def receive(self, timeout: float | None = None) -> Message | None:
        """The next message, or ``None`` when there is none within ``timeout`` seconds (``None`` waits)."""
        try:
            return self._reader.read(None if timeout is None else time.monotonic() + timeout)
        except TimeoutError:
            return None


Handler = Callable[[str, dict[str, Any], bytes, Channel], Message | None]
"""``handler(kind, header, body, channel)``: a reply, or ``None`` when it needs none (or has sent its own)."""

_channel: Channel | None = None


def serve_child(handler: Handler) -> None:
    """Answer messages with ``handler`` until ``close`` or the end of the stream.

    An exception becomes an ``error`` message whose reason is :func:`describe`; the loop goes on.
    """
    if _channel is None:
        raise RuntimeError("not started by trainers.child.Child")
    channel = _channel
    while True:
        try:
            message = channel.receive()
        except EndOfStream:
            return
        if message is None or message[0] == "close":
            return
        kind, header, body = message
        try:
            _answer(lambda: handler(kind, header, body, channel), channel)  # noqa: B023 - called at once
        except EndOfStream:
            return


def in_fork(work: Callable[[], Message], channel: Channel) -> None:
    """Answer one message in a fork of this process, which ends with it; its HOME, TMPDIR and working folder are its own.

    :class:`ChildDied` when the fork ended without an answer. The fork stays in the process group, so that it goes with its parent.
    """
    scratch = tempfile.mkdtemp(prefix="apart-")
    answered, answers = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.chdir(scratch)
            os.environ["HOME"] = os.environ["TMPDIR"] = tempfile.tempdir = scratch
            _answer(work, channel)
            os.write(answers, b"1")
            status = 0
        except BaseException:  # noqa: BLE001 - a fork must never return into its parent's loop
            traceback.print_exc()
        finally:
            os._exit(status)
    try:
        _, ended = os.waitpid(pid, 0)
        os.set_blocking(answered, False)
        with contextlib.suppress(BlockingIOError):  # a process that the user's code left behind may hold the other end
            if os.read(answered, 1):
                return
    finally:
        os.close(answered)
        os.close(answers)
        shutil.rmtree(scratch, ignore_errors=True)
    code = os.waitstatus_to_exitcode(ended)
    raise ChildDied(f"the process was ended by {signal.Signals(-code).name}" if code < 0 else f"the process exited with status {code}")


def _answer(work: Callable[[], Message | None], channel: Channel) -> None:
    """Send what ``work`` returns, or an ``error`` with what it raised."""
    try:
        reply = work()
    except EndOfStream:
        raise
    except Exception as error:  # noqa: BLE001 - user code may raise anything; it is reported, with its kind and place
        traceback.print_exc()
        channel.send("error", {"reason": describe(error), "hint": getattr(error, "hint", None), "type": type(error).__name__})
    else:
        if reply is not None:
            channel.send(*reply)


def describe(error: BaseException) -> str:
    """One sentence about an exception, without its message, which may hold row values; our own errors speak for themselves.

    >>> try: {}["secret"]
    ... except KeyError as error: describe(error).split(" in ")[0]
    'KeyError'
    """
    if isinstance(error, GovernError):
        return error.message
    frames = traceback.extract_tb(error.__traceback__)
    name = type(error).__name__
    inside = [one for one in frames if "site-packages" not in one.filename and f"{os.sep}trainers{os.sep}" not in one.filename] or frames
    if not inside:
        return name
    where = inside[-1]
    return f"{name} in {where.name} ({Path(where.filename).name}, line {where.lineno})"


def _boot() -> None:
    """First thing in the child: watch the lifeline, then import the module and run its ``main()``."""
    run_child(sys.argv[1], *(int(fd) for fd in sys.argv[2:5]))


def run_child(module: str, inbound: int, outbound: int, lifeline: int) -> None:
    """Be the child: talk over these pipes, die with the lifeline, run the module's ``main()``."""
    global _channel  # noqa: PLW0603 - one process, one channel, set once before anything else runs
    for fd in (inbound, outbound, lifeline):
        os.set_inheritable(fd, False)
    _watch(lifeline)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file would hold rows
    sys.argv = [module]
    _channel = Channel(inbound, outbound)
    importlib.import_module(module).main()


def kernel_watch(lifeline: int) -> None:
    """Have the kernel kill this process group when the lifeline's other end closes, where it can."""
    if hasattr(fcntl, "F_SETSIG"):
        fcntl.fcntl(lifeline, fcntl.F_SETOWN, -os.getpgrp())
        fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)


def _watch(lifeline: int) -> None:
    """Die with the parent: the kernel signals our group when the lifeline's other end closes; a thread looks as well."""
    kernel_watch(lifeline)

    def wait() -> None:
        while os.read(lifeline, 1):
            pass
        os.killpg(os.getpgrp(), signal.SIGKILL)

    threading.Thread(target=wait, name="lifeline", daemon=True).start()
