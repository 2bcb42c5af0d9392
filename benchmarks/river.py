"""The demo's river once, step by step, beside what it cannot do without: its trainings and the audits' imports, bare."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measure import CommandFailed, Line, command, plain_environment

GOVERN = Path(sys.executable).with_name("govern")
LIMIT = 60.0
TRAININGS = 3
"""Of a river: the first, the successor without the erased rows, and its reproduction elsewhere."""
AUDIT_IMPORTS = "import torch, shap, captum.attr, art.attacks.evasion, art.estimators.classification"


def run() -> Iterator[Line]:
    """The total, then each step, over the same baseline."""
    environment = plain_environment()
    try:
        training = command([sys.executable, "-m", "benchmarks.bare_training"], environment=environment, cwd=Path(__file__).parents[1])
        imports = command([sys.executable, "-W", "ignore", "-c", AUDIT_IMPORTS], environment=environment)
    except CommandFailed as error:
        yield Line(name="river: baseline", value=0.0, unit="s", baseline="", baseline_value=0.0, failed=str(error))
        return
    base, base_cpu = TRAININGS * training.wall + imports.wall, TRAININGS * training.cpu + imports.cpu
    baseline = f"{TRAININGS} bare trainings ({training.wall:.1f} s each) + audits' imports ({imports.wall:.1f} s)"
    with tempfile.TemporaryDirectory() as folder:
        try:
            took = command([str(GOVERN), "demo", "--json", "--keep", f"{folder}/demo"], environment=environment)
            told = json.loads(took.said)
        except (CommandFailed, ValueError) as error:
            yield Line(name="river: govern demo", value=0.0, unit="s", baseline=baseline, baseline_value=base, failed=str(error))
            return
        finally:
            shutil.rmtree(Path(folder) / "demo", ignore_errors=True)
    yield Line(
        name="river: govern demo, all steps", value=told["seconds"], unit="s", baseline=baseline, baseline_value=base, limit=LIMIT,
        cpu=took.cpu, baseline_cpu=base_cpu,
    )  # fmt: skip
    for step in told["steps"]:
        yield Line(name=f"river:   {step['name']}"[:43], value=step["seconds"], unit="s", baseline="the same", baseline_value=base)
