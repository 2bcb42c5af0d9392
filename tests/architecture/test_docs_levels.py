"""The page of promises says what the certificate says of each level, and each level says what it does not show."""

from __future__ import annotations

from pathlib import Path

from governance.dossier import erasure_certificate
from governance.dossier.levels import asset_level
from governance.dossier.meaning import LEVELS, levels_table
from reports.model import Table

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "promise.md"


def test_the_page_has_the_levels_of_the_code() -> None:
    assert levels_table() in PAGE.read_text(encoding="utf-8"), "python -m governance.dossier.meaning prints it"


def test_the_certificate_has_them_too() -> None:
    section = next(one for one in erasure_certificate({}, now=1, installation="test").sections if one.title == "What the levels mean")
    (table,) = section.blocks
    assert isinstance(table, Table)
    assert table.rows == tuple((level.word, level.shows, level.not_shown) for level in LEVELS)


def test_every_word_that_an_asset_may_reach_is_there_with_its_limit() -> None:
    reached = {asset_level({"level": f"L{number}", "status": "done", "found": 1}, ()).word for number in range(5)}
    away = asset_level({"level": "not_reachable", "status": "not_reachable", "found": 1}, ())
    assert (away.word, away.level, away.counts) == ("not reachable", None, True)
    assert {level.word for level in LEVELS} == reached | {away.word}
    assert all(level.shows.endswith(".") and level.not_shown.endswith(".") for level in LEVELS)
