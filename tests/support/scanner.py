"""Looks for needles in every file under a folder, each decoded by its own type; independent of all product code.

A grep is no evidence: values hide in compressed pages, deleted records, attachments and archives. So each file is searched raw
(UTF-8, UTF-16, hex, base64, URL-encoded, JSON and Python escapes, both normal forms of Unicode, whole numbers in binary) and decoded as
what it is, again and again for what lies inside; a file of a type that the scanner does not know is reported, never passed over.
"""

from __future__ import annotations

import base64
import binascii
import fnmatch
import html
import json
import re
import sqlite3
import stat
import struct
import tempfile
import unicodedata
import urllib.parse
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support import scanner_types as types

__all__ = ["Hit", "ScanReport", "scan"]

OPAQUE = ("*/keys/*", "*.pyc")
"""Files of random or byte-coded content, by path: searched raw, and not asked for a type."""

_MAX_DEPTH = 12
_ROWS_AT_ONCE = 10_000
_SHORT = 256
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{24,}={0,2}")
_HEX = re.compile(r"(?:[0-9a-f]{2}){40,}|(?:[0-9A-F]{2}){40,}")  # shorter ones are digests by the thousand
_URL = re.compile(r"%[0-9A-Fa-f]{2}")


@dataclass(frozen=True)
class Hit:
    """One place where a needle was found."""

    path: str
    where: str
    """How it was read: ``raw``, ``table posting``, ``pdf stream 12 0``, ``tar member a.txt > raw`` …"""
    needle: bytes


@dataclass
class ScanReport:
    """What was found, how many files were read, and which could not be decoded."""

    hits: list[Hit] = field(default_factory=list)
    files: int = 0
    unknown: list[str] = field(default_factory=list)
    types: Counter[str] = field(default_factory=Counter)

    @property
    def clean(self) -> bool:
        """Nothing found, and nothing that could not be read."""
        return not self.hits and not self.unknown


def scan(folder: Path, needles: list[bytes], *, opaque: Iterable[str] = OPAQUE) -> ScanReport:
    """Search every file under ``folder`` (or the one file) for the needles; links are not followed, their targets are searched as text."""
    if not needles or not all(needles):
        raise ValueError("a scan needs needles")
    if not folder.exists():
        raise FileNotFoundError(folder)
    work = _Scan(folder, needles, tuple(opaque))
    for path in sorted(folder.rglob("*")) if folder.is_dir() else [folder]:
        work.path(path)
    return work.report


class _Scan:
    def __init__(self, folder: Path, needles: list[bytes], opaque: tuple[str, ...]) -> None:
        self.report = ScanReport()
        self._folder = folder
        self._opaque = opaque
        self._forms = {needle: _forms(needle) for needle in needles}
        self._any = re.compile(b"|".join(re.escape(form) for forms in self._forms.values() for form in forms))
        self._now = ""
        self._seen: set[Hit] = set()

    # ── files ───────────────────────────────────────────────────────────────────────────────────
    def path(self, path: Path) -> None:
        self._now = str(path.relative_to(self._folder)) if path != self._folder else path.name
        self.search("name", self._now.encode())
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            self.search("link", str(path.readlink()).encode())
        elif stat.S_ISDIR(mode):
            if (path / "_versions").is_dir():
                self._lance_versions(path)
        elif not stat.S_ISREG(mode):
            self.report.unknown.append(f"{self._now}: neither file, folder nor link")
        else:
            self.report.files += 1
            data = path.read_bytes()
            if any(fnmatch.fnmatch(f"/{self._now}", pattern) for pattern in self._opaque):
                self.search("raw", data)
                kind: str | None = "opaque"
            else:
                kind = self.content(data, "", name=path.name, path=path)
            if kind is None:
                self.report.unknown.append(f"{self._now}: unknown type, begins with {data[:8]!r}")
            self.report.types[kind or "unknown"] += 1

    def _lance_versions(self, path: Path) -> None:
        import lance

        for version in lance.dataset(str(path)).versions():
            number = version["version"]
            self.table(lance.dataset(str(path), version=number).to_table(), f"lance version {number}")

    # ── content ─────────────────────────────────────────────────────────────────────────────────
    def content(
        self, data: bytes, where: str, *, name: str = "", path: Path | None = None, depth: int = 0, sure: bool = True
    ) -> str | None:
        """Search ``data`` raw and decoded; returns its type, ``None`` when that is unknown.

        Without ``sure`` the data need not be of any type (a value that may be random bytes): a mark that misleads is no finding.
        """
        self.search(f"{where}raw", data)
        if not data:
            return "empty"
        if depth > _MAX_DEPTH:
            return None
        kind = types.kind_of(data, name)
        decode: Callable[[], None] | None = {
            "sqlite": lambda: self._sqlite(data, where, path, depth),
            "sqlite-side": lambda: None,
            "lance": lambda: self.table(types.lance_table(data), f"{where}lance "),
            "lance-log": lambda: None,
            "arrow": lambda: self.table(types.arrow_table(data), f"{where}arrow "),
            "parquet": lambda: self.table(types.parquet_table(data), f"{where}parquet "),
            "safetensors": lambda: self.content(types.safetensors_header(data), f"{where}header > ", depth=depth + 1),
            "pdf": lambda: self._parts(types.pdf_parts(data), f"{where}pdf ", depth, strict=False),
            "tar": lambda: self._parts(types.tar_members(data), f"{where}tar member ", depth, strict=sure),
            "zip": lambda: self._parts(types.zip_members(data), f"{where}zip member ", depth, strict=sure),
            "compressed": lambda: self._parts([("", types.decompressed(data))], f"{where}decompressed", depth, strict=sure),
            "png": lambda: self._parts(types.png_parts(data), f"{where}png ", depth, strict=False),
            "npy": lambda: self.search(f"{where}npy", types.npy_text(data)),
            "pickle": lambda: self.search(f"{where}pickle", types.pickle_text(data)),
            "utf-16": lambda: self._text(data.decode("utf-16", errors="replace"), where, depth),
            "text": lambda: self._text(data.decode(), where, depth),
        }.get(kind or "")
        if decode is None:
            return None
        try:
            decode()
        except types.Undecodable as error:
            if not sure:
                return None
            self.report.unknown.append(f"{self._now}: {where}looks like {kind} and is not: {error}")
        return kind

    def table(self, table: Any, where: str) -> None:
        """Every value of an Arrow table, as text and as bytes; bytes are looked into."""
        self.search(f"{where} schema", str(table.schema.to_string(truncate_metadata=False)).encode())
        for column in table.column_names:
            self.values(table.column(column).to_pylist(), f"{where} column {column}", 0)

    def values(self, values: Iterable[Any], where: str, depth: int) -> None:
        """Plain values: searched together as text and bytes; what is a container inside a value is opened."""
        words: list[bytes] = []
        for value in values:
            raw = value if isinstance(value, bytes) else str(value).encode(errors="replace")
            words.append(raw)
            if isinstance(value, bytes) and types.kind_of(value, "") not in {None, "text"}:
                self.content(value, f"{where} > ", depth=depth + 1, sure=False)
            elif isinstance(value, (bytes, str)) and len(raw) > 16:
                text = value if isinstance(value, str) else raw.decode(errors="replace")
                if text.lstrip()[:1] in {"{", "["} or _BASE64.search(text) or _URL.search(text) or "-----BEGIN" in text:
                    self._text(text, f"{where} > ", depth + 1)
        self.search(where, b"\n".join(words))

    def search(self, where: str, data: bytes) -> None:
        if len(data) < _SHORT and self._any.search(data) is None:  # of short values there are very many
            return
        for needle, forms in self._forms.items():
            if any(form in data for form in forms):
                hit = Hit(path=self._now, where=where, needle=needle)
                if hit not in self._seen:
                    self._seen.add(hit)
                    self.report.hits.append(hit)

    # ── containers ──────────────────────────────────────────────────────────────────────────────
    def _parts(self, parts: Iterable[tuple[str, bytes]], where: str, depth: int, *, strict: bool = True) -> None:
        for name, data in parts:
            self.search(f"{where}{name} name", name.encode())
            if self.content(data, f"{where}{name} > ", name=name, depth=depth + 1, sure=strict) is None and strict:
                self.report.unknown.append(f"{self._now}: {where}{name}: unknown type, begins with {data[:8]!r}")

    def _text(self, text: str, where: str, depth: int) -> None:
        self.search(f"{where}text", text.encode())
        if depth > _MAX_DEPTH:
            return
        for part in [text] if text.lstrip()[:1] in {"{", "["} else []:
            for value in types.json_values(part):
                self._walk(value, f"{where}json", depth)
        for match in _BASE64.finditer(text):
            word = match.group().rstrip("=").translate(str.maketrans("-_", "+/"))
            try:
                decoded = base64.b64decode(word + "=" * (-len(word) % 4), validate=True)
            except binascii.Error:
                continue
            self.content(decoded, f"{where}base64 > ", depth=depth + 1, sure=False)
        for match in _HEX.finditer(text):
            self.content(bytes.fromhex(match.group()), f"{where}hex > ", depth=depth + 1, sure=False)
        if _URL.search(text) and (plain := urllib.parse.unquote(text)) != text:
            self._text(plain, f"{where}url > ", depth + 1)
        compact = re.sub(r"-----[A-Z ]+-----|\s", "", text) if "-----BEGIN" in text else ""
        if compact:
            self.search(f"{where}pem", base64.b64decode(compact + "=" * (-len(compact) % 4)))

    def _walk(self, value: Any, where: str, depth: int) -> None:
        """Every key and value of a JSON document, searched together: one by one would take minutes for a large one."""
        found: list[Any] = []
        waiting = [value]
        while waiting:
            inner = waiting.pop()
            if isinstance(inner, dict):
                found += inner.keys()
                waiting += inner.values()
            elif isinstance(inner, list):
                waiting += inner
            else:
                found.append(inner)
        self.values(found, where, depth)

    def _sqlite(self, data: bytes, where: str, path: Path | None, depth: int) -> None:
        """Every table of a copy (log included), and every page chain that no table reaches, freed ones too, joined across pages."""
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / "copy.db"
            copy.write_bytes(data)
            for suffix in ("-wal", "-journal"):
                side = path.with_name(path.name + suffix) if path else None
                if side is not None and side.exists():
                    copy.with_name(copy.name + suffix).write_bytes(side.read_bytes())
            db = sqlite3.connect(copy)
            try:
                db.text_factory = lambda raw: raw.decode(errors="replace")
                names = [name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type='table'")]
                for name in names:
                    quoted = name.replace('"', '""')
                    cursor = db.execute(f'SELECT * FROM "{quoted}"')
                    while rows := cursor.fetchmany(_ROWS_AT_ONCE):
                        self.values((value for row in rows for value in row), f"{where}table {name}", depth)
            except sqlite3.DatabaseError as error:
                raise types.Undecodable(str(error)) from error
            finally:
                db.close()
        self.search(f"{where}pages", types.sqlite_overflow(data))


def _forms(needle: bytes) -> list[bytes]:
    """How a needle may be spelled in bytes: as it is, escaped, encoded, in either normal form; a whole number in binary too."""
    text = needle.decode("utf-8", errors="ignore")
    if text.encode() != needle:
        return _encoded(needle)
    forms: list[bytes] = []
    for spelled in dict.fromkeys([text, *(unicodedata.normalize(form, text) for form in ("NFC", "NFD"))]):
        escaped = json.dumps(spelled)[1:-1]
        forms += [*_encoded(spelled.encode()), *_encoded(spelled.encode("utf-16-le")), *_encoded(spelled.encode("utf-16-be"))]
        forms += [escaped.encode(), re.sub(r"\\u[0-9a-f]{4}", lambda found: "\\u" + found.group()[2:].upper(), escaped).encode()]
        forms += [spelled.encode("unicode_escape"), html.escape(spelled).encode(), spelled.encode("ascii", "xmlcharrefreplace")]
        quoted = urllib.parse.quote(spelled, safe="")
        forms += [
            quoted.encode(),
            urllib.parse.quote_plus(spelled).encode(),
            re.sub("%..", lambda found: found.group().lower(), quoted).encode(),
        ]
    if text.isascii() and text.isdigit() and 2**32 <= int(text) < 2**47:
        forms += [struct.pack("<q", int(text)), struct.pack(">q", int(text))[2:]]  # Arrow's, and SQLite's of six bytes
    return list(dict.fromkeys(forms))


def _encoded(raw: bytes) -> list[bytes]:
    """The bytes, in hex, and in base64 at its three alignments."""
    forms = [raw, raw.hex().encode(), raw.hex().upper().encode()]
    for shift in range(3):
        whole = base64.b64encode(b"\0" * shift + raw)
        # The first and last characters mix with the neighbours' bits; what lies between is fixed.
        end = (shift + len(raw)) * 8 // 6
        middle = whole[-(-shift * 8 // 6) : end]
        if len(middle) >= 8:
            forms += [middle, middle.translate(bytes.maketrans(b"+/", b"-_"))]
    return forms
