"""The states of an erasure request as a picture, made from the table that the code checks every move against.

The longest way through the states stands upright at the left; every other state hangs in a column at the right, below the last state that
leads to it. A column is shared by states whose lines do not meet.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

from governance.erasure.states import CLOSED, DESTRUCTIVE, FINAL, TABLE, Transition
from governance.model import ErasureState as S

__all__ = ["main_way", "states_svg"]

INK, MUTED, LINE, PAPER = "#1A2330", "#566170", "#C3CBD4", "#FFFFFF"
PRIVACY, SYSTEM = "#0A5C8C", "#7A4A00"
DESTROYS, ANSWERED, OPEN = ("#FAECEA", "#9C2A1F"), ("#E9F4F0", "#12694F"), ("#F5F7F9", "#566170")
SANS = "'IBM Plex Sans', system-ui, -apple-system, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif"
MONO = "'IBM Plex Mono', ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace"

ROW, BOX, WIDE = 58.0, 30.0, 164.0
LEFT, TOP, COLUMN = 150.0, 84.0, 178.0
APART = 5.0
"""Half the distance between the lines of persons and of the system where both leave one state."""
_WHEN = {(S.SCOPING, S.VERIFYING): ("nothing", "was found")}
"""When a way is gone that the names of its ends do not explain."""


@dataclass(frozen=True, slots=True)
class Hanging:
    """A state beside the main way."""

    state: S
    sources: tuple[Transition, ...]
    column: int

    @property
    def row(self) -> float:
        """Where it hangs: half a row below the last state that leads to it."""
        return max(_ROWS[way.source] for way in self.sources) + 0.5


def main_way(table: Sequence[Transition] = TABLE) -> list[S]:
    """The longest way from the first state that goes forward only; of two as long, the one whose states are named first."""
    order = {state: place for place, state in enumerate(S)}

    def longest(state: S) -> list[S]:
        following = sorted({way.target for way in table if way.source is state and order[way.target] > order[state]}, key=order.__getitem__)
        return [state, *max((longest(one) for one in following), key=len, default=[])]

    return longest(next(iter(S)))


_WAY = main_way()
_ROWS = {state: row for row, state in enumerate(_WAY)}


def _hanging() -> list[Hanging]:
    """The states beside the main way, those with the shortest lines nearest to it."""
    beside = {state: tuple(way for way in TABLE if way.target is state and way.source in _ROWS) for state in S if state not in _ROWS}
    unreached = [state for state, ways in beside.items() if not ways]
    if unreached:
        raise ValueError(f"no way leads from the main way to {', '.join(unreached)}: the picture has no place for it")
    spans = {state: (min(_ROWS[way.source] for way in ways), max(_ROWS[way.source] for way in ways) + 1) for state, ways in beside.items()}
    columns: list[list[S]] = []
    placed = []
    for state in sorted(beside, key=lambda one: (spans[one][1] - spans[one][0], spans[one][0])):
        fits = (at for at, taken in enumerate(columns) if all(_apart(spans[state], spans[other]) for other in taken))
        column = next(fits, len(columns))
        if column == len(columns):
            columns.append([])
        columns[column].append(state)
        placed.append(Hanging(state, beside[state], column))
    return placed


def _apart(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return one[1] <= other[0] or other[1] <= one[0]


def states_svg() -> str:
    """The picture as text; the same text for the same table."""
    hanging = _hanging()
    width = LEFT + WIDE + 40 + COLUMN * (max(one.column for one in hanging) + 1)
    height = TOP + ROW * len(_WAY) + 62
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}"'
    parts = [
        f'{head} role="img" aria-labelledby="t d" font-family="{SANS}">',
        '<title id="t">The states of an erasure request</title>',
        f'<desc id="d">{escape(_described())}</desc>',
        f'<rect width="{width:g}" height="{height:g}" rx="8" fill="{PAPER}"/>',
        f'<text x="24" y="34" font-size="17" font-weight="600" fill="{INK}">From a received request to its end</text>',
        f'<text x="24" y="54" font-size="12.5" fill="{MUTED}">Each arrow is one entry of the ledger, with actor, time and reason.</text>',
        *_upright(),
        *_skips(),
    ]
    for one in hanging:
        parts += _lines(one)
    for state in _WAY:
        parts += _box(state, LEFT, _y(_ROWS[state]), "")
    for one in hanging:
        back = [way.target for way in TABLE if way.source is one.state]
        parts += _box(one.state, _x(one.column) - WIDE / 2, _y(one.row), f"↩ {', '.join(back)}" if back else "")
    parts += _legend(height)
    return "\n".join([*parts, "</svg>", ""])


# ── parts ───────────────────────────────────────────────────────────────────────────────────────
def _y(row: float) -> float:
    return TOP + ROW * row + BOX / 2


def _x(column: int) -> float:
    return LEFT + WIDE + 40 + COLUMN * column + COLUMN / 2


def _colour(who: str) -> str:
    return PRIVACY if who == "privacy" else SYSTEM


def _dash(who: str) -> str:
    return "" if who == "privacy" else ' stroke-dasharray="5 3"'


def _path(d: str, who: str) -> str:
    return f'<path d="{d}" fill="none" stroke="{_colour(who)}" stroke-width="1.6"{_dash(who)}/>'


def _head(x: float, y: float, who: str) -> str:
    return f'<path d="M{x:g} {y:g}l-4.5 -8h9Z" fill="{_colour(who)}"/>'


def _upright() -> Iterable[str]:
    middle = LEFT + WIDE / 2
    for source, target in pairwise(_WAY):
        way = next(one for one in TABLE if one.source is source and one.target is target)
        start, end = _y(_ROWS[source]) + BOX / 2, _y(_ROWS[target]) - BOX / 2
        yield _path(f"M{middle:g} {start:g}V{end - 6:g}", way.who) + _head(middle, end, way.who)
        yield (
            f'<text x="{middle - 10:g}" y="{(start + end) / 2 + 4:g}" font-size="10.5" text-anchor="end" '
            f'fill="{_colour(way.who)}" font-family="{MONO}">{escape(way.emits)}</text>'
        )


def _skips() -> Iterable[str]:
    """Ways of the main column that pass over some of its states, at its left."""
    x = LEFT - 46
    for way in TABLE:
        if not (way.source in _ROWS and way.target in _ROWS and abs(_ROWS[way.target] - _ROWS[way.source]) > 1):
            continue
        start, end = _y(_ROWS[way.source]), _y(_ROWS[way.target])
        out = f"M{LEFT:g} {start:g}H{x + 12:g}Q{x:g} {start:g} {x:g} {start + 12:g}V{end - 12:g}"
        yield _path(f"{out}Q{x:g} {end:g} {x + 12:g} {end:g}H{LEFT - 7:g}", way.who)
        yield f'<path d="M{LEFT:g} {end:g}l-8 -4.5v9Z" fill="{_colour(way.who)}"/>'
        for line, words in enumerate(_WHEN.get((way.source, way.target), (way.emits,))):
            y = (start + end) / 2 + 14 * line
            yield f'<text x="{x - 8:g}" y="{y:g}" font-size="11" text-anchor="end" fill="{MUTED}">{words}</text>'


def _lines(one: Hanging) -> Iterable[str]:
    """From each state that leads there to the right, then down."""
    for who in ("privacy", "system"):
        ways = [way for way in one.sources if way.who == who]
        if not ways:
            continue
        both = len({way.who for way in one.sources}) == 2
        x = _x(one.column) + (0 if not both else -APART if who == "privacy" else APART)
        shift = -APART if who == "privacy" else APART
        end = _y(one.row) - BOX / 2
        first = min(_y(_ROWS[way.source]) for way in ways) + shift
        yield _path(f"M{x:g} {first:g}V{end - 6:g}", who) + _head(x, end, who)
        for way in ways:
            y = _y(_ROWS[way.source]) + shift
            yield _path(f"M{LEFT + WIDE:g} {y:g}H{x:g}", who)
            yield f'<circle cx="{x:g}" cy="{y:g}" r="2.6" fill="{_colour(who)}"/>'


def _box(state: S, x: float, y: float, second: str) -> Iterable[str]:
    fill, edge = DESTROYS if state in DESTRUCTIVE else ANSWERED if state in CLOSED else OPEN
    thick = 2.6 if state in FINAL else 1.2
    yield (
        f'<rect x="{x:g}" y="{y - BOX / 2:g}" width="{WIDE:g}" height="{BOX:g}" rx="{BOX / 2 if state in FINAL else 5:g}" '
        f'fill="{fill}" stroke="{edge}" stroke-width="{thick}"/>'
    )
    lift = -2.5 if second else 4
    yield (
        f'<text x="{x + WIDE / 2:g}" y="{y + lift:g}" font-size="12.5" text-anchor="middle" fill="{INK}" '
        f'font-family="{MONO}">{escape(state)}</text>'
    )
    if second:
        yield (
            f'<text x="{x + WIDE / 2:g}" y="{y + 10:g}" font-size="9.5" text-anchor="middle" fill="{MUTED}" '
            f'font-family="{MONO}">{escape(second)}</text>'
        )


def _legend(height: float) -> Iterable[str]:
    y, x = height - 26, 24.0
    for words, who in (("a privacy officer", "privacy"), ("Govern by itself", "system")):
        yield _path(f"M{x:g} {y - 4:g}h30", who) + f'<text x="{x + 38:g}" y="{y:g}" font-size="12" fill="{INK}">{words}</text>'
        x += 158
    for words, (fill, edge), round_ in (
        ("data is excluded or purged", DESTROYS, 4.0),
        ("answered: the clock has stopped", ANSWERED, 4.0),
        ("thick and round: the end", OPEN, 8.0),
    ):
        thick = 2.6 if round_ > 4 else 1.2
        place = f'x="{x:g}" y="{y - 12:g}" width="26" height="16" rx="{round_:g}"'
        yield f'<rect {place} fill="{fill}" stroke="{edge}" stroke-width="{thick}"/>'
        yield f'<text x="{x + 34:g}" y="{y:g}" font-size="12" fill="{INK}">{words}</text>'
        x += 54 + 6.4 * len(words)


def _described() -> str:
    """The picture in words, for who does not see it."""
    ways = (f"{way.source} to {way.target} ({way.who})" for way in TABLE)
    return f"The main way: {', '.join(_WAY)}. All ways: {'; '.join(ways)}."
