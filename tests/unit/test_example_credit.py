"""The credit example: 1 000 lines become applicants, the split is stable, the model answers and names what it cannot read."""

from __future__ import annotations

import sys
from pathlib import Path

import pandera.errors
import pyarrow as pa
import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parents[2] / "examples" / "credit"))

import append
import parse
import split

from trainers.contract import ROW_ID, TrainingRun
from trainers.errors import BadFeature
from trainers.loading import UserCode

CREDIT = Path(__file__).parents[2] / "examples" / "credit"
LINES = (CREDIT / "german.data").read_text().splitlines()
CONFIG = yaml.safe_load((CREDIT / "govern.yaml").read_text())["models"]


def raw(lines):
    return pa.table({ROW_ID: pa.array(range(1, len(lines) + 1), pa.int64()), "line": lines})


def with_ids(table):
    return table.add_column(0, ROW_ID, pa.array(range(1, table.num_rows + 1), pa.int64()))


@pytest.fixture(scope="module")
def applicants():
    return with_ids(parse.parse(raw(LINES)))


def test_every_line_is_an_applicant_numbered_by_its_line(applicants):
    assert applicants["applicant"].to_pylist() == list(range(1, 1001))
    first = applicants.slice(0, 1).to_pylist()[0]
    assert (first["sex"], first["age"], first["age_group"], first["amount"], first["credit"]) == ("male", 67, "older than 25", 1169, "good")
    assert first["remarks"] is None
    assert sum(one == "good" for one in applicants["credit"].to_pylist()) == 700


def test_an_erased_line_is_skipped_and_the_others_keep_their_numbers():
    table = parse.parse(raw(["", LINES[1] + " called  twice", LINES[2]]))
    assert table["applicant"].to_pylist() == [2, 3]
    assert table["remarks"].to_pylist() == ["called  twice", None]


@pytest.mark.parametrize("line", ["A11 6 A34", LINES[0].replace("A43", "A99"), LINES[0].replace("1169", "Erika")])
def test_a_line_that_cannot_be_read_is_named_without_its_words(line):
    with pytest.raises(ValueError, match="line 1 ") as caught:
        parse.parse(raw([line]))
    assert "Erika" not in str(caught.value)
    with pytest.raises(pandera.errors.SchemaErrors):
        parse.parse(raw([LINES[0].replace(" 67 ", " 7 ")]))


def test_the_split_is_stratified_and_does_not_move_when_applicants_go(applicants):
    train, test = split.split(applicants)
    assert (train.num_rows, test.num_rows) == (686, 314)
    share = [sum(one == "good" for one in part["credit"].to_pylist()) / part.num_rows for part in (train, test)]
    assert share == pytest.approx([0.7, 0.7], abs=0.02)
    fewer = applicants.filter([one not in (17, 18) for one in applicants[ROW_ID].to_pylist()])
    assert set(split.split(fewer)[0]["applicant"].to_pylist()) == set(train["applicant"].to_pylist()) - {17, 18}


def test_the_model_learns_and_repeats_itself(applicants):
    import torch

    train, test = (with_ids(one) for one in split.split(applicants))
    user = UserCode(CREDIT, "model")
    config = CONFIG["credit-risk"]
    made = []
    for _ in range(2):
        torch.manual_seed(config["seed"])
        run = TrainingRun(
            tables={"train": train}, params=config["params"], seed=config["seed"], label=config["label"], features=config["features"]
        )
        made.append(user.call("train", run))
    assert all(torch.equal(a, b) for a, b in zip(made[0].model.state_dict().values(), made[1].model.state_dict().values(), strict=True))
    x, y = user.call("encode", test, made[0].state)
    assert float((made[0].model(x).argmax(dim=1) == y).double().mean()) > 0.72
    for table, words in [
        (test.drop_columns(["purpose"]), "no feature 'purpose'"),
        (test.set_column(test.column_names.index("purpose"), "purpose", pa.array(["yacht"] * len(test))), "'purpose' holds a category"),
        (test.set_column(test.column_names.index("age"), "age", pa.array(["old"] * len(test))), "'age' is not a number"),
    ]:
        with pytest.raises(BadFeature, match=words):
            user.call("encode", table, made[0].state)


def test_the_configuration_names_columns_that_are_there(applicants):
    for model in CONFIG.values():
        assert set(model["features"]) | {model["label"], model["subject_key"]} | set(model["protected"]) <= set(applicants.column_names)
        assert (CREDIT / model["policy"]).exists()


def test_arrivals_are_appended_as_readable_lines(tmp_path):
    landing = tmp_path / "german.data"
    landing.write_text("\n".join(["", *LINES[1:]]))
    assert append.append(landing, 7) == 1006
    lines = landing.read_text().splitlines()
    assert len(lines) == 1007
    assert parse.parse(raw(lines)).num_rows == 1006
