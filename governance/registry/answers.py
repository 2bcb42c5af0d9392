"""The answers of the graph: traces, differences, what served when, what is named like this; each says what it rests on."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson

from governance.ports import PredictionStore
from governance.registry.answers_body import Bodies
from governance.registry.answers_deployed import deployments_answer
from governance.registry.answers_diff import diff_answer
from governance.registry.answers_elsewhere import model_elsewhere
from governance.registry.answers_events import EventPage, event_page, trace_events
from governance.registry.answers_start import Start, Starts
from governance.registry.audits import Findings
from governance.registry.datasets import Datasets
from governance.registry.deployments import Deployments
from governance.registry.models import Models
from lineage.errors import BadInput
from lineage.graph import keys
from lineage.model import Direction, Impact
from lineage.ports import GraphStore, Ledger
from lineage.trace import Gaps, find_nodes, trace, trace_column
from lineage.trace.nodes import LABELS, exact

if TYPE_CHECKING:
    from lineage.export import Invalidated

__all__ = ["FORMATS", "MAX_NODES", "Answers"]

MAX_NODES = 20_000
"""A walk is cut there unless the caller asks for more."""
FORMATS: Mapping[str, str] = {
    "json": "application/json",
    "dot": "text/vnd.graphviz",
    "svg": "image/svg+xml",
    "prov": "application/prov+json",
    "openlineage": "application/x-ndjson",
}
"""Format of a trace → media type."""


class Answers:
    """Answers questions. ``settle()`` waits until what was acknowledged is projected and returns the lag that is left."""

    def __init__(
        self,
        *,
        graph: GraphStore,
        ledger: Ledger,
        datasets: Datasets,
        models: Models,
        findings: Findings,
        deployments: Deployments,
        predictions: PredictionStore,
        settle: Callable[[], int],
        installation: str,
    ) -> None:
        self._graph = graph
        self._ledger = ledger
        self._datasets = datasets
        self._findings = findings
        self._deployments = deployments
        self._predictions = predictions
        self._settle = settle
        self._namespace = f"govern://{installation}"
        self._starts = Starts(graph, ledger, models, deployments, self._namespace)
        self._bodies = Bodies(
            ledger=ledger, datasets=datasets, models=models, findings=findings, deployments=deployments, namespace=self._namespace
        )

    # ── traces ──────────────────────────────────────────────────────────────────────────────────
    def trace(self, **query: Any) -> dict[str, Any]:
        """The TraceAnswer of one thing.

        Args:
            query: ``model`` (``NAME[@VERSION|@ALIAS]``), ``prediction``, ``run``, ``namespace`` with ``name`` and perhaps ``column``, or
                ``job_namespace`` with ``job``: exactly one of these says of what; ``direction`` (``up`` or ``down``), ``as_of``,
                ``known_at`` (UTC ns), ``depth``, ``max_nodes``.

        Raises:
            NotFound: no such thing; the hint names the nearest.
            BadInput: nothing or too much was asked.
        """
        start, impact, receipt = self._walked(**query)
        answer = self._bodies.body(impact, start.version)
        if start.kind == "model" and start.version is None and impact.direction is Direction.UP:
            version = self._graph.node(start.keys[0])
            answer |= model_elsewhere(self._graph, impact, version) if version is not None else {}
        subject = {"kind": start.kind, "ref": start.ref, "keys": list(start.keys[:100])}
        if receipt is not None:
            subject = {"kind": "prediction", "ref": str(query["prediction"]), "keys": list(start.keys)}
            answer["prediction"] = self._receipt(receipt)
        times = {"as_of": impact.as_of, "known_at": impact.known_at}
        return {"subject": subject, "direction": str(impact.direction), **times, **answer}

    def exported(self, form: str, **query: Any) -> tuple[str, bytes, bool]:
        """(media type, bytes, whether the answer is complete) of a trace in one of :data:`FORMATS`; ``query`` as for :meth:`trace`."""
        if form == "json":
            answer = self.trace(**query)
            return FORMATS[form], orjson.dumps(answer, option=orjson.OPT_NON_STR_KEYS), answer["completeness"]["complete"]
        from lineage.export import dot, picture, prov, svg  # a plain trace need not wait for them

        start, impact, _ = self._walked(**query)
        edges = impact.graph.edges
        numbers = self._bodies.numbers(impact.graph.nodes)  # a version of ours bears its number, as everywhere else
        nodes = [
            dataclasses.replace(node, props={**node.props, "version": str(numbers[node.key])}) if node.key in numbers else node
            for node in impact.graph.nodes
        ]
        title = f"{start.kind} {start.ref}"
        match form:
            case "dot":
                text = dot(nodes, edges, asked=impact.start, title=title)
            case "svg":
                found = impact.completeness
                many = f"{len(found.reasons)} reasons" if len(found.reasons) != 1 else "1 reason"
                text = svg(
                    picture(nodes, edges, asked=impact.start, gone=self._gone(impact)),
                    title=title,
                    subtitle=_subtitle(impact),
                    verdict="Complete" if found.complete else f"Not complete: {many}",
                    complete=found.complete,
                    reasons=found.reasons,
                )
            case "prov":
                text = orjson.dumps(prov(nodes, edges, invalidated=self._gone(impact)), option=orjson.OPT_INDENT_2).decode()
            case "openlineage":
                events = trace_events(self._ledger, self._graph, impact)
                whole = impact.completeness.complete and not events.destroyed
                return FORMATS[form], b"".join(line + b"\n" for line in events.lines), whole
            case _:
                raise BadInput(f"{form!r} is no format", hint=f"one of {', '.join(FORMATS)}")
        return FORMATS[form], text.encode("utf-8", "replace"), impact.completeness.complete

    def _walked(
        self,
        *,
        direction: str = "up",
        as_of: int | None = None,
        known_at: int | None = None,
        depth: int | None = None,
        max_nodes: int | None = None,
        **named: Any,
    ) -> tuple[Start, Impact, Mapping[str, Any] | None]:
        lag = self._settle()
        prediction = named.get("prediction")
        receipt = self._predictions.receipt(prediction) if prediction else None
        start = self._start(receipt, as_of, known_at, **named)
        most = max_nodes or MAX_NODES
        way = Direction(direction)
        bounds: dict[str, Any] = {"as_of": as_of, "known_at": known_at, "depth": depth, "lag": lag, "max_nodes": most}
        if start.column is not None:
            return start, trace_column(self._graph, *start.column, way, **bounds), receipt
        impact = trace(self._graph, start.keys, way, **bounds)
        if start.left:
            impact = _with_older_runs(impact, start.left)
        return start, impact, receipt

    def _start(self, receipt: Mapping[str, Any] | None, as_of: int | None, known_at: int | None, **named: Any) -> Start:
        given = {name: value for name, value in named.items() if value}
        dataset, job = {"namespace", "name", "column"} & given.keys(), {"job_namespace", "job"} & given.keys()
        things = sum(name in given for name in ("model", "run", "prediction")) + bool(dataset) + bool(job)
        if things != 1 or (dataset and "name" not in given) or (job and job != {"job_namespace", "job"}):
            raise BadInput(
                "trace one thing: a model, a run, a prediction, a dataset by namespace and name, or a job", hint="govern trace --help"
            )
        if receipt is not None:  # a prediction names its version: no time moves it
            return self._starts.model(f"{receipt['model']}@{receipt['version']}")
        if "model" in given:
            return self._starts.model(given["model"], as_of, known_at)
        if "run" in given:
            return self._starts.run(given["run"])
        if job:
            return self._starts.job(given["job_namespace"], given["job"], as_of)
        namespace = given.get("namespace", self._namespace)
        if "column" in given:
            return self._starts.column(namespace, given["name"], given["column"])
        return self._starts.dataset(namespace, given["name"])

    def _receipt(self, receipt: Mapping[str, Any]) -> dict[str, Any]:
        """What may be told of a prediction; of an erased one its receipt is left, and the request that erased it."""
        erased_by = receipt["request"]
        known = erased_by is None and self._predictions.get(receipt["id"])["subject_ref"] is not None
        shown = {name: receipt[name] for name in ("id", "at", "deployment", "model", "version")}
        return shown | {"subject_known": known, "erased_by": erased_by}

    def _gone(self, impact: Impact) -> dict[str, Invalidated]:
        """The tombstones among the nodes of an answer."""
        from lineage.export import Invalidated

        own = [node for node in impact.graph.nodes if node.props.get("namespace") == self._namespace]
        names = {str(node.props["name"]) for node in own if node.label == "DatasetVersion"}
        found: dict[str, Invalidated] = {}
        for name in names:
            if self._ledger.record("dataset", name) is not None:
                for info in self._datasets.infos(name):
                    if info.gone:
                        found[keys.version_key(self._namespace, name, info.version)] = Invalidated(by=info.request or "unknown")
        for body in (body for _, body, _ in self._ledger.records("version")):
            if body["destroyed_at"] is not None:
                key = keys.version_key(self._namespace, body["model"], body["run_id"])
                found[key] = Invalidated(by=str(body["destroyed_by"]), at=body["destroyed_at"])
        return found

    # ── other questions ─────────────────────────────────────────────────────────────────────────
    def diff(
        self, name: str, before: str | None = None, after: str | None = None, *, as_of: int | None = None, known_at: int | None = None
    ) -> dict[str, Any]:
        """What two versions of a model differ in (:mod:`governance.registry.answers_diff`); else the latest and the one before it."""
        lag = self._settle()
        new = self._starts.model(f"{name}@{after}", as_of, known_at) if after else self._starts.latest(name, as_of, known_at)
        old = self._starts.model(f"{name}@{before}", as_of, known_at) if before else self._starts.before(name, new, as_of, known_at)
        sides = []
        for start in (old, new):
            walked = trace(self._graph, start.keys, Direction.UP, as_of=as_of, known_at=known_at, lag=lag, max_nodes=MAX_NODES)
            sides.append((start, walked))
        return {"model": name} | diff_answer(
            self._graph, self._datasets, self._findings, namespace=self._namespace, before=sides[0], after=sides[1]
        )

    def impact(self, dataset: str, **times: int) -> dict[str, Any]:
        """The downward TraceAnswer of a dataset given as one text: its namespace, a blank, its name."""
        namespace, blank, name = dataset.partition(" ")
        if not blank:
            namespace, name = self._namespace, dataset
        return self.trace(namespace=namespace, name=name, direction="down", **times)

    def deployed(self, **query: Any) -> dict[str, Any]:
        """What serves, or served at ``as_of`` as known at ``known_at`` (:mod:`governance.registry.answers_deployed`)."""
        lag = self._settle()
        return deployments_answer(self._graph, self._deployments, **query) | {"lag": lag}

    def find(
        self,
        text: str | None = None,
        *,
        label: str | None = None,
        namespace: str | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> dict[str, Any]:
        """``{nodes, exact, next, total}``: what has ``text`` in its name, and what bears exactly this id, digest or revision."""
        lag = self._settle()
        labels = LABELS if label is None else (label,)
        nodes, following, total = find_nodes(
            self._graph, text or None, labels=labels, namespace=namespace or None, limit=limit, cursor=cursor
        )
        bearing = exact(self._graph, text) if text and not cursor and label is None else []
        shown = [[{"key": node.key, "label": node.label, "props": node.props} for node in some] for some in (nodes, bearing)]
        return {"nodes": shown[0], "exact": shown[1], "next": following, "total": total, "lag": lag}

    def events(self, **query: Any) -> EventPage:
        """A page of events as they came in (:func:`governance.registry.answers_events.event_page`)."""
        self._settle()
        return event_page(self._ledger, self._graph, **query)


def _with_older_runs(impact: Impact, left: int) -> Impact:
    gaps = Gaps()
    gaps.join(impact.completeness)
    gaps.tell("older_runs", f"{left} earlier runs of the job were not walked", left)
    found = gaps.finish(impact.completeness.hops_by_basis, impact.completeness.lag)
    return dataclasses.replace(impact, completeness=found)


def _subtitle(impact: Impact) -> str:
    said = ["what made it" if impact.direction is Direction.UP else "what it reached"]
    for name, when in (("as of", impact.as_of), ("as known at", impact.known_at)):
        if when is not None:
            said.append(f"{name} {_when(when)}")
    return " · ".join(said)


def _when(ns: int) -> str:
    try:
        return datetime.fromtimestamp(ns // 1_000_000_000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, OSError, ValueError):
        return f"{ns} ns"
