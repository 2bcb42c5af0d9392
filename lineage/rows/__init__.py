"""Who a row belongs to: canonical identifiers of data subjects and their pseudonymous references.

The canonical identifier lives only at the door; everything inside holds references, HMACs under an epoch key that rotates
and whose destruction unlinks them (a pseudonym is still personal data: GDPR article 4(5)).
"""

from __future__ import annotations

from collections.abc import Iterable

from lineage.errors import NotFound
from lineage.ports import KeyStore
from lineage.rows.identifiers import RULES, Canonical, canonical_subject, spelled

__all__ = [
    "RULES",
    "Canonical",
    "canonical_subject",
    "living_epochs",
    "newest_refs",
    "refs_by_epoch",
    "refs_under",
    "subject_ref",
    "subject_refs",
    "suppression_refs",
]

_EPOCHS = "epoch-"
_REF_CHARACTERS = 32


def subject_ref(keys: KeyStore, canonical: str) -> str:
    """The reference of a subject under the newest epoch: the first 32 hex characters of HMAC-SHA256(epoch key, canonical id).

    Raises:
        NotFound: there is no living epoch key.
    """
    return newest_refs(keys, [canonical])[0]


def newest_refs(keys: KeyStore, canonicals: Iterable[str]) -> list[str]:
    """:func:`subject_ref` of each subject in order, for many rows at once: the newest epoch is looked up a single time.

    Raises:
        NotFound: there is no living epoch key.
    """
    return refs_under(keys, living_epochs(keys)[0], canonicals)


def refs_under(keys: KeyStore, epoch: str, canonicals: Iterable[str]) -> list[str]:
    """The reference of each subject in order under one epoch, each made of the spelling under the epoch's rules.

    Raises:
        NotFound: there is no such key. Gone: it was destroyed. BadInput: as in :func:`subject_refs`.
    """
    rules = keys.canonicalisation(epoch)
    return [_ref(keys, epoch, spelled(canonical, rules)) for canonical in canonicals]


def subject_refs(keys: KeyStore, canonical: str) -> list[str]:
    """The references of a subject under every living epoch, newest first: a look-up must try them all.

    Each is made of the spelling under the rules of its epoch.

    Raises:
        NotFound: there is no living epoch key. BadInput: an epoch has older rules, and ``canonical`` is plain text that does not know
            its spelling under them; what :func:`canonical_subject` gives does.
    """
    return list(refs_by_epoch(keys, canonical).values())


def refs_by_epoch(keys: KeyStore, canonical: str) -> dict[str, str]:
    """Living epoch → the reference of a subject under it, the newest first: :func:`subject_refs` with their epochs."""
    return {epoch: refs_under(keys, epoch, [canonical])[0] for epoch in living_epochs(keys)}


def suppression_refs(keys: KeyStore, canonical: str) -> list[str]:
    """The references under which the suppression list may hold a subject, the newest first: its key has no epochs, the rules changed.

    Who was put on the list under older rules stays on it: look for all of these, add the first.
    """
    spellings = dict.fromkeys(spelled(canonical, rules) for rules in range(RULES, 0, -1))
    return [_ref(keys, "suppression", spelling) for spelling in spellings]


def living_epochs(keys: KeyStore) -> list[str]:
    """The names of the living epoch keys, the newest first.

    Raises:
        NotFound: there is none.
    """
    epochs = keys.living(_EPOCHS)
    if not epochs:
        raise NotFound(
            "no living epoch key: subjects cannot be referred to",
            hint="put the folder keys of the home back from where it is kept; govern doctor",
        )
    return epochs


def _ref(keys: KeyStore, key: str, canonical: str) -> str:
    return keys.hmac(key, canonical.encode()).hex()[:_REF_CHARACTERS]
