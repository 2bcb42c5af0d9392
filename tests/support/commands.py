"""The commands that a text shows, held against the command line as it is."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from typing import Any

import typer

from governance.cli.table import COMMANDS

__all__ = ["shown", "trouble"]

_FENCE = re.compile(r"^ *(```|~~~)")
_INLINE = re.compile(r"`(govern [^`\n]+)`")
_PROMPT = re.compile(r"^(?:[a-z ]*\$ )?(.*)$")
_GOVERN = re.compile(r"(?:^|[|;&(] *|[A-Z_]+=\S+ )govern ")


def shown(text: str) -> Iterator[str]:
    """The lines of code blocks, and the spans of code, in which ``govern`` is called."""
    fenced = False
    for line in text.replace("\\\n", " ").splitlines():  # a line that goes on is one
        if _FENCE.match(line):
            fenced = not fenced
        elif (fenced or line.startswith("    ")) and _GOVERN.search(_PROMPT.sub(r"\1", line.strip())):
            yield _PROMPT.sub(r"\1", line.strip())
        elif not fenced:
            yield from _INLINE.findall(line)


def trouble(line: str) -> str | None:
    """What is wrong with the calls of ``govern`` in a line: a command or an option that is not there; ``None`` when all are."""
    words = shlex.shlex(line.replace("\\|", "|"), posix=True, punctuation_chars=";|&<>")
    words.whitespace_split = True
    call: list[str] = []
    for word in [*words, ";"]:
        if set(word) <= set(";|&"):
            while call and re.fullmatch(r"[A-Z_]+=.*", call[0]):
                call.pop(0)
            if call[:1] == ["govern"] and (wrong := _wrong(call[1:])):
                return f"{wrong}: {line}"
            call = []
        else:
            call.append(word)
    return None


def _wrong(words: list[str]) -> str | None:
    words = [stripped for word in words if (stripped := word.strip("[](),.…"))]
    if not words or _open(words[0]):
        return None
    name, rest = words[0], words[1:]
    if name in ("--help", "--version", "-h", "-V"):
        return None
    if name not in COMMANDS:
        return f"there is no govern {name}"
    command = _click(name)
    said = f"govern {name}"
    while (group := getattr(command, "commands", None)) is not None:
        if not rest or _open(rest[0]) or rest[0] == "--help":
            return None
        if rest[0] not in group:
            return f"there is no {said} {rest[0]}"
        said, command, rest = f"{said} {rest[0]}", group[rest[0]], rest[1:]
    known = {"--help", *(option for given in command.params for option in (*given.opts, *given.secondary_opts))}
    for word in rest:
        option = word.partition("=")[0]
        if re.fullmatch(r"-[a-z]|--[a-z][a-z-]*", option) and option not in known:
            return f"{said} has no {option}"
    return None


def _open(word: str) -> bool:
    """Whether a word stands for any command: ``COMMAND``."""
    return word.isupper()


@cache
def _click(name: str) -> Any:
    """The command as typer hands it to click."""
    target = getattr(import_module(f"governance.cli.commands.{COMMANDS[name].module}"), name)
    if not isinstance(target, typer.Typer):
        app = typer.Typer(add_completion=False)
        app.command()(target)
        target = app
    return typer.main.get_command(target)
