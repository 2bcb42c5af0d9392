"""The same paper as one self-contained HTML page: no script, no font or picture from elsewhere. It is not signed, and says so."""

from __future__ import annotations

from html import escape

from reports.layout import Band, arrange
from reports.model import Basis, Block, Dossier, Drawing, Fact, Facts, Note, Table
from reports.words import BASIS_WORDS, KIND_WORDS, TONE_WORDS, basis_counts, is_code, moment, shown

__all__ = ["render_html"]

_MARKS = {Basis.COMPUTED: "■", Basis.DECLARED: "◆", Basis.GAP: "○"}
_SIGNS = {"good": "✓", "warn": "!", "bad": "✕", "plain": "i"}
_PICTURE = 760.0

_STYLE = """
:root{--ink:#1A2330;--muted:#566170;--line:#D3D9E0;--paper:#F5F7F9;--computed:#0A5C8C;--declared:#7B3F7E;--gap:#A84300;
--good:#12694F;--warn:#8A5A00;--bad:#9C2A1F;--plain:#1D3B5C;--soft-good:#E9F4F0;--soft-warn:#FBF3E2;--soft-bad:#FAECEA;--soft-plain:#EEF2F6}
body{font:15px/1.5 "IBM Plex Sans",system-ui,sans-serif;color:var(--ink);max-width:50rem;margin:2rem auto;padding:0 1rem;background:#fff}
h1{font-size:1.9rem;line-height:1.2;margin:.2rem 0}
h2{font-size:1.2rem;color:var(--plain);margin:2rem 0 .5rem}
code,.code{font:.82em/1.5 "IBM Plex Mono",ui-monospace,monospace;overflow-wrap:anywhere}
.kicker{font-weight:600;font-size:.78rem;letter-spacing:.06em;color:var(--muted);text-transform:uppercase}
.panel{border-left:4px solid;padding:.7rem 1rem;margin:1rem 0;display:flex;gap:.8rem}
.panel p{margin:0}
.panel .sign{font-weight:700;border:2px solid;border-radius:50%;width:1.5rem;height:1.5rem;line-height:1.3rem;text-align:center;flex:none}
.good{border-color:var(--good);background:var(--soft-good)}
.good .sign,.good .kicker{color:var(--good)}
.warn{border-color:var(--warn);background:var(--soft-warn)}
.warn .sign,.warn .kicker{color:var(--warn)}
.bad{border-color:var(--bad);background:var(--soft-bad)}
.bad .sign,.bad .kicker{color:var(--bad)}
.plain{border-color:var(--plain);background:var(--soft-plain)}
.plain .sign,.plain .kicker{color:var(--plain)}
table{border-collapse:collapse;width:100%;font-size:.9rem}
th,td{text-align:left;vertical-align:top;padding:.3rem .5rem;border-bottom:1px solid var(--line)}
thead th{background:var(--paper);border-bottom-color:var(--muted)}
caption{text-align:left;color:var(--muted);font-size:.85rem;padding:.3rem 0}
.num{text-align:right;font-variant-numeric:tabular-nums}
.facts th{width:27%;font-weight:400;color:var(--muted)}
.facts tr.gap{background:var(--soft-warn)}
.source{color:var(--muted);font-size:.85em}
.basis{white-space:nowrap;font-weight:600;font-size:.8rem}
.computed{color:var(--computed)}
.declared{color:var(--declared)}
.basis.gap,em.gap{color:var(--gap)}
.legend{display:flex;gap:1.5rem;flex-wrap:wrap;padding:0;list-style:none}
.scroll{overflow-x:auto}
svg{max-width:100%;height:auto;display:block;margin:.4rem 0}
figcaption{color:var(--muted);font-size:.85rem}
figure{margin:1rem 0}
footer{border-top:1px solid var(--line);margin-top:2rem;color:var(--muted);font-size:.85rem}
@media print{body{margin:0;max-width:none}
tr,svg{break-inside:avoid}
}
"""


def render_html(dossier: Dossier) -> str:
    """The whole page as text; the same text for the same dossier."""
    kind = KIND_WORDS.get(dossier.kind, dossier.kind)
    tone = dossier.tone if dossier.tone in _SIGNS else "plain"
    counts = basis_counts(dossier)
    legend = "".join(
        f'<li><span class="basis {basis}">{_MARKS[basis]} {counts[basis]} {basis}</span> '
        f'<span class="source">{BASIS_WORDS[basis]}</span></li>'
        for basis in Basis
    )
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">',
        f"<title>{_e(kind)}: {_e(dossier.subject)}</title><style>{_STYLE}</style></head><body>",
        f'<header><p class="kicker">{_e(kind)}</p><h1>{_e(dossier.title)}</h1><p><code>{_e(dossier.subject)}</code></p></header><main>',
        _panel(tone, f'<p class="kicker">{TONE_WORDS[tone]}</p><p><strong>{_e(dossier.verdict)}</strong></p>'),
        f'<ul class="legend">{legend}</ul>',
    ]
    number = 0
    for number, section in enumerate(dossier.sections, 1):
        parts.append(f"<section><h2>{number}&ensp;{_e(section.title)}</h2>")
        parts += [_block(block, f"{number}.{i}") for i, block in enumerate(section.blocks, 1)]
        parts.append("</section>")
    if dossier.limits:
        items = "".join(f"<li>{_e(limit)}</li>" for limit in dossier.limits)
        parts.append(f"<section><h2>{number + 1}&ensp;What this paper does not show</h2><ul>{items}</ul></section>")
    parts.append(
        f"</main><footer><p>As of {moment(dossier.as_of)} · {_e(dossier.installation)} · {_e(dossier.generator)}</p>"
        "<p>This page is not signed. The signed paper is the PDF; it carries its evidence inside and is checked with "
        "<code>govern verify</code>.</p>"
        "</footer></body></html>\n"
    )
    return "".join(parts)


def _e(text: str) -> str:
    return escape(text, quote=True)


def _panel(tone: str, inside: str) -> str:
    return f'<div class="panel {tone}"><span class="sign" aria-hidden="true">{_SIGNS[tone]}</span><div>{inside}</div></div>'


def _basis(basis: Basis) -> str:
    return f'<span class="basis {basis}">{_MARKS[basis]} {basis}</span>'


def _value(value: str) -> str:
    return f"<code>{_e(value)}</code>" if is_code(value) else _e(value).replace("\n", "<br>")


def _block(block: Block, number: str) -> str:
    match block:
        case Facts(items=items):
            return (
                f'<table class="facts"><tbody>{"".join(map(_fact, items))}</tbody></table>' if items else "<p>Nothing is stated here.</p>"
            )
        case Table():
            return _table(block, number)
        case Drawing():
            return _drawing(block, number)
        case Note():
            return _panel(block.tone if block.tone in _SIGNS else "plain", f"<p>{_value(block.text)}</p>")


def _fact(fact: Fact) -> str:
    gap = fact.basis is Basis.GAP or fact.value is None
    value = "<em class='gap'>not known</em>" if fact.value is None else _value(shown(fact.value))
    source = f'<br><span class="source">{_e(fact.source)}</span>' if fact.source else ""
    mark = _basis(Basis.GAP if gap else fact.basis)
    return f'<tr class="{"gap" if gap else ""}"><th scope="row">{_e(fact.label)}</th><td>{value}{source}</td><td>{mark}</td></tr>'


def _table(table: Table, number: str) -> str:
    total = max(table.total or 0, len(table.rows))
    caption = f"Table {number}. {_e(table.caption)} {_basis(table.basis)}"
    if total > len(table.rows):
        caption += f" The first {shown(len(table.rows))} of {shown(total)} rows."
    head = "".join(f'<th scope="col">{_e(name)}</th>' for name in table.columns)
    rows = "".join("<tr>" + "".join(_cell(cell) for cell in row) + "</tr>" for row in table.rows)
    empty = f'<tr><td colspan="{len(table.columns)}">no rows</td></tr>'
    return (
        f'<div class="scroll"><table><caption>{caption}</caption><thead><tr>{head}</tr></thead><tbody>{rows or empty}</tbody></table></div>'
    )


def _cell(cell: str | float | None) -> str:
    number = isinstance(cell, int | float) and not isinstance(cell, bool)
    return f'<td class="num">{_e(shown(cell))}</td>' if number else f"<td>{_value(shown(cell))}</td>"


def _drawing(drawing: Drawing, number: str) -> str:
    bands = arrange(drawing.nodes, drawing.edges, _PICTURE, lambda words: 4.1 * len(words))
    place = {ident: i + 1 for i, ident in enumerate({n[0]: n for n in drawing.nodes})}
    names = {ident: label for ident, label, _ in drawing.nodes}

    def end(ident: str) -> str:
        return f"{place[ident]} · {names[ident]}" if ident in place else ident

    table = Table(
        columns=("From", "To", "How it is known"),
        rows=tuple((end(a), end(b), note or "—") for a, b, note in drawing.edges),
        caption="The arrows of the figure in words; the numbers are those of the boxes.",
    )
    pictures = "".join(_svg(band, drawing.caption) for band in bands)
    return f"<figure>{pictures}<figcaption>Figure {number}. {_e(drawing.caption)}</figcaption></figure>" + _table(table, number)


def _svg(band: Band, title: str) -> str:
    parts = [
        f'<svg role="img" aria-label="{_e(title)}" viewBox="0 -3 {_PICTURE:g} {band.height + 6:.1f}" font-family="inherit" font-size="7.2">'
    ]
    for arrow in band.arrows:
        (x, y), *others = arrow.points
        path = f"M{x:.1f} {y:.1f}"
        for nx, ny in others:
            bend = (nx - x) / 2
            path += f"C{x + bend:.1f} {y:.1f} {nx - bend:.1f} {ny:.1f} {nx:.1f} {ny:.1f}"
            x, y = nx, ny
        parts.append(f'<path d="{path}" fill="none" stroke="#566170" stroke-width=".8"/>')
        parts.append(f'<path d="M{x:.1f} {y:.1f}l-5 -2.5v5z" fill="#566170"/>')
    for box in band.boxes:
        parts.append(
            f'<g><rect x="{box.x:.1f}" y="{box.y:.1f}" width="{box.w:.1f}" height="{box.h:.1f}" rx="3" fill="#F5F7F9" stroke="#1D3B5C"/>'
        )
        lines = [
            f"{box.number} · {box.kind}",
            *([f"from {box.came} →"] if box.came else []),
            *box.lines,
            *([f"→ to {box.goes}"] if box.goes else []),
        ]
        for i, line in enumerate(lines):
            weight = ' font-weight="600" fill="#1D3B5C"' if i == 0 else ' fill="#1A2330"'
            parts.append(f'<text x="{box.x + 6:.1f}" y="{box.y + 11.4 + 8.6 * i:.1f}"{weight}>{_e(line)}</text>')
        parts.append("</g>")
    parts.append("</svg>")
    return "".join(parts)
