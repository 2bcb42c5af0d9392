"""Open Inference Protocol requests: what is read, what is refused, and in whose words."""

from __future__ import annotations

from typing import Any

import pytest

from governance.api import create_app
from governance.api.oip import DATATYPES, MAX_BATCH, inference_request
from lineage.errors import BadInput
from tests.fakes.api_client import AppClient
from tests.fakes.api_facade import FakeSystem

AGE = {"name": "age", "shape": [2], "datatype": "INT64", "data": [30, 40]}
PURPOSE = {"name": "purpose", "shape": [2, 1], "datatype": "BYTES", "data": [["car"], ["radio"]]}

GOOD: dict[str, list[Any]] = {
    "BYTES": ["", "ü"],
    "FP64": [1, 2.5, -0.0],
    "FP32": [1, 2.5],
    "INT64": [2**63 - 1, -(2**63)],
    "INT32": [2**31 - 1, -(2**31)],
    "BOOL": [True, False],
}
BAD: dict[str, list[Any]] = {
    "BYTES": [1, None],
    "FP64": ["1", True, None, float("inf")],
    "FP32": ["1", False],
    "INT64": [2**63, 1.0, "1", True],
    "INT32": [2**31, 1.5],
    "BOOL": [0, "true"],
}


def tensor(datatype: str, data: list[Any]) -> dict[str, Any]:
    return {"inputs": [{"name": "x", "shape": [len(data)], "datatype": datatype, "data": data}]}


@pytest.mark.parametrize("datatype", sorted(DATATYPES))
def test_each_datatype_takes_its_own_values_and_no_others(datatype: str) -> None:
    assert inference_request(tensor(datatype, GOOD[datatype]))["inputs"][0]["data"] == GOOD[datatype]
    for value in BAD[datatype]:
        with pytest.raises(BadInput, match=rf"input x: value 1 is not a {datatype}"):
            inference_request(tensor(datatype, [GOOD[datatype][0], value]))


def test_nested_data_is_read_in_row_major_order() -> None:
    request = inference_request(
        {"id": "q", "inputs": [AGE, PURPOSE], "outputs": [{"name": "label"}], "parameters": {"govern_subject": "applicant:17"}}
    )
    assert [part["data"] for part in request["inputs"]] == [[30, 40], ["car", "radio"]]
    assert request["parameters"] == {"govern_subject": "applicant:17"}
    square = {"name": "m", "shape": [2, 2], "datatype": "FP64", "data": [[1, 2], [3, 4]]}
    assert inference_request({"inputs": [square]})["inputs"][0]["data"] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"inputs": []}, "at least one"),
        ({"inputs": {}}, "list"),
        ({"inputs": ["x"]}, r"inputs\[0\] must be an object"),
        ({"inputs": [AGE, AGE]}, "age is given twice"),
        ({"inputs": [AGE, PURPOSE | {"shape": [1], "data": ["car"]}]}, "different batch sizes: 1, 2"),
        ({"inputs": [AGE | {"shape": [3]}]}, r"shape \[3\] needs 3 values, data has 2"),
        ({"inputs": [AGE | {"shape": []}]}, "shape"),
        ({"inputs": [AGE | {"shape": [-2]}]}, "shape"),
        ({"inputs": [AGE | {"shape": [True]}]}, "shape"),
        ({"inputs": [AGE | {"shape": [0], "data": []}]}, "batch"),
        ({"inputs": [AGE | {"shape": [MAX_BATCH + 1]}]}, "batch"),
        ({"inputs": [AGE | {"datatype": "FP16"}]}, "datatype"),
        ({"inputs": [AGE | {"datatype": ["INT64"]}]}, "datatype"),
        ({"inputs": [AGE | {"data": [[30], 40]}]}, "mixes"),
        ({"inputs": [AGE | {"data": "3040"}]}, "data must be a list"),
        ({"inputs": [AGE | {"nmae": "x"}]}, "unknown member nmae"),
        ({"inputs": [{k: v for k, v in AGE.items() if k != "name"}]}, "no name"),
        ({"paramters": {}}, "unknown member paramters"),
        ({"parameters": []}, "parameters"),
        ({"parameters": {"govern_subject": "17"}}, "TYPE:VALUE"),
        ({"parameters": {"govern_subject": 17}}, "TYPE:VALUE"),
        ({"parameters": {"govern_subject": "applicant:"}}, "TYPE:VALUE"),
        ({"id": 7}, "id must be a string"),
        ({"outputs": ["label"]}, "outputs"),
    ],
)
def test_a_wrong_request_is_refused_with_its_reason(change: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        inference_request({"inputs": [AGE]} | change)


def test_a_refusal_never_quotes_a_value() -> None:
    with pytest.raises(BadInput) as caught:
        inference_request(tensor("INT64", ["SENTINEL"]))
    assert "SENTINEL" not in caught.value.message + str(caught.value.hint)


def test_data_nested_too_deeply_is_refused() -> None:
    data: list[Any] = [1]
    for _ in range(20):
        data = [data]
    with pytest.raises(BadInput, match="too deeply"):
        inference_request({"inputs": [{"name": "x", "shape": [1], "datatype": "INT64", "data": data}]})


@pytest.fixture
def system() -> FakeSystem:
    return FakeSystem()


@pytest.fixture
def client(system: FakeSystem) -> AppClient:
    return AppClient(create_app(system))


@pytest.mark.parametrize(("path", "version"), [("/v2/models/credit-risk/infer", None), ("/v2/models/credit-risk/versions/3/infer", "3")])
def test_an_inference_is_asked_flat_and_answered_with_version_and_receipt(
    client: AppClient, system: FakeSystem, path: str, version: str | None
) -> None:
    answer = client.post(path, json={"inputs": [AGE, PURPOSE]}, role="predict")
    assert answer.status_code == 200
    assert answer.json()["id"] == "p-1"
    name, call = system.calls[-1]
    assert (name, call["version"], call["actor"]) == ("serving.infer", version, "key:k-predict")
    assert call["request"]["inputs"][1]["data"] == ["car", "radio"]


def test_errors_speak_both_protocols(client: AppClient) -> None:
    """The Open Inference Protocol asks for ``error``, RFC 9457 for the rest: one body has both."""
    for path, body, status in (
        ("/v2/models/credit-rsk/infer", {"inputs": [AGE]}, 404),
        ("/v2/models/credit-risk/infer", {"inputs": []}, 400),
    ):
        answer = client.post(path, json=body, role="predict")
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["error"] == answer.json()["detail"] != ""
    assert client.post("/v2/models/credit-risk/infer", json={"inputs": [AGE]}).json()["error"]
    assert "error" not in client.get("/api/v1/models/nope", role="auditor").json()


def test_the_binary_extension_is_refused_in_clear_words(client: AppClient) -> None:
    headers = {"Inference-Header-Content-Length": "10"}
    answer = client.post("/v2/models/credit-risk/infer", json={"inputs": [AGE]}, headers=headers, role="predict")
    assert answer.status_code == 400
    assert "binary tensor extension" in answer.json()["error"]


def test_health_and_metadata(client: AppClient) -> None:
    assert client.get("/v2", role="predict").json()["name"] == "govern"
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/models/credit-risk", role="predict").json()["name"] == "credit-risk"
    assert client.get("/v2/models/credit-risk/versions/2", role="predict").json()["versions"] == ["2"]
    assert client.get("/v2/models/credit-risk/ready", role="predict").json() == {"name": "credit-risk", "ready": True}
    assert client.get("/v2/models/other/ready", role="predict").status_code == 400
