"""The import contracts hold, and would notice a breach."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("lineage", "trainers", "audits", "reports", "governance")


def lint(root):
    program = Path(sys.executable).with_name("lint-imports")
    return subprocess.run([str(program), "--no-cache", "--no-logo"], cwd=root, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture
def copy(tmp_path):
    """The packages and their contracts, to be broken; import-linter finds the copy first."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__", "fonts"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_every_contract_is_kept():
    run = lint(ROOT)
    assert run.returncode == 0, run.stdout[-4000:]
    assert re.search(r"Contracts: \d+ kept, 0 broken", run.stdout)


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("lineage/errors.py", "import governance.errors", "Packages import upstream only"),
        ("trainers/model.py", "import audits.model", "Packages import upstream only"),
        ("lineage/ledger/merkle.py", "import sqlite3", "Databases are imported in adapters only"),
        ("governance/evidence.py", "import torch", "torch is imported in trainers and audits only"),
        ("governance/ports.py", "import governance.adapters", "Inside governance"),
        ("lineage/new_module.py", "", "Inside lineage"),
    ],
)
def test_a_breach_is_noticed(copy, module, line, contract):
    path = copy / module
    before = path.read_text() if path.exists() else ""
    path.write_text(f"{before}\n{line}\n")
    run = lint(copy)
    assert run.returncode != 0
    assert re.search(rf"{re.escape(contract)}.*BROKEN|{re.escape(contract)}", run.stdout), run.stdout[-2000:]
    assert "BROKEN" in run.stdout or "missing layer" in run.stdout.lower() or "exhaustive" in run.stdout.lower()


def test_every_package_is_under_the_contracts():
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert set(config["tool"]["importlinter"]["root_packages"]) == set(PACKAGES)
    assert set(config["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]) == set(PACKAGES)
    assert set(config["tool"]["mypy"]["packages"]) == set(PACKAGES)
