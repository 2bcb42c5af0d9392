"""Server settings: ``GOVERN_*`` variables, checked.

Read by plain code: these few variables are read at every start, and a validation library would cost more than all of them are worth.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from lineage.errors import BadInput

__all__ = ["Settings"]

_MOST_THREADS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the environment says to a process that owns a home."""

    runner_threads: int = 1
    """Threads of a served model, ``GOVERN_RUNNER_THREADS``."""
    audit_threads: int = 2
    """Threads of the warm audit process, ``GOVERN_AUDIT_THREADS``."""
    spare_trainings: int = 1
    """Training processes kept ready, ``GOVERN_SPARE_TRAININGS``: 1, or 0 where memory is dear (each has torch loaded)."""

    @classmethod
    def read(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """The settings of an environment; a variable that is missing or empty leaves the default.

        Raises:
            BadInput: a number of threads that is none, or not from 1 to 64; a number of spares that is not 0 or 1.

        >>> Settings.read({"GOVERN_AUDIT_THREADS": "4"}).audit_threads
        4
        """
        given = {name: environment.get(f"GOVERN_{name.upper()}", "").strip() for name in cls.__slots__}
        return cls(**{name: _number(name, text) for name, text in given.items() if text})


def _number(name: str, text: str) -> int:
    low, high = (0, 1) if name == "spare_trainings" else (1, _MOST_THREADS)
    if not (text.isascii() and text.isdigit() and low <= int(text) <= high):
        variable = f"GOVERN_{name.upper()}"
        raise BadInput(f"{variable}={text[:40]} is no number from {low} to {high}", hint=f"unset {variable}, or correct it")
    return int(text)
