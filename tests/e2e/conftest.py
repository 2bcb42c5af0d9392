"""A home with a serving credit model, made once for all test processes and copied for each test."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.river import River, copy_of, opened


@pytest.fixture(scope="session")
def deployed_template(tmp_path_factory: pytest.TempPathFactory) -> River:
    """A stopped home in which credit-risk@1 is trained, audited and released."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    root = shared / "deployed"
    with (shared / "deployed.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (root / "ready").exists():
            river = River(root)
            river.start()
            try:
                river.deployed_model()
            finally:
                river.stop()
            (root / "ready").write_text(river.admin)
    return opened(root, (root / "ready").read_text())


@pytest.fixture
def deployed(deployed_template: River, tmp_path: Path) -> Iterator[River]:
    """A running copy of it."""
    river = copy_of(deployed_template, tmp_path)
    river.start()
    yield river
    river.stop()


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[River]:
    """A running, empty home."""
    river = River(tmp_path)
    river.start()
    yield river
    river.stop()
