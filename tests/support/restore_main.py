"""Restores a backup in a process of its own, which is killed at a named moment: ``python -m tests.support.restore_main MOMENT ARGUMENTS``."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from governance.adapters import home_copy
from governance.erasure.replay import Replay
from governance.wiring import backups

MOMENTS = ("unpacked", "keys", "carried", "purged", "forgotten", "destroyed", "entered", "none")


def dying(work: Callable[..., Any], *, after: bool = True) -> Callable[..., Any]:
    """The same work, and then the end of the process."""

    def run(*args: Any, **given: Any) -> Any:
        if after:
            work(*args, **given)
        os.kill(os.getpid(), signal.SIGKILL)

    return run


def main(moment: str, home: str, source: str, keys: str, replay: str) -> None:
    """Restore, and die there."""
    places: dict[str, tuple[Any, str, bool]] = {
        "unpacked": (home_copy, "unpacked", True),
        "keys": (backups, "_give_keys", True),
        "carried": (Replay, "_carry_over", True),
        "purged": (Replay, "_rows", True),
        "forgotten": (Replay, "_forget", True),
        "destroyed": (Replay, "_destroy", True),
        "entered": (Path, "unlink", False),
    }
    if moment in places:
        owner, name, after = places[moment]
        if moment == "entered":
            original = Path.unlink

            def unlink(path: Path, *, missing_ok: bool = False) -> None:
                if path.name == home_copy.MANIFEST:
                    os.kill(os.getpid(), signal.SIGKILL)
                original(path, missing_ok=missing_ok)

            Path.unlink = unlink  # type: ignore[method-assign]
        else:
            setattr(owner, name, dying(getattr(owner, name), after=after))
    backups.restore(Path(home), source=Path(source), keys=Path(keys), replay=Path(replay))


if __name__ == "__main__":
    main(*sys.argv[1:])
