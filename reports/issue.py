"""Issue a paper: evidence, ledger, pages, signature, in this order.

1. The dossier becomes canonical evidence (RFC 8785), and is read back: the pages are rendered from what a reader will see.
2. The evidence's digest is entered in the ledger; its place is the anchor.
3. The pages are rendered with the anchor in their footer.
4. Evidence and envelope are attached, and the whole file is signed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from reports.codec import evidence_bytes, parse_evidence
from reports.evidence import ENVELOPE_NAME, EVIDENCE_NAME, Anchor, Signers, key_name, write_envelope
from reports.model import Dossier

__all__ = ["issue"]


def issue(dossier: Dossier, *, signers: Signers, anchor: Callable[[bytes], Anchor] | None) -> bytes:
    """The signed PDF.

    Args:
        dossier: what the paper says.
        signers: the keys; they stay in this process.
        anchor: given the 32 bytes of the evidence's SHA-256, enters them in the ledger and returns where
            (:func:`reports.evidence.anchor_in`). ``None`` issues a paper that says it is not anchored.

    Raises:
        BadInput: the dossier holds what JSON cannot, or the keys do not fit.
    """
    from reports.pdf import Seal, render_pdf, renderer
    from reports.sign import sign_pdf

    evidence = evidence_bytes(dossier)
    digest = hashlib.sha256(evidence).digest()
    anchored = None if anchor is None else anchor(digest)
    seal = Seal(evidence_sha256=digest, keyid=key_name(signers.evidence_public), anchor=anchored)
    pages = render_pdf(parse_evidence(evidence), seal)
    envelope = write_envelope(evidence, signers=signers, anchor=anchored, renderer=renderer())
    return sign_pdf(pages, {EVIDENCE_NAME: evidence, ENVELOPE_NAME: envelope}, signers)
