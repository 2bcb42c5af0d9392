"""The blocks of a dossier as reportlab flowables."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from reportlab.platypus import CondPageBreak, Flowable, KeepTogether, Paragraph, Spacer
from reportlab.platypus import Table as Grid

from reports.layout import Band, arrange
from reports.look import BASIS_COLOUR, INK, LINE, MUTED, PAPER, TONES, basis_mark, kind_look, style, tone_mark
from reports.model import Basis, Block, Drawing, Fact, Facts, Note, Table
from reports.typeface import BOLD, MISSING, MONO, SANS, clean, fits, markup, width
from reports.words import is_code, shown

__all__ = ["MOST_ROWS", "Panel", "block_flow", "text"]

MOST_ROWS = 1000
"""Rows of one table that are printed; all of them stand in the evidence."""


def text(value: str, name: str, **changes: Any) -> Paragraph:
    """A paragraph in a style; nothing in ``value`` is read as markup."""
    look = style(name, **changes)
    return Paragraph(markup(value, look.fontName), look)


class Mark(Flowable):  # type: ignore[misc] # reportlab has no types
    """The shape and the word of a basis."""

    def __init__(self, basis: Basis) -> None:
        super().__init__()
        self.basis = basis
        self.width, self.height = 58.0, 12.0

    def draw(self) -> None:
        """Draw shape and word on one line."""
        basis_mark(self.canv, self.basis, 3.4, 5.4)
        self.canv.setFont(BOLD, 7.2)
        self.canv.setFillColor(BASIS_COLOUR[self.basis])
        self.canv.drawString(10, 3, self.basis.value)


class Panel(Flowable):  # type: ignore[misc] # reportlab has no types
    """Paragraphs on a tinted ground with a bar and a mark at the left: a verdict or a note."""

    def __init__(self, paragraphs: Sequence[Paragraph], tone: str, *, mark: float = 15.0, pad: float = 9.0) -> None:
        super().__init__()
        self.paragraphs, self.tone, self.mark, self.pad = list(paragraphs), tone if tone in TONES else "plain", mark, pad

    def wrap(self, available: float, height: float) -> tuple[float, float]:
        """Width and height it takes."""
        self.width = available
        self.inset = 3 + self.pad + self.mark + 8
        self.sizes = [p.wrap(available - self.inset - self.pad, height)[1] for p in self.paragraphs]
        self.height = sum(self.sizes) + 2 * self.pad - 2
        return self.width, self.height

    def draw(self) -> None:
        """Ground, bar, mark, text."""
        tone, canvas = TONES[self.tone], self.canv
        canvas.setFillColor(tone.soft)
        canvas.rect(0, 0, self.width, self.height, stroke=0, fill=1)
        canvas.setFillColor(tone.strong)
        canvas.rect(0, 0, 3, self.height, stroke=0, fill=1)
        tone_mark(canvas, self.tone, 3 + self.pad + self.mark / 2, self.height - self.pad - self.mark / 2, self.mark)
        y = self.height - self.pad + 1
        for paragraph, size in zip(self.paragraphs, self.sizes, strict=True):
            paragraph.drawOn(canvas, self.inset, y - size)
            y -= size


class Strip(Flowable):  # type: ignore[misc] # reportlab has no types
    """One band of a lineage picture."""

    def __init__(self, band: Band) -> None:
        super().__init__()
        self.band = band

    def wrap(self, available: float, height: float) -> tuple[float, float]:  # noqa: ARG002 - reportlab's signature
        """The band's own height."""
        self.width, self.height = available, self.band.height + 6
        return self.width, self.height

    def draw(self) -> None:
        """Arrows first, then boxes over them."""
        canvas = self.canv
        top = self.height - 3
        canvas.setLineWidth(0.8)
        canvas.setStrokeColor(MUTED)
        canvas.setFillColor(MUTED)
        for arrow in self.band.arrows:
            path = canvas.beginPath()
            points = [(x, top - y) for x, y in arrow.points]
            path.moveTo(*points[0])
            for (x1, y1), (x2, y2) in pairwise(points):
                if abs(y1 - y2) < 0.3:
                    path.lineTo(x2, y2)
                else:
                    bend = (x2 - x1) * 0.5
                    path.curveTo(x1 + bend, y1, x2 - bend, y2, x2, y2)
            canvas.drawPath(path, stroke=1, fill=0)
            x, y = points[-1]
            head = canvas.beginPath()
            head.moveTo(x, y)
            head.lineTo(x - 5, y + 2.5)
            head.lineTo(x - 5, y - 2.5)
            head.close()
            canvas.drawPath(head, stroke=0, fill=1)
        for box in self.band.boxes:
            line, fill = kind_look(box.kind)
            low = top - box.y - box.h
            canvas.setStrokeColor(line)
            canvas.setFillColor(fill)
            canvas.setLineWidth(0.9)
            canvas.roundRect(
                box.x, low, box.w, box.h, 7 if "run" in box.kind.lower() or "job" in box.kind.lower() else 1.5, stroke=1, fill=1
            )
            y = top - box.y - 5 - 6.4
            canvas.setFillColor(line)
            canvas.setFont(BOLD, 6.4)
            canvas.drawString(box.x + 6, y, f"{box.number}")
            canvas.setFont(SANS, 6.4)
            canvas.drawRightString(box.x + box.w - 6, y, _drawable(box.kind, SANS))
            y -= 8.8
            if box.came:
                canvas.setFillColor(MUTED)
                canvas.setFont(SANS, 6.6)
                canvas.drawString(box.x + 6, y, f"from {box.came} →")
                y -= 8.6
            canvas.setFillColor(INK)
            canvas.setFont(SANS, 7.2)
            for words in box.lines:
                canvas.drawString(box.x + 6, y, words)
                y -= 8.6
            if box.goes:
                canvas.setFillColor(MUTED)
                canvas.setFont(SANS, 6.6)
                canvas.drawString(box.x + 6, y, f"→ to {box.goes}")


_CAPTION = [
    ("VALIGN", (0, 0), (-1, -1), "BOTTOM"),
    ("LEFTPADDING", (0, 0), (0, 0), 4),
    ("LEFTPADDING", (1, 0), (1, 0), 6),
    ("RIGHTPADDING", (0, 0), (-1, -1), 4),
    ("TOPPADDING", (0, 0), (-1, -1), 2),
    ("BOTTOMPADDING", (0, 0), (-1, -1), 3),
    ("FONTNAME", (0, 0), (-1, -1), SANS),
]


def block_flow(block: Block, available: float, number: str) -> list[Any]:
    """The flowables of a block; ``number`` is that of its table or figure, e.g. ``2.1``."""
    match block:
        case Facts(items=items):
            return _facts(items, available)
        case Table():
            return _table(block, available, number)
        case Drawing():
            return _drawing(block, available, number)
        case Note():
            return [Panel([text(block.text, "note")], block.tone, mark=11.0, pad=7.0), Spacer(0, 8)]


def _facts(items: Sequence[Fact], available: float) -> list[Any]:
    left, right = 112.0, 58.0
    middle = available - left - right
    rows = []
    gaps = []
    for i, fact in enumerate(items):
        value = shown(fact.value)
        if fact.basis is Basis.GAP or fact.value is None:
            gaps.append(i)
            cell = text("not known" if fact.value is None else value, "gap")
        else:
            cell = text(value, "code" if is_code(value) else "value")
        rows.append([text(fact.label, "label"), cell, text(fact.source, "source"), Mark(Basis.GAP if fact.value is None else fact.basis)])
    if not rows:
        return [text("Nothing is stated here.", "caption"), Spacer(0, 6)]
    grid = Grid(rows, colWidths=[left, middle * 0.57, middle * 0.43, right], style=_rules(rows))
    for i in gaps:
        grid.setStyle([("BACKGROUND", (0, i), (-1, i), TONES["warn"].soft)])
    return [grid, Spacer(0, 9)]


def _rules(rows: Sequence[Any]) -> list[Any]:
    return [
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ("LEFTPADDING", (0, 0), (0, -1), 4),
        ("LEFTPADDING", (1, 0), (-1, -1), 6),
        ("RIGHTPADDING", (0, 0), (-1, -1), 4),
        ("TOPPADDING", (0, 0), (-1, -1), 2.8),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 3.2),
        ("LINEBELOW", (0, 0), (-1, len(rows) - 1), 0.4, LINE),
        ("FONTNAME", (0, 0), (-1, -1), SANS),
    ]


def _table(table: Table, available: float, number: str) -> list[Any]:
    columns = list(range(len(table.columns)))
    printed = table.rows[:MOST_ROWS]
    rows = [[shown(row[c]) if c < len(row) else "—" for c in columns] for row in printed]
    numeric = [
        bool(printed)
        and all(isinstance(row[c], int | float) and not isinstance(row[c], bool) for row in printed if c < len(row) and row[c] is not None)
        for c in columns
    ]
    total = max(table.total or 0, len(table.rows))
    caption = f"Table {number}. {table.caption}".rstrip()
    if total > len(printed):
        caption += f" The first {shown(len(printed))} of {shown(total)} rows; " + (
            "the evidence inside this file holds the others." if len(table.rows) == total else "the others are not in this paper."
        )
    head = Grid([[text(caption, "caption"), Mark(table.basis)]], colWidths=[available - 58, 58], style=_CAPTION)
    if not columns:
        return [head, Spacer(0, 9)]
    sizes = _widths(table.columns, rows, available)
    data: list[list[Any]] = [[text(name, "head-right" if numeric[c] else "head") for c, name in enumerate(table.columns)]]
    data += [[_cell(row[c], sizes[c] - 10, right=numeric[c]) for c in columns] for row in rows]
    if not rows:
        data.append([text("no rows", "caption")] + [""] * (len(columns) - 1))
    look = [
        ("VALIGN", (0, 0), (-1, -1), "TOP"), ("LEFTPADDING", (0, 0), (-1, -1), 4), ("RIGHTPADDING", (0, 0), (-1, -1), 6),
        ("TOPPADDING", (0, 0), (-1, -1), 2.4), ("BOTTOMPADDING", (0, 0), (-1, -1), 2.8), ("FONTNAME", (0, 0), (-1, -1), SANS),
        ("FONTSIZE", (0, 0), (-1, -1), 8), ("LEADING", (0, 0), (-1, -1), 10.6), ("TEXTCOLOR", (0, 0), (-1, -1), INK),
        ("BACKGROUND", (0, 0), (-1, 0), PAPER), ("LINEABOVE", (0, 0), (-1, 0), 0.8, MUTED), ("LINEBELOW", (0, 0), (-1, 0), 0.6, MUTED),
        ("LINEBELOW", (0, 1), (-1, -1), 0.35, LINE), ("LINEBELOW", (0, -1), (-1, -1), 0.6, MUTED),
    ]  # fmt: skip
    look += [("ALIGN", (c, 0), (c, -1), "RIGHT") for c in columns if numeric[c]]
    if not rows:
        look.append(("SPAN", (0, 1), (-1, 1)))
    grid = Grid(data, colWidths=sizes, repeatRows=1, style=look)
    flow = [head, grid, Spacer(0, 10)]
    return [KeepTogether(flow)] if len(rows) <= 7 else [CondPageBreak(100), *flow]


def _cell(value: str, room: float, *, right: bool) -> Any:
    """A plain string where it fits on one line in the body face (quick); a paragraph where it must wrap or change face."""
    plain = value == clean(value) and "\n" not in value and fits(value, SANS) and not is_code(value)
    if plain and width(value, SANS, 8) <= room:
        return value
    if is_code(value):
        return text(value, "cell-code")
    return text(value, "cell-right" if right else "cell")


def _widths(columns: Sequence[str], rows: Sequence[Sequence[str]], available: float) -> list[float]:
    """Column widths: each as wide as its content where all fit; else the wide ones share what the narrow ones leave."""
    want, least = [], []
    for c, name in enumerate(columns):
        cells = [row[c] for row in rows[:200]]
        longest = max((_measure(cell) for cell in cells), default=0.0)
        words = max((_measure(word) for cell in (*cells, name) for word in cell.split()), default=0.0)
        want.append(max(longest, width(clean(name), BOLD, 7.8)) + 13)
        least.append(min(max(words + 13, 34.0), available / max(3, len(columns)) * 1.1))
    if sum(want) <= available:
        spare = available - sum(want)
        return [w + spare * w / sum(want) for w in want]
    if sum(least) > available:
        return [available * size / sum(least) for size in least]
    spare = available - sum(least)
    wishes = [max(0.0, w - low) for w, low in zip(want, least, strict=True)]
    return [low + spare * wish / sum(wishes) for low, wish in zip(least, wishes, strict=True)]


def _measure(value: str) -> float:
    return width(clean(value), MONO, 7) if is_code(value) else width(clean(value), SANS, 8)


def _drawable(value: str, face: str) -> str:
    """The text with the missing sign for what one face alone does not hold (a canvas line cannot change face)."""
    return "".join(c if fits(c, face) else MISSING for c in clean(value).replace("\n", " "))


def _drawing(drawing: Drawing, available: float, number: str) -> list[Any]:
    nodes = [(ident, _drawable(label, SANS), kind) for ident, label, kind in drawing.nodes]
    bands = arrange(nodes, drawing.edges, available, lambda words: width(words, SANS, 7.2))
    strips: list[Any] = []
    for band in bands:
        strips += [Strip(band), Spacer(0, 10)]
    place = {ident: i + 1 for i, (ident, _, _) in enumerate({n[0]: n for n in drawing.nodes}.values())}
    names = {ident: label for ident, label, _ in drawing.nodes}

    def end(ident: str) -> str:
        return f"{place[ident]} · {names[ident]}" if ident in place else ident

    flow = [text(f"Figure {number}. {drawing.caption}".rstrip(), "caption"), Spacer(0, 5), *strips]
    table = Table(
        columns=("From", "To", "How it is known"),
        rows=tuple((end(a), end(b), note or "—") for a, b, note in drawing.edges),
        caption="The arrows of the figure in words; the numbers are those of the boxes.",
    )
    kept: list[Any] = [KeepTogether(flow)] if len(bands) < 3 else flow
    return [*kept, *_table(table, available, number)]
