"""Every command with one sentence, and the help made from it. Imports nothing but the standard library."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["COMMANDS", "EXIT_CODES", "Command", "help_text", "nearest", "version"]


@dataclass(frozen=True, slots=True)
class Command:
    """Where a command lives and what it does, in one sentence."""

    section: str
    module: str
    """Module under ``governance.cli.commands`` with an attribute of the command's name (a function or a typer app)."""
    summary: str


START, SEE, MAKE, ERASE, PROVE, RUN = (
    "Start here",
    "See what made it",
    "Make and release",
    "Erase and recall",
    "Prove it",
    "Look after it",
)

COMMANDS: dict[str, Command] = {
    "demo": Command(START, "demo", "Run the whole river on real data in a temporary home, in about a minute."),
    "init": Command(START, "home", "Make a home: keys, stores and the first admin key (shown once)."),
    "serve": Command(START, "home", "Serve a home over HTTP, with its worker."),
    "worker": Command(START, "home", "Stand by for a home; take it over when its owner ends or freezes."),
    "doctor": Command(START, "home", "Check the home or server, its keys, and govern.yaml (line and column)."),
    "trace": Command(SEE, "trace", "What made a model version, a prediction, a run, a dataset, a column or a job."),
    "impact": Command(SEE, "trace", "What a dataset, a column or a person's rows reach: model versions, deployments."),
    "diff": Command(SEE, "diff", "What two versions of a model differ in: rows, code, parameters, metrics, audits."),
    "deployments": Command(SEE, "find", "What serves where; with --as-of and --known-at, what served then."),
    "find": Command(SEE, "find", "Models, datasets, jobs, columns, runs by name, id, digest or commit."),
    "ingest": Command(SEE, "lineage", "Send recorded OpenLineage events from a file, a folder, standard input or a Kafka topic."),
    "models": Command(SEE, "lineage", "The models, or the versions of one."),
    "lineage": Command(SEE, "lineage", "The lineage store: status, rebuild, retain, dead letters, replay."),
    "dataset": Command(SEE, "datasets", "Datasets: register, list, write, scan, versions."),
    "train": Command(MAKE, "train", "Train a model of govern.yaml from a snapshot of its code."),
    "reproduce": Command(MAKE, "train", "Retrain a version in another place and compare, bit for bit."),
    "audit": Command(MAKE, "gate", "Run the policy's audits on a model version."),
    "gate": Command(MAKE, "gate", "Ask the policy about a model version (exit 3 when it says no)."),
    "release": Command(MAKE, "gate", "Put a version into an environment, through the gate."),
    "rollback": Command(MAKE, "gate", "Go back to the version that served before."),
    "erasure": Command(ERASE, "erasure", "Erasure requests: request, list, show, verify, approve, refuse, hold, certificate …"),
    "opendsr": Command(ERASE, "opendsr", "Controllers that send erasure requests by machine: add, list, remove."),
    "recipients": Command(
        ERASE, "recipients", "Who was given data and is told of erasures: add, list, remove, tasks, acknowledge, excuse."
    ),
    "incident": Command(ERASE, "incident", "Incidents on a prediction: open, list, show, close."),
    "report": Command(PROVE, "papers", "Issue a signed paper (PDF) and save it."),
    "verify": Command(PROVE, "papers", "Check a paper offline, from the file and the public keys alone."),
    "ledger": Command(PROVE, "ledger", "The ledger: checkpoint, fsck, prove, export, redact."),
    "policy": Command(RUN, "policy", "Policies: check a file."),
    "budget": Command(RUN, "policy", "Privacy budgets: show."),
    "backup": Command(RUN, "backup", "Copy the home without its keys, while it serves too; list the backups."),
    "restore": Command(RUN, "backup", "A home from a backup, after what was erased since was erased again."),
    "keys": Command(RUN, "keys", "API keys, public keys and epochs: create, list, revoke, public, epochs, rotate, rekey, destroy."),
    "webhooks": Command(RUN, "webhooks", "Webhooks: add, list, show, remove, rotate, resume, replay."),
}

EXIT_CODES: dict[int, str] = {
    0: "done",
    1: "error",
    2: "usage",
    3: "a gate or a verification said no",
    4: "incomplete, or gone (erased)",
    5: "valid, but the signer is not one you trust",
    6: "valid, but not anchored in a ledger",
}

_ENVIRONMENT = (
    ("GOVERN_URL", "the server to talk to; wins over GOVERN_HOME"),
    ("GOVERN_API_KEY", "the key to show it"),
    ("GOVERN_HOME", "the home to open when there is no server (default: .govern)"),
)


def version() -> str:
    """The installed version, or ``0+unknown`` when running from a tree that was never installed."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    try:
        return installed("govern-ml")
    except PackageNotFoundError:
        return "0+unknown"


def nearest(name: str) -> list[str]:
    """Up to three commands that look like ``name``, best first.

    >>> nearest("trase")
    ['trace']
    """
    from difflib import get_close_matches

    return get_close_matches(name, COMMANDS, n=3, cutoff=0.6)


def help_text(*, color: bool = False) -> str:
    """The page that ``govern --help`` prints."""

    def bold(text: str) -> str:
        return f"\x1b[1m{text}\x1b[0m" if color else text

    width = max(map(len, COMMANDS)) + 2
    lines = [
        "govern COMMAND [OPTIONS]",
        "",
        "The flight recorder and the recall system for machine-learning models: what made a model or a prediction,",
        "who it holds, and the signed proof that a person was erased from it.",
    ]
    sections: dict[str, list[str]] = {}
    for name, command in COMMANDS.items():
        sections.setdefault(command.section, []).append(f"  {name:<{width}}{command.summary}")
    for section, rows in sections.items():
        lines += ["", bold(section), *rows]
    lines += ["", bold("Environment"), *(f"  {name:<{width + 4}}{text}" for name, text in _ENVIRONMENT)]
    lines += ["", bold("Exit codes"), *(f"  {code}  {text}" for code, text in EXIT_CODES.items())]
    lines += ["", "govern COMMAND --help explains a command. Every read takes --json. New here? Run: govern demo", ""]
    return "\n".join(lines)
