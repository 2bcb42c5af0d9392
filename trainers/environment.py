"""What besides rows, code, parameters and seed decides the bits: packages, torch's build, CPU instructions, threads. Imports no torch."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from trainers.params import canonical

__all__ = ["Environment", "environment"]

_INSTRUCTIONS: Final = frozenset(
    {"avx", "avx2", "fma", "f16c", "avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl", "avx512_bf16", "avx512_vnni", "avx512_fp16"}
    | {"avx_vnni", "amx_tile", "amx_bf16", "amx_int8", "asimd", "sve", "sve2", "bf16", "fphp", "asimdhp"}
)
"""Those on which ATen, oneDNN and MKL choose their kernels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """An environment of training. Equal digests promise equal bits; different ones only a metric within tolerance."""

    digest: str
    """``sha256:<hex>`` over :attr:`details`."""
    details: Mapping[str, Any]
    """python, libc, machine, instructions, torch, threads, packages."""


def environment(threads: int) -> Environment:
    """The environment of a child process started here with ``threads`` threads. Reads files; needs some milliseconds the first time."""
    details = {**_base(), "threads": threads}
    return Environment(digest="sha256:" + hashlib.sha256(canonical(details)).hexdigest(), details=details)


@lru_cache(maxsize=1)
def _base() -> Mapping[str, Any]:
    packages = {name.lower().replace("_", "-"): one.version for one in metadata.distributions() if (name := one.metadata["Name"])}
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "libc": " ".join(platform.libc_ver()),
        "machine": platform.machine(),
        "instructions": _instructions(),
        "torch": _torch_build(),
        "packages": dict(sorted(packages.items())),
    }


def _instructions() -> list[str]:
    """The CPU's instruction sets that change numeric kernels, sorted; empty where the system does not say."""
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return []
    for line in info.read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() in {"flags", "Features"}:
            return sorted(_INSTRUCTIONS & set(value.split()))
    return []


def _torch_build() -> str:
    """Digest of torch's own version file, which names the version, the source revision and the accelerator it was built for."""
    for file in metadata.files("torch") or ():
        if file.as_posix() == "torch/version.py":
            return "sha256:" + hashlib.sha256(Path(str(file.locate())).read_bytes()).hexdigest()
    return "absent"
