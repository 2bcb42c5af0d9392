"""The Cypher that changes the graph: its schema, and one statement for every kind of row. No value is ever part of a statement's text."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from lineage.adapters.neo4j_graph_batch import Piece, Row
from lineage.adapters.neo4j_graph_props import GONE, LINEAGE, META, RETIRED

__all__ = ["CLAIM", "LABELS", "MOVE", "PAGED", "TYPES", "WIPE", "schema", "statements", "warming"]

LABELS = (
    "Dataset", "Job", "Model", "DatasetVersion", "RowSet", "JobVersion", "CodeRevision", "ParamSet", "Environment", "Run",
    "ModelVersion", "Deployment", "DatasetAlias", "Field", "Test",
)  # fmt: skip
TYPES = (
    "INPUT_TO", "PRODUCED", "DERIVED", "DEPLOYED_AS", "PLANNED", "HAS_VERSION", "OF", "INSTANCE_OF", "AT_REVISION", "WITH_PARAMS",
    "IN_ENV", "CHILD_OF", "AUDITED_BY", "ALIAS_OF", "READ_BY", "WRITES", "DECLARED_INPUT", "DECLARED_OUTPUT", "FEEDS", "HAS_FIELD",
)  # fmt: skip
"""What the model knows, made at the first start: a constraint that comes later makes the server plan every statement again."""
USUAL = ("AT_REVISION", "DERIVED", "HAS_VERSION", "INPUT_TO", "INSTANCE_OF", "PRODUCED", "READ_BY", "WRITES")
"""Types that nearly every batch holds. Each costs the server a tenth of a second and more to plan: the others wait for their first row."""
PAGED = ("Dataset", "Job", "Model")
"""Labels that are listed by namespace and name."""
NAMED = (*PAGED, "DatasetVersion", "ModelVersion")
"""Labels that are looked up by name."""

_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")

CLAIM = f"CREATE (m:{META} {{key: 'graph', version: $version, pairing: $pairing, owner: $owner, batch: 'begin', position: 0}})"
MOVE = f"""\
MATCH (m:{META} {{key: 'graph'}})
SET m.writer = $id
WITH m WHERE m.pairing = $pairing AND m.batch = $after
SET m.batch = $id, m.position = $position, m.written_at = datetime()
RETURN m.position AS position"""
"""Compare and set. Setting ``writer`` first locks the node, so that of two projectors one compares after the other has set."""
WIPE = f"MATCH (n) WHERE NOT n:{META} CALL (n) {{ DETACH DELETE n }} IN TRANSACTIONS OF 5000 ROWS"


def schema(labels: Collection[str], types: Collection[str]) -> dict[str, str]:
    """Name → statement: what makes keys unique and names quick to find."""
    wanted = {}
    for label in (META, LINEAGE, *map(_word, sorted(labels))):
        wanted[f"key_{label}"] = f"CREATE CONSTRAINT key_{label} IF NOT EXISTS FOR (n:{label}) REQUIRE n.key IS UNIQUE"
    for kind in (RETIRED, *map(_word, sorted(types))):
        wanted[f"key_{kind}"] = f"CREATE CONSTRAINT key_{kind} IF NOT EXISTS FOR ()-[r:{kind}]-() REQUIRE r.key IS UNIQUE"
    for label in sorted({*PAGED} & {*labels}):
        wanted[f"page_{label}"] = f"CREATE INDEX page_{label} IF NOT EXISTS FOR (n:{label}) ON (n.namespace, n.name)"
    for label in sorted({*NAMED} & {*labels}):
        wanted[f"name_{label}"] = f"CREATE INDEX name_{label} IF NOT EXISTS FOR (n:{label}) ON (n.name)"
    return wanted


def warming() -> list[str]:
    """What nearly every batch says, to be run once without rows: the server plans it then, and not when the first events come."""
    return [_NODES, *map(_edges, USUAL)]


def statements(piece: Piece, types: Collection[str]) -> Iterator[tuple[str, list[Row]]]:
    """(text, rows), in the order in which they must run; ``types`` are all that the graph may hold."""
    if piece.get("nodes"):
        yield _NODES, [row | {"l": _word(label)} for label, rows in sorted(piece["nodes"].items()) for row in rows]
    for rows in piece.get("gone", {}).values():
        yield _GONE, rows
    for kind, rows in sorted(piece.get("edges", {}).items()):
        yield _edges(kind), rows
    for kind, rows in sorted(piece.get("history", {}).items()):
        yield _history(kind), rows
    for kind, rows in sorted(piece.get("closed", {}).items()):
        for one in [kind] if kind in types else sorted(types):
            yield _closed(one), rows


# Labels that a value names need Neo4j 5.24; relationships have one text for each type, for only so the key's index finds them.
_NODES = f"""\
UNWIND $rows AS row
MERGE (n:{LINEAGE} {{key: row.k}})
WITH n, row, coalesce(n.recorded_at, row.t) AS since, [had IN labels(n) WHERE NOT had IN ['{LINEAGE}', row.l]] AS others
SET n = row.p, n.recorded_at = since, n:$(row.l)
FOREACH (other IN others | REMOVE n:$(other))"""

_GONE = f"""\
UNWIND $rows AS row
MATCH (n:{LINEAGE} {{key: row.k}}) WHERE NOT n:{GONE}
WITH n, [had IN labels(n) WHERE had <> '{LINEAGE}'] AS others
SET n.was = others[0], n:{GONE}
FOREACH (other IN others | REMOVE n:$(other))"""

_ENDS = f"""\
UNWIND $rows AS row
MERGE (a:{LINEAGE} {{key: row.s}}) ON CREATE SET a:{GONE}
MERGE (b:{LINEAGE} {{key: row.t}}) ON CREATE SET b:{GONE}"""


def _retire(kind: str) -> str:
    return f"CREATE (a)-[h:{RETIRED}]->(b) SET h = old {{.*, key: old.key + '@' + old.recorded_at, was: '{kind}', retracted_at: row.f}}"


def _edges(kind: str) -> str:
    """Rows without a past of their own: what is held and differs is retired, what is held and equals keeps its time."""
    return f"""\
{_ENDS}
MERGE (a)-[r:{_word(kind)} {{key: row.k}}]->(b)
WITH a, b, r, row, row.p AS p, properties(r) AS old
WITH a, b, r, row, p, old, old.recorded_at IS NOT NULL
  AND old {{.*, witness: '', recorded_at: 0}} = p {{.*, witness: '', recorded_at: 0}} AS same
FOREACH (_ IN CASE WHEN old.recorded_at < row.f AND NOT same THEN [1] ELSE [] END | {_retire(kind)})
SET r = CASE WHEN same THEN p {{.*, recorded_at: old.recorded_at}} ELSE p END"""


def _history(kind: str) -> str:
    """Rows of edges that changed more than once in the batch."""
    return f"""\
{_ENDS}
MERGE (a)-[r:{_word(kind)} {{key: row.k}}]->(b)
WITH a, b, r, row, row.p AS p, row.h[0] AS h0, properties(r) AS old
WITH a, b, r, row, p, h0, old, old.recorded_at IS NOT NULL AND row.c IS NOT NULL
  AND old {{.*, witness: '', recorded_at: 0}} = row.c AS same
FOREACH (_ IN CASE WHEN old.recorded_at < row.f AND NOT same THEN [1] ELSE [] END | {_retire(kind)})
FOREACH (v IN CASE WHEN same AND size(row.h) > 0 THEN [h0 {{.*, recorded_at: old.recorded_at}}] + row.h[1..] ELSE row.h END |
  FOREACH (_ IN CASE WHEN v.recorded_at < v.retracted_at THEN [1] ELSE [] END |
    CREATE (a)-[h:{RETIRED}]->(b) SET h = v {{.*, key: row.k + '@' + v.recorded_at}}))
SET r = CASE WHEN same AND size(row.h) = 0 THEN p {{.*, recorded_at: old.recorded_at}} ELSE coalesce(p, {{}}) END
FOREACH (_ IN CASE WHEN row.p IS NULL THEN [1] ELSE [] END | DELETE r)"""


def _closed(kind: str) -> str:
    return f"""\
UNWIND $rows AS row
MATCH (a)-[r:{_word(kind)} {{key: row.k}}]->(b)
WITH a, b, r, row, properties(r) AS old
FOREACH (_ IN CASE WHEN old.recorded_at < row.f THEN [1] ELSE [] END | {_retire(kind)})
DELETE r"""


def _word(name: str) -> str:
    """A label or type as part of a statement's text; never one that could be more than a name."""
    if not _WORD.fullmatch(name) or name in {LINEAGE, GONE, META, RETIRED}:
        raise ValueError(f"{name!r} cannot be a label or a type of the graph")
    return name
