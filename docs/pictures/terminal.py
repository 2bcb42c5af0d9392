"""A real terminal without a screen: commands run in it as a user runs them, and what they print becomes an SVG."""

from __future__ import annotations

import contextlib
import io
import os
import pty
import re
import subprocess
import tempfile
import termios
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import Message
from html import escape
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

__all__ = ["Terminal"]

COLUMNS, ROWS = 112, 60

_THEME = TerminalTheme(
    (22, 27, 34),
    (230, 237, 243),
    [(139, 148, 158), (255, 123, 114), (63, 185, 80), (210, 153, 34), (88, 166, 255), (188, 140, 255), (86, 212, 221), (177, 186, 196)],
)
"""Light on dark in a frame of its own, so that it is read the same on a white page and on a black one."""

_FORMAT = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-labelledby="t d">
@words@
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace; font-size: {char_height}px }}
.{unique_id}-title {{ font-family: system-ui, 'Segoe UI', Roboto, sans-serif; font-size: 17px; font-weight: 600 }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal"><rect width="{terminal_width}" height="{terminal_height}"/></clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


@dataclass
class Terminal:
    """One window: a folder, who types in it, and all that was typed and printed since the last picture.

    Args:
        folder: where the commands run.
        people: who may type, each with the variables that their commands see.
    """

    folder: Path
    people: Mapping[str, Mapping[str, str]]
    variables: dict[str, str] = field(default_factory=dict)
    """What was set for the lines to come."""
    _seen: Text = field(default_factory=Text)

    def type(self, who: str, line: str, *, expect: int = 0, hidden: bool = False) -> str:
        """Run one line in bash and keep what a screen shows of it; returns the plain text that it printed.

        Args:
            who: who types it; stands before the ``$``.
            line: as it is typed; it may name ``variables``.
            expect: the exit code that it must end with.
            hidden: it runs, and no picture shows it.

        Raises:
            RuntimeError: it ended with another code; what it printed stands in the message.
        """
        said, code = self._run(line, self.people[who])
        if code != expect:
            raise RuntimeError(f"{line!r} ended with {code}, not {expect}:\n{said}")
        shown = Text.from_ansi(said.strip("\n"))
        if not hidden:
            self._seen.append_text(Text.assemble((f"{who}$ ", "bold cyan"), (line, "bold"), "\n", shown, "\n" if shown.plain else ""))
        return shown.plain

    def remark(self, words: str) -> None:
        """A line that nobody typed: what happens between two commands."""
        self._seen.append_text(Text(f"# {words}\n", style="italic black"))

    def letter(self, message: Message) -> None:
        """A message as its receiver reads it."""
        text = message.get_payload(decode=True)
        lines = [*(f"{name}: {message[name]}" for name in ("From", "To", "Subject")), "", *bytes(text).decode().splitlines()]
        for line in lines:
            for part in textwrap.wrap(line, COLUMNS - 2) or [""]:
                self._seen.append_text(Text.assemble(("│ ", "yellow"), part, "\n"))

    def picture(self, out: Path, title: str) -> None:
        """Write what was typed and printed since the last picture as an SVG, words for screen readers with it.

        Args:
            out: the file; its name makes the ids in it unique on a page.
            title: stands in the bar of the window.
        """
        text, self._seen = self._seen, Text()
        text.rstrip()
        console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, legacy_windows=False, highlight=False)
        console.print(text, overflow="fold", emoji=False)
        svg = console.export_svg(title=title, theme=_THEME, code_format=_FORMAT, unique_id=out.stem)
        words = f'<title id="t">{escape(title)}</title>\n<desc id="d">{escape(text.plain)}</desc>'
        out.write_text("\n".join(line.strip() for line in svg.replace("@words@", words).splitlines()) + "\n", encoding="utf-8")

    def set(self, who: str, name: str, value: str) -> None:
        """Type ``NAME=value`` and know it from then on."""
        self.variables[name] = value
        self._seen.append_text(Text.assemble((f"{who}$ ", "bold cyan"), (f"{name}={value}", "bold"), "\n"))

    def _run(self, line: str, environment: Mapping[str, str]) -> tuple[str, int]:
        """Standard output goes to a terminal, errors to a pipe: a bar that shows how far a command is leaves nothing on a screen either."""
        screen, keyboard = pty.openpty()
        with tempfile.TemporaryFile() as errors:
            try:
                termios.tcsetwinsize(keyboard, (ROWS, COLUMNS))
                process = subprocess.Popen(
                    ["/bin/bash", "-c", line],
                    cwd=self.folder,
                    env={**environment, **self.variables, "TERM": "xterm-256color"},
                    stdin=subprocess.DEVNULL,
                    stdout=keyboard,
                    stderr=errors,
                )
            finally:
                os.close(keyboard)
            parts = []
            with contextlib.suppress(OSError):  # the last writer is gone: Linux calls reading on an error
                while data := os.read(screen, 65536):
                    parts.append(data)
            os.close(screen)
            code = process.wait()
            errors.seek(0)
            parts.append(errors.read())
        return re.sub(r"\r+\n", "\n", b"".join(parts).decode()), code
