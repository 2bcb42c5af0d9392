"""A lineage graph as one SVG file: no script, no style sheet, no font of its own, so that it shows the same under any policy.

Read from left to right. A kind of thing has a colour, a drawn sign and a word in the legend; no meaning rests on colour alone.
Every box and every line carries its full name as a tooltip.
"""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape

from lineage.export.layout import Layout, layout
from lineage.export.picture import Box, Line, Picture

__all__ = ["svg"]

_WIDE, _GUTTER, _GAP, _EDGE = 212.0, 104.0, 18.0, 32.0
_INK, _MUTED, _HAIR, _FLOW = "#1A2330", "#566170", "#D3D9E0", "#7C8A99"
_COLOURS = {
    "dataset": ("#0A5C8C", "#F1F7FB"),
    "column": ("#0A5C8C", "#F1F7FB"),
    "run": ("#8A5A00", "#FDF8EC"),
    "job": ("#8A5A00", "#FDF8EC"),
    "model": ("#12694F", "#EFF8F4"),
    "deployment": ("#7B3F7E", "#F9F2F9"),
}
"""Stroke and fill of a kind: told apart in the common forms of colour blindness (after Okabe and Ito 2008), 4.5:1 on white."""
_OTHER = ("#566170", "#F5F6F8")
_WORDS = {"dataset": "dataset version", "model": "model version", "column": "column"}
_SANS = "'IBM Plex Sans', 'Segoe UI', system-ui, -apple-system, Roboto, Helvetica, Arial, sans-serif"
_NARROW, _BROAD = set("fijlrtI.,:;'|!()[]{}-/ "), set("mwMW@%—→")


def svg(
    shown: Picture, *, title: str, subtitle: str = "", verdict: str = "", complete: bool | None = None, reasons: Sequence[str] = ()
) -> str:
    """The picture as an SVG document.

    Args:
        shown: what is drawn (:func:`lineage.export.picture`).
        title: what the question was about.
        subtitle: direction and times, in words.
        verdict: one sentence on how complete the answer is.
        complete: what the verdict says, for its sign; ``None`` draws none.
        reasons: why it is not complete; the first six are printed.
    """
    place = {box.key: spot for spot, box in enumerate(shown.boxes)}
    links = [line for line in shown.lines if line.source != line.target]
    lain = layout(
        [_height(box) for box in shown.boxes],
        [(place[line.source], place[line.target]) for line in links],
        width=_WIDE,
        gutter=_GUTTER,
        gap=_GAP,
    )
    top = _EDGE + 30 + (20 if subtitle else 0) + 22
    foot, foot_height = _foot(shown, verdict, complete, reasons)
    width = max(lain.width, _legend_width(shown), _measure(title, 19.0), 560.0) + 2 * _EDGE
    height = top + lain.height + 34 + foot_height + _EDGE
    left = _EDGE + max(0.0, (width - 2 * _EDGE - lain.width) / 2)
    size = f'viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}"'
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{_plain(title)}" font-family="{_SANS}">',
        f"<title>{_plain(title)}</title>",
        f'<rect width="{width:.0f}" height="{height:.0f}" fill="#FFFFFF"/>',
        _say(_EDGE, _EDGE + 16, title, 19.0, _INK, bold=True, most=width - 2 * _EDGE),
    ]
    if subtitle:
        out.append(_say(_EDGE, _EDGE + 38, subtitle, 12.0, _MUTED, most=width - 2 * _EDGE))
    out.append(f'<g transform="translate({left:.1f} {top:.1f})">')
    faint_first = sorted(range(len(links)), key=lambda spot: not links[spot].faint)
    out += [_way(links[spot], lain.ways[spot]) for spot in faint_first]
    out += [_box(box, lain, spot) for spot, box in enumerate(shown.boxes)]
    out += [_note(links[spot], lain.ways[spot]) for spot in range(len(links)) if links[spot].note]
    out.append("</g>")
    if not shown.boxes:
        out.append(_say(_EDGE, top, "Nothing was reached.", 12.5, _MUTED))
    out.append(f'<g transform="translate({_EDGE:.0f} {top + lain.height + 34:.1f})">{foot}</g>')
    return "\n".join([*out, "</svg>", ""])


# ── boxes ───────────────────────────────────────────────────────────────────────────────────────
def _height(box: Box) -> float:
    return 38.0 + 15.5 * len(box.lines) - (0 if box.lines else 2)


def _box(box: Box, lain: Layout, spot: int) -> str:
    stroke, fill = _COLOURS.get(box.kind, _OTHER)
    x, y, high = lain.x[spot], lain.y[spot], _height(box)
    opacity = ' opacity="0.62"' if box.faint else ""
    out = [f'<g transform="translate({x:.1f} {y:.1f})"{opacity}>']
    out.append(f"<title>{_plain(' · '.join((_WORDS.get(box.kind, box.kind), box.title, *box.lines)))}</title>")
    if box.count > 1:  # a stack
        out += [
            f'<rect x="{shift}" y="{-shift}" width="{_WIDE:.0f}" height="{high:.1f}" rx="9" fill="{fill}" '
            f'stroke="{stroke}" stroke-opacity="0.35"/>'
            for shift in (7, 3.5)
        ]
    if box.asked:
        out.append(
            f'<rect x="-4" y="-4" width="{_WIDE + 8:.0f}" height="{high + 8:.1f}" rx="13" fill="none" stroke="{stroke}" '
            'stroke-opacity="0.28" stroke-width="4"/>'
        )
    dash = ' stroke-dasharray="5 4"' if box.faint else ""
    thick = 1.8 if box.asked else 1.1
    out.append(f'<rect width="{_WIDE:.0f}" height="{high:.1f}" rx="9" fill="{fill}" stroke="{stroke}" stroke-width="{thick}"{dash}/>')
    out.append(_drawn(box.kind, 12, 11))
    out.append(_say(37, 24, box.title, 13.0, _INK, bold=True, most=_WIDE - 47))
    out += [_say(37, 40.5 + 15.5 * row, line, 11.0, _MUTED, most=_WIDE - 47) for row, line in enumerate(box.lines)]
    out.append("</g>")
    return "".join(out)


_SIGNS = {
    "dataset": (
        '<ellipse cx="8" cy="3.4" rx="6.2" ry="2.5"/><path d="M1.8 3.4v9c0 3.3 12.4 3.3 12.4 0v-9"/>'
        '<path d="M1.8 7.9c0 3.3 12.4 3.3 12.4 0"/>'
    ),
    "run": '<circle cx="8" cy="8" r="6.4"/><path d="M6.3 5.1 11.2 8 6.3 10.9Z" fill="currentColor" stroke="none"/>',
    "job": '<rect x="1.8" y="1.8" width="12.4" height="12.4" rx="2.4"/><path d="M5 6h6M5 9h6M5 12h3.4"/>',
    "model": (
        '<path d="M4 4.6 12 8 4 11.6M4 4.6v7"/><circle cx="3.6" cy="4" r="2.1" fill="#fff"/>'
        '<circle cx="3.6" cy="12" r="2.1" fill="#fff"/><circle cx="12.4" cy="8" r="2.1" fill="#fff"/>'
    ),
    "deployment": '<path d="M8 11V1.8M4.4 5.2 8 1.6l3.6 3.6"/><path d="M1.8 9.4v4.8h12.4V9.4"/>',
    "column": '<rect x="1.8" y="1.8" width="12.4" height="12.4" rx="1.6"/><path d="M6 1.8v12.4M10 1.8v12.4"/>',
}


def _drawn(kind: str, x: float, y: float) -> str:
    """The sign of a kind, 16 by 16."""
    colour = _COLOURS.get(kind, _OTHER)[0]
    sign = _SIGNS.get(kind, '<circle cx="8" cy="8" r="6.2"/>').replace("currentColor", colour)
    look = f'stroke="{colour}" fill="none" stroke-width="1.4" stroke-linejoin="round"'
    return f'<g transform="translate({x:.1f} {y:.1f})" {look}>{sign}</g>'


# ── lines ───────────────────────────────────────────────────────────────────────────────────────
def _way(line: Line, points: Sequence[tuple[float, float]]) -> str:
    start, end = points[0], points[-1]
    ahead = 1.0 if end[0] > start[0] else -1.0
    tip = (end[0] - 2.0 * ahead, end[1])
    path = [f"M{start[0]:.1f} {start[1]:.1f}"]
    stops = [*points[1:-1], (tip[0] - 5.0 * ahead, tip[1])]
    last = start
    for stop in stops:
        reach = (stop[0] - last[0]) / 2
        path.append(f"C{last[0] + reach:.1f} {last[1]:.1f} {stop[0] - reach:.1f} {stop[1]:.1f} {stop[0]:.1f} {stop[1]:.1f}")
        last = stop
    colour = _HAIR if line.faint else _FLOW
    dash = {"dashed": ' stroke-dasharray="6 4"', "dotted": ' stroke-dasharray="1.5 4" stroke-linecap="round"'}.get(line.manner, "")
    thick = 1.1 if line.faint else min(4.0, 1.5 + 0.5 * (len(str(line.count)) - 1) * (line.count > 1))
    head = f"M{tip[0]:.1f} {tip[1]:.1f}l{-8 * ahead:.1f} -4.2v8.4Z"
    return (
        f'<g><title>{_plain(line.about)}</title><path d="{"".join(path)}" fill="none" stroke="{colour}" stroke-width="{thick:.1f}"{dash}/>'
        f'<path d="{head}" fill="{colour}"/></g>'
    )


def _note(line: Line, points: Sequence[tuple[float, float]]) -> str:
    """The words of a line, in the gutter right before its end, on a white ground."""
    (x0, y0), (x1, y1) = points[-2], points[-1]
    text = _cut(line.note, 10.0, _GUTTER - 14)
    wide = _measure(text, 10.0) + 8
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    return (
        f'<rect x="{x - wide / 2:.1f}" y="{y - 7.5:.1f}" width="{wide:.1f}" height="15" rx="7.5" fill="#FFFFFF" fill-opacity="0.92"/>'
        f'<text x="{x:.1f}" y="{y + 3.5:.1f}" font-size="10" fill="{_MUTED}" text-anchor="middle">{_plain(text)}</text>'
    )


# ── words ───────────────────────────────────────────────────────────────────────────────────────
def _foot(shown: Picture, verdict: str, complete: bool | None, reasons: Sequence[str]) -> tuple[str, float]:
    out: list[str] = []
    y = 0.0
    if verdict:
        colour = "#12694F" if complete else "#A84300"
        if complete is not None:
            mark = "M-3.4 0.2-0.8 2.9 3.8-2.8" if complete else "M0-3.6V1M0 3.3V3.8"
            out.append(
                f'<circle cx="7" cy="{y - 4.3:.1f}" r="7" fill="{colour}"/><path d="{mark}" transform="translate(7 {y - 4.3:.1f})" '
                'fill="none" stroke="#FFFFFF" stroke-width="1.8" stroke-linecap="round" stroke-linejoin="round"/>'
            )
        out.append(_say(0 if complete is None else 22, y, verdict, 12.5, _INK, bold=True))
        y += 20
    for reason in list(reasons)[:6]:
        out.append(_say(22, y, reason, 11.5, _MUTED, most=900))
        y += 17
    if len(reasons) > 6:
        out.append(_say(22, y, f"and {len(reasons) - 6} more", 11.5, _MUTED))
        y += 17
    said = []
    if shown.grouped:
        said.append("Drawn one level up: versions as their dataset, runs as their job.")
    if shown.left_out:
        said.append(f"{shown.left_out:,} further boxes are not drawn; the JSON answer holds them.")
    for sentence in said:
        out.append(_say(0, y, sentence, 11.5, _MUTED))
        y += 17
    y += 10
    x = 0.0
    for kind, word in _legend(shown):
        out.append(_drawn(kind, x, y - 12))
        out.append(_say(x + 22, y, word, 11.0, _MUTED))
        x += 22 + _measure(word, 11.0) + 22
    for manner, word in _manners(shown):
        dash = {"dashed": ' stroke-dasharray="6 4"', "dotted": ' stroke-dasharray="1.5 4" stroke-linecap="round"'}.get(manner, "")
        out.append(f'<path d="M{x:.1f} {y - 4:.1f}h26" fill="none" stroke="{_FLOW}" stroke-width="1.6"{dash}/>')
        out.append(_say(x + 33, y, word, 11.0, _MUTED))
        x += 33 + _measure(word, 11.0) + 22
    return "".join(out), y + 4


def _legend(shown: Picture) -> list[tuple[str, str]]:
    kinds = {box.kind for box in shown.boxes}
    order = ("dataset", "column", "job", "run", "model", "deployment")
    found = [kind for kind in order if kind in kinds] + sorted(kinds - set(order))
    words = {} if not shown.grouped else {"dataset": "dataset", "model": "model", "run": "job"}
    return [(kind, words.get(kind, _WORDS.get(kind, kind))) for kind in found]


def _manners(shown: Picture) -> list[tuple[str, str]]:
    there = {line.manner for line in shown.lines}
    words = {"solid": "stated", "dashed": "version inferred from time", "dotted": "version unknown, or planned"}
    return [(manner, word) for manner, word in words.items() if manner in there and (manner != "solid" or len(there) > 1)]


def _legend_width(shown: Picture) -> float:
    return sum(44 + _measure(word, 11.0) for _, word in _legend(shown)) + sum(55 + _measure(word, 11.0) for _, word in _manners(shown))


def _say(x: float, y: float, text: str, size: float, colour: str, *, bold: bool = False, most: float | None = None) -> str:
    shown = text if most is None else _cut(text, size * (1.06 if bold else 1.0), most)
    weight = ' font-weight="600"' if bold else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size:g}" fill="{colour}"{weight}>{_plain(shown)}</text>'


def _measure(text: str, size: float) -> float:
    """About how wide a text is in a usual sans-serif; a little too wide rather than too narrow."""
    total = sum(0.34 if c in _NARROW else 0.92 if c in _BROAD else 0.7 if c.isupper() else 1.0 if ord(c) > 0x2E80 else 0.56 for c in text)
    return total * size


def _cut(text: str, size: float, most: float) -> str:
    """The text, shortened in its middle where it is too wide: the end of a name says as much as its beginning."""
    if _measure(text, size) <= most:
        return text
    left, right = len(text), 0
    keep = len(text)
    while keep > 2:
        keep -= 1
        left, right = (keep + 1) // 2, keep // 2
        short = f"{text[:left]}…{text[len(text) - right :]}"
        if _measure(short, size) <= most:
            return short
    return "…"


def _plain(text: str) -> str:
    """Text for XML: escaped, and without the characters that XML 1.0 has no way to hold."""
    held = "".join(c if c >= " " and not 0xD800 <= ord(c) <= 0xDFFF and ord(c) not in (0xFFFE, 0xFFFF) else " " for c in text)
    return escape(held, {'"': "&quot;"})
