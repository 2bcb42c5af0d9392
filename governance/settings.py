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

    @classmethod
    def read(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """The settings of an environment; a variable that is missing or empty leaves the default.

        Raises:
            BadInput: a number of threads that is none, or not from 1 to 64.

        >>> Settings.read({"GOVERN_AUDIT_THREADS": "4"}).audit_threads
        4
        """
        given = {name: environment.get(f"GOVERN_{name.upper()}", "").strip() for name in cls.__slots__}
        return cls(**{name: _threads(name, text) for name, text in given.items() if text})


def _threads(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= _MOST_THREADS):
        variable = f"GOVERN_{name.upper()}"
        raise BadInput(f"{variable}={text[:40]} is no number of threads from 1 to {_MOST_THREADS}", hint=f"unset {variable}, or correct it")
    return int(text)
