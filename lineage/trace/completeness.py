"""How far an answer can be trusted, as a structure: what was looked for, how often it was met, and some of it by name.

A gap is never silent: a kind that was looked for and not met is told with count 0, so that *none* is not *not looked*.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from types import MappingProxyType

from lineage.model import Completeness, Gap, Json

__all__ = ["EXAMPLES", "KINDS", "Gaps", "completeness_json"]

EXAMPLES = 5
"""So many of a kind are named; the others are counted."""

KINDS: Mapping[str, str] = MappingProxyType(
    {
        "lag": "acknowledged ledger entries that were not yet projected",
        "truncated_by_limit": "the walk was cut at the most nodes it may reach",
        "truncated_by_depth": "the walk was cut at the most hops it may go",
        "runs_without_terminal_event": "runs that never told their end",
        "failed_runs": "runs that failed or were aborted, and may have written something",
        "planned_outputs": "outputs of failed runs: planned, and not known to be written",
        "extraction_errors": "runs that say that their lineage could not be extracted completely",
        "datasets_without_version": "reads at an unknown version",
        "versions_inferred": "reads whose version is inferred from time",
        "inputs_without_row_set": "reads of which nobody says which rows they took",
        "ambiguous_outputs": "runs that do not say which of their inputs went into which of their outputs",
        "undescribed_outputs": "outputs that the explicit lineage of their run does not describe",
        "runs_inferred": "jobs that handed data over in a run that nobody named",
        "readers_of_unknown_version": "readers of an unknown version, perhaps one of those reached",
        "columns_without_lineage": "columns where column lineage ends though data flows on",
        "older_runs": "earlier runs of the job, which were not walked",
        "rows_not_compared": "row sets of the two versions that cannot be compared here",
        "sources_not_counted": "sources whose rows cannot be counted here",
        "not_in_any_event": "versions that hold the rows and are in no event yet",
        "elsewhere": "places that cannot be opened here",
    }
)
"""Every kind of gap with what it counts, in the order in which they are told."""


class Gaps:
    """Collects gaps while an answer is made: the first :data:`EXAMPLES` of a kind in full, the others as a number."""

    def __init__(self) -> None:
        self._met: dict[str, set[Hashable]] = {}
        self._examples: dict[str, list[dict[str, Json]]] = {}
        self._counts: dict[str, int] = {}

    def add(self, kind: str, what: Hashable, say: Callable[[], dict[str, Json]]) -> None:
        """One thing that is not known; ``what`` tells it from others, ``say`` gives its ``reason`` and names. Once told is enough."""
        met = self._met.setdefault(kind, set())
        if what not in met:
            met.add(what)
            if len(met) <= EXAMPLES:
                self._examples.setdefault(kind, []).append(say())

    def tell(self, kind: str, reason: str, count: int = 1, **names: Json) -> None:
        """A gap that stands for ``count`` things and has one sentence for all of them."""
        self._counts[kind] = self._counts.get(kind, 0) + count
        examples = self._examples.setdefault(kind, [])
        if len(examples) < EXAMPLES:
            examples.append({"reason": reason, **names})

    def join(self, completeness: Completeness) -> None:
        """Take over the gaps of another answer, as far as they are not met here."""
        for gap in completeness.gaps:
            known = self._examples.setdefault(gap.kind, [])
            fresh = [dict(one) for one in gap.examples if dict(one) not in known]
            doubled = len(gap.examples) - len(fresh)
            known += fresh
            del known[EXAMPLES:]
            self._counts[gap.kind] = self._counts.get(gap.kind, 0) + gap.count - doubled

    def finish(self, hops_by_basis: Mapping[str, int], lag: int = 0) -> Completeness:
        """What the answer rests on."""
        found = []
        for kind in KINDS:
            count = len(self._met.get(kind, ())) + self._counts.get(kind, 0)
            if count:
                found.append(Gap(kind=kind, count=count, examples=tuple(self._examples.get(kind, ()))))
        return Completeness(
            complete=not found,
            reasons=tuple(sorted({reason for gap in found for reason in _reasons(gap)})),
            hops_by_basis=dict(sorted(hops_by_basis.items())),
            lag=lag,
            gaps=tuple(found),
        )


_ONE_SENTENCE = frozenset(
    {"lag", "truncated_by_limit", "truncated_by_depth", "older_runs", "readers_of_unknown_version", "not_in_any_event"}
)
"""Kinds whose sentence says the number itself."""


def _reasons(gap: Gap) -> list[str]:
    said = [str(example["reason"]) for example in gap.examples]
    more = gap.count - len(said)
    return said if more <= 0 or gap.kind in _ONE_SENTENCE else [*said, f"and {more} more: {KINDS[gap.kind]}"]


def completeness_json(found: Completeness) -> dict[str, Json]:
    """The account as the API tells it: every kind of gap that was looked for, those that were not met with count 0."""
    met = {gap.kind: gap for gap in found.gaps}
    return {
        "complete": found.complete,
        "reasons": list(found.reasons),
        "hops_by_basis": dict(found.hops_by_basis),
        "lag": found.lag,
        "truncated": "truncated_by_limit" in met,
        "gaps": {
            kind: {"count": met[kind].count, "what": what, "examples": [dict(one) for one in met[kind].examples]}
            if kind in met
            else {"count": 0, "what": what, "examples": []}
            for kind, what in KINDS.items()
        },
    }
