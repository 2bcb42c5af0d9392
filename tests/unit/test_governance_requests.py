"""Erasure requests: the doors of their life, their clocks, and the table of their states."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime

import pytest

from governance.erasure.clocks import due, extended
from governance.erasure.states import FINAL, TRANSITIONS, move
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


def ns(year, month, day, hour=12):
    return int(datetime(year, month, day, hour, tzinfo=UTC).timestamp()) * 1_000_000_000


def day(at):
    return datetime.fromtimestamp(at // 1_000_000_000, UTC).date().isoformat()


# ── clocks ──────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    ("regulation", "received", "expected", "longer"),
    [
        ("GDPR", (2026, 1, 15), "2026-02-15", "2026-04-15"),
        ("GDPR", (2026, 1, 31), "2026-02-28", "2026-04-28"),
        ("GDPR", (2028, 1, 31), "2028-02-29", "2028-04-29"),
        ("GDPR", (2026, 12, 31), "2027-01-31", "2027-03-31"),
        ("GDPR", (2026, 11, 30), "2026-12-30", "2027-02-28"),
        ("CCPA", (2026, 1, 1), "2026-02-15", "2026-04-01"),
        ("CCPA", (2028, 2, 1), "2028-03-17", "2028-05-01"),
        ("LGPD", (2026, 2, 20), "2026-03-07", None),
    ],
)
def test_deadlines(regulation, received, expected, longer) -> None:
    at = due(regulation, ns(*received) + 7)
    assert day(at) == expected
    assert at % 1_000_000_000 == 7, "the hour and the nanosecond stay"
    if longer is None:
        with pytest.raises(BadInput, match="knows no extension"):
            extended(regulation, at)
    else:
        assert day(extended(regulation, at)) == longer


def test_an_unknown_regulation_is_refused() -> None:
    with pytest.raises(BadInput, match="GDPR, LGPD, CCPA"):
        due("HIPAA", 0)


# ── states ──────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(("here", "there"), list(itertools.product(S, S)))
def test_only_the_table_moves(here: S, there: S) -> None:
    if there in TRANSITIONS[here]:
        assert move("r", here, there) == [there]
    else:
        with pytest.raises(Conflict, match=f"is {here} and cannot become {there}"):
            move("r", here, there)


def test_every_state_is_in_the_table_and_what_is_final_has_no_way_out() -> None:
    assert set(TRANSITIONS) == set(S)
    assert {S.COMPLETED, S.REFUSED, S.WITHDRAWN, S.EXPIRED} == FINAL
    reached = {state for following in TRANSITIONS.values() for state in following}
    assert set(S) - reached == {S.RECEIVED}


def test_a_path_stops_at_its_first_bad_step() -> None:
    with pytest.raises(Conflict, match="is approved and cannot become queued"):
        move("r", S.IN_REVIEW, S.APPROVED, S.QUEUED)


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
    answer = core.erasures.refuse(ident, {"ground": "art-17-3-b", "notice": "letter of today"}, actor="key:b")
    assert answer["state"] == "refused"
    assert answer["history"][-1]["reason"] == "art-17-3-b; notice: letter of today"
    assert core.scopes.read(ident) is None
    for again in (core.erasures.approve, core.erasures.withdraw):
        with pytest.raises(Conflict):
            again(ident, {}, actor="key:c")


def test_it_can_be_withdrawn_until_it_is_approved(core: Core) -> None:
    ident = core.request(3)
    assert core.erasures.withdraw(ident, {"reason": "I stay"}, actor="key:a")["history"][-1]["reason"] == "I stay"
    approved = core.approve(4)
    with pytest.raises(Conflict, match="queued and cannot become withdrawn"):
        core.erasures.withdraw(approved, {}, actor="key:a")


def test_the_deadline_moves_once_and_never_after_the_end(core: Core) -> None:
    ident = core.request(3)
    before = core.erasures.get(ident)["due_at"]
    with pytest.raises(BadInput, match="the subject was told"):
        core.erasures.extend(ident, {}, actor="key:a")
    after = core.erasures.extend(ident, {"reason": "many systems"}, actor="key:a")
    assert after["due_at"] == extended("GDPR", before)
    assert after["history"][-1] == {
        "state": "in_review",
        "at": after["history"][-1]["at"],
        "actor": "key:a",
        "reason": "extended: many systems",
    }
    with pytest.raises(Conflict, match="extended already"):
        core.erasures.extend(ident, {"reason": "more"}, actor="key:a")
    other = core.request(4)
    core.erasures.refuse(other, {"ground": "g"}, actor="key:b")
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
    core.erasures.change(ident, S.VERIFIED, S.SCOPING, kind="verified")
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
