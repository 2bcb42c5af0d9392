"""The door: what is taken, what is refused, and what is read out of the facets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lineage.errors import BadEvent
from lineage.openlineage import MAX_BYTES, event_digest, normalise, parse_event

CORPUS = Path(__file__).parent.parent / "data" / "openlineage"


def event(**changes: object) -> dict[str, object]:
    base = {
        "eventTime": "2026-01-02T03:04:05.123456789Z",
        "eventType": "COMPLETE",
        "producer": "https://example.org/p",
        "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
        "run": {"runId": "r1", "facets": {}},
        "job": {"namespace": "n", "name": "j", "facets": {}},
        "inputs": [],
        "outputs": [],
    }
    base.update(changes)
    return {key: value for key, value in base.items() if value is not None}


def parse(**changes: object):
    return parse_event(json.dumps(event(**changes)).encode())


def test_every_recorded_event_is_taken():
    files = sorted(CORPUS.glob("*/*.json"))
    assert len(files) == 14
    assert {parse_event(path.read_bytes()).kind for path in files} == {"run"}


def test_nanoseconds_survive():
    assert parse().event_time == 1767323045123456789


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:00:10", 10),
        ("1970-01-01T00:00:10Z", 10),
        ("1970-01-01T02:00:10+02:00", 10),
        ("1970-01-01 00:00:10", 10),
        ("1970-01-01T02:00:10+0200", 10),
        ("yesterday", 0),
        ("1970-13-01T00:00:10Z", 0),
        ("9999-01-01T00:00:00Z", 0),
        (12, 0),
        (None, 0),
    ],
)
def test_naive_time_is_utc_and_an_odd_one_is_unknown(text, seconds):
    assert parse(eventTime=text).event_time == seconds * 10**9


def test_key_order_and_spaces_do_not_change_the_identity_but_content_does():
    body = event()
    one = parse_event(json.dumps(body, indent=3).encode())
    two = parse_event(json.dumps(dict(reversed(body.items()))).encode())
    assert one.digest == two.digest == event_digest(body)
    assert parse(eventType="FAIL").digest != one.digest


def test_unknown_event_type_is_other():
    assert parse(eventType="NEW_ONE").event_type == "OTHER"
    assert parse(eventType=None).event_type == "OTHER"
    assert parse(eventType="complete").event_type == "COMPLETE"


def test_kind_is_decided_by_what_is_there():
    assert parse(run=None).kind == "job"
    assert parse(run=None, job=None, dataset={"namespace": "n", "name": "d"}).kind == "dataset"
    assert parse(schemaURL="https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/DatasetEvent").kind == "run"


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b'{"job": NaN}', "not JSON"),
        (b"[]", "array"),
        (b"null", "null"),
        (b'"x"', "string"),
        (b"{}", "no run, no job and no dataset"),
        (b'{"eventType":"START","eventTime":"2026-01-01T00:00:00Z"}', "no run, no job and no dataset"),
        (b'{"run":{"runId":"r"}}', "job is missing"),
        (b'{"run":{},"job":{"namespace":"n","name":"j"}}', "run.runId is missing"),
        (b'{"run":{"runId":7},"job":{"namespace":"n","name":"j"}}', "run.runId is a JSON number"),
        (b'{"run":"r","job":{"namespace":"n","name":"j"}}', "run is a JSON string"),
        (b'{"run":{"runId":""},"job":{"namespace":"n","name":"j"}}', "empty"),
        (b'{"job":{"namespace":["n"],"name":"j"}}', "job.namespace is a JSON array"),
        (b'{"job":{"namespace":"n","name":"j"},"inputs":{"a":1}}', "inputs is a JSON object"),
        (b'{"job":{"namespace":"n","name":"j"},"inputs":[{"namespace":"n"}]}', "inputs[0].name is missing"),
        (b'{"job":{"namespace":"n","name":"j"},"outputs":[{"namespace":"n","name":true}]}', "outputs[0].name is a JSON boolean"),
        (b'{"dataset":{"namespace":"n","name":"\\ud800"}}', "surrogate"),
    ],
)
def test_refusals_name_the_place(raw, says):
    with pytest.raises(BadEvent) as refusal:
        parse_event(raw)
    assert says in refusal.value.message
    assert refusal.value.hint


def test_depth_bombs_are_refused_and_the_process_lives():
    for depth in (300, 100_000):
        bomb = b'{"job":{"namespace":"n","name":"j","facets":{"x":' + b"[" * depth + b"]" * depth + b"}}}"
        with pytest.raises(BadEvent, match="deeper"):
            parse_event(bomb)
    assert parse_event(b'{"job":{"namespace":"n","name":"j","facets":{"x":' + b"[" * 200 + b"]" * 200 + b"}}}").kind == "job"


def test_thirty_megabytes_are_taken_and_sixty_five_are_not():
    big = parse(run={"runId": "r1", "facets": {"spark.logicalPlan": {"plan": "x" * 30_000_000}}})
    assert len(big.run_facets["spark.logicalPlan"]["plan"]) == 30_000_000
    with pytest.raises(BadEvent, match="limit"):
        parse_event(b" " * (MAX_BYTES + 1))


def test_unknown_facets_and_facets_of_a_wrong_shape_are_kept():
    facets = {
        "my.odd": {"a": [1, None, {"b": 2.5}]},
        "parent": 7,
        "symlinks": {"identifiers": "no"},
        "version": [],
        "columnLineage": {"fields": 3},
    }
    one = parse(
        run={"runId": "r", "facets": facets},
        inputs=[{"namespace": "n", "name": "d", "facets": facets, "inputFacets": {"z": 1}}],
    )
    assert one.run_facets == facets
    assert one.inputs[0].facets == facets
    assert one.inputs[0].io_facets == {"z": 1}
    assert one.parent is None
    assert one.inputs[0].symlinks is None
    assert one.inputs[0].version is None
    assert one.inputs[0].column_sources is None


def test_typed_parts_are_read():
    output = {
        "namespace": "s3a://Lake/",
        "name": "out/",
        "facets": {
            "version": {"datasetVersion": 7},
            "datasetType": {"datasetType": "model"},
            "symlinks": {"identifiers": [{"namespace": "hive://h", "name": "t", "type": "TABLE"}]},
            "columnLineage": {
                "fields": {"a": {"inputFields": [{"namespace": "s3n://lake", "name": "in", "field": "x"}]}},
                "dataset": [{"namespace": "s3://lake", "name": "filter", "field": "y"}],
            },
        },
    }
    job = {"namespace": "n", "name": "j", "facets": {"jobType": {"processingType": "service"}}}
    run = {"runId": "r", "facets": {"parentRun": {"run": {"runId": "p"}, "job": {"namespace": "a", "name": "b"}}}}
    one = parse(outputs=[output], job=job, run=run)
    made = one.outputs[0]
    assert (made.namespace, made.name, made.version, made.kind) == ("s3://lake", "out", "7", "MODEL")
    assert made.symlinks == (("hive://h", "t", "TABLE"),)
    assert made.column_sources == (("s3://lake", "filter"), ("s3://lake", "in"))
    assert one.processing == "SERVICE"
    assert one.parent == ("p", "a", "b")


def test_explicit_lineage_of_the_job_becomes_statements_of_its_datasets():
    entries = [
        {"type": "DATASET", "namespace": "n", "name": "x", "inputs": [{"type": "DATASET", "namespace": "n", "name": "a"}]},
        {"type": "DATASET", "namespace": "n", "name": "made", "inputs": []},
        {"type": "DATASET", "namespace": "n", "name": "y", "inputs": [{"type": "JOB"}]},
        {"type": "JOB", "inputs": [{"type": "DATASET", "namespace": "n", "name": "read"}]},
        {"type": "JOB", "namespace": "other", "name": "job", "inputs": [{"type": "DATASET", "namespace": "n", "name": "not_ours"}]},
    ]
    one = parse(
        job={"namespace": "n", "name": "j", "facets": {"lineage": {"entries": entries}}},
        outputs=[{"namespace": "n", "name": "x"}],
    )
    by_name = {made.name: made for made in one.outputs}
    assert by_name["x"].lineage_sources == (("n", "a"),)
    assert by_name["made"].lineage_sources == ()
    assert by_name["y"].lineage_from_job
    assert [read.name for read in one.inputs] == ["read"]


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (("file", "/"), ("file", "/")),
        (("bigquery", "a.b.c"), ("bigquery", "a.b.c")),
        (("POSTGRESQL://Host:5432", "db.s.t"), ("postgres://host", "db.s.t")),
        (("postgres://host:5433", "db.s.t"), ("postgres://host:5433", "db.s.t")),
        (("abfs://c@Account.dfs.core.windows.net/", "x"), ("abfss://c@account.dfs.core.windows.net", "x")),
        (("govern://My-House", "credit.train"), ("govern://My-House", "credit.train")),
        (("kafka://Broker:9092", "topic"), ("kafka://broker", "topic")),
        (("kafka://broker:9093", "topic"), ("kafka://broker:9093", "topic")),
        (("hdfs://nn:8020/", "/user/x/"), ("hdfs://nn", "/user/x")),
        (("s3n://bucket", "//key"), ("s3://bucket", "key")),
        (("file://", "/x"), ("file", "/x")),
        (("inmemory://", "t"), ("inmemory://", "t")),
        (("arn:aws:glue:eu-west-1:123", "table/db/t"), ("arn:aws:glue:eu-west-1:123", "table/db/t")),
    ],
)
def test_names_are_normalised_without_changing_their_meaning(given, kept):
    assert normalise(*given) == kept
    assert normalise(*kept) == kept
