"""One user at one place: what fsspec's file system found of credentials and endpoint, for the libraries that write to S3 by themselves.

Lance and delta-rs both use Apache's ``object_store``, whose own search for credentials differs from botocore's (profiles, roles, order).
Two users could be found: one that writes, another that lists and deletes versions. So they are handed what botocore found.
"""

from __future__ import annotations

import re
from typing import Any

__all__ = ["answered", "s3_options", "s3_region"]

_REQUEST = "Error performing "
"""How ``object_store`` words every request that a store answered with an error, or not at all."""
_CODE = re.compile(r"<Code>(\w+)</Code>")
_LOST = ("412 Precondition Failed", "409 Conflict")
"""Answers to a conditional request: they mean another commit, which is the library's to tell."""


def s3_region(system: Any, bucket: str) -> str:
    """Where a bucket lies, which may not be the user's region.

    Args:
        system: s3fs's file system.
        bucket: its name.
    """
    answer = system.call_s3("head_bucket", Bucket=bucket)
    headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    region = answer.get("BucketRegion") or headers.get("x-amz-bucket-region") or system.s3.meta.region_name
    return "us-east-1" if region in {None, "aws-global"} else str(region)


def s3_options(system: Any, region: str) -> dict[str, str]:
    """The ``storage_options`` for a region, with the credentials as they are now: to be asked for anew at each opening.

    Commits of both libraries are conditional writes (``If-None-Match: *``), which is their default and is named here so that an environment
    variable does not switch it off. A checksum goes with every object, because a bucket with object lock takes none without
    (Amazon S3 User Guide, "Object Lock considerations").
    """
    from fsspec.asyn import sync  # type: ignore[import-untyped]

    endpoint = str(system.s3.meta.endpoint_url)
    options = {
        "aws_region": region,
        "aws_conditional_put": "etag",
        "aws_checksum_algorithm": "SHA256",
        "allow_http": str(endpoint.startswith("http://")).lower(),
    }
    if not endpoint.rstrip("/").endswith(".amazonaws.com"):  # Amazon's own is found from the region
        options["aws_endpoint"] = endpoint
    found = sync(system.loop, _credentials, system.session)
    if found is None:
        return options | {"aws_skip_signature": "true"}
    options |= {"aws_access_key_id": found.access_key, "aws_secret_access_key": found.secret_key}
    return options | ({"aws_session_token": found.token} if found.token else {})


async def _credentials(session: Any) -> Any:
    found = await session.get_credentials()
    return await found.get_frozen_credentials() if found is not None else None


def answered(error: Exception) -> OSError | None:
    """A library's error as the operating system's, when it tells what the store answered; ``None`` when it tells something else.

    An object that is not there and a commit that lost are the library's own affair.
    """
    said = str(error)
    if _REQUEST not in said or any(lost in said for lost in _LOST):
        return None
    code = _CODE.search(said)
    what = code[1] if code else said.rpartition(_REQUEST)[2].splitlines()[-1].strip()[:200]
    if "403 Forbidden" in said or "401 Unauthorized" in said:
        return PermissionError(what)
    if "404 Not Found" in said:
        return FileNotFoundError(what) if what == "NoSuchBucket" else None
    return TimeoutError(what)
