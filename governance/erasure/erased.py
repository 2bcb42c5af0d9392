"""The list of what was erased, signed: what a restored backup must do again before it serves.

A backup knows nothing of what was erased after it was made. The list does: every request as it stands, the suppression list, the
commitments of the erased rows (keyed hashes: with the key of the row sets they tell the rows, without it nothing), the ids of erased
predictions and destroyed model versions, what was redacted, which keys were revoked or destroyed. No identifier of a person is in it; its
references are pseudonyms, so the file is personal data still (GDPR article 4(5)) and is kept like the ledger.

The file is ``{"note", "statement"}``: the note is signed with the key of the checkpoints over the digest of the statement, under a purpose
of its own (as :mod:`lineage.retention.manifest` does), and cannot be taken for a checkpoint.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from governance.erasure.rotation import MADE
from governance.evidence import canonical, digest_json
from governance.ports import PredictionStore
from governance.registry.datasets import Datasets
from governance.registry.find import bodies
from lineage.errors import BadInput, NotFound, StoreUnavailable, Tampered
from lineage.ledger.entries import REDACTED
from lineage.ledger.notes import sign_note, verify_note
from lineage.model import LedgerEntry
from lineage.ports import Clock, KeyStore, Ledger

__all__ = ["CARRIED", "RESTORED", "SHREDDED", "ErasedList", "opened"]

_FORMAT = 1
_PURPOSE = "suppression-list"
_KEY = "checkpoint"
_PAGE = 1000

SHREDDED = "govern.epoch.destroyed"
"""Kind of the entry that says that an epoch key was destroyed."""
RESTORED = "govern.home.restored"
"""Kind of the entry with which a restored ledger goes on: where two histories part."""
CARRIED = ("suppression", "hold", "incident", "task", "backup")
"""Kinds of control records that are carried over as they are."""


class ErasedList:
    """Makes the list of one home as it stands now."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        keys: KeyStore,
        clock: Clock,
        datasets: Datasets,
        predictions: PredictionStore,
        installation: str,
        origin: str,
    ) -> None:
        self._ledger = ledger
        self._keys = keys
        self._clock = clock
        self._datasets = datasets
        self._predictions = predictions
        self._installation = installation
        self._origin = origin

    def export(self) -> bytes:
        """The signed file. Signs a checkpoint too, so that the list says of which ledger it is."""
        checkpoint = self._ledger.checkpoint()
        requests = bodies(self._ledger, "erasure")
        row_sets, unknown = self._row_sets(requests)
        statement = {
            "format": _FORMAT,
            "installation": self._installation,
            "made_at": self._clock.now(),
            "size": checkpoint.size,
            "checkpoints": [{"size": one.size, "root": one.root.hex(), "note": one.note} for one in self._ledger.checkpoints()],
            "requests": requests,
            "records": {kind: bodies(self._ledger, kind) for kind in CARRIED},
            "row_sets": row_sets,
            "row_sets_not_kept": unknown,
            "predictions": dict(self._predictions.erased()),
            "versions": [_version(body) for body in bodies(self._ledger, "version") if body["destroyed_at"] is not None],
            "cases": sorted(body["id"] for body in bodies(self._ledger, "case") if body["void"] is not None),
            "keys_revoked": sorted(body["id"] for body in bodies(self._ledger, "key") if body["revoked_at"] is not None),
            "epochs_made": sorted({json.loads(entry.payload)["detail"]["epoch"] for entry in self._of(MADE)}),
            "epochs_destroyed": sorted(json.loads(entry.payload)["detail"]["epoch"] for entry in self._of(SHREDDED)),
            "redactions": [json.loads(entry.payload) for entry in self._of(REDACTED)],
            "restorations": [[entry.index, entry.leaf.hex()] for entry in self._of(RESTORED)],
        }
        said = {"made_at": statement["made_at"], "sha256": digest_json(statement), "size": checkpoint.size}
        name = f"{self._origin}/{_PURPOSE}"
        note = sign_note(
            f"{name}\n{canonical(said).decode()}\n",
            name=name,
            public=self._keys.public_ed25519(_KEY),
            sign=lambda message: self._keys.sign_ed25519(_KEY, message),
        )
        return canonical({"note": note, "statement": statement}) + b"\n"

    def _row_sets(self, requests: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], list[str]]:
        """Digest → dataset and commitments of the rows that approved requests erased, and the digests that are not kept here."""
        kept: dict[str, Any] = {}
        unknown: set[str] = set()
        for request in requests:
            for asset in request["assets"]:
                digest = asset["detail"].get("row_set")
                if asset["kind"] != "dataset" or not digest or not request.get("approved"):
                    continue
                try:
                    listed = [item.hex() for item in self._datasets.commitments(digest)]
                except NotFound:
                    unknown.add(digest)
                    continue
                kept[digest] = {"dataset": asset["detail"]["dataset"], "commitments": listed}
        return kept, sorted(unknown)

    def _of(self, kind: str) -> list[Any]:
        """Every entry of a kind that still has its payload."""
        found: list[LedgerEntry] = []
        start = 0
        while page := self._ledger.entries(start, _PAGE, kind):
            found += [entry for entry in page if entry.payload is not None]
            start = page[-1].index + 1
        return found


def opened(data: bytes, *, origin: str, public: bytes) -> dict[str, Any]:
    """The statement of a list once its signature was verified; ``digest`` is added to it.

    Raises:
        BadInput: it is no such list. Tampered: it is not signed by this key, or was altered.
        StoreUnavailable: a newer Govern wrote it.
    """
    name = f"{origin}/{_PURPOSE}"
    try:
        body = json.loads(data)
        note, statement = str(body["note"]), dict(body["statement"])
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput("this is no list of what was erased", hint="make one: govern erasure export-suppression FILE") from error
    said = json.loads(verify_note(note, name=name, public=public).removeprefix(f"{name}\n"))
    if said["sha256"] != digest_json(statement):
        raise Tampered("the list of what was erased was altered after it was signed", hint="take the file as it was exported")
    if statement["format"] > _FORMAT:
        raise StoreUnavailable(f"the list has format {statement['format']}; this Govern reads {_FORMAT}", hint="use the newer Govern")
    return statement | {"digest": said["sha256"]}


def _version(body: Mapping[str, Any]) -> dict[str, Any]:
    return {field: body[field] for field in ("model", "version", "run_id", "destroyed_by")}
