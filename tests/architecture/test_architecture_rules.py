"""What holds for the whole code: sizes, exports, imports at start, and words that are not said."""

from __future__ import annotations

import ast
import importlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PACKAGES = ("lineage", "trainers", "audits", "reports", "governance")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
HEAVY = (
    "torch",
    "shap",
    "captum",
    "opacus",
    "art",
    "lance",
    "deltalake",
    "pandas",
    "numpy",
    "pyarrow",
    "sqlalchemy",
    "alembic",
    "fastapi",
    "dbos",
)
IDS = [str(path.relative_to(ROOT)) for path in MODULES]


def dotted(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def test_the_packages_are_there():
    assert {path.relative_to(ROOT).parts[0] for path in MODULES} == set(PACKAGES)


@pytest.mark.parametrize("path", MODULES, ids=IDS)
def test_no_module_is_over_500_lines(path):
    assert len(path.read_text().splitlines()) <= 500


@pytest.mark.parametrize("path", MODULES, ids=IDS)
def test_every_module_begins_with_what_it_is(path):
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree), "no docstring"
    if any(isinstance(node, ast.FunctionDef | ast.ClassDef) for node in tree.body):
        first = tree.body[1]
        assert isinstance(first, ast.ImportFrom)
        assert first.module == "__future__"


@pytest.mark.parametrize("path", MODULES, ids=IDS)
def test_exported_names_are_there(path):
    """``__all__`` names things that the module defines or imports; read from the source, nothing heavy is imported."""
    tree = ast.parse(path.read_text())
    exported = [n.value for n in tree.body if isinstance(n, ast.Assign) and getattr(n.targets[0], "id", "") == "__all__"]
    if not exported:
        return
    names = ast.literal_eval(exported[0])
    assert len(names) == len(set(names))
    defined = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            defined.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            defined |= {alias.asname or alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            defined.add(node.id)
    lazily = {"__getattr__"} & defined
    assert lazily or set(names) <= defined, sorted(set(names) - defined)


def test_the_help_imports_nothing_heavy():
    code = (
        "import json, sys\n"
        "from governance.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        "sys.stderr.write(json.dumps(sorted(sys.modules)))\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
    assert "trace" in run.stdout
    loaded = {name.split(".")[0] for name in json.loads(run.stderr.splitlines()[-1])}
    assert loaded & set(HEAVY) == set()


@pytest.mark.parametrize("name", ["lineage.model", "lineage.ports", "trainers.model", "audits.model", "reports.model", "governance.model"])
def test_the_frozen_types_import_no_library(name):
    """Each stage's types need little more than the standard library, so that every stage can speak them."""
    path = ROOT / Path(*name.split(".")).with_suffix(".py")
    tree = ast.parse(path.read_text())
    guarded = {id(n) for i in ast.walk(tree) if isinstance(i, ast.If) for n in ast.walk(i)}
    for node in ast.walk(tree):
        if id(node) in guarded or not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
        for module in modules:
            top = module.split(".")[0]
            assert top in sys.stdlib_module_names or top in (*PACKAGES, "rfc8785"), module
    importlib.import_module(name)


UNSAID = re.compile(r"\b(unbiased|debias(?:ed|es|ing)?|bias-free|gdpr[- ]compliant|fully compliant)\b", re.IGNORECASE)
DENIALS = re.compile(r"\b(never|not|no)\b", re.IGNORECASE)


def test_words_that_promise_too_much_are_not_said():
    """Design §11; a sentence that denies one (*never "unbiased"*) may name it."""
    said = []
    texts = [*MODULES, *(ROOT / "docs").rglob("*.md"), ROOT / "README.md"]
    for path in texts:
        for number, line in enumerate(path.read_text().splitlines(), 1):
            found = UNSAID.search(line)
            if found and not DENIALS.search(line):
                said.append(f"{path.relative_to(ROOT)}:{number}: {found[0]}")
    assert said == []


def test_no_lock_file_names_an_index():
    locks = sorted((ROOT / "requirements").glob("*.lock"))
    assert {lock.name for lock in locks} == {"bootstrap.lock", "dev.lock"}
    for lock in locks:
        text = lock.read_text()
        assert "://" not in text
        assert "--index" not in text
        pinned = re.findall(r"^[a-z0-9][^\s=]*==", text, re.MULTILINE)
        assert len(pinned) == len(re.findall(r"^[a-z0-9].*\n    --hash=sha256:", text, re.MULTILINE)) > 0
    assert not (ROOT / "uv.lock").exists()


# ── what runs elsewhere and is only read here ───────────────────────────────────────────────────
@pytest.fixture(scope="module")
def compose():
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text())


def test_compose_has_the_four_services_each_with_a_health_check(compose):
    assert set(compose["services"]) == {"api", "worker", "neo4j", "postgres"}
    for name, service in compose["services"].items():
        assert service["healthcheck"]["test"], name
    assert compose["services"]["neo4j"]["image"] == "neo4j:5.26-community"


def test_compose_has_no_default_password_and_keeps_its_data_in_named_volumes(compose):
    for name, service in compose["services"].items():
        for key, value in service.get("environment", {}).items():
            if any(word in key for word in ("PASSWORD", "AUTH", "KEY", "DATABASE")) and key != "POSTGRES_INITDB_ARGS":
                assert re.search(r"\$\{\w+(:\?[^}]+|-)\}", value), (name, key)  # required, or empty
        for volume in service["volumes"]:
            assert volume.split(":")[0] in compose["volumes"], (name, volume)


def test_compose_publishes_no_database_and_only_loopback(compose):
    assert "ports" not in compose["services"]["neo4j"]
    assert "ports" not in compose["services"]["postgres"]
    assert all(port.startswith("127.0.0.1:") for name in ("api", "worker") for port in compose["services"][name]["ports"])


def test_compose_runs_commands_and_options_that_exist_on_one_home(compose):
    import typer

    from governance.cli.table import COMMANDS

    for name in ("api", "worker"):
        command, *words = compose["services"][name]["command"]
        app = typer.Typer()
        app.command()(getattr(importlib.import_module(f"governance.cli.commands.{COMMANDS[command].module}"), command))
        options = {option for parameter in typer.main.get_command(app).params for option in parameter.opts}
        assert {word for word in words if word.startswith("-")} <= options
        assert compose["services"][name]["volumes"] == ["home:/var/lib/govern"]
        assert words[words.index("--home") + 1] == "/var/lib/govern"
    ports = [compose["services"][name]["ports"] for name in ("api", "worker")]
    assert ports[0] != ports[1]


def test_what_was_not_run_says_so(compose):
    assert "NOT RUN" in (ROOT / "docker-compose.yml").read_text()
    assert "Not built" in (ROOT / "Dockerfile").read_text()
    assert "Not run" in (ROOT / "deploy" / "govern.service").read_text()


def test_the_image_does_not_run_as_root_and_installs_by_hash():
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    users = [number for number, line in enumerate(lines) if line == "USER govern"]
    entry = [number for number, line in enumerate(lines) if line.startswith("ENTRYPOINT")]
    assert users
    assert users[-1] < entry[-1]
    installs = [line for line in lines if "pip install" in line or "pip sync" in line]
    assert all("--require-hashes" in line or "--no-deps" in line for line in installs)


def test_ci_runs_the_tests_and_the_lint_and_fails_with_them(tmp_path):
    """The script with a ``make`` that fails for one target: its status is not 0, and both targets were tried."""
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    for failing in ("test", "lint", "setup", ""):
        make = tmp_path / "make"
        make.write_text(f'#!/bin/bash\necho "$1" >> {tmp_path}/called\n[ "$1" != "{failing}" ]\n')
        make.chmod(0o755)
        (tmp_path / "called").write_text("")
        run = subprocess.run([str(script)], env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, capture_output=True, check=False)
        called = (tmp_path / "called").read_text().split()
        assert (run.returncode != 0) == bool(failing), failing
        assert called == (["setup"] if failing == "setup" else ["setup", "test", "lint"])
