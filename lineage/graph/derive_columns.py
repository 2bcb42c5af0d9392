"""Column lineage as a graph of columns: which column feeds which, at the level of datasets, and never walked by a trace of versions.

    Dataset ─HAS_FIELD→ Field ─FEEDS→ Field

A statement about a whole output (``dataset[]`` of the facet: a filter, a join, a grouping) feeds its Dataset, not each of its
columns; a source whose column nobody knows feeds from its Dataset; a job that made a column out of nothing tracked feeds from its Job.
A column is a node only where column lineage names it.

An edge holds from the first event that stated it until the job stated something else for that dataset (``valid_to``).
"""

from __future__ import annotations

from collections.abc import Iterable

from lineage.graph.claims import Claims
from lineage.graph.context import Context, Identity
from lineage.graph.facts import Facts
from lineage.graph.keys import field_key, job_key
from lineage.model import Json

__all__ = ["claim_columns", "columns_say"]


def columns_say(facts: Facts) -> Json:
    """What of a dataset's column lineage its claims depend on."""
    return {
        job: {digest: [one["t"], one["u"] if len(statements) > 1 else 0] for digest, one in statements.items()}
        for job, statements in facts.get("cl", {}).items()
    }


def claim_columns(claims: Claims, identity: Identity, known: Iterable[Facts], context: Context, witness: str) -> None:
    """The columns that feed the dataset ``identity``, as the facts of all its names say."""
    target = identity.key
    spans: dict[tuple[Json, ...], tuple[int, int | None]] = {}
    for facts in known:
        for statements in facts.get("cl", {}).values():
            for row, span in _spans(statements).items():
                spans[row] = _wider(spans.get(row), span)
    for (basis, column, kind, namespace, name, source, *how), (since, until) in sorted(spans.items(), key=str):
        if kind == "JOB":
            origin = claims.node(job_key(namespace, name), "Job", namespace=namespace, name=name)
        else:
            origin = _end(claims, context.identity((namespace, name)), source, witness)
        end = _end(claims, identity, column, witness)
        shown, subtype, masking, description = how
        claims.edge(
            "FEEDS",
            origin,
            end,
            more=(target, basis, *how),
            witness=witness,
            since=since,
            until=until,
            basis=basis,
            type=shown or None,
            subtype=subtype or None,
            masking=None if not masking else masking == "true",
            description=description or None,
        )


def _end(claims: Claims, dataset: Identity, column: str, witness: str) -> str:
    """The node of a column, or of the dataset where no column is named."""
    whole = claims.node(dataset.key, dataset.label, namespace=dataset.namespace, name=dataset.name)
    if not column:
        return whole
    field = claims.node(
        field_key(dataset.namespace, dataset.name, column), "Field", namespace=dataset.namespace, name=column, dataset=dataset.name
    )
    claims.link("HAS_FIELD", whole, field, witness=witness)
    return field


def _spans(statements: Facts) -> dict[tuple[Json, ...], tuple[int, int | None]]:
    """Every flow that was ever stated, with the time from which and until which it held."""
    rows: dict[tuple[Json, ...], list[Facts]] = {}
    for one in statements.values():
        for row in one["r"]:
            rows.setdefault((one["b"], *row), []).append(one)
    latest = max(one["u"] for one in statements.values())
    found: dict[tuple[Json, ...], tuple[int, int | None]] = {}
    for row, holders in rows.items():
        last = max(one["u"] for one in holders)
        later = [one["t"] for one in statements.values() if one["t"] > last]
        found[row] = (min(one["t"] for one in holders), None if last == latest else min(later, default=latest))
    return found


def _wider(old: tuple[int, int | None] | None, new: tuple[int, int | None]) -> tuple[int, int | None]:
    if old is None:
        return new
    until = None if old[1] is None or new[1] is None else max(old[1], new[1])
    return min(old[0], new[0]), until
