"""The commands that ask the graph: what they ask the server, what they print, and how they end."""

from __future__ import annotations

import importlib
import json
from contextlib import contextmanager

import httpx2
import pytest

from governance.cli import main
from governance.cli.client import Api
from governance.cli.table import COMMANDS
from governance.cli.trace_view import trace_tree


@pytest.fixture
def govern(monkeypatch, capsys):
    """Run a command against canned answers: (exit code, stdout, stderr, requests)."""

    def run(args, answers=None):
        seen = []

        def handle(request):
            seen.append(request)
            found = (answers or {}).get(request.url.path)
            if found is None:
                return httpx2.Response(404, json={"detail": f"no answer for {request.url.path}"})
            status, body, *headers = found
            more = headers[0] if headers else {}
            if isinstance(body, bytes):
                return httpx2.Response(status, content=body, headers=more)
            return httpx2.Response(status, json=body, headers=more)

        @contextmanager
        def connect():
            with httpx2.Client(transport=httpx2.MockTransport(handle), base_url="http://govern.test") as http:
                yield Api(http, "http://govern.test")

        monkeypatch.setattr(importlib.import_module(f"governance.cli.commands.{COMMANDS[args[0]].module}"), "connect", connect)
        with pytest.raises(SystemExit) as end:
            main(args)
        out, err = capsys.readouterr()
        return end.value.code, out, err, seen

    return run


GAPS = {
    "complete": False,
    "reasons": ["run f failed: it may have written something"],
    "hops_by_basis": {"declared": 2},
    "lag": 0,
    "gaps": {
        "lag": {"count": 0, "what": "entries", "examples": []},
        "failed_runs": {
            "count": 7,
            "what": "runs that failed",
            "examples": [{"reason": "run f failed"}, {"reason": "run g failed"}],
        },
    },
}
DOWN = {
    "subject": {"kind": "dataset", "ref": "s3://lake raw", "keys": ["d"]},
    "direction": "down",
    "as_of": 1_772_496_000_000_000_000,
    "nodes": [
        {"key": "d", "label": "Dataset", "props": {"name": "raw", "namespace": "s3://lake"}},
        {"key": "v", "label": "DatasetVersion", "props": {"name": "raw", "namespace": "s3://lake", "version": "1"}},
        {"key": "m", "label": "ModelVersion", "props": {"name": "fraud", "namespace": "govern://x", "version": "0190-run"}},
        {"key": "p", "label": "ModelVersion", "props": {"name": "fraud", "namespace": "mlflow://h", "version": "2"}},
        {"key": "s", "label": "Deployment", "props": {"name": "fraud.production", "active_from": 0, "active_to": None}},
        {"key": "c", "label": "CodeRevision", "props": {"version": "3f2a"}},
        *[{"key": f"r{i}", "label": "Run", "props": {"run_id": f"run-{i:02}", "state": "COMPLETE", "job": {"name": "job"}}} for i in range(25)],
    ],
    "edges": [
        {"type": "INPUT_TO", "source": "v", "target": "r0", "walk": True},
        {"type": "PRODUCED", "source": "r0", "target": "m", "walk": True},
        {"type": "PLANNED", "source": "r1", "target": "p", "walk": False},
        {"type": "DEPLOYED_AS", "source": "m", "target": "s", "walk": True},
        *[{"type": "INPUT_TO", "source": "v", "target": f"r{i}", "walk": True} for i in range(1, 25)],
    ],
    "models": [{"key": "m", "model": "fraud", "version": 3, "own": True}, {"key": "p", "model": "fraud", "version": "2", "own": False}],
    "completeness": GAPS,
}  # fmt: skip


def test_impact_shows_what_is_live_first_and_every_gap_with_examples(govern):
    code, out, _, seen = govern(["impact", "raw", "--namespace", "s3://lake", "--as-of", "2026-03-03"], {"/api/v1/trace": (200, DOWN)})
    assert code == 0
    order = ["as of 2026-03-03", "deployments (1)", "model versions (2)", "dataset versions (1)", "runs (25)"]
    places = [out.index(part) for part in order[1:]]
    assert places == sorted(places)
    for part in (
        "fraud.production from 1970-01-01 00:00:00 UTC, live",
        "fraud@3",
        "mlflow://h fraud@2 (planned, not written)",
        "and 5 more: --json has them all",
        "7 × runs that failed",
        "run g failed",
        "and 5 more",
        "NOT complete (steps: 2 declared)",
    ):
        assert part in out, part
    assert "3f2a" not in out, "code stands beside the flow, it was not reached"
    assert dict(seen[0].url.params) == {"namespace": "s3://lake", "name": "raw", "direction": "down", "as_of": "2026-03-03"}


@pytest.mark.parametrize(("complete", "code"), [("true", 0), ("false", 4)])
def test_a_picture_is_printed_or_written_and_strict_still_counts(govern, tmp_path, complete, code):
    answers = {"/api/v1/trace": (200, b"<svg/>", {"govern-complete": complete})}
    ended, out, _, seen = govern(["trace", "m@1", "--format", "svg", "--strict", "--max-nodes", "9"], answers)
    assert (ended, out) == (code, "<svg/>")
    assert dict(seen[0].url.params) == {"model": "m@1", "direction": "up", "format": "svg", "max_nodes": "9"}
    ended, out, _, _ = govern(["trace", "m@1", "--format", "dot", "-o", str(tmp_path / "x.dot")], answers)
    assert ended == 0
    assert (tmp_path / "x.dot").read_bytes() == b"<svg/>"
    assert ("NOT complete" in out) == (complete == "false")


def test_a_paper_may_be_about_another_time(govern, tmp_path):
    answers = {"/api/v1/reports": (201, {"id": "p1", "ledger_index": 4}), "/api/v1/reports/p1": (200, b"%PDF")}
    args = ["trace", "m@1", "--format", "pdf", "-o", str(tmp_path / "m.pdf"), "--as-of", "2026-03-03", "--known-at", "2026-03-05"]
    code, out, _, seen = govern(args, answers)
    assert (code, "ledger entry 4" in out) == (0, True)
    assert json.loads(seen[0].content) == {"kind": "model-trace", "subject": "m@1", "as_of": "2026-03-03", "known_at": "2026-03-05"}
    code, _, _, seen = govern(["impact", "raw", "--namespace", "s3://lake", "--format", "pdf", "-o", str(tmp_path / "i.pdf")], answers)
    assert code == 0
    assert json.loads(seen[0].content) == {"kind": "dataset-impact", "subject": "s3://lake raw"}


DIFF = {
    "model": "m",
    "from": {"ref": "m@1", "created": 0}, "to": {"ref": "m@2", "created": 0},
    "rows": {"by_dataset": [
        {"dataset": "train", "role": "train", "from": {"version": "1", "rows": 6, "row_set": "a"}, "to": {"version": "2", "rows": 5, "row_set": "b"},
         "added": 1, "removed": 2, "kept": 4, "basis": "committed"},
        {"dataset": "extra", "role": None, "from": None, "to": {"version": None, "rows": None, "row_set": None},
         "added": None, "removed": 0, "kept": 0, "basis": "unknown"},
    ]},
    "datasets": {"added": [], "removed": [], "changed": [{"namespace": "n", "name": "train", "from": ["1"], "to": ["2"]}], "same": 0},
    "job": {"from": "a b", "to": "a b", "same": True},
    "code": {"from": "snapshot:" + "a" * 64, "to": "snapshot:" + "b" * 64, "same": False},
    "params": {"added": {"depth": 3}, "removed": {}, "changed": {"rate": {"from": 0.1, "to": 0.2}}, "same": 1},
    "environment": {}, "tests": {}, "upstream_code": [{"job": "n split", "from": [{"version": "c1"}], "to": [{"version": "c2"}]}],
    "metrics": [{"metric": "auc", "from": 0.7, "to": 0.75, "delta": 0.05}],
    "audits": [{"audit": "fair", "from": "PASS", "to": "FAIL", "metrics": []}],
    "decision": {"from": {"outcome": "pass"}, "to": None},
    "completeness": GAPS,
}  # fmt: skip


def test_diff_says_what_came_and_went(govern):
    code, out, _, seen = govern(["diff", "m@1", "m@2"], {"/api/v1/models/m/diff": (200, DIFF)})
    assert code == 0
    for part in ("m@1", "+1", "−2", "committed", "?", "params rate", "0.2", "code of n split", "c2", "snapshot:bbbbbbbbbbbb…", "fair", "FAIL",
                 "decision: pass → none", "NOT complete"):  # fmt: skip
        assert part in out, part
    assert dict(seen[0].url.params) == {"from": "1", "to": "2"}
    assert govern(["diff", "m", "--strict", "--json"], {"/api/v1/models/m/diff": (200, DIFF)})[0] == 4
    assert govern(["diff", "m@1", "n@2"])[0] == 2


def test_find_names_the_next_command(govern):
    nodes = [
        {"key": "k", "label": "Dataset", "props": {"namespace": "s3://lake", "name": "orders"}},
        {"key": "f", "label": "Field", "props": {"namespace": "s3://lake", "dataset": "orders", "name": "total"}},
    ]
    run = {"key": "r", "label": "Run", "props": {"run_id": "r-1", "job": {"namespace": "n", "name": "load"}}}
    answer = {"nodes": nodes, "exact": [run], "next": "abc", "total": 51}
    code, out, _, seen = govern(["find", "ord", "--label", "Dataset"], {"/api/v1/nodes": (200, answer)})
    assert code == 0
    for part in (
        "govern impact orders --namespace s3://lake",
        "govern trace --dataset s3://lake orders --column total",
        "govern trace --run r-1",
        "51 in all",
    ):
        assert part in out
    assert seen[0].url.params["label"] == "Dataset"


def test_deployments_of_a_day_as_known_on_another(govern):
    own = {"id": "1", "model": "m", "version": 2, "environment": "production", "active_from": 0, "active_to": None, "own": True}
    foreign = {"id": "2", "model": "fraud", "version": "7", "environment": None, "active_from": 0, "active_to": 10**18, "own": False,
               "job": {"namespace": "k8s", "name": "serve-fraud"}}  # fmt: skip
    answer = {"deployments": [own, foreign], "as_of": 10**18, "known_at": None, "next": None}
    args = ["deployments", "--in", "production", "--as-of", "2026-03-03", "--known-at", "2026-03-05"]
    code, out, _, seen = govern(args, {"/api/v1/deployments": (200, answer)})
    assert code == 0
    for part in ("m@2", "released here", "fraud@7", "serve-fraud", "told by events of k8s", "as of 2001-09-09"):
        assert part in out
    assert dict(seen[0].url.params) == {"environment": "production", "as_of": "2026-03-03", "known_at": "2026-03-05", "limit": "100"}


def test_events_are_exported_page_by_page(govern, tmp_path):
    pages = iter([(200, b'{"a":1}\n', {"govern-next": "c1", "govern-destroyed": "2"}), (200, b'{"b":2}\n', {"govern-destroyed": "0"})])

    class Answers(dict):
        def get(self, path, default=None):
            return next(pages)

    target = tmp_path / "events.ndjson"
    code, out, err, seen = govern(["ledger", "export", str(target), "--format", "openlineage", "--since", "2026-01-01"], Answers({"x": 1}))
    assert code == 0
    assert target.read_bytes() == b'{"a":1}\n{"b":2}\n'
    assert "2 events written" in out
    assert "2 events are not exported" in err
    assert [request.url.params.get("cursor") for request in seen] == [None, "c1"]
    assert govern(["ledger", "export", "-", "--since", "2026-01-01"])[0] == 2


def test_a_column_is_shown_with_what_fed_it():
    nodes = [
        {"key": k, "label": "Field", "props": {"namespace": "n", "dataset": d, "name": c}}
        for k, d, c in (("a", "raw", "x"), ("b", "out", "y"))
    ]
    feeds = {
        "type": "FEEDS",
        "source": "a",
        "target": "b",
        "props": {"type": "DIRECT", "subtype": "IDENTITY", "basis": "column", "masking": True},
    }
    loop = {"type": "FEEDS", "source": "b", "target": "a", "props": {}}
    answer = {"subject": {"kind": "column", "ref": "n out y", "keys": ["b"]}, "direction": "up", "nodes": nodes, "edges": [feeds, loop],
              "completeness": {"complete": True}}  # fmt: skip

    def words(tree) -> list[str]:
        return [str(tree.label), *(word for child in tree.children for word in words(child))]

    assert "n raw.x  (direct, identity, column, masked)" in words(trace_tree(answer))
    down = words(trace_tree(answer | {"direction": "down", "subject": {"kind": "column", "ref": "n raw x", "keys": ["a"]}}))
    assert {"columns (1)", "n out.y"} <= set(down)
