"""The growth as one picture: a small logarithmic chart for each curve, with its exponent. Plain SVG, readable in light and dark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

__all__ = ["Curve", "picture"]

WIDTH, HEIGHT, MARGIN, GAP = 260, 170, 46, 24
COLUMNS = 3
INK, PALE, LINE = "#6b7280", "#9ca3af55", "#2563eb"


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One figure at every number of nodes, and the slope of its logarithm."""

    name: str
    unit: str
    points: Sequence[tuple[float, float]]
    exponent: float


def picture(curves: Sequence[Curve]) -> str:
    """The SVG document."""
    rows = -(-len(curves) // COLUMNS)
    width, height = COLUMNS * (WIDTH + GAP) + GAP, rows * (HEIGHT + GAP) + GAP
    parts = [_chart(curve, GAP + (n % COLUMNS) * (WIDTH + GAP), GAP + (n // COLUMNS) * (HEIGHT + GAP)) for n, curve in enumerate(curves)]
    style = f'font-family="system-ui, sans-serif" font-size="11" fill="{INK}"'
    title = "Growth of the lineage engine with the number of nodes, logarithmic scales"
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-label="{title}" {style}>'
    return "\n".join([head, f"<title>{title}</title>", *parts, "</svg>", ""])


def _chart(curve: Curve, left: float, top: float) -> str:
    xs, ys = _decades([x for x, _ in curve.points]), _decades([y for _, y in curve.points])

    def at(x: float, y: float) -> tuple[float, float]:
        across = (math.log10(x) - xs[0]) / (xs[-1] - xs[0])
        up = (math.log10(y) - ys[0]) / (ys[-1] - ys[0])
        return left + MARGIN + across * (WIDTH - MARGIN), top + HEIGHT - MARGIN / 2 - up * (HEIGHT - MARGIN)

    found = [
        f'<text x="{left}" y="{top + 8}" font-weight="600">{escape(curve.name)}, {escape(curve.unit)}: exponent {curve.exponent:.2f}</text>'
    ]
    for decade in xs:
        x, bottom = at(10**decade, 10 ** ys[0])
        found.append(f'<text x="{x:.0f}" y="{bottom + 14:.0f}" text-anchor="middle">{_short(10**decade)}</text>')
    for decade in ys:
        x, y = at(10 ** xs[0], 10**decade)
        found.append(f'<line x1="{x:.0f}" y1="{y:.1f}" x2="{left + WIDTH:.0f}" y2="{y:.1f}" stroke="{PALE}"/>')
        found.append(f'<text x="{x - 6:.0f}" y="{y + 4:.1f}" text-anchor="end">{_short(10**decade)}</text>')
    spots = [at(x, y) for x, y in curve.points]
    joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in spots)
    found.append(f'<polyline points="{joined}" fill="none" stroke="{LINE}" stroke-width="2"/>')
    found += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{LINE}"/>' for x, y in spots]
    return "\n".join(found)


def _decades(values: Sequence[float]) -> list[int]:
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return list(range(low, max(high, low + 1) + 1))


def _short(value: float) -> str:
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"
