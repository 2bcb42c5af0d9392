"""A real server tells: webhooks by the command line, a file of requests, an OpenDSR controller, a kill -9 with the receiver away."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
import uuid
from pathlib import Path

import httpx2
import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from standardwebhooks.webhooks import Webhook

from governance.wiring import init_home
from tests.support.certificates import Authority
from tests.support.kafka import ROOT, environment
from tests.support.receiver import Receiver

pytestmark = [pytest.mark.integration, pytest.mark.slow]

DOMAIN = "dsr.processor.test"
SECRET = "Q7-SENTINEL-PERSON"


class Server:
    def __init__(self, home: Path, **settings: str) -> None:
        self.home, self.settings, self.port = home, settings, 0
        self.log = home.parent / "server.log"

    def start(self) -> None:
        with self.log.open("a") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "governance.cli", "serve", "--home", str(self.home), "--port", str(self.port), "--json"],
                cwd=ROOT, env=environment(GOVERN_SPARE_TRAININGS="0", **self.settings), stdout=subprocess.PIPE, stderr=stderr, text=True,
            )  # fmt: skip
        line = self.process.stdout.readline()
        assert line, self.log.read_text()[-2000:]
        self.url = json.loads(line)["url"]
        self.port = int(self.url.rpartition(":")[2])

    def end(self, *, kill: bool = False) -> None:
        self.process.kill() if kill else self.process.terminate()
        self.process.wait(60)
        self.process.stdout.close()


def wait_for(condition, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


def test_what_happens_is_told_by_a_real_server_across_a_kill(tmp_path: Path) -> None:
    home = tmp_path / "home"
    admin = init_home(home)["api_key"]
    certificate, key = Authority().issue(tmp_path / "certificate", DOMAIN)
    settings = {"GOVERN_WEBHOOK_NETWORKS": "127.0.0.0/8", "GOVERN_OPENDSR_DOMAIN": DOMAIN}
    server = Server(home, **settings, GOVERN_OPENDSR_CERTIFICATE=str(certificate), GOVERN_OPENDSR_KEY=str(key))
    server.start()
    shell = environment(GOVERN_URL=server.url, GOVERN_API_KEY=admin)

    def govern(*args: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "governance.cli", *args], cwd=ROOT, env=shell, capture_output=True, text=True, timeout=120, check=False
        )

    def api(key: str) -> httpx2.Client:
        return httpx2.Client(base_url=server.url, headers={"Authorization": f"Bearer {key}"}, timeout=60)

    try:
        with Receiver() as receiver, api(admin) as client:
            port = receiver.port
            done = govern("webhooks", "add", receiver.url, "--events", "erasure.*", "--json")
            assert done.returncode == 0, done.stderr
            secret = json.loads(done.stdout)["secret"]
            refused = govern("webhooks", "add", "http://169.254.169.254/latest", "--events", "*")
            assert refused.returncode == 1
            assert "leads inside" in refused.stderr

            people = tmp_path / "people.csv"
            people.write_text(f"type,value\napplicant,{SECRET}\napplicant\napplicant,18\n")
            dry = govern("erasure", "intake", str(people), "--dry-run")
            assert (dry.returncode, "2 can be used, 1 refused" in dry.stdout) == (1, True), dry.stderr
            assert client.get("/api/v1/erasure-requests").json()["requests"] == []
            for known in (0, 2):
                taken = govern("erasure", "intake", str(people), "--key", "march")
                assert f"{2 - known} entered, {known} known before, 1 refused" in taken.stdout, taken.stderr
            wait_for(lambda: len(receiver.taken) == 2)
            assert {Webhook(secret).verify(got.body, got.headers)["type"] for got in receiver.taken} == {"erasure.received"}

            callback = f"http://127.0.0.1:{port}/opendsr"
            body = {"name": "Shop", "identities": {"email": "email"}, "callbacks": [callback]}
            controller = client.post("/api/v1/opendsr/controllers", json=body).json()
            identity = {"identity_type": "email", "identity_value": f"{SECRET}@example.org", "identity_format": "raw"}
            sent = {
                "regulation": "ccpa", "subject_request_id": str(uuid.uuid4()), "subject_request_type": "erasure",
                "submitted_time": "2026-11-20T15:00:00Z", "subject_identities": [identity], "status_callback_urls": [callback],
            }  # fmt: skip
            sent["submitted_time"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 86_400))
            public = x509.load_pem_x509_certificate(client.get("/opendsr/v2/certificate.pem").content).public_key()

            def checked(headers, raw: bytes) -> None:
                assert headers["x-opendsr-processor-domain"] == DOMAIN
                public.verify(base64.b64decode(headers["x-opendsr-signature"]), raw, ec.ECDSA(hashes.SHA256()))

            with api(controller["api_key"]) as theirs:
                raw = json.dumps(sent).encode()
                answer = theirs.post("/opendsr/v2/requests", content=raw)
                assert answer.status_code == 201, answer.text
                checked(answer.headers, answer.content)
                with pytest.raises(InvalidSignature):
                    checked(answer.headers, answer.content + b" ")
                assert base64.b64decode(answer.json()["encoded_request"]) == raw
                one = f"/opendsr/v2/requests/{sent['subject_request_id']}"
                assert theirs.get(one).json()["request_status"] == "pending"
                assert theirs.get("/api/v1/erasure-requests").status_code == 403
                assert theirs.delete(one).status_code == 202
            wait_for(lambda: any(got.path == "/opendsr" for got in receiver.taken))
            (told,) = [got for got in receiver.taken if got.path == "/opendsr"]
            checked(told.headers, told.body)
            assert told.json["request_status"] == "cancelled"
            before = len([got for got in receiver.taken if got.path == "/hook"])

        # the receiver is away; what happens meanwhile outlives a kill
        people.write_text("type,value\n" + "".join(f"applicant,{number}\n" for number in range(100, 110)))
        assert govern("erasure", "intake", str(people)).returncode == 0
        server.end(kill=True)
        with Receiver(port=port) as receiver:
            server.start()
            wait_for(lambda: len({got.headers["webhook-id"] for got in receiver.taken if got.path == "/hook"}) >= 10)
            entries = [got.json["data"]["entry"] for got in receiver.taken]
            assert sorted(entries) == entries, "in the order of the log"
        assert before >= 3
    finally:
        server.end()
    for path in home.rglob("*"):
        if path.is_file():
            assert SECRET.encode() not in path.read_bytes(), path
    assert SECRET not in server.log.read_text()
