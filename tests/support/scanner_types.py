"""How the scanner tells file types apart and opens each of them."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import pickletools
import re
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_SQLITE_SIDES = (".db-wal", ".db-shm", ".db-journal", ".sqlite-wal", ".sqlite-shm", ".sqlite-journal")
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_ZLIB = {b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda"}


class Undecodable(Exception):
    """The content has the type's mark and cannot be read as one."""


def kind_of(data: bytes, name: str) -> str | None:
    """The type of ``data``, by its content first and its name second; ``None`` when unknown."""
    if data.startswith(b"SQLite format 3\0"):
        return "sqlite"
    if name.endswith(_SQLITE_SIDES):
        return "sqlite-side"
    if data.endswith(b"LANC"):
        return "lance-log" if name.endswith(".manifest") else "lance"
    if name.endswith(".txn"):
        return "lance-log"
    if data.startswith(b"ARROW1") or (data[:4] == b"\xff\xff\xff\xff" and len(data) > 8):
        return "arrow"
    if data.startswith(b"PAR1") and data.endswith(b"PAR1"):
        return "parquet"
    if data.startswith(b"%PDF-"):
        return "pdf"
    if data.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd")) or data[:2] in _ZLIB:
        return "compressed"
    if data.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "zip"
    if data[257:262] == b"ustar":
        return "tar"
    if data.startswith(b"\x89PNG\r\n"):
        return "png"
    if data.startswith(b"\x93NUMPY"):
        return "npy"
    if data[:1] == b"\x80" and data[1:2] in {b"\x02", b"\x03", b"\x04", b"\x05"} and data.endswith(b"."):
        return "pickle"
    if len(data) > 8 and data[8:9] == b"{" and 2 <= int.from_bytes(data[:8], "little") <= len(data) - 8:
        return "safetensors"
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) and len(data) % 2 == 0:
        return "utf-16"
    if not _CONTROL.search(data):
        try:
            data.decode()
        except UnicodeDecodeError:
            return None
        return "text"
    return None


def json_values(text: str) -> list[Any]:
    """The JSON value, or one per line; nothing when it is no JSON (it is searched as text all the same)."""
    try:
        return [json.loads(text)]
    except ValueError:
        values = []
        for line in text.splitlines():
            try:
                values.append(json.loads(line))
            except ValueError:
                continue
        return values


def lance_table(data: bytes) -> Any:
    """Every row of a Lance data file, deleted ones too, each page decoded."""
    from lance.file import LanceFileReader

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file.lance"
        path.write_bytes(data)
        try:
            return LanceFileReader(str(path)).read_all().to_table()
        except (OSError, ValueError) as error:
            raise Undecodable(str(error)) from error


def arrow_table(data: bytes) -> Any:
    """An Arrow IPC file or stream."""
    import pyarrow as pa

    try:
        if data.startswith(b"ARROW1"):
            return pa.ipc.open_file(pa.py_buffer(data)).read_all()
        return pa.ipc.open_stream(pa.py_buffer(data)).read_all()
    except (pa.ArrowInvalid, OSError) as error:
        raise Undecodable(str(error)) from error


def parquet_table(data: bytes) -> Any:
    """Every row of a Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_table(pa.py_buffer(data))
    except (pa.ArrowInvalid, OSError) as error:
        raise Undecodable(str(error)) from error


def safetensors_header(data: bytes) -> bytes:
    """The JSON header; the tensors are numbers, searched raw."""
    header = data[8 : 8 + int.from_bytes(data[:8], "little")]
    try:
        json.loads(header)
    except ValueError as error:
        raise Undecodable(str(error)) from error
    return header


def tar_members(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Name (link target beside it) and content of each member."""
    try:
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            for member in archive:
                file = archive.extractfile(member) if member.isfile() else None
                yield f"{member.name} {member.linkname}".strip(), file.read() if file else b""
    except tarfile.TarError as error:
        raise Undecodable(str(error)) from error


def zip_members(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Name and content of each member."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for name in archive.namelist():
                yield name, archive.read(name)
    except (zipfile.BadZipFile, RuntimeError) as error:
        raise Undecodable(str(error)) from error


def decompressed(data: bytes) -> bytes:
    """What a gzip, zlib, bzip2, xz or zstd stream holds; what follows it too."""
    try:
        if data.startswith(b"\x1f\x8b"):
            return gzip.decompress(data)
        if data.startswith(b"BZh"):
            return bz2.decompress(data)
        if data.startswith(b"\xfd7zXZ"):
            return lzma.decompress(data)
        if data.startswith(b"\x28\xb5\x2f\xfd"):
            import pyarrow as pa

            return bytes(pa.CompressedInputStream(pa.BufferReader(data), "zstd").read())
        return zlib.decompress(data)
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise Undecodable(str(error)) from error


def pdf_parts(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Every stream of every revision, decompressed; strings and names; attachments; the text of each page."""
    import pikepdf
    import pypdf

    for number, match in enumerate(re.finditer(rb"stream\r?\n", data)):
        # Also streams that no cross-reference reaches any more: an earlier revision, an object that was replaced.
        try:
            yield f"stream at {match.start()} #{number}", zlib.decompressobj().decompress(data[match.end() :])
        except zlib.error:
            continue
    try:
        with pikepdf.open(io.BytesIO(data)) as pdf:
            yield "info", repr(dict(pdf.docinfo.items()) if pdf.docinfo else {}).encode()
            for item in pdf.objects:
                name = f"object {item.objgen}"
                yield name, item.unparse(resolved=False)
                if isinstance(item, pikepdf.Stream):
                    try:
                        yield f"{name} stream", item.read_bytes()
                    except pikepdf.PdfError:
                        yield f"{name} stream", item.read_raw_bytes()
        reader = pypdf.PdfReader(io.BytesIO(data))
        for number, page in enumerate(reader.pages, start=1):
            text = page.extract_text()
            yield f"page {number}", text.encode(errors="replace")
            yield f"page {number} without spaces", re.sub(r"\s", "", text).encode(errors="replace")
    except (pikepdf.PdfError, pypdf.errors.PyPdfError) as error:
        raise Undecodable(str(error)) from error


def png_parts(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Each chunk of a PNG; the picture's chunks joined and decompressed."""
    picture, at = b"", 8
    while at + 8 <= len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        body = data[at + 8 : at + 8 + length]
        if kind == b"IDAT":
            picture += body
        else:
            yield f"chunk {kind.decode(errors='replace')}", body
            if kind in {b"zTXt", b"iTXt", b"iCCP"} and b"\0" in body:
                start = re.search(rb"\x78[\x01\x5e\x9c\xda]", body)
                if start:
                    yield "text chunk", decompressed(body[start.start() :])
        at += 12 + length
    if picture:
        yield "picture", decompressed(picture)


def npy_text(data: bytes) -> bytes:
    """The values of a NumPy array without objects, as text."""
    import numpy as np

    try:
        return "\n".join(map(str, np.load(io.BytesIO(data), allow_pickle=False).ravel().tolist())).encode()
    except ValueError as error:
        raise Undecodable(str(error)) from error


def pickle_text(data: bytes) -> bytes:
    """The arguments of a pickle's operations, as text; nothing is executed."""
    try:
        return "\n".join(str(argument) for _, argument, _ in pickletools.genops(data)).encode(errors="replace")
    except ValueError as error:
        raise Undecodable(str(error)) from error


def sqlite_overflow(data: bytes) -> bytes:
    """All pages without their leading link, joined: a value that ran over several pages, freed or not, reads in one piece."""
    size = int.from_bytes(data[16:18], "big")
    size = 65536 if size == 1 else size
    pages = [data[at : at + size] for at in range(0, len(data), size)]
    following = [int.from_bytes(page[:4], "big") for page in pages]
    joined = bytearray()
    for number, page in enumerate(pages, start=1):
        target = following[number - 1]
        joined += page[4:]
        if 0 < target <= len(pages) and target != number:
            joined += pages[target - 1][4:]  # the seam to the page it points to
    return bytes(joined)
