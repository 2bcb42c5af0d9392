"""A stored model brought back: weights from its artifact, code from its own snapshot. For child processes; imports torch."""

from __future__ import annotations

import hashlib
import importlib
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa
import safetensors.torch
import torch

from lineage.errors import Tampered
from trainers.artifact import verify_artifact
from trainers.constituents import parts_of
from trainers.contract import Tensors
from trainers.ensemble import Ensemble, class_logits
from trainers.errors import BadModule
from trainers.snapshot import unpack

__all__ = ["LoadedModel", "UserCode", "load_code", "load_model", "probabilities"]


class UserCode:
    """The user's module from one snapshot. Modules of two snapshots live side by side: each sees only its own while it runs."""

    def __init__(self, folder: Path, entrypoint: str) -> None:
        self._folder = str(folder.resolve())
        self._tops = {path.stem for path in folder.iterdir() if path.suffix == ".py" or path.is_dir()}
        self._own: dict[str, ModuleType] = {}
        self._seen: dict[str, tuple[list[str], list[str]]] = {}
        try:
            with self._active():
                self._module = importlib.import_module(entrypoint)
        except ModuleNotFoundError as error:
            if error.name is not None and entrypoint.startswith(error.name):
                raise BadModule(f"the code snapshot has no module {entrypoint!r}", hint="`entrypoint:` in govern.yaml names it") from None
            raise BadModule(f"module {entrypoint!r} needs {error.name!r}, which is not installed here") from None
        missing = [name for name in ("build", "encode", "train") if not callable(getattr(self._module, name, None))]
        if missing:
            raise BadModule(f"module {entrypoint!r} has no function {', '.join(missing)}")

    def has(self, name: str) -> bool:
        """Whether the module defines this function."""
        return callable(getattr(self._module, name, None))

    def call(self, name: str, *args: Any) -> Any:
        """Call a function of the module; what it raises passes through."""
        with self._active():
            return getattr(self._module, name)(*args)

    @contextmanager
    def _active(self) -> Iterator[None]:
        """The snapshot's folder first on the path, its modules instead of any others of the same names."""
        hidden = {name: sys.modules.pop(name) for name in self._named("before")}
        sys.modules.update(self._own)
        sys.path.insert(0, self._folder)
        try:
            yield
        finally:
            sys.path.remove(self._folder)
            self._own = {name: sys.modules.pop(name) for name in self._named("after")}
            sys.modules.update(hidden)

    def _named(self, moment: str) -> list[str]:
        """Names of the imported modules that are named like the snapshot's.

        Looked for again only when a name came or went: a process has thousands of modules, and each prediction asks twice.
        """
        there = list(sys.modules)
        seen, named = self._seen.get(moment, ([], []))
        if there != seen:
            named = [name for name in there if name.partition(".")[0] in self._tops]
            self._seen[moment] = there, named
        return named


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModel:
    """A model ready to answer; see :mod:`trainers.contract`."""

    module: torch.nn.Module
    """In eval mode, weights loaded."""
    code: UserCode
    states: tuple[Mapping[str, Any], ...]
    """One; of a sharded model one for each constituent, unless all are the same."""
    signature: Mapping[str, Any]
    classes: tuple[str | int, ...]
    label: str
    features: tuple[str, ...]
    manifest: Mapping[str, Any]

    def encode(self, table: pa.Table) -> Tensors:
        """The user's ``encode`` with the model's own state, its promise checked; unpacks as ``x, y``.

        Of a sharded model x holds the rows as each constituent's state encodes them, side by side.

        Raises:
            BadModule: another number of rows, not two-dimensional float32, or values that are not finite.
            BadFeature: as the user's code decides.
        """
        encoded = [checked(self.code.call("encode", table, state), table.num_rows) for state in self.states]
        return encoded[0] if len(encoded) == 1 else Tensors(torch.cat([one.x for one in encoded], dim=1), encoded[0].y)

    def predict(self, table: pa.Table) -> tuple[list[str | int], list[list[float]]]:
        """(label, scores in the order of ``classes``) for each row."""
        with torch.no_grad():
            scores = probabilities(self.module(self.encode(table).x), len(self.classes))
        return [self.classes[at] for at in scores.argmax(dim=1).tolist()], scores.tolist()


def load_code(code: Path, expected: str | None = None, *, entrypoint: str) -> UserCode:
    """The module of a snapshot: its tar, checked against ``snapshot:<sha256>``, or a folder already unpacked from it."""
    if code.is_dir():
        return UserCode(code, entrypoint)
    data = code.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if expected is not None and expected.startswith("snapshot:") and expected != f"snapshot:{digest}":
        raise Tampered(f"the code snapshot is not the one of this model version ({digest[:16]}… instead of {expected[9:25]}…)")
    return UserCode(unpack(data, Path(tempfile.mkdtemp(prefix="code-"))), entrypoint)


def load_model(artifact: Path, code: Path) -> LoadedModel:
    """Bring back the model in folder ``artifact`` with the code snapshot ``code`` (tar or unpacked folder).

    Raises:
        Gone: the artifact was destroyed.
        Tampered: artifact or snapshot are not what their digests say.
        BadModule: the code does not keep the contract, or the weights do not fit what ``build`` makes.
    """
    verify_artifact(artifact)
    manifest = json.loads((artifact / "manifest.json").read_bytes())
    signature = json.loads((artifact / "signature.json").read_bytes())
    user = load_code(code, manifest["code"], entrypoint=manifest["entrypoint"])
    if "sharding" in manifest:
        module, states = _ensemble(user, artifact, manifest, len(signature["classes"]))
    else:
        states = (json.loads((artifact / "state.json").read_bytes()),)
        module = restore(user, manifest["params"], states[0], (artifact / "weights.safetensors").read_bytes())
    return LoadedModel(
        module=module,
        code=user,
        states=states,
        signature=signature,
        classes=tuple(signature["classes"]),
        label=signature["label"],
        features=tuple(one["name"] for one in signature["inputs"]),
        manifest=manifest,
    )


def _ensemble(
    user: UserCode, artifact: Path, manifest: Mapping[str, Any], classes: int
) -> tuple[torch.nn.Module, tuple[Mapping[str, Any], ...]]:
    """The constituents as one module, and the states that encode for it."""
    found = parts_of(artifact, manifest)
    states = tuple(json.loads(one.state) for one in found)
    modules = [restore(user, manifest["params"], state, one.weights) for one, state in zip(found, states, strict=True)]
    if len({one.state for one in found}) == 1:
        return Ensemble(modules, [found[0].columns], classes).eval(), states[:1]
    return Ensemble(modules, [one.columns for one in found], classes).eval(), states


def restore(user: UserCode, params: Mapping[str, Any], state: Mapping[str, Any], weights: bytes) -> torch.nn.Module:
    """``build(params, state)`` with the weights in it, in eval mode."""
    module = user.call("build", params, state)
    if not isinstance(module, torch.nn.Module):
        raise BadModule(f"build() returned {type(module).__name__} instead of a torch.nn.Module")
    try:
        module.load_state_dict(safetensors.torch.load(weights), strict=True)
    except RuntimeError:
        raise BadModule("the weights do not fit the module that build(params, state) makes") from None
    return module.eval()


def checked(encoded: Any, rows: int) -> Tensors:
    """What ``encode`` returned, if it keeps its promise."""
    if not isinstance(encoded, Tensors):
        raise BadModule(f"encode() returned {type(encoded).__name__} instead of Tensors")
    x = encoded.x
    if not isinstance(x, torch.Tensor) or x.dtype != torch.float32 or x.ndim != 2 or len(x) != rows:
        shape = f"{x.dtype} {tuple(x.shape)}" if isinstance(x, torch.Tensor) else type(x).__name__
        raise BadModule(f"encode() gave x as {shape} for {rows} rows; float32 [rows, columns] is asked")
    if not bool(torch.isfinite(x).all()):
        raise BadModule("encode() gave values that are not finite")
    return encoded


def probabilities(logits: torch.Tensor, classes: int) -> torch.Tensor:
    """Scores [n, classes] that sum to one, from logits [n, classes], or [n] or [n, 1] of the second of two classes."""
    return torch.softmax(class_logits(logits, classes).double(), dim=1)
