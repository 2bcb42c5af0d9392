"""A real S3 server for the tests: moto's, in this process on a free port of this machine; buckets with versions and locks.

Its clients find it as anybody's do, by the AWS_… variables, so that what is tested is what an installation does. Rights that moto
does not tell apart are refused before it, over HTTP and in S3's words.
"""

from __future__ import annotations

import io
import secrets
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

import pytest

__all__ = ["S3", "Bucket", "s3", "s3_server"]

RIGHTS = {
    "s3:ListBucketVersions": lambda method, asked, body: "versions" in asked,
    "s3:GetBucketVersioning": lambda method, asked, body: method == "GET" and "versioning" in asked,
    "s3:ListBucketMultipartUploads": lambda method, asked, body: method == "GET" and "uploads" in asked,
    "s3:GetReplicationConfiguration": lambda method, asked, body: method == "GET" and "replication" in asked,
    "s3:DeleteObjectVersion": lambda method, asked, body: method == "POST" and "delete" in asked and b"<VersionId>" in body,
    "s3:PutObject": lambda method, asked, body: method == "PUT",
}
"""Which requests need a right (Service Authorization Reference, "Actions … for Amazon S3")."""
DENIED = b"<?xml version='1.0' encoding='UTF-8'?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"


class Gate:
    """A WSGI application before moto's that refuses what a bucket's user may not do."""

    def __init__(self, behind: Callable[..., Iterable[bytes]]) -> None:
        self._behind = behind
        self.lacks: dict[str, set[str]] = {}
        self.unconditional: set[str] = set()
        """Buckets of a store that knows no conditional writes."""
        self.meanwhile: dict[str, Callable[[], object]] = {}
        """By bucket: what happens once, while a conditional write is on its way."""
        self.requests = 0

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if "HTTP_X_AMZ_CHECKSUM_SHA256" in environ:
            # S3 takes "Content-MD5 OR x-amz-checksum-" for a locked bucket; moto looks for the first and for what an SDK sends beside it.
            environ.setdefault("HTTP_X_AMZ_SDK_CHECKSUM_ALGORITHM", "SHA256")
        bucket = environ["PATH_INFO"].split("/")[1]
        self.requests += 1
        if "HTTP_IF_NONE_MATCH" in environ and environ["REQUEST_METHOD"] == "PUT" and bucket in self.meanwhile:
            self.meanwhile.pop(bucket)()
        if bucket in self.unconditional:
            environ.pop("HTTP_IF_NONE_MATCH", None)
        lacks = self.lacks.get(bucket, set())
        if lacks:
            body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            environ["wsgi.input"] = io.BytesIO(body)
            asked = parse_qs(environ["QUERY_STRING"], keep_blank_values=True)
            if any(RIGHTS[right](environ["REQUEST_METHOD"], asked, body) for right in lacks):
                start("403 Forbidden", [("Content-Type", "application/xml"), ("Content-Length", str(len(DENIED)))])
                return [DENIED]
        return self._behind(environ, start)


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """One bucket of a test, seen by boto3 and not by what is tested."""

    client: Any
    name: str

    def url(self, folder: str = "lake/people") -> str:
        return f"s3://{self.name}/{folder}"

    def versions(self) -> list[tuple[str, str]]:
        """(key, version) of every content that the bucket keeps."""
        return [(one["Key"], one["VersionId"]) for one in self.client.list_object_versions(Bucket=self.name).get("Versions", [])]

    def markers(self) -> list[str]:
        """The keys of its delete markers."""
        return [one["Key"] for one in self.client.list_object_versions(Bucket=self.name).get("DeleteMarkers", [])]

    def present(self) -> list[str]:
        """The keys that a plain listing shows."""
        return [one["Key"] for one in self.client.list_objects_v2(Bucket=self.name).get("Contents", [])]

    def body(self, key: str, version: str) -> bytes:
        found: bytes = self.client.get_object(Bucket=self.name, Key=key, VersionId=version)["Body"].read()
        return found


@dataclass(frozen=True, kw_only=True)
class S3:
    """The server of a test."""

    endpoint: str
    client: Any
    gate: Gate

    def refuse(self, bucket: Bucket, *rights: str) -> None:
        """From now on the user lacks these rights on the bucket, and no others."""
        self.gate.lacks[bucket.name] = set(rights)

    def bucket(self, *, versions: str | None = "Enabled", lock: bool = False) -> Bucket:
        """A new bucket; ``versions``: Enabled, Suspended, or None for one that never had any."""
        name = f"govern-{secrets.token_hex(6)}"
        self.client.create_bucket(Bucket=name, ObjectLockEnabledForBucket=lock)
        if versions and not lock:
            self.client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": versions})
        return Bucket(client=self.client, name=name)


@pytest.fixture(scope="session")
def s3_server() -> Iterator[tuple[str, Gate]]:
    """The endpoint of this process's server, and its gate."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Quiet(WSGIRequestHandler):
        def log_request(self, *_: object, **__: object) -> None:
            """Nothing: hundreds of requests would hide what failed."""

    gate = Gate(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, gate, threaded=True, request_handler=Quiet)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", gate
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def s3(s3_server: tuple[str, Gate], monkeypatch: pytest.MonkeyPatch) -> S3:
    """The server, named by the environment as an installation's is; buckets are new."""
    import boto3
    from s3fs import S3FileSystem

    endpoint, gate = s3_server
    S3FileSystem.clear_instance_cache()  # a client remembers the endpoint of the environment that it was made in
    for name, value in {
        "AWS_ACCESS_KEY_ID": "AKIATESTTESTTESTTEST",
        "AWS_SECRET_ACCESS_KEY": "not-a-secret-of-anybody",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ALLOW_HTTP": "true",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    return S3(endpoint=endpoint, client=boto3.client("s3", endpoint_url=endpoint), gate=gate)
