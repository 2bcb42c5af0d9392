"""``govern.yaml`` of the user's project: found, parsed, checked against its schema, with the line and column of what is wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from lineage.errors import BadInput, NotFound

__all__ = ["Fault", "Project", "check_text", "load_project", "models_of", "schema"]


_EXCLUDED = {
    "privacy": "`privacy` and `strategy: sisa` or `replay` exclude each other: noise cannot be taken over; "
    "a private model has `strategy: full`",
    "sisa": "`sisa` belongs to `strategy: sisa`",
    "replay": "`replay` belongs to `strategy: replay`",
}
"""What the schema refuses because of what stands beside it, in words."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something wrong in a YAML file."""

    line: int
    column: int
    where: str
    """Path inside the document, e.g. ``models[0].seed``."""
    what: str

    def __str__(self) -> str:
        return f"line {self.line}, column {self.column}: {self.where + ': ' if self.where else ''}{self.what}"


@dataclass(frozen=True, slots=True)
class Project:
    """A checked ``govern.yaml``."""

    path: Path
    models: dict[str, dict[str, Any]]

    @property
    def folder(self) -> Path:
        """The folder that code snapshots are taken of."""
        return self.path.parent

    def model(self, name: str) -> dict[str, Any]:
        """A model's section; ``NotFound`` names the nearest."""
        if name not in self.models:
            from difflib import get_close_matches

            close = get_close_matches(name, self.models, n=3)
            known = ", ".join(close or self.models)
            raise NotFound(f"{self.path} has no model {name!r}", hint=f"govern train {close[0]}" if close else f"its models: {known}")
        return self.models[name]

    def policy_text(self, name: str) -> str:
        """The text of the policy that a model names, read relative to ``govern.yaml``."""
        path = self.folder / str(self.model(name)["policy"])
        try:
            return path.read_text(encoding="utf-8")
        except OSError as error:
            raise NotFound(
                f"model {name} names the policy {path}, which cannot be read: {error.strerror}", hint=f"govern doctor {self.path}"
            ) from error


def schema() -> dict[str, Any]:
    """The JSON Schema of ``govern.yaml`` (draft 2020-12)."""
    body: dict[str, Any] = json.loads(files("governance.cli").joinpath("govern.schema.json").read_text(encoding="utf-8"))
    return body


def check_text(text: str) -> tuple[dict[str, Any], list[Fault]]:
    """The document and everything that is wrong with it, in the order of the file."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        document = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        return {}, [Fault(line, column, "", f"not YAML: {error.problem or error.context}")]
    except yaml.YAMLError as error:
        return {}, [Fault(1, 1, "", f"not YAML: {error}")]
    if node is None:
        return {}, [Fault(1, 1, "", "the file is empty; it needs `models`")]
    places: dict[tuple[str | int, ...], tuple[int, int]] = {}
    repeated = list(_walk(node, (), places))
    from jsonschema import Draft202012Validator

    faults = [Fault(*at, _named(path), "is given twice") for path, at in repeated]
    for wrong in Draft202012Validator(schema()).iter_errors(document):
        path = tuple(wrong.absolute_path)
        what = wrong.message
        if wrong.validator == "type":
            # The validator's own words repeat the whole value, which may be the whole file.
            what = f"must be of type {wrong.validator_value}"
        if wrong.validator == "not" and path:
            what = _EXCLUDED.get(path[-1], what)
        if wrong.validator == "additionalProperties" and isinstance(wrong.instance, dict):
            for key in sorted(set(wrong.instance) - set(wrong.schema.get("properties", {})), key=str):
                inner = (*path, key)
                faults.append(Fault(*_place(places, inner), _named(inner), _unknown(str(key), wrong.schema.get("properties", {}))))
            continue
        faults.append(Fault(*_place(places, path), _named(path), what))
    if not faults and isinstance(document.get("models"), list):
        seen: set[str] = set()
        for index, section in enumerate(document["models"]):
            if section["name"] in seen:
                at = ("models", index, "name")
                faults.append(Fault(*_place(places, at), _named(at), f"{section['name']!r} is given twice"))
            seen.add(section["name"])
    return (document if isinstance(document, dict) else {}), sorted(faults, key=lambda fault: (fault.line, fault.column))


def load_project(path: Path | None = None) -> Project:
    """The project of ``path``, else of ``govern.yaml`` here.

    Raises:
        NotFound: no such file.
        BadInput: something is wrong in it; the message names line and column of the first fault.
    """
    path = path or Path("govern.yaml")
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise NotFound(f"there is no {path} here", hint="run in the project's folder, or give --project FILE") from None
    document, faults = check_text(text)
    if faults:
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        raise BadInput(f"{path}, {faults[0]}{more}", hint=f"govern doctor {path}")
    return Project(path, models_of(document))


def models_of(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The models of a checked document by name; ``models`` is a mapping, or a list whose items have a ``name``."""
    models = document["models"]
    listed = [(section["name"], section) for section in models] if isinstance(models, list) else list(models.items())
    return {name: {key: value for key, value in section.items() if key != "name"} for name, section in listed}


def _walk(
    node: yaml.Node, path: tuple[str | int, ...], places: dict[tuple[str | int, ...], tuple[int, int]]
) -> Iterator[tuple[tuple[str | int, ...], tuple[int, int]]]:
    """Note where every value stands; yields keys that are given twice (YAML would keep the last, silently)."""
    places.setdefault(path, (node.start_mark.line + 1, node.start_mark.column + 1))
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = (*path, str(key.value))
            at = (key.start_mark.line + 1, key.start_mark.column + 1)
            if inner in places:
                yield inner, at
                continue
            places[inner] = at
            yield from _walk(value, inner, places)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield from _walk(value, (*path, index), places)


def _place(places: dict[tuple[str | int, ...], tuple[int, int]], path: tuple[str | int, ...]) -> tuple[int, int]:
    while path and path not in places:
        path = path[:-1]
    return places.get(path, (1, 1))


def _named(path: tuple[str | int, ...]) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _unknown(key: str, known: dict[str, Any]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(key, known, n=1)
    return f"there is no such key{f'; did you mean {close[0]!r}?' if close else ''}"
