"""An office that issues papers with real keys and a real ledger, for the tests of reports and dossiers."""

from __future__ import annotations

import base64
import functools
import json
import tempfile
from pathlib import Path
from typing import Any

from lineage.adapters.file_keys import FileKeyStore
from lineage.adapters.sql_ledger import SqlLedger
from lineage.model import NewEntry
from reports import Anchor, Signers, TrustedKeys, issue
from reports.evidence import anchor_entry, anchor_in
from reports.model import Basis, Dossier, Drawing, Fact, Facts, Note, Section, Table
from tests.support.rows_keys import TickingClock

GOLDEN = Path(__file__).parent.parent / "golden" / "dossier"
AS_OF = 1_795_500_000_000_000_000
ORIGIN = "govern.example/test"


class Office:
    """Keys and a ledger in a temporary folder that lives as long as the process."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        folder = Path(self._folder.name)
        self.keys = FileKeyStore.create(folder / "keys")
        self.ledger = SqlLedger(folder / "ledger.db", keys=self.keys, origin=ORIGIN, clock=TickingClock())
        self.ledger.append([NewEntry(kind="govern.test.noted", payload=b"{}", actor="system") for _ in range(5)])

    @property
    def signers(self) -> Signers:
        return Signers(
            pdf_key_pem=self.keys.secret("pdf"),
            pdf_certificate_pem=self.keys.certificate("pdf"),
            sign_evidence=functools.partial(self.keys.sign_ed25519, "evidence"),
            evidence_public=self.keys.public_ed25519("evidence"),
        )

    def anchor(self, digest: bytes) -> Anchor:
        entry = anchor_entry(digest, kind="model-trace", subject="credit-risk@2", actor="system")
        return anchor_in(self.ledger, entry, checkpoint_key=self.keys.public_ed25519("checkpoint"))

    def issue(self, dossier: Dossier, *, anchored: bool = True) -> bytes:
        return issue(dossier, signers=self.signers, anchor=self.anchor if anchored else None)

    def public(self) -> dict[str, Any]:
        return {
            "installation": "test",
            "checkpoint": {"name": ORIGIN, "key": base64.b64encode(self.keys.public_ed25519("checkpoint")).decode()},
            "evidence": {"keyid": "evidence", "key": base64.b64encode(self.keys.public_ed25519("evidence")).decode()},
            "pdf": {"certificate": self.keys.certificate("pdf").decode()},
        }

    def trusted(self) -> TrustedKeys:
        return TrustedKeys.from_json(self.public())


@functools.cache
def office() -> Office:
    return Office()


@functools.cache
def other_office() -> Office:
    return Office()


@functools.cache
def paper() -> bytes:
    """One issued paper, anchored; never changed by a test."""
    return office().issue(sample())


def golden(name: str) -> dict[str, Any]:
    return json.loads((GOLDEN / f"{name}.json").read_text())


def sample(*, sections: tuple[Section, ...] | None = None, **changes: Any) -> Dossier:
    """A small dossier with a block of each kind."""
    facts = Facts(
        items=(
            Fact(label="Model", value="credit-risk", basis=Basis.COMPUTED, source="registry"),
            Fact(label="Weights", value="sha256:" + "ab" * 32, basis=Basis.COMPUTED),
            Fact(label="Owner", value="credit-analytics", basis=Basis.DECLARED, source="govern.yaml"),
            Fact(label="Rows", value=12_345, basis=Basis.COMPUTED),
            Fact(label="Threshold", value=1.0, basis=Basis.COMPUTED),
            Fact(label="Purpose", value=None, basis=Basis.GAP, source="nobody declared it"),
        )
    )
    drawing = Drawing(
        nodes=(("a", "credit.raw @ 1", "dataset"), ("b", "credit/parse", "run"), ("c", "credit-risk @ 2", "model")),
        edges=(("a", "b", "input to"), ("b", "c", "produced")),
        caption="From file to model.",
    )
    table = Table(
        columns=("Gate", "Outcome", "Observed"), rows=(("performance", "pass", 0.25), ("fairness", "fail", None)), caption="Gates."
    )
    blocks = (facts, drawing, table, Note(text="A note in plain words.", tone="warn"))
    values: dict[str, Any] = {
        "kind": "model-trace",
        "title": "What made credit-risk@2",
        "subject": "credit-risk@2",
        "verdict": "Every step is known.",
        "tone": "good",
        "as_of": AS_OF,
        "installation": "test",
        "generator": "govern 0.1.0",
        "sections": sections if sections is not None else (Section(title="All kinds", blocks=blocks),),
        "limits": ("It does not show that the data were lawful.",),
        "data": {"big": 2**60, "level": "L1"},
    }
    return Dossier(**(values | changes))
