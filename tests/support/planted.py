"""Fifty persons who can be recognised wherever they turn up, and what is written or said by the processes that meet them."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

__all__ = ["COMMON", "PLANTED", "Person", "Watch", "one_of_each"]


@dataclass(frozen=True)
class Person:
    """One identifier, and how else it may be written."""

    type: str
    value: str
    needles: tuple[bytes, ...]
    """What nobody else's identifier contains."""


def _person(kind: str, number: int) -> Person:
    mark = f"q{number:02}q"
    if kind == "email":
        return Person(kind, f"Ana.Zyxwv4711{mark}@Example.ORG", (f"zyxwv4711{mark}".encode(), f"Zyxwv4711{mark}".encode()))
    if kind == "phone":
        return Person(kind, f"+49 4711 08154 {number:02}", (f"471108154{number:02}".encode(), f"4711 08154 {number:02}".encode()))
    if kind == "name":
        return Person(kind, f"Zoë Ñandúšček zyxwv4711{mark}", (f"zyxwv4711{mark}".encode(),))
    if kind == "uuid":
        return Person(kind, f"deadbeef-4711-4{number:03x}-8000-0123456789ab", (f"deadbeef-4711-4{number:03x}".encode(),))
    return Person(kind, f"4711081547{number:02}", (f"4711081547{number:02}".encode(),))


PLANTED = tuple(
    _person(kind, number)
    for kind, count in (("email", 16), ("phone", 8), ("name", 10), ("uuid", 6), ("number", 10))
    for number in range(count)
)
"""Of phones and numbers no one is the beginning of another."""

COMMON = tuple(
    text.encode()
    for text in ("zyxwv4711", "Zyxwv4711", "Ñandúšček", "471108154", "4711 08154", "deadbeef-4711", "deadbeef4711", "471108154707")
)
"""What the identifiers of all of them contain; the last is whole, so that it is looked for in binary too."""


def one_of_each() -> list[Person]:
    """The first of each kind."""
    return [next(one for one in PLANTED if one.type == kind) for kind in ("email", "phone", "name", "uuid", "number")]


@dataclass
class Watch:
    """Reads arguments, environment and open files' names of a process and all that it starts, again and again, until it is left."""

    pid: int
    seen: set[bytes] = field(default_factory=set)
    processes: set[int] = field(default_factory=set)

    def __enter__(self) -> Self:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(0.2):
            self.look()

    def look(self) -> None:
        """Once."""
        for pid in self._family():
            self.processes.add(pid)
            for name in ("cmdline", "environ", "comm"):
                try:
                    self.seen.add(Path(f"/proc/{pid}/{name}").read_bytes())
                except OSError:  # it has ended
                    continue
            try:
                self.seen.update(str(path.readlink()).encode() for path in Path(f"/proc/{pid}/fd").iterdir())
            except OSError:
                continue

    def _family(self) -> set[int]:
        parents: dict[int, int] = {}
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                try:
                    fields = (folder / "stat").read_text().rpartition(")")[2].split()
                except OSError:
                    continue
                parents[int(folder.name)] = int(fields[1])
        family = {self.pid}
        while more := {pid for pid, parent in parents.items() if parent in family} - family:
            family |= more
        return family
