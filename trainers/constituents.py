"""A sharded training (SISA: Bourtoule et al. 2021, arXiv:1912.03817): each shard's constituent trained apart, or taken over as it was.

A constituent is a pure function of its inputs (:func:`trainers.shards.input_digest`), so one whose inputs are the same as in the version
before is the version before's, bit for bit, and need not be made again. An erased row changes the digest of its shard alone. Nothing is
told to this code about what was erased: equal digests of what is there now decide, so a row that is gone cannot be taken over by mistake.

The artifact has the usual four parts:

* ``weights.safetensors`` – every constituent's tensors under ``shard-<number>/``;
* ``state.json`` – ``{"constituents": {"<shard>": its state}}``;
* ``signature.json`` – one, the same for all: a model has one set of classes;
* ``manifest.json`` – beside the recipe, ``sharding`` with each constituent's inputs, digest, rows, width and metrics.

A shard without rows has no constituent. What was taken over stands nowhere in it: an artifact made by the shortcut and one made from
scratch are the same bytes, or something is wrong.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from lineage.errors import Gone, Tampered
from trainers.artifact import verify_artifact
from trainers.errors import BadModule, ChildFailed
from trainers.model import Retrained, TrainSpec
from trainers.params import canonical
from trainers.shards import constituent_seed, input_digest, rows_of_shards
from trainers.tensors import joined, normal, separated

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["AGGREGATION", "Constituent", "Parts", "Sharded", "parts_of", "train_sharded"]

AGGREGATION: Final = "mean of probabilities"
"""How the constituents' answers become one: softmax of each one's logits, then their mean with equal weights."""

Parts = tuple[dict[str, bytes], dict[str, Any]]
"""(parts of the artifact, closing header) of one training."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Constituent:
    """One trained shard."""

    shard: int
    inputs: str
    """Digest of all that determines the weights."""
    rows: int
    weights: bytes
    """safetensors in the normal form."""
    state: bytes
    signature: bytes
    columns: int
    """Width of its encoded rows."""
    metrics: Mapping[str, float]

    @property
    def digest(self) -> str:
        """``sha256:<hex>`` over what was trained: weights, state and signature."""
        parts = {"weights": self.weights, "state": self.state, "signature": self.signature}
        return "sha256:" + hashlib.sha256(canonical({name: hashlib.sha256(data).hexdigest() for name, data in parts.items()})).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sharded:
    """What a sharded training left."""

    parts: Mapping[str, bytes]
    """weights.safetensors, state.json, signature.json."""
    manifest: Mapping[str, Any]
    """What ``manifest.json`` says under ``sharding``."""
    metrics: Mapping[str, float]
    """Of the metrics that every constituent gave, the mean by rows."""
    retrained: Retrained


def train_sharded(
    spec: TrainSpec,
    tables: Mapping[str, pa.Table],
    *,
    run: Callable[[Mapping[str, Any], Mapping[str, pa.Table], int, int], Parts | None],
    before: Path | None = None,
) -> Sharded | None:
    """Train the constituents that cannot be taken over from the artifact ``before``; ``None`` when it was cancelled.

    Args:
        spec: with ``sharding``.
        tables: role → rows in row-id order; those of role train with :data:`trainers.shards.PLACE`.
        run: trains one constituent apart from the others: (what differs from the spec's job, tables, its place in the order, how many).
        before: folder of the version before's artifact. What cannot be read or is not what its digest says is not used; the outcome's
            ``retrained.reason`` says so, and everything is trained from scratch.

    Raises:
        BadInput: the rows have no places.
        BadModule: no shard has a row, or two constituents name different classes.
        ChildFailed: the user's code failed on a constituent.
    """
    assert spec.sharding is not None
    split = rows_of_shards(tables["train"], spec.sharding)
    given = {shard: {**tables, "train": rows} for shard, rows in enumerate(split) if rows.num_rows}
    if not given:
        raise BadModule("there are no training rows")
    inputs = {shard: input_digest(spec, shard, own) for shard, own in given.items()}
    known, reason = _known(before)
    made = {shard: known[digest] for shard, digest in inputs.items() if digest in known}
    taken = len(made)
    missing = [shard for shard in given if shard not in made]
    for position, shard in enumerate(missing):
        rows = given[shard]["train"].num_rows
        try:
            outcome = run({"seed": constituent_seed(spec.seed, shard), "apart": True}, given[shard], position, len(missing))
        except ChildFailed as error:
            raise ChildFailed(f"{error.message} (in a constituent with {rows} rows)", hint=error.hint) from error
        if outcome is None:
            return None
        made[shard] = _constituent(shard, inputs[shard], rows, *outcome)
    constituents = [made[shard] for shard in sorted(made)]
    if len({one.signature for one in constituents}) != 1:
        raise BadModule(
            "the constituents name different classes or types: a shard may lack a class that others hold",
            hint="name the classes in the code or in `params`, not from the rows",
        )
    return Sharded(
        parts={
            "weights.safetensors": joined({_name(one.shard): one.weights for one in constituents}),
            "state.json": b'{"constituents":{' + b",".join(b'"%d":%s' % (one.shard, one.state) for one in constituents) + b"}}",
            "signature.json": constituents[0].signature,
        },
        manifest={
            "strategy": spec.strategy,
            "shards": spec.sharding.shards,
            "aggregation": AGGREGATION,
            "constituents": [_entry(one) for one in constituents],
        },
        metrics=_metrics(constituents),
        retrained=Retrained(
            constituents=len(constituents),
            taken_over=taken,
            rows=sum(one.rows for one in constituents),
            rows_trained=sum(given[shard]["train"].num_rows for shard in missing),
            reason=reason,
        ),
    )


def parts_of(artifact: Path, manifest: Mapping[str, Any]) -> list[Constituent]:
    """The constituents of an artifact whose manifest has ``sharding``, in the order of their shards.

    Raises:
        Tampered: parts and manifest do not fit, or a constituent is not what its digest says.
    """
    weights = separated((artifact / "weights.safetensors").read_bytes())
    signature = (artifact / "signature.json").read_bytes()
    try:
        states = json.loads((artifact / "state.json").read_bytes())["constituents"]
        found = []
        for entry in manifest["sharding"]["constituents"]:
            shard = int(entry["shard"])
            one = Constituent(
                shard=shard,
                inputs=entry["inputs"],
                rows=int(entry["rows"]),
                weights=weights.get(_name(shard), joined({})),
                state=json.dumps(states[str(shard)], ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode(),
                signature=signature,
                columns=int(entry["columns"]),
                metrics=dict(entry["metrics"]),
            )
            if one.digest != entry["digest"]:
                raise Tampered(f"a constituent of model artifact {artifact.name[:16]}… is not what its digest says")
            found.append(one)
    except (KeyError, TypeError, ValueError) as error:
        raise Tampered(f"model artifact {artifact.name[:16]}… lacks what its manifest names ({type(error).__name__})") from None
    return found


def _known(before: Path | None) -> tuple[dict[str, Constituent], str | None]:
    """Inputs → constituent of the artifact before, each checked against its digest; and why there are none, where one was named."""
    if before is None:
        return {}, None
    try:
        verify_artifact(before)
        manifest = json.loads((before / "manifest.json").read_bytes())
        if "sharding" not in manifest:
            return {}, "the version before was not trained in shards"
        return {one.inputs: one for one in parts_of(before, manifest)}, None
    except (Gone, Tampered) as error:
        return {}, error.message


def _constituent(shard: int, inputs: str, rows: int, parts: Mapping[str, bytes], header: Mapping[str, Any]) -> Constituent:
    return Constituent(
        shard=shard,
        inputs=inputs,
        rows=rows,
        weights=normal(parts["weights.safetensors"]),
        state=parts["state.json"],
        signature=parts["signature.json"],
        columns=int(header["columns"]),
        metrics=header["metrics"],
    )


def _entry(one: Constituent) -> dict[str, Any]:
    return {
        "shard": one.shard,
        "inputs": one.inputs,
        "digest": one.digest,
        "rows": one.rows,
        "columns": one.columns,
        "metrics": dict(one.metrics),
    }


def _metrics(constituents: Sequence[Constituent]) -> dict[str, float]:
    shared: set[str] = set.intersection(*(set(one.metrics) for one in constituents))
    rows = sum(one.rows for one in constituents)
    return {name: _mean((one.metrics[name] * one.rows for one in constituents), rows) for name in sorted(shared)}


def _mean(products: Iterable[float], rows: int) -> float:
    return sum(products) / rows


def _name(shard: int) -> str:
    return f"shard-{shard:04d}"
