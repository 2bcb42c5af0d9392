"""The ``govern`` command: a light table first, the one command that was asked for after.

``govern --help`` reads only :mod:`governance.cli.table`, so it answers at once whatever the rest imports;
every command lives in its own module under ``governance.cli.commands`` and is imported when it is called.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and leave with its exit code (``SystemExit``, like every console script).

    Exit codes: see :data:`governance.cli.table.EXIT_CODES`.
    """
    from governance.cli.table import help_text, nearest, version

    args = list(sys.argv[1:] if argv is None else argv)
    if not args or args[0] in {"-h", "--help", "help"}:
        sys.stdout.write(help_text(color=sys.stdout.isatty()))
        raise SystemExit(0 if args else 2)
    if args[0] in {"-V", "--version"}:
        sys.stdout.write(f"govern {version()}\n")
        raise SystemExit(0)
    name, rest = args[0], args[1:]

    from governance.cli.table import COMMANDS

    if name not in COMMANDS:
        close = nearest(name)
        hint = f"did you mean: govern {' | govern '.join(close)}" if close else "see all commands: govern --help"
        sys.stderr.write(f"error: no command {name!r}\n next: {hint}\n")
        raise SystemExit(2)

    from governance.cli.run import run_command

    raise SystemExit(run_command(name, COMMANDS[name], rest))
