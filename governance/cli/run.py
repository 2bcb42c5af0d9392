"""Imports the one command that was asked for and runs it."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module

import typer

from governance.cli.exits import ERROR, show_error
from governance.cli.table import Command
from lineage.errors import GovernError

__all__ = ["run_command"]


def run_command(name: str, command: Command, args: Sequence[str]) -> int:
    """Run ``govern NAME ARGS`` and return its exit code."""
    module = import_module(f"governance.cli.commands.{command.module}")
    target = getattr(module, name)
    if isinstance(target, typer.Typer):
        app = target
    else:
        app = typer.Typer(add_completion=False)
        app.command(help=target.__doc__)(target)
    try:
        typer.main.get_command(app)(list(args), prog_name=f"govern {name}")
    except SystemExit as end:
        return int(end.code or 0) if not isinstance(end.code, str) else ERROR
    except GovernError as error:
        return show_error(error)
    except BrokenPipeError:
        # The reader (head, less) went away: not an error of ours, and nothing may be written any more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        return show_error(GovernError(f"{error.strerror or error}{where}", hint="check the path, its rights and the free space"))
    return 0
