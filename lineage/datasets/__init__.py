"""Digests and committed row sets of dataset versions: pure, no store behind it."""

from __future__ import annotations

from lineage.datasets._absence import absence_file, verify_absence
from lineage.datasets._digest import ROW_ID, dataset_digest, row_hashes
from lineage.datasets._rowsets import (
    Membership,
    NonMembership,
    commitment,
    commitments,
    membership,
    non_membership,
    non_memberships,
    row_set,
    row_set_digest,
    verify_membership,
    verify_non_membership,
)

__all__ = [
    "ROW_ID",
    "Membership",
    "NonMembership",
    "absence_file",
    "commitment",
    "commitments",
    "dataset_digest",
    "membership",
    "non_membership",
    "non_memberships",
    "row_hashes",
    "row_set",
    "row_set_digest",
    "verify_absence",
    "verify_membership",
    "verify_non_membership",
]
