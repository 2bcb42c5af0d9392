"""What a picture of a lineage graph shows: boxes that data flows through, and the lines between them; nothing of how it looks.

Code, parameters and environments are no boxes: they stand as words in the box of their run, row sets on the line of the read they
belong to. A graph too large for the eye is drawn one level up: the versions of a dataset as one box, the runs of a job as one; and
when that is still too large, what is nearest to the question is kept and the picture says how much it leaves out.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from lineage.graph.keys import run_key
from lineage.model import Edge, Json, Node

__all__ = ["Box", "Line", "Picture", "day", "picture", "short"]

KINDS: Mapping[str, str] = {
    "DatasetVersion": "dataset",
    "Dataset": "dataset",
    "ModelVersion": "model",
    "Model": "model",
    "Run": "run",
    "Job": "job",
    "Deployment": "deployment",
    "Field": "column",
}
"""Labels of the nodes that become boxes; a node of another label becomes one only where data flows through it."""

MOST_BOXES = 120
"""More are drawn one level up."""
MOST_DRAWN = 400
"""More are not drawn: an SVG of ten thousand boxes shows nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """One thing, or several of one identity."""

    key: str
    kind: str
    """dataset | model | run | job | deployment | column, else the node's label in lower case."""
    title: str
    lines: tuple[str, ...] = ()
    asked: bool = False
    """The question was about this one."""
    faint: bool = False
    """Planned and not written, failed, or gone."""
    count: int = 1
    """How many nodes it stands for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A flow from one box to another. ``manner``: solid (said), dashed (inferred), dotted (unknown or planned)."""

    source: str
    target: str
    manner: str = "solid"
    note: str = ""
    """A few words for the eye, e.g. ``686 rows``."""
    about: str = ""
    """All that is known of it, in one sentence."""
    faint: bool = False
    """The run took part, but what flowed is told by another line."""
    count: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """Boxes in key order and the lines between them, sorted."""

    boxes: tuple[Box, ...]
    lines: tuple[Line, ...]
    grouped: bool = False
    """Versions and runs are drawn as their dataset or job."""
    left_out: int = 0
    """Boxes that were not drawn."""


@dataclass(slots=True)
class _Beside:
    """What stands beside a run and is written into its box."""

    code: list[str] = field(default_factory=list)
    params: list[str] = field(default_factory=list)
    environment: list[str] = field(default_factory=list)


def picture(
    nodes: Iterable[Node],
    edges: Iterable[Edge],
    *,
    asked: Sequence[str] = (),
    gone: Container[str] = frozenset(),
    most: int = MOST_BOXES,
    drawn: int = MOST_DRAWN,
) -> Picture:
    """The picture of a graph.

    Args:
        nodes: all of them, those beside the flow too.
        edges: likewise; the walked ones, PLANNED ones, and those between fields or of a job become lines.
        asked: keys of the nodes that the question was about.
        gone: keys of the nodes that were erased or destroyed; they are drawn as such.
        most: more boxes than this are drawn as their datasets and jobs.
        drawn: at most so many boxes, the nearest to ``asked``.
    """
    known = {node.key: node for node in nodes}
    whole = list(edges)
    wanted = set(asked)
    served, identities = _spoken_for(whole, known, wanted)
    flow: list[Edge] = []
    beside: dict[str, _Beside] = {}
    for edge in whole:
        if edge.source not in known or edge.target not in known:
            continue
        if edge.walk or edge.type in _DRAWN:
            if edge.target not in served:
                flow.append(edge)
        elif edge.type in _WORDS:
            words = beside.setdefault(edge.source, _Beside())
            getattr(words, _WORDS[edge.type]).append(_words(known[edge.target]))
    flow, faint = _flow(flow)
    shown = {end for edge in flow for end in (edge.source, edge.target)} | {key for key in wanted if key in known}
    shown -= identities
    boxes = {key: replace(_box(known[key], beside.get(key)), asked=key in wanted) for key in sorted(shown)}
    boxes |= {key: replace(box, faint=True, lines=(*box.lines, "erased")) for key, box in boxes.items() if key in gone}
    lines = [_line(edge, known, faint=edge.key in faint) for edge in flow]
    grouped = len(boxes) > most
    if grouped:
        boxes, lines = _group(known, boxes, lines)
    kept = _nearest(boxes, lines, drawn)
    lines = [line for line in lines if line.source in kept and line.target in kept]
    return Picture(
        boxes=tuple(boxes[key] for key in sorted(kept)),
        lines=tuple(sorted(lines, key=lambda line: (line.source, line.target, line.about))),
        grouped=grouped,
        left_out=len(boxes) - len(kept),
    )


def _spoken_for(edges: Sequence[Edge], known: Mapping[str, Node], wanted: set[str]) -> tuple[set[str], set[str]]:
    """(runs that a Deployment stands for, asked datasets whose versions stand for them); ``wanted`` learns of those versions."""
    served = {edge.target for edge in edges if edge.type == "OF" and edge.source in known and known[edge.source].label == "Deployment"}
    identities = set()
    for edge in edges:
        if edge.type == "HAS_VERSION" and edge.source in wanted and edge.target in known:
            identities.add(edge.source)
            wanted.add(edge.target)
    return served - wanted, identities


_WORDS = {"AT_REVISION": "code", "WITH_PARAMS": "params", "IN_ENV": "environment"}
_DRAWN = frozenset({"PRODUCED", "PLANNED", "FEEDS", "READ_BY", "WRITES", "DECLARED_INPUT", "DECLARED_OUTPUT"})


def _flow(edges: Sequence[Edge]) -> tuple[list[Edge], set[str]]:
    """(the edges that become lines, the keys of those that are drawn faint).

    A run whose outputs all come from all its inputs is drawn as that: the DERIVED edges say the same again and are left out. Of any
    other run they are what counts, and the ways through the run are faint: nothing flows along them.
    """
    derived: dict[str, set[tuple[str, str]]] = {}
    reads: dict[str, set[str]] = {}
    writes: dict[str, set[str]] = {}
    for edge in edges:
        if edge.type == "DERIVED" and "run" in edge.props:
            derived.setdefault(run_key(edge.props["run"]), set()).add((edge.source, edge.target))
        elif edge.type == "INPUT_TO":
            reads.setdefault(edge.target, set()).add(edge.source)
        elif edge.type == "PRODUCED":
            writes.setdefault(edge.source, set()).add(edge.target)
    whole = {run for run, pairs in derived.items() if run in reads and run in writes and len(pairs) == len(reads[run]) * len(writes[run])}
    lines = [edge for edge in edges if not (edge.type == "DERIVED" and "run" in edge.props and run_key(edge.props["run"]) in whole)]
    partly = derived.keys() - whole
    faint = {
        edge.key
        for edge in lines
        if (edge.type == "INPUT_TO" and edge.target in partly) or (edge.type == "PRODUCED" and edge.source in partly)
    }
    return lines, faint


def _words(node: Node) -> str:
    props = node.props
    if node.label == "CodeRevision":
        location = props.get("location")
        said = location if isinstance(location, dict) else {}
        return short(said.get("version") or said.get("url") or said.get("repoUrl") or "")
    if node.label == "ParamSet":
        values = props.get("params")
        return f"{len(values)} parameters" if isinstance(values, dict) and len(values) != 1 else "1 parameter"
    return short(props.get("digest") or props.get("python") or node.key.partition(":")[2])


def _box(node: Node, beside: _Beside | None) -> Box:
    props = node.props
    kind = KINDS.get(node.label, node.label.lower())
    name = str(props.get("name") or props.get("digest") or node.key)
    lines: list[str] = []
    faint = False
    match node.label:
        case "DatasetVersion" | "ModelVersion":
            version = props.get("version")
            lines.append("version unknown" if version is None else f"@ {short(version)}")
            lines.append(str(props.get("namespace") or ""))
            if props.get("row_count") is not None:
                lines[0] += f" · {props['row_count']:,} rows"
            faint = props.get("status") == "planned"
        case "Run":
            job = props.get("job")
            name = str(job["name"]) if isinstance(job, dict) else "run"
            lines.append(" · ".join(str(part) for part in (props.get("state"), day(props.get("start"))) if part))
            faint = props.get("state") in {"FAIL", "ABORT"}
        case "Deployment":
            since, until = day(props.get("active_from")), day(props.get("active_to"))
            lines.append(f"since {since}" if since and not until else f"{since} to {until}" if until else "")
        case "Field":
            lines += [str(props.get("dataset") or ""), str(props.get("namespace") or "")]
        case _:
            lines.append(str(props.get("namespace") or ""))
    if beside is not None:
        lines += [f"code {text}" for text in beside.code[:1] if text]
        lines += [", ".join(text for text in beside.params[:1]) or "", *(f"env {text}" for text in beside.environment[:1])]
    return Box(key=node.key, kind=kind, title=name, lines=tuple(line for line in lines if line), faint=faint)


def _line(edge: Edge, known: Mapping[str, Node], *, faint: bool) -> Line:
    props = edge.props
    basis, version_basis, status = props.get("basis"), props.get("version_basis"), props.get("status")
    manner = "dashed" if version_basis == "inferred" else "solid"
    if version_basis == "unknown" or edge.type == "PLANNED":
        manner = "dotted"
    said = [edge.type.lower().replace("_", " ")]
    said += [f"{basis} lineage"] if basis else []
    said += [f"version {version_basis}"] if version_basis else []
    said += [f"role {props['role']}"] if props.get("role") else []
    said += ["planned, not written"] if edge.type == "PLANNED" else [str(status)] if status == "running" else []
    rows = _rows(props)
    said += [f"{rows:,} rows"] if rows is not None else []
    said += [" ".join(str(props[name]).lower() for name in ("type", "subtype") if props.get(name))] if edge.type == "FEEDS" else []
    said += ["masked"] if props.get("masking") else []
    note = str(props.get("role") or "")
    if rows is not None:
        note = f"{note} {rows:,} rows".strip()
    if edge.type in {"DERIVED", "FEEDS"}:
        note = str(props.get("subtype") or props.get("basis") or "").lower() if edge.type == "FEEDS" else f"{basis}" if basis else ""
    ends = f"{_title(known[edge.source])} → {_title(known[edge.target])}"
    about = f"{ends}: {', '.join(said)}"
    return Line(source=edge.source, target=edge.target, manner=manner, note="" if faint else note, about=about, faint=faint)


def _rows(props: Mapping[str, Json]) -> int | None:
    stated = props.get("row_sets") or ([props["row_set"]] if "row_set" in props else [])
    counts = [one.get("count") for one in stated if isinstance(one, dict)]
    whole = [count for count in counts if isinstance(count, int)]
    return sum(whole) if whole else None


def _title(node: Node) -> str:
    props = node.props
    if node.label == "Run":
        return f"run {short(props.get('run_id'))}"
    if node.label == "Field":
        return f"{props.get('dataset', '')}.{props.get('name', '')}"
    version = props.get("version")
    return f"{props.get('name') or node.label}" + (f"@{short(version)}" if version is not None else "")


def _group(known: Mapping[str, Node], boxes: Mapping[str, Box], lines: Sequence[Line]) -> tuple[dict[str, Box], list[Line]]:
    """The same picture one level up: a box for each dataset, model, job and deployed service."""
    stands: dict[str, str] = {}
    groups: dict[str, list[Box]] = {}
    for key, box in boxes.items():
        props = known[key].props
        job = props.get("job")
        place = (job.get("namespace"), job.get("name")) if isinstance(job, dict) else (props.get("namespace"), props.get("name"))
        ident = f"{box.kind} {place[0]} {place[1]}" if place[1] is not None else key
        stands[key] = ident
        groups.setdefault(ident, []).append(box)
    drawn = {}
    for ident, members in groups.items():
        first = members[0]
        what = {"dataset": "versions", "model": "versions", "run": "runs", "deployment": "deployments"}.get(first.kind, "of them")
        lines_ = first.lines if len(members) == 1 else (f"{len(members):,} {what}", *first.lines[1:2])
        drawn[ident] = replace(
            first,
            key=ident,
            lines=lines_,
            asked=any(box.asked for box in members),
            faint=all(box.faint for box in members),
            count=len(members),
        )
    merged: dict[tuple[str, str], list[Line]] = {}
    for line in lines:
        ends = (stands[line.source], stands[line.target])
        if ends[0] != ends[1]:
            merged.setdefault(ends, []).append(line)
    joined = [
        replace(
            found[0],
            source=ends[0],
            target=ends[1],
            manner=max((line.manner for line in found), key=("solid", "dashed", "dotted").index),
            note=found[0].note if len(found) == 1 else f"{len(found):,} ×",
            about=found[0].about if len(found) == 1 else f"{drawn[ends[0]].title} → {drawn[ends[1]].title}: {len(found):,} flows",
            faint=all(line.faint for line in found),
            count=len(found),
        )
        for ends, found in merged.items()
    ]
    return drawn, joined


def _nearest(boxes: Mapping[str, Box], lines: Sequence[Line], most: int) -> set[str]:
    """The keys of at most ``most`` boxes, breadth first from those that were asked about, else the first in key order."""
    if len(boxes) <= most:
        return set(boxes)
    beside: dict[str, list[str]] = {}
    for line in lines:
        beside.setdefault(line.source, []).append(line.target)
        beside.setdefault(line.target, []).append(line.source)
    level = sorted(key for key, box in boxes.items() if box.asked) or sorted(boxes)[:1]
    kept = set(level[:most])
    while level and len(kept) < most:
        level = sorted({end for key in level for end in beside.get(key, ())} - kept)[: most - len(kept)]
        kept.update(level)
    return kept


def short(value: Json, length: int = 12) -> str:
    """A digest or an identifier cut for the eye, its algorithm kept; names stay whole.

    >>> short("sha256:0123456789abcdef0123")
    'sha256:0123456789ab…'
    """
    text = "" if value is None else str(value)
    head, colon, tail = text.rpartition(":")
    plain = tail.replace("-", "")
    if len(tail) > length and plain and all(letter in "0123456789abcdefABCDEF" for letter in plain):
        return f"{head}{colon}{tail[:length]}…"
    return text


def day(when: Json) -> str:
    """The UTC day of a time in nanoseconds, empty when there is none.

    >>> day(1_772_496_000_000_000_000)
    '2026-03-03'
    """
    if not isinstance(when, int):
        return ""
    try:
        return datetime.fromtimestamp(when // 1_000_000_000, UTC).strftime("%Y-%m-%d")
    except (OverflowError, OSError, ValueError):  # a time beyond the calendar is still a time
        return f"{when} ns"
