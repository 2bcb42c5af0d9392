"""The model runner: one served model version in a subprocess of its own, from its artifact and its own code snapshot."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import pyarrow as pa

from lineage.errors import NotFound, Tampered
from trainers.artifact import verify_artifact
from trainers.child import Child
from trainers.errors import BadFeature, ChildDied, ChildFailed, ChildTimeout
from trainers.frames import to_ipc
from trainers.snapshot import unpack

__all__ = ["Prediction", "Runner"]

_TYPES: Final = {"BYTES": pa.string(), "INT64": pa.int64(), "FP64": pa.float64(), "BOOL": pa.bool_()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What a model says about some rows."""

    labels: list[str | int]
    scores: list[list[float]]
    """One list per row, in the order of ``classes``; each sums to one."""
    classes: tuple[str | int, ...]


class Runner:
    """A served model version. Safe to call from several threads; a crashed process is started again once per call.

    Args:
        artifact: folder of the model artifact.
        snapshot: the code's tar.
        spec: the version's spec as JSON; ``code`` is checked against the snapshot when it is there.
        threads: threads of the process.
        timeout_s: for one answer; a process that does not answer is killed.
        scratch: where the child's private folder is made.
        child: gives the runner's process for a number of threads and a module (:class:`trainers.spare.Spare`); a new one without it.

    Raises:
        Gone: the artifact was destroyed. NotFound: no such snapshot. Tampered: either is not what its digest says.
    """

    def __init__(
        self,
        *,
        artifact: Path,
        snapshot: Path,
        spec: Mapping[str, Any],
        threads: int = 1,
        timeout_s: float = 30.0,
        scratch: Path | None = None,
        child: Callable[[int, str], Child] | None = None,
    ) -> None:
        self._artifact = artifact
        self._take = child
        self._threads = threads
        self._timeout = timeout_s
        self._scratch = scratch
        self._code = _snapshot(snapshot, str(spec.get("code", "")))
        self._lock = threading.Lock()
        self._child: Child | None = None
        self._closed = False
        self.signature: Mapping[str, Any] = {}
        """Raw features with their types, label, classes."""
        with self._lock:
            self._start()

    @property
    def classes(self) -> tuple[str | int, ...]:
        """Labels in the order of the scores."""
        return tuple(self.signature["classes"])

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the raw features, in order."""
        return tuple(one["name"] for one in self.signature["inputs"])

    def predict(self, table: pa.Table) -> Prediction:
        """Labels and scores for rows of raw named features; further columns are left out.

        Raises:
            BadFeature: a feature is missing, cannot be read as its type, or holds what ``encode`` refuses.
            ChildFailed: the user's code raised, died twice, or did not answer in time.
        """
        with self._lock:
            if self._closed:
                raise ChildFailed("the runner of this model version was stopped")
            body = to_ipc(self._typed(table))
            try:
                header = self._ask(body)
            except ChildDied:
                self._start()
                header = self._ask(body)
        return Prediction(labels=header["labels"], scores=header["scores"], classes=self.classes)

    def close(self) -> None:
        """End the process. Again: nothing happens."""
        with self._lock:
            self._closed = True
            if self._child is not None:
                self._child.kill()
                self._child = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """Process id of the running child."""
        return None if self._child is None else self._child.pid

    def _ask(self, body: bytes) -> dict[str, Any]:
        if self._child is None:
            self._start()
        child = self._child
        assert child is not None
        try:
            child.send("predict", {}, body, timeout=self._timeout)
            kind, header, _ = child.receive(self._timeout)
        except ChildTimeout:
            child.kill()
            self._child = None
            raise
        if kind != "prediction":
            raise ChildFailed(f"the runner answered {kind!r} to a prediction")
        return header

    def _start(self) -> None:
        """A fresh process with the model loaded."""
        if self._child is not None:
            self._child.kill()
            self._child = None
        verify_artifact(self._artifact)
        take, module = self._take, "trainers.serve_main"
        child = take(self._threads, module) if take else Child(module, threads=self._threads, scratch=self._scratch)
        try:
            code = unpack(self._code, child.scratch / "code")
            child.send("load", {"artifact": str(self._artifact.resolve()), "code": str(code), "threads": self._threads})
            _, header, _ = child.receive(max(120.0, self._timeout))
        except BaseException:
            child.kill()
            raise
        self._child = child
        self.signature = header["signature"]

    def _typed(self, table: pa.Table) -> pa.Table:
        """Only the model's features, each cast to its type."""
        missing = [name for name in self.features if name not in table.column_names]
        if missing:
            raise BadFeature(f"no feature {', '.join(missing)}", hint=f"the model reads {', '.join(self.features)}")
        columns = {one["name"]: _cast(table[one["name"]], one["name"], one["type"]) for one in self.signature["inputs"]}
        return pa.table(columns)


def _cast(column: pa.ChunkedArray, name: str, kind: str) -> pa.ChunkedArray:
    try:
        return column.cast(_TYPES[kind])
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise BadFeature(f"feature {name!r} cannot be read as {kind}") from None


def _snapshot(path: Path, expected: str) -> bytes:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise NotFound(f"no code snapshot {path.name} in the store") from None
    if expected.startswith("snapshot:") and hashlib.sha256(data).hexdigest() != expected.removeprefix("snapshot:"):
        raise Tampered(f"code snapshot {path.name} holds other bytes than {expected[:25]}… says")
    return data
