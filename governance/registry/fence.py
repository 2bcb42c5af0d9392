"""Fencing: of two processes that believe a piece of work to be theirs, only the later one's writes count.

Whoever begins or resumes a piece of work takes a token: a number in the work's own record, one higher than the last. Inside
:func:`held` every transaction that changes records on behalf of the work makes the check of :func:`guard` first: in the same
transaction as the effect's record the token in the work's record must still be the one that was taken. A process that was taken for
dead and wakes late meets :class:`~governance.errors.Superseded` there, and has written nothing.
(Kleppmann, "How to do distributed locking", 2016, calls the number a fencing token.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from governance.errors import Superseded
from governance.registry.acts import SYSTEM, act
from governance.registry.find import must_find
from lineage.ports import Ledger, LedgerTx

__all__ = ["guard", "held", "take"]

_TOKENS: ContextVar[Mapping[tuple[str, str], int]] = ContextVar("fencing tokens", default={})  # noqa: B039 - replaced, never changed


def take(ledger: Ledger, kind: str, ident: str) -> int:
    """A new token of the record; every older one is void from now on."""

    def work(tx: LedgerTx) -> int:
        body = must_find(tx, kind, ident, what=kind)
        token = int(body.get("fence") or 0) + 1
        tx.append(act(f"{kind}.taken", actor=SYSTEM, records={(kind, ident): body | {"fence": token}}))
        return token

    return ledger.transact(work)


@contextmanager
def held(kind: str, ident: str, token: int) -> Iterator[None]:
    """Inside, :func:`guard` holds this thread's work to the token (threads started inside need ``contextvars.copy_context``)."""
    before = _TOKENS.set({**_TOKENS.get(), (kind, ident): token})
    try:
        yield
    finally:
        _TOKENS.reset(before)


def guard() -> Callable[[LedgerTx | Ledger], None]:
    """The check to make inside a transaction, with the tokens that this thread holds now (the ledger's writer is another thread).

    It does nothing when no token is held or each is still the newest of its record; else it raises
    :class:`~governance.errors.Superseded`, and the transaction writes nothing.
    """
    tokens = _TOKENS.get()

    def check(source: LedgerTx | Ledger) -> None:
        for (kind, ident), token in tokens.items():
            found = source.record(kind, ident)
            if found is None or found[0].get("fence") != token:
                raise Superseded(f"{kind} {ident} was taken over by another process; this one has done nothing more")

    return check
