"""Fifty recognisable persons go through every door of a real server; then everything that was written or said is searched for them."""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx2
import pyarrow as pa
import pytest

from tests.support.planted import COMMON, PLANTED, Person, Watch, one_of_each
from tests.support.river import River
from tests.support.scanner import scan

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]

KINDS = ("email", "phone", "name", "uuid", "number")


class Said:
    """Keeps what was answered, one file each, to be searched with the rest."""

    def __init__(self, folder: Path, river: River) -> None:
        self._folder, self._river = folder, river
        folder.mkdir()
        self._count = 0

    def keep(self, text: str | bytes) -> None:
        self._count += 1
        (self._folder / f"{self._count:04}.txt").write_bytes(text.encode() if isinstance(text, str) else text)

    def ask(self, client: httpx2.Client, method: str, route: str, *, keep: bool = True, **more: Any) -> httpx2.Response:
        answer = client.request(method, route, **more)
        assert answer.status_code < 500, answer.text
        if keep:
            self.keep(repr(sorted(answer.headers.items())) + "\n" + answer.text)
        return answer

    def cli(self, *words: str, expect: int = 0, **more: Any) -> str:
        done = self._river.cli(*words, expect=expect, **more)
        self.keep(done.stdout + done.stderr)
        return done.stdout


def arrow(column: Sequence[Any]) -> bytes:
    table = pa.table({"who": pa.array(column), "age": pa.array([20 + at for at in range(len(column))])})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def plant(river: River, said: Said) -> dict[str, list[str]]:
    """Rows and predictions of everybody; kind → the ids of the predictions."""
    row = next(iter(river.rows("credit.test")))
    predictions: dict[str, list[str]] = {}
    with river.client() as client:
        given = said.ask(client, "GET", "/v2/models/credit-risk").json()["inputs"]
        inputs = [{"name": one["name"], "datatype": one["datatype"], "shape": [1], "data": [row[one["name"]]]} for one in given]
        for kind in KINDS:
            persons = [person for person in PLANTED if person.type == kind]
            body = {"name": f"people.{kind}", "kind": "lance", "subject_key": "who", "subject_type": kind}
            assert said.ask(client, "POST", "/api/v1/datasets", json=body).status_code == 201
            column = [int(person.value) if kind == "number" else person.value for person in persons]
            for mode in ("replace", "append"):  # two versions, the second with everybody twice
                answer = said.ask(client, "POST", f"/api/v1/datasets/people.{kind}/versions?mode={mode}", content=arrow(column))
                assert answer.status_code == 201, answer.text
            for person in persons:
                body = {"inputs": inputs, "parameters": {"govern_subject": f"{kind}:{person.value}"}}
                answer = said.ask(client, "POST", "/v2/models/credit-risk/infer", json=body)
                assert answer.status_code == 200, answer.text
                predictions.setdefault(kind, []).append(answer.json()["id"])
                found = said.ask(client, "POST", "/api/v1/subjects:trace", json={"type": kind, "value": person.value}).json()
                assert (found["predictions"], [one["rows"] for one in found["datasets"]]) == (1, [2])
    return predictions


def provoke(river: River, said: Said) -> None:
    """What is wrong, with the person in it: the answer says what is wrong, and not who."""
    with river.client() as client:
        for person in one_of_each():
            who = {"type": person.type, "value": person.value}
            wrong: list[Any] = [
                {"subject": who | {"value": f"{person.value}\x00"}},
                {"subject": who | {"value": person.value * 300}},
                {"subject": who | {"value": [person.value]}},
                {"subject": who | {"type": f"Bad {person.value}"}},
                {"subject": who | {person.value: 1}},
                {"subject": who, "regulation": person.value},
                {"subject": who, person.value: person.value},
                {"subject": person.value},
                person.value,
                [who],
            ]
            for body in wrong:
                assert said.ask(client, "POST", "/api/v1/erasure-requests", json=body).status_code >= 400, body
            for body in (who | {"type": person.value}, {"value": person.value}, who | {"more": person.value}):
                assert said.ask(client, "POST", "/api/v1/subjects:trace", json=body).status_code >= 400
            for subject in (f"{person.type.upper()} {person.value}", f"Bad{person.value}:{person.value}", {"x": person.value}):
                body = {"inputs": [], "parameters": {"govern_subject": subject}}
                assert said.ask(client, "POST", "/v2/models/credit-risk/infer", json=body).status_code >= 400
            half = f'{{"run": {{"runId": "{person.value}'.encode()
            for route in ("/api/v1/lineage", "/api/v1/lineage/batch", "/api/v1/erasure-requests"):
                said.ask(client, "POST", route, content=half, headers={"Content-Type": "application/json"})
            route = f"/api/v1/datasets/people.{person.type}/versions"
            assert said.ask(client, "POST", route, content=arrow([f"{person.value}\x07"])).status_code >= 400
            assert said.ask(client, "POST", route, content=b"no arrow " + person.value.encode()).status_code >= 400
            # in a URL it is whoever asks that writes it there: the answer may repeat it, no log and no file may
            for route in (
                f"/api/v1/models/{urllib.parse.quote(person.value, safe='')}",
                f"/api/v1/nothing?{urllib.parse.quote(person.value)}=1",
            ):
                assert said.ask(client, "GET", route, keep=False).status_code >= 400


def request(said: Said, client: httpx2.Client, person: Person) -> str:
    body = {"subject": {"type": person.type, "value": person.value}, "ground": "Article 17(1)(b)"}
    return str(said.ask(client, "POST", "/api/v1/erasure-requests", json=body).json()["id"])


def by_command(said: Said, person: Person, folder: Path) -> str:
    """As a clerk does it: the person from a file, never as an argument."""
    (folder / "who.json").write_text(json.dumps({"type": person.type, "value": person.value}))
    said.cli("impact", "--subject", str(folder / "who.json"), "--json")
    answer = said.cli("erasure", "request", "--subject", str(folder / "who.json"), "--json")
    (folder / "who.txt").write_text(person.value)
    said.cli("erasure", "request", "--subject", str(folder / "who.txt"), expect=2)
    said.cli("erasure", "request", "--subject", person.value, expect=2)
    return str(json.loads(answer)["id"])


def erase(river: River, said: Said, requests: Sequence[str]) -> None:
    approver = river.new_key("privacy")
    with river.client() as client:
        for ident in requests:
            said.ask(client, "POST", f"/api/v1/erasure-requests/{ident}/verify", json={"method": "document", "verifier": "desk"})
            answer = river.ask("POST", f"/api/v1/erasure-requests/{ident}/approve", json={}, key=approver)
            said.keep(json.dumps(answer))
    for ident in requests:
        done = river.wait_erasure(ident)
        assert done["state"] == "completed", done
        said.keep(json.dumps(done))


def read_everything(river: River, said: Said) -> None:
    """What can be read, is read, and searched with the rest."""
    said.cli("ledger", "export", "-")
    said.cli("ledger", "fsck")
    said.cli("doctor")
    with river.client() as client:
        for route in (
            "/metrics", "/readyz", "/openapi.json", "/api/v1/lineage/status", "/api/v1/lineage/dead-letters", "/api/v1/erasure-requests",
            "/api/v1/datasets", "/api/v1/deployments", "/api/v1/incidents", "/api/v1/reports", "/api/v1/suppression-list", "/api/v1/backups",
            "/api/v1/export/openlineage", "/api/v1/namespaces", "/api/v1/events/lineage", "/api/v1/search?q=zyxwv", "/api/v1/keys",
        ):  # fmt: skip
            said.ask(client, "GET", route)


def dataset_file(path: str) -> bool:
    """Where a person lies by right until they are erased: the rows of the datasets that were written with them."""
    return path.startswith(tuple(f"home/datasets/people.{kind}/data.lance" for kind in KINDS))


def campaign(river: River, root: Path, outside: Path, chosen: Callable[[Person], bool]) -> None:
    said = Said(root / "said", river)
    assert river.server is not None
    with Watch(river.server.pid) as watch:
        predictions = plant(river, said)
        provoke(river, said)
        body = {"prediction": predictions["email"][-1], "summary": "a wrong answer", "expect": "good"}
        with river.client() as client:
            opened = said.ask(client, "POST", "/api/v1/incidents", json=body).json()
            for ident in (predictions["email"][0], predictions["name"][0]):
                said.ask(client, "GET", f"/api/v1/predictions/{ident}")
                said.ask(client, "GET", f"/api/v1/predictions/{ident}/trace")
            paper = client.post("/api/v1/reports", json={"kind": "incident-trace", "subject": opened["id"]})
            assert paper.status_code == 201, paper.text
            said.ask(client, "POST", f"/api/v1/incidents/{opened['id']}/close", json={"resolution": "explained"})
            erased = [person for person in PLANTED if chosen(person)]
            requests = [by_command(said, erased[0], outside), *(request(said, client, person) for person in erased[1:])]
            waiting = [request(said, client, person) for person in one_of_each()]
            said.ask(client, "POST", f"/api/v1/erasure-requests/{waiting[0]}/refuse", json={"ground": "Article 12(6)", "notice": "sent"})
        before = scan(root / "home" / "datasets", [needle for person in erased for needle in person.needles])
        assert len({hit.needle for hit in before.hits}) >= len(erased), "the scanner must see who is to be erased"
        erase(river, said, requests)
        with river.client() as client:
            for ident in requests:
                certificate = client.get(f"/api/v1/erasure-requests/{ident}/certificate").content
                (root / "said" / f"{ident}.pdf").write_bytes(certificate)
        read_everything(river, said)
        watch.look()
    river.server.terminate()
    out, _ = river.server.communicate(timeout=60)
    said.keep(out)
    (root / "said" / "processes.txt").write_bytes(b"\n".join(seen.replace(b"\0", b"\n") for seen in watch.seen))
    assert len(watch.processes) >= 2, "the server and its children were looked at"

    report = scan(root, list(COMMON))
    assert not report.unknown, report.unknown
    assert [hit for hit in report.hits if not dataset_file(hit.path)] == []
    assert [hit for hit in report.hits if dataset_file(hit.path)] or len(erased) == len(PLANTED), (
        "those who were not erased are still there"
    )
    for kind in KINDS:
        gone = [needle for person in erased if person.type == kind for needle in person.needles]
        left = scan(root / "home" / "datasets" / f"people.{kind}", gone) if gone else None
        assert left is None or (left.hits, left.unknown) == ([], []), left


@pytest.mark.slow
def test_nobody_is_anywhere_but_in_their_own_rows_and_the_erased_are_nowhere(
    deployed: River, tmp_path: Path, tmp_path_factory: Any
) -> None:
    few = one_of_each()
    campaign(deployed, tmp_path, tmp_path_factory.mktemp("outside"), lambda person: person in few)


@pytest.mark.slow
def test_all_fifty_are_erased_and_nowhere(deployed: River, tmp_path: Path, tmp_path_factory: Any) -> None:
    campaign(deployed, tmp_path, tmp_path_factory.mktemp("outside"), lambda person: True)
