"""Datasets, their versions and rows, and code snapshots."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any, Final

from governance.api.call import MIB, READERS, Call, Param, Reply, Route, json_reply, roles
from governance.registry.committed import read_committed
from lineage.errors import BadInput

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["ARROW", "ROUTES", "table_bytes", "table_of"]

ARROW: Final = "application/vnd.apache.arrow.stream"
WRITERS = roles("ingest", "engineer")


def register(system: Any, call: Call) -> Reply:
    """A new dataset."""
    return json_reply(system.datasets.register(call.value, actor=call.actor), 201)


def listed(system: Any, _call: Call) -> Reply:
    """Every dataset."""
    return json_reply(system.datasets.list())


def write(system: Any, call: Call) -> Reply:
    """A new version of the rows."""
    table = table_of(call.body) if call.body else None
    answer = system.datasets.write(
        call.path["name"], table, mode=call.query["mode"], key=call.query["key"], actor=call.actor, repair=call.query["repair"]
    )
    return json_reply(answer, 201)


def versions(system: Any, call: Call) -> Reply:
    """Every version, tombstones included."""
    return json_reply(system.datasets.versions(call.path["name"]))


def rows(system: Any, call: Call) -> Reply:
    """The rows of a version, or those of them that a training was given."""
    name, version, row_set = call.path["name"], call.path["version"], call.query["row_set"]
    if row_set is None:
        return Reply(body=table_bytes(system.datasets.read(name, version)), media=ARROW)
    return Reply(body=table_bytes(read_committed(system.datasets, name, version, row_set)), media=ARROW)


def put_snapshot(system: Any, call: Call) -> Reply:
    """Keep a code snapshot."""
    name = _hex(call)
    if hashlib.sha256(call.body).hexdigest() != name:
        raise BadInput("the body's SHA-256 is not the one in the path", hint="was the upload cut off? send it again")
    new = system.snapshots.put(name, call.body, actor=call.actor)
    return json_reply({"snapshot": f"snapshot:{name}", "bytes": len(call.body)}, 201 if new else 200)


def get_snapshot(system: Any, call: Call) -> Reply:
    """A code snapshot."""
    return Reply(body=system.snapshots.get(_hex(call)), media="application/x-tar")


def _hex(call: Call) -> str:
    name = call.path["sha256"]
    if not re.fullmatch(r"[0-9a-f]{64}", name):
        raise BadInput("a snapshot is named by 64 lower-case hexadecimal digits")
    return name


def table_of(body: bytes) -> pa.Table:
    """The table of an Arrow IPC stream, fully validated: its offsets come from outside. Raises ``BadInput``."""
    import pyarrow as pa

    try:
        table = pa.ipc.open_stream(body).read_all()
        table.validate(full=True)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowSerializationError, OSError):
        raise BadInput("the body is not an Arrow IPC stream that can be read", hint="pyarrow.ipc.new_stream writes one") from None
    return table


def table_bytes(table: pa.Table) -> bytes:
    """The table as one Arrow IPC stream."""
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    data: bytes = sink.getvalue().to_pybytes()
    return data


ROUTES = (
    Route(
        method="POST",
        path="/api/v1/datasets",
        summary="Register a dataset",
        roles=roles("engineer"),
        handler=register,
        takes="json",
        body="NewDataset",
        status=201,
    ),
    Route(method="GET", path="/api/v1/datasets", summary="List the datasets", roles=READERS | {"ingest"}, handler=listed),
    Route(
        method="POST",
        path="/api/v1/datasets/{name}/versions",
        summary="Write a version of a dataset",
        roles=WRITERS,
        handler=write,
        takes="binary",
        media=ARROW,
        limit=512 * MIB,
        status=201,
        query=(
            Param(name="mode", choices=("replace", "append"), default="replace"),
            Param(name="key", about="column by which a row of `replace` keeps its row id"),
            Param(name="repair", kind="bool", default=False, about="with an empty body: make the row index anew where it differs"),
        ),
        about="The body is an Arrow IPC stream. With an empty body the store is looked at again: a landing file, or a table to "
        "which another program committed, is a new version when it changed; `index` says whether the row index agrees with the rows.",
    ),
    Route(
        method="GET",
        path="/api/v1/datasets/{name}/versions",
        summary="List the versions of a dataset",
        roles=READERS | {"ingest"},
        handler=versions,
    ),
    Route(
        method="GET",
        path="/api/v1/datasets/{name}/versions/{version}/rows",
        summary="Read the rows of a version",
        roles=roles("engineer"),
        handler=rows,
        gives=ARROW,
        query=(Param(name="row_set", about="only the rows of this committed row set, as a training was given them"),),
        about="`version` may be `latest`. Rows may name persons: an auditor's key does not read them.",
    ),
    Route(
        method="PUT",
        path="/api/v1/snapshots/{sha256}",
        summary="Keep a code snapshot",
        roles=roles("engineer"),
        handler=put_snapshot,
        takes="binary",
        media="application/x-tar",
        limit=64 * MIB,
        status=201,
        about="201 when it is new, 200 when it was there.",
    ),
    Route(
        method="GET",
        path="/api/v1/snapshots/{sha256}",
        summary="Read a code snapshot",
        roles=roles("engineer", "auditor"),
        handler=get_snapshot,
        gives="application/x-tar",
    ),
)
