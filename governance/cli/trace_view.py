"""The trace answer as a tree in the terminal: model → run → dataset versions → upstream jobs with their code → raw file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from governance.cli.output import short, when
from governance.cli.trace_gaps import completeness_line, gap_lines

if TYPE_CHECKING:
    from rich.tree import Tree

__all__ = ["trace_tree"]

_MOST = 20
"""So many of a kind are named; the others are counted."""


def trace_tree(answer: Mapping[str, Any]) -> Tree:
    """A rich tree of a TraceAnswer (direction up or down)."""
    from rich.tree import Tree

    subject = answer.get("subject") or {}
    title = f"{subject.get('kind', 'subject')} {subject.get('ref') or subject.get('id') or ''}".strip()
    tree = Tree(_text(title, "bold"))
    if answer.get("direction") == "down":
        _down(tree, answer)
    else:
        _up(tree, answer)
    for name, words in (("as_of", "as of"), ("known_at", "as known at")):
        if answer.get(name) is not None:
            tree.add(_text(f"{words} {when(answer[name])}"))
    _complete(tree, answer)
    return tree


def _complete(tree: Tree, answer: Mapping[str, Any]) -> None:
    """One line when the answer rests on everything; else every kind of gap with its examples."""
    state = answer.get("completeness") or {}
    gaps = list(gap_lines(answer))
    if state.get("complete") or not gaps:
        tree.add(_text(completeness_line(answer), "green" if state.get("complete") else "yellow"))
        return
    hops = ", ".join(f"{count} {basis}" for basis, count in sorted((state.get("hops_by_basis") or {}).items()))
    branch = tree.add(_text(f"NOT complete{f' (steps: {hops})' if hops else ''}", "yellow"))
    for what, examples in gaps:
        node = branch.add(_text(what, "yellow"))
        for example in examples:
            node.add(_text(example))


def _text(text: str, style: str = "") -> Any:
    from rich.text import Text

    return Text(text, style=style)


def _name(value: Any, *fields: str) -> str:
    """A thing's name, whether the answer holds it as a string or as an object."""
    if isinstance(value, Mapping):
        return " ".join(str(value[field]) for field in fields if value.get(field) not in (None, ""))
    return "" if value is None else str(value)


def _code(reference: Any) -> str:
    """Code for the eye: the file of a URL and the beginning of its digest; the whole stands in the JSON and on paper.

    >>> _code("https://example.org/jobs/split.py@sha256:0123456789abcdef")
    'split.py@sha256:0123456789ab…'
    """
    name, at, digest = str(reference).rpartition("@")
    return f"{name.rsplit('/', 1)[-1]}@{short(digest)}" if at and "/" in name else short(reference)


def _up(tree: Tree, answer: Mapping[str, Any]) -> None:
    model, run = answer.get("model"), answer.get("run")
    prediction = answer.get("prediction")
    if isinstance(prediction, Mapping):
        tree.add(
            _text(f"prediction {prediction.get('id', '')} at {when(prediction.get('at'))}, deployment {prediction.get('deployment', '-')}")
        )
    branch = tree
    if model:
        name = _name(model, "name") or _name(model, "model")
        version = model.get("version") if isinstance(model, Mapping) else None
        branch = tree.add(_text(f"model {name}@{version}" if version is not None else f"model {name}"))
        if isinstance(model, Mapping):
            if model.get("artifact"):
                branch.add(_text(f"weights {short(_name(model['artifact'], 'digest'))}"))
            if model.get("destroyed_at"):
                branch.add(_text(f"weights destroyed {when(model['destroyed_at'])} by request {model.get('destroyed_by')}", "yellow"))
    if run:
        state = run.get("state") or run.get("status") if isinstance(run, Mapping) else None
        times = ""
        if isinstance(run, Mapping) and (run.get("start") or run.get("started_at")):
            times = f", {when(run.get('start') or run.get('started_at'))}"
        ident = _name(run, "run_id") or _name(run, "id")
        branch = branch.add(_text(f"run {ident}{f' {state}' if state else ''}{times}"))
    _recipe(branch, answer)
    columns = [node for node in answer.get("nodes") or [] if node.get("label") == "Field"]
    if columns and not answer.get("datasets"):
        _columns(branch, answer)
    datasets = answer.get("datasets") or []
    known = {(item.get("dataset"), item.get("version")): item for item in datasets}
    used = {(source.get("dataset"), source.get("version")) for item in datasets for source in item.get("inputs") or []}
    shown: set[tuple[Any, Any]] = set()
    for item in datasets:
        if item.get("role") or (item.get("dataset"), item.get("version")) not in used:
            _dataset(branch, item, known, shown)
    if answer.get("source_rows") is not None:
        erased = any(item.get("gone") and not item.get("inputs") for item in datasets)
        recounted = all(item.get("recounted") is not None for item in datasets if not item.get("inputs"))
        how = "as recorded; a source version was erased since" if erased else "recounted from the store" if recounted else "as stated"
        branch.add(_text(f"source rows: {answer['source_rows']}, {how}", "bold"))
    _measured(tree, answer)


def _columns(branch: Tree, answer: Mapping[str, Any]) -> None:
    """Which columns fed which, the one that was asked about on top."""
    nodes = {node["key"]: node for node in answer.get("nodes") or []}
    feeds: dict[str, list[Mapping[str, Any]]] = {}
    for edge in answer.get("edges") or []:
        if edge.get("type") == "FEEDS":
            feeds.setdefault(edge["target"], []).append(edge)
    shown: set[str] = set()

    def grow(tree: Tree, key: str) -> None:
        for edge in sorted(feeds.get(key, []), key=lambda edge: _node(nodes[edge["source"]])):
            props = edge.get("props") or {}
            how = ", ".join(str(props[name]).lower() for name in ("type", "subtype", "basis") if props.get(name))
            masked = ", masked" if props.get("masking") else ""
            below = tree.add(_text(f"{_node(nodes[edge['source']])}  ({how}{masked})"))
            if edge["source"] not in shown:
                shown.add(edge["source"])
                grow(below, edge["source"])

    for key in (answer.get("subject") or {}).get("keys") or []:
        grow(branch, key)


def _recipe(branch: Tree, answer: Mapping[str, Any]) -> None:
    if answer.get("code"):
        branch.add(_text(f"code {short(_name(answer['code'], 'ref') or _name(answer['code'], 'code'))}"))
    params = answer.get("params")
    if params:
        shown = ", ".join(f"{key}={value}" for key, value in sorted(params.items())) if isinstance(params, Mapping) else str(params)
        branch.add(_text(f"parameters {shown}" if answer.get("seed") is None else f"parameters {shown}; seed {answer['seed']}"))
    environment = answer.get("environment")
    if environment:
        details = environment.get("details") if isinstance(environment, Mapping) else None
        extra = "" if not isinstance(details, Mapping) else f" (torch {details.get('torch', '?')}, {details.get('threads', '?')} threads)"
        branch.add(_text(f"environment {short(_name(environment, 'digest'))}{extra}"))


def _dataset(branch: Tree, item: Mapping[str, Any], known: Mapping[tuple[Any, Any], Mapping[str, Any]], seen: set[tuple[Any, Any]]) -> None:
    role = f"{item['role']}: " if item.get("role") else ""
    at = f"@{short(item['version'], 10)}" if item.get("version") is not None else ""
    parts = [f"{role}{item.get('dataset')}{at}"]
    if item.get("rows") is not None:
        recounted = item.get("recounted")
        note = "" if recounted is None else " (recounted)" if recounted == item["rows"] else f" (BUT {recounted} recounted)"
        parts.append(f"{item['rows']} rows{note}")
    for rows in item.get("row_sets") or [item.get("row_set") or {}]:  # one version may be read twice, in two roles
        if rows.get("digest"):
            what = f"{rows['role']} {rows['count']}: " if rows.get("role") and item.get("row_sets") else ""
            parts.append(f"{what}row set {short(rows['digest'])}")
    if item.get("version_basis") not in (None, "stated"):
        parts.append(f"version {item['version_basis']}")
    if item.get("gone"):
        parts.append("erased, a tombstone answers")
    node = branch.add(_text("  ".join(parts), "yellow" if item.get("gone") else ""))
    key = (item.get("dataset"), item.get("version"))
    if key in seen:
        if item.get("inputs"):
            node.add(_text("(shown above)"))
        return
    seen.add(key)
    producer = item.get("producer")
    below = node
    if producer:
        code = f"  code {_code(producer.get('code'))}" if isinstance(producer, Mapping) and producer.get("code") else ""
        below = node.add(_text(f"job {_name(producer, 'job')}{code}"))
    for source in item.get("inputs") or []:
        _dataset(below, known.get((source.get("dataset"), source.get("version")), source), known, seen)


def _measured(tree: Tree, answer: Mapping[str, Any]) -> None:
    audits = answer.get("audits") or []
    if audits:
        node = tree.add(_text("audits"))
        for audit in audits:
            verdict = str(audit.get("verdict", ""))
            node.add(_text(f"{audit.get('audit')}: {verdict}", {"PASS": "green", "FAIL": "red", "ERROR": "red"}.get(verdict, "yellow")))
    decision = answer.get("decision")
    if decision:
        outcome = decision.get("outcome") if isinstance(decision, Mapping) else decision
        policy = f" by policy {decision.get('policy')}" if isinstance(decision, Mapping) and decision.get("policy") else ""
        tree.add(_text(f"decision: {outcome}{policy}", "green" if outcome == "pass" else "yellow"))
    elif answer.get("model") and not _name(answer["model"], "namespace"):  # about a model trained elsewhere nobody asked our gate
        tree.add(_text("decision: none yet", "yellow"))
    _deployments(tree, answer.get("deployments") or [], always=bool(answer.get("model")))


def _deployments(tree: Tree, deployments: Iterable[Any], *, always: bool) -> None:
    shown = list(deployments)
    if not shown and always:
        tree.add(_text("deployments: none"))
    for item in shown:
        if not isinstance(item, Mapping):
            tree.add(_text(f"deployed: {item}"))
            continue
        until = f"until {when(item['active_to'])}" if item.get("active_to") else "now"
        version = f"{item['model']}@{item['version']} " if item.get("model") else ""
        tree.add(_text(f"deployed {version}in {item.get('environment')} from {when(item.get('active_from'))} {until}"))


def _down(tree: Tree, answer: Mapping[str, Any]) -> None:
    """Everything that was reached, under its kind: what is live first."""
    start = set((answer.get("subject") or {}).get("keys") or [(answer.get("subject") or {}).get("key")])
    edges = answer.get("edges") or []
    planned = {edge.get("target") for edge in edges if edge.get("type") == "PLANNED"}
    flows = {end for edge in edges if edge.get("walk") or edge.get("type") == "FEEDS" for end in (edge.get("source"), edge.get("target"))}
    named = {one.get("key"): f"{one.get('model')}@{one.get('version')}" for one in answer.get("models") or [] if one.get("own")}
    kinds: dict[str, list[str]] = {}
    for node in answer.get("nodes") or []:
        label = str(node.get("label"))
        if node.get("key") in start or label not in _KINDS or (edges and node.get("key") not in flows | planned and label != "Deployment"):
            continue
        kinds.setdefault(label, []).append(
            named.get(node.get("key"), _node(node)) + (" (planned, not written)" if node.get("key") in planned else "")
        )
    for kind, words in _KINDS.items():
        if kind not in kinds:
            continue
        branch = tree.add(_text(f"{words} ({len(kinds[kind])})", "bold" if kind in {"Deployment", "ModelVersion"} else ""))
        for name in sorted(kinds[kind])[:_MOST]:
            branch.add(_text(name))
        if len(kinds[kind]) > _MOST:
            branch.add(_text(f"and {len(kinds[kind]) - _MOST} more: --json has them all"))
    if not kinds:
        tree.add(_text("nothing was reached"))


_KINDS = {
    "Deployment": "deployments",
    "ModelVersion": "model versions",
    "DatasetVersion": "dataset versions",
    "Field": "columns",
    "Dataset": "datasets",
    "Run": "runs",
    "Job": "jobs",
}


def _node(node: Mapping[str, Any]) -> str:
    props = node.get("props") or {}
    job = props.get("job")
    name = props.get("name") or (job.get("name") if isinstance(job, Mapping) else job) or props.get("run_id") or node.get("key")
    if node.get("label") == "Field":
        return f"{props.get('namespace')} {props.get('dataset')}.{name}"
    if node.get("label") == "Deployment":
        until = f"until {when(props['active_to'])}" if props.get("active_to") else "live"
        return f"{name} from {when(props.get('active_from'))}, {until}"
    if node.get("label") == "Run":
        return f"{name} {props.get('state') or ''} {props.get('run_id') or ''}".rstrip()
    version = f"@{short(props['version'], 10)}" if props.get("version") not in (None, "") else ""
    unknown = " (version unknown)" if str(node.get("label")).endswith("Version") and not version else ""
    return f"{props.get('namespace') or ''} {name}{version}{unknown}".strip()
