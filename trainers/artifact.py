"""A model as four files in a folder named by what they hold.

================== ==============================================================================================
weights.safetensors  the module's tensors; never a pickle
state.json           what was fitted on rows (scales, categories), compact JSON in the module's own order
signature.json       raw features with their types, the label, the classes in output order
manifest.json        digests of code, parameters and environment, the seed, the thread count: what else decides the bits
================== ==============================================================================================

The artifact's digest is SHA-256 over the canonical JSON {file name: SHA-256 hex}; the folder's name is that digest.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from lineage.errors import Gone, StoreUnavailable, Tampered
from trainers.model import ArtifactInfo
from trainers.params import canonical

__all__ = ["PARTS", "artifact_digest", "artifact_path", "verify_artifact", "write_artifact"]

PARTS: Final = ("manifest.json", "signature.json", "state.json", "weights.safetensors")


def artifact_digest(folder: Path) -> ArtifactInfo:
    """What the folder holds now. Raises :class:`Gone` when it is absent, :class:`Tampered` when its files are not the four parts."""
    if not folder.is_dir():
        raise Gone(
            f"no model artifact {folder.name[:16]}… in the store",
            hint="its weights may have been destroyed by an erasure: `govern trace` answers",
        )
    names = sorted(path.name for path in folder.iterdir())
    if names != list(PARTS):
        raise Tampered(f"model artifact {folder.name[:16]}… holds {', '.join(names) or 'nothing'} instead of its four parts")
    return _info({name: (folder / name).read_bytes() for name in names})


def verify_artifact(folder: Path) -> ArtifactInfo:
    """As :func:`artifact_digest`, and :class:`Tampered` unless the folder's name is the digest of what it holds."""
    info = artifact_digest(folder)
    if info.digest != f"sha256:{folder.name}":
        raise Tampered(f"model artifact {folder.name[:16]}… holds other bytes than its name says ({info.digest})")
    return info


def artifact_path(artifacts: Path, digest: str) -> Path:
    """Folder of the artifact with this digest (``sha256:<hex>``), whether it exists or not."""
    return artifacts / digest.removeprefix("sha256:")


def write_artifact(artifacts: Path, parts: Mapping[str, bytes]) -> ArtifactInfo:
    """Store the four parts under their digest: the whole folder appears at once and durable, or not at all.

    Writing what is there already changes nothing. :class:`StoreUnavailable` when it cannot be written.
    """
    if sorted(parts) != list(PARTS):
        raise ValueError(f"an artifact has the parts {', '.join(PARTS)}")
    info = _info(parts)
    final = artifact_path(artifacts, info.digest)
    if final.is_dir():
        verify_artifact(final)
        return info
    try:
        _publish(artifacts, final, parts)
    except OSError as error:
        hint = "free some space, then run `govern train` again"
        raise StoreUnavailable(f"the model artifact could not be written to {artifacts.name}: {error.strerror}", hint=hint) from error
    return info


def _publish(artifacts: Path, final: Path, parts: Mapping[str, bytes]) -> None:
    """Write a draft folder and give it its name."""
    artifacts.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=artifacts))
    try:
        for name in PARTS:
            with (draft / name).open("wb") as file:
                file.write(parts[name])
                file.flush()
                os.fsync(file.fileno())
        _sync(draft)
        try:
            draft.rename(final)
        except OSError:
            if not final.is_dir():
                raise
            verify_artifact(final)  # another writer was first: the same bytes, by name
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    _sync(artifacts)


def _info(parts: Mapping[str, bytes]) -> ArtifactInfo:
    files = {name: hashlib.sha256(data).hexdigest() for name, data in sorted(parts.items())}
    digest = "sha256:" + hashlib.sha256(canonical(files)).hexdigest()
    return ArtifactInfo(digest=digest, files=files, size=sum(len(data) for data in parts.values()))


def _sync(folder: Path) -> None:
    """Make names in the folder durable."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
