"""A real home served by a real `govern serve` process, and the credit example run against it, for end-to-end and crash tests."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx2
import yaml

from trainers.snapshot import pack

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "credit"
GOVERN = [sys.executable, "-m", "governance.cli"]
ENDED = ("completed", "completed_partial", "failed", "awaiting_decision", "refused", "withdrawn")

__all__ = ["EXAMPLE", "GOVERN", "River", "clean_environment", "copy_of", "opened"]


def clean_environment(**more: str) -> dict[str, str]:
    """This process's environment without any GOVERN_* or OPENLINEAGE_* variable."""
    strange = ("GOVERN_", "OPENLINEAGE_", "PYTHONDONTWRITEBYTECODE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(strange)}
    return kept | {"GOVERN_SPARE_TRAININGS": "0"} | more  # many servers start and stop here, on few cores


class River:
    """One home, its server process, and a client per key."""

    def __init__(self, root: Path) -> None:
        self.home = root / "home"
        self.project = root / "project"
        self.temp = root / "tmp"
        self.temp.mkdir(parents=True)
        made = subprocess.run(
            [*GOVERN, "init", "--home", str(self.home), "--json"], env=clean_environment(), capture_output=True, text=True, check=True
        )
        self.admin = json.loads(made.stdout)["api_key"]
        self.server: subprocess.Popen[str] | None = None
        self.url = ""
        self.log = root / "server.log"
        shutil.copytree(EXAMPLE, self.project, ignore=shutil.ignore_patterns("__pycache__"))

    # ── the server ──────────────────────────────────────────────────────────────────────────────
    def start(self) -> None:
        """Serve the home on a free port and wait until it says its URL."""
        with self.log.open("a") as log:
            self.server = subprocess.Popen(
                [*GOVERN, "serve", "--home", str(self.home), "--port", "0", "--json"],
                env=clean_environment(TMPDIR=str(self.temp)),
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        assert self.server.stdout is not None
        line = self.server.stdout.readline()
        assert line, f"the server said nothing: {self.log.read_text()[-2000:]}"
        self.url = json.loads(line)["url"]

    def kill(self) -> None:
        """SIGKILL to the server alone, as a crash would: its children must notice by themselves."""
        assert self.server is not None
        os.kill(self.server.pid, signal.SIGKILL)
        self.server.wait(timeout=30)

    def stop(self) -> None:
        """SIGTERM, then wait."""
        if self.server is not None and self.server.poll() is None:
            self.server.terminate()
            self.server.wait(timeout=30)
        if self.server is not None and self.server.stdout is not None:
            self.server.stdout.close()

    # ── speaking to it ──────────────────────────────────────────────────────────────────────────
    def client(self, key: str | None = None) -> httpx2.Client:
        """An HTTP client with a key (the admin's by default)."""
        return httpx2.Client(base_url=self.url, headers={"Authorization": f"Bearer {key or self.admin}"}, timeout=120)

    def ask(self, method: str, route: str, *, key: str | None = None, expect: int | None = None, **more: Any) -> Any:
        """One request; the JSON answer, or the bytes of a PDF or Arrow stream."""
        with self.client(key) as client:
            answer = client.request(method, route, **more)
        if expect is not None:
            assert answer.status_code == expect, answer.text
        else:
            assert answer.is_success, f"{method} {route}: {answer.status_code} {answer.text}"
        if "json" in answer.headers.get("content-type", ""):
            return answer.json()
        return answer.content

    def new_key(self, *roles: str) -> str:
        """A key with roles."""
        return self.ask("POST", "/api/v1/keys", json={"name": "-".join(roles), "roles": list(roles)})["api_key"]

    def cli(self, *words: str, expect: int = 0, key: str | None = None, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run the command line against the server, on the machine of its home."""
        env = clean_environment(GOVERN_URL=self.url, GOVERN_API_KEY=key or self.admin, GOVERN_HOME=str(self.home))
        done = subprocess.run([*GOVERN, *words], env=env, capture_output=True, text=True, check=False, timeout=300, **options)
        assert done.returncode == expect, f"govern {' '.join(words)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def script(self, name: str, *words: str) -> str:
        """Run one of the project's scripts as its own process."""
        env = clean_environment(
            GOVERN_URL=self.url,
            GOVERN_API_KEY=self.admin,
            OPENLINEAGE_URL=self.url,
            OPENLINEAGE_API_KEY=self.admin,
            PYTHONDONTWRITEBYTECODE="1",
        )
        done = subprocess.run(
            [sys.executable, name, *words], cwd=self.project, env=env, capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode == 0, f"{name}: {done.stdout}\n{done.stderr}"
        return done.stdout

    # ── the river ───────────────────────────────────────────────────────────────────────────────
    def land(self, text: str | None = None) -> Path:
        """Put the raw file into the landing folder."""
        path = self.home / "landing" / "german.data"
        path.write_text(text if text is not None else (EXAMPLE / "german.data").read_text())
        return path

    def pipeline(self) -> None:
        """Register, parse, split."""
        for name in ("register.py", "parse.py", "split.py"):
            self.script(name)

    def config(self, model: str = "credit-risk") -> dict[str, Any]:
        """The model's section of the project's govern.yaml."""
        section: dict[str, Any] = yaml.safe_load((self.project / "govern.yaml").read_text())["models"][model]
        return section

    def train(self, model: str = "credit-risk", *, config: Mapping[str, Any] | None = None, folder: Path | None = None) -> dict[str, Any]:
        """Pack the project, train, wait; the operation."""
        digest, data = pack(folder or self.project)
        self.ask("PUT", f"/api/v1/snapshots/{digest}", content=data)
        body = {
            "code": f"snapshot:{digest}",
            "config": dict(config or self.config(model)),
            "policy_text": (self.project / "policies" / "credit.yaml").read_text(),
        }
        started = self.ask("POST", f"/api/v1/models/{model}/trainings", json=body)
        return self.wait(started["operation"])

    def wait(self, operation: str, timeout: float = 240) -> dict[str, Any]:
        """Poll an operation until it is done or failed."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            body = self.ask("GET", f"/api/v1/operations/{operation}")
            if body["state"] in ("done", "failed"):
                return body
            time.sleep(0.2)
        raise AssertionError(f"operation {operation} did not end: {body}")

    def audit_and_gate(self, model: str, version: int | str) -> dict[str, Any]:
        """Audit a version, then ask its gate."""
        done = self.wait(self.ask("POST", f"/api/v1/models/{model}/versions/{version}/audits")["operation"])
        assert done["state"] == "done", done
        return self.ask("POST", f"/api/v1/models/{model}/versions/{version}/gate")

    def release(self, model: str, version: int | str, expect: int = 201) -> dict[str, Any]:
        """Ask for a release to production."""
        body = {"model": model, "version": str(version), "environment": "production"}
        return self.ask("POST", "/api/v1/deployments", json=body, expect=expect)

    def deployed_model(self) -> None:
        """Everything up to a serving credit-risk@1."""
        self.land()
        self.pipeline()
        assert self.train()["state"] == "done"
        assert self.audit_and_gate("credit-risk", 1)["outcome"] == "pass"
        self.release("credit-risk", 1)

    def rows(self, dataset: str) -> list[dict[str, Any]]:
        """The rows of the latest version."""
        import pyarrow as pa

        data = self.ask("GET", f"/api/v1/datasets/{dataset}/versions/latest/rows")
        return pa.ipc.open_stream(data).read_all().to_pylist()

    def predict(self, row: Mapping[str, Any], *, subject: str | None = None, model: str = "credit-risk") -> dict[str, Any]:
        """One prediction for one row of raw features."""
        inputs = [
            {"name": given["name"], "datatype": given["datatype"], "shape": [1], "data": [row[given["name"]]]}
            for given in self.ask("GET", f"/v2/models/{model}")["inputs"]
        ]
        body: dict[str, Any] = {"inputs": inputs}
        if subject is not None:
            body["parameters"] = {"govern_subject": subject}
        return self.ask("POST", f"/v2/models/{model}/infer", json=body)

    def request_erasure(self, applicant: int | str, **headers: str) -> dict[str, Any]:
        """A received request for one applicant."""
        body = {"subject": {"type": "applicant", "value": str(applicant)}, "regulation": "GDPR", "ground": "Article 17(1)(b)"}
        return self.ask("POST", "/api/v1/erasure-requests", json=body, headers=headers)

    def approve_erasure(self, applicant: int | str) -> str:
        """Received, verified, approved by another key; its id."""
        request = self.request_erasure(applicant, **{"Idempotency-Key": secrets.token_hex(8)})["id"]
        self.ask("POST", f"/api/v1/erasure-requests/{request}/verify", json={"method": "identity document", "verifier": "service desk"})
        self.ask("POST", f"/api/v1/erasure-requests/{request}/approve", json={}, key=self.new_key("privacy"))
        return str(request)

    def wait_erasure(self, request: str, timeout: float = 240) -> dict[str, Any]:
        """Poll a request until nothing more happens by itself."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            body = self.ask("GET", f"/api/v1/erasure-requests/{request}")
            if body["state"] in ENDED:
                return body
            time.sleep(0.2)
        raise AssertionError(f"erasure {request} did not end: {body['state']} {body['progress']}")

    def wait_erasure_after(self, request: str, state: str, timeout: float = 240) -> dict[str, Any]:
        """Wait until the request has left a state it was in, and ended again."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            body = self.ask("GET", f"/api/v1/erasure-requests/{request}")
            if body["state"] in ENDED and body["state"] != state:
                return body
            time.sleep(0.2)
        raise AssertionError(f"erasure {request} is still {state}: {body}")


def opened(root: Path, admin: str) -> River:
    """The river that lies under a folder, with its admin key."""
    river = River.__new__(River)
    river.home, river.project, river.temp = root / "home", root / "project", root / "tmp"
    river.admin, river.server, river.url, river.log = admin, None, "", root / "server.log"
    return river


def copy_of(template: River, root: Path) -> River:
    """Another river whose home is a copy of a stopped one's, with the same keys."""
    shutil.copytree(template.home, root / "home")
    shutil.copytree(template.project, root / "project")
    (root / "tmp").mkdir(parents=True)
    return opened(root, template.admin)
