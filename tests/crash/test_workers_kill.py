"""kill -9 of a worker at every step boundary and at random moments of an erasure; a second worker takes over and ends it once.

Three models on two datasets (Lance, Parquet), on SQLite and on PostgreSQL. What is counted is counted outside of Govern: the side file that
each training tells, the stores' catalogs and decoded files, the artifact folders, the papers, the tables read by plain SQL. A failure says
its kill; a random campaign prints its seed, and takes it from CRASH_SEED.
"""

from __future__ import annotations

import os
import random
import statistics
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from tests.support.campaign import Campaign, Outcome

pytestmark = [pytest.mark.crash, pytest.mark.timeout(7200)]

RANDOM_KILLS = 100


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
def campaign(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Campaign]:
    """A home with a request that waits for its approval, in each kind of store."""
    server = request.getfixturevalue("postgres_server") if request.param == "postgres" else None
    made = Campaign(tmp_path_factory.mktemp("campaign"), server)
    yield made
    made.close()


def carried_out(campaign: Campaign, kills: Iterable[dict[str, Any]]) -> list[Outcome]:
    """Each kill in an erasure of its own."""
    outcomes = []
    for kill in kills:
        outcomes.append(campaign.killed(kill))
        print(f"{len(outcomes)}: {kill}: owned again after {outcomes[-1].took_over:.2f} s, {outcomes[-1].starts} trainings", flush=True)
    return outcomes


def told(campaign: Campaign, name: str, outcomes: list[Outcome]) -> None:
    """The figures of a campaign, for who reads the log."""
    store = "sqlite" if campaign.server is None else "postgres"
    owned = [one.took_over for one in outcomes]
    opened = [one.opened for one in outcomes]
    again = sum(one.starts for one in outcomes) - 3 * len(outcomes)
    print(
        f"{store}, {name}: {len(outcomes)} kills; owned again after {statistics.median(owned):.2f} s (longest {max(owned):.2f}),"
        f" at work after {statistics.median(opened):.2f} s (longest {max(opened):.2f}); {again} trainings begun again"
    )


def test_a_worker_that_is_killed_in_a_training_is_replaced_by_another(campaign: Campaign) -> None:
    (outcome,) = carried_out(campaign, [{"told": "start"}])
    assert outcome.begun == 1, "the side file had told of a training"
    assert outcome.starts == 4, "that training is begun again, and no other"


@pytest.mark.slow
def test_a_worker_that_is_killed_in_a_purge_and_while_it_writes_the_paper_is_replaced_by_another(campaign: Campaign) -> None:
    kills = [{"inside": "purge", "after": 0.01}, {"inside": "purge", "after": 0.05}, {"inside": "certificate", "after": 0.05}]
    told(campaign, "purges and papers", carried_out(campaign, kills))


@pytest.mark.slow
def test_a_worker_is_killed_at_every_step_boundary(campaign: Campaign) -> None:
    boundaries, seconds = campaign.unkilled()
    print(f"{len(boundaries)} boundaries in {seconds:.1f} s: {', '.join(boundaries[::2])}")
    assert {"begin", "members", "gather"} <= set(boundaries)
    assert {name.split()[0] for name in boundaries} >= {"purge", "train", "measure", "release", "verify", "certificate"}
    told(campaign, "every boundary", carried_out(campaign, ({"boundary": at} for at in range(len(boundaries)))))


@pytest.mark.slow
def test_a_worker_is_killed_at_a_hundred_random_moments(campaign: Campaign) -> None:
    seed = int(os.environ.get("CRASH_SEED") or random.SystemRandom().randrange(10**6))
    print(f"CRASH_SEED={seed}")
    chance = random.Random(seed)
    _, seconds = campaign.unkilled()
    told(campaign, "random moments", carried_out(campaign, ({"moment": chance.uniform(0, seconds)} for _ in range(RANDOM_KILLS))))
