"""``govern demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from governance.cli.exits import ERROR

__all__ = ["demo"]


def demo(
    keep: Annotated[Path | None, typer.Option("--keep", metavar="DIR", help="Leave home, project and papers in this new folder.")] = None,
    model: Annotated[str, typer.Option("--model", help="The model of the example's govern.yaml that the river carries.")] = "credit-risk",
    dp: Annotated[bool, typer.Option("--dp/--no-dp", help="Also train credit-risk-dp with differential privacy (slower).")] = False,
    graph: Annotated[
        str | None,
        typer.Option("--graph", metavar="URI", help="Keep the graph in this empty Neo4j; GOVERN_GRAPH_PASSWORD is its password."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document at the end in place of the narration.")] = False,
) -> None:
    """Run the whole river on 1 000 real applicants: lineage, training, audits, gate, release, prediction, incident, erasure, certificate.

    A temporary home, a server of its own on a free port; only public doors are used: HTTP and this command. Exit 0 only if every
    step's own check held.
    """
    from governance.cli.demo import run_demo

    if not run_demo(keep=keep, model=model, dp=dp, as_json=as_json, graph=graph):
        raise typer.Exit(ERROR)
