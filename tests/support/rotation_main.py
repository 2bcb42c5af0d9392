"""Rotates the epoch of a home in a process of its own, which is killed at a named moment: ``python -m tests.support.rotation_main``."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from governance.erasure.rekey import Rekey
from governance.registry.datasets import Datasets
from governance.registry.operations import Operations
from governance.registry.references import References
from lineage.adapters.file_keys import FileKeyStore
from tests.support.persons import opened_persons

MOMENTS: dict[str, tuple[Any, str, bool]] = {
    "entered": (FileKeyStore, "rotate", False),
    "made": (FileKeyStore, "rotate", True),
    "carried": (References, "carry", True),
    "moved": (Datasets, "rekey", True),
    "one": (Rekey, "dataset", True),
    "ending": (Operations, "finish", False),
}
"""Moment → the work before (or after) which the process dies: in the middle of the door, of a step, between two."""


def dying(work: Callable[..., Any], *, after: bool) -> Callable[..., Any]:
    """The same work, and then the end of the process."""

    def run(*args: Any, **given: Any) -> Any:
        if after:
            work(*args, **given)
        os.kill(os.getpid(), signal.SIGKILL)

    return run


def main(moment: str, home: str) -> None:
    """Rotate, and die there."""
    with opened_persons(Path(home)) as system:
        owner, name, after = MOMENTS[moment]
        setattr(owner, name, dying(getattr(owner, name), after=after))
        system.rotation.rotate(actor="key:admin")
        system.work()


if __name__ == "__main__":
    main(*sys.argv[1:])
