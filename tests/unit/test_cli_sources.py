"""What ``govern ingest`` finds in files, folders, standard input and URLs."""

from __future__ import annotations

import gzip
import io
import json
import sys
import tracemalloc
from pathlib import Path

import fsspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from governance.cli import sources
from governance.cli.exits import Usage
from governance.cli.sources import Found, events

ONE, TWO = {"run": {"runId": "é"}, "n": [1, {"a": 2}]}, {"job": {"name": "]}, {"}}


def found(path: Path) -> list[object]:
    return [json.loads(one.raw) for one in events(str(path)) if one.fault is None]


def faults(path: Path) -> list[tuple[str, str | None]]:
    return [(one.place.removeprefix(str(path)), one.fault) for one in events(str(path)) if one.fault]


LINES = "\n".join(map(json.dumps, (ONE, TWO)))
FORMS = {
    "lines": LINES + "\n",
    "lines without an end": LINES,
    "lines of Windows": "\r\n" + LINES.replace("\n", "\r\n") + "\r\n\r\n",
    "a list": json.dumps([ONE, TWO]),
    "a list over lines": json.dumps([ONE, TWO], indent=2),
    "an object with a list": json.dumps({"events": [ONE, TWO]}, indent=1),
    "an object with a list in one line": json.dumps({"events": [ONE, TWO]}),
    "documents over lines": json.dumps(ONE, indent=2) + "\n" + json.dumps(TWO, indent=2),
    "a byte order mark": "\ufeff" + LINES,
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_each_form_gives_the_same_events(tmp_path: Path, form: str, packed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = FORMS[form].encode()
    path = tmp_path / "e.json"
    path.write_bytes(gzip.compress(raw) if packed else raw)
    for chunk in (sources._CHUNK, 16, 1):
        monkeypatch.setattr(sources, "_CHUNK", chunk)
        assert found(path) == [ONE, TWO]
        assert faults(path) == []


def test_one_document_over_lines_is_one_event_and_its_bytes_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "e.json"
    path.write_text(json.dumps(ONE, indent=4) + "\n")
    assert list(events(str(path))) == [Found(str(path), json.dumps(ONE, indent=4).encode())]


def test_nothing_is_nothing(tmp_path: Path) -> None:
    for raw in (b"", b"\n \n", b"[]", b'{"events": []}', b"\xef\xbb\xbf"):
        (tmp_path / "e.json").write_bytes(raw)
        assert [one for one in events(str(tmp_path / "e.json")) if one.fault is None] == [], raw


def test_what_is_broken_is_named_and_costs_no_other_line(tmp_path: Path) -> None:
    path = tmp_path / "e.json"
    path.write_bytes(b'{"a": 1}\n{"a":\n\xff\n{"a": 4}\n')
    assert found(path) == [{"a": 1}, {"a": 4}]
    assert faults(path) == [(":2", "it is not JSON"), (":3", "it is not JSON")]
    path.write_bytes(b'no\n{"a": 2}\n')
    assert (found(path), faults(path)) == ([{"a": 2}], [(":1", "it is not JSON")])
    path.write_bytes(b'[{"a": 1}, {"a": 2}, {"a": ]')
    assert (found(path), faults(path)) == ([{"a": 1}, {"a": 2}], [("[2]", "it is not JSON from here on")])
    path.write_bytes(gzip.compress(b'{"a": 1}\n' * 50_000)[:-40])
    assert "cannot be read to its end" in faults(path)[0][1]


def test_a_line_that_is_too_long_is_named_and_costs_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "_LONGEST", 100)
    path = tmp_path / "e.json"
    path.write_text('{"a": 1}\n{"a": "' + "x" * 950 + '"}\n{"a": 3}\n')
    assert found(path) == [{"a": 1}, {"a": 3}]
    assert [place for place, _ in faults(path)] == [":2"]


def test_a_folder_is_read_in_the_order_of_names_packed_or_not(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "b.ndjson.gz").write_bytes(gzip.compress(b'{"a": 2}\n'))
    (tmp_path / "a.json").write_text('{"a": 1}')
    (tmp_path / "sub" / "c.jsonl").write_text('{"a": 3}\n')
    (tmp_path / "d.txt").write_text("no")
    assert found(tmp_path) == [{"a": 1}, {"a": 2}, {"a": 3}]
    (tmp_path / "empty").mkdir()
    with pytest.raises(Usage, match=r"no \.json"):
        list(events(str(tmp_path / "empty")))
    with pytest.raises(Usage, match="no file or folder"):
        list(events(str(tmp_path / "nowhere")))


def test_standard_input_is_read_as_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    class Pipe(io.RawIOBase):
        """Says how much was read when."""

        def __init__(self) -> None:
            self.left = 200

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: object) -> int:
            if not self.left:
                return 0
            self.left -= 1
            line = b'{"a": "%s"}\n' % (b"x" * 10_000)
            memoryview(buffer)[: len(line)] = line  # type: ignore[arg-type]
            return len(line)

    pipe = Pipe()

    class Stdin:
        buffer = io.BufferedReader(pipe, 16_384)

    monkeypatch.setattr(sys, "stdin", Stdin)
    stream = events("-")
    assert next(stream).place == "standard input:1"
    assert pipe.left > 150, "it was read to its end before the first event was given"
    assert len(list(stream)) == 199


def test_a_large_file_is_never_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    with path.open("wb") as out:
        for _ in range(3000):
            out.write(b'{"a": "%s"}\n' % (b"x" * 10_000))
    listed = tmp_path / "l.json"
    with listed.open("wb") as out:
        out.write(b"[" + b",\n".join([b'{"a": "%s"}' % (b"x" * 10_000)] * 3000) + b"]")
    for file in (path, listed):
        tracemalloc.start()
        count = sum(1 for _ in events(str(file)))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert count == 3000
        assert peak < 8_000_000, f"{file.name}: {peak} bytes for a file of thirty megabytes"


def test_a_url_is_opened_by_fsspec_and_what_is_missing_is_named() -> None:
    files = fsspec.filesystem("memory")
    files.pipe("/lineage/a.jsonl", b'{"a": 1}\n')
    files.pipe("/lineage/b.json.gz", gzip.compress(b'[{"a": 2}]'))
    try:
        got = list(events("memory://lineage"))
        assert [one.raw for one in got] == [b'{"a": 1}', b'{"a": 2}']
        assert got[0].place == "memory://lineage/a.jsonl:1"
        assert [one.raw for one in events("memory://lineage/a.jsonl")] == [b'{"a": 1}']
        with pytest.raises(Usage, match="there is no memory"):
            list(events("memory://nowhere/x.json"))
    finally:
        files.rm("/lineage", recursive=True)
    with pytest.raises(Usage, match="nosuch"):
        list(events("nosuch://x"))
    if "s3fs" not in sys.modules:
        with pytest.raises(Usage, match="s3fs") as missing:
            list(events("s3://bucket/x.json"))
        assert "pip install" in str(missing.value.hint)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.dictionaries(st.text(max_size=4), JSON, max_size=3), min_size=1, max_size=5), st.sampled_from([None, 1]), st.booleans())
def test_a_list_or_lines_of_any_objects_come_back(
    tmp_path_factory: pytest.TempPathFactory, values: list[dict[str, object]], indent: int | None, listed: bool
) -> None:
    path = tmp_path_factory.mktemp("s") / "e.json"
    path.write_text(json.dumps(values, indent=indent) if listed else "\n".join(map(json.dumps, values)))
    if listed or not set(values[0]) & {"events"}:
        assert found(path) == values
