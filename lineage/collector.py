"""How a process that takes and folds events shares the interpreter and looks for garbage."""

from __future__ import annotations

import gc
import sys
from typing import Final

__all__ = ["keep_latency_low"]

SWITCH_SECONDS: Final = 0.001
GC_THRESHOLDS: Final = (20_000, 20, 20)


def keep_latency_low() -> None:
    """A thread that folds gives the interpreter to one that acknowledges within a millisecond, and garbage is looked for less often.

    An event is a few hundred objects: by the defaults every third event starts a collection, and a full one walks all that was imported.
    For a process of its own, once its libraries are imported; it holds for the whole process.
    """
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
