"""The scanner finds a planted needle in every type of file, and says so when it does not know a type."""

from __future__ import annotations

import base64
import bz2
import gzip
import io
import json
import lzma
import pickle
import sqlite3
import tarfile
import unicodedata
import urllib.parse
import zipfile
import zlib
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.scanner import scan

NEEDLE = b"Sentinel-Zyxwv-4711"
TEXT = NEEDLE.decode()
FILLER = "Sentinel Zyxwv "


def tar(data: bytes, name: str = "rows.bin") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        info = tarfile.TarInfo(name)
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def zipped(data: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inner.txt", data)
    return out.getvalue()


def arrow(file: bool) -> bytes:
    table = pa.table({"v": [FILLER] * 50 + [TEXT]})
    out = io.BytesIO()
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with (pa.ipc.new_file if file else pa.ipc.new_stream)(out, table.schema, options=options) as writer:
        writer.write_table(table)
    return out.getvalue()


def parquet() -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table({"v": [FILLER] * 50 + [TEXT]}), out, compression="zstd", write_statistics=False)
    return out.getvalue()


def safetensors() -> bytes:
    header = json.dumps({"__metadata__": {"who": TEXT}}).encode()
    return len(header).to_bytes(8, "little") + header + b"\0\1\2"


def pdf(attach: bytes | None, text: str = "nothing") -> bytes:
    import pikepdf

    out = io.BytesIO()
    with pikepdf.new() as doc:
        doc.add_blank_page(page_size=(200, 200))
        content = f"BT /F1 12 Tf 10 100 Td ({text}) Tj ET".encode()
        doc.pages[0].Contents = doc.make_stream(content)
        if attach is not None:
            doc.attachments["evidence.json"] = pikepdf.AttachedFileSpec(doc, attach)
        doc.save(out, compress_streams=True, object_stream_mode=pikepdf.ObjectStreamMode.generate)
    return out.getvalue()


def npy() -> bytes:
    out = io.BytesIO()
    np.save(out, np.array(["x", TEXT]))
    return out.getvalue()


def pem() -> bytes:
    body = base64.b64encode(b"\x30\x10" + NEEDLE).decode()
    lines = "\n".join(body[i : i + 9] for i in range(0, len(body), 9))
    return f"-----BEGIN CERTIFICATE-----\n{lines}\n-----END CERTIFICATE-----\n".encode()


FILES: dict[str, Callable[[], bytes]] = {
    "plain.txt": lambda: b"a " + NEEDLE,
    "wide.txt": lambda: ("x" + TEXT).encode("utf-16"),
    "escaped.json": lambda: json.dumps({"k": ["".join(f"\\u{ord(c):04x}" for c in TEXT)]}).replace("\\\\", "\\").encode(),
    "payload.json": lambda: json.dumps({"payload": base64.b64encode(b"12" + NEEDLE).decode()}).encode(),
    "packed.json": lambda: json.dumps({"payload": base64.urlsafe_b64encode(gzip.compress(NEEDLE * 2)).decode()}).encode(),
    "lines.ndjson": lambda: b'{"a":1}\n{"b":"' + NEEDLE + b'"}\n',
    "pylock.lock": lambda: b"owner = " + NEEDLE,
    "hex.log": lambda: NEEDLE.hex().encode(),
    "cert.pem": pem,
    "a.gz": lambda: gzip.compress(NEEDLE),
    "a.bz2": lambda: bz2.compress(NEEDLE),
    "a.xz": lambda: lzma.compress(NEEDLE),
    "a.z": lambda: zlib.compress(NEEDLE),
    "a.zst": lambda: pa.compress(NEEDLE * 9, codec="zstd", asbytes=True),
    "a.zip": lambda: zipped(NEEDLE),
    "a.tar": lambda: tar(NEEDLE),
    "named.tar": lambda: tar(b"nothing", name=TEXT),
    "a.tar.gz": lambda: gzip.compress(tar(zipped(NEEDLE))),
    "file.arrow": lambda: arrow(file=True),
    "stream.arrow": lambda: arrow(file=False),
    "a.parquet": parquet,
    "a.safetensors": safetensors,
    "attached.pdf": lambda: pdf(b'{"who": "' + NEEDLE + b'"}'),
    "packed.pdf": lambda: pdf(gzip.compress(NEEDLE)),
    "page.pdf": lambda: pdf(None, TEXT),
    "a.npy": npy,
    "a.pickle": lambda: pickle.dumps({"who": TEXT}, protocol=5),
    "deep.tar": lambda: tar(gzip.compress(tar(zlib.compress(pdf(NEEDLE)), name="a.z")), name="b.tgz"),
}


@pytest.mark.parametrize("name", FILES)
def test_found(tmp_path: Path, name: str) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / name).write_bytes(FILES[name]())
    report = scan(tmp_path, [NEEDLE, b"never-there-at-all"])
    assert {hit.needle for hit in report.hits} == {NEEDLE}
    assert {hit.path for hit in report.hits} == {f"sub/{name}"}
    assert (report.files, report.unknown) == (1, [])
    assert not report.clean


@pytest.mark.parametrize("name", FILES)
def test_nothing_is_found_where_nothing_is(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(FILES[name]())
    report = scan(tmp_path, [b"never-there-at-all"])
    assert report.clean
    assert report.files == 1


def database(path: Path, *, secure: bool) -> None:
    db = sqlite3.connect(path)
    db.executescript(f"PRAGMA secure_delete={'ON' if secure else 'OFF'}; CREATE TABLE t (v TEXT, b BLOB);")
    db.executemany("INSERT INTO t VALUES (?, ?)", [(f"row {i}", b"") for i in range(500)])
    db.execute("INSERT INTO t VALUES (?, ?)", (TEXT, b""))
    db.commit()
    db.execute("DELETE FROM t WHERE v=?", (TEXT,))
    db.commit()
    db.close()


def test_a_deleted_row_of_sqlite_is_found_until_it_is_overwritten(tmp_path: Path) -> None:
    database(tmp_path / "loose.db", secure=False)
    database(tmp_path / "secure.db", secure=True)
    assert {hit.path for hit in scan(tmp_path, [NEEDLE]).hits} == {"loose.db"}


def test_sqlite_values_are_looked_into_and_across_pages(tmp_path: Path) -> None:
    db = sqlite3.connect(tmp_path / "a.db")
    db.executescript("PRAGMA page_size=512; CREATE TABLE t (v);")
    db.execute("INSERT INTO t VALUES (?)", (zlib.compress(NEEDLE),))
    db.commit()
    db.close()
    db = sqlite3.connect(tmp_path / "b.db")
    db.executescript("PRAGMA page_size=512; PRAGMA secure_delete=OFF; CREATE TABLE t (v);")
    for shift in range(0, 512, 8):
        db.execute("INSERT INTO t VALUES (?)", ("-" * (512 + shift) + TEXT + "-" * 2000,))
    db.commit()
    db.execute("DELETE FROM t")
    db.commit()
    db.close()
    db = sqlite3.connect(tmp_path / "c.db")
    db.execute("CREATE TABLE t (v INTEGER)")
    db.execute("INSERT INTO t VALUES (8273645)")
    db.commit()
    db.close()
    hits = scan(tmp_path, [NEEDLE, b"8273645"]).hits
    assert {(hit.path, hit.needle) for hit in hits} == {("a.db", NEEDLE), ("b.db", NEEDLE), ("c.db", b"8273645")}


def test_a_value_of_random_bytes_is_no_file_of_unknown_type(tmp_path: Path) -> None:
    db = sqlite3.connect(tmp_path / "a.db")
    db.execute("CREATE TABLE t (v)")
    odd = [b"\x00\x01", b"\x78\x9cbroken", zlib.compress(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff"), zlib.compress(b"\x7f\xff"), b"\x1f\x8b"]
    db.executemany("INSERT INTO t VALUES (?)", [(value,) for value in odd])
    db.commit()
    db.close()
    assert scan(tmp_path, [NEEDLE]).clean


def test_the_write_ahead_log_is_read(tmp_path: Path) -> None:
    db = sqlite3.connect(tmp_path / "a.db")
    db.executescript("PRAGMA journal_mode=WAL; CREATE TABLE t (v);")
    db.execute("INSERT INTO t VALUES (?)", (TEXT,))
    db.commit()
    report = scan(tmp_path, [NEEDLE])
    assert {hit.path for hit in report.hits} == {"a.db", "a.db-wal"}
    assert report.unknown == []
    db.close()


def test_old_lance_versions_and_deleted_rows_are_found(tmp_path: Path) -> None:
    import lance

    uri = str(tmp_path / "d.lance")
    names = [f"person {i:05}" for i in range(3000)]
    lance.write_dataset(pa.table({"id": range(3001), "v": [*names, TEXT]}), uri)
    lance.dataset(uri).delete("id = 3000")
    hits = scan(tmp_path, [NEEDLE]).hits
    assert any(hit.where.startswith("lance version 1") for hit in hits)
    assert not any(hit.where.startswith("lance version 2") for hit in hits)
    assert any(hit.path.endswith(".lance") and "/data/" in hit.path for hit in hits)
    dataset = lance.dataset(uri)
    dataset.optimize.compact_files(materialize_deletions_threshold=0.0)
    dataset.cleanup_old_versions(older_than=timedelta(0), delete_unverified=True)
    assert scan(tmp_path, [NEEDLE]).clean
    assert not scan(tmp_path, [b"person 00007"]).clean


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.bin", b"\x00\x01\x02\x03"),
        ("latin1.txt", "größe".encode("latin-1")),
        ("broken.pdf", b"%PDF-1.7\nnothing"),
        ("broken.gz", b"\x1f\x8b\x08\x00broken"),
        ("broken.parquet", b"PAR1 nothing PAR1"),
        ("broken.db", b"SQLite format 3\0" + b"\x01" * 200),
        ("broken.lance", b"nothing LANC"),
        ("a.tar", tar(b"\x00\x01\x02")),
    ],
)
def test_what_cannot_be_decoded_is_reported(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    report = scan(tmp_path, [NEEDLE])
    assert [line.partition(":")[0] for line in report.unknown] == [name]
    assert not report.clean


def test_names_links_and_odd_files(tmp_path: Path) -> None:
    import os

    (tmp_path / TEXT).mkdir()
    (tmp_path / "link").symlink_to(f"/nowhere/{TEXT}")
    os.mkfifo(tmp_path / "pipe")
    report = scan(tmp_path, [NEEDLE])
    assert {hit.path for hit in report.hits} == {TEXT, "link"}
    assert [line.partition(":")[0] for line in report.unknown] == ["pipe"]


def test_keys_are_opaque_and_still_searched(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "master.key").write_bytes(b"\0\1" + NEEDLE)
    report = scan(tmp_path, [NEEDLE])
    assert [hit.path for hit in report.hits] == ["keys/master.key"]
    assert report.unknown == []


def test_a_scan_that_would_look_at_nothing_fails(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="needles"):
        scan(tmp_path, [])
    with pytest.raises(ValueError, match="needles"):
        scan(tmp_path, [b""])
    with pytest.raises(FileNotFoundError):
        scan(tmp_path / "absent", [NEEDLE])


PERSON = "Zoë Ñandúšček Þórðardóttir"
NUMBER = "471108154711"
SPELLED: dict[str, Callable[[], bytes]] = {
    "url.log": lambda: b"GET /x?who=" + urllib.parse.quote(PERSON, safe="").encode(),
    "url_lower.log": lambda: urllib.parse.quote(PERSON, safe="").lower().replace("%20", "+").encode(),
    "form.log": lambda: urllib.parse.urlencode({"who": PERSON}).encode(),
    "url_of_url.log": lambda: urllib.parse.quote(urllib.parse.quote(f"a={PERSON}", safe=""), safe="").encode(),
    "ascii.json": lambda: json.dumps({"who": PERSON}).encode(),
    "upper_escapes.txt": lambda: b"see " + json.dumps(PERSON)[1:-1].upper().replace("\\U", "\\u").encode(),
    "repr.log": lambda: ascii(PERSON).encode(),
    "decomposed.txt": lambda: unicodedata.normalize("NFD", PERSON).encode(),
    "composed.txt": lambda: unicodedata.normalize("NFC", PERSON).encode(),
    "utf16_hex.txt": lambda: b"x" + PERSON.encode("utf-16-be").hex().encode(),
    "utf16_base64.txt": lambda: b"w:" + base64.b64encode(b"1" + PERSON.encode("utf-16-le")),
    "hex_of_gzip.txt": lambda: b"blob " + gzip.compress((PERSON * 9).encode()).hex().encode() + b" end",
    "page.html": lambda: b"<p>" + PERSON.encode("ascii", "xmlcharrefreplace") + b"</p>",
    "number.txt": lambda: b"id=" + NUMBER.encode(),
    "number.npy": lambda: _npy_of(int(NUMBER)),
    "number.arrow": lambda: _arrow_of(int(NUMBER)),
}


def _npy_of(value: int) -> bytes:
    out = io.BytesIO()
    np.save(out, np.array([1, value], dtype=np.int64))
    return out.getvalue()


def _arrow_of(value: int) -> bytes:
    out = io.BytesIO()
    table = pa.table({"n": pa.array([1, value], pa.int64())})
    with pa.ipc.new_stream(out, table.schema) as writer:
        writer.write_table(table)
    return out.getvalue()


@pytest.mark.parametrize("name", SPELLED)
def test_a_person_is_found_however_they_are_spelled(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(SPELLED[name]())
    needle = NUMBER if name.startswith("number") else PERSON
    if name in {"url_lower.log", "upper_escapes.txt"}:
        needle = "ë" if name == "url_lower.log" else "Ñ"  # the sample changed the case of the letters, the escapes are what is looked at
    report = scan(tmp_path, [needle.encode()])
    assert [hit.path for hit in report.hits][:1] == [name]
    assert scan(tmp_path, ["Nobody Þorvaldsson".encode(), b"998877665544"]).clean


def test_a_number_is_found_in_a_freed_page_of_sqlite(tmp_path: Path) -> None:
    db = sqlite3.connect(tmp_path / "a.db")
    db.executescript("PRAGMA secure_delete=OFF; CREATE TABLE t (n INTEGER);")
    db.executemany("INSERT INTO t VALUES (?)", [(value,) for value in range(400)])
    db.execute("INSERT INTO t VALUES (?)", (int(NUMBER),))
    db.commit()
    db.execute("DELETE FROM t WHERE n > 1000")
    db.commit()
    db.close()
    assert [hit.where for hit in scan(tmp_path, [NUMBER.encode()]).hits][:1] == ["raw"]
