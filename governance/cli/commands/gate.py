"""``govern audit``, ``gate``, ``release`` and ``rollback``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from governance.cli.client import connect
from governance.cli.exits import SAID_NO
from governance.cli.names import model_ref
from governance.cli.output import emit_json, say, table
from governance.cli.progress import bar

__all__ = ["audit", "gate", "release", "rollback"]

Ref = Annotated[str, typer.Argument(metavar="MODEL[@VERSION|@ALIAS]")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def audit(ref: Ref, as_json: Json = False) -> None:
    """Run the policy's audits on a model version and keep what they found; the verdict is `govern gate`'s."""
    model, version = model_ref(ref)
    with connect() as api:
        started = api.post(f"/api/v1/models/{model}/versions/{version}/audits")
        with bar(f"auditing {ref}") as seen:
            operation = api.wait(started["operation"], seen=seen)
        found = api.get(f"/api/v1/models/{model}/versions/{version}/audits")
    if as_json:
        emit_json({"operation": operation["id"], **found})
        return
    rows = [
        (item["audit"], item["verdict"], _first(item.get("metrics")), "; ".join(item.get("reasons") or []))
        for item in found.get("findings") or []
    ]
    table(("audit", "verdict", "measured", "reasons"), rows, empty="The policy asks for no audit.")
    say(f"Next: govern gate {ref}")


def _first(metrics: Any) -> str:
    if not metrics:
        return "-"
    metric = metrics[0]
    value = metric.get("value")
    bounds = "" if metric.get("low") is None or metric.get("high") is None else f" [{metric['low']:.3f}, {metric['high']:.3f}]"
    return f"{metric['name']} {'-' if value is None else f'{value:.3f}'}{bounds}"


def gate(ref: Ref, as_json: Json = False) -> None:
    """Ask the version's policy: pass, fail or inconclusive, with every reason (exit 3 unless it passes)."""
    model, version = model_ref(ref)
    with connect() as api:
        decision = api.post(f"/api/v1/models/{model}/versions/{version}/gate", once=False)
    if as_json:
        emit_json(decision)
    else:
        rows = [(item["gate"], item["severity"], item["outcome"], item["reason"]) for item in decision["gates"]]
        table(("gate", "severity", "outcome", "reason"), rows, empty="The policy has no gates.")
        name = f"{decision.get('model', model)}@{decision.get('version', version)}"
        say(f"{name}: {decision['outcome']}")
        if decision["outcome"] == "pass":
            say(f"Next: govern release {name} --to production")
    if decision["outcome"] != "pass":
        raise typer.Exit(SAID_NO)


def release(
    ref: Ref,
    to: Annotated[str, typer.Option("--to", metavar="ENV", help="The environment.")],
    as_json: Json = False,
) -> None:
    """Put a version into an environment; refused (exit 3) unless its gate passed."""
    model, version = model_ref(ref)
    with connect() as api:
        answer = api.post("/api/v1/deployments", {"model": model, "version": version, "environment": to})
    if as_json:
        emit_json(answer)
    else:
        say(f"{answer['model']}@{answer['version']} serves in {answer['environment']} (deployment {answer['id']})")


def rollback(
    model: Annotated[str, typer.Argument(metavar="MODEL")],
    environment: Annotated[str, typer.Option("--in", metavar="ENV", help="The environment.")],
    as_json: Json = False,
) -> None:
    """Go back to the version that served before; refused when its rows meet the suppression list."""
    with connect() as api:
        answer = api.post("/api/v1/deployments/rollback", {"model": model, "environment": environment})
    if as_json:
        emit_json(answer)
    else:
        say(f"{answer['model']}@{answer['version']} serves in {answer['environment']} again (deployment {answer['id']})")
