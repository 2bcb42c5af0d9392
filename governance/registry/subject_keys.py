"""Who the rows of a dataset are about, as it was registered: its subject keys, and the rule for rows about several people.

A key is a type and one or several columns. Of several the tuple names the person, in the canonical encoding of
:func:`lineage.rows.canonical_subject` (a JSON list), so that ``("a,b", "c")`` and ``("a", "b,c")`` are two people. A dataset may have
several keys, for a sender and a receiver, say; each row is then joined to everyone whom it names.

What becomes of a row about two people when one of them is erased is nobody's to decide in passing, so a dataset with several keys states
it. The right to erasure is each person's own (GDPR article 17(1)), and must not adversely affect the rights of others, as article 15(4)
says of copies:

========== =================================================================================================================
rule       what an erasure does with a row that names somebody else too
========== =================================================================================================================
``purge``  the row goes, for both: where nothing of it may stay
``redact`` the row stays, without its columns about the erased person, under a new row id; the old row is purged everywhere
``retain`` the row stays as it is, on a ground that is stated (GDPR article 17(3)) and printed on the certificate
========== =================================================================================================================
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from lineage.errors import BadInput
from lineage.rows import RULES, Canonical, canonical_subject

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["SHARED_RULES", "SharedRule", "SubjectKey", "declared_keys", "people", "shared_rule", "subject_keys"]

SHARED_RULES: Final = ("purge", "redact", "retain")
"""What a dataset can state for rows about several people."""

_MOST_KEYS = 16
_MOST_COLUMNS = 32
_LONGEST = 200
_LINE = "line"
_LANDING = ("lines", "csv")
_KEY_HINT = '{"type": "email", "columns": ["sender"], "about": ["sender_name"]}'


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectKey:
    """Columns that name a person."""

    type: str
    """What the person is to the operator: ``applicant``, ``email``, ``phone``."""
    columns: tuple[str, ...]
    """One, or several that name the person together. A row where one of them is null names nobody by this key."""
    about: tuple[str, ...] = ()
    """Further columns that are about this person: emptied with the key where a row is redacted."""
    region: str | None = None
    """ISO 3166-1 of telephone numbers without a country code; ``None``: such a number names nobody who asks."""

    @property
    def theirs(self) -> tuple[str, ...]:
        """Every column that is about the person."""
        return (*self.columns, *self.about)

    def canonical(self, parts: Sequence[Any]) -> Canonical | None:
        """The person whom these values of :attr:`columns` name; ``None`` for nobody.

        Raises:
            BadInput: a value that is no identifier. The message never repeats it.
        """
        if any(part is None for part in parts):
            return None
        plain = [_plain(part) for part in parts]
        return canonical_subject(self.type, plain[0] if len(plain) == 1 else plain, region=self.region, numbers="lenient")


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedRule:
    """What an erasure does with a row that is about somebody else too."""

    rule: str
    """One of :data:`SHARED_RULES`."""
    ground: str | None = None
    """Why the rows are kept (``retain`` alone), in the operator's words."""


def subject_keys(record: Mapping[str, Any]) -> tuple[SubjectKey, ...]:
    """The subject keys of a dataset's record; none where its rows are about nobody. Reads what every earlier Govern registered."""
    listed = record.get("subject_keys")
    if listed:
        return tuple(
            SubjectKey(type=one["type"], columns=tuple(one["columns"]), about=tuple(one["about"]), region=one["region"]) for one in listed
        )
    if not record.get("subject_key"):
        return ()
    return (SubjectKey(type=record["subject_type"], columns=(record["subject_key"],)),)


def shared_rule(record: Mapping[str, Any]) -> SharedRule:
    """The rule of a dataset's record; ``purge`` where none was stated, which only a dataset with one key can do."""
    stated = record.get("shared_rows")
    return SharedRule(rule=stated["rule"], ground=stated.get("ground")) if stated else SharedRule(rule="purge")


def people(keys: Sequence[SubjectKey], table: pa.Table, *, kind: str) -> list[list[Canonical | None]]:
    """For each key the person whom each row names by it, in the table's order. A blank field of a ``csv`` file names nobody.

    Raises:
        BadInput: a value that is no identifier.
    """
    found = []
    for key in keys:
        columns = [table[name].to_pylist() for name in key.columns]
        if kind == "csv":  # which knows no null
            columns = [[value or None for value in column] for column in columns]
        known: dict[tuple[Any, ...], Canonical | None] = {}  # a person has many rows; the rules are applied once
        listed = []
        for parts in zip(*columns, strict=True):
            if parts not in known:
                known[parts] = key.canonical(parts)
            listed.append(known[parts])
        found.append(listed)
    return found


def declared_keys(body: Mapping[str, Any], *, name: str, kind: str) -> dict[str, Any]:
    """The fields of a dataset's record that say whom its rows are about, from a registration.

    One key of one column is given, and kept, as ``subject_key`` and ``subject_type``; all else as ``subject_keys`` (which then has the
    version of the canonicalisation rules beside it) and ``shared_rows``.

    Raises:
        BadInput: keys that contradict each other, a rule that is missing or cannot be kept in this kind of store.
    """
    listed = body.get("subject_keys")
    if listed is None:
        if body.get("shared_rows"):
            raise BadInput(f"dataset {name}: shared_rows is about rows of several people, and goes with subject_keys", hint=_KEY_HINT)
        key = body.get("subject_key")
        return {"subject_key": key, "subject_type": body.get("subject_type") or ("row" if key else None)}
    if body.get("subject_key") or body.get("subject_type"):
        raise BadInput(f"dataset {name}: give either subject_key and subject_type, or subject_keys")
    if not isinstance(listed, list | tuple) or not 1 <= len(listed) <= _MOST_KEYS:
        raise BadInput(f"dataset {name}: subject_keys is a list of 1 to {_MOST_KEYS} keys", hint=_KEY_HINT)
    keys = [_key(name, one) for one in listed]
    rule = _rule(name, body.get("shared_rows"), keys)
    _must_fit(name, kind, keys, rule)
    first = keys[0]
    plain = {"subject_key": first.columns[0], "subject_type": first.type}
    if len(keys) == 1 and len(first.columns) == 1 and not first.about and first.region is None:
        return plain
    stated = [{"type": key.type, "columns": list(key.columns), "about": list(key.about), "region": key.region} for key in keys]
    more = {"shared_rows": {"rule": rule.rule, "ground": rule.ground}} if rule else {}
    return plain | {"subject_keys": stated, "subject_rules": RULES} | more


def _key(name: str, given: Any) -> SubjectKey:
    if not isinstance(given, Mapping) or set(given) - {"type", "columns", "about", "region"}:
        raise BadInput(f"dataset {name}: a subject key has type, columns, about, region", hint=_KEY_HINT)
    columns, about = _names(name, given.get("columns"), least=1), _names(name, given.get("about") or (), least=0)
    if len({*columns, *about}) != len(columns) + len(about):
        raise BadInput(f"dataset {name}: a subject key names a column twice")
    key = SubjectKey(type=str(given.get("type") or ""), columns=columns, about=about, region=given.get("region") or None)
    canonical_subject(key.type, "1", region=key.region, numbers="lenient")  # refuses what is no type, and what is no region
    if key.region is not None:
        import phonenumbers

        if key.type != "phone":
            raise BadInput(f"dataset {name}: a region belongs to telephone numbers, to a key of type phone, not {key.type}")
        if key.region not in phonenumbers.SUPPORTED_REGIONS:
            raise BadInput(f"dataset {name}: no telephone numbers are known of region {key.region}", hint="ISO 3166-1, e.g. DE")
    return key


def _names(name: str, given: Any, *, least: int) -> tuple[str, ...]:
    listed = tuple(given) if isinstance(given, list | tuple) else ()
    if not least <= len(listed) <= _MOST_COLUMNS or any(not isinstance(one, str) or not 1 <= len(one) <= _LONGEST for one in listed):
        raise BadInput(f"dataset {name}: a subject key names its columns in a list", hint=_KEY_HINT)
    return listed


def _rule(name: str, given: Any, keys: Sequence[SubjectKey]) -> SharedRule | None:
    if len(keys) == 1:
        if given:
            raise BadInput(f"dataset {name}: with one subject key a row is about one person; shared_rows goes with several keys")
        return None
    hint = f"shared_rows: {', '.join(SHARED_RULES)} (with its ground)"
    if not isinstance(given, Mapping) or given.get("rule") not in SHARED_RULES or set(given) - {"rule", "ground"}:
        raise BadInput(f"dataset {name}: its rows can be about several people; say what becomes of them when one is erased", hint=hint)
    ground = given.get("ground")
    if (given["rule"] == "retain") != bool(ground) or not (ground is None or (isinstance(ground, str) and len(ground) <= 500)):
        raise BadInput(
            f"dataset {name}: rows are retained on a ground that is stated, and on none otherwise",
            hint="GDPR article 17(3); ≤ 500 characters",
        )
    return SharedRule(rule=given["rule"], ground=ground or None)


def _must_fit(name: str, kind: str, keys: Sequence[SubjectKey], rule: SharedRule | None) -> None:
    """What a kind of store cannot keep, and what would empty another person's columns, is refused before a row is written."""
    if len({(key.type, key.columns) for key in keys}) != len(keys):
        raise BadInput(f"dataset {name}: a subject key is given twice")
    if kind == "lines" and (len(keys) > 1 or keys[0].columns != (_LINE,)):
        raise BadInput(f"dataset {name}: a line of plain text has one subject key, its number: {_LINE}")
    if rule is None or rule.rule != "redact":
        return
    if kind in _LANDING:
        raise BadInput(
            f"dataset {name}: a file that others deliver is not redacted, for they would deliver it again as it was",
            hint="shared_rows: purge, or retain with its ground",
        )
    columns = [column for key in keys for column in key.theirs]
    if twice := sorted({column for column in columns if columns.count(column) > 1}):
        raise BadInput(
            f"dataset {name}: {', '.join(twice)} would be about two people at once, and redacting one would take the other's",
            hint="name each column under one key, or choose purge",
        )


def _plain(value: Any) -> str | int:
    """A cell as it is written in a request: 17.0, which is how a table with gaps holds whole numbers, is 17."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else str(value)
