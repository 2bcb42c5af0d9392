"""``govern --help`` is light: it imports no heavy library, and answers at once."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

HEAVY = ("torch", "shap", "captum", "opacus", "art", "lance", "deltalake", "fastapi", "sqlalchemy", "pandas", "numpy", "typer", "rich")


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_help_imports_nothing_heavy():
    code = (
        "import sys, contextlib, io\n"
        "from governance.cli import main\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n    main(['--help'])\n"
        "print(' '.join(sys.modules))"
    )
    loaded = set(run(code).split())
    assert "governance.cli.table" in loaded
    assert not loaded & set(HEAVY)


@pytest.mark.parametrize("command", ["trace", "erasure", "gate", "verify", "demo", "train"])
def test_a_commands_help_imports_no_machine_learning(command):
    code = (
        "import sys, contextlib, io\n"
        "from governance.cli import main\n"
        f"with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n    main(['{command}', '--help'])\n"
        "print(' '.join(sys.modules))"
    )
    assert not set(run(code).split()) & {"torch", "shap", "captum", "opacus", "art", "lance", "deltalake", "fastapi", "sqlalchemy"}


def test_help_is_not_much_slower_than_a_bare_start():
    def best(args: list[str]) -> float:
        times = []
        for _ in range(5):
            began = time.perf_counter()
            subprocess.run([sys.executable, *args], capture_output=True, check=True)
            times.append(time.perf_counter() - began)
        return min(times)

    assert best(["-m", "governance.cli", "--help"]) < best(["-c", "pass"]) + 0.4


def test_every_command_of_the_table_exists():
    code = (
        "from importlib import import_module\n"
        "from governance.cli.table import COMMANDS\n"
        "print(all(hasattr(import_module('governance.cli.commands.' + c.module), n) for n, c in COMMANDS.items()))"
    )
    assert run(code).strip() == "True"
