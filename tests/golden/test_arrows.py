"""The arrows of the river: each type has a published JSON Schema and a golden file, and the one holds the other."""

from __future__ import annotations

import copy
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

sys.path.insert(0, str(Path(__file__).parent.parent))
from lineage_events import ds, run

from audits.model import Finding, Metric, Verdict
from governance.api.arrows import ARROWS, arrow_json, arrow_schema, main
from governance.dossier import erasure_certificate
from governance.gate import decide
from governance.model import Deployment
from governance.plan import Scope, VersionFacts, plan
from governance.policy import parse_policy
from lineage.graph import Fold
from lineage.graph.keys import version_key
from lineage.model import Direction
from lineage.openlineage import parse_event
from lineage.trace import MemoryGraph, trace
from tests.support.core import policy_text
from tests.support.papers import AS_OF, golden
from trainers.model import ArtifactInfo, InputSpec, TrainRecord, TrainSpec

DATA = Path(__file__).parent / "data" / "arrows"
SCHEMAS = Path(__file__).parents[2] / "docs" / "reference" / "schemas"
EVENT = run("fit", "COMPLETE", 1, [ds("rows", "1")], [ds("scores", "2")])
SPEC = TrainSpec(
    model="m", entrypoint="model", code="snapshot:" + "0" * 64, params={"lr": 0.1}, seed=7, threads=1, environment="sha256:" + "1" * 64,
    inputs=(InputSpec(role="train", dataset="rows", version="1", row_set="rs1:" + "2" * 64, rows=3),), label="y", features=("x",),
)  # fmt: skip


def finding() -> Finding:
    return Finding(
        audit="perf.noninferior", model="m", version="1", spec_digest="sha256:0", model_digest="sha256:1", data=("rows@1 rs1:2",), seed=0,
        metrics=(Metric(name="accuracy", value=0.9, low=0.8, high=0.95, method="wilson 95%", n=100),), verdict=Verdict.PASS,
    )  # fmt: skip


def delta() -> Any:
    with MemoryGraph().transaction() as state:
        return Fold(state).fold(parse_event(EVENT), recorded_at=10**9)


def impact() -> Any:
    graph = MemoryGraph()
    with graph.transaction() as state:
        graph.apply(Fold(state).fold(parse_event(EVENT), recorded_at=10**9), 1)
    return trace(graph, [version_key("s3://lake", "rows", "1")], Direction.DOWN)


def planned() -> Any:
    facts = VersionFacts(model="m", version=1, hits={"rows@1": 2}, environments=("production",), destroyed=False, spec=SPEC)
    return plan("r-1", Scope(rows={"rows": (4, 9)}, row_sets={"rows": "rs1:3"}, predictions=1, cases=("c-1",), versions=(facts,)))


MADE: dict[str, Callable[[], Any]] = {
    "RunEvent": lambda: parse_event(EVENT),
    "GraphDelta": delta,
    "Impact": impact,
    "Plan": planned,
    "TrainRecord": lambda: TrainRecord(
        run_id="run-1", spec=SPEC, status="COMPLETE", started_at=1, ended_at=2, metrics={"loss": 0.5},
        artifact=ArtifactInfo(digest="sha256:4", files={"state.json": "5"}, size=6),
    ),
    "Finding": finding,
    "Decision": lambda: decide(parse_policy(policy_text()), [finding()], model="m", version="1"),
    "Deployment": lambda: Deployment(id="d-1", model="m", version="1", environment="production", active_from=1),
    "Dossier": lambda: erasure_certificate(golden("erasure_completed"), now=AS_OF, installation="test", generator="govern test"),
}  # fmt: skip


def test_every_arrow_of_the_river_is_published() -> None:
    assert list(MADE) == list(ARROWS)


@pytest.mark.parametrize("name", ARROWS)
def test_the_published_schema_is_that_of_the_type(name: str, tmp_path: Path) -> None:
    if os.environ.get("GOVERN_WRITE_GOLDEN"):
        main([str(SCHEMAS)])
    assert main([str(tmp_path)]) == 0
    assert (tmp_path / f"{name}.json").read_text() == (SCHEMAS / f"{name}.json").read_text(), "make golden shows the difference"
    Draft202012Validator.check_schema(arrow_schema(name))


@pytest.mark.parametrize("name", ARROWS)
def test_a_value_that_a_stage_made_is_the_golden_one_and_fits_its_schema(name: str) -> None:
    path = DATA / f"{name}.json"
    present = json.dumps(arrow_json(MADE[name]()), indent=1, sort_keys=True) + "\n"
    if os.environ.get("GOVERN_WRITE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(present)
    assert present == path.read_text(), "an arrow changed: make golden shows the difference"
    Draft202012Validator(arrow_schema(name)).validate(json.loads(present))


def wrong(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The body with one field of another type, each in turn."""
    for field, value in body.items():
        changed = copy.deepcopy(body)
        changed[field] = 3.5 if isinstance(value, str | list | dict | bool) else {"not": "so"}
        yield changed


@pytest.mark.parametrize("name", ARROWS)
def test_a_value_of_another_shape_is_refused(name: str) -> None:
    validator = Draft202012Validator(arrow_schema(name))
    body = json.loads((DATA / f"{name}.json").read_text())
    assert not [changed for changed in wrong(body) if validator.is_valid(changed)]


def test_the_command_wants_a_folder(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "docs/reference/schemas" in capsys.readouterr().err
