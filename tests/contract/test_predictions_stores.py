"""Prediction records on SQLite and on PostgreSQL: kept whole, erased physically, the receipt stays."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from governance.adapters.predictions import Predictions, SqlitePredictions
from governance.adapters.predictions_postgres import PostgresPredictions
from lineage.adapters.postgres_database import PostgresDatabase
from lineage.errors import BadInput, Conflict, Gone, NotFound, StoreUnavailable

REF, OTHER = "a" * 32, "b" * 32


@pytest.fixture(params=["sqlite", "postgres"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Predictions, Callable[[], bytes]]]:
    """The records, and every byte that the store promises to empty."""
    if request.param == "sqlite":
        store: Predictions = SqlitePredictions(tmp_path / "predictions.db")

        def disk() -> bytes:
            return b"".join(path.read_bytes() for path in tmp_path.iterdir())

    else:
        uri, server = request.getfixturevalue("postgres_uri"), request.getfixturevalue("postgres_server")
        store = PostgresPredictions(PostgresDatabase(uri))

        def disk() -> bytes:
            import psycopg

            with psycopg.connect(uri, autocommit=True) as db:
                db.execute("CHECKPOINT")
                (oid,) = db.execute("SELECT oid FROM pg_database WHERE datname = current_database()").fetchone()
            return b"".join(path.read_bytes() for path in (server.data / "base" / str(oid)).iterdir())

    yield store, disk
    store.close()


@pytest.fixture
def store(opened: tuple[Predictions, Callable[[], bytes]]) -> Predictions:
    return opened[0]


def one(n: int, **changes: Any) -> dict[str, Any]:
    base = {"id": f"p-{n:04}", "at": 1000 + n, "deployment": "d-1", "model": "credit-risk", "version": "1"}
    named = {"subject_ref": REF, "epoch": None if changes.get("subject_ref", REF) is None else "epoch-1"}
    return {**base, **named, "inputs": b'{"age": 33}', "outputs": b'["good"]', **changes}


def test_what_was_recorded_is_given_back(store: Predictions) -> None:
    store.record(**one(1))
    store.record(**one(1))
    assert store.get("p-0001") == one(1)
    assert store.count() == store.count("credit-risk") == 1
    assert store.count("other") == 0
    with pytest.raises(Conflict, match="p-0001"):
        store.record(**one(1, outputs=b'["bad"]'))
    with pytest.raises(NotFound, match="p-9"):
        store.get("p-9")


def test_by_subject_over_epochs_oldest_first(store: Predictions) -> None:
    for n, ref in ((3, REF), (1, OTHER), (2, None), (4, "c" * 32)):
        store.record(**one(n, subject_ref=ref))
    assert store.by_subject([REF, OTHER, REF]) == ["p-0001", "p-0003"]
    assert store.by_subject([]) == []
    assert store.unknown_subjects() == store.unknown_subjects("credit-risk") == 1
    assert store.unknown_subjects("other") == 0


def test_forget_leaves_a_receipt(store: Predictions) -> None:
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


def test_a_reference_is_asked_for_and_the_refusal_repeats_nothing(store: Predictions) -> None:
    with pytest.raises(BadInput) as caught:
        store.record(**one(1, subject_ref="applicant:17"))
    assert "17" not in str(caught.value).replace("32", "")
    assert store.count() == 0


def test_what_is_erased_is_in_no_byte_of_any_file(opened: tuple[Predictions, Callable[[], bytes]]) -> None:
    store, disk = opened
    rng = random.Random(5)
    marks = {f"p-{n:04}": rng.randbytes(24) for n in range(60)}
    for number, (prediction, mark) in enumerate(marks.items()):
        size = rng.choice([0, 700, 9000])
        store.record(**one(number, subject_ref=f"{rng.getrandbits(128):032x}", inputs=mark + rng.randbytes(size), outputs=mark))
        assert prediction == f"p-{number:04}"
    assert all(mark in disk() for mark in list(marks.values())[:3])
    going = rng.sample(sorted(marks), 25)
    assert store.forget(going, request="er-1") == 25
    left = disk()
    assert [prediction for prediction in going if marks[prediction] in left] == []
    assert all(mark in left for prediction, mark in marks.items() if prediction not in going)
    assert store.count() == 60


def test_references_are_replaced_by_newer_ones_and_the_rest_is_told(store: Predictions) -> None:
    new = "d" * 32
    for n, ref in ((1, REF), (2, REF), (3, OTHER), (4, None)):
        store.record(**one(n, subject_ref=ref))
    store.record(**one(5, subject_ref=new) | {"epoch": "epoch-2"})
    assert store.named() == [("epoch-1", REF, 2), ("epoch-1", OTHER, 1), ("epoch-2", new, 1)]
    assert store.rekey({REF: new, "e" * 32: "f" * 32}, epoch="epoch-2") == 2
    assert store.rekey({REF: new}, epoch="epoch-2") == 0
    assert store.named() == [("epoch-1", OTHER, 1), ("epoch-2", new, 3)]
    assert store.by_subject([new]) == ["p-0001", "p-0002", "p-0005"]
    assert store.by_subject([REF]) == []
    assert store.get("p-0001")["epoch"] == "epoch-2"
    assert store.unlink("epoch-1") == 1
    assert store.unlink("epoch-1") == 0
    assert store.unknown_subjects() == 2, "nobody is named any more, and certificates count it"
    assert store.get("p-0003")["inputs"] == b'{"age": 33}'
    assert store.forget(["p-0001"], request="er-1") == 1
    assert store.named() == [("epoch-2", new, 2)]


def test_a_reference_without_its_epoch_is_refused(store: Predictions) -> None:
    for wrong in ({"epoch": None}, {"subject_ref": None}, {"epoch": "master"}, {"epoch": "epoch-0"}):
        with pytest.raises(BadInput, match="comes with the epoch"):
            store.record(**{**one(1), **wrong})
    assert store.count() == 0


@pytest.mark.integration
def test_postgres_records_of_the_first_schema_get_their_epoch(postgres_uri: str) -> None:
    import psycopg

    store = PostgresPredictions(PostgresDatabase(postgres_uri))
    store.record(**one(1))
    store.record(**one(2, subject_ref=None))
    store.close()
    with psycopg.connect(postgres_uri, autocommit=True) as db:
        db.execute("ALTER TABLE govern_predictions.prediction DROP COLUMN epoch")
        db.execute("UPDATE govern_predictions.schema_version SET version = 1")
    store = PostgresPredictions(PostgresDatabase(postgres_uri))
    assert (store.get("p-0001"), store.get("p-0002")) == (one(1), one(2, subject_ref=None))
    store.close()


def test_closed_records_say_so(store: Predictions) -> None:
    store.close()
    with pytest.raises(StoreUnavailable):
        store.count()


@pytest.mark.integration
def test_on_postgres_two_processes_share_them_and_a_lost_connection_is_opened_again(postgres_uri: str) -> None:
    import psycopg

    one_, two = (PostgresPredictions(PostgresDatabase(postgres_uri)) for _ in range(2))
    one_.record(**one(1))
    assert two.get("p-0001") == one(1)
    with psycopg.connect(postgres_uri, autocommit=True) as db:
        db.execute(
            "SELECT pg_terminate_backend(pid, 30000) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    assert one_.count() == two.count() == 1
    with psycopg.connect(postgres_uri, autocommit=True) as db:
        db.execute("UPDATE govern_predictions.schema_version SET version = 99")
    with pytest.raises(StoreUnavailable, match="newer than 2"):
        PostgresPredictions(PostgresDatabase(postgres_uri))
    one_.close()
    two.close()
