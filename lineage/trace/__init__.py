"""Trace: what made this, and what did it make; with the plain reference of the graph store."""

from __future__ import annotations

from lineage.trace.memory import MemoryGraph
from lineage.trace.walk import find_dataset, trace

__all__ = ["MemoryGraph", "find_dataset", "trace"]
