"""A lineage graph as Graphviz DOT text, whole and plain: whoever draws it chooses the look."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lineage.export.picture import Box, Line, Picture, picture
from lineage.model import Edge, Node

__all__ = ["dot"]

_SHAPES = {"dataset": "cylinder", "model": "box3d", "run": "box", "job": "box", "deployment": "component", "column": "note"}
_COLOURS = {"dataset": "#0A5C8C", "model": "#12694F", "run": "#8A5A00", "job": "#8A5A00", "deployment": "#7B3F7E", "column": "#0A5C8C"}


def dot(nodes: Iterable[Node], edges: Iterable[Edge], *, asked: Sequence[str] = (), title: str = "") -> str:
    """The graph as DOT: every node data flows through and every line between them; nothing is grouped or left out.

    Args:
        nodes: the graph's nodes.
        edges: the graph's edges.
        asked: keys of the nodes the question was about; drawn with a heavier border.
        title: a label of the whole.
    """
    whole = list(nodes)
    shown: Picture = picture(whole, edges, asked=asked, most=len(whole), drawn=len(whole))
    names = {box.key: f"n{place}" for place, box in enumerate(shown.boxes)}
    out = ["digraph lineage {", "  rankdir=LR;", '  node [fontname="Helvetica", fontsize=10, style="rounded,filled", fillcolor=white];']
    out.append('  edge [fontname="Helvetica", fontsize=9, color="#566170"];')
    if title:
        out.append(f"  label={_text(title)}; labelloc=t; fontname=Helvetica;")
    out += [f"  {names[box.key]} [{_node(box)}];" for box in shown.boxes]
    out += [f"  {names[line.source]} -> {names[line.target]} [{_edge(line)}];" for line in shown.lines]
    return "\n".join([*out, "}", ""])


def _node(box: Box) -> str:
    colour = _COLOURS.get(box.kind, "#566170")
    said = [f"label={_text(chr(10).join((box.title, *box.lines)))}", f"shape={_SHAPES.get(box.kind, 'box')}", f'color="{colour}"']
    said.append(f"tooltip={_text(box.key)}")
    if box.asked:
        said.append("penwidth=2.5")
    if box.faint:
        said.append('style="rounded,dashed"')
    return ", ".join(said)


def _edge(line: Line) -> str:
    said = [f"tooltip={_text(line.about)}"]
    if line.note:
        said.append(f"label={_text(line.note)}")
    if line.manner != "solid":
        said.append(f"style={line.manner}")
    if line.faint:
        said.append('color="#B9C2CC", arrowhead=none')
    return ", ".join(said)


def _text(text: str) -> str:
    """A quoted DOT string on one line: quotes and backslashes escaped, other control characters as blanks."""
    held = "".join(c if c >= " " or c == "\n" else " " for c in text)
    return '"' + held.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
