"""The page of laws names what is there: every module, every test, every section of the certificate."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from governance.dossier import erasure_certificate

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "law.md").read_text(encoding="utf-8")
ROWS = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in PAGE.splitlines() if line.startswith("|") and "`" in line]


def test_there_are_rows_for_each_law() -> None:
    assert len(ROWS) >= 20
    assert all(len(row) == 6 for row in ROWS), [row for row in ROWS if len(row) != 6]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0].lstrip("| "))
def test_a_row_names_a_module_a_test_and_a_section(row: list[str]) -> None:
    module, test, section = row[3].strip("`"), row[4].strip("`"), row[5].strip("| ")
    assert (ROOT / module).is_file()
    assert re.search(r"^def test_|^async def test_", (ROOT / test).read_text(encoding="utf-8"), re.MULTILINE)
    dossier = erasure_certificate({}, now=1, installation="test", generator="test")
    assert section == "—" or section in {one.title for one in dossier.sections}
