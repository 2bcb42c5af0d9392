"""The look of a page: measures, colours, paragraph styles and the small shapes that stand beside every colour.

Colours are from a palette told apart in the common forms of colour blindness (after Okabe and Ito 2008), darkened to a contrast of at
least 4.5:1 on white; and no meaning rests on colour alone: each has a word and a shape.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from reportlab.lib.colors import Color, HexColor
from reportlab.lib.enums import TA_RIGHT
from reportlab.lib.styles import ParagraphStyle

from reports.model import Basis
from reports.typeface import BOLD, ITALIC, MONO, SANS

__all__ = ["BASIS_COLOUR", "INK", "KINDS", "LINE", "MUTED", "PAPER", "TONES", "Tone", "basis_mark", "kind_look", "style", "tone_mark"]

INK = HexColor("#1A2330")
MUTED = HexColor("#566170")
LINE = HexColor("#D3D9E0")
PAPER = HexColor("#F5F7F9")
NAVY = HexColor("#1D3B5C")

BASIS_COLOUR = {Basis.COMPUTED: HexColor("#0A5C8C"), Basis.DECLARED: HexColor("#7B3F7E"), Basis.GAP: HexColor("#A84300")}


@dataclass(frozen=True, slots=True)
class Tone:
    """Colours of a verdict or a note."""

    strong: Color
    soft: Color


TONES = {
    "good": Tone(HexColor("#12694F"), HexColor("#E9F4F0")),
    "warn": Tone(HexColor("#8A5A00"), HexColor("#FBF3E2")),
    "bad": Tone(HexColor("#9C2A1F"), HexColor("#FAECEA")),
    "plain": Tone(NAVY, HexColor("#EEF2F6")),
}

KINDS = {
    "dataset": (HexColor("#0A5C8C"), HexColor("#EDF4F9")),
    "run": (HexColor("#8A5A00"), HexColor("#FBF5E8")),
    "model": (HexColor("#12694F"), HexColor("#EAF4F0")),
    "deployment": (HexColor("#7B3F7E"), HexColor("#F6EFF6")),
    "other": (HexColor("#566170"), HexColor("#F4F5F7")),
}

_STYLES: dict[str, dict[str, Any]] = {
    "kicker": {"fontName": BOLD, "fontSize": 8, "leading": 10, "textColor": MUTED},
    "title": {"fontName": BOLD, "fontSize": 20, "leading": 25, "textColor": INK},
    "subject": {"fontName": MONO, "fontSize": 9.5, "leading": 13, "textColor": MUTED},
    "heading": {"fontName": BOLD, "fontSize": 12.5, "leading": 16, "textColor": NAVY},
    "body": {"leading": 13.2},
    "verdict": {"fontName": BOLD, "fontSize": 11, "leading": 15},
    "label": {"fontSize": 8.6, "leading": 12, "textColor": MUTED},
    "value": {"leading": 12.4},
    "code": {"fontName": MONO, "fontSize": 7.4, "leading": 11},
    "source": {"fontSize": 7.6, "leading": 11, "textColor": MUTED},
    "basis": {"fontName": BOLD, "fontSize": 7.2, "leading": 12},
    "gap": {"fontName": ITALIC, "leading": 12.4, "textColor": BASIS_COLOUR[Basis.GAP]},
    "caption": {"fontSize": 8, "leading": 10.6, "textColor": MUTED},
    "head": {"fontName": BOLD, "fontSize": 7.8, "leading": 10, "textColor": INK},
    "head-right": {"fontName": BOLD, "fontSize": 7.8, "leading": 10, "textColor": INK, "alignment": TA_RIGHT},
    "cell": {"fontSize": 8, "leading": 10.6},
    "cell-right": {"fontSize": 8, "leading": 10.6, "alignment": TA_RIGHT},
    "cell-code": {"fontName": MONO, "fontSize": 7, "leading": 10},
    "note": {"fontSize": 8.8, "leading": 12.6},
    "limit": {"fontSize": 8.8, "leading": 12.6, "leftIndent": 16, "bulletIndent": 5, "spaceAfter": 2.5},
    "meta": {"fontSize": 8, "leading": 11},
    "meta-code": {"fontName": MONO, "fontSize": 7.2, "leading": 11},
}


def style(name: str, **changes: Any) -> ParagraphStyle:
    """A paragraph style by name."""
    values: dict[str, Any] = {"fontName": SANS, "fontSize": 9, "leading": 12, "textColor": INK, "splitLongWords": 1}
    return ParagraphStyle(name, **(values | _STYLES[name] | changes))


def kind_look(kind: str) -> tuple[Color, Color]:
    """Line and fill of a node of this kind."""
    low = kind.lower()
    for word, key in (
        ("dataset", "dataset"),
        ("file", "dataset"),
        ("row", "dataset"),
        ("model", "model"),
        ("run", "run"),
        ("job", "run"),
        ("deploy", "deployment"),
        ("predict", "deployment"),
    ):
        if word in low:
            return KINDS[key]
    return KINDS["other"]


def basis_mark(canvas: Any, basis: Basis, x: float, y: float, size: float = 5.0) -> None:
    """A square for computed, a diamond for declared, an open circle for a gap, centred on (x, y)."""
    half = size / 2
    canvas.saveState()
    canvas.setFillColor(BASIS_COLOUR[basis])
    canvas.setStrokeColor(BASIS_COLOUR[basis])
    canvas.setLineWidth(1.1)
    if basis is Basis.COMPUTED:
        canvas.rect(x - half, y - half, size, size, stroke=0, fill=1)
    elif basis is Basis.DECLARED:
        path = canvas.beginPath()
        path.moveTo(x, y + half * 1.25)
        path.lineTo(x + half * 1.25, y)
        path.lineTo(x, y - half * 1.25)
        path.lineTo(x - half * 1.25, y)
        path.close()
        canvas.drawPath(path, stroke=0, fill=1)
    else:
        canvas.circle(x, y, half, stroke=1, fill=0)
    canvas.restoreState()


def tone_mark(canvas: Any, tone: str, x: float, y: float, size: float) -> None:
    """A tick in a disc, an exclamation mark in a triangle, a cross in a square, a dot in a disc; centred on (x, y)."""
    r = size / 2
    canvas.saveState()
    canvas.setFillColor(TONES[tone].strong)
    canvas.setStrokeColor(HexColor("#FFFFFF"))
    canvas.setLineWidth(size * 0.11)
    canvas.setLineCap(1)
    canvas.setLineJoin(1)
    path = canvas.beginPath()
    if tone == "warn":
        path.moveTo(x, y + r)
        path.lineTo(x + r * 1.08, y - r * 0.85)
        path.lineTo(x - r * 1.08, y - r * 0.85)
        path.close()
        canvas.drawPath(path, stroke=0, fill=1)
        canvas.line(x, y + r * 0.38, x, y - r * 0.2)
        canvas.line(x, y - r * 0.54, x, y - r * 0.54)
    elif tone == "bad":
        canvas.roundRect(x - r, y - r, size, size, r * 0.3, stroke=0, fill=1)
        canvas.line(x - r * 0.42, y - r * 0.42, x + r * 0.42, y + r * 0.42)
        canvas.line(x - r * 0.42, y + r * 0.42, x + r * 0.42, y - r * 0.42)
    else:
        canvas.circle(x, y, r, stroke=0, fill=1)
        if tone == "good":
            path.moveTo(x - r * 0.45, y - r * 0.02)
            path.lineTo(x - r * 0.1, y - r * 0.38)
            path.lineTo(x + r * 0.5, y + r * 0.36)
            canvas.drawPath(path, stroke=1, fill=0)
        else:
            canvas.line(x, y + r * 0.42, x, y + r * 0.42)
            canvas.line(x, y + r * 0.08, x, y - r * 0.48)
    canvas.restoreState()
