"""How complete an answer is, for the eye: one sentence, or every gap that stands with its examples below."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["completeness_line", "gap_lines"]


def completeness_line(answer: Mapping[str, Any]) -> str:
    """One sentence: whether the answer rests on everything, and if not, why."""
    state = answer.get("completeness") or {}
    if state.get("complete"):
        hops = _hops(state)
        return f"complete{f' ({hops})' if hops else ''}"
    reasons = "; ".join(str(reason) for reason in state.get("reasons") or []) or "no reason was given"
    lag = f"; {state['lag']} events are not projected yet" if state.get("lag") and "gaps" not in state else ""
    return f"NOT complete: {reasons}{lag}"


def gap_lines(answer: Mapping[str, Any]) -> Iterator[tuple[str, list[str]]]:
    """(what is not known and how often, examples as sentences) of every gap that stands; nothing where the answer tells no gaps.

    >>> list(gap_lines({"completeness": {"gaps": {"lag": {"count": 0, "what": "entries", "examples": []}}}}))
    []
    """
    for gap in ((answer.get("completeness") or {}).get("gaps") or {}).values():
        if gap.get("count"):
            examples = [str(example.get("reason")) for example in gap.get("examples") or []]
            more = gap["count"] - len(examples)
            yield f"{gap['count']} × {gap.get('what')}", examples + ([f"and {more} more"] if more > 0 and len(examples) > 1 else [])


def _hops(state: Mapping[str, Any]) -> str:
    return ", ".join(f"{count} {basis}" for basis, count in sorted((state.get("hops_by_basis") or {}).items()))
