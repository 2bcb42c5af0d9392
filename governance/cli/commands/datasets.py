"""``govern dataset``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from governance.cli.client import connect
from governance.cli.dataset_keys import keys_given
from governance.cli.exits import SAID_NO, Usage
from governance.cli.output import emit_json, fields, say, short, table, when
from lineage.errors import BadInput

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["dataset"]

_KINDS = ("lance", "delta", "parquet", "lines", "csv")

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Name = Annotated[str, typer.Argument(metavar="NAME")]
dataset = typer.Typer(help="Datasets whose rows Govern versions, traces and erases.", no_args_is_help=True, add_completion=False)


@dataset.command()
def register(  # noqa: PLR0917 - typer makes options of them; nobody calls it by position
    name: Name,
    kind: Annotated[
        str, typer.Option(help="A versioned table: lance, delta or parquet. A file in the home's landing folder: lines (raw text) or csv.")
    ] = "lance",
    path: Annotated[str | None, typer.Option(help="The file in the landing folder (kinds lines and csv).")] = None,
    url: Annotated[
        str | None, typer.Option(help="A folder in an object store (for a table), e.g. s3://lake/people; credentials: AWS_… or ~/.aws.")
    ] = None,
    subject_key: Annotated[
        str | None, typer.Option("--subject-key", help="Column that names the person (`line` for the line number).")
    ] = None,
    subject_type: Annotated[str | None, typer.Option("--subject-type", help="What the person is to you, e.g. applicant.")] = None,
    subject: Annotated[
        list[str] | None,
        typer.Option(metavar="TYPE=COLUMN[,COLUMN]", help="A key in place of --subject-key; several columns name the person together."),
    ] = None,
    about: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN=COLUMN[,COLUMN]", help="Further columns about the person whose key begins with the first column."),
    ] = None,
    region: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN=REGION", help="Region of telephone numbers without a country code in that column, e.g. DE."),
    ] = None,
    shared_rows: Annotated[
        str | None, typer.Option("--shared-rows", help="Rows about several people, when one is erased: purge, redact or retain.")
    ] = None,
    ground: Annotated[str | None, typer.Option(help="Why such rows are retained; printed on certificates.")] = None,
    as_json: Json = False,
) -> None:
    r"""Make a dataset known; again with the same words changes nothing.

    \b
    govern dataset register applicants --subject-key person --subject-type applicant
    govern dataset register features --kind parquet --subject-key person --subject-type applicant
    govern dataset register clicks --kind parquet --url s3://lake/clicks --subject-key person --subject-type applicant
    govern dataset register export --kind csv --path export.csv --subject-key person --subject-type applicant
    govern dataset register payments --subject email=sender --about sender=sender_name --subject email=receiver --shared-rows redact
    """
    if kind not in _KINDS:
        raise Usage(f"{kind!r} is no kind of dataset", hint=f"--kind {', '.join(_KINDS)}")
    body = {"name": name, "kind": kind, "path": path, "url": url} | (
        keys_given(
            subject=subject,
            about=about or (),
            region=region or (),
            shared_rows=shared_rows,
            ground=ground,
            subject_key=subject_key,
            subject_type=subject_type,
        )
        if subject or about or region or shared_rows or ground
        else {"subject_key": subject_key, "subject_type": subject_type}
    )
    with connect() as api:
        answer = api.post("/api/v1/datasets", {key: value for key, value in body.items() if value is not None or key == "subject_key"})
    if as_json:
        emit_json(answer)
    else:
        say(f"dataset {name} is registered")


@dataset.command("list")
def list_datasets(as_json: Json = False) -> None:
    """The datasets with their latest version."""
    with connect() as api:
        answer = api.get("/api/v1/datasets")
    if as_json:
        emit_json(answer)
        return
    rows = []
    for item in answer["datasets"]:
        latest = item.get("latest") or {}
        rows.append((item["name"], item.get("kind"), item.get("subject_type"), latest.get("version"), latest.get("rows")))
    table(("dataset", "kind", "person", "latest", "rows"), rows, empty="No datasets: govern dataset register NAME")


@dataset.command()
def versions(name: Name, as_json: Json = False) -> None:
    """The versions of a dataset, tombstones included."""
    with connect() as api:
        answer = api.get(f"/api/v1/datasets/{name}/versions")
    if as_json:
        emit_json(answer)
        return
    rows = [
        (
            item["version"],
            item["rows"],
            short((item.get("row_set") or {}).get("digest")),
            when(item.get("created_at")),
            "erased" if item.get("gone") else "live",
        )
        for item in answer["versions"]
    ]
    table(("version", "rows", "row set", "created", "state"), rows, empty=f"{name} has no version yet.")


@dataset.command()
def scan(
    name: Name,
    repair: Annotated[bool, typer.Option("--repair", help="Make the row index anew where it differs from the rows.")] = False,
    as_json: Json = False,
) -> None:
    """Look at the store again: a new version when a file or a table changed behind Govern. Ends with 3 when the row index differs."""
    with connect() as api:
        answer = api.send(
            "POST", f"/api/v1/datasets/{name}/versions", b"", "application/octet-stream", **({"repair": "true"} if repair else {})
        )
    _written(answer, as_json=as_json)
    index = answer.get("index") or {"agrees": True, "differs": {}}
    if index["differs"] and not as_json:
        rows = [(version, found["rows"], found["indexed"]) for version, found in index["differs"].items()]
        table(("version", "rows of persons", "in the index"), rows, empty="")
        say("the row index was made anew" if index["repaired"] else f"the row index differs: govern dataset scan {name} --repair")
    if not index["agrees"]:
        raise typer.Exit(SAID_NO)


@dataset.command()
def write(
    name: Name,
    file: Annotated[Path, typer.Argument(metavar="FILE", help=".csv, .parquet or .arrow (IPC stream or file).")],
    key: Annotated[str | None, typer.Option(help="Column by which a row keeps its row id.")] = None,
    append: Annotated[bool, typer.Option("--append", help="Add the rows in place of replacing all.")] = False,
    as_json: Json = False,
) -> None:
    """Write a file's rows as a new version."""
    import pyarrow as pa

    rows = _table(file)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows)
    with connect() as api:
        answer = api.send(
            "POST",
            f"/api/v1/datasets/{name}/versions",
            sink.getvalue().to_pybytes(),
            "application/vnd.apache.arrow.stream",
            mode="append" if append else "replace",
            key=key,
        )
    _written(answer, as_json=as_json)


def _written(answer: dict[str, object], *, as_json: bool) -> None:
    if as_json:
        emit_json(answer)
        return
    row_set = answer.get("row_set")
    digest = row_set.get("digest") if isinstance(row_set, dict) else None
    fields([("version", f"{answer['dataset']}@{answer['version']}"), ("rows", answer["rows"]), ("row set", digest)])


def _table(file: Path) -> pa.Table:
    import pyarrow as pa

    try:
        if file.suffix == ".csv":
            from pyarrow import csv

            return csv.read_csv(file)
        if file.suffix == ".parquet":
            from pyarrow import parquet

            return parquet.read_table(file)
        if file.suffix == ".arrow":
            data = file.read_bytes()
            opened = pa.ipc.open_file(data) if data.startswith(b"ARROW1") else pa.ipc.open_stream(data)
            return opened.read_all()
    except (OSError, pa.ArrowInvalid) as error:
        raise BadInput(
            f"{file} cannot be read as a table: {' '.join(str(error).split())}", hint="a .csv, .parquet or .arrow file"
        ) from error
    raise Usage(f"{file.name} is no .csv, .parquet or .arrow file", hint="govern dataset write NAME FILE.parquet")
