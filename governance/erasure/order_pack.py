"""What stands in place of a law pack where an order is carried out: the grounds on which an asset can be kept back. Its day is its own."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from governance.erasure.law import Pack

__all__ = ["order_pack"]

_PACK: Final = """
pack: ORDER
version: 1
title: Order of an authority or a court
source: the order that the request names
status: in_force
effective_from: 1970-01-01
reviewed: 2026-11-21
zone: Etc/UTC
rules:
  answer: {says: carried out by the day that the order states, basis: statutory, source: the order, limit: {days: 1}}
identity: {expires: {days: 1}, basis: policy, source: no identity is asked for}
appeal: {limit: {days: 1}, basis: policy, source: no contact is kept}
grounds:
  excluded: {article: the order, says: the order excludes this asset}
  preserved: {article: a duty to preserve evidence, says: it must be preserved for a proceeding}
  stayed: {article: a decision of a court, says: the order is stayed or was set aside}
notices: {received: "{request}", refused: "{request}: {ground} ({article}). {reasons}", partial: "{request}: {reasons}",
  extended: "{request}: {due}. {reasons}", closed: "{request}: {outcome}"}
"""


@lru_cache(maxsize=1)
def order_pack() -> Pack:
    """The pack of every order; no request of a person can rest on it, for it is none of those that are listed."""
    from governance.erasure.law import parse_pack

    return parse_pack(_PACK)
