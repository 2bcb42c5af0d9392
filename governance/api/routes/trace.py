"""Where something came from and where it went, what two versions differ in, and what is named like this."""

from __future__ import annotations

from typing import Any, Final

from governance.api.call import READERS, Call, Param, Reply, Route, json_reply, roles
from governance.api.paging import PAGING
from lineage.errors import BadInput

__all__ = ["ROUTES", "TIMES"]

FORMATS: Final = ("json", "dot", "svg", "prov", "openlineage")
LABELS: Final = ("Model", "Dataset", "Job", "DatasetAlias", "Deployment", "Field")
TIMES: Final = (
    Param(name="as_of", kind="time", about="as it was then (RFC 3339, a day, or UTC nanoseconds)"),
    Param(name="known_at", kind="time", about="as Govern knew it then"),
)


def trace(system: Any, call: Call) -> Reply:
    """Up or down from one thing."""
    query = dict(call.query)
    form = query.pop("format")
    named = [kind for kind in ("model", "run", "prediction") if query[kind]]
    if query["name"] or query["namespace"] or query["column"]:
        if not (query["name"] and query["namespace"]):
            raise BadInput("a dataset has a namespace and a name", hint="give both namespace= and name=")
        named.append("dataset")
    if query["job"] or query["job_namespace"]:
        if not (query["job"] and query["job_namespace"]):
            raise BadInput("a job has a namespace and a name", hint="give both job_namespace= and job=")
        named.append("job")
    if len(named) != 1:
        raise BadInput(
            "name one thing to trace", hint="give one of model=, run=, prediction=, namespace= with name=, or job_namespace= with job="
        )
    if form == "json":
        return json_reply(system.trace(**query))
    media, body, complete = system.answers.exported(form, **query)
    return Reply(body=body, media=media, headers={"Govern-Complete": str(complete).lower()})


def diff(system: Any, call: Call) -> Reply:
    """Two versions of a model, compared."""
    query = call.query
    times = {"as_of": query["as_of"], "known_at": query["known_at"]}
    return json_reply(system.answers.diff(call.path["name"], query["from"], query["to"], **times))


def nodes(system: Any, call: Call) -> Reply:
    """Models, datasets, jobs and columns by a part of their name."""
    query = call.query
    asked = {name: query[name] for name in ("text", "label", "namespace", "limit", "cursor")}
    return json_reply(system.answers.find(**asked))


def subject(system: Any, call: Call) -> Reply:
    """A person's rows, runs, models and predictions."""
    return json_reply(system.subjects.trace(call.value["type"], str(call.value["value"]), actor=call.actor))


ROUTES = (
    Route(
        method="GET",
        path="/api/v1/trace",
        summary="Trace a model, run, prediction, dataset, column or job up to its sources or down to its uses",
        roles=READERS,
        handler=trace,
        gives_also=("text/vnd.graphviz", "image/svg+xml", "application/prov+json", "application/x-ndjson"),
        query=(
            Param(name="model", about="`NAME`, `NAME@VERSION` or `NAME@ALIAS`; without a version, what was in production at that time"),
            Param(name="run", about="OpenLineage run id"),
            Param(name="prediction", about="prediction id"),
            Param(name="namespace", about="OpenLineage namespace of a dataset"),
            Param(name="name", about="OpenLineage name of a dataset"),
            Param(name="column", about="a column of that dataset: column lineage is walked"),
            Param(name="job_namespace", about="OpenLineage namespace of a job"),
            Param(name="job", about="OpenLineage name of a job: its latest hundred runs are walked"),
            Param(name="direction", choices=("up", "down"), default="up"),
            *TIMES,
            Param(name="depth", kind="int", maximum=10_000, about="most steps to walk"),
            Param(
                name="max_nodes",
                kind="int",
                minimum=1,
                maximum=1_000_000,
                default=20_000,
                about="the walk is cut there; `truncated` then says so",
            ),
            Param(name="format", choices=FORMATS, default="json", about="JSON, Graphviz DOT, SVG, W3C PROV-JSON, or the events themselves"),
        ),
        about=(
            "The answer says in `completeness` whether it rests on everything and, if not, what is missing, counted and named; "
            "in another format than JSON the header `Govern-Complete` says whether it does."
        ),
    ),
    Route(
        method="GET",
        path="/api/v1/models/{name}/diff",
        summary="What two versions of a model differ in: rows, data, code, parameters, environment, metrics, audits, decision",
        roles=READERS,
        handler=diff,
        query=(
            Param(name="from", about="a version or alias; the one before `to` when left out"),
            Param(name="to", about="a version or alias; the latest when left out"),
            *TIMES,
        ),
        about="Rows are told as counts and as one digest over keyed commitments, never as identifiers.",
    ),
    Route(
        method="GET",
        path="/api/v1/nodes",
        summary="Find models, datasets, jobs and columns by a part of their name; runs, row sets and code by their whole identifier",
        roles=READERS,
        handler=nodes,
        query=(
            Param(name="text", about="a part of the name, letters of either case alike; everything when left out"),
            Param(name="label", choices=LABELS),
            Param(name="namespace", about="exactly this namespace"),
            *PAGING,
        ),
    ),
    Route(
        method="POST",
        path="/api/v1/subjects:trace",
        summary="What holds a person: rows, runs, models, deployments, predictions",
        roles=roles("privacy"),
        handler=subject,
        takes="json",
        body="DataSubject",
        about="A POST, so that no identifier stands in a URL or a log; it is turned into a keyed reference and dropped.",
    ),
)
