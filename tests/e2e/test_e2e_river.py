"""The river as its users see it: two planted applicants are traced, erased, and nowhere to be found."""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
from pathlib import Path

import pytest

from lineage.adapters.file_keys import FileKeyStore
from lineage.datasets import commitments, non_membership, row_set_digest, verify_non_membership
from reports.verify import TrustedKeys, verify
from tests.support.river import EXAMPLE, GOVERN, River, clean_environment
from tests.support.scanner import scan

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


def planted() -> tuple[str, dict[int, str]]:
    """The raw file with a sentinel remark on each of the first forty lines: applicant → sentinel."""
    lines = (EXAMPLE / "german.data").read_text().splitlines()
    sentinels = {number: f"SENTINEL-{hashlib.sha256(str(number).encode()).hexdigest()[:20]}" for number in range(1, 41)}
    return "\n".join(f"{line.strip()} {sentinels[at]}" if at in sentinels else line for at, line in enumerate(lines, 1)) + "\n", sentinels


def sources(river: River, model: str = "credit-risk") -> int:
    answer = json.loads(river.cli("trace", model, "--json").stdout)
    assert answer["completeness"]["complete"], answer["completeness"]
    return int(answer["source_rows"])


def lines_of(river: River) -> int:
    """Applicants in the landing file, counted by nobody's code but this."""
    return sum(1 for line in (river.home / "landing" / "german.data").read_text().splitlines() if line.strip())


def test_two_planted_applicants_are_traced_erased_and_nowhere_to_be_found(fresh: River, tmp_path: Path) -> None:
    river = fresh
    text, sentinels = planted()
    river.land(text)
    river.pipeline()
    assert river.train()["state"] == "done"

    # the trace counts what is there, and what is there is counted again without it
    assert sources(river) == lines_of(river) == 1000
    namespace = f"govern://{river.ask('GET', '/api/v1/keys/public')['installation']}"
    river.script("append.py", str(river.home / "landing" / "german.data"), "7", "--namespace", namespace)
    assert river.ask("GET", "/api/v1/datasets/credit.raw/versions")["versions"][-1]["rows"] == lines_of(river) == 1007
    river.script("parse.py")
    river.script("split.py")
    assert river.train()["result"]["version"] == 2
    assert sources(river, "credit-risk@2") == 1007
    assert sources(river, "credit-risk@1") == 1000
    assert river.audit_and_gate("credit-risk", 2)["outcome"] == "pass"
    river.release("credit-risk", 2)

    # one planted applicant that the model was trained on, one that it was only tested on
    trained_on = {row["applicant"] for row in river.rows("credit.train")}
    tested_on = {row["applicant"] for row in river.rows("credit.test")}
    trainee = next(number for number in sentinels if number in trained_on)
    testee = next(number for number in sentinels if number in tested_on)
    row_ids = {row["applicant"]: row["govern_row_id"] for row in river.rows("credit.train")}
    row = next(row for row in river.rows("credit.train") if row["applicant"] == trainee)
    receipt = river.predict(row, subject=f"applicant:{trainee}")
    assert receipt["model_version"] == "2"
    needles = [sentinels[trainee].encode(), sentinels[testee].encode()]
    before = scan(river.home, needles)
    assert {hit.needle for hit in before.hits} == set(needles), "the scanner must see what is to be erased"

    weights = {
        version["artifact"]["digest"].removeprefix("sha256:") for version in river.ask("GET", "/api/v1/models/credit-risk")["versions"]
    }
    assert weights == {path.name for path in (river.home / "artifacts").iterdir()}

    done = river.wait_erasure(river.approve_erasure(trainee))
    assert done["state"] == "completed", done
    second = river.wait_erasure(river.approve_erasure(testee))
    assert second["state"] == "completed", second
    assert not [asset for asset in second["assets"] if asset["kind"] == "model" and asset["action"] != "none"]

    # nowhere to be found, in no file of any type
    for folder in (river.home, river.temp):
        report = scan(folder, needles)
        assert not report.unknown, report.unknown
        assert not report.hits, report.hits

    # the predecessors' weights are away, the successor's rows exclude the erased one
    left = {path.name for path in (river.home / "artifacts").iterdir()}
    successor = next(one for one in done["successors"] if one["deployed"])
    assert left & weights == set()
    assert successor["artifact_digest"].removeprefix("sha256:") in left
    assert trainee not in {row["applicant"] for row in river.rows("credit.train")}
    keys = FileKeyStore(river.home / "keys")
    kept = json.loads((river.home / "rowsets" / f"{successor['row_set']['digest'].removeprefix('rs1:')}.json").read_text())
    committed = [bytes.fromhex(item) for item in kept["commitments"]]
    assert row_set_digest(committed) == successor["row_set"]["digest"]
    target = commitments(keys, "credit.train", [row_ids[trainee]])[0]
    proof = non_membership(committed, target)
    assert verify_non_membership(proof, successor["row_set"]["digest"], len(committed), target=target)

    # the endpoint answers with the new version; the erased prediction has no inputs any more
    other = next(row for row in river.rows("credit.test"))
    assert river.predict(other)["model_version"] == str(successor["version"])
    river.ask("GET", f"/api/v1/predictions/{receipt['id']}", expect=410)

    # made again elsewhere, with nothing cached
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    river.cli("reproduce", f"credit-risk@{successor['version']}", cwd=elsewhere)

    certificate_holds_only_as_it_is(river, done["id"], tmp_path / "auditor")
    an_unknown_subject_is_told_what_was_searched(river)
    nothing_happens_before_the_identity_is_verified(river)


def certificate_holds_only_as_it_is(river: River, request: str, folder: Path) -> None:
    """It verifies in an empty folder without any GOVERN_* variable, and not with a changed byte."""
    folder.mkdir()
    paper = folder / "certificate.pdf"
    paper.write_bytes(river.ask("GET", f"/api/v1/erasure-requests/{request}/certificate"))
    (folder / "keys.json").write_bytes((river.home / "public" / "keys.json").read_bytes())
    words = [*GOVERN, "verify", "certificate.pdf", "--keys", "keys.json"]
    done = subprocess.run(words, cwd=folder, env=clean_environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    pdf = paper.read_bytes()
    keys = TrustedKeys.from_json(json.loads((folder / "keys.json").read_text()))
    assert verify(pdf, keys).exit_code == 0
    chance = random.Random(20261121)
    for offset in [*range(12), *(chance.randrange(len(pdf)) for _ in range(30)), *range(len(pdf) - 12, len(pdf))]:
        flipped = bytearray(pdf)
        flipped[offset] ^= 1 << chance.randrange(8)
        assert broken(bytes(flipped), keys), f"a flipped bit at byte {offset} of {len(pdf)} went unnoticed"
    for offset in (chance.randrange(len(pdf) - 1) for _ in range(15)):
        swapped = bytearray(pdf)
        swapped[offset], swapped[offset + 1] = swapped[offset + 1], swapped[offset]
        assert bytes(swapped) == pdf or broken(bytes(swapped), keys), f"swapped bytes at {offset} went unnoticed"
    assert broken(pdf + b"\n", keys)
    paper.write_bytes(pdf + b" ")
    done = subprocess.run(words, cwd=folder, env=clean_environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 3, done.stdout + done.stderr


def broken(pdf: bytes, keys: TrustedKeys) -> bool:
    """Whether a reader is told that it does not hold."""
    from lineage.errors import BadInput

    try:
        return verify(pdf, keys).exit_code == 3
    except BadInput:
        return True


def an_unknown_subject_is_told_what_was_searched(river: River) -> None:
    versions = river.ask("GET", "/api/v1/models/credit-risk")["latest"]
    request = river.request_erasure(4711, **{"Idempotency-Key": "one"})
    assert river.request_erasure(4711, **{"Idempotency-Key": "one"})["id"] == request["id"]
    assert request["state"] == "identity_pending"
    river.ask("POST", f"/api/v1/erasure-requests/{request['id']}/verify", json={"method": "identity document"})
    done = river.wait_erasure(request["id"])
    assert done["state"] == "completed"
    assert {asset["found"] for asset in done["assets"]} == {0}
    assert set(done["searched"]["datasets"]) == {"credit.raw", "credit.applicants", "credit.train", "credit.test"}
    assert river.ask("GET", f"/api/v1/erasure-requests/{request['id']}/certificate").startswith(b"%PDF-")
    assert river.ask("GET", "/api/v1/models/credit-risk")["latest"] == versions


def nothing_happens_before_the_identity_is_verified(river: River) -> None:
    lines = lines_of(river)
    before = river.ask("GET", "/api/v1/ledger/entries", params={"limit": 1000})["size"]
    request = river.request_erasure(17)
    river.ask("POST", f"/api/v1/erasure-requests/{request['id']}/approve", json={}, key=river.new_key("privacy"), expect=409)
    entries = river.ask("GET", "/api/v1/ledger/entries", params={"start": before, "limit": 100})["entries"]
    assert [entry["kind"] for entry in entries] == ["govern.erasure.received", "govern.key.created"]
    assert lines_of(river) == lines
    assert not any("applicant:17" in (entry.get("payload") or "") for entry in entries)
