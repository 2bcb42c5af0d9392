"""Whose task it is: the owner of something elsewhere, as the ownership facet states it and as owners are declared here. Pure.

An owner is declared as a recipient of the role ``owner`` (:mod:`governance.erasure.recipients`) for

* ``owner:NAME``: whatever an ownership facet says to be NAME's, for example ``owner:team:risk``;
* ``namespace:NAMESPACE``: whatever lies in an OpenLineage namespace;
* ``owner:*``: everything else, the default owner.

A facet may name a person (``user:jdoe``, an address, a bare ``jdoe``). Only names of the form ``kind:name`` whose kind is no person's
(``team:risk``, ``application:scoring``) are copied; of any other the task says that it is in the event alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

__all__ = ["DEFAULT", "WITHHELD", "is_owned", "owner_for", "owner_names"]

DEFAULT: Final = "owner:*"
"""What the default owner is declared for."""
WITHHELD: Final = "named in the event alone"
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,31}:[A-Za-z0-9][A-Za-z0-9_./:-]{0,99}")
_PERSON: Final = re.compile(r"(?i)(users?|persons?|people|e?-?mails?|mailto|employees?|urn:li:corpuser|cn|uid)[:/]")
_NAMESPACE: Final = re.compile(r"namespace:[^\s@]{1,200}")
_MOST: Final = 20


def owner_names(facet: object) -> list[str]:
    """The names that an ownership facet states, without what may be a person's; at most twenty, each once, sorted.

    >>> owner_names({"owners": [{"name": "team:risk", "type": "STEWARD"}, {"name": "user:jdoe"}, {"name": "a@example.org"}]})
    ['named in the event alone', 'team:risk']
    >>> owner_names({"owners": "nobody"})
    []
    """
    listed = facet.get("owners") if isinstance(facet, Mapping) else None
    names = {str(one["name"]) for one in listed if isinstance(one, Mapping) and one.get("name")} if isinstance(listed, list) else set()
    return sorted({name if _is_plain(name) else WITHHELD for name in names})[:_MOST]


def _is_plain(name: str) -> bool:
    return bool(_NAME.fullmatch(name)) and not _PERSON.match(name)


def is_owned(asset: str) -> bool:
    """Whether an owner can be declared for it.

    >>> [is_owned(asset) for asset in ("owner:team:risk", "namespace:s3://lake", "owner:*", "owner:user:jdoe", "owner:jdoe")]
    [True, True, True, False, False]
    """
    return asset == DEFAULT or bool(_NAMESPACE.fullmatch(asset)) or (asset.startswith("owner:") and _is_plain(asset.removeprefix("owner:")))


def owner_for(
    namespace: str, stated: Iterable[str], declared: Callable[[str], Mapping[str, Any] | None]
) -> tuple[Mapping[str, Any] | None, str, str]:
    """(the declared owner or ``None``, what the owner is called, on what that rests).

    Args:
        namespace: of what lies elsewhere.
        stated: :func:`owner_names` of its ownership facets.
        declared: (``owner:…`` or ``namespace:…``) → the first declared for it.

    >>> risk = {"id": "r1", "name": "Risk team"}
    >>> owner_for("s3://lake", ["team:risk"], {"owner:team:risk": risk}.get)[1:]
    ('Risk team', 'ownership facet')
    >>> owner_for("s3://lake", ["team:x"], {"owner:*": risk}.get)[1:]
    ('Risk team', 'default owner')
    >>> owner_for("s3://lake", ["team:x"], {}.get)
    (None, 'team:x', 'ownership facet; not declared here')
    """
    names = list(stated)
    for name in names:
        if (found := declared(f"owner:{name}")) is not None:
            return found, str(found["name"]), "ownership facet"
    if (found := declared(f"namespace:{namespace}")) is not None:
        return found, str(found["name"]), "declared for the namespace"
    if (found := declared(DEFAULT)) is not None:
        return found, str(found["name"]), "default owner"
    return (
        (None, ", ".join(names), "ownership facet; not declared here")
        if names
        else (None, "nobody known", "no owner is stated or declared")
    )
