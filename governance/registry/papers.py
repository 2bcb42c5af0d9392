"""Papers: a dossier compiled, its digest entered in the ledger, rendered, signed, kept, and its file's hash entered afterwards."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from governance.evidence import canonical, derived_id, new_id
from governance.registry.acts import SYSTEM, act
from governance.registry.find import bodies, must_find
from lineage.errors import BadInput, Conflict, NotFound, Tampered
from lineage.model import NewEntry
from lineage.ports import Clock, Ledger

if TYPE_CHECKING:
    from reports.evidence import Anchor, Signers
    from reports.model import Dossier

__all__ = ["TIMED", "Papers", "file_name"]

TIMED = frozenset({"model-trace", "dataset-impact"})
"""Papers that may be about another time than now."""


def file_name(record: Mapping[str, Any]) -> str:
    """The name of a paper's file: its id and the beginning of its hash.

    A process that was taken for dead may still write its own draft of the same paper: it is another file, and harms none.
    """
    return f"{record['id']}.{record['sha256'][:16]}.pdf"


class Papers:
    """Makes and keeps papers. ``compile`` maps a kind to what gives the dossier of a subject now."""

    def __init__(
        self,
        ledger: Ledger,
        clock: Clock,
        folder: Path,
        signers: Callable[[], Signers],
        checkpoint_key: Callable[[], bytes],
        *,
        compilers: Mapping[str, Callable[..., Dossier]],
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._folder = folder
        self._signers = signers
        self._checkpoint_key = checkpoint_key
        self._compilers = compilers
        self._issuing = threading.Lock()

    def create(self, body: Mapping[str, Any], *, actor: str = SYSTEM, idempotency: str | None = None) -> dict[str, Any]:
        """A paper about a subject as it stands now; the same ``idempotency`` key again answers the paper that was made then."""
        kind, subject = str(body.get("kind") or ""), str(body.get("subject") or "")
        if kind not in self._compilers:
            raise BadInput(f"kind must be one of {', '.join(sorted(self._compilers))}, not {kind!r}", hint="govern report --help")
        if not subject:
            raise BadInput("a report needs its subject", hint="govern report model-trace credit-risk")
        times = {name: body[name] for name in ("as_of", "known_at") if body.get(name) is not None}
        if times and kind not in TIMED:
            raise BadInput(f"a {kind} is about its own moment: it takes no as_of and no known_at", hint="govern report --help")
        if idempotency is None:
            return self.make(new_id(self._clock.now()), self._compilers[kind](subject, **times), actor=actor)
        asked = " ".join([kind, subject, *(f"{name}={at}" for name, at in times.items())])
        ident = derived_id("report", actor, idempotency)
        made = self._issued(ident)
        if made is not None and made.get("asked") != asked:
            raise Conflict("this Idempotency-Key was used for another report", hint="use a new key for new work")
        return made or self.make(ident, self._compilers[kind](subject, **times), actor=actor, asked=asked)

    def _issued(self, ident: str) -> dict[str, Any] | None:
        """The paper that was issued under an id, with its place in the ledger."""
        found, entry = self._ledger.record("report", ident), self._ledger.by_identity(f"report:{ident}")
        return None if found is None or entry is None else dict(found[0]) | {"ledger_index": entry.index}

    def make(self, ident: str, dossier: Dossier, *, actor: str = SYSTEM, asked: str | None = None) -> dict[str, Any]:
        """Issue a dossier under an id; the same id again answers the paper that is there, also to who asks at the same time."""
        with self._issuing:
            return self._issued(ident) or self._make(ident, dossier, actor, asked)

    def _make(self, ident: str, dossier: Dossier, actor: str, asked: str | None) -> dict[str, Any]:
        from reports.evidence import Anchor
        from reports.issue import issue

        anchored: dict[str, Any] = {}

        def anchor(evidence: bytes) -> Anchor:
            digest = "sha256:" + evidence.hex()
            entry = NewEntry(
                kind="govern.report.evidence",
                payload=canonical({"evidence": digest, "report": ident, "kind": dossier.kind}),
                actor=actor,
                identity=f"evidence:{ident}:{digest}",
            )
            kept = self._ledger.append([entry])[0]
            kept = self._ledger.entry(kept.index)
            if kept.payload is None or kept.salt is None:
                raise Tampered(f"ledger entry {kept.index} lost its payload", hint="govern ledger fsck")
            point = self._ledger.checkpoint()
            anchored.update(evidence=digest, index=kept.index)
            return Anchor(
                note=point.note,
                index=kept.index,
                size=point.size,
                proof=tuple(self._ledger.inclusion(kept.index, point.size)),
                kind=kept.kind,
                recorded_at=kept.recorded_at,
                actor=kept.actor,
                identity=kept.identity,
                salt=kept.salt,
                payload=kept.payload,
                checkpoint_key=self._checkpoint_key(),
            )

        pdf = issue(dossier, signers=self._signers(), anchor=anchor)
        record = {
            "id": ident, "kind": dossier.kind, "subject": dossier.subject, "asked": asked, "sha256": hashlib.sha256(pdf).hexdigest(),
            "evidence": anchored["evidence"], "evidence_index": anchored["index"], "created_at": self._clock.now(), "size": len(pdf),
        }  # fmt: skip
        path = self._folder / file_name(record)
        scratch = path.with_suffix(".tmp")
        scratch.write_bytes(pdf)
        scratch.replace(path)
        said = act("report.issued", actor=actor, records={("report", ident): record}, identity=f"report:{ident}")
        entry = self._ledger.append([said])[0]
        issued = must_find(self._ledger, "report", ident, what="report")
        if file_name(issued) != path.name:
            path.unlink()  # another process, which took this one for dead, was first: its paper is the one that counts
        return issued | {"ledger_index": entry.index}

    def certificate_id(self, request: str, round_: int) -> str:
        """The id of an erasure's certificate; each round that changes what is open has its own."""
        return derived_id("certificate", request, str(round_))

    def list(self) -> dict[str, Any]:
        """Papers, oldest first."""
        return {"reports": sorted(bodies(self._ledger, "report"), key=lambda body: body["created_at"])}

    def pdf(self, ident: str) -> bytes:
        """The file, checked against its hash in the ledger."""
        record = must_find(self._ledger, "report", ident, what="report")
        path = self._folder / file_name(record)
        if not path.exists():
            raise NotFound(f"the file of report {ident} is missing", hint="restore it; its hash is in the ledger")
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != record["sha256"]:
            raise Tampered(
                f"the file of report {ident} is not the one whose hash is in the ledger", hint=f"govern verify {path.name} says which part"
            )
        return data
