"""What the documentation shows is there: every picture, every command with its options, every state."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from governance.model import ErasureState
from tests.support.commands import shown, trouble

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
IMAGES = DOCS / "images"
PAGES = sorted([*DOCS.rglob("*.md"), ROOT / "README.md"])
PAGES = [page for page in PAGES if "_build" not in page.parts]
NAMED = [(page, *found) for page in PAGES for found in re.findall(r"!\[([^\]]*)\]\(([^)\s]+)", page.read_text(encoding="utf-8"))]
MOST_BYTES = 150_000
SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize(("page", "alt", "target"), NAMED, ids=[f"{page.name}: {target}" for page, _, target in NAMED])
def test_a_picture_is_there_small_and_said_in_words(page: Path, alt: str, target: str) -> None:
    picture = (page.parent / target).resolve()
    assert picture.is_file()
    assert len(alt.split()) >= 2
    assert picture.stat().st_size <= MOST_BYTES


def test_every_picture_is_named_somewhere() -> None:
    assert {path.name for path in IMAGES.iterdir()} == {Path(target).name for _, _, target in NAMED}


@pytest.mark.parametrize("path", sorted(IMAGES.glob("*.svg")), ids=lambda path: path.name)
def test_a_drawing_loads_nothing(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    ET.fromstring(text)
    assert not re.search(r"(?:href|src)\s*=|url\((?!#)|@import|<script", text)


@pytest.mark.parametrize("path", sorted(IMAGES.glob("erasure-*.svg")), ids=lambda path: path.name)
def test_a_drawing_brings_its_own_ground(path: Path) -> None:
    """It is read the same on a white page and on a black one."""
    drawn = ET.fromstring(path.read_text(encoding="utf-8"))
    size = [float(one) for one in drawn.attrib["viewBox"].split()[2:]]
    grounds = [one for one in drawn.findall(f"{SVG}rect") if one.get("fill", "none") != "none"]
    assert any(all(float(one.get(side, 0)) >= whole - 4 for side, whole in zip(("width", "height"), size, strict=True)) for one in grounds)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_commands_of_a_page_exist_with_their_options(page: Path) -> None:
    assert [found for line in shown(page.read_text(encoding="utf-8")) if (found := trouble(line))] == []


@pytest.mark.parametrize("path", sorted(IMAGES.glob("erasure-*.svg")), ids=lambda path: path.name)
def test_the_commands_of_a_picture_exist_with_their_options(path: Path) -> None:
    said = ET.fromstring(path.read_text(encoding="utf-8")).findtext(f"{SVG}desc") or ""
    typed = [line.partition("$ ")[2] for line in said.splitlines() if re.match(r"[a-z ]+\$ ", line)]
    assert typed or path.stem in ("erasure-states", "erasure-letters")
    assert [found for line in typed if "govern" in line and (found := trouble(line))] == []


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("govern erasure approve ID --retain dataset:x=art-17-3-b", None),
        ("echo 1 | govern erasure verify ID --code -  # by mail", None),
        ("GOVERN_HOME=a govern trace m@1 --strict", None),
        ("govern COMMAND --help", None),
        ("govern erase ID", "there is no govern erase"),
        ("govern erasure burn ID", "there is no govern erasure burn"),
        ("govern erasure approve ID --force", "govern erasure approve has no --force"),
        ("true && govern verify FILE --key K", "govern verify has no --key"),
    ],
)
def test_a_command_that_is_not_there_is_noticed(line: str, wrong: str | None) -> None:
    assert trouble(line) is None if wrong is None else (trouble(line) or "").startswith(f"{wrong}: ")


def test_calls_are_found_in_blocks_and_in_sentences() -> None:
    page = "Say `govern trace m`.\n\n    echo 1 | govern erasure verify ID --code -\n\n```console\n$ govern serve\n```\nwe govern well\n"
    assert list(shown(page)) == ["govern trace m", "echo 1 | govern erasure verify ID --code -", "govern serve"]


def test_the_picture_of_the_states_is_made_from_their_table(tmp_path: Path) -> None:
    subprocess.run([sys.executable, str(DOCS / "pictures"), "--states", "--images", str(tmp_path)], check=True)
    made = (tmp_path / "erasure-states.svg").read_text(encoding="utf-8")
    assert made == (IMAGES / "erasure-states.svg").read_text(encoding="utf-8"), "python docs/pictures --states"
    labels = {one.text for one in ET.fromstring(made).iter(f"{SVG}text")}
    assert {str(state) for state in ErasureState} <= labels
