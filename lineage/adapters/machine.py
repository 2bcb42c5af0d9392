"""Which process this is, so that another one can tell whether it is on the same machine, and end it there."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Self

__all__ = ["ProcessName"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessName:
    """A process, by a name that no other process ever has."""

    host: str
    """The machine's name, for people."""
    machine: str
    """The boot and the process namespace in which ``pid`` counts; empty where the system does not tell."""
    pid: int
    started: str
    """When it was started, in the kernel's own count: a process number is given again, this is not."""

    @classmethod
    def own(cls) -> Self:
        """This process."""
        return cls(host=os.uname().nodename, machine=_machine(), pid=os.getpid(), started=_started(os.getpid()))

    def kill(self) -> bool:
        """SIGKILL to it when it runs here; whether it does not run here any more. A process elsewhere cannot be judged: false.

        A process that hangs in the kernel outlives it for a while; its files are as they were before, whatever it does later.
        """
        if not self.machine or self.machine != _machine() or not self.started:
            return False
        if _started(self.pid) == self.started:
            try:
                os.kill(self.pid, signal.SIGKILL)
            except ProcessLookupError:
                return True
            except PermissionError:
                return False
        return True


def _machine() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _started(pid: int) -> str:
    """Field 22 of ``/proc/PID/stat`` (proc(5)); the name in field 2 may hold anything, so it is counted from its end."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
