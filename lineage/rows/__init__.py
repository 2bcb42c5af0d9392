"""Who a row belongs to: canonical identifiers of data subjects and their pseudonymous references.

The canonical identifier lives only at the door; everything inside holds references, HMACs under an epoch key that rotates
and whose destruction unlinks them (a pseudonym is still personal data: GDPR article 4(5)).
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable

from lineage.errors import BadInput, NotFound
from lineage.ports import KeyStore

__all__ = ["canonical_subject", "newest_refs", "subject_ref", "subject_refs"]

_TYPE = re.compile(r"[a-z][a-z0-9_]*")
_INTEGER = re.compile(r"[+-]?(0|[1-9][0-9]*)")
_MAX_LENGTH = 1024
_EPOCHS = "epoch-"
_REF_CHARACTERS = 32


def canonical_subject(type: str, value: str | float) -> str:  # noqa: A002 - the word of the request: {"type": …, "value": …}
    """The one spelling of a subject's identifier: ``<type>:<value>``, e.g. ``applicant:17``.

    Text is brought to Unicode NFC and stripped; a whole number is written without sign or decimals (``17``, ``"+17"`` and
    ``17.0`` are one subject; ``"017"`` is text, because two systems may give ``17`` and ``017`` to two people);
    ``email`` is lowercased, ``uuid`` lowercased without braces, ``phone`` keeps its digits and a leading plus.

    Raises:
        BadInput: the type is no name, or the value is empty, too long, no number, or holds a control character. The message
            never repeats the value.
    """
    if not isinstance(type, str) or not _TYPE.fullmatch(type):
        raise BadInput(f"subject type {type!r}: expected a name like applicant", hint="lower case letters, digits and _, a letter first")
    text = _text(type, value)
    if type == "email":
        text = text.lower()
    elif type == "uuid":
        text = text.lower().removeprefix("urn:uuid:").strip("{}")
    elif type == "phone":
        text = ("+" if text.startswith("+") else "") + "".join(c for c in text if c.isdigit())
    elif _INTEGER.fullmatch(text):
        text = str(int(text))
    if not text or len(text) > _MAX_LENGTH:
        raise BadInput(f"subject of type {type}: the value is {'empty' if not text else 'too long'}", hint="give 1 to 1024 characters")
    return f"{type}:{text}"


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
    return [_ref(keys, newest, canonical) for canonical in canonicals]


def subject_refs(keys: KeyStore, canonical: str) -> list[str]:
    """The references of a subject under every living epoch, newest first: a look-up must try them all.

    Raises:
        NotFound: there is no living epoch key.
    """
    return [_ref(keys, epoch, canonical) for epoch in _epochs(keys)]


def _epochs(keys: KeyStore) -> list[str]:
    epochs = keys.living(_EPOCHS)
    if not epochs:
        raise NotFound("no living epoch key: subjects cannot be referred to", hint="govern keys rotate epoch")
    return epochs


def _ref(keys: KeyStore, epoch: str, canonical: str) -> str:
    return keys.hmac(epoch, canonical.encode()).hex()[:_REF_CHARACTERS]


def _text(type_: str, value: str | float) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise BadInput(f"subject of type {type_}: the value is of type {type(value).__name__}", hint="give text or a whole number")
    if isinstance(value, float):
        if not math.isfinite(value) or value != int(value):
            raise BadInput(f"subject of type {type_}: the value is not a whole number", hint="give text or a whole number")
        value = int(value)
    text = unicodedata.normalize("NFC", str(value)).strip()
    if any(unicodedata.category(c) in {"Cc", "Cs"} for c in text):
        raise BadInput(f"subject of type {type_}: the value holds a control character", hint="give the plain identifier")
    return text
