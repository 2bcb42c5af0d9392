"""Where the boxes and arrows of a lineage picture lie: layers from left to right, wrapped into bands. Pure geometry.

Method: longest-path layers (Sugiyama, Tagawa, Toda 1981), long edges routed through empty slots of the layers between, order by
barycentre sweeps. Too many layers for the width are wrapped into bands; an arrow that would leave its band becomes a number in both boxes.
Units are points; y grows downwards from the top of a band.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

__all__ = ["Arrow", "Band", "Box", "arrange", "wrap"]

GUTTER = 30.0
GAP = 9.0
SLOT = 7.0
LINE = 8.6
PAD = 5.0
TEXT = 7.2
MOST_COLUMNS = 5
MOST_IN_COLUMN = 12
MOST_LINES = 4

Measure = Callable[[str], float]


@dataclass(slots=True)
class Box:
    """A node as drawn: its number, what it is, its label wrapped into lines."""

    ident: str
    number: int
    kind: str
    lines: tuple[str, ...]
    came: str = ""
    """Numbers of the nodes in other bands that lead here, e.g. ``3, 4``."""
    goes: str = ""
    x: float = 0.0
    y: float = 0.0
    w: float = 0.0
    h: float = 0.0


@dataclass(frozen=True, slots=True)
class Arrow:
    """A curve through points from left to right; the head is at the last one."""

    points: tuple[tuple[float, float], ...]


@dataclass(slots=True)
class Band:
    """One strip of the picture, as wide as asked for."""

    height: float
    boxes: list[Box]
    arrows: list[Arrow] = field(default_factory=list)


@dataclass(slots=True)
class _Item:
    """A box or an empty slot (box None) in a column."""

    box: Box | None
    h: float
    before: list[_Item] = field(default_factory=list)
    after: list[_Item] = field(default_factory=list)
    y: float = 0.0

    @property
    def middle(self) -> float:
        return self.y + self.h / 2


def wrap(text: str, width: float, measure: Measure, most: int = MOST_LINES) -> tuple[str, ...]:
    """The text in at most ``most`` lines no wider than ``width``; broken after ``. / @ - _ :`` or a blank where possible, else anywhere.

    What does not fit is replaced by an ellipsis in the last line.
    """
    lines: list[str] = []
    rest = text.strip()
    while rest:
        end = len(rest)
        while end > 1 and measure(rest[:end]) > width:
            end -= 1
        if end < len(rest):
            for breakable in (" ", "./@-_:"):  # a blank first: a date or a name is better left whole
                good = max((i + 1 for i, c in enumerate(rest[: end + 1]) if c in breakable and i + 1 <= end + (c == " ")), default=0)
                if good > end // 3:
                    end = min(good, end + 1)
                    break
        lines.append(rest[:end].rstrip())
        rest = rest[end:].lstrip()
    if len(lines) > most:
        last = lines[most - 1]
        while last and measure(last + "…") > width:
            last = last[:-1]
        lines = [*lines[: most - 1], last + "…"]
    return tuple(lines) or ("",)


def _layers(count: int, edges: Sequence[tuple[int, int]]) -> tuple[list[int], list[tuple[int, int]]]:
    """Layer of each node, and the edges that run forward (those that close a cycle are left out)."""
    after: dict[int, list[int]] = defaultdict(list)
    for a, b in edges:
        after[a].append(b)
    state = [0] * count
    order: list[int] = []
    back: set[tuple[int, int]] = set()
    for start in range(count):
        if state[start]:
            continue
        stack = [(start, iter(after[start]))]
        state[start] = 1
        while stack:
            node, children = stack[-1]
            child = next(children, None)
            if child is None:
                state[node] = 2
                order.append(node)
                stack.pop()
            elif state[child] == 1:
                back.add((node, child))
            elif state[child] == 0:
                state[child] = 1
                stack.append((child, iter(after[child])))
    forward = [edge for edge in edges if edge not in back]
    layer = [0] * count
    rank = {node: i for i, node in enumerate(reversed(order))}
    for a, b in sorted(forward, key=lambda e: rank[e[0]]):
        layer[b] = max(layer[b], layer[a] + 1)
    entered = {b for _, b in forward}
    for node in range(count):  # a source stands right before what it feeds, not at the far left
        targets = [layer[b] for a, b in forward if a == node]
        if node not in entered and targets:
            layer[node] = min(targets) - 1
    return layer, forward


def _collapse(
    nodes: Sequence[tuple[str, str, str]], edges: Sequence[tuple[int, int]], layer: Sequence[int]
) -> tuple[list[int], dict[int, int], dict[int, int]]:
    """Which nodes are drawn, what stands for the others, and how many a stand-in stands for."""
    per: dict[int, list[int]] = defaultdict(list)
    for index in range(len(nodes)):
        per[layer[index]].append(index)
    weight: dict[int, int] = defaultdict(int)
    for a, b in edges:
        weight[a] += 1
        weight[b] += 1
    drawn: list[int] = []
    stands: dict[int, int] = {}
    more: dict[int, int] = {}
    for members in per.values():
        if len(members) <= MOST_IN_COLUMN:
            drawn += members
            continue
        ranked = sorted(members, key=lambda n: (-weight[n], n))
        keep, rest = sorted(ranked[: MOST_IN_COLUMN - 1]), sorted(ranked[MOST_IN_COLUMN - 1 :])
        drawn += [*keep, rest[0]]
        more[rest[0]] = len(rest)
        stands |= dict.fromkeys(rest, rest[0])
    return sorted(drawn), stands, more


def arrange(nodes: Sequence[tuple[str, str, str]], edges: Sequence[tuple[str, str, str]], width: float, measure: Measure) -> list[Band]:
    """The bands of the picture, top to bottom.

    Args:
        nodes: (id, label, kind); an id seen again is left out.
        edges: (from, to, note); an edge to an unknown node, or to itself, is left out (its table still shows it).
        width: of the page, in points.
        measure: width of a label's text in points.
    """
    unique = list({node[0]: node for node in nodes}.values())
    index = {node[0]: i for i, node in enumerate(unique)}
    links = sorted({(index[a], index[b]) for a, b, _ in edges if a in index and b in index and a != b})
    layer, forward = _layers(len(unique), links)
    drawn, stands, more = _collapse(unique, links, layer)
    forward = sorted({(stands.get(a, a), stands.get(b, b)) for a, b in forward})
    away = [edge for edge in sorted({(stands.get(a, a), stands.get(b, b)) for a, b in links}) if edge not in set(forward)]

    depth = max(layer, default=0) + 1
    bands = -(-depth // MOST_COLUMNS)
    columns = -(-depth // bands)
    w = min(124.0, (width - (columns - 1) * GUTTER) / columns)
    boxes: dict[int, Box] = {}
    for n in drawn:
        label = unique[n][1] if n not in more else f"and {more[n]} more (see the table)"
        lines = wrap(label, w - 2 * PAD, measure)
        boxes[n] = Box(unique[n][0], n + 1, unique[n][2] if n not in more else "more", lines, w=w)

    band_of = {n: layer[n] // columns for n in drawn}
    inside = [(a, b) for a, b in forward if band_of[a] == band_of[b]]
    away += [(a, b) for a, b in forward if band_of[a] != band_of[b]]
    for n, box in boxes.items():
        box.came = ", ".join(str(a + 1) for a, b in away if b == n)
        box.goes = ", ".join(str(b + 1) for a, b in away if a == n)
        box.h = 2 * PAD + LINE * (1 + len(box.lines)) + (LINE if box.came else 0) + (LINE if box.goes else 0)
    return [
        _band(
            {n: box for n, box in boxes.items() if band_of[n] == band},
            [(a, b) for a, b in inside if band_of[a] == band],
            {n: layer[n] - band * columns for n in drawn},
            min(columns, depth - band * columns),
            w,
        )
        for band in range(bands)
        if any(number == band for number in band_of.values())
    ]


def _band(boxes: dict[int, Box], links: Sequence[tuple[int, int]], column: dict[int, int], count: int, w: float) -> Band:
    columns: list[list[_Item]] = [[] for _ in range(count)]
    items: dict[int, _Item] = {}
    for n, box in boxes.items():
        items[n] = _Item(box, box.h)
        columns[column[n]].append(items[n])
    paths: list[list[_Item]] = []
    for a, b in links:
        path = [items[a]]
        for between in range(column[a] + 1, column[b]):
            slot = _Item(None, SLOT)
            columns[between].append(slot)
            path.append(slot)
        path.append(items[b])
        for left, right in pairwise(path):
            left.after.append(right)
            right.before.append(left)
        paths.append(path)
    _order(columns)
    height = _place(columns)
    for i, items_in in enumerate(columns):
        for item in items_in:
            if item.box is not None:
                item.box.x, item.box.y = i * (w + GUTTER), item.y
    return Band(height, list(boxes.values()), _arrows(paths, columns, w))


def _order(columns: list[list[_Item]]) -> None:
    position: dict[int, float] = {}

    def settle() -> None:
        for members in columns:
            for i, item in enumerate(members):
                position[id(item)] = (i + 0.5) / len(members)

    settle()
    for sweep in range(8):
        forward = sweep % 2 == 0
        for members in columns if forward else reversed(columns):

            def centre(item: _Item, *, forward: bool = forward) -> float:
                near = item.before if forward else item.after
                return sum(position[id(other)] for other in near) / len(near) if near else position[id(item)]

            members.sort(key=centre)
            for i, item in enumerate(members):
                position[id(item)] = (i + 0.5) / len(members)


def _place(columns: list[list[_Item]]) -> float:
    """Give every item its y; returns the height of the band."""
    tall = [sum(item.h for item in members) + GAP * (len(members) - 1) for members in columns]
    height = max(tall, default=0.0)
    for members, total in zip(columns, tall, strict=True):
        y = (height - total) / 2
        for item in members:
            item.y = y
            y += item.h + GAP
    for sweep in range(6):
        for members in columns if sweep % 2 == 0 else reversed(columns):
            for item in members:
                near = item.before + item.after
                if near:
                    item.y = sum(other.middle for other in near) / len(near) - item.h / 2
            floor = 0.0
            for item in members:
                item.y = max(item.y, floor)
                floor = item.y + item.h + GAP
            ceiling = height
            for item in reversed(members):
                item.y = min(item.y, ceiling - item.h)
                ceiling = item.y - GAP
    return height


def _arrows(paths: Sequence[Sequence[_Item]], columns: list[list[_Item]], w: float) -> list[Arrow]:
    at = {id(item): i for i, members in enumerate(columns) for item in members}
    leaving: dict[int, list[Sequence[_Item]]] = defaultdict(list)
    entering: dict[int, list[Sequence[_Item]]] = defaultdict(list)
    for path in paths:
        leaving[id(path[0])].append(path)
        entering[id(path[-1])].append(path)
    for group in leaving.values():
        group.sort(key=lambda p: p[1].middle)
    for group in entering.values():
        group.sort(key=lambda p: p[-2].middle)

    def port(item: _Item, group: list[Sequence[_Item]], path: Sequence[_Item]) -> float:
        place = next(i for i, other in enumerate(group) if other is path)
        usable = min(item.h - 8, 7.0 * (len(group) - 1))
        return item.middle + (usable * (place / (len(group) - 1) - 0.5) if len(group) > 1 else 0.0)

    arrows = []
    for path in paths:
        points = [(at[id(path[0])] * (w + GUTTER) + w, port(path[0], leaving[id(path[0])], path))]
        for slot in path[1:-1]:
            x = at[id(slot)] * (w + GUTTER)
            points += [(x, slot.middle), (x + w, slot.middle)]
        points.append((at[id(path[-1])] * (w + GUTTER), port(path[-1], entering[id(path[-1])], path)))
        arrows.append(Arrow(tuple(points)))
    return arrows
