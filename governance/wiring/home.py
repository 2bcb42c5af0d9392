"""The folder of a home: what says that it is one, and how one is made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from governance.adapters.home_copy import MANIFEST
from governance.evidence import new_id
from lineage.adapters.file_keys import FileKeyStore
from lineage.adapters.home import require_space
from lineage.errors import Conflict, Incomplete, NotFound, StoreUnavailable
from lineage.ports import Clock

__all__ = ["FOLDERS", "SCHEMA_VERSION", "describe", "make_folder"]

SCHEMA_VERSION = 1
"""Of the home's layout; a newer home is refused."""

FOLDERS = ("keys", "public", "datasets", "landing", "artifacts", "snapshots", "rowsets", "reports", "scopes", "scratch")


def make_folder(home: Path, clock: Clock, *, ledger: str = "sqlite") -> None:
    """Make the folder of a home with its keys; no store yet. ``ledger`` says where that one and the row index will lie.

    Raises:
        Conflict: there is a home already. StoreUnavailable: the folder cannot be written, or the disk is full.
    """
    if (home / "govern.json").exists():
        raise Conflict(f"{home} is a home already", hint=f"govern serve --home {home}")
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        home.chmod(0o700)
        for folder in FOLDERS:
            if folder != "keys":
                (home / folder).mkdir(exist_ok=True, mode=0o700)
        require_space(home, 64 * 1024 * 1024)
        installation = new_id(clock.now()).replace("-", "")[-12:]
        FileKeyStore.create(home / "keys", name=f"Govern {installation}", clock=clock)
        written = home / "govern.json.tmp"
        said = {"installation": installation, "schema_version": SCHEMA_VERSION, "created_at": clock.now(), "ledger": ledger, "rows": ledger}
        written.write_text(json.dumps(said))
        written.replace(home / "govern.json")
    except OSError as error:
        raise StoreUnavailable(f"the home {home} cannot be made: {error.strerror}", hint="choose another folder with --home") from error


def describe(home: Path, *, restoring: bool = False) -> dict[str, Any]:
    """What ``govern.json`` says.

    Raises:
        NotFound: there is no home. StoreUnavailable: it was made by a newer Govern.
        Incomplete: it is a backup whose restore has not ended (unless ``restoring``): what was erased since is in it.
    """
    path = home / "govern.json"
    if not restoring and (home / MANIFEST).exists():
        raise Incomplete(
            f"{home} was restored from a backup, and what was erased since it was made is still in it: it serves nobody",
            hint=f"govern restore --into {home} --replay LIST (made by: govern erasure export-suppression)",
        )
    if not path.exists():
        raise NotFound(f"{home} is no home", hint=f"govern init --home {home}")
    described: dict[str, Any] = json.loads(path.read_text())
    if described["schema_version"] > SCHEMA_VERSION:
        raise StoreUnavailable(f"{home} was made by a newer Govern (schema {described['schema_version']})", hint="install that version")
    return described
