"""The one ``key`` of every node and relationship: ``<kind>:<sha256 of the natural key>``.

The natural key is a JSON array, so that no two different tuples give the same text; hashing keeps names out of identifiers.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Sequence
from json.encoder import encode_basestring_ascii

from lineage.model import Json

__all__ = [
    "alias_key",
    "canonical",
    "code_key",
    "dataset_key",
    "deployment_key",
    "edge_key",
    "environment_key",
    "field_key",
    "ident_id",
    "job_key",
    "job_version_key",
    "key",
    "params_key",
    "row_set_key",
    "run_key",
    "test_key",
    "version_key",
]


_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


def canonical(value: Json) -> str:
    """Sorted compact ASCII JSON: equal values give equal text."""
    return _encode(value)


def key(kind: str, *natural: Json) -> str:
    """The key of a thing of this kind.

    >>> key("run", "r1")[:12]
    'run:38edd8d1'
    """
    return f"{kind}:{hashlib.sha256(_array(natural).encode('ascii')).hexdigest()}"


def _array(parts: Sequence[Json]) -> str:
    """:func:`canonical` of a list. Most parts are text, for which the encoder need not be set up."""
    return f"[{','.join([encode_basestring_ascii(part) if isinstance(part, str) else canonical(part) for part in parts])}]"


@functools.lru_cache(maxsize=1 << 16)
def ident_id(namespace: str, name: str) -> str:
    """128 bits, hex, that stand for a (namespace, name) in the keys of the fold's state."""
    return hashlib.sha256(_array((namespace, name)).encode("ascii")).hexdigest()[:32]


@functools.lru_cache(maxsize=1 << 14)
def dataset_key(namespace: str, name: str) -> str:
    """Key of a Dataset or Model."""
    return key("dataset", namespace, name)


@functools.lru_cache(maxsize=1 << 14)
def version_key(namespace: str, name: str, version: str | None) -> str:
    """Key of a DatasetVersion or ModelVersion; ``None`` is the dataset's unknown version."""
    return key("version", namespace, name, version)


def alias_key(namespace: str, name: str) -> str:
    """Key of another name of a dataset."""
    return key("alias", namespace, name)


@functools.lru_cache(maxsize=1 << 14)
def run_key(run_id: str) -> str:
    """Key of a Run."""
    return key("run", run_id)


@functools.lru_cache(maxsize=1 << 14)
def job_key(namespace: str, name: str) -> str:
    """Key of a Job."""
    return key("job", namespace, name)


@functools.lru_cache(maxsize=1 << 14)
def job_version_key(namespace: str, name: str, code: str | None) -> str:
    """Key of a JobVersion: the job at one code revision (its key), or at an unknown one."""
    return key("jobversion", namespace, name, code)


def code_key(location: Json) -> str:
    """Key of a CodeRevision: what ``sourceCodeLocation`` says, without its underscored fields."""
    return key("code", location)


def params_key(digest: str) -> str:
    """Key of a ParamSet by the digest of its RFC 8785 form."""
    return key("params", digest)


def environment_key(details: Json) -> str:
    """Key of an Environment: what ``govern_environment`` says, without its underscored fields."""
    return key("environment", details)


def row_set_key(digest: str, count: int) -> str:
    """Key of a RowSet."""
    return key("rowset", digest, count)


def deployment_key(run_id: str) -> str:
    """Key of a Deployment: the run of a SERVICE job."""
    return key("deployment", run_id)


def field_key(namespace: str, name: str, field: str) -> str:
    """Key of a Field: a column of a dataset."""
    return key("field", namespace, name, field)


def test_key(run_id: str, name: str, subject: str) -> str:
    """Key of a Test: one result that a run reports, of a thing's key where the result speaks of one thing only."""
    return key("test", run_id, name, subject)


def edge_key(kind: str, source: str, target: str, *more: Json) -> str:
    """Key of a relationship between two keys, which hold nothing that JSON would escape."""
    return key(kind.lower(), source, target, *more) if more else _between(kind, source, target)


@functools.lru_cache(maxsize=1 << 14)
def _between(kind: str, source: str, target: str) -> str:
    ends = f'["{source}","{target}"]'.encode("ascii")
    return f"{kind.lower()}:{hashlib.sha256(ends).hexdigest()}"
