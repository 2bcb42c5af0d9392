"""The trace answer as a tree in the terminal: model → run → dataset versions → upstream jobs with their code → raw file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from governance.cli.output import short, when

if TYPE_CHECKING:
    from rich.tree import Tree

__all__ = ["completeness_line", "trace_tree"]


def completeness_line(answer: Mapping[str, Any]) -> str:
    """One sentence: whether the answer rests on everything, and if not, why."""
    state = answer.get("completeness") or {}
    if state.get("complete"):
        hops = ", ".join(f"{count} {basis}" for basis, count in sorted((state.get("hops_by_basis") or {}).items()))
        return f"complete{f' ({hops})' if hops else ''}"
    reasons = "; ".join(str(reason) for reason in state.get("reasons") or []) or "no reason was given"
    lag = f"; {state['lag']} events are not projected yet" if state.get("lag") else ""
    return f"NOT complete: {reasons}{lag}"


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
    style = "green" if (answer.get("completeness") or {}).get("complete") else "yellow"
    tree.add(_text(completeness_line(answer), style))
    return tree


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
    datasets = answer.get("datasets") or []
    known = {(item.get("dataset"), item.get("version")): item for item in datasets}
    used = {(source.get("dataset"), source.get("version")) for item in datasets for source in item.get("inputs") or []}
    shown: set[tuple[Any, Any]] = set()
    for item in datasets:
        if item.get("role") or (item.get("dataset"), item.get("version")) not in used:
            _dataset(branch, item, known, shown)
    if answer.get("source_rows") is not None:
        erased = any(item.get("gone") and not item.get("inputs") for item in datasets)
        how = "as recorded; a source version was erased since" if erased else "recounted from the store"
        branch.add(_text(f"source rows: {answer['source_rows']}, {how}", "bold"))
    _measured(tree, answer)


def _recipe(branch: Tree, answer: Mapping[str, Any]) -> None:
    if answer.get("code"):
        branch.add(_text(f"code {short(_name(answer['code'], 'ref') or _name(answer['code'], 'code'))}"))
    params = answer.get("params")
    if params:
        shown = ", ".join(f"{key}={value}" for key, value in sorted(params.items())) if isinstance(params, Mapping) else str(params)
        branch.add(_text(f"parameters {shown}; seed {answer.get('seed')}"))
    environment = answer.get("environment")
    if environment:
        details = environment.get("details") if isinstance(environment, Mapping) else None
        extra = "" if not isinstance(details, Mapping) else f" (torch {details.get('torch', '?')}, {details.get('threads', '?')} threads)"
        branch.add(_text(f"environment {short(_name(environment, 'digest'))}{extra}"))


def _dataset(branch: Tree, item: Mapping[str, Any], known: Mapping[tuple[Any, Any], Mapping[str, Any]], seen: set[tuple[Any, Any]]) -> None:
    role = f"{item['role']}: " if item.get("role") else ""
    parts = [f"{role}{item.get('dataset')}@{short(item.get('version'), 10)}"]
    if item.get("rows") is not None:
        recounted = item.get("recounted")
        note = "" if recounted is None else " (recounted)" if recounted == item["rows"] else f" (BUT {recounted} recounted)"
        parts.append(f"{item['rows']} rows{note}")
    rows = item.get("row_set") or {}
    if rows.get("digest"):
        parts.append(f"row set {short(rows['digest'])}")
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
    elif answer.get("model"):
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
    """Everything that was reached, under its kind."""
    kinds: dict[str, list[str]] = {}
    start = (answer.get("subject") or {}).get("key")
    for node in answer.get("nodes") or []:
        if node.get("key") != start:
            kinds.setdefault(str(node.get("label")), []).append(_node(node))
    order = ("Run", "DatasetVersion", "ModelVersion", "Deployment")
    for kind in sorted(kinds, key=lambda kind: (order.index(kind) if kind in order else len(order), kind)):
        branch = tree.add(_text(f"{kind} ({len(kinds[kind])})"))
        for name in sorted(kinds[kind]):
            branch.add(_text(name))
    if not kinds:
        tree.add(_text("nothing was reached"))


def _node(node: Mapping[str, Any]) -> str:
    props = node.get("props") or {}
    name = props.get("name") or props.get("job") or props.get("run_id") or props.get("id") or node.get("key")
    version = f"@{short(props['version'], 10)}" if props.get("version") not in (None, "") else ""
    state = f" {props['state']}" if props.get("state") else ""
    return f"{name}{version}{state}"
