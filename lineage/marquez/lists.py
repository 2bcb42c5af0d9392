"""What is there by name: namespaces, sources, tags, and the search over jobs and datasets."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import unquote

from lineage.graph.derive_props import plain_uri
from lineage.graph.state import load, stamp
from lineage.marquez.known import Known
from lineage.marquez.names import dataset_id, instant, job_id
from lineage.model import Json, Node
from lineage.ports import FoldState, GraphStore

__all__ = ["DATASETS", "DEFAULT_SOURCE", "namespaces", "page_datasets", "search", "sources", "tags"]

DATASETS = ("Dataset", "Model")
DEFAULT_SOURCE = "default"
"""The source of every dataset without a ``dataSource`` facet."""

_UNKNOWN = 2**63 - 1
_SEARCHED = 1000
"""So many hits of each kind, by namespace and name, are sorted for one answer."""


def namespaces(state: FoldState) -> list[dict[str, Json]]:
    """Every namespace in which a dataset or a job was named, by name."""
    first: dict[str, int] = {}
    for kind in ("ns/d/", "ns/j/"):
        for key, raw in state.scan(kind):
            name = key[len(kind) :]
            first[name] = min(first.get(name, _UNKNOWN), int(raw))
    return [
        {
            "name": name,
            "createdAt": _time(when),
            "updatedAt": _time(when),
            "ownerName": "anonymous",
            "description": None,
            "isHidden": False,
        }
        for name, when in sorted(first.items())
    ]


def sources(state: FoldState) -> list[dict[str, Json]]:
    """Every source that a ``dataSource`` facet names, by name, and that of the datasets without one."""
    born = state.between("born/d/", "born/d0", limit=1)
    found = [_source(DEFAULT_SOURCE, _stamped(born[0][0].split("/")[2]) if born else None, "")] if born else []
    for name, rest in _names(state, "src/"):
        when, ident = rest.split("/", 1)
        facet = (load(state, f"ds/{ident}") or {}).get("f", {}).get("dataSource", [0, "", {}])[2]
        if name != DEFAULT_SOURCE:
            found.append(_source(name, _stamped(when), plain_uri(facet.get("uri") if isinstance(facet, dict) else None) or ""))
    return sorted(found, key=lambda source: str(source["name"]))


def tags(state: FoldState) -> list[dict[str, Json]]:
    """Every tag of a dataset or a job, by name."""
    return [{"name": name, "description": None} for name in sorted(name for name, _ in _names(state, "tag/"))]


def page_datasets(graph: GraphStore, *, namespace: str | None, limit: int, offset: int, text: str | None = None) -> tuple[list[Node], int]:
    """One page of datasets and models by (namespace, name), and how many there are.

    The store lists one label at a time. Models are few: all that could stand on the page or before it are read.
    """
    models, many = graph.page("Model", namespace=namespace, text=text, limit=offset + limit)
    low = max(0, offset - len(models))
    rest, total = graph.page("Dataset", namespace=namespace, text=text, limit=offset + limit - low, offset=low)
    both = sorted([*models, *rest], key=lambda node: (node.props["namespace"], node.props["name"], node.key))
    if not models:
        return rest, total + many
    # Every dataset that was skipped stands before the first one read, so the page begins so many places further on.
    ahead = offset - low
    return both[ahead : ahead + limit], total + many


def search(
    graph: GraphStore,
    known: Known,
    text: str,
    *,
    kind: str | None,
    newest: bool,
    limit: int,
    namespace: str | None,
    before: int | None,
    after: int | None,
) -> dict[str, Json]:
    """Jobs and datasets whose name holds ``text``, by name or the newest first, as in ``GET /search``."""
    hits: list[tuple[str, Node]] = []
    total = 0
    for label in ("Job",) if kind == "JOB" else DATASETS if kind == "DATASET" else (*DATASETS, "Job"):
        nodes, count = graph.page(label, namespace=namespace, text=text, limit=_SEARCHED)
        hits += [("JOB" if label == "Job" else "DATASET", node) for node in nodes]
        total += count
    timed = before is not None or after is not None
    ordered = sorted(hits, key=lambda hit: (hit[1].props["name"], hit[0], hit[1].props["namespace"]))
    results = []
    for what, node in ordered if timed or newest else ordered[:limit]:
        when = _updated(known, node)
        if (before is None or when < before) and (after is None or when > after):
            results.append((when, _hit(what, node, when)))
    if timed:
        total = len(results)
    if newest:
        results.sort(key=lambda result: -result[0])
    return {"totalCount": total, "results": [result for _, result in results[:limit]]}


def _hit(what: str, node: Node, when: int) -> dict[str, Json]:
    namespace, name = node.props["namespace"], node.props["name"]
    ident = (job_id if what == "JOB" else dataset_id)(namespace, name)
    return {"type": what, "name": name, "updatedAt": instant(when), "namespace": namespace, "nodeId": ident}


def _updated(known: Known, node: Node) -> int:
    found = known.job(*_name(node)) if node.label == "Job" else known.dataset(*_name(node))
    return (found.last if found is not None else None) or node.recorded_at


def _name(node: Node) -> tuple[str, str]:
    return node.props["namespace"], node.props["name"]


def _names(state: FoldState, prefix: str) -> Iterator[tuple[str, str]]:
    """(name, the rest of the smallest key) of every name in an index ``prefix/<name>/…``: one seek a name."""
    low, high = prefix, prefix[:-1] + "0"
    while found := state.between(low, high, limit=1):
        part, rest = found[0][0][len(prefix) :].split("/", 1)
        yield unquote(part, errors="surrogatepass"), rest
        low = f"{prefix}{part}0"


def _source(name: str, first: int | None, uri: str) -> dict[str, Json]:
    kind = uri.removeprefix("jdbc:").partition(":")[0].upper() or "UNKNOWN"
    return {
        "type": kind,
        "name": name,
        "createdAt": _time(first),
        "updatedAt": _time(first),
        "connectionUrl": uri,
        "description": None,
    }


def _stamped(text: str) -> int:
    """The time in a :func:`lineage.graph.state.stamp`."""
    return int(text) - int(stamp(0))


def _time(when: int | None) -> str | None:
    return instant(0 if when in (None, _UNKNOWN) else when)
