"""The helpers of a user's script: what they say, what they never say, and what they refuse."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid

import pytest
from openlineage.client.serde import Serde

from lineage import emit
from lineage.errors import BadInput
from lineage.openlineage import parse_event
from tests.support.facets import problems

SECRET = b"sixteen bytes or more"
PRODUCER = "https://example.org/mine"
JOB = emit.job("shop", "train")


class Kept:
    """An emitter that keeps what it is given, as JSON."""

    def __init__(self):
        self.events = []

    def emit(self, event):
        self.events.append(json.loads(Serde.to_json(event)))


# ── rows ────────────────────────────────────────────────────────────────────────────────────────
def test_a_row_set_does_not_mind_order_or_repetition_and_minds_everything_else():
    rows = emit.row_set([3, 1, 2, 2], dataset="orders", secret=SECRET)
    assert rows == emit.row_set([1, 2, 3], dataset="orders", secret=SECRET)
    assert rows.count == 3
    others = [
        emit.row_set([1, 2], dataset="orders", secret=SECRET),
        emit.row_set([1, 2, 3], dataset="refunds", secret=SECRET),
        emit.row_set([1, 2, 3], dataset="orders", secret=SECRET + b"!"),
        emit.row_set(["1", "2", "3"], dataset="orders", secret=SECRET),
        emit.row_set([12, 3], dataset="orders", secret=SECRET),
        emit.row_set([], dataset="orders", secret=SECRET),
    ]
    assert len({rows.digest, *(one.digest for one in others)}) == 7


def test_a_weak_secret_or_a_row_without_a_name_is_refused():
    with pytest.raises(BadInput, match=r"secrets\.token_bytes"):
        emit.row_set([1], dataset="orders", secret=b"short")
    for wrong in (1.5, None, True, b"x"):
        with pytest.raises(BadInput, match="not by a text"):
            emit.row_set([wrong], dataset="orders", secret=SECRET)


# ── a run that tells ────────────────────────────────────────────────────────────────────────────
def test_a_run_tells_its_start_and_its_end_with_what_was_added_meanwhile():
    kept = Kept()
    read = emit.dataset_input("s3://lake", "orders", version="7", rows=emit.row_set([1], dataset="orders", secret=SECRET), role="train")
    with emit.telling(kept, JOB, producer=PRODUCER, inputs=[read], facets={"executionParameters": emit.parameters({"lr": 0.1})}) as told:
        assert [event["eventType"] for event in kept.events] == ["START"]
        told.inputs.append(emit.dataset_input("s3://lake", "late", row_count=3))
        told.outputs.append(emit.model_output("shop", "m", told.run_id, digest="sha256:aa", metrics={"auc": 0.8, "loss": float("nan")}))
    start, end = kept.events
    assert (start["eventType"], end["eventType"]) == ("START", "COMPLETE")
    assert start["run"]["runId"] == end["run"]["runId"] == str(uuid.UUID(told.run_id))
    assert (len(start["inputs"]), start["outputs"], len(end["inputs"])) == (1, [], 2)
    (model,) = end["outputs"]
    assert model["facets"]["govern_model"]["metrics"] == {"auc": 0.8}
    assert start["eventTime"] < end["eventTime"]
    assert [fault for event in kept.events for fault in problems(event)] == []
    parsed = parse_event(json.dumps(end).encode())
    assert (parsed.outputs[0].kind, parsed.outputs[0].version) == ("MODEL", told.run_id)


def test_a_run_that_fails_says_the_kind_of_error_and_none_of_its_words():
    kept = Kept()

    def work():
        with emit.telling(kept, JOB, producer=PRODUCER) as told:
            told.outputs.append(emit.dataset_output("s3://lake", "half"))
            raise ValueError("row 17 of Ada Lovelace")

    with pytest.raises(ValueError, match="row 17"):
        work()
    end = kept.events[-1]
    assert (end["eventType"], end["run"]["facets"]["errorMessage"]["message"]) == ("FAIL", "ValueError")
    assert [one["name"] for one in end["outputs"]] == ["half"], "what it meant to write; a consumer knows that it failed"
    assert "Ada" not in json.dumps(kept.events)


def test_an_interrupt_is_an_abort_and_work_that_cannot_be_told_does_not_begin(caplog):
    kept, begun = Kept(), []

    def interrupted():
        with emit.telling(kept, JOB, producer=PRODUCER):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [event["eventType"] for event in kept.events] == ["START", "ABORT"]

    class Away:
        def emit(self, event):
            if begun or event.eventType.value == "START":
                raise ConnectionError("the server is away")

    def work(client):
        with emit.telling(client, JOB, producer=PRODUCER):
            begun.append(client)
            raise ValueError("of the work")

    with pytest.raises(ConnectionError):
        work(Away())
    assert begun == []

    class AwayLater(Kept):
        def emit(self, event):
            if self.events:
                raise ConnectionError("the server is away")
            super().emit(event)

    with pytest.raises(ValueError, match="of the work"):
        work(AwayLater())
    assert "could not be told: ConnectionError" in caplog.text


def test_every_facet_names_the_script_as_its_producer_and_a_ready_one_its_own():
    ready = {"version": {"_producer": "https://example.org/store", "_schemaURL": "s", "datasetVersion": "3"}}
    event = emit.run_event(
        "COMPLETE", at=10**18, run_id=str(uuid.uuid4()), job=JOB, producer=PRODUCER, inputs=[emit.dataset_input("n", "d", facets=ready)],
        outputs=[emit.dataset_output("n", "o", version="1", row_count=2, columns={"a": "int64"})],
        facets={"test": emit.evaluation([("a", True), ("a", False)], kind="mine")},
    )  # fmt: skip
    told = json.loads(Serde.to_json(event))
    assert told["inputs"][0]["facets"] == ready
    facets = [*told["outputs"][0]["facets"].values(), *told["outputs"][0]["outputFacets"].values(), *told["run"]["facets"].values()]
    assert {facet["_producer"] for facet in facets} == {PRODUCER}
    assert [one["status"] for one in told["run"]["facets"]["test"]["tests"]] == ["pass", "fail"], "one name twice is two tests"
    assert told["eventTime"] == "2001-09-09T01:46:40.000000Z"


def test_a_deployment_is_a_run_of_a_service_whose_input_is_the_model():
    event = emit.deployment(
        "START", at=10**18, run_id=str(uuid.uuid4()), namespace="shop", name="m.production", model=("shop", "m", "v1"), producer=PRODUCER
    )
    parsed = parse_event(Serde.to_json(event).encode())
    assert (parsed.processing, parsed.inputs[0].kind, parsed.inputs[0].version) == ("SERVICE", "MODEL", "v1")


def test_the_environment_switches_off_no_event_of_our_own(monkeypatch):
    """Why acts of Govern go past the client's facade."""
    monkeypatch.setenv("OPENLINEAGE_DISABLED", "true")
    kept = []
    emit.LedgerTransport(kept.append).emit(emit.run_event("OTHER", at=1, run_id=str(uuid.uuid4()), job=JOB, producer=PRODUCER))
    assert len(kept) == 1
    assert "tags" not in json.loads(kept[0])["run"]["facets"]


# ── surroundings ────────────────────────────────────────────────────────────────────────────────
def git(folder, *words):
    identity = {
        "GIT_AUTHOR_NAME": "a",
        "GIT_AUTHOR_EMAIL": "a@example.org",
        "GIT_COMMITTER_NAME": "a",
        "GIT_COMMITTER_EMAIL": "a@example.org",
    }
    subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True, env={**os.environ, **identity})


def test_code_is_its_commit_and_what_is_not_committed(tmp_path):
    script = tmp_path / "project" / "jobs" / "train.py"
    script.parent.mkdir(parents=True)
    script.write_text("print(1)\n")
    alone = emit.code_location(script)
    assert (alone.type, alone.path, alone.version) == ("file", "train.py", emit.file_version(script))
    root = tmp_path / "project"
    git(root, "init", "-q")
    git(root, "add", ".")
    git(root, "commit", "-qm", "first")
    git(root, "remote", "add", "origin", "https://me:secret@example.org/project.git")
    clean = emit.code_location(script)
    assert (clean.type, clean.path, clean.repoUrl) == ("git", "jobs/train.py", "https://example.org/project.git")
    assert len(clean.version) == 40
    script.write_text("print(2)\n")
    changed = emit.code_location(script)
    assert changed.version.startswith(clean.version + "+")
    (script.parent / "new.py").write_text("print(3)\n")
    new = emit.code_location(script.parent / "new.py")
    assert new.version.startswith(clean.version + "+")
    assert new.version != changed.version


def test_an_environment_is_a_digest_of_packages_that_minds_threads():
    assert emit.environment().digest == emit.environment().digest
    assert emit.environment(1).digest != emit.environment(2).digest


# ── weight ──────────────────────────────────────────────────────────────────────────────────────
def test_the_helpers_need_the_official_client_and_no_store_and_no_machine_learning():
    code = "import sys\nimport lineage.emit\nprint(' '.join(sorted({name.split('.')[0] for name in sys.modules})))"
    loaded = set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())
    assert "openlineage" in loaded
    assert not loaded & {"rfc8785", "orjson", "msgspec", "pydantic", "cryptography", "jsonschema"}, "openlineage-python is all it needs"
    assert not loaded & {"torch", "numpy", "pandas", "pyarrow", "sqlalchemy", "sqlite3", "lance", "fastapi", "governance", "trainers"}


def test_a_command_that_tells_nothing_does_not_load_the_client():
    code = (
        "import sys, contextlib, io\nfrom governance.cli import main\nimport governance.wiring\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n    main(['trace', '--help'])\n"
        "print(' '.join(sys.modules))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "governance.wiring" in loaded
    assert not [name for name in loaded if name.startswith("openlineage")]
