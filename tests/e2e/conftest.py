"""A home with a serving credit model, made once per worker and copied for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.river import River, copy_of


@pytest.fixture(scope="session")
def deployed_template(tmp_path_factory: pytest.TempPathFactory) -> River:
    """A stopped home in which credit-risk@1 is trained, audited and released."""
    river = River(tmp_path_factory.mktemp("deployed"))
    river.start()
    try:
        river.deployed_model()
    finally:
        river.stop()
    return river


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
