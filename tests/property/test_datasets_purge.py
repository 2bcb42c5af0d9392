"""Any sequence of writes, restarts and purges answers as a plain model in memory does, and leaves no erased value on disk."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lineage.datasets import commitments, dataset_digest, non_membership, row_set, verify_non_membership
from lineage.errors import Gone
from lineage.ports import VersionedDataset
from tests.support.dataset_stores import KINDS, open_dataset
from tests.support.rows_keys import MemoryKeys
from tests.support.scanner import scan

KEYS = MemoryKeys()
appends = st.tuples(st.just("append"), st.integers(1, 4))
replaces = st.tuples(st.just("replace"), st.lists(st.integers(0, 9), max_size=5, unique=True))
purges = st.tuples(st.just("purge"), st.lists(st.integers(1, 14), max_size=4))
deletes = st.tuples(st.just("delete"), st.lists(st.integers(1, 14), max_size=4))
restarts = st.tuples(st.just("restart"), st.none())


@dataclass
class Model:
    """The rows of each version as a dict; a purge keeps those versions that did not hold a row."""

    versions: dict[str, dict[int, str]] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    erased: set[str] = field(default_factory=set)
    latest: str = ""
    next_id: int = 1

    def rows(self) -> dict[int, str]:
        return self.versions.get(self.latest, {})

    def write(self, version: str, rows: dict[int, str]) -> None:
        self.versions[version] = rows
        self.latest = version
        self.next_id = max([self.next_id - 1, *rows]) + 1


def table(values: list[str]) -> pa.Table:
    return pa.table({"line": pa.array(values, pa.string())})


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_as_the_model(kind: str, data: st.DataObject) -> None:
    choices = st.one_of(appends, purges, restarts, *([] if kind == "lines" else [replaces, deletes]))
    actions = data.draw(st.lists(choices, min_size=1, max_size=7))
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)

        def open_it() -> VersionedDataset:
            return open_dataset(kind, root, sort_by=None if kind == "lines" else "line")

        ds, model, made = open_it(), Model(), 0
        for number, (what, argument) in enumerate([("append", 2), *actions]):
            if what == "restart":
                ds = open_it()
            elif what == "append":
                values = [f"value-{made + i:04}-of-a-row" for i in range(argument)]
                made += argument
                info = ds.write(table(values), mode="append")
                model.write(info.version, {**model.rows(), **{model.next_id + i: v for i, v in enumerate(values)}})
            elif what == "replace":
                values = [f"value-{n:04}-of-a-row" for n in argument]
                made = max([made, *(n + 1 for n in argument)])
                # An erased value that comes again is a new row; the scan below must then not look for it.
                model.erased -= set(values)
                before = {value: row for row, value in model.rows().items()}
                fresh = model.next_id
                rows = {}
                for value in values:
                    rows[before.get(value, fresh)] = value
                    fresh += value not in before
                info = ds.write(table(values), mode="replace", key="line")
                model.write(info.version, rows)
                model.next_id = fresh
            elif what == "delete":
                rest = {row: value for row, value in model.rows().items() if row not in argument}
                info = ds.delete(argument)
                assert (info.version == model.latest) == (rest == model.rows())
                model.write(info.version, rest)
            else:
                purge(ds, model, argument, request=f"er-{number}")
            check(ds, model)
        erased = [v.encode() for v in model.erased if not any(v in rows.values() for rows in model.versions.values())]
        if erased:
            report = scan(root, erased)
            assert report.clean, report


def purge(ds: VersionedDataset, model: Model, row_ids: list[int], *, request: str) -> None:
    held = {v for v, rows in model.versions.items() if rows.keys() & set(row_ids)}
    deleted = {row for v in held for row in model.versions[v].keys() & set(row_ids)}
    report = ds.purge(row_ids, request=request)
    assert report.rows_deleted == len(deleted)
    assert set(report.versions_removed) == held
    assert report.residual_rows == 0
    model.erased |= {model.versions[v][row] for v in held for row in model.versions[v].keys() & deleted}
    rest = {row: value for row, value in model.rows().items() if row not in deleted}
    if model.latest in held:
        model.versions[report.new_version.version] = rest
        model.latest = report.new_version.version
    for version in held:
        del model.versions[version]
        model.gone.add(version)
    assert report.new_version.version == model.latest
    leaves = commitments(KEYS, "d", ds.row_ids(model.latest))
    for target in commitments(KEYS, "d", row_ids):
        proof = non_membership(leaves, target)
        assert verify_non_membership(proof, report.new_version.row_set.digest, report.new_version.row_set.count, target=target)


def check(ds: VersionedDataset, model: Model) -> None:
    infos = {v.version: v for v in ds.versions() if v.rows or v.version in model.versions}
    latest = ds.latest()
    assert latest is not None
    assert latest.version == model.latest
    for version, rows in model.versions.items():
        read = ds.read(version)
        assert dict(zip(read.column(0).to_pylist(), read.column("line").to_pylist(), strict=True)) == rows
        assert read.column(0).to_pylist() == sorted(rows) == ds.row_ids(version)
        assert ds.count(version) == infos[version].rows == len(rows)
        assert infos[version].digest == dataset_digest(read)
        assert infos[version].row_set == row_set(KEYS, "d", rows)
        assert not infos[version].gone
    for version in model.gone:
        assert infos[version].gone
        with pytest.raises(Gone):
            ds.read(version)
    assert {v for v, info in infos.items() if info.gone} == model.gone
