"""Errors of training and serving user code.

::

    GovernError
    └── ChildFailed        user code did not do what was asked; ``reason`` is one sentence without row values
        ├── ChildDied      its process ended (exit, signal, out of memory)
        └── ChildTimeout   it did not answer in time
    BadInput
    ├── BadFeature         a raw feature is missing, of another type, or holds what the model does not know
    ├── BadSnapshot        a code snapshot cannot be made or unpacked
    └── BadModule          the module named by ``entrypoint`` does not keep the contract
"""

from __future__ import annotations

from lineage.errors import BadInput, GovernError

__all__ = ["BadFeature", "BadModule", "BadSnapshot", "ChildDied", "ChildFailed", "ChildTimeout"]


class ChildFailed(GovernError):
    """User code raised, or broke the protocol. The message holds types and places, never values."""


class ChildDied(ChildFailed):
    """The subprocess ended before it answered."""


class ChildTimeout(ChildFailed):
    """The subprocess did not answer in time."""


class BadSnapshot(BadInput):
    """A code snapshot that cannot be made or must not be unpacked."""


class BadModule(BadInput):
    """The user's module lacks a function of the contract, or returned something else than it promises."""


class BadFeature(BadInput):
    """A raw feature is missing, of another type, or holds what the model does not know. Names the feature, never the value."""
