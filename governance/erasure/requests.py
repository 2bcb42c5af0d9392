"""The erasure service: each door of a request's life, each one a state change in the ledger with its actor and reason.

::

    Records     the record, its states, its changes           records.py
    Intake      received; acknowledged                        intake.py
    Identity    asked for, shown; scope searched, frozen      identity.py
    Review      approved, refused, withdrawn, extended        review.py
    Holds       an asset kept for now, released               holds.py
    Orders      a dataset and all that descends from it       orders.py
    Lifting     an erased person comes back                   lifting.py
    Deadlines   alerts, expiry, messages, shredding           deadlines.py
"""

from __future__ import annotations

from governance.erasure.deadlines import Deadlines
from governance.erasure.identity import Identity
from governance.erasure.intake import Intake
from governance.erasure.lifting import Lifting
from governance.erasure.orders import Orders
from governance.erasure.review import Review

__all__ = ["Erasures"]


class Erasures(Intake, Identity, Orders, Review, Lifting, Deadlines):
    """Requests of erasure. ``enqueue(request, round)`` starts the durable work; identifiers of persons never leave this class."""
