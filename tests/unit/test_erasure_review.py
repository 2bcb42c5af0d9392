"""Approval in part, refusals with their notice, holds that end, and what the sweep does once."""

from __future__ import annotations

import threading
from datetime import date

import pytest

from governance.erasure.clocks import DAY, day_in
from governance.erasure.watch import Watch
from governance.model import ErasureState as S
from lineage.errors import BadInput, Conflict, Forbidden, NotFound
from tests.support.core import assets, opened
from tests.support.requests import reachable

CONTACT = {"channel": "email", "address": "person@example.org"}
TRAIN, TEST = "dataset:credit.train", "dataset:credit.test"


@pytest.fixture
def core(tmp_path, memory_keys, ticking_clock):
    with opened(tmp_path / "home", keys=memory_keys, clock=ticking_clock) as core:
        yield core


@pytest.fixture
def peopled(core):
    core.people("credit.train", list(range(4)))
    core.people("credit.test", list(range(4)))
    return core


def asks(core, value="3", **more) -> str:
    body = {"subject": {"type": "applicant", "value": value}, **more}
    return core.erasures.request(body, actor="key:a")["id"]


def entries(core, kind: str) -> list:
    return core.ledger.entries(0, 1000, kind=f"govern.{kind}")


# ── in part ─────────────────────────────────────────────────────────────────────────────────────
def test_an_approval_in_part_keeps_what_was_refused_and_erases_the_rest(peopled) -> None:
    core, outbox = peopled, reachable(peopled)
    ident = asks(core, contact=CONTACT)
    core.erasures.verify(ident, {"method": "passport"}, actor="key:a")
    refuse = [{"asset": TEST, "ground": "art-17-3-b", "reasons": "tax law: ten years"}]
    approved = core.erasures.approve(ident, {"refuse": refuse}, actor="key:b")
    assert "partially_approved" in [step["state"] for step in approved["history"]]
    assert (assets(approved)[TEST]["status"], assets(approved)[TEST]["action"]) == ("retained", "retain")
    core.engine.run()
    done = core.erasures.get(ident)
    assert assets(done)[TRAIN]["status"] == "done"
    assert assets(done)[TEST]["status"] == "retained"
    assert "Article 17(3)(b)" in assets(done)[TEST]["reason"]
    assert set(core.located(3)) == {"credit.test"}
    core.erasures.sweep()
    told = next(message for message in outbox.sent if "in part" in message["text"])
    assert "dataset:credit.test" in told["text"]
    assert "complaint with a supervisory authority" in told["text"]
    assert "judicial remedy" in told["text"]


def test_a_part_needs_a_known_asset_a_ground_of_the_law_and_something_left(peopled) -> None:
    core = peopled
    ident = core.request(3)
    for refuse, error, said in (
        ([{"asset": "dataset:nothing", "ground": "art-17-3-b"}], NotFound, "has nothing to erase named"),
        ([{"asset": TEST, "ground": "1798.105-d-8"}], BadInput, "lists no ground"),
        ([{"asset": TEST, "ground": ""}], BadInput, "needs its ground"),
        ([{"asset": asset, "ground": "art-17-3-b"} for asset in (TRAIN, TEST)], BadInput, "every asset is refused"),
    ):
        with pytest.raises(error, match=said):
            core.erasures.approve(ident, {"refuse": refuse}, actor="key:b")
    assert core.erasures.get(ident)["state"] == "in_review"
    assert not core.engine.waiting


def test_who_requested_and_who_verified_may_not_approve(peopled) -> None:
    core = peopled
    ident = asks(core)
    core.erasures.verify(ident, {"method": "passport"}, actor="key:v")
    for actor in ("key:a", "key:v"):
        with pytest.raises(Forbidden):
            core.erasures.approve(ident, {}, actor=actor)
    fields = {"approved": {"by": "key:v", "at": 1}}
    with pytest.raises(Conflict, match="approved by a key that neither"):
        core.erasures.change(ident, S.APPROVED, S.SUPPRESSED, S.QUEUED, kind="approved", fields=fields)
    assert core.erasures.approve(ident, {}, actor="key:b")["state"] == "queued"


# ── refusals ────────────────────────────────────────────────────────────────────────────────────
def test_a_refusal_tells_reasons_complaint_and_court(core) -> None:
    outbox = reachable(core)
    ident = asks(core, contact=CONTACT)
    answer = core.erasures.refuse(ident, {"ground": "art-12-5-b", "reasons": "the fifth in a week"}, actor="key:b")
    (refusal,) = answer["refusals"]
    core.erasures.sweep()
    (message,) = [one for one in outbox.sent if one["subject"] == "About your request"]
    assert message["text"] == refusal["notice"]
    for words in ("Article 12(5)(b)", "the fifth in a week", "complaint", "judicial remedy", ident):
        assert words in message["text"]
    assert core.erasures.sweep()["sent"] == [], "told once"


def test_the_grounds_are_those_of_the_law_that_was_frozen(core) -> None:
    ident = asks(core, regulation="CCPA")
    with pytest.raises(BadInput, match="CCPA version 1 lists no ground 'art-17-3-b'"):
        core.erasures.refuse(ident, {"ground": "art-17-3-b"}, actor="key:b")
    answer = core.erasures.refuse(ident, {"ground": "1798.105-d-8"}, actor="key:b")
    assert "California Privacy Protection Agency" in answer["refusals"][0]["notice"]
    assert answer["law"]["version"] == 1
    assert core.erasures.regulations() == ["CCPA", "GDPR", "LGPD"]


# ── holds ───────────────────────────────────────────────────────────────────────────────────────
def test_a_hold_ends_by_itself_and_what_waited_is_queued_again(peopled, ticking_clock) -> None:
    core = peopled
    ident = core.request(3)
    until = ticking_clock.at + DAY
    core.erasures.hold(ident, {"asset": TRAIN, "ground": "litigation", "review_at": until - DAY // 2, "until": until}, actor="key:a")
    core.erasures.approve(ident, {}, actor="key:b")
    core.engine.run()
    assert core.erasures.get(ident)["state"] == "completed_partial"
    assert core.located(3)
    assert core.erasures.sweep()["released"] == []
    ticking_clock.at = until - DAY // 4
    assert core.erasures.sweep()["reviews"] == [TRAIN]
    assert core.erasures.sweep()["reviews"] == [], "told once"
    ticking_clock.at = until
    assert core.erasures.sweep()["released"] == [TRAIN]
    core.engine.run()
    assert core.erasures.get(ident)["state"] == "completed"
    assert core.located(3) == {}


def test_a_hold_is_released_by_hand_unless_another_protects_the_asset(peopled) -> None:
    core = peopled
    ident = core.request(3)
    core.erasures.hold(ident, {"asset": TRAIN, "ground": "litigation"}, actor="key:a")
    core.hold(TRAIN)
    core.erasures.approve(ident, {}, actor="key:b")
    core.engine.run()
    core.erasures.release(ident, {"asset": TRAIN, "reason": "settled"}, actor="key:a")
    assert not core.engine.waiting, "the incident's hold protects it still"
    with pytest.raises(NotFound, match="holds no asset"):
        core.erasures.release(ident, {"asset": TRAIN}, actor="key:a")
    core.unhold(TRAIN)
    core.engine.run()
    assert core.erasures.get(ident)["state"] == "completed"


def test_a_release_whose_process_died_is_taken_up_by_the_sweep(peopled, monkeypatch) -> None:
    core = peopled
    ident = core.request(3)
    core.erasures.hold(ident, {"asset": TRAIN, "ground": "litigation"}, actor="key:a")
    core.erasures.approve(ident, {}, actor="key:b")
    core.engine.run()
    with monkeypatch.context() as patch:
        patch.setattr(core.erasures, "resume_released", lambda _assets: [])
        core.erasures.release(ident, {"asset": TRAIN}, actor="key:a")
    assert core.erasures.sweep()["resumed"] == [ident]
    core.engine.run()
    assert core.erasures.get(ident)["state"] == "completed"


def test_a_hold_has_an_end_to_come_and_an_asset_at_rest(peopled, ticking_clock) -> None:
    core = peopled
    ident = core.request(3)
    with pytest.raises(BadInput, match="must be still to come"):
        core.erasures.hold(ident, {"asset": TRAIN, "ground": "g", "until": ticking_clock.at - 1}, actor="key:a")
    core.erasures.set_asset(ident, TRAIN, status="running")
    with pytest.raises(Conflict, match="has dealt with it"):
        core.erasures.hold(ident, {"asset": TRAIN, "ground": "a second late"}, actor="key:a")


# ── the sweep ───────────────────────────────────────────────────────────────────────────────────
def test_each_part_of_a_clock_is_told_once_and_a_clock_set_back_tells_nothing_again(core, ticking_clock) -> None:
    ident = asks(core, regulation="CCPA")
    core.erasures.verify(ident, {"method": "passport"}, actor="key:a")
    start = ticking_clock.at
    seen = []
    for day in range(50):
        seen += [(day, item["clock"], item["percent"]) for item in core.erasures.sweep(start + day * DAY)["alerts"]]
    assert [(clock, percent) for _, clock, percent in seen if clock == "answer"] == [("answer", part) for part in (50, 75, 90, 100)]
    assert [percent for _, clock, percent in seen if clock == "acknowledge"] == [50, 75, 90, 100]
    assert len(entries(core, "erasure.alert")) == len({day for day, _, _ in seen})
    assert core.erasures.sweep(start - 5 * DAY)["alerts"] == []
    assert core.erasures.get(ident)["alerts"] == {"answer": [50, 75, 90, 100], "acknowledge": [50, 75, 90, 100]}


def test_an_overdue_request_is_neither_extended_nor_expired_in_review(peopled, ticking_clock) -> None:
    core = peopled
    ident = core.request(3)
    ticking_clock.at += 40 * DAY
    with pytest.raises(Conflict, match="a deadline that has passed cannot be extended"):
        core.erasures.extend(ident, {"reason": "late"}, actor="key:b")
    ticking_clock.at += 400 * DAY
    assert core.erasures.sweep()["expired"] == []
    assert core.erasures.get(ident)["state"] == "in_review"
    assert core.erasures.get(ident)["clocks"][0]["late"] is True


def test_without_proof_a_request_expires_by_the_sweep_and_its_contact_is_shredded(core, ticking_clock) -> None:
    reachable(core)
    ident = asks(core, contact=CONTACT, regulation="CCPA")
    ticking_clock.at += 44 * DAY
    assert core.erasures.sweep()["expired"] == []
    ticking_clock.at += 3 * DAY
    answer = core.erasures.sweep()
    assert (answer["expired"], answer["shredded"]) == ([ident], [ident])
    assert core.erasures.get(ident)["state"] == "expired"
    assert not list((core.root / "contacts").iterdir())
    with pytest.raises(Conflict):
        core.erasures.verify(ident, {"method": "passport"}, actor="key:a")


def test_a_contact_outlives_the_answer_by_the_appeal_and_no_longer(core, ticking_clock) -> None:
    reachable(core)
    ident = asks(core, contact=CONTACT)
    core.erasures.refuse(ident, {"ground": "art-11-2"}, actor="key:b")
    ticking_clock.at += 89 * DAY
    assert core.erasures.sweep()["shredded"] == []
    ticking_clock.at += 3 * DAY
    assert core.erasures.sweep()["shredded"] == [ident]
    assert core.erasures.get(ident)["contact"]["shredded_at"] is not None
    assert core.erasures.sweep()["shredded"] == []
    assert len(entries(core, "erasure.contact-shredded")) == 1


class Killed(BaseException):
    """The process ends here; nothing catches it."""


def test_a_sweep_that_is_killed_between_its_steps_ends_them_at_the_next(core, ticking_clock, monkeypatch) -> None:
    outbox = reachable(core)
    ident = asks(core, contact=CONTACT)

    def killed(*_given, **_more):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(core.erasures, "_mark", killed)  # the message went, the entry that says so did not
        with pytest.raises(Killed):
            core.erasures.sweep()
    assert core.erasures.sweep()["sent"] == [{"request": ident, "kind": "received"}]
    assert [message["text"] for message in outbox.sent] == [outbox.sent[0]["text"]] * 2, "at least once, and the same words"
    core.erasures.refuse(ident, {"ground": "art-11-2"}, actor="key:b")
    core.erasures.sweep()
    ticking_clock.at += 100 * DAY
    with monkeypatch.context() as patch:
        patch.setattr(core.erasures, "note", killed)  # the key is destroyed, the entry that says so is not there
        with pytest.raises(Killed):
            core.erasures.sweep()
    assert core.erasures.get(ident)["contact"]["shredded_at"] is None
    assert core.erasures.sweep()["shredded"] == [ident]
    assert len(entries(core, "erasure.contact-shredded")) == 1


def test_the_receipt_is_confirmed_by_message_or_by_hand_and_a_station_that_is_away_is_asked_again(core) -> None:
    outbox = reachable(core)
    ident, other = asks(core, contact=CONTACT, regulation="CCPA"), asks(core, "2", regulation="CCPA")
    outbox.away = True
    assert core.erasures.sweep()["unsent"][0]["request"] == ident
    assert core.erasures.get(ident).get("acknowledged") is None
    outbox.away = False
    assert core.erasures.sweep()["sent"] == [{"request": ident, "kind": "received"}]
    assert core.erasures.get(ident)["acknowledged"]["how"] == "email"
    with pytest.raises(BadInput, match="say how"):
        core.erasures.acknowledge(other, {}, actor="key:a")
    first = core.erasures.acknowledge(other, {"how": "letter"}, actor="key:a")
    assert core.erasures.acknowledge(other, {"how": "telephone"}, actor="key:a")["acknowledged"] == first["acknowledged"]


def test_the_clock_runs_from_the_day_of_receipt_not_of_entry(core, ticking_clock) -> None:
    now = ticking_clock.at
    ident = asks(core, received_at=now - 20 * DAY)
    clock = core.erasures.get(ident)["clocks"][0]
    assert day_in(clock["zone"], clock["started_at"]) == day_in(clock["zone"], now - 20 * DAY)
    assert clock["percent"] > 50
    for bad, said in ((now + DAY, "in the future"), (now - 400 * DAY, "more than a year ago"), ("yesterday", "UTC nanoseconds")):
        with pytest.raises(BadInput, match=said):
            asks(core, received_at=bad)
    assert isinstance(date.fromisoformat(clock["due_day"]), date)


def test_one_request_in_trouble_keeps_no_other_from_its_deadline(core, ticking_clock) -> None:
    broken, sound = asks(core), asks(core, "2")
    core.erasures.note(broken, kind="asset", reason=None, fields={"law": {"pack": "GDPR", "version": 9, "digest": "sha256:0"}})
    ticking_clock.at += 20 * DAY
    answer = core.erasures.sweep()
    assert [trouble["request"] for trouble in answer["troubles"]] == [broken]
    assert "GDPR version 9 is not here" in answer["troubles"][0]["detail"]
    assert {item["request"] for item in answer["alerts"]} == {sound}


def test_a_request_of_before_there_were_packs_keeps_its_clock(core) -> None:
    ident = asks(core)
    old = {
        name: value for name, value in core.erasures.record(ident).items() if name not in ("law", "received_at", "suspensions", "alerts")
    }

    def work(tx) -> None:
        from governance.registry.acts import act

        tx.append(act("erasure.received", actor="key:a", records={("erasure", ident): old}))

    core.ledger.transact(work)
    assert core.erasures.get(ident)["clocks"][0]["due_at"] == old["due_at"]
    core.erasures.sweep()
    assert core.erasures.verify(ident, {"method": "passport"}, actor="key:a")["state"] == "verifying"


def test_the_watch_sweeps_again_after_an_error_and_ends(caplog) -> None:
    swept, again = [], threading.Event()

    def sweep():
        swept.append(1)
        if len(swept) == 1:
            raise OSError("disk")
        again.set()
        return {"troubles": [{"request": "r-1", "detail": "its pack is away"}]}

    watch = Watch(sweep, every=0.01)
    watch.start()
    assert again.wait(20)
    watch.close()
    count = len(swept)
    assert "OSError" in caplog.text
    assert "r-1" in caplog.text
    threading.Event().wait(0.05)
    assert len(swept) == count
    Watch(sweep).close()  # one that was never started
