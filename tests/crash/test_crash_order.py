"""kill -9 of a worker while an order is carried out; a second one takes over, and all that descends from the dataset is erased once.

The order is about one version of a dataset with two models on it; a third model and its dataset are none of its business. What is counted
is counted outside of Govern, as in :mod:`tests.crash.test_workers_kill`. A failure says its kill.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.campaign import OrderCampaign

pytestmark = [pytest.mark.crash, pytest.mark.timeout(7200)]


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def campaign(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OrderCampaign]:
    """A home with an order that waits for its approval, in each kind of store."""
    server = request.getfixturevalue("postgres_server") if request.param == "postgres" else None
    made = OrderCampaign(tmp_path_factory.mktemp("orders"), server)
    yield made
    made.close()


@pytest.mark.slow
def test_a_worker_that_is_killed_in_the_middle_of_an_order_is_replaced_by_another(campaign: OrderCampaign) -> None:
    """Between the purge's work and its being remembered: the next worker finds it done."""
    outcome = campaign.killed({"boundary": 5})
    assert (outcome.begun, outcome.starts) == (0, 2)


@pytest.mark.slow
def test_a_worker_is_killed_at_every_step_boundary_of_an_order(campaign: OrderCampaign) -> None:
    boundaries, seconds = campaign.unkilled()
    print(f"{len(boundaries)} boundaries in {seconds:.1f} s: {', '.join(boundaries[::2])}")
    assert {name.split()[0] for name in boundaries} >= {"begin", "purge", "train", "measure", "release", "verify", "certificate"}
    for at in range(len(boundaries)):
        outcome = campaign.killed({"boundary": at})
        print(f"{at} {boundaries[at]}: owned again after {outcome.took_over:.2f} s, {outcome.starts} trainings", flush=True)
