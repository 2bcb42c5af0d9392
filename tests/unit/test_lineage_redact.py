"""Redaction at the door: what is taken out, what is left as it was, and that the secret is never said."""

from __future__ import annotations

import copy
import json

import pytest

from lineage.openlineage.redact import Redaction, may_hold_secrets, redact

PLAIN = Redaction()


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("postgres://me:s3cret@db:5432/shop", "postgres://db:5432/shop"),
        ("postgresql://me:p@ss:s3cret@db", "postgresql://db"),
        ("jdbc:postgresql://db/shop?user=me&password=s3cret&ssl=1", "jdbc:postgresql://db/shop?user=me&password=***&ssl=1"),
        ("jdbc:sqlserver://db:1433;user=sa;password=s3cret;encrypt=true", "jdbc:sqlserver://db:1433;user=sa;password=***;encrypt=true"),
        ("jdbc:oracle:thin:scott/s3cret@//h:1521/x", "jdbc:oracle:thin://h:1521/x"),
        ("jdbc:mysql://(host=h,user=u,password=s3cret)/x", "jdbc:mysql://(host=h,user=u,password=***)/x"),
        ("https://a.blob.core.windows.net/c?sv=1&sig=s3cret%2F&se=2", "https://a.blob.core.windows.net/c?sv=1&sig=***&se=2"),
        ("https://s3.aws/b?X-Amz-Security-Token=s3cret&x=1", "https://s3.aws/b?X-Amz-Security-Token=***&x=1"),
        ("https://ghp_s3cret@github.com/x.git", "https://github.com/x.git"),
        ("DefaultEndpointsProtocol=https;AccountName=a;AccountKey=s3cret==", "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=***"),
        ("COPY t FROM 'https://h/x?token=s3cret' CSV", "COPY t FROM 'https://h/x?token=***' CSV"),
    ],
)
def test_credentials_leave_an_address_wherever_it_stands(sent, kept):
    event = {"inputs": [{"namespace": sent, "facets": {"my.own": {"deep": [{"x": sent}]}}}]}
    assert may_hold_secrets(json.dumps(event).encode(), PLAIN)
    found = redact(event, PLAIN)
    assert found.body == {"inputs": [{"namespace": kept, "facets": {"my.own": {"deep": [{"x": kept}]}}}]}
    assert found.changes == (("/inputs/0/namespace", "address"), ("/inputs/0/facets/my.own/deep/0/x", "address"))
    assert "s3cret" not in repr(found)
    assert redact(found.body, PLAIN).changes == ()


@pytest.mark.parametrize(
    "text",
    [
        "abfss://container@account.dfs.core.windows.net",
        "ssh://git@github.com/x",
        "s3://lake/a=b/token/x",
        "mail me@example.org",
        "select 1 where token = 'x'",
        "https://h/x?tokenizer=bert&page=2",
        "arn:aws:glue:eu:1",
        "password",
    ],
)
def test_what_is_no_secret_stays_as_it_was(text):
    event = {"a": [text]}
    found = redact(event, PLAIN)
    assert found.body is event
    assert found.changes == ()


def test_variables_on_the_deny_list_lose_their_value_and_no_others():
    facets = {
        "environmentVariables": {"environmentVariables": [{"name": "DB_PASSWORD", "value": "x"}, {"name": "PATH", "value": "/bin"}]},
        "spark_properties": {"_schemaURL": "u", "properties": {"spark.hadoop.fs.s3a.secret.key": "x", "spark.app.name": "etl"}},
        "executionParameters": {"parameters": [{"key": "db.password", "value": "x"}, {"key": "max_tokens", "value": 5}]},
    }
    before = copy.deepcopy(facets)
    found = redact({"run": {"facets": facets}}, PLAIN)
    assert facets == before, "the event itself is not changed"
    kept = found.body["run"]["facets"]
    assert [one["value"] for one in kept["environmentVariables"]["environmentVariables"]] == ["***", "/bin"]
    assert kept["spark_properties"]["properties"] == {"spark.hadoop.fs.s3a.secret.key": "***", "spark.app.name": "etl"}
    assert [one["value"] for one in kept["executionParameters"]["parameters"]] == ["***", 5]
    assert [rule for _, rule in found.changes] == ["variable"] * 3
    assert redact({"run": {"facets": facets}}, Redaction(variables=False)).changes == ()


def test_with_an_allow_list_only_what_is_on_it_is_kept():
    sent = {"environmentVariables": {"environmentVariables": [{"name": "PATH", "value": "/bin"}, {"name": "HOME", "value": "/h"}, 3]}}
    found = redact(sent, Redaction(allowed=frozenset({"PATH"})))
    assert found.body["environmentVariables"]["environmentVariables"] == [
        {"name": "PATH", "value": "/bin"},
        {"name": "HOME", "value": "***"},
        3,
    ]


def test_source_code_is_kept_unless_the_policy_says_its_digest_is_enough():
    event = {"job": {"facets": {"sourceCode": {"language": "python", "sourceCode": "print('person@example.org')"}}}}
    assert redact(event, PLAIN).body is event
    found = redact(event, Redaction(source_code=True))
    assert found.body["job"]["facets"]["sourceCode"]["sourceCode"].startswith("sha256:")
    assert found.changes == (("/job/facets/sourceCode/sourceCode", "source_code"),)
    assert may_hold_secrets(json.dumps(event).encode(), Redaction(source_code=True))


@pytest.mark.parametrize(
    "odd", [{"environmentVariables": 3}, {"environmentVariables": {"environmentVariables": {"a": 1}}}, {"sourceCode": None}]
)
def test_facets_of_the_wrong_shape_are_walked_as_any_other(odd):
    assert redact(odd, Redaction(source_code=True)).body == odd
    assert redact([odd, "mysql://a:b@c"], PLAIN).body == [odd, "mysql://c"]


def test_a_sign_written_as_an_escape_is_not_overlooked():
    assert may_hold_secrets(b'{"uri": "postgres:\\/\\/me:pw@db"}', PLAIN)
    assert may_hold_secrets(b'{"uri": "postgres://me:pw\\u0040db"}', PLAIN)
    assert not may_hold_secrets(b'{"schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent", "x": "a=1"}', PLAIN)
