"""The warm child of audits: imports torch, ART, SHAP and Captum once, then forks for every job.

Each model version is loaded in a fork of its own, from its own code snapshot: two snapshots with modules of the same names never meet, and
what user code does to the process ends with the fork. The fork is cheap because nothing was computed before it (no thread pools exist yet);
tables are decoded inside it. A fork that crashes or hangs costs its job an error, not the warm process.

Messages: ``warm`` → ``ready`` {libraries, seconds}; ``audit`` {request…} + tables → ``findings`` {findings}.
"""

from __future__ import annotations

import io
import json
import os
import select
import shutil
import signal
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from audits.model import AuditRequest, Finding, Production, RegressionCases, finding_to_json
from audits.run import error_findings, run_audits
from audits.subject import Scores, feature_groups, scores
from audits.warm import import_libraries
from lineage.errors import GovernError, Tampered
from trainers.child import Channel, describe, serve_child
from trainers.frames import Message, from_ipc, write_all

if TYPE_CHECKING:
    import pyarrow as pa

    from trainers.loading import LoadedModel

__all__ = ["main"]

_MAX_RESULT: Final = 256 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class _Subject:
    """A loaded model as audits see it."""

    loaded: LoadedModel
    groups: Mapping[str, Sequence[int]]

    @property
    def module(self) -> Any:
        return self.loaded.module

    @property
    def classes(self) -> Sequence[str | int]:
        return self.loaded.classes

    @property
    def label(self) -> str:
        return self.loaded.label

    @property
    def features(self) -> Sequence[str]:
        return self.loaded.features

    def encode(self, table: pa.Table) -> tuple[Any, Any]:
        x, y = self.loaded.encode(table)
        return x, y


def main() -> None:
    """Answer ``warm`` and ``audit`` until the parent closes."""

    def handle(kind: str, header: dict[str, Any], body: bytes, _channel: Channel) -> Message:
        if kind == "warm":
            began = time.perf_counter()
            versions = _warm(int(header["threads"]))
            return "ready", {"libraries": versions, "seconds": round(time.perf_counter() - began, 3)}, b""
        if kind == "audit":
            return "findings", {"findings": _job(header, body)}, b""
        raise GovernError(f"an audit worker knows no message {kind!r}")

    serve_child(handle)


def _warm(threads: int) -> dict[str, str]:
    """Import what audits and the loading of models use, and compute nothing."""
    versions = import_libraries()
    import trainers.artifact
    import trainers.loading
    from trainers.determinism import pin

    pin(threads, 0)  # its first call imports for seconds; it starts no threads
    assert trainers.artifact
    assert trainers.loading
    return versions


def _job(header: Mapping[str, Any], body: bytes) -> list[dict[str, Any]]:
    """The findings of one job: production is asked in one fork, the candidate audited in another."""
    timeout, threads = float(header["timeout_s"]), int(header["threads"])
    production: dict[str, Any] | None = None
    logits = b""
    if header["production"] is not None:
        answer = _in_fork(lambda: _ask_production(header, body, threads), timeout)
        production, logits = _split(answer) if isinstance(answer, bytes) else ({"error": answer}, b"")
    found = _in_fork(lambda: _audit(header, body, threads, production, logits), timeout)
    if isinstance(found, bytes):
        findings: list[dict[str, Any]] = json.loads(found)
        return findings
    return [finding_to_json(f) for f in error_findings(_request(header, body), found)]


def _ask_production(header: Mapping[str, Any], body: bytes, threads: int) -> bytes:
    """What the version in production says about the test rows, with its classes; or why it says nothing."""
    from trainers.determinism import pin
    from trainers.loading import load_model

    pin(threads, int(header["seed"]))
    try:
        table = _request(header, body).tables["test"]
        theirs = load_model(Path(header["production"]["artifact"]), Path(header["production"]["snapshot"]))
        said = scores(_Subject(loaded=theirs, groups={}), table)
    except Exception as error:  # noqa: BLE001 - user code may raise anything; it is reported as the audit's error
        traceback.print_exc()
        return _join({"error": f"the version in production could not be asked: {describe(error)}"}, b"")
    buffer = io.BytesIO()
    np.save(buffer, said.logits, allow_pickle=False)
    return _join({"classes": list(theirs.classes)}, buffer.getvalue())


def _audit(header: Mapping[str, Any], body: bytes, threads: int, production: Mapping[str, Any] | None, logits: bytes) -> bytes:
    """All findings on the candidate, as JSON."""
    from trainers.determinism import pin
    from trainers.loading import load_model

    request = _request(header, body)
    pin(threads, request.seed)
    found: list[Finding]
    try:
        _check(request)
        loaded = load_model(Path(request.artifact), Path(request.snapshot))
        measured_on = request.tables.get("train", request.tables["test"])
        bare = _Subject(loaded=loaded, groups={})
        model = _Subject(loaded=loaded, groups=feature_groups(bare, measured_on))
        theirs = None if production is None else _theirs(production, logits, loaded.classes)
    except Exception as error:  # noqa: BLE001 - user code may raise anything; every audit gets it as its error
        traceback.print_exc()
        found = error_findings(request, f"the model could not be loaded: {describe(error)}")
    else:
        found = run_audits(request, model, theirs)
    return json.dumps([finding_to_json(f) for f in found]).encode()


def _check(request: AuditRequest) -> None:
    """Refuse another artifact than the one the findings will name."""
    from trainers.artifact import artifact_digest

    if artifact_digest(Path(request.artifact)).digest != request.model_digest:
        raise Tampered(f"the artifact of {request.model}@{request.version} is not the one with digest {request.model_digest}")


def _theirs(production: Mapping[str, Any], logits: bytes, classes: Sequence[str | int]) -> Scores | GovernError:
    """Production's scores in the candidate's order of classes."""
    if "error" in production:
        return GovernError(str(production["error"]))
    order = [str(c) for c in production["classes"]]
    if sorted(order) != sorted(str(c) for c in classes):
        return GovernError(f"production answers {', '.join(order)}, the candidate {', '.join(str(c) for c in classes)}: nothing to compare")
    table = np.load(io.BytesIO(logits), allow_pickle=False)[:, [order.index(str(c)) for c in classes]]
    return Scores(logits=table, predicted=table.argmax(axis=1).astype(np.int64))


def _request(header: Mapping[str, Any], body: bytes) -> AuditRequest:
    """The request as the worker sent it; tables are decoded here, inside a fork."""
    tables: dict[str, pa.Table] = {}
    at = 0
    for name, size in header["tables"]:
        tables[name] = from_ipc(body[at : at + size])
        at += size
    cases = header["cases"]
    regression = None
    if cases is not None:
        regression = RegressionCases(ids=tuple(cases["ids"]), table=tables.pop("\0cases"), expected=tuple(cases["expected"]))
    return AuditRequest(
        model=header["model"],
        version=header["version"],
        model_digest=header["model_digest"],
        artifact=header["artifact"],
        snapshot=header["snapshot"],
        spec=header["spec"],
        tables=tables,
        config=header["config"],
        data=header["data"],
        production=Production(**header["production"]) if header["production"] else None,
        cases=regression,
        seed=header["seed"],
    )


def _join(head: Mapping[str, Any], tail: bytes) -> bytes:
    line = json.dumps(head).encode()
    return len(line).to_bytes(8, "big") + line + tail


def _split(data: bytes) -> tuple[dict[str, Any], bytes]:
    size = int.from_bytes(data[:8], "big")
    head: dict[str, Any] = json.loads(data[8 : 8 + size])
    return head, data[8 + size :]


def _in_fork(work: Callable[[], bytes], timeout: float) -> bytes | str:
    """What ``work`` returns, computed in a fork of this process; or one sentence about how the fork ended."""
    scratch = tempfile.mkdtemp(prefix="job-")
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.close(reading)
            os.environ["TMPDIR"] = tempfile.tempdir = scratch
            write_all(writing, work())
            status = 0
        except BaseException:  # noqa: BLE001 - a fork must never return into its parent's loop
            traceback.print_exc()
        finally:
            os._exit(status)
    try:
        return _collect(pid, reading, writing, timeout)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _collect(pid: int, reading: int, writing: int, timeout: float) -> bytes | str:
    os.close(writing)
    try:
        data = _read(reading, time.monotonic() + timeout)
    finally:
        os.close(reading)
    if data is None:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        return f"the audit did not end within {timeout:g} s"
    _, ended = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(ended)
    if code < 0:
        return f"the audit's process was ended by {signal.Signals(-code).name}"
    if code > 0 or not data:
        return f"the audit's process exited with status {code} and without a result"
    return data


def _read(fd: int, deadline: float) -> bytes | None:
    """All bytes until the other end closes; ``None`` when the deadline came first, or far too much was sent."""
    parts: list[bytes] = []
    size = 0
    poller = select.poll()
    poller.register(fd, select.POLLIN)
    while size <= _MAX_RESULT:
        left = deadline - time.monotonic()
        if left <= 0 or not poller.poll(left * 1000):
            return None
        part = os.read(fd, 1 << 20)
        if not part:
            return b"".join(parts)
        parts.append(part)
        size += len(part)
    return None
