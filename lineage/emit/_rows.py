"""Which rows were read, without saying which: a committed set, made with a secret of whoever owns the rows."""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from dataclasses import dataclass

from lineage.datasets import row_set_digest
from lineage.errors import BadInput

__all__ = ["RowSet", "row_set"]

_SHORTEST = 16
"""Bytes of a secret below which guessing it is easier than it should be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowSet:
    """A set of rows as a digest and a count."""

    digest: str
    """``rs1:<hex>``: the RFC 6962 root over the sorted commitments."""
    count: int
    """Rows in the set."""
    uri: str | None = None
    """Where the commitments lie, if anywhere."""
    key_columns: tuple[str, ...] = ()
    """Names of the columns whose values identify a row."""


def row_set(
    identifiers: Iterable[str | int], *, dataset: str, secret: bytes, key_columns: Iterable[str] = (), uri: str | None = None
) -> RowSet:
    """The committed set of the rows with these identifiers; one that is named twice counts once.

    A commitment is HMAC-SHA256 under ``secret`` of dataset ‖ 0x00 ‖ kind ‖ identifier. A plain hash would not do: customer numbers
    and addresses are few enough to be tried one by one. Keep the secret, and the same for all sets that are to be compared.

    Raises:
        BadInput: the secret is shorter than 16 bytes, or an identifier is neither text nor a whole number.

    >>> orders = row_set(["7", "8"], dataset="orders", secret=b"sixteen bytes or")
    >>> orders.count, orders == row_set(["8", "7", "7"], dataset="orders", secret=b"sixteen bytes or")
    (2, True)
    """
    if len(secret) < _SHORTEST:
        raise BadInput(
            f"the secret of a row set has {len(secret)} bytes, fewer than {_SHORTEST}: make one with secrets.token_bytes(32) and keep it",
            hint="python -c 'import secrets; print(secrets.token_hex(32))'",
        )
    commitments = sorted({_commitment(secret, dataset, identifier) for identifier in identifiers})
    return RowSet(digest=row_set_digest(commitments), count=len(commitments), uri=uri, key_columns=tuple(key_columns))


def _commitment(secret: bytes, dataset: str, identifier: str | int) -> bytes:
    """Numbers and texts are apart, so that 7 and "7" are two rows."""
    if isinstance(identifier, bool) or not isinstance(identifier, str | int):
        raise BadInput(
            f"a row of {dataset} is identified by a {type(identifier).__name__}, not by a text or a whole number",
            hint="pass the values of the key column, e.g. frame['customer_id'].tolist()",
        )
    kind = b"s" if isinstance(identifier, str) else b"i"
    return hmac.digest(secret, dataset.encode() + b"\x00" + kind + str(identifier).encode(), "sha256")
