"""What a kill left behind, put right when a home is opened: files that nobody owns are removed, work that was entered is begun.

A kill can fall between any two lines. What is written in a transaction is whole or absent, and a workflow resumes by itself; what remains
is beside them: a scratch folder whose process is dead, a draft that never got its name, weights and checkpoints whose version was not
registered yet (no erasure could find them), and work that was entered in the ledger a moment before its workflow was started.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from governance.erasure.requests import Erasures
from governance.erasure.rotation import OPERATION as REKEY
from governance.erasure.states import FINAL
from governance.ports import Durable
from governance.registry.find import bodies
from governance.registry.models import CHECKPOINTS
from governance.registry.papers import file_name
from governance.workflows.auditing import WORKFLOW as AUDIT
from governance.workflows.training import WORKFLOW as TRAINING
from lineage.ports import Ledger

__all__ = ["resume", "sweep"]

_DRAFTS: Final = ("reports", "rowsets", "scopes", "snapshots", "snapshots/lineage")


def sweep(home: Path, ledger: Ledger) -> int:
    """Remove what no living process and no record refers to; returns how many files and folders. Only for who holds the home's lock.

    Whoever makes such a file again makes the same one: a paper is issued under its request's id, weights are a function of their inputs.
    """
    stray = list((home / "scratch").glob("*"))  # the lock is ours: whoever worked there is dead or about to be
    for folder in _DRAFTS:
        stray += (home / folder).glob("*.tmp")
    versions = [body for body in bodies(ledger, "version") if body["destroyed_at"] is None]
    living = {body["artifact"]["digest"].removeprefix("sha256:") for body in versions}
    stray += [path for path in (home / "artifacts").glob("*") if path.name not in living]
    made = {body["run_id"] for body in versions}
    stray += [path for path in (home / CHECKPOINTS).glob("*") if path.name not in made]
    issued = {file_name(body) for body in bodies(ledger, "report")}
    stray += [path for path in (home / "reports").glob("*.pdf") if path.name not in issued]
    running = {body["id"] for body in bodies(ledger, "erasure") if body["state"] not in FINAL}
    stray += [path for path in (home / "scopes").glob("*.json") if path.stem not in running]
    for path in stray:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    return len(stray)


def resume(ledger: Ledger, erasures: Erasures, engine: Durable) -> None:
    """Begin what was entered and not ended. A workflow that runs or has run under the same id is not started again."""
    for operation in bodies(ledger, "operation"):
        if operation["state"] in ("queued", "running") and operation["kind"] in (TRAINING, AUDIT, REKEY):
            engine.start(operation["kind"], f"{operation['kind']}:{operation['id']}", operation["id"])
    erasures.resume()
