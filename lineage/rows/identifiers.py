"""Canonical identifiers of data subjects: one spelling for each person, whoever wrote it down.

The rules have a version, and each epoch key says under which version its references were made
(:meth:`lineage.ports.KeyStore.canonicalisation`): what an old epoch refers to is still found when the rules have changed.

1. Unicode NFC, stripped; whole numbers plain; ``email`` lower case; ``uuid`` lower case, bare; ``phone`` its digits and a leading plus.
2. As 1, but Unicode NFKC (UAX #15), so that full-width and ligature forms are the plain ones; the host of an ``email`` in its ASCII form
   (UTS #46) without a trailing dot; ``phone`` in E.164; identifiers of several parts.

The local part of an e-mail address is lower case under both. RFC 5321 §2.4 lets a host tell ``Ada`` from ``ada``, warns against it, and
no provider of note does; a person who writes either expects to be found. Dots and ``+tags`` stay: what they mean is the provider's own.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Sequence
from typing import Final, Literal, Self

from lineage.errors import BadInput

__all__ = ["RULES", "Canonical", "canonical_subject", "spelled"]

RULES: Final = 2
"""The newest version of the rules, under which new epochs are made."""

_TYPE = re.compile(r"[a-z][a-z0-9_]*")
_INTEGER = re.compile(r"[+-]?(0|[1-9][0-9]*)")
_REGION = re.compile(r"[A-Z]{2}")
_MAX_LENGTH = 1024
_NUMBER_HINT = "give it with its country code (+49 …), or say the region"


class Canonical(str):
    """The spelling under the newest rules, which knows those under the older ones."""

    __slots__ = ("_older",)
    _older: tuple[str, ...]

    def __new__(cls, newest: str, *older: str) -> Self:
        """``older``: the spellings under version 1, 2 … of the rules, but for the newest."""
        made = super().__new__(cls, newest)
        made._older = older
        return made

    def under(self, rules: int) -> str:
        """The spelling under a version of the rules."""
        return str(self) if rules == RULES else self._older[rules - 1]


def spelled(canonical: str, rules: int) -> str:
    """The spelling of an identifier under a version of the rules.

    Raises:
        BadInput: the version is not known, or this is text that does not know its older spellings.
    """
    if rules == RULES:
        return str(canonical)
    if isinstance(canonical, Canonical) and 1 <= rules < RULES:
        return canonical.under(rules)
    raise BadInput(f"there is no spelling of this identifier under version {rules} of the rules", hint="use lineage.rows.canonical_subject")


def canonical_subject(
    type: str,  # noqa: A002 - the word of the request: {"type": …, "value": …}
    value: str | float | Sequence[str | float],
    *,
    region: str | None = None,
    numbers: Literal["strict", "lenient"] = "strict",
) -> Canonical:
    """The one spelling of a subject's identifier: ``<type>:<value>``, e.g. ``applicant:17``.

    A whole number is written without sign or decimals (``17``, ``"+17"`` and ``17.0`` are one subject; ``"017"`` is text, because two
    systems may give ``17`` and ``017`` to two people). An identifier of several parts is a list, or a JSON list as text, and becomes
    ``passport:["DE","C01X00T47"]``, each part spelled by the same rules.

    Args:
        type: what the identifier is: ``email``, ``phone`` and ``uuid`` have rules of their own.
        value: text, a whole number, or a list of at least two of them.
        region: ISO 3166-1 of telephone numbers without a country code, ``DE``.
        numbers: ``strict`` refuses a telephone number of which the country is not known, as a request must, for nothing would be found;
            ``lenient`` keeps its digits, as an index must, for a bad number in one row is no reason not to find the others.

    Raises:
        BadInput: the type is no name, or the value is empty, too long, no number, or holds a control character. The message
            never repeats the value.
    """
    if not isinstance(type, str) or not _TYPE.fullmatch(type):
        raise BadInput(f"subject type {type!r}: expected a name like applicant", hint="lower case letters, digits and _, a letter first")
    if region is not None and not _REGION.fullmatch(region):
        raise BadInput(f"subject of type {type}: the region is no ISO 3166-1 code", hint="two capital letters, e.g. DE")
    parts = _parts(type, value)
    first, second = (_whole(type, parts, rules, region, numbers) for rules in (1, RULES))
    return Canonical(f"{type}:{second}", f"{type}:{first}")


def _parts(type_: str, value: str | float | Sequence[str | float]) -> list[str | float]:
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            read = json.loads(value)
        except ValueError:
            return [value]
        value = read if isinstance(read, list) and len(read) > 1 else value
    if isinstance(value, list | tuple):
        if len(value) < 2:
            raise BadInput(f"subject of type {type_}: an identifier of several parts needs at least two", hint="give the value itself")
        return list(value)
    return [value]  # type: ignore[list-item]  # anything else is refused where its text is read


def _whole(type_: str, parts: list[str | float], rules: int, region: str | None, numbers: str) -> str:
    spelled_parts = [_value(type_, part, rules, region, numbers) for part in parts]
    text = spelled_parts[0] if len(parts) == 1 else json.dumps(spelled_parts, ensure_ascii=False, separators=(",", ":"))
    if len(text) > _MAX_LENGTH:
        raise BadInput(f"subject of type {type_}: the value is too long", hint="give 1 to 1024 characters")
    return text


def _value(type_: str, value: str | float, rules: int, region: str | None, numbers: str) -> str:
    text = _text(type_, value, "NFC" if rules == 1 else "NFKC")
    if type_ == "email":
        text = text.lower() if rules == 1 else _email(text)
    elif type_ == "uuid":
        text = text.lower().removeprefix("urn:uuid:").strip("{}")
    elif type_ == "phone":
        text = _digits(text) if rules == 1 else _phone(text, region, numbers)
    elif _INTEGER.fullmatch(text):
        text = str(int(text)) if len(text) <= _MAX_LENGTH else text
    if not text:
        raise BadInput(f"subject of type {type_}: the value is empty", hint="give 1 to 1024 characters")
    return text


def _email(text: str) -> str:
    import idna

    local, at, host = text.rpartition("@")
    if not at:
        return text.lower()
    try:
        plain = idna.encode(host.removesuffix("."), uts46=True).decode()
    except idna.IDNAError:  # no host of the public name space: an alias inside a firm
        plain = host.removesuffix(".").lower()
    return f"{local.lower()}@{plain}"


def _digits(text: str) -> str:
    return ("+" if text.startswith("+") else "") + "".join(c for c in text if c.isdigit())


def _phone(text: str, region: str | None, numbers: str) -> str:
    """E.164 (ITU-T) by Google's metadata, without asking whether the number is in use: that changes with every release of it."""
    import phonenumbers

    try:
        return phonenumbers.format_number(phonenumbers.parse(text, region), phonenumbers.PhoneNumberFormat.E164)
    except phonenumbers.NumberParseException:
        if numbers == "lenient":
            return _digits(text)
        raise BadInput("subject of type phone: the country of this number is not known, or it is no number", hint=_NUMBER_HINT) from None


def _text(type_: str, value: str | float, form: Literal["NFC", "NFKC"]) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise BadInput(f"subject of type {type_}: the value is of type {type(value).__name__}", hint="give text or a whole number")
    if isinstance(value, float):
        if not math.isfinite(value) or value != int(value):
            raise BadInput(f"subject of type {type_}: the value is not a whole number", hint="give text or a whole number")
        value = int(value)
    text = unicodedata.normalize(form, str(value)).strip()
    if any(unicodedata.category(c) in {"Cc", "Cs"} for c in text):
        raise BadInput(f"subject of type {type_}: the value holds a control character", hint="give the plain identifier")
    return text
