"""The examples in the docstrings of lineage are true."""

from __future__ import annotations

import doctest

import pytest

from lineage import hashing
from lineage.graph import keys
from lineage.openlineage import identity, names


@pytest.mark.parametrize("module", [hashing, identity, keys, names], ids=lambda module: module.__name__)
def test_examples_hold(module):
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0
