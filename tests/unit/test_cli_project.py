"""govern.yaml: what is wrong is named with its line and column."""

from __future__ import annotations

from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from governance.cli.commands.train import _cost
from governance.cli.project import check_text, load_project, schema
from lineage.errors import BadInput, NotFound

EXAMPLE = Path(__file__).parents[2] / "examples" / "credit" / "govern.yaml"
GOOD = """\
models:
  risk:
    entrypoint: model
    datasets: {train: credit.train}
    policy: p.yaml
"""


def test_the_schema_is_a_schema():
    Draft202012Validator.check_schema(schema())


def test_the_example_is_right_and_its_policies_are_found():
    project = load_project(EXAMPLE)
    assert "gates:" in project.policy_text(next(iter(project.models)))


def test_a_list_of_models_reads_as_the_mapping_does(tmp_path):
    listed = tmp_path / "govern.yaml"
    listed.write_text("models:\n- name: risk\n  entrypoint: model\n  datasets: {train: credit.train}\n  policy: p.yaml\n")
    mapped = tmp_path / "other.yaml"
    mapped.write_text(GOOD)
    assert load_project(listed).models == load_project(mapped).models


@pytest.mark.parametrize(
    ("text", "line", "column", "words"),
    [
        (GOOD.replace("policy: p.yaml", "polcy: p.yaml"), 5, 5, "did you mean 'policy'"),
        (GOOD + "    seed: x\n", 6, 5, "must be of type integer"),
        (GOOD + "    seed: 1\n    seed: 2\n", 7, 5, "given twice"),
        (GOOD + "    privacy: {epsilon: 0, delta: 0.1}\n", 6, 15, "0"),
        (GOOD + "    strategy: slices\n", 6, 5, "'slices' is not one of ['full', 'sisa', 'replay']"),
        (GOOD + "    strategy: replay\n", 2, 3, "'replay' is a required property"),
        (GOOD + "    strategy: replay\n    replay: {epochs: 1}\n", 7, 5, "'batch_size' is a required property"),
        (GOOD + "    strategy: replay\n    replay: {batch_size: 8, checkpoints: 0}\n", 7, 29, "minimum of 1"),
        (GOOD + "    strategy: sisa\n    sisa: {shards: 5}\n    replay: {batch_size: 8}\n", 8, 5, "belongs to `strategy: replay`"),
        (
            GOOD + "    strategy: replay\n    replay: {batch_size: 8}\n    privacy: {epsilon: 1, delta: 0.1}\n",
            8,
            5,
            "exclude each other",
        ),
        (GOOD + "    strategy: sisa\n", 2, 3, "'sisa' is a required property"),
        (GOOD + "    sisa: {shards: 5}\n", 6, 5, "belongs to `strategy: sisa`"),
        (GOOD + "    strategy: full\n    sisa: {shards: 5}\n", 7, 5, "belongs to `strategy: sisa`"),
        (GOOD + "    strategy: sisa\n    sisa: {shards: 1}\n", 7, 12, "minimum of 2"),
        (GOOD + "    strategy: sisa\n    sisa: {shards: 5, slices: 2}\n", 7, 23, "no such key"),
        (
            GOOD + "    strategy: sisa\n    sisa: {shards: 5}\n    privacy: {epsilon: 1, delta: 0.1}\n",
            8,
            5,
            "`privacy` and `strategy: sisa` or `replay` exclude each other",
        ),
        ("models: [\n", 2, 1, "not YAML"),
        ("", 1, 1, "empty"),
        ("models: {}\n", 1, 1, "non-empty"),
    ],
)
def test_each_fault_is_named_where_it_stands(text, line, column, words):
    _, faults = check_text(text)
    assert any((fault.line, fault.column) == (line, column) and words in fault.what for fault in faults), faults


def test_a_bad_file_is_refused_with_the_next_command(tmp_path):
    file = tmp_path / "govern.yaml"
    file.write_text(GOOD + "    sead: 1\n")
    with pytest.raises(BadInput, match=r"line 6, column 5: models\.risk\.sead.*did you mean 'seed'") as refused:
        load_project(file)
    assert "govern doctor" in str(refused.value.hint)


def test_an_unknown_model_names_the_nearest(tmp_path):
    file = tmp_path / "govern.yaml"
    file.write_text(GOOD)
    with pytest.raises(NotFound) as refused:
        load_project(file).model("rsk")
    assert refused.value.hint == "govern train risk"


def test_what_a_retrain_will_cost_is_said_before_a_training():
    assert "on all rows" in _cost({})
    assert "on all rows" in _cost({"strategy": "full"})
    said = _cost({"strategy": "sisa", "sisa": {"shards": 20}})
    assert "20 shards" in said
    assert "5% for 1, 23% for 5, 64% for 20" in said
    assert "beyond 13 at once on more than half" in said
    said = _cost({"strategy": "replay", "replay": {"batch_size": 8, "checkpoints": 99}})
    assert "99 checkpoints" in said
    assert "50% for 1, 84% for 5, 96% for 20 rows" in said
    assert "saves little" in _cost({"strategy": "replay", "replay": {"batch_size": 8, "epochs": 10}})
