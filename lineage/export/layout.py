"""Where boxes and lines lie: layers from left to right. Pure geometry over numbers, in pixels; y grows downwards.

1. edges that close a cycle are set aside (depth first, in the order given) and drawn backwards at the end;
2. longest-path layers (Sugiyama, Tagawa, Toda 1981), a source right before what it feeds;
3. a long edge is routed through one empty slot in each layer it crosses;
4. order within layers by barycentre sweeps, the order with the fewest crossings is kept (Gansner et al. 1993);
5. heights by pulling every box towards the mean of its neighbours, no two closer than the gap (pool adjacent violators).
"""

from __future__ import annotations

import itertools
from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Layout", "layout"]

_SWEEPS = 12
_PULLS = 24
_SLOT = 14.0
"""Height of an empty slot through which a long line runs."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything lies."""

    x: tuple[float, ...]
    """Left side of each box."""
    y: tuple[float, ...]
    """Top of each box."""
    ways: tuple[tuple[tuple[float, float], ...], ...]
    """For each edge the points it runs through, from the right side of its source to the left side of its target."""
    width: float
    height: float


def layout(heights: Sequence[float], edges: Sequence[tuple[int, int]], *, width: float, gutter: float, gap: float) -> Layout:
    """Places for boxes of one ``width`` and given ``heights``, and ways for the edges between them (by index).

    Args:
        heights: of each box.
        edges: (source, target); none from a box to itself.
        width: of every box.
        gutter: between two layers.
        gap: the least distance between two boxes of a layer.
    """
    count = len(heights)
    back = _back(count, edges)
    ends = [(b, a) if place in back else (a, b) for place, (a, b) in enumerate(edges)]
    layer = _layers(count, ends)
    sizes = list(heights)
    chains: list[list[int]] = []  # each edge as its boxes and empty slots, in layer order
    at = list(layer)
    for a, b in ends:
        chain = [a]
        for between in range(layer[a] + 1, layer[b]):
            chain.append(len(sizes))
            sizes.append(_SLOT)
            at.append(between)
        chains.append([*chain, b])
    columns: list[list[int]] = [[] for _ in range(max(at, default=0) + 1)]
    for item, place in enumerate(at):
        columns[place].append(item)
    before: list[list[int]] = [[] for _ in sizes]
    after: list[list[int]] = [[] for _ in sizes]
    for chain in chains:
        for a, b in itertools.pairwise(chain):
            after[a].append(b)
            before[b].append(a)
    _order(columns, before, after)
    middle = _heights(columns, before, after, sizes, gap)
    step = width + gutter
    ways = []
    for place, chain in enumerate(chains):
        points = [(at[chain[0]] * step + width, middle[chain[0]])]
        for item in chain[1:-1]:
            points += [(at[item] * step, middle[item]), (at[item] * step + width, middle[item])]
        points.append((at[chain[-1]] * step, middle[chain[-1]]))
        ways.append(tuple(reversed(points)) if place in back else tuple(points))
    return Layout(
        x=tuple(at[item] * step for item in range(count)),
        y=tuple(middle[item] - sizes[item] / 2 for item in range(count)),
        ways=tuple(ways),
        width=len(columns) * step - gutter if count else 0.0,
        height=max((middle[item] + sizes[item] / 2 for item in range(len(sizes))), default=0.0),
    )


def _back(count: int, edges: Sequence[tuple[int, int]]) -> set[int]:
    """The places of the edges that close a cycle."""
    after: list[list[tuple[int, int]]] = [[] for _ in range(count)]
    for place, (a, b) in enumerate(edges):
        after[a].append((b, place))
    state = [0] * count
    back: set[int] = set()
    for start in range(count):
        if state[start]:
            continue
        state[start] = 1
        stack = [(start, iter(after[start]))]
        while stack:
            node, rest = stack[-1]
            child, place = next(rest, (-1, -1))
            if child < 0:
                state[node] = 2
                stack.pop()
            elif state[child] == 1:
                back.add(place)
            elif state[child] == 0:
                state[child] = 1
                stack.append((child, iter(after[child])))
    return back


def _layers(count: int, edges: Sequence[tuple[int, int]]) -> list[int]:
    after: list[list[int]] = [[] for _ in range(count)]
    waiting = [0] * count
    for a, b in edges:
        after[a].append(b)
        waiting[b] += 1
    layer = [0] * count
    sources = [node for node in range(count) if not waiting[node]]
    queue = list(sources)
    for node in queue:
        for child in after[node]:
            layer[child] = max(layer[child], layer[node] + 1)
            waiting[child] -= 1
            if not waiting[child]:
                queue.append(child)
    for node in sources:
        if after[node]:
            layer[node] = min(layer[child] for child in after[node]) - 1
    lowest = min(layer, default=0)
    return [place - lowest for place in layer]


def _order(columns: list[list[int]], before: Sequence[Sequence[int]], after: Sequence[Sequence[int]]) -> None:
    """Sort every column in place; of all orders met, the one with the fewest crossings stays."""
    best, fewest = [list(column) for column in columns], _crossings(columns, after)
    place = {item: float(spot) for column in columns for spot, item in enumerate(column)}
    for sweep in range(_SWEEPS):
        if not fewest:
            break
        down = sweep % 2 == 0
        near = before if down else after
        for column in columns if down else reversed(columns):
            wanted = {item: (_mean([place[other] for other in near[item]], place[item]), place[item]) for item in column}
            column.sort(key=wanted.__getitem__)
            place.update({item: float(spot) for spot, item in enumerate(column)})
        crossed = _crossings(columns, after)
        if crossed < fewest:
            best, fewest = [list(column) for column in columns], crossed
    columns[:] = best


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _crossings(columns: Sequence[Sequence[int]], after: Sequence[Sequence[int]]) -> int:
    total = 0
    for left, right in itertools.pairwise(columns):
        place = {item: spot for spot, item in enumerate(right)}
        seen: list[int] = []
        for item in left:
            ends = sorted(place[other] for other in after[item] if other in place)
            total += sum(len(seen) - bisect_left(seen, end + 1) for end in ends)
            for end in ends:
                insort(seen, end)
    return total


def _heights(
    columns: Sequence[Sequence[int]],
    before: Sequence[Sequence[int]],
    after: Sequence[Sequence[int]],
    sizes: Sequence[float],
    gap: float,
) -> list[float]:
    """The middle of every item, the topmost box at 0."""
    middle = [0.0] * len(sizes)
    for column in columns:
        top = 0.0
        for item in column:
            middle[item] = top + sizes[item] / 2
            top += sizes[item] + gap
    for pull in range(_PULLS):
        right = pull % 2 == 0
        for column in columns if right else reversed(columns):
            wanted = []
            for item in column:
                near = (before[item] if right else after[item]) or (after[item] if right else before[item])
                wanted.append(_mean([middle[other] for other in near], middle[item]))
            _place(column, wanted, middle, sizes, gap)
    lowest = min((middle[item] - sizes[item] / 2 for column in columns for item in column), default=0.0)
    return [spot - lowest for spot in middle]


def _place(column: Sequence[int], wanted: Sequence[float], middle: list[float], sizes: Sequence[float], gap: float) -> None:
    """The places nearest to those wanted, in order and apart: pool adjacent violators over wanted − the offset from the top."""
    offset = 0.0
    offsets: list[float] = []
    pools: list[list[float]] = []  # [sum, count]
    for spot, item in enumerate(column):
        if spot:
            offset += sizes[column[spot - 1]] / 2 + gap + sizes[item] / 2
        offsets.append(offset)
        pools.append([wanted[spot] - offset, 1.0])
        while len(pools) > 1 and pools[-2][0] / pools[-2][1] > pools[-1][0] / pools[-1][1]:
            total, many = pools.pop()
            pools[-1][0] += total
            pools[-1][1] += many
    spot = 0
    for total, many in pools:
        for _ in range(int(many)):
            middle[column[spot]] = total / many + offsets[spot]
            spot += 1
