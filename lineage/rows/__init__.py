"""Who a row belongs to: canonical identifiers of data subjects and their pseudonymous references.

The canonical identifier lives only at the door; everything inside holds references, HMACs under an epoch key that rotates
and whose destruction unlinks them (a pseudonym is still personal data: GDPR article 4(5)).
"""

from __future__ import annotations

from collections.abc import Iterable

from lineage.errors import NotFound
from lineage.ports import KeyStore
from lineage.rows.identifiers import RULES, canonical_subject, spelled

__all__ = ["RULES", "canonical_subject", "newest_refs", "subject_ref", "subject_refs", "suppression_refs"]

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
    newest = _epochs(keys)[0]
    rules = keys.canonicalisation(newest)
    return [_ref(keys, newest, spelled(canonical, rules)) for canonical in canonicals]


def subject_refs(keys: KeyStore, canonical: str) -> list[str]:
    """The references of a subject under every living epoch, newest first: a look-up must try them all.

    Each is made of the spelling under the rules of its epoch.

    Raises:
        NotFound: there is no living epoch key. BadInput: an epoch has older rules, and ``canonical`` is plain text that does not know
            its spelling under them; what :func:`canonical_subject` gives does.
    """
    return [_ref(keys, epoch, spelled(canonical, keys.canonicalisation(epoch))) for epoch in _epochs(keys)]


def suppression_refs(keys: KeyStore, canonical: str) -> list[str]:
    """The references under which the suppression list may hold a subject, the newest first: its key has no epochs, the rules changed.

    Who was put on the list under older rules stays on it: look for all of these, add the first.
    """
    spellings = dict.fromkeys(spelled(canonical, rules) for rules in range(RULES, 0, -1))
    return [_ref(keys, "suppression", spelling) for spelling in spellings]


def _epochs(keys: KeyStore) -> list[str]:
    epochs = keys.living(_EPOCHS)
    if not epochs:
        raise NotFound(
            "no living epoch key: subjects cannot be referred to",
            hint="put the folder keys of the home back from where it is kept; govern doctor",
        )
    return epochs


def _ref(keys: KeyStore, key: str, canonical: str) -> str:
    return keys.hmac(key, canonical.encode()).hex()[:_REF_CHARACTERS]
