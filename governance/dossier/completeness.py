"""How complete a trace is, on paper: what was looked for, how often it was met, and some of it by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from governance.dossier.facts import computed, gap, items, mapping, scrub, text, when, whole
from reports.model import Block, Fact, Facts, Note, Table

__all__ = ["completeness_blocks", "time_facts", "times_in_words"]


def times_in_words(answer: Mapping[str, Any]) -> str:
    """`` as of … as known at …`` for the end of a title; empty when the question was about now."""
    said = [f"{words} {when(answer[name])}" for name, words in _TIMES if answer.get(name) is not None]
    return f", {', '.join(said)}" if said else ""


_TIMES = (("as_of", "as of"), ("known_at", "as known at"))


def time_facts(answer: Mapping[str, Any]) -> list[Fact]:
    """The two times of the question, where it had one."""
    labels = {"as_of": ("As of", "what was so at this time"), "known_at": ("As known at", "what Govern had been told by this time")}
    return [computed(labels[name][0], when(answer[name]), labels[name][1]) for name, _ in _TIMES if answer.get(name) is not None]


def completeness_blocks(answer: Mapping[str, Any]) -> tuple[Block, ...]:
    """Whether the answer rests on everything, every kind of gap that stands, and what was looked for and not met."""
    stated = mapping(answer.get("completeness"))
    hops = mapping(stated.get("hops_by_basis"))
    gaps = {str(kind): mapping(found) for kind, found in mapping(stated.get("gaps")).items()}
    facts = [
        computed("Complete", stated.get("complete") if isinstance(stated.get("complete"), bool) else None, "the trace’s own account"),
        *time_facts(answer),
        computed(
            "Steps by how they are known",
            ", ".join(f"{key}: {value}" for key, value in sorted(hops.items())) or None,
            "of the edges walked",
        ),
        computed("Events not yet projected", whole(stated.get("lag")), "when the question was answered"),
    ]
    if not gaps:
        facts += [gap(f"Reason {i}", scrub(str(reason))) for i, reason in enumerate(items(stated.get("reasons")), 1)]
        return (Facts(items=tuple(facts)),)
    stand = [found for found in gaps.values() if whole(found.get("count"))]
    blocks: list[Block] = [Facts(items=tuple(facts))]
    if stand:
        rows = tuple((text(found.get("what")) or "—", whole(found.get("count")), _examples(found)) for found in stand)
        blocks.append(Table(columns=("What is not known", "How often", "For example"), rows=rows, caption="The gaps of this answer."))
    none = [text(found.get("what")) or kind for kind, found in gaps.items() if not whole(found.get("count"))]
    if none:
        blocks.append(Note(text=f"Looked for, and not met: {'; '.join(none)}.", tone="plain"))
    return tuple(blocks)


def _examples(found: Mapping[str, Any]) -> str:
    said = [scrub(str(mapping(one).get("reason"))) for one in items(found.get("examples"))]
    more = (whole(found.get("count")) or 0) - len(said)
    return "\n".join([*said[:3], *([f"and {more + len(said[3:])} more"] if more + len(said[3:]) > 0 and len(said) > 1 else [])]) or "—"
