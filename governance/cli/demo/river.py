"""The steps of the demo, in the order of the river; each checks what it did by what the public doors answer."""

from __future__ import annotations

import shutil
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from governance.cli.client import Api
from governance.cli.demo.story import DemoFailed, Story
from governance.cli.demo.world import World
from governance.cli.project import load_project

__all__ = ["River"]

_APPLICANTS = 1000
_MOST_ASKED = 80
"""At most so many predictions are asked for until one errs."""

_SETTLED_SECONDS = 60.0


class River:
    """Runs the steps on a world; :meth:`run` runs all, in order."""

    def __init__(self, world: World, story: Story, *, model: str, dp: bool) -> None:
        self.world = world
        self.story = story
        self.model = model
        self.dp = dp
        self.papers: dict[str, str] = {}
        self.happened: list[tuple[str, str]] = []
        self.facts: dict[str, Any] = {}

    def start(self) -> None:
        """A home and its first key."""
        with self.story.step("home") as step:
            made = self.world.govern_json("init", "--home", str(self.world.home))
            self.world.keys["admin"] = made["api_key"]
            step.check(bool(made["api_key"]) and (self.world.home / "govern.json").exists(), "govern init left no home")
            step.said = f"keys and stores made for installation {made['installation']}"

    def run(self) -> None:
        """Everything that needs the server."""
        self.keys()
        self.data()
        self.train()
        self.judge()
        self.release()
        self.trace()
        self.predict()
        self.incident()
        self.erase()
        self.serves_again()
        self.certificate()
        self.ledger()
        if self.world.graph is not None:
            self.rebuilt()

    def keys(self) -> None:
        """One key for each role that acts; the two privacy officers differ, for nobody approves their own request."""
        with self.story.step("keys") as step:
            roles = {"engineer": "engineer", "predict": "predict", "officer": "privacy", "approver": "privacy", "auditor": "auditor"}
            with self.world.api("admin") as api:
                for name, role in roles.items():
                    self.world.keys[name] = api.post("/api/v1/keys", {"name": f"demo {name}", "roles": [role]})["api_key"]
            step.said = f"{len(roles)} API keys made, one a role; the server answers on {self.world.url}"

    def data(self) -> None:
        """The example's own scripts: register, parse, split; they emit OpenLineage with the official client."""
        with self.story.step("data") as step:
            raw = self.world.copy_example()
            landing = self.world.home / "landing"
            landing.mkdir(exist_ok=True)
            shutil.copy(raw, landing / raw.name)
            for script in ("register.py", "parse.py", "split.py"):
                self.world.script(script, "engineer")
            with self.world.api("engineer") as api:
                rows = {name: api.get(f"/api/v1/datasets/{name}/versions")["versions"][-1]["rows"] for name in self._datasets()}
            step.check(rows["credit.raw"] == _APPLICANTS, f"the raw file has {rows['credit.raw']} rows, not {_APPLICANTS}")
            step.check(rows["credit.train"] + rows["credit.test"] == _APPLICANTS, f"the split lost rows: {rows}")
            step.said = f"{rows['credit.raw']} applicants parsed, split into {rows['credit.train']} train and {rows['credit.test']} test"
            self.happened.append(("data", step.said))

    @staticmethod
    def _datasets() -> tuple[str, ...]:
        return ("credit.raw", "credit.applicants", "credit.train", "credit.test")

    def train(self) -> None:
        """``govern train`` in the project's folder."""
        for model in [self.model, *(["credit-risk-dp"] if self.dp else [])]:
            with self.story.step("train") as step:
                made = self.world.govern_json("train", model, who="engineer", cwd=self.world.project)
                step.check(made.get("version") is not None, f"the training left no version: {made}")
                step.said = f"{model}@{made['version']} from code {made['code'][:21]}…"
                self.facts[f"trained {model}"] = made
                self.happened.append(("trained", step.said))

    def judge(self) -> None:
        """``govern audit`` and ``govern gate``."""
        ref = f"{self.model}@1"
        with self.story.step("audit") as step:
            found = self.world.govern_json("audit", ref, who="engineer")["findings"]
            step.check(bool(found), "no audit was made")
            step.check(not any(item["verdict"] == "ERROR" for item in found), "an audit ended in an error")
            step.said = ", ".join(f"{item['audit']} {item['verdict']}" for item in found)
            self.happened.append(("audits", step.said))
        with self.story.step("gate") as step:
            decision = self.world.govern_json("gate", ref, who="engineer")
            step.check(decision["outcome"] == "pass", f"the gate says {decision['outcome']}")
            warned = [gate for gate in decision["gates"] if gate["outcome"] != "pass"]
            step.said = f"pass by {decision['policy']}; {len(warned)} warnings, which the papers print"
            self.happened.append(("gate", step.said))

    def release(self) -> None:
        """``govern release``."""
        with self.story.step("release") as step:
            made = self.world.govern_json("release", f"{self.model}@1", "--to", "production", who="engineer")
            step.check(str(made["version"]) == "1", f"version {made['version']} serves, not 1")
            step.said = f"{self.model}@1 serves in production"

    def predict(self) -> None:
        """Ask for applicants of the training set, by name of their features, until the model errs on one."""
        with self.story.step("predict") as step:
            label = self._label()
            with self.world.api("engineer") as reader, self.world.api("predict") as asker:
                rows = _rows(reader, "credit.train")
                features = [(item["name"], item["datatype"]) for item in asker.get(f"/v2/models/{self.model}")["inputs"]]
                asked = 0
                for row in rows[:_MOST_ASKED]:
                    answer = _infer(asker, self.model, features, row)
                    asked += 1
                    step.check(str(answer["model_version"]) == "1", f"version {answer['model_version']} answered, not 1")
                    said = _label_of(answer)
                    if said != str(row[label]) and "row" not in self.facts:
                        self.facts |= {"row": row, "prediction": answer["id"], "said": said, "true": str(row[label]), "features": features}
                    if "row" in self.facts and asked >= 5:
                        break
            one = self.world.govern_json("trace", "--prediction", self.facts["prediction"], who="auditor") if "row" in self.facts else {}
            step.check("row" in self.facts, f"the model was right about {asked} applicants, so there is nothing to complain about")
            step.check(one["completeness"]["complete"], f"the prediction's trace is not complete: {one['completeness'].get('reasons')}")
            wrong = f"one got {self.facts['said']!r} in place of {self.facts['true']!r}"
            step.said = f"{asked} applicants answered by {self.model}@1, each with a receipt and a complete trace; {wrong}"
            self.happened.append(("predictions", step.said))

    def _label(self) -> str:
        section = load_project(self.world.project / "govern.yaml").model(self.model)
        inner = [item for item in _sections(section["datasets"]) if item.get("label")]
        return str(section.get("label") or inner[0]["label"])

    def trace(self) -> None:
        """``govern trace`` of the model, and the signed paper."""
        with self.story.step("trace") as step:
            self._settled()
            answer = self.world.govern_json("trace", self.model, who="auditor")
            step.check(answer["source_rows"] == _APPLICANTS, f"the trace counts {answer['source_rows']} source rows, not {_APPLICANTS}")
            step.check(answer["completeness"]["complete"], f"the trace is not complete: {answer['completeness'].get('reasons')}")
            path = self.world.papers / "model-trace.pdf"
            self.world.govern("report", "model-trace", f"{self.model}@1", "-o", str(path), who="auditor")
            self._paper("model trace", path)
            step.said = f"{self.model}@1 rests on {answer['source_rows']} source rows, recounted; the trace is complete"
            self.happened.append(("trace", step.said))

    def incident(self) -> None:
        """The wrong prediction becomes an incident: held, traced, papered, closed."""
        with self.story.step("incident") as step:
            summary = "an applicant complained about the decision"
            args = ("--prediction", self.facts["prediction"], "--summary", summary, "--expect", self.facts["true"])
            made = self.world.govern_json("incident", "open", *args, who="officer")
            step.check(bool(made["holds"]), "the incident holds nothing")
            path = self.world.papers / "incident-trace.pdf"
            self.world.govern("report", "incident-trace", made["id"], "-o", str(path), who="auditor")
            self._paper("incident trace", path)
            closed = self.world.govern_json("incident", "close", made["id"], "--resolution", "explained", who="officer")
            step.check(closed["state"] == "closed", f"the incident is {closed['state']}")
            step.said = f"opened on the wrong prediction, {len(made['holds'])} assets held, traced, closed"
            self.happened.append(("incident", step.said))

    def erase(self) -> None:
        """The same applicant asks to be erased: requested and verified by one officer, approved by another."""
        person = f"applicant:{self.facts['row']['applicant']}"
        with self.story.step("erasure") as step:
            made = self.world.govern_json("erasure", "request", "--subject", "-", who="officer", stdin=person)
            ident = self.facts["request"] = made["id"]
            self.world.govern("erasure", "verify", ident, "--method", "identity card", "--verifier", "demo desk", who="officer")
            # The one who asks may not approve: the same key is refused before another one is accepted.
            self.world.govern("erasure", "approve", ident, who="officer", expect=1)
            self.world.govern("erasure", "approve", ident, who="approver")
            done = self.world.govern_json("erasure", "show", ident, "--wait", "--timeout", "300", who="officer")
            step.check(done["state"] == "completed", f"the request is {done['state']}, not completed")
            levels = {item["id"]: item.get("level") for item in done["assets"] if item["found"]}
            step.check(bool(levels), "nothing was found to erase")
            self.facts["levels"] = levels
            shown = sorted(f"{'case' if name.startswith('case:') else name} {level}" for name, level in levels.items())
            step.said = f"request {ident} completed: {', '.join(shown)}"
            self.happened.append(("erasure", step.said))

    def serves_again(self) -> None:
        """The successor answers, the predecessor's weights are gone, the person is nowhere."""
        with self.story.step("recall") as step:
            with self.world.api("officer") as api:
                living = api.get("/api/v1/deployments", model=self.model, active="true")["deployments"]
                step.check([str(item["version"]) for item in living] == ["2"], f"deployed now: {living}")
                before = api.get(f"/api/v1/models/{self.model}/versions/1")
                step.check(bool(before.get("destroyed_at")), "the predecessor's weights were not destroyed")
                subject = {"type": "applicant", "value": str(self.facts["row"]["applicant"])}
                left = api.post("/api/v1/subjects:trace", subject, once=False)
                step.check(not any(_count(item["rows"]) for item in left["datasets"]), f"the person is still in {left['datasets']}")
                step.check(not left["predictions"], f"{left['predictions']} prediction records of the person remain")
            with self.world.api("engineer") as reader, self.world.api("predict") as asker:
                row = _rows(reader, "credit.test")[0]
                answer = _infer(asker, self.model, self.facts["features"], row)
            step.check(str(answer["model_version"]) == "2", f"version {answer['model_version']} answered, not 2")
            step.said = f"{self.model}@2, made without the person, answers; @1 is destroyed; no row or prediction of the person is left"
            self.happened.append(("recall", step.said))

    def certificate(self) -> None:
        """The signed certificate, checked in an empty folder with no Govern variable set; and a changed byte is found."""
        with self.story.step("certificate") as step:
            path = self.world.papers / "erasure-certificate.pdf"
            keys = self.world.papers / "public-keys.json"
            self.world.govern("erasure", "certificate", self.facts["request"], "-o", str(path), who="officer")
            self.world.govern("keys", "public", "-o", str(keys), who="officer")
            with tempfile.TemporaryDirectory(prefix="govern-verify-") as empty:
                place = Path(empty)
                shutil.copy(path, place / "paper.pdf")
                shutil.copy(keys, place / "keys.json")
                data = bytearray(path.read_bytes())
                data[len(data) // 2] ^= 1
                (place / "changed.pdf").write_bytes(data)
                with ThreadPoolExecutor(2) as both:
                    checks = [
                        both.submit(self.world.govern, "verify", name, "--keys", "keys.json", cwd=place, expect=code)
                        for name, code in (("paper.pdf", 0), ("changed.pdf", 3))
                    ]
                    for check in checks:
                        check.result()
            self._paper("erasure certificate", path)
            self.papers["public keys"] = str(keys)
            step.said = "intact, complete, trusted, anchored: verified in an empty folder; with one changed bit it is refused"
            self.happened.append(("certificate", step.said))

    def ledger(self) -> None:
        """The whole ledger, checked again."""
        with self.story.step("ledger") as step:
            answer = self.world.govern_json("ledger", "fsck", who="auditor")
            step.check(answer["ok"], f"the ledger is not whole: {answer['problems']}")
            step.said = f"{answer['size']} entries, every leaf, root and checkpoint checked again"
            self.happened.append(("ledger", step.said))

    def rebuilt(self) -> None:
        """The ledger of this run, folded into another kind of store, gives the digest that is read from Neo4j."""
        with self.story.step("two graphs") as step:
            live = self.world.govern_json("lineage", "status", "--digest", who="auditor")
            place = f"sqlite:{self.world.folder / 'rebuilt.db'}"
            other = self.world.govern_json("lineage", "rebuild", "--into", place, who="auditor")
            step.check(other["graph_digest"] == live["graph_digest"], f"Neo4j {live['graph_digest']}, SQLite {other['graph_digest']}")
            step.said = f"Neo4j and SQLite, {other['nodes']} nodes and {other['edges']} edges each: {live['graph_digest']}"
            self.happened.append(("two graphs", step.said))

    def _settled(self) -> None:
        """Wait for the graph: a server that was just started plans each statement when it first comes."""
        end = time.monotonic() + _SETTLED_SECONDS
        with self.world.api("auditor") as api:
            while api.get("/api/v1/lineage/status", digest="false")["lag"] and time.monotonic() < end:
                time.sleep(0.1)

    def _paper(self, name: str, path: Path) -> None:
        if not path.read_bytes().startswith(b"%PDF-") or path.stat().st_size < 1000:
            raise DemoFailed(f"{path} is no paper")
        self.papers[name] = str(path)


def _sections(datasets: Any) -> list[dict[str, Any]]:
    listed = datasets if isinstance(datasets, list) else datasets.values()
    return [item for item in listed if isinstance(item, dict)]


def _rows(api: Api, dataset: str) -> list[dict[str, Any]]:
    import pyarrow as pa

    data = api.bytes(f"/api/v1/datasets/{dataset}/versions/latest/rows")
    rows: list[dict[str, Any]] = pa.ipc.open_stream(pa.BufferReader(data)).read_all().to_pylist()
    return rows


def _infer(api: Api, model: str, features: list[tuple[str, str]], row: dict[str, Any]) -> dict[str, Any]:
    """One prediction by the Open Inference Protocol, with the person named for the receipt."""
    inputs = [
        {"name": name, "datatype": kind, "shape": [1], "data": [str(row[name]) if kind == "BYTES" else row[name]]}
        for name, kind in features
    ]
    body = {"inputs": inputs, "parameters": {"govern_subject": f"applicant:{row['applicant']}"}}
    answer: dict[str, Any] = api.post(f"/v2/models/{model}/infer", body, once=False)
    return answer


def _label_of(answer: dict[str, Any]) -> str:
    return next(str(tensor["data"][0]) for tensor in answer["outputs"] if tensor["name"] == "label")


def _count(rows: Any) -> int:
    return len(rows) if isinstance(rows, list) else int(rows or 0)
