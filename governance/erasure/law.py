"""A law pack: one regulation's clocks, grounds and notices as a value, read from YAML.

Each rule names its source and whether a statute sets it or only our policy. A pack is frozen into a request by its id, version and digest,
so a version is never changed: a law that changes is a new version. What is wrong in a pack is refused with its line and column.
"""

from __future__ import annotations

import difflib
import json
import re
import string
from collections.abc import Iterator, Mapping
from datetime import date
from functools import cached_property
from typing import Annotated, Any, Literal, NoReturn, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from governance.evidence import digest_json
from lineage.errors import BadInput

__all__ = ["BadPack", "Calendar", "Extension", "Ground", "Pack", "Period", "Rule", "parse_pack"]

_MAX_BYTES = 200_000
_HINT = "govern erasure packs --check FILE"
_FIELDS: Mapping[str, frozenset[str]] = {
    "received": frozenset({"request", "received", "due"}),
    "refused": frozenset({"request", "ground", "article", "reasons"}),
    "partial": frozenset({"request", "reasons"}),
    "extended": frozenset({"request", "due", "reasons"}),
    "closed": frozenset({"request", "outcome"}),
}
"""Notice → the words in braces that it may hold."""

Place = tuple[str | int, ...]
Words = Annotated[str, StringConstraints(min_length=1, max_length=2000, strip_whitespace=True)]
Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
Basis = Literal["statutory", "policy"]


class BadPack(BadInput):
    """The law pack cannot be used; the message names line and column."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Period(_Strict):
    """A length of time in calendar months, calendar days or business days; never business days together with another."""

    months: Annotated[int, Field(ge=0, le=120)] = 0
    days: Annotated[int, Field(ge=0, le=3660)] = 0
    business_days: Annotated[int, Field(ge=0, le=366)] = 0

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.business_days and (self.months or self.days):
            raise ValueError("business_days stands alone: months and days are counted otherwise")
        if not (self.months or self.days or self.business_days):
            raise ValueError("a period needs months, days or business_days")
        return self


class Extension(_Strict):
    """By how much the limit may be moved, once, before it has passed; counted from the start together with the limit."""

    limit: Period
    source: Words


class Rule(_Strict):
    """One clock: it starts on receipt and stops when its duty is done."""

    says: Words
    basis: Basis
    source: Words
    limit: Period
    rolls: bool = False
    """Does a last day that is no working day move to the next one?"""
    rolls_source: Words | None = None
    extension: Extension | None = None
    suspended_while: Literal["identity_asked"] | None = None
    """Does the clock stand still from the question for identity to its answer?"""
    suspended_source: Words | None = None

    @model_validator(mode="after")
    def _sourced(self) -> Self:
        if self.rolls and self.rolls_source is None:
            raise ValueError("rolls needs rolls_source")
        if self.suspended_while and self.suspended_source is None:
            raise ValueError("suspended_while needs suspended_source")
        if self.extension and bool(self.extension.limit.business_days) != bool(self.limit.business_days):
            raise ValueError("limit and extension are counted in the same kind of days")
        return self


def _known_country(code: str) -> str:
    import holidays

    known = holidays.list_supported_countries()
    if code not in known:
        raise ValueError(f"no public holidays are known of {code!r}; give the ISO 3166-1 code in capitals, e.g. DE")
    return code


class Calendar(_Strict):
    """Which days are no business days: the weekend, and the public holidays of a country (and a part of it)."""

    weekend: tuple[Weekday, ...] = ("saturday", "sunday")
    country: Annotated[str, AfterValidator(_known_country)] | None = None
    subdivision: Words | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if len(set(self.weekend)) != len(self.weekend) or len(self.weekend) > 3:
            raise ValueError("weekend names at most three different days")
        if self.subdivision is not None:
            import holidays

            known = holidays.list_supported_countries().get(self.country or "", [])
            if self.subdivision not in known:
                raise ValueError(f"no subdivision {self.subdivision!r} is known of the country {self.country}")
        return self


class Expiry(_Strict):
    """After how long without proof of identity a request expires."""

    expires: Period
    basis: Basis
    source: Words


class Appeal(_Strict):
    """How long contact data is kept after the answer, so that a complaint can be answered."""

    limit: Period
    basis: Basis
    source: Words


class Ground(_Strict):
    """A ground on which a request, or one asset of it, may be refused."""

    article: Words
    says: Words


GroundId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.-]{0,63}$")]


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"there is no time zone {name!r}; give an IANA name, e.g. Europe/Berlin") from None
    return name


class Pack(_Strict):
    """A regulation's rules, checked. ``rules`` has ``answer`` always; ``digest`` identifies the meaning."""

    id: Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z0-9-]{1,31}$")] = Field(alias="pack")
    version: Annotated[int, Field(ge=1)]
    title: Words
    source: Words
    status: Literal["in_force", "proposed"]
    """A proposed pack is checked and listed, and never chosen for a request."""
    effective_from: date
    reviewed: date
    zone: Annotated[str, AfterValidator(_known_zone)]
    """In which every deadline is computed: a day ends at its midnight."""
    calendar: Calendar = Calendar()
    rules: Mapping[Literal["answer", "acknowledge"], Rule]
    identity: Expiry
    appeal: Appeal
    grounds: Annotated[Mapping[GroundId, Ground], Field(min_length=1)]
    notices: Mapping[Literal["received", "refused", "partial", "extended", "closed"], Words]
    lifts: Mapping[GroundId, Ground] = Field(default_factory=dict)
    """On which grounds somebody who was erased may be taken in again. No request rests on them: a lift keeps the words of its own."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if "answer" not in self.rules:
            raise _At(("rules",), "the rule `answer` is missing: without it no request has a deadline")
        for name in _FIELDS:
            if name not in self.notices:
                raise _At(("notices",), f"the notice `{name}` is missing")
        for name, text in self.notices.items():
            if said := _wrong_words(name, text):
                raise _At(("notices", name), said)
        return self

    @cached_property
    def digest(self) -> str:
        """``sha256:<hex>`` of the canonical JSON of :meth:`terms`; comments and layout do not change it."""
        return digest_json(self.terms())

    def terms(self) -> dict[str, Any]:
        """What a request rests on, defaults included, as plain JSON values: everything but ``lifts``."""
        return self.model_dump(mode="json", by_alias=True, exclude={"lifts"})

    def notice(self, name: str, **words: str) -> str:
        """The text of a notice with its words put in."""
        return str(self.notices[name]).format_map(words)  # type: ignore[index]


def _wrong_words(name: str, text: str) -> str | None:
    try:
        words = [field for _, field, spec, conversion in string.Formatter().parse(text) if field is not None or spec or conversion]
    except ValueError as error:
        return f"a brace is not closed ({error})"
    strange = [word for word in words if word not in _FIELDS[name]]
    return f"{{{strange[0]}}} is unknown here; there are {', '.join(sorted(_FIELDS[name]))}" if strange else None


class _At(ValueError):
    """A refusal with its place in the document."""

    def __init__(self, where: Place, message: str) -> None:
        super().__init__(message)
        self.where = where


class _Plain(yaml.SafeLoader):
    """The safe loader that leaves dates as they are written: a day that does not exist is then refused with its place."""


_Plain.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def parse_pack(text: str) -> Pack:
    """The pack in ``text`` (YAML 1.1, the safe subset).

    Raises:
        BadPack: not YAML, a key that is unknown, missing or given twice, a value of the wrong kind or range; with line and column.
    """
    if len(text.encode("utf-8", "surrogatepass")) > _MAX_BYTES:
        raise BadPack("the law pack is larger than 200 kB", hint=_HINT)
    places: dict[Place, tuple[int, int]] = {}
    try:
        node = yaml.compose(text, Loader=_Plain)
        if node is None:
            raise BadPack("the law pack is empty", hint=_HINT)
        _walk(node, (), places)
        body = json.dumps(yaml.load(text, Loader=_Plain), allow_nan=False)  # noqa: S506 - _Plain is the safe loader without dates
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        at = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise BadPack(f"{at}{error.problem or error.context}", hint=_HINT) from error
    except (yaml.YAMLError, TypeError, ValueError, RecursionError) as error:
        raise BadPack(f"the law pack cannot be read: {error}", hint=_HINT) from error
    try:
        return Pack.model_validate_json(body)
    except ValidationError as error:
        _refuse(error, places)


def _walk(node: yaml.Node, path: Place, places: dict[Place, tuple[int, int]]) -> None:
    """Note the line and column of every place; refuse a key that is given twice (YAML would keep the last, silently)."""
    places.setdefault(path, (node.start_mark.line + 1, node.start_mark.column + 1))
    for key, mark, value in _children(node):
        if (*path, key) in places:
            raise BadPack(f"line {mark.line + 1}, column {mark.column + 1}: {key!r} is given twice", hint=_HINT)
        places[*path, key] = (mark.line + 1, mark.column + 1)
        _walk(value, (*path, key), places)


def _children(node: yaml.Node) -> Iterator[tuple[str | int, yaml.Mark, yaml.Node]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield str(key.value), key.start_mark, value
    elif isinstance(node, yaml.SequenceNode):
        for position, value in enumerate(node.value):
            yield position, value.start_mark, value


def _refuse(error: ValidationError, places: Mapping[Place, tuple[int, int]]) -> NoReturn:
    """All that is wrong, each with its line and column."""
    said = []
    for one in error.errors(include_url=False):
        cause: Any = one.get("ctx", {}).get("error")
        where = cause.where if isinstance(cause, _At) else tuple(part for part in one["loc"] if part != "[key]")
        place = where
        while place and place not in places:
            place = place[:-1]
        line, column = places.get(place, (1, 1))
        text = re.sub(r"^Value error, ", "", str(cause) if cause is not None else one["msg"])
        if one["type"] == "extra_forbidden":
            near = difflib.get_close_matches(str(where[-1]), _known_keys(), n=1)
            text = "there is no such key" + (f"; did you mean {near[0]!r}?" if near else "")
        said.append(f"line {line}, column {column}: {'.'.join(str(part) for part in where) or 'the pack'}: {text}")
    raise BadPack("; ".join(dict.fromkeys(said)), hint=_HINT) from error


def _known_keys() -> list[str]:
    models = (Pack, Rule, Period, Extension, Calendar, Expiry, Appeal, Ground)
    return sorted({field.alias or name for model in models for name, field in model.model_fields.items()})
