"""The arrows of the river as JSON, and their JSON Schemas (draft 2020-12): ``python -m governance.api.arrows docs/reference/schemas``.

Each arrow between two stages is one frozen type (design §1). Its schema is made from the type itself, so it cannot say anything else, and a
test holds the published files to it. A value's JSON is its fields by name: tuples as lists, enumerations as their words.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from audits.model import Finding
from governance.model import Decision, Deployment, Plan
from lineage.model import GraphDelta, Impact, RunEvent
from reports.model import Dossier
from trainers.model import TrainRecord

__all__ = ["ARROWS", "arrow_json", "arrow_schema", "main"]

ARROWS: Final[Mapping[str, type]] = {
    one.__name__: one for one in (RunEvent, GraphDelta, Impact, Plan, TrainRecord, Finding, Decision, Deployment, Dossier)
}
"""Name → type, in the order of the river."""
_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def arrow_schema(name: str) -> dict[str, Any]:
    """The JSON Schema of an arrow; ``KeyError`` for a name that none has."""
    from pydantic import TypeAdapter

    return {"$schema": _DIALECT, **TypeAdapter(ARROWS[name]).json_schema(mode="serialization")}


def arrow_json(value: Any) -> Any:
    """The JSON of a value of one of the types of :data:`ARROWS`."""
    from pydantic import TypeAdapter

    return _sorted(value, TypeAdapter(type(value)).dump_python(value, mode="json"))


def _sorted(value: Any, body: Any) -> Any:
    """A set has no order; its JSON has one."""
    return body | {"fresh": sorted(body["fresh"])} if isinstance(value, GraphDelta) else body


def main(arguments: Sequence[str]) -> int:
    """Write every schema into the folder named first; returns the exit code."""
    if len(arguments) != 1:
        sys.stderr.write("name the folder: python -m governance.api.arrows docs/reference/schemas\n")
        return 2
    folder = Path(arguments[0])
    folder.mkdir(parents=True, exist_ok=True)
    for name in ARROWS:
        (folder / f"{name}.json").write_text(json.dumps(arrow_schema(name), indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
