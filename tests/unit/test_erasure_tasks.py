"""What lies elsewhere is asked of its owner: told, overdue, answered with evidence or a reason; an owner's word is never a level."""

from __future__ import annotations

import json
import time

import pytest
from standardwebhooks.webhooks import Webhook

from governance.adapters.webhook_sender import WebhookSender, networks
from governance.dossier import asset_levels, erasure_certificate
from governance.erasure.owners import owner_names
from governance.erasure.recipients import Recipients
from governance.erasure.task_states import TASK_TABLE, answerable
from governance.model import TaskState as T
from governance.registry.acts import act
from governance.registry.courier import Courier
from governance.registry.outbox import Outbox
from governance.registry.webhooks import Webhooks
from lineage.errors import BadInput, Conflict, Forbidden, NotFound
from reports.claims import check_claims
from tests.support.core import Core, assets, opened
from tests.support.receiver import Receiver

MODEL, COPY = "model:s3://lake/their-model@v1", "dataset:s3://lake/copy@7"
EVIDENCE = "sha256:" + "ab" * 32
DAY = 86_400 * 1_000_000_000
BASE = {"_producer": "https://x.test", "_schemaURL": "https://x.test/s"}


class World:
    """A core whose owners are told."""

    def __init__(self, core: Core) -> None:
        self.core = core
        sender = WebhookSender(networks("127.0.0.0/8"))
        self.webhooks = Webhooks(core.ledger, core.keys, core.clock, sender)
        self.recipients = Recipients(core.ledger, core.clock, self.webhooks)
        self.courier = Courier(Outbox(core.ledger, core.clock, chance=lambda: 0.5), sender, self.webhooks.headers, core.clock)

    def owner(self, *what: str, name: str = "Risk team", url: str | None = None):
        return self.recipients.add({"name": name, "role": "owner", "assets": list(what), "url": url}, actor="key:dpo")

    def tasks(self, **given):
        return {task["asset"]: task for task in self.core.tasks.list(**given)["tasks"]}

    def answer(self, asset: str, answer: str = "done", **more):
        body = {"answer": answer} | ({"evidence": EVIDENCE} if answer == "done" else {"reason": "it is on a ship"}) | more
        answered = self.core.tasks.answer(self.tasks()[asset]["id"], body, actor="key:owner", officer=True)
        self.core.engine.run()
        return answered


@pytest.fixture
def world(tmp_path, memory_keys, ticking_clock):
    ticking_clock.at = time.time_ns()  # the receiver's library looks at its own clock
    with opened(tmp_path / "home", keys=memory_keys, clock=ticking_clock) as core:
        core.people("credit.train", list(range(6)))
        yield World(core)


def told(core: Core, run: int, source, target, *, model: bool = True, owners=(), job_owners=()) -> None:
    """An event of elsewhere: ``source`` → ``target``, each (namespace, name, version)."""

    def dataset(namespace, name, version, **facets):
        return {"namespace": namespace, "name": name, "facets": {"version": BASE | {"datasetVersion": version}, **facets}}

    facets = {"datasetType": BASE | {"datasetType": "MODEL"}} if model else {}
    if owners:
        facets["ownership"] = BASE | {"owners": [{"name": name, "type": "STEWARD"} for name in owners]}
    job = {"namespace": "elsewhere", "name": f"job-{run}"}
    if job_owners:
        job["facets"] = {"ownership": BASE | {"owners": [{"name": name} for name in job_owners]}}
    core.emit(
        {
            "eventType": "COMPLETE", "eventTime": f"2030-01-01T00:00:0{run}Z", "producer": "https://x.test",
            "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
            "run": {"runId": f"0190a000-0000-7000-8000-00000000000{run}"}, "job": job,
            "inputs": [dataset(*source)], "outputs": [dataset(*target, **facets)],
        }
    )  # fmt: skip
    assert core.ingestor.wait(10) == 0


OURS, THEIRS = ("govern://test", "credit.train", "1"), ("s3://lake", "their-model", "v1")


def trained_elsewhere(core: Core, **more) -> None:
    told(core, 1, OURS, THEIRS, **more)


# ── asked ───────────────────────────────────────────────────────────────────────────────────────
def test_a_model_elsewhere_becomes_a_task_for_the_owner_that_its_facet_names(world: World) -> None:
    core = world.core
    declared = world.owner("owner:team:risk")
    trained_elsewhere(core, owners=["team:risk"])
    done = core.erase(3)
    (task,) = world.tasks().values()
    assert (task["owner"], task["owner_basis"], task["recipient"]) == ("Risk team", "ownership facet", declared["id"])
    assert (task["state"], task["due_at"], task["request"]) == ("open", done["due_at"], done["id"])
    assert "retrain" in task["asked"]["do"]
    infos = core.datasets.infos("credit.train")
    assert task["asked"]["take"] == [{"dataset": "credit.train", "version": infos[-1].version, "row_set": infos[-1].row_set.digest}]
    asset = assets(done)[MODEL]
    assert (asset["status"], asset["level"], asset["detail"]["task"]) == ("asked", "not_reachable", task["id"])
    assert (done["state"], done["incomplete"]) == ("completed_partial", [MODEL])
    before = core.tasks.list()
    core.ledger.rebuild_records()
    assert core.tasks.list() == before


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    ("declared", "facets", "called", "basis"),
    [
        (["owner:team:jobs"], {"job_owners": ["team:jobs"]}, "Risk team", "ownership facet"),
        ([], {"owners": ["team:risk"]}, "team:risk", "ownership facet; not declared here"),
        pytest.param(["namespace:s3://lake"], {"owners": ["team:risk"]}, "Risk team", "declared for the namespace", marks=SLOW),
        pytest.param(["owner:*"], {}, "Risk team", "default owner", marks=SLOW),
        pytest.param(["owner:team:other", "owner:*"], {"owners": ["team:risk"]}, "Risk team", "default owner", marks=SLOW),
        pytest.param([], {}, "nobody known", "no owner is stated or declared", marks=SLOW),
    ],
)
def test_who_is_asked(world: World, declared, facets, called, basis) -> None:
    if declared:
        world.owner(*declared)
    trained_elsewhere(world.core, **facets)
    world.core.erase(3)
    (task,) = world.tasks().values()
    assert (task["owner"], task["owner_basis"]) == (called, basis)


def test_an_owner_that_is_a_person_is_named_in_the_event_alone(world: World) -> None:
    core = world.core
    named = ["user:jdoe", "jane.doe@example.org", "jsmith", "Jane Roe", "mailto:x@y.org", "cn:doe"]
    trained_elsewhere(core, owners=named)
    core.erase(3)
    (task,) = world.tasks().values()
    assert task["owner"] == "named in the event alone"
    for entry in core.ledger.entries(0, 10_000):
        if entry.kind.startswith("govern."):
            assert not [name for name in named if name.encode() in (entry.payload or b"")]


@pytest.mark.parametrize(
    "facet", [None, {}, {"owners": None}, {"owners": ["team:a"]}, {"owners": [{"name": ""}]}, {"owners": [{"type": "x"}]}, 3]
)
def test_a_facet_that_states_no_owner_names_none(facet) -> None:
    assert owner_names(facet) == []


def test_a_copy_elsewhere_is_asked_for_as_well_and_a_retained_one_is_not(world: World) -> None:
    core = world.core
    told(core, 1, OURS, ("s3://lake", "copy", "7"), model=False)
    told(core, 2, ("s3://lake", "copy", "7"), THEIRS)
    ident = core.request(3)
    core.erasures.approve(ident, {"refuse": [{"asset": MODEL, "ground": "art-17-3-b", "reasons": "law"}]}, actor="key:other")
    core.engine.run()
    assert set(world.tasks(request=ident)) == {COPY}
    assert "every version and copy" in world.tasks()[COPY]["asked"]["do"]
    assert assets(core.erasures.get(ident))[MODEL]["status"] == "retained"


# ── told ────────────────────────────────────────────────────────────────────────────────────────
def test_the_owner_is_told_by_a_signed_message_that_names_nobody(world: World) -> None:
    core = world.core
    with Receiver() as receiver:
        added = world.owner("owner:*", url=receiver.url)
        trained_elsewhere(core)
        done = core.erase(3)
        receiver.answers += [500]
        assert world.courier.deliver(added["webhook"]) == 0
        (task,) = world.tasks().values()
        assert (task["state"], task["error"]) == ("open", None), "it is tried again"
        assert world.courier.deliver(added["webhook"]) == 1
        said = Webhook(added["secret"]).verify(receiver.got[-1].body, receiver.got[-1].headers)
        assert said["type"] == "task.opened"
        assert said["data"]["asset"] == MODEL
        assert said["data"]["request"] == done["id"]
        assert core.erasures.record(done["id"])["subject_refs"][0] not in receiver.got[-1].body.decode()
        (task,) = world.tasks().values()
        assert (task["state"], task["told_at"] >= task["at"]) == ("told", True)


@pytest.mark.slow
def test_an_owner_that_stays_away_leaves_the_task_open_and_says_why(world: World) -> None:
    with Receiver() as receiver:
        added = world.owner("owner:*", url=receiver.url)
        trained_elsewhere(world.core)
        world.core.erase(3)
        receiver.answers += [410]
        world.courier.deliver(added["webhook"])
    (task,) = world.tasks().values()
    assert (task["state"], task["error"]) == ("open", "it answered 410")


def test_who_subscribed_hears_of_tasks(world: World) -> None:
    with Receiver() as receiver:
        hook = world.webhooks.add({"url": receiver.url, "events": ["task.*"]}, actor="key:admin")
        trained_elsewhere(world.core)
        world.core.erase(3)
        world.answer(MODEL)
        world.courier.deliver(hook["id"])
        assert [one.json["type"] for one in receiver.got] == ["task.opened", "task.answered"]
        changes = {change["kind"]: change for change in receiver.got[-1].json["data"]["changes"]}
        assert (changes["task"]["state"], changes["task"]["evidence"]) == ("answered_done", EVIDENCE)


# ── answered ────────────────────────────────────────────────────────────────────────────────────
def test_an_answer_goes_on_to_a_new_certificate_and_stays_the_owners_word(world: World) -> None:
    core = world.core
    trained_elsewhere(core)
    first = core.erase(3)
    answered = world.answer(MODEL)
    assert (answered["state"], answered["answered_by"], answered["evidence"]) == ("answered_done", "key:owner", EVIDENCE)
    done = core.erasures.get(first["id"])
    assert (done["state"], done["round"], done["incomplete"]) == ("completed", first["round"] + 1, [])
    assert "1 asset(s) elsewhere rest on their owners' word" in done["history"][-1]["reason"]
    asset = assets(done)[MODEL]
    assert (asset["status"], asset["level"]) == ("attested", "not_reachable")
    assert EVIDENCE in asset["reason"]
    (level,) = [one for one in asset_levels(done) if one.id == MODEL]
    assert (level.word, level.level, level.counts) == ("not reachable", None, True)
    body = done | {"tasks": core.tasks.of(done)}
    paper = erasure_certificate(body, now=core.clock.now(), installation="test")
    assert paper.data["level"] is None, "what was attested is no level"
    assert paper.data["tasks"][0]["evidence"] == EVIDENCE
    check_claims(paper.kind, paper.data)
    entries = core.ledger.entries(0, 10_000, kind="govern.task.answered")
    assert [EVIDENCE in (entry.payload or b"").decode() for entry in entries] == [True]


def test_who_cannot_leaves_the_request_partial_with_the_reason(world: World) -> None:
    trained_elsewhere(world.core)
    first = world.core.erase(3)
    world.answer(MODEL, "cannot")
    done = world.core.erasures.get(first["id"])
    assert (done["state"], done["round"], done["incomplete"]) == ("completed_partial", first["round"] + 1, [MODEL])
    assert assets(done)[MODEL]["reason"].endswith("cannot: it is on a ship")
    world.core.wake()
    world.core.engine.run()
    assert world.core.erasures.get(first["id"])["round"] == done["round"], "an answer begins one round and no more"


def test_the_request_waits_for_the_last_of_its_owners(world: World) -> None:
    core = world.core
    told(core, 1, OURS, ("s3://lake", "copy", "7"), model=False)
    told(core, 2, ("s3://lake", "copy", "7"), THEIRS)
    first = core.erase(3)
    world.answer(COPY)
    waiting = core.erasures.get(first["id"])
    assert (waiting["state"], waiting["round"]) == ("completed_partial", first["round"])
    world.answer(MODEL)
    assert core.erasures.get(first["id"])["state"] == "completed"


def test_an_answer_needs_what_shows_it_and_is_given_once(world: World) -> None:
    trained_elsewhere(world.core)
    world.core.erase(3)
    (task,) = world.tasks().values()
    wrong = [
        ({"answer": "maybe"}, "done or cannot"),
        ({"answer": "done"}, "needs evidence"),
        ({"answer": "done", "evidence": "sha256:xyz"}, "64 hexadecimal"),
        ({"answer": "cannot", "reason": " "}, "needs the reason"),
        ({"answer": "cannot", "reason": "x" * 1001}, "longer than"),
    ]
    for body, said in wrong:
        with pytest.raises(BadInput, match=said):
            world.core.tasks.answer(task["id"], body, actor="key:owner", officer=True)
    assert world.tasks()[MODEL]["state"] == "open"
    with pytest.raises(NotFound, match="no task"):
        world.core.tasks.answer("nothing", {"answer": "cannot", "reason": "x"}, actor="key:owner", officer=True)
    world.answer(MODEL)
    with pytest.raises(Conflict, match="answered_done already"):
        world.answer(MODEL, "cannot")


def living_key(core: Core, ident: str, *, revoked: bool = False) -> str:
    body = {"id": ident, "name": ident, "roles": ["engineer"], "hash": "sha256:0", "created_at": 1, "revoked_at": 2 if revoked else None}
    core.ledger.append([act("key.created", actor="system", records={("key", ident): body})])
    return ident


def test_a_task_is_answered_by_a_key_of_its_owner_and_by_no_other_engineers(world: World) -> None:
    core = world.core
    risk, other = living_key(core, "risk-key"), living_key(core, "other-key")
    body = {"name": "Risk team", "role": "owner", "assets": ["owner:team:risk"], "keys": [risk]}
    world.recipients.add(body, actor="key:dpo")
    world.recipients.add(body | {"name": "Others", "assets": ["owner:*"], "keys": [other]}, actor="key:dpo")
    trained_elsewhere(core, owners=["team:risk"])
    done = core.erase(3)
    (task,) = world.tasks().values()
    said, size = {"answer": "done", "evidence": EVIDENCE}, core.ledger.size()
    for stranger in ("key:other-key", "key:nobody", "risk-key"):
        with pytest.raises(Forbidden, match=r"answered by its owner \(Risk team\)"):
            core.tasks.answer(task["id"], said, actor=stranger)
    assert (world.tasks()[MODEL]["state"], core.ledger.size()) == ("open", size), "nothing was entered"
    assert core.tasks.answer(task["id"], said, actor="key:risk-key")["answered_as"] == "owner"
    core.engine.run()
    ended = core.erasures.get(done["id"])
    assert ended["state"] == "completed"
    assert "officer" not in assets(ended)[MODEL]["reason"]


def test_an_officer_answers_for_an_owner_and_the_certificate_says_so(world: World) -> None:
    trained_elsewhere(world.core)
    done = world.core.erase(3)
    assert world.answer(MODEL)["answered_as"] == "officer"
    ended = world.core.erasures.get(done["id"])
    assert "told here by an officer" in assets(ended)[MODEL]["reason"]
    paper = erasure_certificate(ended | {"tasks": world.core.tasks.of(ended)}, now=world.core.clock.now(), installation="test")
    assert paper.data["tasks"][0]["answered_as"] == "officer"


def test_who_approved_a_request_does_not_say_that_a_part_of_it_was_done(world: World) -> None:
    core = world.core
    trained_elsewhere(core)
    done = core.erase(3)
    approver = core.erasures.record(done["id"])["approved"]["by"]
    (task,) = world.tasks().values()
    with pytest.raises(Forbidden, match="may not say that a part of it was done"):
        core.tasks.answer(task["id"], {"answer": "done", "evidence": EVIDENCE}, actor=approver, officer=True)
    assert world.tasks()[MODEL]["state"] == "open"
    core.tasks.answer(task["id"], {"answer": "cannot", "reason": "it is away"}, actor=approver, officer=True)
    assert world.tasks()[MODEL]["state"] == "answered_cannot", "what ends nothing needs no second key"


def test_the_keys_of_an_owner_are_living_keys_of_an_owner(world: World) -> None:
    body = {"name": "Risk team", "role": "owner", "assets": ["owner:*"]}
    living_key(world.core, "old-key", revoked=True)
    for ident in ("old-key", "no-key"):
        with pytest.raises(NotFound, match="no living API key"):
            world.recipients.add(body | {"keys": [ident]}, actor="key:dpo")
    living_key(world.core, "risk-key")
    with pytest.raises(BadInput, match="keys answer for an owner"):
        world.recipients.add({"name": "x", "role": "processor", "assets": ["dataset:credit.train"], "keys": ["risk-key"]}, actor="key:dpo")
    assert world.recipients.add(body | {"keys": ["key:risk-key"]}, actor="key:dpo")["keys"] == ["key:risk-key"]


def test_an_answer_while_the_request_is_at_work_is_in_its_certificate(world: World) -> None:
    core = world.core
    trained_elsewhere(core)
    ident = core.approve(3)
    core.engine.run_until("again")
    world.answer(MODEL)
    done = core.erasures.get(ident)
    assert (done["state"], done["round"]) == ("completed", 1)


def test_every_way_of_a_task_is_tabled_and_an_answer_ends_it() -> None:
    sources = {way.source for way in TASK_TABLE}
    assert sources == {T.OPEN, T.TOLD, T.OVERDUE}
    for state in T:
        for answer in (T.ANSWERED_DONE, T.ANSWERED_CANNOT):
            if state in sources:
                answerable({"id": "t", "state": state}, answer)
            else:
                with pytest.raises(Conflict):
                    answerable({"id": "t", "state": state}, answer)


# ── time, and what comes later ──────────────────────────────────────────────────────────────────
def test_a_task_is_overdue_when_the_requests_day_has_passed_and_the_owner_is_told_again(world: World) -> None:
    core = world.core
    with Receiver() as receiver:
        added = world.owner("owner:*", url=receiver.url)
        trained_elsewhere(core)
        done = core.erase(3)
        world.courier.deliver(added["webhook"])
        core.clock.at = done["due_at"] - 1_000_000_000
        core.wake()
        assert world.tasks()[MODEL]["state"] == "told", "its last second is in time"
        core.clock.at = done["due_at"] + DAY
        core.wake()
        core.wake()
        assert world.tasks()[MODEL]["state"] == "overdue"
        endpoint = core.ledger.record("webhook", added["webhook"])[0]
        rows = world.core.ledger.records("outbox", prefix=f"{endpoint['id']}/")
        assert [row["type"] for _, row, _ in rows] == ["task.overdue"], "once"
    assert core.erasures.get(done["id"])["state"] == "completed_partial"
    world.answer(MODEL)
    assert core.erasures.get(done["id"])["state"] == "completed", "late, and taken"
    assert core.ledger.records("outbox", prefix=f"{endpoint['id']}/") == [], "who has answered is asked no more"


@pytest.mark.slow
def test_an_extension_of_the_request_is_one_of_its_tasks(world: World) -> None:
    core = world.core
    trained_elsewhere(core)
    ident = core.approve(3)
    core.engine.run_until("again")
    before = world.tasks()[MODEL]["due_at"]
    core.erasures.extend(ident, {"reason": "complex"}, actor="key:dpo")
    core.engine.run()
    core.clock.at = before + DAY
    core.wake()
    task = world.tasks()[MODEL]
    assert task["state"] == "open"
    assert task["due_at"] == core.erasures.get(ident)["due_at"] > before


def test_a_late_event_that_shows_one_more_model_reopens_the_scope(world: World) -> None:
    core = world.core
    trained_elsewhere(core)
    first = core.erase(3)
    assert first["state"] == "completed_partial"
    core.wake()
    core.engine.run()
    assert core.erasures.get(first["id"])["round"] == first["round"], "nothing new, nothing done"
    told(core, 2, OURS, ("s3://lake", "another", "v9"))
    core.wake()
    core.engine.run()
    done = core.erasures.get(first["id"])
    another = "model:s3://lake/another@v9"
    assert (done["state"], done["round"]) == ("completed_partial", first["round"] + 1)
    assert set(done["incomplete"]) == {MODEL, another}
    assert any(step["reason"] == f"found since it ended: {another}" for step in done["history"])
    assert set(world.tasks(request=first["id"])) == {MODEL, another}


@pytest.mark.slow
def test_of_very_many_unfinished_requests_some_are_looked_at_each_time_and_none_is_forgotten(world: World, monkeypatch) -> None:
    monkeypatch.setattr("governance.workflows.attending._MOST_WALKS", 1)
    core = world.core
    trained_elsewhere(core)
    first, second = core.erase(2), core.erase(3)
    core.wake()
    told(core, 2, OURS, ("s3://lake", "another", "v9"))
    soon = core.attending.look()
    assert soon is not None
    assert soon - core.clock.at < 2 * 10**9, "the other one is looked at a moment later"
    core.attending.look()
    core.engine.run()
    assert [core.erasures.get(one["id"])["round"] for one in (first, second)] == [2, 2]


@pytest.mark.slow
def test_a_removed_owner_leaves_its_tasks_to_the_officer(world: World) -> None:
    with Receiver() as receiver:
        added = world.owner("owner:*", url=receiver.url)
        trained_elsewhere(world.core)
        world.core.erase(3)
        world.recipients.remove(added["id"], actor="key:dpo")
    (task,) = world.tasks().values()
    assert (task["state"], task["recipient"], task["error"]) == ("open", None, "its owner was removed")
    assert "webhook" not in json.dumps(task)
    world.answer(MODEL)


@pytest.mark.parametrize(
    "asset", ["dataset:credit.train", "owner:", "owner:jane@example.org", "owner:user:x", "owner:jdoe", "namespace: x"]
)
def test_an_owner_is_declared_for_names_and_namespaces_alone(world: World, asset: str) -> None:
    with pytest.raises(BadInput, match="nothing that an owner"):
        world.owner(asset)
    with pytest.raises(BadInput, match="nothing is named"):
        world.owner()
