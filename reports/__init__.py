"""What is shown: one document model rendered to PDF, HTML and JSON, signed so that a reader needs nobody's server."""

from __future__ import annotations

from reports.codec import dossier_from_json, dossier_to_json
from reports.evidence import Anchor, Signers
from reports.html import render_html
from reports.issue import issue
from reports.verify import TrustedKeys, Verification, verify

__all__ = [
    "Anchor",
    "Signers",
    "TrustedKeys",
    "Verification",
    "dossier_from_json",
    "dossier_to_json",
    "issue",
    "render_html",
    "verify",
]
