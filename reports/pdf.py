"""The pages of a paper: a dossier rendered by reportlab, the same bytes for the same dossier and seal.

Every date inside the file derives from the dossier's ``as_of``. Pages are numbered "x of y" by rendering twice.
"""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from reports.evidence import Anchor
from reports.model import Basis, Dossier
from reports.typeface import BOLD, MONO, SANS, clean, fits, markup, register, unknown_characters
from reports.words import BASIS_WORDS, KIND_WORDS, TONE_WORDS, basis_counts, moment, texts

__all__ = ["Seal", "render_pdf", "renderer"]

PAGES = "govern-pages/1"
MARGIN = 52.0
GAP = "\N{NO-BREAK SPACE}" * 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """What a page says about its own evidence: the digest, who signed it, where the ledger holds it."""

    evidence_sha256: bytes
    keyid: str
    anchor: Anchor | None


def renderer() -> str:
    """What renders pages here; two papers can be compared page by page only when this is the same."""
    import reportlab

    return f"{PAGES} reportlab/{reportlab.__version__}"


def _checkpoint(anchor: Anchor) -> tuple[str, int, str]:
    """Origin, size and root (hex) that the checkpoint's note states; it is verified elsewhere."""
    lines = anchor.note.split("\n")
    return lines[0], int(lines[1]), base64.b64decode(lines[2]).hex()


def render_pdf(dossier: Dossier, seal: Seal | None = None) -> bytes:
    """The unsigned PDF: A4, every font embedded, nothing attached.

    Args:
        dossier: as read back from its evidence (:func:`reports.codec.normal`).
        seal: printed in the footer and the last section; ``None`` prints that the paper is neither signed nor anchored.
    """
    register()
    first = _build(dossier, seal, None)
    return _build(dossier, seal, first.pages).data


@dataclass(frozen=True, slots=True)
class _Built:
    data: bytes
    pages: int


def _build(dossier: Dossier, seal: Seal | None, pages: int | None) -> _Built:
    from reportlab.lib.pagesizes import A4
    from reportlab.platypus import BaseDocTemplate, Frame, PageTemplate

    page_width, page_height = A4
    inner = page_width - 2 * MARGIN
    out = io.BytesIO()
    kind = KIND_WORDS.get(dossier.kind, dossier.kind)

    class Template(BaseDocTemplate):  # type: ignore[misc] # reportlab has no types
        def afterFlowable(self, flowable: Any) -> None:  # noqa: N802 - reportlab's name
            entry = getattr(flowable, "outline", None)
            if entry:
                key = f"s{entry[0]}"
                self.canv.bookmarkPage(key)
                self.canv.addOutlineEntry(f"{entry[0]}  {entry[1]}", key, 0, 0)

    def decorate(canvas: Any, template: Any) -> None:
        _decorate(canvas, template.page, pages, dossier, seal)

    frame = {"leftPadding": 0, "rightPadding": 0, "topPadding": 0, "bottomPadding": 0}
    document = Template(
        out,
        pagesize=A4,
        initialFontName=SANS,
        title=f"{kind}: {dossier.subject}",
        author=dossier.installation,
        subject=dossier.verdict,
        creator=dossier.generator,
        producer=PAGES,
        lang="en",
        invariant=1,
        pageTemplates=[
            PageTemplate("page", [Frame(MARGIN, 62, inner, page_height - 62 - 66, **frame)], onPage=decorate),
        ],
    )
    at = datetime.fromtimestamp(dossier.as_of // 1_000_000_000, tz=UTC)

    def begin(canvas: Any) -> None:
        canvas.setDateFormatter(lambda *_: at.strftime("D:%Y%m%d%H%M%S+00'00'"))
        canvas.setViewerPreference("DisplayDocTitle", "true")

    story = _story(dossier, seal, inner, kind)
    document.build(story, canvasmaker=_canvas_maker(begin))
    return _Built(out.getvalue(), document.page)


def _canvas_maker(begin: Any) -> Any:
    from reportlab.pdfgen.canvas import Canvas

    def make(*args: Any, **options: Any) -> Any:
        canvas = Canvas(*args, **options)
        begin(canvas)
        return canvas

    return make


def _decorate(canvas: Any, page: int, pages: int | None, dossier: Dossier, seal: Seal | None) -> None:
    """Running header and footer."""
    from reportlab.lib.pagesizes import A4

    from reports.look import INK, LINE, MUTED

    page_width, page_height = A4
    right = page_width - MARGIN
    kind = KIND_WORDS.get(dossier.kind, dossier.kind)
    canvas.saveState()
    canvas.setFillColor(INK)
    canvas.setFont(BOLD, 8)
    canvas.drawString(MARGIN, page_height - 38, "Govern")
    canvas.setFillColor(MUTED)
    canvas.setFont(SANS, 8)
    canvas.drawString(MARGIN + 34, page_height - 38, _short(f"{kind} · {dossier.subject}", 70))
    canvas.drawRightString(right, page_height - 38, f"as of {moment(dossier.as_of)}")
    canvas.setStrokeColor(LINE)
    canvas.setLineWidth(0.5)
    canvas.line(MARGIN, page_height - 45, right, page_height - 45)
    canvas.line(MARGIN, 48, right, 48)
    canvas.setFont(SANS, 7.4)
    if seal is None:
        canvas.drawString(MARGIN, 37, "Draft: neither signed nor entered in a ledger")
    elif seal.anchor is None:
        canvas.drawString(MARGIN, 37, "Not anchored: the evidence was not entered in a ledger")
    else:
        origin, size, root = _checkpoint(seal.anchor)
        canvas.drawString(MARGIN, 37, _short(f"Ledger {origin}", 60) + f" · checkpoint size {size} · root {root[:16]}…")
    if seal is not None:
        canvas.setFont(MONO, 6.6)
        canvas.drawString(MARGIN, 28, f"evidence sha256:{seal.evidence_sha256.hex()}")
    canvas.setFont(SANS, 7.8)
    canvas.drawRightString(right, 37, f"Page {page} of {pages if pages is not None else page}")
    canvas.restoreState()


def _short(text: str, most: int) -> str:
    one = "".join(c if fits(c, SANS) else "\N{REPLACEMENT CHARACTER}" for c in clean(text).replace("\n", " "))
    return one if len(one) <= most else one[: most - 1] + "…"


def _story(dossier: Dossier, seal: Seal | None, inner: float, kind: str) -> list[Any]:
    from reportlab.platypus import CondPageBreak, KeepTogether, Spacer

    from reports.flow import Panel, block_flow, text
    from reports.look import TONES

    tone = dossier.tone if dossier.tone in TONES else "plain"
    story: list[Any] = [
        text(kind.upper(), "kicker"),
        Spacer(0, 2),
        text(dossier.title, "title"),
        Spacer(0, 2),
        text(dossier.subject, "subject"),
        Spacer(0, 10),
        Panel(
            [
                text(TONE_WORDS[tone], "kicker", textColor=TONES[tone].strong, leading=12),
                text(dossier.verdict, "verdict"),
            ],
            tone,
            mark=20.0,
        ),
        Spacer(0, 10),
        _Legend(dossier, inner),
        Spacer(0, 8),
    ]
    tables = 0
    for number, section in enumerate(dossier.sections, 1):
        heading = text(f"{number}{GAP}{section.title}", "heading")
        heading.outline = (number, clean(section.title))
        parts: list[Any] = []
        for block in section.blocks:
            tables += 1
            parts.append(block_flow(block, inner, f"{number}.{len(parts) + 1}"))
        opening = [Spacer(0, 9), heading, Spacer(0, 4)]
        story.append(CondPageBreak(96))
        if parts and len(parts[0]) == 1 and isinstance(parts[0][0], KeepTogether):
            kept = parts.pop(0)[0]
            story.append(KeepTogether([*opening, *kept._content]))  # noqa: SLF001 - a heading moves with the block it opens
        else:
            story += opening
        for part in parts:
            story += part
    story += _ending(dossier, seal, inner, len(dossier.sections) + 1)
    return story


def _ending(dossier: Dossier, seal: Seal | None, inner: float, number: int) -> list[Any]:
    """Limits, and how to check the paper."""
    from reportlab.platypus import KeepTogether, Paragraph, Spacer

    from reports.flow import block_flow, text
    from reports.look import style
    from reports.model import Fact, Facts

    limits = list(dossier.limits)
    lost = sorted({c for piece in texts(dossier) for c in unknown_characters(piece)})
    if lost:
        codes = ", ".join(f"U+{ord(c):04X}" for c in lost[:40]) + (f" and {len(lost) - 40} more" if len(lost) > 40 else "")
        limits.append(
            f"The sign \N{REPLACEMENT CHARACTER} stands for characters that the fonts of this paper lack ({codes}); "
            "the evidence holds them."
        )
    story: list[Any] = []
    if limits:
        look = style("limit")
        heading = text(f"{number}{GAP}What this paper does not show", "heading")
        heading.outline = (number, "What this paper does not show")
        items = [Paragraph(markup(limit, look.fontName), look, bulletText="–") for limit in limits]
        story += [KeepTogether([Spacer(0, 9), heading, Spacer(0, 4), items[0]]), *items[1:], Spacer(0, 4)]
        number += 1
    heading = text(f"{number}{GAP}How to check this paper", "heading")
    heading.outline = (number, "How to check this paper")
    if seal is None:
        story.append(
            KeepTogether([Spacer(0, 9), heading, Spacer(0, 4), text("This is a draft: it is not signed and proves nothing.", "body")])
        )
        return story
    source = "computed from the file attached as evidence.json"
    facts = [
        Fact(label="Evidence", value=f"sha256:{seal.evidence_sha256.hex()}", basis=Basis.COMPUTED, source=source),
        Fact(label="Evidence signed by", value=seal.keyid, basis=Basis.COMPUTED, source="DSSE, Ed25519; attached as evidence.dsse.json"),
    ]
    if seal.anchor is None:
        facts.append(Fact(label="Ledger", value=None, basis=Basis.GAP, source="the evidence was not entered in a ledger"))
    else:
        origin, size, root = _checkpoint(seal.anchor)
        where = f"recorded {moment(seal.anchor.recorded_at)}; the inclusion proof of {len(seal.anchor.proof)} hashes is attached"
        facts += [
            Fact(label="Ledger entry", value=f"{seal.anchor.index} of {origin}", basis=Basis.COMPUTED, source=where),
            Fact(label="Checkpoint", value=root, basis=Basis.COMPUTED, source=f"root of the signed checkpoint at size {size}"),
        ]
    words = (
        "Run govern verify on this file, on your own machine and without a network; it needs the file and the public keys, which you "
        "should have from another place than this file. Any changed, added or exchanged byte makes it fail. Keep the file: its checkpoint "
        "lets you later find out whether the ledger was rewritten."
    )
    body = [text(words, "body"), Spacer(0, 6), *block_flow(Facts(items=tuple(facts)), inner, "")]
    story.append(KeepTogether([Spacer(0, 9), heading, Spacer(0, 4), *body]))
    return story


def _Legend(dossier: Dossier, inner: float) -> Any:  # noqa: N802 - reads as the flowable it makes
    from reportlab.platypus import Flowable

    from reports.look import BASIS_COLOUR, MUTED, basis_mark
    from reports.typeface import width

    counts = basis_counts(dossier)

    class Legend(Flowable):  # type: ignore[misc] # reportlab has no types
        def wrap(self, available: float, _height: float) -> tuple[float, float]:
            self.width, self.height = available, 36.0
            return self.width, self.height

        def draw(self) -> None:
            step = inner / len(Basis)
            for i, basis in enumerate(Basis):
                x = i * step
                basis_mark(self.canv, basis, x + 4, 28.4, 6)
                self.canv.setFillColor(BASIS_COLOUR[basis])
                self.canv.setFont(BOLD, 8.6)
                head = f"{counts[basis]} {'gaps' if basis is Basis.GAP and counts[basis] != 1 else basis.value}"
                self.canv.drawString(x + 12, 25.5, head)
                self.canv.setFillColor(MUTED)
                size = 7.0
                self.canv.setFont(SANS, size)
                line, y = "", 15.5
                for word in BASIS_WORDS[basis].split():
                    longer = f"{line} {word}".strip()
                    if width(longer, SANS, size) > step - 20:
                        self.canv.drawString(x + 12, y, line)
                        line, y = word, y - 8.6
                    else:
                        line = longer
                self.canv.drawString(x + 12, y, line)

    return Legend()
