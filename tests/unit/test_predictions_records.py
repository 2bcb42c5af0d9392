"""Prediction records: kept whole, erased physically, the receipt stays."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from governance.adapters.predictions import SqlitePredictions
from lineage.errors import BadInput, Conflict, Gone, NotFound, StoreUnavailable
from tests.support.scanner import scan

REF, OTHER = "a" * 32, "b" * 32


@pytest.fixture
def store(tmp_path: Path):
    predictions = SqlitePredictions(tmp_path / "predictions.db")
    yield predictions
    predictions.close()


def one(n: int, **changes: Any) -> dict[str, Any]:
    base = {"id": f"p-{n:04}", "at": 1000 + n, "deployment": "d-1", "model": "credit-risk", "version": "1"}
    return {**base, "subject_ref": REF, "inputs": b'{"age": 33}', "outputs": b'["good"]', **changes}


def test_what_was_recorded_is_given_back(store: SqlitePredictions) -> None:
    store.record(**one(1))
    store.record(**one(1))
    assert store.get("p-0001") == one(1)
    assert store.count() == store.count("credit-risk") == 1
    assert store.count("other") == 0
    with pytest.raises(Conflict, match="p-0001"):
        store.record(**one(1, outputs=b'["bad"]'))
    with pytest.raises(NotFound, match="p-9"):
        store.get("p-9")


def test_by_subject_over_epochs_oldest_first(store: SqlitePredictions) -> None:
    for n, ref in ((3, REF), (1, OTHER), (2, None), (4, "c" * 32)):
        store.record(**one(n, subject_ref=ref))
    assert store.by_subject([REF, OTHER, REF]) == ["p-0001", "p-0003"]
    assert store.by_subject([]) == []
    assert store.unknown_subjects() == store.unknown_subjects("credit-risk") == 1
    assert store.unknown_subjects("other") == 0


def test_forget_leaves_a_receipt(store: SqlitePredictions) -> None:
    store.record(**one(1))
    store.record(**one(2, subject_ref=None))
    assert store.residual(["p-0001", "p-0002", "p-9"]) == 2
    assert store.forget(["p-0001", "p-0001", "p-9"], request="er-1") == 1
    assert store.forget(["p-0001"], request="er-2") == 0
    assert store.residual(["p-0001"]) == 0
    with pytest.raises(Gone, match="er-1"):
        store.get("p-0001")
    assert store.receipt("p-0001") == {
        "id": "p-0001",
        "at": 1001,
        "deployment": "d-1",
        "model": "credit-risk",
        "version": "1",
        "request": "er-1",
    }
    assert store.receipt("p-0002")["request"] is None
    assert store.by_subject([REF]) == []
    assert store.count() == 2
    assert store.unknown_subjects() == 1
    with pytest.raises(Conflict):
        store.record(**one(1))  # a late writer does not bring the person back
    with pytest.raises(BadInput, match="request"):
        store.forget(["p-0002"], request="")


def test_a_reference_is_asked_for_and_the_refusal_repeats_nothing(store: SqlitePredictions) -> None:
    with pytest.raises(BadInput) as caught:
        store.record(**one(1, subject_ref="applicant:17"))
    assert "17" not in str(caught.value).replace("32", "")
    assert store.count() == 0


def test_nothing_is_left_in_any_page(tmp_path: Path) -> None:
    """Records of all sizes come and go in random order; after each round no erased value is in any byte of any file."""
    rng = random.Random(5)
    store = SqlitePredictions(tmp_path / "predictions.db")
    kept: dict[str, bytes] = {}
    erased: list[bytes] = []
    for number in range(600):
        mark = f"Sentinel-{rng.getrandbits(64):016x}".encode()
        size = rng.choice([0, 40, 700, 3000, 9000])
        store.record(**one(number, subject_ref=f"{rng.getrandbits(128):032x}", inputs=mark + b"." * size, outputs=mark))
        kept[f"p-{number:04}"] = mark
        if number % 40 == 39:
            going = rng.sample(sorted(kept), 25)
            assert store.forget(going, request=f"er-{number}") == 25
            erased += [kept.pop(prediction) for prediction in going]
            raw = b"".join(path.read_bytes() for path in sorted(tmp_path.iterdir()))
            assert not [mark for mark in erased if mark in raw]
            assert all(mark in raw for mark in kept.values())
    assert scan(tmp_path, erased[-20:]).clean
    assert store.count() == 600
    store.close()


def test_what_is_no_store_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "p.db").write_bytes(b"not a database, by far " * 50)
    with pytest.raises(StoreUnavailable, match=r"p\.db"):
        SqlitePredictions(tmp_path / "p.db")
    newer = sqlite3.connect(tmp_path / "newer.db")
    newer.execute("PRAGMA user_version=99")
    newer.close()
    with pytest.raises(StoreUnavailable, match="newer"):
        SqlitePredictions(tmp_path / "newer.db")
