"""The runs of a job, latest first: where a trace of a job begins."""

from __future__ import annotations

from lineage.graph.keys import ident_id
from lineage.graph.state import stamp
from lineage.ports import GraphStore

__all__ = ["runs_of_job"]


def runs_of_job(store: GraphStore, namespace: str, name: str, *, as_of: int | None = None, limit: int = 100) -> tuple[list[str], int]:
    """(ids of the runs that started last, how many more there are); with ``as_of`` those that had started then."""
    prefix = f"jt/{ident_id(namespace, name)}/"
    high = prefix[:-1] + "0" if as_of is None else f"{prefix}{stamp(as_of)}0"  # "0" follows "/"
    state = store.state()
    found = state.between(prefix, high, reverse=True, limit=limit)
    runs = [key[len(prefix) :].split("/", 1)[1] for key, _ in found]
    return runs, max(0, state.count(prefix, high) - len(runs))
