"""Durable workflows on SQLite and on PostgreSQL: a step that is done is not done again, a start counts once, another version begins anew."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from governance.adapters.dbos_engine import DbosEngine
from governance.adapters.dbos_stores import PostgresSteps, SqliteSteps, StepStore
from governance.ports import Steps
from lineage.adapters.postgres_database import PostgresDatabase
from lineage.errors import StoreUnavailable


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StepStore]:
    if request.param == "sqlite":
        yield SqliteSteps(tmp_path / "workflows.db")
    else:
        yield PostgresSteps(PostgresDatabase(request.getfixturevalue("postgres_uri")))


@pytest.fixture
def engine_of(store: StepStore) -> Iterator[Callable[..., DbosEngine]]:
    """Makes engines, one after the other, and stops the last."""
    made: list[DbosEngine] = []

    def make(**options: str) -> DbosEngine:
        for before in made:
            before.stop()
        made.append(DbosEngine(store, **options))
        return made[-1]

    yield make
    for engine in made:
        engine.stop()


class Work:
    """A workflow of two steps; the second waits to be let through, so that it can be interrupted."""

    def __init__(self, *names: str) -> None:
        self.names = names or ("first", "second")
        self.did: list[str] = []
        self.open = threading.Event()
        self.ended = threading.Event()

    def run(self, steps: Steps, argument: str) -> None:
        def first() -> str:
            self.did.append(f"{self.names[0]} {argument}")
            return "what the first step found"

        def second() -> str:
            self.did.append(f"{self.names[1]} {argument}")
            self.open.wait(20)
            return found

        found = steps.run(self.names[0], first)
        assert steps.run(self.names[1], second) == "what the first step found"
        self.ended.set()

    def until(self, count: int) -> None:
        end = time.monotonic() + 20
        while len(self.did) < count:
            assert time.monotonic() < end, self.did
            time.sleep(0.01)


def begun(engine: DbosEngine, work: Work) -> DbosEngine:
    engine.define("work", work.run)
    engine.launch()
    return engine


def test_a_start_counts_once_and_its_steps_are_remembered(engine_of: Callable[..., DbosEngine]) -> None:
    work = Work()
    work.open.set()
    engine = begun(engine_of(), work)
    engine.start("work", "w-1", "a")
    assert work.ended.wait(20)
    engine.start("work", "w-1", "a")
    engine.start("work", "w-2", "b")
    work.until(4)
    assert work.did == ["first a", "second a", "first b", "second b"]
    again = Work()
    engine = begun(engine_of(), again)
    engine.start("work", "w-1", "a")  # also for a process that comes later
    time.sleep(0.3)
    assert again.did == []


def test_what_was_interrupted_goes_on_after_the_last_step_that_was_done(engine_of: Callable[..., DbosEngine]) -> None:
    work = Work()
    engine = begun(engine_of(), work)
    engine.start("work", "w-1", "a")
    work.until(2)
    engine.stop()
    work.open.set()  # it ends now, and may say so to nobody
    time.sleep(0.2)
    assert not work.ended.is_set()
    again = Work()
    again.open.set()
    begun(engine_of(), again)
    assert again.ended.wait(20)
    assert again.did == ["second a"]


def test_what_another_version_left_half_done_is_begun_anew_under_the_same_id(engine_of: Callable[..., DbosEngine]) -> None:
    work = Work()
    engine = begun(engine_of(version="steps-1"), work)
    engine.start("work", "w-1", "a")
    work.until(2)
    engine.stop()
    work.open.set()
    newer = Work("prepare", "carry out")
    newer.open.set()
    engine = begun(engine_of(version="steps-2"), newer)
    time.sleep(0.3)
    assert newer.did == [], "it is not known here what the remembered step would be"
    engine.start("work", "w-1", "a")
    assert newer.ended.wait(20)
    assert newer.did == ["prepare a", "carry out a"]


def test_an_engine_that_was_stopped_starts_again(engine_of: Callable[..., DbosEngine]) -> None:
    work = Work()
    work.open.set()
    engine = begun(engine_of(), work)
    engine.stop()
    engine.launch()
    engine.start("work", "w-1", "a")
    assert work.ended.wait(20)


def test_a_store_that_cannot_be_used_says_which(tmp_path: Path) -> None:
    engine = DbosEngine(SqliteSteps(tmp_path))
    with pytest.raises(StoreUnavailable, match=str(tmp_path)):
        engine.launch()
    away = DbosEngine(PostgresSteps(PostgresDatabase("postgresql://ada:s3cret@127.0.0.1:1/steps?connect_timeout=2")))
    with pytest.raises(StoreUnavailable, match=r"steps at 127\.0\.0\.1 cannot be reached") as caught:
        away.launch()
    assert "s3cret" not in str(caught.value)
