"""The URL at which a table lies, when it does not lie in the home: what may be registered, before anything is opened."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from lineage.errors import BadInput, Conflict

__all__ = ["REMOTE", "checked_url"]

REMOTE = ("lance", "delta", "parquet")
"""The kinds whose files can lie in an object store."""
_LIBRARY = ("lance", "delta")
"""Those of them whose own library writes there."""
_TO_LIBRARY = ("s3", "s3a", "file", "local")
"""Where it does so as this Govern needs it: conditional commits, and a past that can be listed."""

_HINT = "govern dataset register NAME --kind parquet --url s3://BUCKET/FOLDER"


def checked_url(name: str, kind: str, url: Any, others: Iterable[Mapping[str, Any]]) -> str:
    """The URL without a slash at its end.

    Args:
        name: the dataset's.
        kind: what it is.
        url: as it was given.
        others: the records of all registered datasets.

    Raises:
        BadInput: no URL of a folder, a kind that cannot lie there, credentials in it (they would be kept with the registration).
        Conflict: another dataset lies there, above or below.

    >>> checked_url("people", "parquet", "s3://lake/people/", [])
    's3://lake/people'
    """
    if kind not in REMOTE:
        raise BadInput(f"dataset {name}: a dataset of kind {kind} lies in the home; only {', '.join(REMOTE)} takes a URL", hint=_HINT)
    try:
        parts = urlsplit(url)
        secret = parts.username is not None or parts.password is not None
    except (TypeError, ValueError, AttributeError):
        raise BadInput(f"dataset {name}: its URL cannot be read", hint=_HINT) from None
    if secret or parts.query or parts.fragment:
        raise BadInput(
            f"dataset {name}: its URL must not hold credentials or options: they would be kept in the ledger",
            hint="the store's own environment variables and files name them (AWS_ACCESS_KEY_ID, AWS_PROFILE, AWS_ENDPOINT_URL, …)",
        )
    if kind in _LIBRARY and parts.scheme and parts.scheme not in _TO_LIBRARY:
        raise BadInput(
            f"dataset {name}: a dataset of kind {kind} lies in the home or at s3://, not at {parts.scheme}://",
            hint=_HINT.replace("NAME", name),
        )
    folders = parts.path.strip("/").split("/")
    local = parts.scheme in {"file", "local"}  # three slashes: a name between them is another machine's
    if not parts.scheme or not folders[0] or local == bool(parts.netloc) or {"", ".", ".."} & set(folders):
        raise BadInput(f"dataset {name}: {url} names no folder", hint=_HINT)
    clean = f"{parts.scheme}://{parts.netloc}/{'/'.join(folders)}"
    for other in others:
        theirs = other.get("url")
        if theirs and other["name"] != name and (f"{clean}/".startswith(f"{theirs}/") or f"{theirs}/".startswith(f"{clean}/")):
            raise Conflict(f"dataset {name}: dataset {other['name']} lies at {theirs}", hint="give each dataset a folder of its own")
    return clean
