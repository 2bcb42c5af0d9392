"""The JSON of the HTTP contract becomes papers; what is missing becomes a gap; no person is named."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from typing import Any

import pypdf
import pytest

from governance.dossier import asset_levels, erasure_certificate, headline, incident_trace, model_trace, prediction_trace
from reports import verify
from reports.codec import normal
from reports.model import Basis, Dossier, Facts
from reports.pdf import render_pdf
from reports.words import shown
from tests.support.papers import AS_OF, GOLDEN, golden, office

Compile = Callable[..., Dossier]
PAPERS: list[tuple[str, Compile]] = [
    ("model_trace", model_trace),
    ("prediction_trace", prediction_trace),
    ("incident", incident_trace),
    ("erasure_completed", erasure_certificate),
    ("erasure_unknown", erasure_certificate),
    ("erasure_partial", erasure_certificate),
]


def compiled(name: str, build: Compile, value: Any = None) -> Dossier:
    return build(golden(name) if value is None else value, now=AS_OF, installation="test", generator="govern test")


def words(dossier: Dossier) -> str:
    return json.dumps(json.loads(json.dumps([dossier.title, dossier.verdict, dossier.limits, str(dossier.sections), str(dossier.data)])))


@pytest.mark.parametrize(("name", "build"), PAPERS)
def test_the_golden_paper_says_what_it_said(name: str, build: Compile) -> None:
    from reports import dossier_to_json

    wanted, said = GOLDEN / f"{name}.dossier.json", dossier_to_json(compiled(name, build))
    if os.environ.get("GOVERN_WRITE_GOLDEN"):
        wanted.write_text(json.dumps(said, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
    assert said == json.loads(wanted.read_text(encoding="utf-8")), f"look at it, then write {wanted.name} anew with GOVERN_WRITE_GOLDEN=1"


@pytest.mark.parametrize(("name", "build"), PAPERS)
def test_each_fact_of_a_paper_stands_on_its_pages(name: str, build: Compile) -> None:
    dossier = normal(compiled(name, build))
    text = "".join("".join(page.extract_text().split()) for page in pypdf.PdfReader(io.BytesIO(render_pdf(dossier))).pages)
    facts = [fact for section in dossier.sections for block in section.blocks if isinstance(block, Facts) for fact in block.items]
    assert facts
    for fact in facts:
        assert "".join(shown(fact.value).split()) in text or fact.value is None
        assert "".join(fact.label.split()) in text
    assert "".join(dossier.verdict.split()) in text


def test_an_issued_certificate_verifies() -> None:
    result = verify(office().issue(compiled("erasure_completed", erasure_certificate)), office().trusted())
    assert result.exit_code == 0
    assert result.facts["kind"] == "erasure-certificate"


@pytest.mark.parametrize("build", [build for _, build in PAPERS[:4]])
def test_an_empty_answer_is_a_paper_full_of_gaps(build: Compile) -> None:
    dossier = compiled("", build, {})
    gaps = [f for s in dossier.sections for b in s.blocks if isinstance(b, Facts) for f in b.items if f.basis is Basis.GAP]
    assert len(gaps) >= 5
    assert all(gap.value is None and gap.source for gap in gaps)
    assert dossier.tone != "good"
    render_pdf(normal(dossier))


@pytest.mark.parametrize(("name", "build"), PAPERS)
def test_any_key_may_be_missing_or_of_another_type(name: str, build: Compile) -> None:
    value = golden(name)
    for key in value:
        for wrong in (None, "text", 7, [None, 3, {}], {"a": [1]}):
            normal(compiled(name, build, {**value, key: wrong}))
        normal(compiled(name, build, {other: value[other] for other in value if other != key}))


def test_what_could_name_a_person_is_withheld() -> None:
    dossier = compiled("incident", incident_trace)
    assert "ann@example.org" not in words(dossier)
    assert "applicant:17" not in words(dossier)
    assert "[withheld]" in words(dossier)
    assert "5d41402abc4b2a76b9719d911017c592" not in words(dossier), "not even the reference of the subject"
    request = golden("erasure_completed")
    request["history"][3]["reason"] = "duplicate of applicant:17"
    request["subject"] = {"type": "applicant", "value": "17-secret"}
    request["assets"][0]["reason"] = "wrote from ann@example.org"
    said = words(compiled("", erasure_certificate, request))
    assert "applicant:17" not in said
    assert "17-secret" not in said
    assert "ann@example.org" not in said


# ── the certificate ─────────────────────────────────────────────────────────────────────────────
def test_a_completed_erasure_names_the_lowest_level() -> None:
    dossier = compiled("erasure_completed", erasure_certificate)
    assert dossier.verdict.startswith("Erased at level L1, the lowest over 6 assets")
    assert (dossier.tone, dossier.data["level"]) == ("good", "L1")
    assert {a["id"]: a["level"] for a in dossier.data["assets"]}["model:credit-risk@1"] == "L3"


def test_an_unknown_subject_gets_a_certificate_of_what_was_searched() -> None:
    dossier = compiled("erasure_unknown", erasure_certificate)
    assert dossier.verdict == "Nothing about this person was found in 9 places that were searched."
    assert dossier.tone == "good"
    assert dossier.data["level"] is None


def test_a_partial_erasure_says_what_remains_and_claims_no_whole() -> None:
    dossier = compiled("erasure_partial", erasure_certificate)
    assert dossier.tone == "warn"
    assert "1 asset was retained or held" in dossier.verdict
    by = {asset["id"]: asset for asset in dossier.data["assets"]}
    assert by["dataset:credit.train"]["level"] == "L0"
    assert "no residual scan" in by["dataset:credit.train"]["reason"]
    assert by["dataset:credit.applicants"]["level"] == "held"
    assert by["export:partner-feed"]["level"] == "not reachable"
    assert by["model:credit-risk@1"]["level"] == "L2", "L3 was claimed and nobody reproduced it"


@pytest.mark.parametrize(
    ("change", "level"),
    [
        ({"residual_rows": 0}, "L1"),
        ({"residual_rows": 2}, "L0"),
        ({"residual_rows": None}, "L0"),
    ],
)
def test_a_dataset_is_only_as_purged_as_its_scan_shows(change: dict[str, Any], level: str) -> None:
    request = golden("erasure_completed")
    request["assets"][0]["detail"] |= change
    assert asset_levels(request)[0].word == level


@pytest.mark.parametrize(
    ("change", "level"),
    [({}, "L3"), ({"reproduced": False}, "L2"), ({"reproduced": None}, "L2"), ({"excluded": False}, "L1"), ({"excluded": None}, "L1")],
)
def test_a_model_is_only_as_erased_as_its_successor_shows(change: dict[str, Any], level: str) -> None:
    request = golden("erasure_completed")
    request["successors"][0] |= change
    (model,) = [asset for asset in asset_levels(request) if asset.id == "model:credit-risk@1"]
    assert model.word == level


@pytest.mark.parametrize(
    ("state", "tone", "part"),
    [
        ("refused", "plain", "Nothing was erased"),
        ("failed", "bad", "failed"),
        ("awaiting_decision", "warn", "a person must decide"),
        ("executing", "warn", "not finished"),
    ],
)
def test_an_unfinished_request_is_never_certified(state: str, tone: str, part: str) -> None:
    request = golden("erasure_completed") | {"state": state}
    dossier = compiled("", erasure_certificate, request)
    assert (dossier.tone, part in dossier.verdict) == (tone, True)
    assert "Erased at level" not in dossier.verdict


def test_a_failed_asset_leaves_the_whole_without_a_level() -> None:
    request = golden("erasure_completed")
    request["assets"][1]["status"] = "failed"
    assert headline(asset_levels(request)) is None
    dossier = compiled("", erasure_certificate, request)
    assert "No level over the whole can be stated" in dossier.verdict
    assert dossier.tone == "warn"


def test_forbidden_words_are_never_said() -> None:
    for name, build in PAPERS:
        said = words(compiled(name, build)).lower()
        for word in ("unbiased", "debiased", "compliant", "proven"):
            assert word not in said, (name, word)


def test_an_incomplete_trace_lists_its_reasons_as_gaps() -> None:
    dossier = compiled("prediction_trace", prediction_trace)
    assert dossier.tone == "warn"
    assert "2 reasons" in dossier.verdict
    gaps = [f.source for s in dossier.sections for b in s.blocks if isinstance(b, Facts) for f in b.items if f.basis is Basis.GAP]
    assert "the run of credit/parse stated no code" in gaps
