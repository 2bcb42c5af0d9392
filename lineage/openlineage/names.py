"""One dataset, one name: the harmless spellings of an OpenLineage namespace and name are made equal.

Source: OpenLineage naming specification (docs/spec/naming.md). Only what cannot change the meaning is touched:
the scheme's aliases and case, the host's case, a default port, slashes at the end.
"""

from __future__ import annotations

__all__ = ["normalise"]

_SCHEMES = {"s3a": "s3", "s3n": "s3", "postgresql": "postgres", "abfs": "abfss", "wasb": "wasbs", "gcs": "gs"}
_PORTS = {
    "cassandra": "9042",
    "db2": "50000",
    "hdfs": "8020",
    "hive": "10000",
    "kafka": "9092",
    "milvus": "19530",
    "mongodb": "27017",
    "mssql": "1433",
    "mysql": "3306",
    "oceanbase": "2881",
    "oracle": "1521",
    "postgres": "5432",
    "redshift": "5439",
    "sqlserver": "1433",
    "teradata": "1025",
    "trino": "8080",
    "unitycatalog": "443",
}
_OBJECT_STORES = frozenset({"s3", "gs"})


def normalise(namespace: str, name: str) -> tuple[str, str]:
    """The (namespace, name) under which a dataset is kept.

    >>> normalise("s3a://Lake/", "/orders/")
    ('s3://lake', 'orders')
    >>> normalise("postgresql://DB:5432", "shop.public.orders")
    ('postgres://db', 'shop.public.orders')
    >>> normalise("file", "/tmp/x"), normalise("file://", "/tmp/x")
    (('file', '/tmp/x'), ('file', '/tmp/x'))
    """
    scheme, separator, rest = namespace.partition("://")
    if not separator:
        return _no_slash(namespace), _no_slash(name)
    scheme = _SCHEMES.get(scheme.lower(), scheme.lower())
    if scheme == "govern":  # ours: the installation's name is taken as it is
        return f"govern://{_no_slash(rest)}", _no_slash(name)
    authority, slash, path = rest.partition("/")
    user, at, host = authority.rpartition("@")
    host = host.lower()
    port = _PORTS.get(scheme)
    if port is not None:
        host = host.removesuffix(":" + port)
    if scheme in _OBJECT_STORES and len(name) > 1:
        name = name.lstrip("/") or name
    where = f"{user}{at}{host}{slash}{path}".rstrip("/")
    if not where and scheme == "file":  # the local file system, which the specification calls "file"
        return "file", _no_slash(name)
    return f"{scheme}://{where}", _no_slash(name)


def _no_slash(text: str) -> str:
    """``text`` without slashes at its end, unless it is nothing but slashes."""
    return text.rstrip("/") or text
