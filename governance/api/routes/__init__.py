"""Routes by subject; each module ends with its ``ROUTES``. A handler is one call of the facade."""

from __future__ import annotations
