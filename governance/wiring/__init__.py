"""The one place where adapters are chosen and the pieces of a home are put together."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from governance.registry.access import ROLES
from governance.settings import Settings
from governance.wiring import ownership
from governance.wiring.home import SCHEMA_VERSION, describe, make_folder
from governance.wiring.ledgers import database_facts, free_database, ledger_kind
from governance.wiring.ownership import Ownership
from governance.wiring.system import System
from lineage.clock import SystemClock
from lineage.ports import Clock

__all__ = ["SCHEMA_VERSION", "System", "database_facts", "init_home", "open_system", "owners", "stand_by"]


def init_home(home: Path, *, clock: Clock | None = None) -> dict[str, Any]:
    """Make a home: keys, stores, and the first admin key, told this once.

    Returns:
        ``{home, installation, api_key}``.

    Raises:
        Conflict: there is a home, or a ledger in the database, already. StoreUnavailable: the folder cannot be written, the disk is full,
            or the database cannot be used.
    """
    settings = Settings.read()
    free_database(settings)  # before anything is made
    make_folder(home, clock or SystemClock(), ledger=ledger_kind(settings))
    with System(home, worker=False, settings=settings) as system:
        created = system.keys.create("first admin", list(ROLES))
        public = home / "public" / "keys.json"
        public.write_text(json.dumps(system.keys.public(), indent=2) + "\n")
        (home / "public" / "certificate.pem").write_bytes(system.keystore.certificate("pdf"))
    return {"home": str(home), "installation": system.installation, "api_key": created["api_key"]}


def open_system(home: Path, *, worker: bool = True, owned: Ownership | None = None) -> System:
    """Open a home and own it until it is closed; with ``worker``, what a crash interrupted is resumed at once.

    ``owned``: what :func:`stand_by` gave.
    """
    return System(home, worker=worker, owned=owned)


def stand_by(home: Path, *, seen: Callable[[dict[str, Any] | None], None], stopped: Callable[[], bool]) -> Ownership | None:
    """Wait until nobody owns the home, or its owner is frozen, and own it then; ``None`` when ``stopped`` said so before.

    Args:
        home: the folder.
        seen: told the owner, as :func:`owners` shows it, at first and when another one is there.
        stopped: asked every second.

    Raises:
        NotFound: there is no home. StoreUnavailable: it, or its database, cannot be used.
    """
    return ownership.stand_by(Settings.read(), home, describe(home), seen=seen, stopped=stopped)


def owners(home: Path) -> dict[str, Any]:
    """Who owns the home and who stands by (:func:`governance.wiring.ownership.owners`)."""
    return ownership.owners(Settings.read(), home)
