"""Who was given data is told when they are purged: once for each asset, delivered, acknowledged or excused with a ground, and certified."""

from __future__ import annotations

import json

import pytest
from standardwebhooks.webhooks import Webhook

from governance.adapters.webhook_sender import WebhookSender, networks
from governance.dossier import erasure_certificate
from governance.erasure.recipients import Recipients
from governance.registry.courier import Courier
from governance.registry.outbox import ATTEMPTS, Outbox
from governance.registry.webhooks import Webhooks
from lineage.errors import BadInput, Conflict, NotFound
from lineage.rows import canonical_subject, subject_refs
from tests.support.core import Core, opened
from tests.support.receiver import Receiver


class World:
    """A core whose recipients are told."""

    def __init__(self, core: Core) -> None:
        self.core = core
        sender = WebhookSender(networks("127.0.0.0/8"))
        self.webhooks = Webhooks(core.ledger, core.keys, core.clock, sender)
        self.recipients = Recipients(core.ledger, core.clock, self.webhooks)
        outbox = Outbox(core.ledger, core.clock, chance=lambda: 0.5)
        self.courier = Courier(outbox, sender, self.webhooks.headers, core.clock)

    def add(self, *assets: str, url: str | None = None, name: str = "Example Ltd"):
        return self.recipients.add({"name": name, "role": "processor", "assets": list(assets), "url": url}, actor="key:dpo")

    def tasks(self, request: str):
        return self.recipients.tasks(request)["tasks"]


@pytest.fixture
def world(tmp_path, memory_keys, ticking_clock):
    import time

    ticking_clock.at = time.time_ns()  # the receiver's library looks at its own clock
    with opened(tmp_path / "home", keys=memory_keys, clock=ticking_clock) as core:
        core.people("credit.train", list(range(8)))
        core.people("other", [100, 101])
        yield World(core)


def test_a_completed_purge_makes_one_task_for_each_recipient_of_what_was_purged(world: World) -> None:
    core = world.core
    core.train()
    core.release()
    data, model, both = world.add("dataset:credit.train"), world.add("model:m"), world.add("dataset:credit.train", "dataset:other")
    done = core.erase(3)
    assert done["state"] == "completed"
    tasks = world.tasks(done["id"])
    assert sorted((task["recipient"], task["asset"]) for task in tasks) == sorted(
        [(data["id"], "dataset:credit.train"), (both["id"], "dataset:credit.train"), (model["id"], "model:m@1")]
    ), "nothing was purged in the other dataset, so nobody is told of it"
    assert {task["state"] for task in tasks} == {"pending"}
    said = next(task["said"] for task in tasks if task["recipient"] == data["id"])
    infos = core.datasets.infos("credit.train")
    assert said == {
        "dataset": "credit.train", "versions_removed": [infos[0].version], "versions_removed_count": 1, "new_version": infos[-1].version,
        "new_row_set": infos[-1].row_set.digest,
    }  # fmt: skip
    core.engine.run()
    core.ledger.rebuild_records()
    assert world.tasks(done["id"]) == tasks, "a rebuild from the log makes the same tasks and no more"


def test_a_request_that_found_nothing_tells_nobody(world: World) -> None:
    world.core.train()
    world.add("dataset:credit.train")
    ident = world.core.request(999)
    world.core.engine.run()
    assert world.tasks(ident) == []


def test_a_held_asset_is_told_of_when_it_is_purged_after_all(world: World) -> None:
    core = world.core
    world.add("dataset:credit.train")
    core.hold("dataset:credit.train")
    done = core.erase(3)
    assert world.tasks(done["id"]) == []
    core.unhold("dataset:credit.train")
    core.engine.run()
    assert [task["asset"] for task in world.tasks(done["id"])] == ["dataset:credit.train"]


def test_a_recipient_with_a_url_is_told_by_a_signed_message_that_names_nobody(world: World) -> None:
    core = world.core
    with Receiver() as receiver:
        added = world.add("dataset:credit.train", url=receiver.url)
        assert "secret" not in json.dumps(world.recipients.list())
        rows = core.located(3)["credit.train"]
        done = core.erase(3)
        assert world.courier.deliver(added["webhook"]) == 1
        (got,) = receiver.got
        told = Webhook(added["secret"]).verify(got.body, got.headers)
        (task,) = world.tasks(done["id"])
        assert told["type"] == "recipient.notified"
        assert told["data"] == {name: task[name] for name in ("id", "request", "asset", "recipient", "regulation", "said")}
        assert (task["state"], task["told_at"] > task["at"]) == ("told", True)
        refs = subject_refs(core.keys, canonical_subject("applicant", "3"))
        assert not any(ref in got.body.decode() for ref in refs)
        assert str(rows) not in got.body.decode()


def test_a_recipient_that_stays_away_is_an_open_task_until_it_is_told_after_all(world: World) -> None:
    with Receiver() as receiver:
        added = world.add("dataset:credit.train", url=receiver.url)
        done = world.core.erase(3)
        receiver.answers += [500] * ATTEMPTS
        for _ in range(ATTEMPTS):
            world.courier.deliver(added["webhook"])
        (task,) = world.tasks(done["id"])
        assert (task["state"], task["error"]) == ("undelivered", "it answered 500")
        assert world.recipients.list()["recipients"][0]["open"] == 1
        world.webhooks.resume(added["webhook"], actor="key:admin")
        world.courier.deliver(added["webhook"])
        (task,) = world.tasks(done["id"])
        assert (task["state"], task["error"]) == ("told", None)


def test_a_person_acknowledges_or_excuses_and_only_once(world: World) -> None:
    world.add("dataset:credit.train")
    world.add("dataset:credit.train", name="Gone Ltd")
    done = world.core.erase(3)
    first, second = world.tasks(done["id"])
    for body in ({"reference": "Jane Doe <jane@example.org>"}, {"reference": "x" * 101}):
        with pytest.raises(BadInput, match="number of a letter"):
            world.recipients.acknowledge(done["id"], first["id"], body, actor="key:dpo")
    answered = world.recipients.acknowledge(done["id"], first["id"], {"reference": "T-17/2026"}, actor="key:dpo")
    assert (answered["state"], answered["reference"], answered["acknowledged_by"]) == ("acknowledged", "T-17/2026", "key:dpo")
    assert answered["told_at"] == answered["acknowledged_at"]
    with pytest.raises(BadInput, match=r"GDPR Art\. 19"):
        world.recipients.excuse(done["id"], second["id"], {"excuse": "tedious", "ground": "x"}, actor="key:dpo")
    with pytest.raises(BadInput, match="ground"):
        world.recipients.excuse(done["id"], second["id"], {"excuse": "impossible", "ground": " "}, actor="key:dpo")
    excused = world.recipients.excuse(done["id"], second["id"], {"excuse": "impossible", "ground": "it was dissolved"}, actor="key:dpo")
    assert (excused["state"], excused["ground"]) == ("excused", "it was dissolved")
    for ended in (first, second):
        with pytest.raises(Conflict, match="already"):
            world.recipients.acknowledge(done["id"], ended["id"], {}, actor="key:dpo")
    with pytest.raises(NotFound, match="no task"):
        world.recipients.acknowledge(done["id"], "nothing", {}, actor="key:dpo")
    with pytest.raises(NotFound, match="no task"):
        world.recipients.acknowledge("another", first["id"], {}, actor="key:dpo")


def test_an_excused_recipient_is_not_told_afterwards(world: World) -> None:
    with Receiver() as receiver:
        added = world.add("dataset:credit.train", url=receiver.url)
        done = world.core.erase(3)
        (task,) = world.tasks(done["id"])
        world.recipients.excuse(done["id"], task["id"], {"excuse": "disproportionate", "ground": "x"}, actor="key:dpo")
        assert world.courier.deliver(added["webhook"]) == 0
        assert receiver.got == []


def test_a_removed_recipient_leaves_its_tasks_and_gets_nothing(world: World) -> None:
    with Receiver() as receiver:
        added = world.add("dataset:credit.train", url=receiver.url)
        stays = world.add("dataset:credit.train")
        done = world.core.erase(3)
        world.recipients.remove(added["id"], actor="key:dpo")
        assert world.courier.deliver(added["webhook"]) == 0
        assert {task["recipient"]: task["state"] for task in world.tasks(done["id"])} == {
            added["id"]: "undelivered",
            stays["id"]: "pending",
        }
        again = world.core.erase(4)
        assert [task["recipient"] for task in world.tasks(again["id"])] == [stays["id"]]
        with pytest.raises(NotFound):
            world.recipients.remove(added["id"], actor="key:dpo")


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"role": "friend"}, BadInput), ({"assets": []}, BadInput), ({"assets": ["credit.train"]}, BadInput),
        ({"assets": ["person:17"]}, BadInput), ({"assets": ["dataset:credit.trian"]}, NotFound), ({"assets": ["model:m"]}, NotFound),
        ({"url": "http://10.0.0.1/"}, BadInput), ({"url": "nonsense"}, BadInput),
    ],
)  # fmt: skip
def test_a_recipient_that_cannot_be_is_refused_and_nothing_is_left(world: World, change, error) -> None:
    body = {"name": "Example Ltd", "role": "processor", "assets": ["dataset:credit.train"]} | change
    with pytest.raises(error):
        world.recipients.add(body, actor="key:dpo")
    assert world.recipients.list() == {"recipients": []}
    assert world.webhooks.list() == {"webhooks": []}


def test_the_certificate_says_who_was_told_and_a_gap_where_nobody_recorded_it(world: World) -> None:
    world.add("dataset:credit.train")
    done = world.core.erase(3)
    request = done | {"recipients": world.recipients.of(done["id"])}
    paper = erasure_certificate(request, now=1, installation="test")
    section = next(one for one in paper.sections if one.title == "Who was told")
    (row,) = section.blocks[0].rows
    assert row[:3] == ("Example Ltd", "dataset:credit.train", "pending")
    (told,) = paper.data["recipients"]
    assert (told["name"], told["state"]) == ("Example Ltd", "pending")
    without = erasure_certificate(done, now=1, installation="test")
    section = next(one for one in without.sections if one.title == "Who was told")
    assert section.blocks[0].items[0].basis == "gap"
