"""What the fields of bodies are made of: names, texts, whole numbers, times."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, WithJsonSchema

from governance.api.times import LAST, SCHEMA

__all__ = ["IDENTIFIER", "SNAPSHOT", "Body", "Name", "Short", "Text", "Time", "Version", "Whole", "whole"]

Name = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
"""A dataset, model or environment: it becomes a folder and a part of a URL, so no slash and no leading dot."""
Text = Annotated[str, StringConstraints(min_length=1, max_length=4000)]
Short = Annotated[str, StringConstraints(min_length=1, max_length=200)]


def whole(value: object) -> object:
    """JSON has one kind of number: ``2.0`` is the integer 2, as far as a float holds every integer."""
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else value


def _nanoseconds(value: object) -> object:
    """A whole number beyond 64 bits, which the parser gives as a float, is the last instant there is, as in a query."""
    return min(int(value), LAST) if isinstance(value, float) and value.is_integer() and value >= 0 else value


Whole = Annotated[int, BeforeValidator(whole)]
Time = Annotated[Short | Annotated[int, BeforeValidator(_nanoseconds)], WithJsonSchema(SCHEMA)]
Version = Annotated[str, StringConstraints(min_length=1, max_length=200)] | Annotated[int, Field(ge=1), BeforeValidator(whole)]
SNAPSHOT = r"^snapshot:[0-9a-f]{64}$"
IDENTIFIER = r"^\s*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*\s*$"
"""Something, and no control character in it; white space around it is dropped."""


class Body(BaseModel):
    """Base: no coercion, no unknown key."""

    model_config = ConfigDict(extra="forbid", strict=True)
