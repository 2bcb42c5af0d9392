"""The states of a task that the owner of something elsewhere is given, and the only ways between them. Pure.

::

    open ─delivered→ told ─────┬─→ answered_done      its owner says that it followed, with evidence
      │                │       ├─→ answered_cannot    its owner says why it cannot
      └─its day passes─┴→ overdue ─┘

Nothing but an answer ends a task, and an answer is the owner's word: it never raises an asset above ``not_reachable``.
``docs/reference/erasure-states.md`` is made from this table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from governance.model import TaskState as T
from lineage.errors import Conflict

__all__ = ["TASK_TABLE", "TaskWay", "answerable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskWay:
    """One way from a state to another."""

    source: T
    target: T
    who: str
    """``owner``: whoever answers through a door; ``system``: the courier, or time."""
    emits: str
    """Kind of the ledger entry, without ``govern.``."""


def _way(source: T, target: T, who: str, emits: str) -> TaskWay:
    return TaskWay(source=source, target=target, who=who, emits=emits)


_UNANSWERED = (T.OPEN, T.TOLD, T.OVERDUE)

TASK_TABLE: tuple[TaskWay, ...] = (
    _way(T.OPEN, T.TOLD, "system", "webhook.delivered"),
    _way(T.OPEN, T.OVERDUE, "system", "task.overdue"),
    _way(T.TOLD, T.OVERDUE, "system", "task.overdue"),
    *(_way(source, target, "owner", "task.answered") for source in _UNANSWERED for target in (T.ANSWERED_DONE, T.ANSWERED_CANNOT)),
)
"""Every way there is. An answer that comes late is taken: a task that was answered is better than one that expired."""


def answerable(task: Mapping[str, object], answer: T) -> None:
    """Nothing, where the table has the way from the task's state to the answer.

    >>> answerable({"id": "t", "state": "overdue"}, T.ANSWERED_DONE)
    >>> answerable({"id": "t", "state": "answered_done"}, T.ANSWERED_CANNOT)
    Traceback (most recent call last):
    ...
    lineage.errors.Conflict: task t is answered_done already
    """
    if not any(way.source == task["state"] and way.target is answer for way in TASK_TABLE):
        raise Conflict(f"task {task['id']} is {task['state']} already", hint=f"govern erasure task show {task['id']}")
