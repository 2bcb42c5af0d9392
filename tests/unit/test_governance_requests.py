"""Erasure requests: the doors of their life."""

from __future__ import annotations

import pytest

from governance.erasure.clocks import deadline
from governance.erasure.packs import Packs
from governance.model import ErasureState as S
from lineage.errors import BadInput, Conflict, Forbidden, GovernError, NotFound
from tests.support.core import Core, assets, opened

PERSONS = list(range(6))
SECRET = "Q7-SENTINEL-PERSON"


@pytest.fixture
def core(tmp_path, memory_keys, ticking_clock):
    with opened(tmp_path / "home", keys=memory_keys, clock=ticking_clock) as core:
        core.people("credit.train", PERSONS)
        yield core


# ── receiving ───────────────────────────────────────────────────────────────────────────────────
def asked(value=SECRET, **more):
    return {"subject": {"type": "applicant", "value": value}, "regulation": "GDPR", "ground": "art-17-1-b"} | more


def test_the_identifier_is_nowhere_on_disk(core: Core) -> None:
    request = core.erasures.request(asked(), actor="key:a")
    assert request["state"] == "identity_pending"
    assert SECRET not in str(request)
    core.erasures.verify(request["id"], {"method": "passport"}, actor="key:a")
    for path in core.root.rglob("*"):
        if path.is_file():
            assert SECRET.encode() not in path.read_bytes(), path


def test_the_same_idempotency_key_is_the_same_request(core: Core) -> None:
    first = core.erasures.request(asked(), actor="key:a", idempotency="k")
    assert core.erasures.request(asked(), actor="key:a", idempotency="k")["id"] == first["id"]
    assert len(core.erasures.list()["requests"]) == 1
    assert core.erasures.request(asked(), actor="key:b", idempotency="k")["id"] != first["id"]
    for other in (asked("somebody else"), asked(ground="art-17-1-a"), asked(regulation="CCPA")):
        with pytest.raises(Conflict, match="Idempotency-Key"):
            core.erasures.request(other, actor="key:a", idempotency="k")


@pytest.mark.parametrize(
    "body", [{}, {"subject": "applicant:1"}, {"subject": {"type": "applicant"}}, {"subject": {"type": 1, "value": "x"}}]
)
def test_a_request_without_a_subject_is_refused(core: Core, body) -> None:
    with pytest.raises(BadInput, match="subject must be"):
        core.erasures.request(body, actor="key:a")


def test_what_was_not_verified_cannot_be_approved_or_retried(core: Core) -> None:
    ident = core.erasures.request(asked("3"), actor="key:a")["id"]
    with pytest.raises(Conflict, match="identity_pending and cannot become approved"):
        core.erasures.approve(ident, {}, actor="key:b")
    with pytest.raises(Conflict):
        core.erasures.decide(ident, {"action": "retry"}, actor="key:b")
    with pytest.raises(BadInput, match="how the identity was verified"):
        core.erasures.verify(ident, {}, actor="key:b")
    assert not core.engine.waiting
    assert not core.ledger.records("suppression")


def test_the_requester_may_not_approve(core: Core) -> None:
    ident = core.request(3, actor="key:a")
    with pytest.raises(Forbidden, match="may not approve"):
        core.erasures.approve(ident, {}, actor="key:a")
    with pytest.raises(Forbidden, match="the key that verified the identity may not approve"):
        core.erasures.approve(ident, {}, actor="key:asks")
    answer = core.erasures.approve(ident, {"note": "checked twice"}, actor="key:b")
    assert answer["state"] == "queued"
    assert answer["approved"]["by"] == "key:b"
    assert answer["history"][-1]["reason"] == "approved: checked twice"
    with pytest.raises(Conflict):
        core.erasures.approve(ident, {}, actor="key:b")
    (_ident, suppression, _revision) = core.ledger.records("suppression")[0]
    assert suppression["request"] == ident
    assert len(suppression["ref"]) == 32
    assert suppression["ref"] not in str(answer), "the keyed reference is not shown"


def test_a_search_that_could_not_be_ended_is_done_again(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    ident = core.erasures.request(asked("3"), actor="key:a")["id"]

    def broken(*_given, **_more):
        raise NotFound("the landing file is away")

    with monkeypatch.context() as patch:
        patch.setattr(core.searcher, "search", broken)
        with pytest.raises(NotFound, match="landing file"):
            core.erasures.verify(ident, {"method": "passport"}, actor="key:a")
    assert core.erasures.get(ident)["state"] == "scoping"
    answer = core.erasures.verify(ident, {"method": "passport"}, actor="key:a")
    assert answer["state"] == "in_review"
    assert [step["state"] for step in answer["history"]].count("verified") == 1


# ── the other doors ─────────────────────────────────────────────────────────────────────────────
def test_a_refusal_needs_its_ground_and_ends_it(core: Core) -> None:
    ident = core.request(3)
    with pytest.raises(BadInput, match="needs its ground"):
        core.erasures.refuse(ident, {}, actor="key:b")
    with pytest.raises(BadInput, match=r"GDPR version 1 lists no ground 'because'; there are art-11-2, art-12-5-b"):
        core.erasures.refuse(ident, {"ground": "because"}, actor="key:b")
    answer = core.erasures.refuse(ident, {"ground": "art-17-3-b", "reasons": "tax law", "notice": "letter of today"}, actor="key:b")
    assert answer["state"] == "refused"
    assert answer["history"][-1]["reason"] == "art-17-3-b (Article 17(3)(b)): tax law"
    assert [(one["ground"], one["notice"]) for one in answer["refusals"]] == [("art-17-3-b", "letter of today")]
    assert core.scopes.read(ident) is None
    for again in (core.erasures.approve, core.erasures.withdraw):
        with pytest.raises(Conflict):
            again(ident, {}, actor="key:c")


def test_it_can_be_withdrawn_until_the_work_begins(core: Core) -> None:
    ident = core.request(3)
    assert core.erasures.withdraw(ident, {"reason": "I stay"}, actor="key:a")["history"][-1]["reason"] == "I stay"
    approved = core.approve(4)
    assert core.ledger.records("suppression")
    assert core.erasures.withdraw(approved, {}, actor="key:a")["state"] == "withdrawn"
    assert not core.ledger.records("suppression"), "nobody's erasure is approved any more"
    core.engine.run()
    assert core.erasures.get(approved)["state"] == "withdrawn"
    assert core.located(4), "nothing was destroyed"
    done = core.erase(5)
    with pytest.raises(Conflict, match="completed and cannot become withdrawn"):
        core.erasures.withdraw(done["id"], {}, actor="key:a")


def test_a_withdrawal_keeps_the_suppression_that_another_approved_request_of_the_person_rests_on(core: Core) -> None:
    first, second = core.approve(4), core.approve(4)
    core.erasures.withdraw(second, {}, actor="key:a")
    ((_ident, suppression, _revision),) = core.ledger.records("suppression")
    assert suppression["request"] == first


def test_after_the_first_destructive_step_nothing_is_taken_back(core: Core) -> None:
    ident = core.approve(3)
    core.erasures.change(ident, S.EXECUTING, kind="executing")
    core.erasures.change(ident, S.FAILED, kind="failed")
    core.erasures.decide(ident, {"action": "retry"}, actor="key:b")
    with pytest.raises(Conflict, match="needs that nothing was destroyed yet"):
        core.erasures.withdraw(ident, {}, actor="key:a")


def test_the_deadline_moves_once_and_never_after_the_end(core: Core) -> None:
    ident = core.request(3)
    pack = Packs().all()[1]
    assert core.erasures.get(ident)["due_at"] == deadline(pack, "answer", core.erasures.get(ident)["received_at"])
    with pytest.raises(BadInput, match="the subject was told"):
        core.erasures.extend(ident, {}, actor="key:a")
    after = core.erasures.extend(ident, {"reason": "many systems"}, actor="key:a")
    assert after["due_at"] == deadline(pack, "answer", after["received_at"], extended=True)
    assert after["history"][-1] == {
        "state": "in_review",
        "at": after["history"][-1]["at"],
        "actor": "key:a",
        "reason": "extended: many systems",
    }
    with pytest.raises(Conflict, match="extended already"):
        core.erasures.extend(ident, {"reason": "more"}, actor="key:a")
    other = core.request(4)
    core.erasures.refuse(other, {"ground": "art-12-5-b"}, actor="key:b")
    with pytest.raises(Conflict, match="nothing to extend"):
        core.erasures.extend(other, {"reason": "more"}, actor="key:a")


def test_a_hold_names_an_asset_and_a_ground(core: Core) -> None:
    ident = core.request(3)
    with pytest.raises(NotFound, match="has no asset"):
        core.erasures.hold(ident, {"asset": "dataset:nothing", "ground": "g"}, actor="key:a")
    with pytest.raises(BadInput, match="needs its ground"):
        core.erasures.hold(ident, {"asset": "dataset:credit.train"}, actor="key:a")
    core.erasures.hold(ident, {"asset": "dataset:credit.train", "ground": "litigation", "review_at": 5}, actor="key:a")
    assert core.erasures.held()["dataset:credit.train"]["ground"] == "litigation"
    core.erasures.approve(ident, {}, actor="key:b")
    core.engine.run()
    assert core.erasures.get(ident)["incomplete"] == ["dataset:credit.train"]
    assert core.located(3)


def test_what_is_erased_can_no_longer_be_held(core: Core) -> None:
    done = core.erase(3)
    with pytest.raises(Conflict, match="has dealt with it"):
        core.erasures.hold(done["id"], {"asset": "dataset:credit.train", "ground": "too late"}, actor="key:a")
    assert core.erasures.held() == {}


def test_the_plan_is_frozen_and_lists_what_holds_nothing(core: Core) -> None:
    core.people("credit.test", [0, 1])
    request = core.erasures.get(core.request(3))
    found = {ident: (item["found"], item["action"]) for ident, item in assets(request).items()}
    assert found["dataset:credit.train"] == (1, "purge")
    assert found["dataset:credit.test"] == (0, "none")
    assert found["predictions"] == (0, "none")
    assert request["plan"]["digest"].startswith("sha256:")
    assert request["searched"]["datasets"] == {"credit.test": 1, "credit.train": 1}


def test_unknown_requests_and_actions(core: Core) -> None:
    with pytest.raises(NotFound) as missing:
        core.erasures.get("nothing")
    assert missing.value.hint == "`govern erasure list` lists what there is"
    with pytest.raises(BadInput, match="keep, withdraw, release or retry"):
        core.erasures.decide(core.request(3), {"action": "forget"}, actor="key:a")


def test_after_a_crash_what_was_entered_goes_on(core: Core) -> None:
    ident = core.erasures.request(asked("3"), actor="key:a")["id"]
    with pytest.raises(Conflict, match="cannot become verified: it needs that the identity is verified"):
        core.erasures.change(ident, S.VERIFIED, S.SCOPING, kind="verified")
    fields = {"verified": {"method": "passport", "verifier": "desk", "at": core.clock.now(), "by": "key:a"}}
    core.erasures.change(ident, S.VERIFIED, S.SCOPING, kind="verified", fields=fields)
    core.erasures.resume()
    assert core.erasures.get(ident)["state"] == "in_review"
    core.erasures.approve(ident, {}, actor="key:b")
    core.engine.waiting.clear()
    core.engine._started.clear()
    core.erasures.resume()
    core.engine.run()
    assert core.erasures.get(ident)["state"] == "completed"


def test_errors_never_repeat_the_identifier(core: Core) -> None:
    for body in (asked(SECRET + "\x00"), asked(SECRET, regulation="NOPE"), {"subject": {"type": "UPPER CASE", "value": SECRET}}):
        with pytest.raises(GovernError) as refused:
            core.erasures.request(body, actor="key:a")
        assert SECRET not in refused.value.message + str(refused.value.hint)
