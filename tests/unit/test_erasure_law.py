"""Law packs: what a wrong one is told, with line and column; which version a request rests on; and the states of a request."""

from __future__ import annotations

import itertools
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from governance.erasure.docs import states_page
from governance.erasure.law import BadPack, parse_pack
from governance.erasure.packs import SHIPPED, Packs, shipped_texts
from governance.erasure.states import DESTRUCTIVE, FINAL, TABLE, TRANSITIONS, Need, met, move, require
from governance.model import ErasureState as S
from lineage.errors import BadInput, Conflict, NotFound

GDPR = shipped_texts()["gdpr-1.yaml"]


def test_the_shipped_packs_are_those_that_the_code_names() -> None:
    packs = Packs().all()
    assert {pack.id for pack in packs} == set(SHIPPED) == set(Packs().ids())
    assert {f"{pack.id.lower()}-{pack.version}.yaml" for pack in packs} == set(shipped_texts())
    for pack in packs:
        assert pack.rules["answer"].source
        assert all(rule.basis in ("statutory", "policy") for rule in pack.rules.values())


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("zone: Europe/Brussels", "zone: Europe/Bruxelles", "line 9, column 1: zone: there is no time zone 'Europe/Bruxelles'"),
        ("zone: Europe/Brussels", "zon: Europe/Brussels", "line 9, column 1: zon: there is no such key; did you mean 'zone'?"),
        ("version: 1\n", "version: one\n", "line 3, column 1: version: Input should be a valid integer"),
        ("status: in_force", "status: soon", "line 6, column 1: status: Input should be 'in_force' or 'proposed'"),
        ("limit: {months: 1}", "limit: {months: 1, business_days: 3}", "column 5: rules.answer.limit: business_days stands alone"),
        ("limit: {months: 1}", "limit: {}", "rules.answer.limit: a period needs months, days or business_days"),
        ("limit: {months: 1}", "limit: {months: -1}", "rules.answer.limit.months: Input should be greater than or equal to 0"),
        ("basis: statutory\n    source: Article 12(3)", "basis: custom\n    source: Article 12(3)", "rules.answer.basis: Input should be"),
        ("  answer:\n", "  reply:\n", "rules"),
        ("effective_from: 2018-05-25", "effective_from: 2018-02-30", "effective_from"),
        (
            "weekend: [saturday, sunday]",
            "weekend: [saturday, sunday]\n  country: EU-27",
            "calendar.country: no public holidays are known of",
        ),
        ("weekend: [saturday, sunday]", "weekend: [saturday, sunday]\n  country: DE\n  subdivision: XX", "calendar: no subdivision 'XX'"),
        ("title: General", "title: General\ntitle: General", "line 5, column 1: 'title' is given twice"),
        (
            "your request {request}.\n    Reason",
            "your request {name}.\n    Reason",
            "notices.refused: {name} is unknown here; there are article",
        ),
        ("answer by {due}.\n    Its", "answer by {due.\n    Its", "notices.received: a brace is not closed"),
        ("    rolls_source: Regulation (EEC, Euratom) 1182/71, Article 3(4)\n", "", "rules.answer: rolls needs rolls_source"),
        ("grounds:\n", "grounds: [\n", "line "),
    ],
)
def test_a_wrong_pack_is_refused_with_line_and_column(before: str, after: str, said: str) -> None:
    assert before in GDPR
    with pytest.raises(BadPack) as refused:
        parse_pack(GDPR.replace(before, after, 1))
    assert said in refused.value.message
    assert "line " in refused.value.message
    assert "column " in refused.value.message
    assert refused.value.hint == "govern erasure packs --check FILE"


@pytest.mark.parametrize("text", ["", "a: [", "- 1", "pack: !!python/object:os.system {}", "x" * 300_000, "pack: 2018-05-25T10:00:00Z"])
def test_what_is_no_pack_is_refused(text: str) -> None:
    with pytest.raises(BadPack):
        parse_pack(text)


def test_the_digest_is_of_the_meaning() -> None:
    pack = parse_pack(GDPR)
    assert (
        parse_pack("# another comment\n" + GDPR.replace("weekend: [saturday, sunday]", "weekend:\n  - saturday\n  - sunday")).digest
        == pack.digest
    )
    assert parse_pack(GDPR.replace("months: 1", "months: 2")).digest != pack.digest


def newer(version: int, *, months: int = 1, status: str = "in_force", since: str = "2027-01-01") -> str:
    text = GDPR.replace("version: 1", f"version: {version}").replace("limit: {months: 1}", f"limit: {{months: {months}}}")
    return text.replace("status: in_force", f"status: {status}").replace("effective_from: 2018-05-25", f"effective_from: {since}")


def test_the_newest_version_in_force_on_the_day_of_receipt_is_chosen() -> None:
    more = {"b.yaml": newer(2, months=2), "c.yaml": newer(3, months=3, status="proposed")}
    packs = Packs(lambda: more)
    assert packs.chosen("GDPR", lambda _zone: date(2026, 12, 31)).version == 1
    assert packs.chosen("GDPR", lambda _zone: date(2027, 1, 1)).version == 2
    assert packs.chosen("GDPR", lambda _zone: date(2030, 1, 1)).version == 2, "a proposed law is no law"
    assert {(pack.id, pack.version) for pack in packs.all()} >= {("GDPR", 1), ("GDPR", 2), ("GDPR", 3)}
    with pytest.raises(BadInput, match="no version of GDPR was in force on the day of receipt: the first began on 2018-05-25"):
        packs.chosen("GDPR", lambda _zone: date(2018, 5, 24))
    with pytest.raises(BadInput, match="regulation must be one of CCPA, GDPR, LGPD"):
        packs.chosen("HIPAA", lambda _zone: date(2026, 1, 1))


def test_a_frozen_pack_is_found_again_or_its_change_is_told() -> None:
    law = {"pack": "GDPR", "version": 2, "digest": parse_pack(newer(2)).digest}
    assert Packs(lambda: {"b.yaml": newer(2)}).frozen(law).version == 2
    with pytest.raises(NotFound, match="GDPR version 2 is not here any more"):
        Packs().frozen(law)
    with pytest.raises(Conflict, match="was changed after a request rested on it"):
        Packs(lambda: {"b.yaml": newer(2, months=2)}).frozen(law)
    with pytest.raises(Conflict, match=r"mine\.yaml: GDPR version 1 is here already and differs"):
        Packs(lambda: {"mine.yaml": newer(1, months=6)}).all()
    with pytest.raises(BadPack, match=r"^mine\.yaml: line 1, column 1"):
        Packs(lambda: {"mine.yaml": "- nothing"}).all()


# ── states ──────────────────────────────────────────────────────────────────────────────────────
def test_the_page_of_states_is_fresh() -> None:
    page = Path(__file__).parents[2] / "docs" / "reference" / "erasure-states.md"
    assert page.read_text(encoding="utf-8") == states_page(), "run: python -m governance.erasure.docs docs/reference/erasure-states.md"


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
    assert len({(way.source, way.target) for way in TABLE}) == len(TABLE)


def test_a_path_stops_at_its_first_bad_step() -> None:
    with pytest.raises(Conflict, match="is approved and cannot become queued"):
        move("r", S.IN_REVIEW, S.APPROVED, S.QUEUED)


RECORDS = st.fixed_dictionaries(
    {},
    optional={
        "requested_by": st.sampled_from(["key:a", "key:b"]),
        "verified": st.one_of(
            st.none(), st.fixed_dictionaries({"method": st.sampled_from(["", "code"]), "by": st.sampled_from(["", "key:a", "key:b"])})
        ),
        "approved": st.one_of(st.none(), st.fixed_dictionaries({"by": st.sampled_from(["", "key:a", "key:b", "key:c"])})),
        "plan": st.sampled_from([None, {}, {"digest": "sha256:1"}]),
        "refusals": st.sampled_from([[], [{"ground": "art-17-3-b"}]]),
        "begun_at": st.sampled_from([None, 5]),
    },
)


@settings(max_examples=50, deadline=None)
@given(record=RECORDS)
def test_no_way_leads_into_a_state_that_destroys_without_identity_scope_and_a_second_key(record) -> None:
    """Every single way, so every path: what is let through has all three."""
    verified, approved = record.get("verified") or {}, record.get("approved") or {}
    second = approved.get("by") and approved["by"] not in (record.get("requested_by"), verified.get("by"))
    may = bool(verified.get("method") and verified.get("by") and (record.get("plan") or {}).get("digest") and second)
    for way in TABLE:
        if way.target in DESTRUCTIVE:
            assert let_through(way, record) is may, way


def let_through(way, record) -> bool:
    try:
        require("r", way.source, [way.target], record)
    except Conflict:
        return False
    return True


def test_what_is_missing_is_never_met() -> None:
    for need in Need:
        assert met(need, {}) is (need is Need.UNTOUCHED)
