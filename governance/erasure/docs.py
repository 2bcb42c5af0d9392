"""The page ``docs/reference/erasure-states.md``, made from states and law packs: ``python -m governance.erasure.docs [FILE]``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from governance.erasure.packs import Packs
from governance.erasure.states import CLOSED, DESTRUCTIVE, FINAL, TABLE
from governance.erasure.task_states import TASK_TABLE
from governance.model import ErasureState

if TYPE_CHECKING:
    from governance.erasure.law import Pack, Period

__all__ = ["main", "states_page"]

HEAD = """# States and law packs of an erasure request

*Made from the code by `python -m governance.erasure.docs docs/reference/erasure-states.md`; a test fails when this page is stale.*

## States

A request passes through these states and no others. In a state marked *destroys* a person's data is excluded, purged, or waits to be; in
one marked *answered* the clock has stopped; from one marked *final* there is no way on.

![The states of a request and the ways between them](../images/erasure-states.svg)

| state | |
|---|---|
"""

WAYS = """
## Ways

Each way is one entry of the ledger, with actor, time and reason. What it needs is checked in the transaction that makes it, whoever asks.
`privacy` is a key with that role; `system` is a workflow or the sweep of the deadlines.

| from | to | who | ledger entry `govern.erasure.` | needs |
|---|---|---|---|---|
"""

TASKS = """
## Tasks of owners

What lies elsewhere and rests on erased rows is asked of its owner. `owner` is whoever answers through the door.

| from | to | who | ledger entry `govern.` |
|---|---|---|---|
"""

PACKS = """
## Law packs

What the packs that come with Govern say; `govern erasure packs` lists those of an installation. A request keeps the id, the version and
the digest of the pack it rests on. The words are ours, the official texts decide; this is no legal advice.
"""


def states_page() -> str:
    """The page as Markdown."""
    parts = [HEAD, *(f"| `{state}` | {_marks(state)} |\n" for state in ErasureState), WAYS]
    parts += [f"| `{way.source}` | `{way.target}` | {way.who} | `{way.emits}` | {'; '.join(way.needs)} |\n" for way in TABLE]
    parts.append(TASKS)
    parts += [f"| `{way.source}` | `{way.target}` | {way.who} | `{way.emits}` |\n" for way in TASK_TABLE]
    parts.append(PACKS)
    parts += [_pack(pack) for pack in Packs().all()]
    return "".join(parts)


def _marks(state: ErasureState) -> str:
    marks = [name for name, states in (("destroys", DESTRUCTIVE), ("answered", CLOSED), ("final", FINAL)) if state in states]
    return ", ".join(marks)


def _pack(pack: Pack) -> str:
    lines = [
        f"\n### {pack.id} {pack.version}: {pack.title}\n\n",
        f"{pack.source}. Status: {pack.status.replace('_', ' ')}, from {pack.effective_from}. Deadlines are days of {pack.zone}.\n\n",
        "| clock | limit | extension | stands still | basis | source |\n|---|---|---|---|---|---|\n",
    ]
    for name, rule in pack.rules.items():
        extension = f"once, {_period(rule.extension.limit)}: {rule.extension.source}" if rule.extension else "none"
        still = f"while identity is asked for: {rule.suspended_source}" if rule.suspended_while else "never"
        rolls = "; a last day that is no business day moves to the next" if rule.rolls else ""
        lines.append(f"| {name}: {rule.says} | {_period(rule.limit)}{rolls} | {extension} | {still} | {rule.basis} | {rule.source} |\n")
    expiry, appeal = pack.identity, pack.appeal
    lines.append(f"\nWithout proof of identity a request expires after {_period(expiry.expires)} ({expiry.basis}: {expiry.source}).\n")
    lines.append(f"Contact data is shredded {_period(appeal.limit)} after the answer ({appeal.basis}: {appeal.source}).\n")
    lines.append("\n| ground | article | says |\n|---|---|---|\n")
    lines += [f"| `{name}` | {ground.article} | {ground.says} |\n" for name, ground in pack.grounds.items()]
    return "".join(lines)


def _period(period: Period) -> str:
    said = [(period.months, "month"), (period.days, "day"), (period.business_days, "business day")]
    return " and ".join(f"{count} {word}{'s' if count > 1 else ''}" for count, word in said if count)


def main(arguments: Sequence[str]) -> int:
    """Write the page to the file named first, or to standard output; returns the exit code."""
    if arguments:
        Path(arguments[0]).write_text(states_page(), encoding="utf-8")
    else:
        sys.stdout.write(states_page())
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
