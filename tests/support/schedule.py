"""Which tests run in one process: those that share something that takes long to start.

pytest-xdist's own groups (``--dist loadgroup``) read the marks of an item, and pytest 9 gives the item's id without them; its
``loadscope`` keeps every file together, and the longest file would then decide how long a run takes.
"""

from __future__ import annotations

import pytest
from xdist.scheduler import LoadScopeScheduling

__all__ = ["ByServer", "place"]

_SERVERS = ("neo4j", "kafka", "postgres")
_SHARING = (
    "tests/e2e/",
    "tests/integration/",
    "tests/crash/test_crash_erasure",
    "tests/crash/test_crash_retention",
    "tests/unit/test_trainers_",
)


def place(nodeid: str) -> str:
    """What the test shares with others: a server, else the fixtures of its file, else nothing but itself.

    >>> place("tests/contract/test_lineage_time.py::test_a_late_event[neo4j]"), place("tests/integration/test_neo4j_graph.py::test_raw")
    ('neo4j', 'neo4j')
    >>> place("tests/e2e/test_e2e_river.py::test_river")
    'tests/e2e/test_e2e_river.py'
    >>> place("tests/unit/test_ledger_sql.py::test_root[3]")
    'tests/unit/test_ledger_sql.py::test_root[3]'
    """
    for server in _SERVERS:
        if server in nodeid:
            return server
    file = nodeid.split("::", 1)[0]
    return file if nodeid.startswith(_SHARING) else nodeid


class ByServer(LoadScopeScheduling):
    """Gives each free process the next tests that belong together, in the order in which they were collected."""

    def __init__(self, config: pytest.Config, log: object = None) -> None:
        config.option.loadscopereorder = False  # the longest first, not the most
        super().__init__(config, log)

    def _split_scope(self, nodeid: str) -> str:
        return place(nodeid)
