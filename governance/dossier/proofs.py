"""What of a request's proofs a certificate carries, by named keys alone, so that nothing else slips in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from governance.dossier.facts import at, items, mapping, text, whole
from governance.dossier.levels import AssetLevel
from reports.model import Table

__all__ = ["frozen_rows", "proof_files_table", "successors_data"]

_MOST = 200
_SUCCESSOR = ("model", "predecessor", "version", "run_id", "artifact_digest", "excluded", "reproduced", "predecessor_destroyed")


def frozen_rows(asset: AssetLevel, detail: Mapping[str, Any]) -> dict[str, Any]:
    """The committed set of the rows that were frozen for a dataset: what the proofs about successors must be about."""
    row_set = text(detail.get("row_set"))
    return {"dataset": text(detail.get("dataset")), "row_set": row_set} if asset.kind == "dataset" and row_set else {}


def _carried_proofs(inputs: Sequence[Any]) -> list[dict[str, Any]]:
    """What shows for each training input that the erased rows are not in it; of very many rows the digest of the file that does."""
    return [
        {
            "dataset": text(at(one, "dataset")),
            "version": text(at(one, "version")),
            "row_set": {"digest": text(at(one, "row_set", "digest")), "count": whole(at(one, "row_set", "count"))},
            "erased": {"digest": text(at(one, "erased", "digest")), "count": whole(at(one, "erased", "count"))},
            "proofs": None if at(one, "proofs") is None else [_proof(proof) for proof in items(at(one, "proofs"))],
        }
        | ({"file": {"digest": text(at(one, "file", "digest")), "size": whole(at(one, "file", "size"))}} if at(one, "file") else {})
        for one in inputs
    ]


def successors_data(request: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The successors of a request with their proofs, as every certificate carries them for machines."""
    return [
        {key: one.get(key) for key in _SUCCESSOR}
        | {
            "row_set": {"digest": at(one, "row_set", "digest"), "count": at(one, "row_set", "count")},
            "decision": text(at(one, "decision", "outcome")),
            "reproduction": {name: text(at(one, "reproduction", name)) for name in ("run_id", "artifact_digest", "environment")},
            "non_membership": _carried_proofs(items(one.get("non_membership"))),
        }
        | ({"shortcut": dict(mapping(one["shortcut"]))} if mapping(one.get("shortcut")) else {})
        | ({"from_scratch": one["from_scratch"]} if one.get("from_scratch") else {})
        for one in map(mapping, items(request.get("successors")))
    ]


def proof_files_table(request: Mapping[str, Any]) -> tuple[Table, ...]:
    """The files of proofs beside the paper, one line each; nothing where the paper carries all of them."""
    rows = {}
    for given in (one for made in items(request.get("successors")) for one in items(at(made, "non_membership"))):
        if digest := text(at(given, "file", "digest")):
            rows[digest] = (
                text(at(given, "dataset")) or "—",
                whole(at(given, "erased", "count")),
                digest,
                whole(at(given, "file", "size")),
            )
    caption = (
        "Proofs of so many rows are in files beside this paper, which it names by their digests "
        "(govern erasure certificate ID --proofs FOLDER; govern verify PAPER --proofs FILE)."
    )
    columns = ("Dataset", "Rows", "File", "Bytes")
    return (Table(columns=columns, rows=tuple(rows.values())[:_MOST], total=len(rows), caption=caption),) if rows else ()


def _proof(proof: Any) -> dict[str, Any]:
    def side(name: str) -> dict[str, Any] | None:
        if at(proof, name) is None:
            return None
        path = [text(step) for step in items(at(proof, name, "path"))]
        return {"commitment": text(at(proof, name, "commitment")), "index": whole(at(proof, name, "index")), "path": path}

    return {"target": text(at(proof, "target")), "left": side("left"), "right": side("right")}
