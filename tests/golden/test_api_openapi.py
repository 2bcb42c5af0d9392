"""The published description of the API: a change of it is seen in review."""

from __future__ import annotations

import json
import os
from pathlib import Path

from governance.api.openapi import document
from governance.api.table import ROUTES

GOLDEN = Path(__file__).parent / "data" / "openapi.json"


def test_the_description_is_the_published_one() -> None:
    present = json.dumps(document(ROUTES), indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    if os.environ.get("GOVERN_WRITE_GOLDEN"):
        GOLDEN.write_text(present, encoding="utf-8")
    assert present == GOLDEN.read_text(encoding="utf-8"), "the API changed: make golden shows the difference"
