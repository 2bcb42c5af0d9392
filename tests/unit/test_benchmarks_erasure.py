"""What the erasure benchmarks stand on: the same rows in every run, pages whose suites are there, a suite that is missing that fails."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util

import numpy as np
import pytest

from benchmarks import erasure_page, lineage_page
from benchmarks.erasure_rows import measure, owners, references
from benchmarks.erasure_sizes import Job, Sizes


def test_the_people_and_their_rows_are_the_same_in_every_run() -> None:
    assert (references(5) == references(5)).all()
    assert len(np.unique(references(1000), axis=0)) == 1000
    assert (owners(10, 100) == owners(10, 100)).all()
    assert set(owners(10, 1000).tolist()) == set(range(10))


@pytest.mark.parametrize("page", [erasure_page.PAGE, lineage_page.PAGE], ids=lambda page: page.title)
def test_every_suite_of_a_page_is_there(page) -> None:
    for module in page.suites.values():
        assert importlib.util.find_spec(module) is not None
    assert next(iter(page.sizes)) == "quick"


def test_a_suite_that_is_missing_fails_the_page(capsys) -> None:
    page = dataclasses.replace(erasure_page.PAGE, suites={"nothing": "benchmarks.erasure_nothing"})
    assert page.main([]) == 1
    assert "not measured: ModuleNotFoundError" in capsys.readouterr().out


def test_every_figure_of_the_row_index_is_measured(tmp_path) -> None:
    sizes = Sizes(name="tiny", rows=3000, subjects=300, versions=3, changed=100, models=9, asked=5)
    lines = list(measure(Job(sizes=sizes, folder=tmp_path)))
    assert [line.failed for line in lines] == [None] * 7
    assert all(line.value >= 0 and line.baseline_value > 0 for line in lines)  # three thousand rows may grow by less than a page
