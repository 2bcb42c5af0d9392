"""How models and people are named on the command line."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from governance.cli.exits import Usage

__all__ = ["model_ref", "read_subject"]


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
    if source == "-":
        text = sys.stdin.read()
    elif Path(source).is_file():
        text = Path(source).read_text(encoding="utf-8")
    else:
        raise Usage("the subject is read from a file or from - (standard input), and there is no such file", hint=hint)
    text = text.strip()
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
