"""How models and people are named on the command line."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from governance.cli.exits import Usage

__all__ = ["model_ref", "read_secret", "read_subject"]


def model_ref(text: str, *, default: str = "latest") -> tuple[str, str]:
    """``MODEL[@VERSION|@ALIAS]`` as (model, version).

    >>> model_ref("credit-risk@2")
    ('credit-risk', '2')
    >>> model_ref("credit-risk")
    ('credit-risk', 'latest')
    """
    name, at, version = text.partition("@")
    if not name or (at and not version) or "@" in version:
        raise Usage(f"{text!r} is not MODEL, MODEL@VERSION or MODEL@ALIAS", hint="for example: credit-risk@2")
    return name, version or default


def read_subject(source: str) -> dict[str, str]:
    """A person from a file or ``-`` (standard input): ``{"type": …, "value": …}`` or one line ``type:value``.

    A person's identifier is never taken as an argument: arguments stand in the shell's history and in the process list.

    Raises:
        Usage: the file is missing or holds neither form; the message never repeats its content.
    """
    where = "standard input" if source == "-" else source
    hint = 'write {"type": "applicant", "value": "17"} or applicant:17 into a file, or pipe it to -'
    text = _read(source, "the subject", hint)
    if text.startswith("{"):
        try:
            body = json.loads(text)
        except ValueError as error:
            raise Usage(f"the subject in {where} is not JSON", hint=hint) from error
        kind, value = body.get("type"), body.get("value")
        if isinstance(kind, str) and isinstance(value, str | int) and not isinstance(value, bool) and kind and str(value):
            return {"type": kind, "value": str(value)}
    else:
        kind, colon, value = text.partition(":")
        if kind and colon and value.strip() and "\n" not in text:
            return {"type": kind.strip(), "value": value.strip()}
    raise Usage(f"{where} names no subject", hint=hint)


def read_secret(source: str, option: str) -> str:
    """One line from a file or ``-`` (standard input): an address, a one-time code, a token; never an argument.

    Raises:
        Usage: the file is missing, empty, or holds more than a line; the message never repeats its content.
    """
    hint = f"write it into a file, or pipe it to {option} -"
    text = _read(source, f"what {option} names", hint)
    if not text or "\n" in text:
        raise Usage(f"{option}: {'nothing is' if not text else 'more than one line is'} there", hint=hint)
    return text


def _read(source: str, what: str, hint: str) -> str:
    if source == "-":
        return sys.stdin.read().strip()
    if Path(source).is_file():
        return Path(source).read_text(encoding="utf-8").strip()
    raise Usage(f"{what} is read from a file or from - (standard input), and there is no such file", hint=hint)
