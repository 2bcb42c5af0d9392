"""Trace: what made this, and what did it make; with the plain reference of the graph store."""

from __future__ import annotations

from lineage.trace.columns import trace_column
from lineage.trace.completeness import Gaps, completeness_json
from lineage.trace.deployed import Deployed, deployed
from lineage.trace.jobs import runs_of_job
from lineage.trace.memory import MemoryGraph
from lineage.trace.nodes import find_nodes
from lineage.trace.walk import find_dataset, there, trace

__all__ = [
    "Deployed",
    "Gaps",
    "MemoryGraph",
    "completeness_json",
    "deployed",
    "find_dataset",
    "find_nodes",
    "runs_of_job",
    "there",
    "trace",
    "trace_column",
]
