"""The fonts of a paper: registered once, measured, and never silently missing a character.

reportlab puts an unembedded Helvetica into every file through its defaults; importing this module before platypus replaces them.
"""

from __future__ import annotations

import functools
import unicodedata
from pathlib import Path
from xml.sax.saxutils import escape

from reportlab import rl_config
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont

__all__ = ["BOLD", "ITALIC", "MISSING", "MONO", "SANS", "clean", "fits", "markup", "register", "unknown_characters", "width"]

SANS = "PlexSans"
BOLD = "PlexSans-SemiBold"
ITALIC = "PlexSans-Italic"
MONO = "PlexMono"
MISSING = "\N{REPLACEMENT CHARACTER}"
"""Printed for a character that none of our fonts holds; the paper then says which ones they are."""

_FILES = {
    SANS: "IBMPlexSans-Regular.ttf",
    BOLD: "IBMPlexSans-SemiBold.ttf",
    ITALIC: "IBMPlexSans-Italic.ttf",
    MONO: "IBMPlexMono-Regular.ttf",
}


@functools.cache
def register() -> None:
    """Register the fonts with reportlab and make them its defaults; once per process."""
    folder = Path(__file__).parent / "fonts"
    for name, file in _FILES.items():
        pdfmetrics.registerFont(TTFont(name, str(folder / file)))
    pdfmetrics.registerFontFamily(SANS, normal=SANS, bold=BOLD, italic=ITALIC, boldItalic=BOLD)
    pdfmetrics.registerFontFamily(MONO, normal=MONO, bold=MONO, italic=MONO, boldItalic=MONO)
    rl_config.canvas_basefontname = SANS
    rl_config.defaultGraphicsFontName = SANS
    rl_config.invariant = 1


def width(text: str, face: str, size: float) -> float:
    """Width of the text in points, in a face that holds it (see :func:`fits`)."""
    register()
    return float(pdfmetrics.stringWidth(text, face, size))


@functools.cache
def _holds(face: str) -> frozenset[int]:
    register()
    return frozenset(pdfmetrics.getFont(face).face.charToGlyph)


def fits(text: str, face: str) -> bool:
    """Whether the face holds every character of the text."""
    holds = _holds(face)
    return all(ord(character) in holds for character in text)


def unknown_characters(text: str) -> set[str]:
    """The characters that none of our fonts holds."""
    known = _held()
    return {character for character in clean(text) if character != "\n" and ord(character) not in known}


@functools.cache
def _held() -> frozenset[int]:
    """What one of our fonts holds; a paper has thousands of characters, and each asks."""
    return _holds(SANS) | _holds(MONO)


def clean(text: str) -> str:
    """The text without what could disturb a page: control characters become blanks, text-direction overrides the missing sign."""
    out = []
    for character in unicodedata.normalize("NFC", text):
        kind = unicodedata.category(character)
        if character == "\n" or kind not in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}:
            out.append(character)
        elif kind in {"Cc", "Zl", "Zp"}:
            out.append(" ")
        elif character != "\N{SOFT HYPHEN}":
            out.append(MISSING)
    return "".join(out)


def markup(text: str, face: str) -> str:
    """The text as reportlab's paragraph markup: escaped, and each run in a font that holds it."""
    runs: list[tuple[str | None, str]] = []
    for character in clean(text):
        if character == "\n":
            runs.append((None, "<br/>"))
            continue
        code, shown = ord(character), character
        if code in _holds(face):
            chosen: str | None = None
        elif code in _holds(SANS):
            chosen = SANS
        elif code in _holds(MONO):
            chosen = MONO
        else:
            chosen, shown = (SANS, MISSING)
        shown = escape(shown)
        if runs and runs[-1][0] == chosen:
            runs[-1] = (chosen, runs[-1][1] + shown)
        else:
            runs.append((chosen, shown))
    return "".join(run if name is None else f'<font name="{name}">{run}</font>' for name, run in runs)
