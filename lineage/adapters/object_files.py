"""Files of a table in an object store, by any URL that fsspec opens; what the store keeps of deleted objects is its history's matter.

Deleting has two steps, for in a bucket with versions the first one only hides: :meth:`ObjectFiles.remove` deletes as everybody does, so
that no reader sees the files any more, and :meth:`ObjectFiles.sweep` then removes what the store kept. A crash in between leaves hidden
files, which the next sweep finds.

One dataset owns its place. A marker with a keyed mark of the installation and the dataset lies beside the files; a place that holds
anything else is refused, because a purge removes every object that the dataset does not list.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa

from lineage.adapters.object_access import answered, s3_options, s3_region
from lineage.adapters.object_history import History, NoHistory, UnknownHistory
from lineage.adapters.table_files import Access, Content, TableFiles
from lineage.errors import BadInput, Conflict, StoreUnavailable, Tampered
from lineage.ports import KeyStore

__all__ = ["ObjectFiles", "files_at"]

_OWNER = "owner.json"
_HIDDEN_OWNER = "_owner.json"
"""Where a format's own writers work: names that begin with an underscore are none of a table's files to them."""
_S3 = ("s3", "s3a")
_LOCAL = ("file", "local")
_FORGETS = ("memory", *_LOCAL)
"""Stores that keep nothing of what was deleted."""


def files_at(url: str, name: str, *, keys: KeyStore, library: bool = False) -> TableFiles:
    """The files of dataset ``name`` at a URL (``s3://bucket/folder``, ``file:///folder``, any that fsspec opens).

    Credentials, region and endpoint come from the store's own environment variables and files (for S3: ``AWS_…``, ``~/.aws``).

    Args:
        url: where.
        name: the dataset's registered name.
        keys: for the mark of the owner.
        library: whether a library writes there by itself (Lance, Delta Lake), which only S3 and folders allow.

    Raises:
        BadInput: a package is missing, or the URL cannot be opened.
    """
    import fsspec  # type: ignore[import-untyped]

    scheme = urlsplit(url).scheme

    # What others did meanwhile must be seen; and read in parts (max_concurrency), s3fs asks for the present object's size first.
    options: dict[str, Any] = {"use_listings_cache": False, "max_concurrency": 1} if scheme in _S3 else {}
    options |= {"auto_mkdir": True} if scheme in _LOCAL else {}
    try:
        system, path = fsspec.core.url_to_fs(url, **options)
    except ImportError as error:
        extra = "pip install 'govern-ml[s3]'" if scheme in _S3 else f"install the package of fsspec that opens {scheme}://"
        raise BadInput(f"{name}: {url} needs a package that is not installed: {error}", hint=extra) from error
    except ValueError as error:
        raise BadInput(f"{name}: {url} cannot be opened: {error}", hint="govern dataset register NAME --url s3://BUCKET/FOLDER") from error
    history: History = NoHistory() if scheme in _FORGETS else UnknownHistory(scheme)
    if scheme in _S3:
        from lineage.adapters.s3_history import S3History

        history = S3History(system, path, name)
    owner = keys.hmac("rowset", b"place\x00" + name.encode()).hex()[:32]
    if library and scheme not in (*_S3, *_LOCAL):
        raise BadInput(f"{name}: {url} cannot be opened by the library of its kind", hint="use s3:// or file://, or --kind parquet")
    return ObjectFiles(system, path, url, name, owner=owner, history=history, library=library)


class ObjectFiles:
    """Objects under one prefix (:class:`lineage.adapters.table_files.TableFiles`).

    Args:
        system: fsspec's file system.
        path: the prefix, without the scheme.
        url: the same as it was registered, for messages.
        name: the dataset's registered name.
        owner: what the marker must say.
        history: what the store keeps of objects that are gone.
        library: whether a library writes here by itself.
    """

    def __init__(self, system: Any, path: str, url: str, name: str, *, owner: str, history: History, library: bool = False) -> None:
        self._system = system
        self._path = path.rstrip("/")
        self._url = url
        self._name = name
        self._owner = owner
        self._history = history
        self._library = library
        self._marker = _HIDDEN_OWNER if library else _OWNER
        self._ours = False
        self._region: str | None = None

    def claim(self) -> None:
        """Take the place when it is empty; refuse it when it is another's, for a sweep removes whatever lies here."""
        with self._answers():
            self._claim()

    def access(self) -> Access:
        """The URL, and the credentials and the endpoint that fsspec's file system found."""
        if urlsplit(self._url).scheme not in _S3:
            return Access(uri=self._path)
        with self._answers():
            self._region = self._region or s3_region(self._system, self._path.partition("/")[0])
            return Access(uri=f"s3://{self._path}", options=s3_options(self._system, self._region))

    @contextmanager
    def answers(self) -> Iterator[None]:
        """What the store answered a library that works here by itself, as :meth:`_answers` words it."""
        try:
            yield
        except Exception as error:
            answer = answered(error)
            if answer is None:
                raise
            with self._answers():
                raise answer from error

    def write(self, name: str, content: bytes) -> None:
        """Put the object; it is there as a whole or not at all."""
        with self._answers():
            self._claim()
            self._system.pipe_file(self._at(name), content)

    def publish(self, name: str, content: bytes) -> None:
        """Put the object; the store has answered for all that were put before."""
        self.write(name, content)

    def read(self, name: str, version: str | None = None) -> bytes:
        """The bytes of an object or of one of its old versions."""
        with self._answers(missing=True):
            if version is not None:
                return self._history.read(name, version)
            found: bytes = self._system.cat_file(self._at(name))
            return found

    def open(self, name: str, version: str | None = None) -> pa.NativeFile:
        """The content in one request, in memory."""
        return pa.BufferReader(self.read(name, version))

    def sizes(self, folder: str) -> dict[str, int]:
        """Every present object below a folder but the marker."""
        with self._answers():
            return {name: size for name, size in self._sizes(folder).items() if name != self._marker}

    def contents(self) -> list[Content]:
        """The present objects but the marker, and the old versions that the store keeps."""
        with self._answers():
            present = [Content(name=name, size=size) for name, size in self._sizes("").items() if name != self._marker]
            return [*present, *self._history.kept()]

    def remove(self, names: Iterable[str]) -> None:
        """Delete the objects; where the store keeps versions they are hidden until :meth:`sweep`."""
        with self._answers():
            self._claim()
            if gone := [self._at(name) for name in names]:
                self._system.rm(gone)

    def sweep(self) -> None:
        """Remove what the store's history holds of this prefix."""
        with self._answers():
            self._claim()
            self._history.drop()

    def cannot_purge(self) -> str | None:
        """What the store's history cannot show or may not remove."""
        with self._answers():
            return self._history.stays()

    # ── inside ──────────────────────────────────────────────────────────────────────────────────
    def _at(self, name: str) -> str:
        return f"{self._path}/{name}"

    def _sizes(self, folder: str) -> dict[str, int]:
        found = self._system.find(f"{self._path}/{folder}".rstrip("/"), detail=True)
        start = len(self._path) + 1
        return {path[start:]: int(info["size"]) for path, info in sorted(found.items()) if info["type"] == "file"}

    def _claim(self) -> None:
        """Take the place when it is empty; refuse it when it is another's, for a sweep removes whatever lies here."""
        if self._ours:
            return
        try:
            said = json.loads(self._system.cat_file(self._at(self._marker)))
        except FileNotFoundError:
            if self._sizes("") or self._history.kept():
                raise Conflict(
                    f"{self._name}: {self._url} holds objects that are not of this dataset (old versions count)",
                    hint="register it with a folder that nothing else uses",
                ) from None
            self._system.pipe_file(self._at(self._marker), self._body())
        except ValueError as error:
            raise Tampered(f"{self._name}: {self._url}/{self._marker} is damaged: {error}", hint="restore it from a backup") from error
        else:
            if not isinstance(said, dict) or said.get("owner") != self._owner:
                raise Conflict(
                    f"{self._name}: {self._url} belongs to another dataset or another installation",
                    hint="register it with a folder that nothing else uses",
                )
        if self._library:
            self._check_conditional()
        self._ours = True

    def _check_conditional(self) -> None:
        """Put the marker, which is there, on condition that it is not: a store that takes it would let one commit overwrite another."""
        try:
            self._system.pipe_file(self._at(self._marker), self._body(), mode="create")
        except FileExistsError:
            return
        except OSError as error:
            if error.errno == errno.EINVAL:  # how s3fs words an answer 412 that does not name its condition
                return
            raise
        raise BadInput(
            f"{self._name}: {self._url} ignores If-None-Match: one program's commit would silently overwrite another's",
            hint="use a store with conditional writes, or --kind parquet, which nobody else writes to",
        )

    def _body(self) -> bytes:
        return json.dumps({"schema": 1, "dataset": self._name, "owner": self._owner}, separators=(",", ":")).encode()

    @contextmanager
    def _answers(self, *, missing: bool = False) -> Iterator[None]:
        """What the store's library raises, as errors that say which place it is; with ``missing``, ``FileNotFoundError`` passes."""
        try:
            yield
        except FileNotFoundError as error:
            if missing:
                raise
            raise StoreUnavailable(f"{self._name}: {self._url} is not there: {error}", hint="check the bucket's name and region") from error
        except PermissionError as error:
            raise StoreUnavailable(
                f"{self._name}: {self._url} refuses this: {error}",
                hint="give the credentials that Govern runs with the rights (how-to: datasets)",
            ) from error
        except (OSError, TimeoutError) as error:
            raise StoreUnavailable(f"{self._name}: {self._url} is away: {error}", hint="run it again when the store answers") from error
        except Exception as error:
            if not self._history.is_away(error):
                raise
            raise StoreUnavailable(
                f"{self._name}: {self._url} cannot be reached: {error}",
                hint="check its endpoint, region and credentials, then run it again",
            ) from error
