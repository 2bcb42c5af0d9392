"""What stands on the pages: every fact, every font inside, the same bytes for the same dossier; and nothing that crashes them."""

from __future__ import annotations

import io
import subprocess
import sys

import pypdf
import pytest

from lineage.errors import BadInput
from reports import dossier_from_json, dossier_to_json, render_html
from reports.codec import evidence_bytes, normal, parse_evidence
from reports.layout import arrange, wrap
from reports.model import Basis, Drawing, Fact, Facts, Note, Section, Table
from reports.pdf import render_pdf
from reports.words import shown
from tests.support.papers import paper, sample


def pages(pdf: bytes) -> list[str]:
    return [page.extract_text() for page in pypdf.PdfReader(io.BytesIO(pdf)).pages]


def squeezed(text: str) -> str:
    return "".join(text.split())


def everything(pdf: bytes) -> str:
    return squeezed("".join(pages(pdf)))


def only(*blocks: object) -> bytes:
    return render_pdf(normal(sample(sections=(Section(title="Section", blocks=blocks),))))


# ── the model as JSON ───────────────────────────────────────────────────────────────────────────
def test_a_dossier_survives_its_evidence() -> None:
    once = normal(sample())
    assert normal(once) == once
    assert dossier_from_json(dossier_to_json(once)) == once
    assert once.as_of == sample().as_of
    assert once.data["big"] == str(2**60)


def test_evidence_is_canonical_and_anything_else_is_refused() -> None:
    data = evidence_bytes(sample())
    assert data == evidence_bytes(parse_evidence(data))
    for wrong in (data + b" ", b"{}", b"[]", b"no json", data.replace(b'"schema":"govern.dossier/1"', b'"schema":"govern.dossier/9"')):
        with pytest.raises(BadInput):
            parse_evidence(wrong)


def test_what_json_cannot_hold_is_refused_with_its_place() -> None:
    with pytest.raises(BadInput, match=r"data\.loss"):
        evidence_bytes(sample(data={"loss": float("nan")}))
    with pytest.raises(BadInput, match=r"data\.raw"):
        evidence_bytes(sample(data={"raw": b"bytes"}))


# ── the pages ───────────────────────────────────────────────────────────────────────────────────
def test_the_same_dossier_gives_the_same_bytes() -> None:
    assert render_pdf(normal(sample())) == render_pdf(normal(sample()))


def test_the_bytes_do_not_depend_on_the_process() -> None:
    code = (
        "import hashlib; from reports.codec import normal; from reports.pdf import render_pdf; from tests.support.papers import sample;"
        "print(hashlib.sha256(render_pdf(normal(sample()))).hexdigest())"
    )
    seen = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": seed, "TZ": zone, "PYTHONPATH": ".", "PATH": "/usr/bin:/bin"},
        ).stdout
        for seed, zone in (("1", "UTC"), ("2", "Asia/Tokyo"))
    }
    assert len(seen) == 1


def test_every_font_is_embedded() -> None:
    found = set()
    for page in pypdf.PdfReader(io.BytesIO(paper())).pages:
        for reference in page["/Resources"]["/Font"].values():
            font = reference.get_object()
            descriptor = font["/FontDescriptor"].get_object()
            assert "/FontFile2" in descriptor, font["/BaseFont"]
            found.add(font["/BaseFont"])
    assert found
    assert all("IBMPlex" in name for name in found)


def test_pages_are_numbered_and_carry_header_and_checkpoint() -> None:
    rows = tuple((i, f"row {i}") for i in range(90))
    texts = pages(render_pdf(normal(sample(sections=(Section(title="Long", blocks=(Table(columns=("N", "What"), rows=rows),)),)))))
    assert len(texts) > 1
    for i, text in enumerate(texts, 1):
        assert f"Page {i} of {len(texts)}" in text
        assert "Model trace · credit-risk@2" in text
    for text in pages(paper()):
        assert "Ledger govern.example/test · checkpoint size" in text


def test_each_fact_stands_on_a_page_with_its_basis() -> None:
    text = everything(paper())
    for section in normal(sample()).sections:
        for block in section.blocks:
            if isinstance(block, Facts):
                for fact in block.items:
                    assert squeezed(fact.label) in text
                    assert squeezed("not known" if fact.value is None else shown(fact.value)) in text
                    assert squeezed(fact.source) in text
    for words in (
        "computed",
        "declared",
        "gap",
        "What this paper does not show",
        "It does not show that the data were lawful.",
        "A note in plain",
    ):
        assert squeezed(words) in text


def test_no_rows_and_many_rows() -> None:
    assert "norows" in everything(only(Table(columns=("A", "B"), rows=(), caption="Empty.")))
    rows = tuple((f"name-{i}", i, i / 7) for i in range(500))
    built = only(Table(columns=("Name", "N", "Share"), rows=rows, caption="Many."))
    texts = pages(built)
    assert len(texts) > 8
    assert all("Share" in text for text in texts[:-1]), "the header is repeated on each page"
    assert "name-499" in "".join(texts)


def test_a_capped_table_says_its_total() -> None:
    text = everything(only(Table(columns=("A",), rows=((1,),), total=20_000)))
    assert squeezed("The first 1 of 20 000 rows") in text
    rows = tuple((i,) for i in range(1001))
    text = everything(only(Table(columns=("A",), rows=rows)))
    assert squeezed("The first 1000 of 1001 rows; the evidence inside this file holds the others.") in text


def test_long_names_wrap_and_are_not_lost() -> None:
    long = "a-very-long-name." * 30
    text = everything(
        only(
            Facts(items=(Fact(label=long, value=long, basis=Basis.COMPUTED, source=long),)),
            Table(columns=(long[:80], "B"), rows=((long, "x" * 300),), caption=long),
            Note(text=long),
        )
    )
    assert text.count(squeezed(long)) >= 4
    assert "x" * 300 in text
    assert everything(render_pdf(normal(sample(title=long, subject=long, verdict=long)))).count(squeezed(long)) >= 3


def test_greek_cyrillic_and_accents_are_printed() -> None:
    words = "Ελληνικά Кириллица São Tomé naïve Łódź ε ≤ 0.1 → 2"
    text = everything(only(Facts(items=(Fact(label="Words", value=words, basis=Basis.DECLARED, source=words),)), Note(text=words)))
    assert text.count(squeezed(words)) == 3
    assert "�" not in text


def test_a_character_no_font_holds_is_shown_as_missing_and_named() -> None:
    built = only(Facts(items=(Fact(label="名前", value="模型 x", basis=Basis.COMPUTED),)), Table(columns=("列",), rows=(("行",),)))
    text = everything(built)
    assert "��" in text
    assert "U+540D" in text
    assert "U+6A21" in text


def test_markup_and_control_characters_are_only_text() -> None:
    words = "<b>bold</b> & <a href='x'>\x00\x07\u202egnp.exe"
    text = everything(only(Note(text=words), Facts(items=(Fact(label=words, value=words, basis=Basis.COMPUTED),))))
    assert "<b>bold</b>&<ahref='x'>" in text
    assert "\u202e" not in text


@pytest.mark.parametrize(
    "edges",
    [
        (),
        (("a", "b", ""), ("b", "a", "a cycle")),
        (("a", "a", "itself"), ("a", "nowhere", "")),
        tuple((f"n{i}", f"n{i + 1}", "") for i in range(40)),
        tuple(("hub", f"n{i}", "") for i in range(40)),
    ],
)
def test_any_graph_can_be_drawn(edges: tuple[tuple[str, str, str], ...]) -> None:
    idents = sorted({end for edge in edges for end in edge[:2]} | {"a", "b"})
    nodes = tuple((ident, f"label of {ident}", "dataset") for ident in idents)
    assert "Figure" in everything(only(Drawing(nodes=nodes, edges=edges, caption="Any.")))


def test_boxes_never_overlap_and_stay_on_the_page() -> None:
    nodes = [(f"n{i}", f"a label that is rather long {i}", "run") for i in range(30)]
    edges = [(f"n{i}", f"n{j}", "") for i in range(30) for j in range(i + 1, min(30, i + 4))]
    for band in arrange(nodes, edges, 491.0, lambda text: 4.0 * len(text)):
        for i, one in enumerate(band.boxes):
            assert one.x >= 0
            assert one.x + one.w <= 491.5
            assert -0.01 <= one.y <= one.y + one.h <= band.height + 0.01
            for other in band.boxes[i + 1 :]:
                apart = one.x + one.w <= other.x or other.x + other.w <= one.x or one.y + one.h <= other.y or other.y + other.h <= one.y
                assert apart, (one, other)


def test_a_chain_flows_from_left_to_right() -> None:
    (band,) = arrange([("a", "A", "x"), ("b", "B", "x"), ("c", "C", "x")], [("a", "b", ""), ("b", "c", "")], 491.0, lambda t: 4.0 * len(t))
    xs = {box.ident: box.x for box in band.boxes}
    assert xs["a"] < xs["b"] < xs["c"]
    assert all(points[0] < points[-1] for points in (arrow.points for arrow in band.arrows))


def test_words_are_wrapped_to_the_width() -> None:
    assert wrap("production since 2026-11-23", 68, lambda t: 4.0 * len(t)) == ("production since", "2026-11-23")
    lines = wrap("x" * 200, 40, lambda t: 4.0 * len(t))
    assert len(lines) == 4
    assert lines[-1].endswith("…")


# ── HTML ────────────────────────────────────────────────────────────────────────────────────────
def test_html_says_the_same_and_needs_nothing_from_elsewhere() -> None:
    page = render_html(sample())
    assert page == render_html(sample())
    for words in ("credit-risk", "sha256:" + "ab" * 32, "not known", "nobody declared it", "declared", "Gates.", "This page is not signed"):
        assert words in page
    for foreign in ("http:", "https:", "<script", "url(", "@import", "<link", "<img"):
        assert foreign not in page


def test_html_escapes_everything() -> None:
    evil = "<script>alert(1)</script>\"'"
    page = render_html(
        sample(
            title=evil,
            subject=evil,
            verdict=evil,
            installation=evil,
            sections=(
                Section(
                    title=evil,
                    blocks=(
                        Facts(items=(Fact(label=evil, value=evil, basis=Basis.DECLARED, source=evil),)),
                        Table(columns=(evil,), rows=((evil,),), caption=evil),
                        Drawing(nodes=((evil, evil, evil), ("b", evil, evil)), edges=((evil, "b", evil),), caption=evil),
                        Note(text=evil, tone=evil),
                    ),
                ),
            ),
            limits=(evil,),
        )
    )
    assert "<script" not in page
    assert page.count("&lt;script&gt;") > 10
