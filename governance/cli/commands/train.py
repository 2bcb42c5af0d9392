"""``govern train`` and ``reproduce``."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from governance.cli.client import Api, connect
from governance.cli.exits import SAID_NO
from governance.cli.names import model_ref
from governance.cli.output import emit_json, fields, say
from governance.cli.progress import bar
from lineage.errors import Gone, GovernError, NotFound, Tampered

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["reproduce", "train"]

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def train(
    model: Annotated[str, typer.Argument(metavar="MODEL")],
    project: Annotated[Path | None, typer.Option("--project", help="The govern.yaml (default: the one in this folder).")] = None,
    as_json: Json = False,
) -> None:
    """Train a model of govern.yaml: its code is packed, uploaded and kept, so that every later retrain uses the same."""
    from governance.cli.project import load_project
    from trainers.snapshot import DEFAULT_PATTERNS, pack

    found = load_project(project)
    config, policy = found.model(model), found.policy_text(model)
    if not as_json:
        say(_cost(config))
    name, data = pack(found.folder, config.get("snapshot") or DEFAULT_PATTERNS)
    with connect() as api:
        api.send("PUT", f"/api/v1/snapshots/{name}", data, "application/x-tar")
        started = api.post(f"/api/v1/models/{model}/trainings", {"code": f"snapshot:{name}", "config": config, "policy_text": policy})
        with bar(f"training {model}") as seen:
            operation = api.wait(started["operation"], seen=seen)
    result = operation.get("result") or {}
    if as_json:
        emit_json({"operation": started["operation"], "code": f"snapshot:{name}", "left_out": started.get("left_out", 0), **result})
        return
    if started.get("left_out"):
        say(f"{started['left_out']} row(s) of persons whose erasure was approved were left out.")
    ref = f"{result.get('model', model)}@{result.get('version')}"
    artifact = result.get("artifact")
    fields(
        [
            ("trained", ref),
            ("run", result.get("run_id")),
            ("code", f"snapshot:{name}"),
            ("weights", artifact.get("digest") if isinstance(artifact, dict) else artifact),
        ]
    )
    say(f"Next: govern audit {ref}")


def _cost(config: dict[str, Any]) -> str:
    """What a retrain after an erasure will cost with the strategy that is declared; said before anything is trained."""
    from trainers.cost import expected_fraction, expected_replay, worth_it

    if config.get("strategy") == "replay":
        from trainers.model import Replay

        replay = Replay(**config["replay"])
        shares = ", ".join(f"{expected_replay(replay.epochs, erased, replay.checkpoints):.0%} for {erased}" for erased in (1, 5, 20))
        return (
            f"strategy: replay, epochs: {replay.epochs}, {replay.checkpoints} checkpoints; after an erasure the share of a training that is"
            f" expected to be done again is {shares} rows erased at once"
        ) + ("; with more than one epoch it saves little" if replay.epochs > 1 else "")
    if config.get("strategy", "full") != "sisa":
        return "strategy: full; every retrain after an erasure trains on all rows"
    shards = int(config["sisa"]["shards"])
    shares = ", ".join(f"{expected_fraction(shards, erased):.0%} for {erased}" for erased in (1, 5, 20))
    return (
        f"strategy: sisa, {shards} shards; a retrain after an erasure is expected to train on {shares} persons erased at once; "
        f"beyond {worth_it(shards)} at once on more than half"
    )


def reproduce(
    ref: Annotated[str, typer.Argument(metavar="MODEL@VERSION")],
    as_json: Json = False,
) -> None:
    """Retrain a version here, in an empty place, and compare the weights bit for bit (exit 3 when different, 4 when erased)."""
    model, version = model_ref(ref)
    with connect() as api, tempfile.TemporaryDirectory(prefix="govern-reproduce-") as scratch:
        recipe = api.post("/api/v1/reproductions", {"model": model, "version": version}, once=False)
        made = _retrain(api, recipe, Path(scratch))
    same = made["digest"] == recipe["artifact_digest"]
    answer = {
        "model": model,
        "version": version,
        "same": same,
        "expected": recipe["artifact_digest"],
        "got": made["digest"],
        "environment": {"expected": recipe["spec"]["environment"], "here": made["environment"]},
        "rows": made["rows"],
        "seconds": made["seconds"],
    }
    if as_json:
        emit_json(answer)
    else:
        fields([("expected", answer["expected"]), ("got here", answer["got"]), ("rows", answer["rows"]), ("seconds", answer["seconds"])])
        if same:
            say(f"The same, bit for bit: {ref} is what these rows, this code, these parameters and this seed make.")
        elif made["environment"] != recipe["spec"]["environment"]:
            say("Different, and so is the environment (packages, torch build, CPU or threads): equality is promised under the same one.")
        else:
            say("Different, under the same environment: the weights do not follow from the recorded rows, code, parameters and seed.")
    if not same:
        raise typer.Exit(SAID_NO)


class _WallClock:
    def now(self) -> int:
        return time.time_ns()


def _retrain(api: Api, recipe: dict[str, Any], scratch: Path) -> dict[str, Any]:
    """Fetch code and rows, train in a subprocess, and answer what came out."""
    import uuid

    from governance.registry.models import spec_from_json
    from trainers.training import train as run_training

    spec = spec_from_json(recipe["spec"])
    if spec.privacy is not None:
        raise Gone(
            f"{spec.model} was trained with differential privacy: its noise came from the operating system and no seed was kept",
            hint="its procedure is verified instead: govern budget show",
        )
    snapshot = scratch / "code.tar"
    snapshot.write_bytes(api.bytes(f"/api/v1/snapshots/{spec.code.removeprefix('snapshot:')}"))
    tables: dict[str, pa.Table] = {}
    for item in [one for one in spec.inputs if one.role != "test"]:  # test rows make no weights, and may be erased since
        tables[item.role] = _rows(api, item.dataset, item.version, item.row_set)
        if tables[item.role].num_rows != item.rows:
            raise Tampered(
                f"{item.dataset}@{item.version} has {tables[item.role].num_rows} rows, the recipe says {item.rows}",
                hint="govern ledger fsck",
            )
    if recipe.get("places"):
        tables["train"] = _placed(tables["train"], recipe["places"])
    began = time.monotonic()
    with bar(f"retraining {spec.model}") as seen:
        record = run_training(
            spec,
            run_id=str(uuid.uuid4()),
            tables=tables,
            snapshot=snapshot,
            artifacts=scratch / "artifacts",
            clock=_WallClock(),
            progress=lambda done, total, what: seen({"progress": {"done": done, "total": total, "what": what}}),
            scratch=scratch,
        )
    if record.artifact is None:
        raise GovernError(f"the retraining ended with {record.status}: {record.reason}", hint="look at the environment: govern doctor")
    return {
        "digest": record.artifact.digest,
        "environment": record.spec.environment,
        "rows": sum(table.num_rows for table in tables.values()),
        "seconds": round(time.monotonic() - began, 2),
    }


def _placed(table: pa.Table, text: str) -> pa.Table:
    """The rows with the shard of each, as the recipe tells it in row-id order."""
    import pyarrow as pa

    from trainers.shards import PLACE, unpacked

    places = unpacked(text)
    if len(places) != table.num_rows:
        raise Tampered(f"the recipe places {len(places)} rows, there are {table.num_rows}", hint="govern ledger fsck")
    return table.sort_by("govern_row_id").append_column(PLACE, pa.array(places, pa.int32()))


def _rows(api: Api, dataset: str, version: str, row_set: str) -> pa.Table:
    import pyarrow as pa

    try:
        data = api.bytes(f"/api/v1/datasets/{dataset}/versions/{version}/rows", row_set=row_set)
    except NotFound as error:
        raise Gone(f"{dataset}@{version} is not there any more: {error.message}", hint=error.hint) from error
    return pa.ipc.open_stream(pa.BufferReader(data)).read_all()
