"""Prediction records in a file: nothing is left in any page; what every store does is in ``tests/contract/test_predictions_stores.py``."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from governance.adapters.predictions import SqlitePredictions
from lineage.errors import StoreUnavailable
from tests.support.scanner import scan

REF = "a" * 32


def one(n: int, **changes: Any) -> dict[str, Any]:
    base = {"id": f"p-{n:04}", "at": 1000 + n, "deployment": "d-1", "model": "credit-risk", "version": "1"}
    named = {"subject_ref": REF, "epoch": None if changes.get("subject_ref", REF) is None else "epoch-1"}
    return {**base, **named, "inputs": b'{"age": 33}', "outputs": b'["good"]', **changes}


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


def test_records_of_the_first_schema_get_their_epoch(tmp_path: Path) -> None:
    old = sqlite3.connect(tmp_path / "old.db")
    old.executescript(
        "CREATE TABLE prediction (id TEXT PRIMARY KEY, at INTEGER NOT NULL, deployment TEXT NOT NULL, model TEXT NOT NULL,"
        " version TEXT NOT NULL, subject TEXT, inputs BLOB, outputs BLOB, request TEXT); PRAGMA user_version=1;"
    )
    for n, ref in ((1, REF), (2, None)):
        old.execute("INSERT INTO prediction VALUES (?, ?, 'd-1', 'credit-risk', '1', ?, x'01', x'02', NULL)", (f"p-{n:04}", 1000 + n, ref))
    old.commit()
    old.close()
    for _again in range(2):
        store = SqlitePredictions(tmp_path / "old.db")
        assert [store.get(f"p-{n:04}")["epoch"] for n in (1, 2)] == ["epoch-1", None]
        assert store.named() == [("epoch-1", REF, 1)]
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
