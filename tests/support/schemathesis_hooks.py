"""Bytes of the media types that are not JSON, for the run of schemathesis over the API: real Arrow streams, real tar files, lines of JSON."""

from __future__ import annotations

import io
import tarfile

import pyarrow as pa
import schemathesis
from hypothesis import strategies as st

from governance.api.routes.datasets import ARROW


def arrow(numbers: list[int]) -> bytes:
    table = pa.table({"n": pa.array(numbers, pa.int64())})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def tar(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        info = tarfile.TarInfo("model.py")
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


schemathesis.openapi.media_type(ARROW, st.lists(st.integers(-(2**63), 2**63 - 1), max_size=4).map(arrow))
schemathesis.openapi.media_type("application/x-tar", st.binary(max_size=64).map(tar))
schemathesis.openapi.media_type("application/x-ndjson", st.just(b'{"job": {"namespace": "n", "name": "j"}}\n'))
schemathesis.openapi.media_type("text/csv", st.just(b"type,value\napplicant,17\n"))
