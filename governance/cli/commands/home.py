"""``govern init``, ``serve``, ``worker`` and ``doctor``."""

from __future__ import annotations

import os
import stat
import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from governance.cli.client import connect, home_path
from governance.cli.exits import ERROR
from governance.cli.output import emit_json, fields, say, table
from lineage.errors import GovernError

__all__ = ["doctor", "init", "serve", "worker"]

Home = Annotated[Path | None, typer.Option("--home", help="The home's folder (default: GOVERN_HOME, else .govern).")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def init(home: Home = None, as_json: Json = False) -> None:
    """Make a home: keys, stores and the first admin key, which is shown once."""
    from governance.wiring import init_home

    where = home or home_path()
    made = init_home(where)
    if as_json:
        emit_json({**made, "home": str(made["home"])})
        return
    fields([("home", made["home"]), ("installation", made["installation"]), ("admin key", made["api_key"])])
    say("")
    say("Keep the key now: only its hash is stored. Next:")
    say(f"  govern serve --home {where}")
    say("  export GOVERN_URL=http://127.0.0.1:8000 GOVERN_API_KEY=<the key above>")


def serve(
    home: Home = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 picks a free one.")] = 8000,
    worker: Annotated[bool, typer.Option("--worker/--no-worker", help="Also do the queued work (trainings, audits, erasures).")] = True,
    as_json: Annotated[bool, typer.Option("--json", help='Say the URL as one line {"url": …} when ready.')] = False,
) -> None:
    """Serve a home over HTTP; says its URL when it is ready, and stops on SIGTERM or Ctrl-C."""
    # The API is another layer of the same delivery, chosen by name at run time: no command but this one loads it.
    server = import_module("governance.api.server")
    server.serve(home or home_path(), host=host, port=port, worker=worker, json_output=as_json)


def worker(
    home: Home = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 picks a free one.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help='Say {"standby": …} and, once it answers, {"url": …} as lines.')] = False,
) -> None:
    """Stand by for a home; when its owner ends or freezes, take it over, do its work and serve it. Stops on SIGTERM or Ctrl-C."""
    standby = import_module("governance.api.standby")
    standby.work(home or home_path(), host=host, port=port, json_output=as_json)


def doctor(
    file: Annotated[Path | None, typer.Argument(help="A govern.yaml (default: the one in this folder, when there is one).")] = None,
    as_json: Json = False,
) -> None:
    """Check the home or server, its keys, and govern.yaml, naming line and column; exit 1 when something is wrong."""
    owned, whose = _owned()  # before the home is opened here
    checks = [*_python(), *_home(), *owned, *_server(), *_project(file)]
    if as_json:
        emit_json({"ok": all(check["ok"] for check in checks), "checks": checks, **whose})
    else:
        table(("", "check", "found"), [("ok" if check["ok"] else "WRONG", check["check"], check["found"]) for check in checks], empty="")
        for check in checks:
            if not check["ok"]:
                say(f" next: {check['next']}")
    if not all(check["ok"] for check in checks):
        raise typer.Exit(ERROR)


def _check(name: str, ok: bool, found: str, hint: str | None = None) -> dict[str, Any]:
    return {"check": name, "ok": ok, "found": found, "next": None if ok else hint}


def _python() -> list[dict[str, Any]]:
    version = ".".join(map(str, sys.version_info[:3]))
    return [_check("python", sys.version_info >= (3, 11), version, "Govern needs Python 3.11 or newer")]


def _home() -> list[dict[str, Any]]:
    if os.environ.get("GOVERN_URL"):
        return []
    home = home_path()
    if not (home / "govern.json").exists():
        return [_check("home", False, f"there is none at {home}", f"govern init --home {home}, or set GOVERN_URL")]
    checks = [_check("home", True, str(home))]
    loose = [path.name for path in sorted((home / "keys").rglob("*")) if path.is_file() and stat.S_IMODE(path.stat().st_mode) & 0o077]
    found = f"readable by others: {', '.join(loose)}" if loose else "private to their owner"
    checks.append(_check("keys", not loose, found, f"chmod -R go= {home / 'keys'}"))
    return [*checks, _database(home)]


def _owned() -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Who owns the home and who stands by, as a check and as it is; nothing where a server is asked for everything."""
    home = home_path()
    if os.environ.get("GOVERN_URL") or not (home / "govern.json").exists():
        return [], {}
    from governance.wiring import owners

    try:
        whose = owners(home)
    except GovernError as error:
        return [_check("owner", False, error.message, error.hint)], {}
    owner, standing = whose["owner"], whose["standby"]
    found = "nobody" if owner is None else f"process {owner['pid']} on {owner['host']} since {owner['since']}"
    found += f"; it has been silent for {owner['silent_s']:.0f} s" if owner and owner["frozen"] else ""
    found += "".join(f"; process {one['pid']} on {one['host']} stands by" for one in standing)
    hint = f"end that process, or take the home over from it: govern worker --home {home}"
    return [_check("owner", not (owner and owner["frozen"]), found, hint)], whose


def _database(home: Path) -> dict[str, Any]:
    """Where the ledger lies, and whether what it acknowledges survives a power cut there."""
    from governance.settings import Settings

    try:
        settings = Settings.read()
        if not settings.database:
            return _check("database", True, f"the file {home / 'ledger.db'}")
        from governance.wiring import database_facts

        facts = database_facts(settings) or {}
    except GovernError as error:
        return _check("database", False, error.message, error.hint)
    found = f"PostgreSQL {facts['server']}, database {facts['database']}"
    if not facts["durable"]:
        found += f": what it acknowledges can be lost in a power cut ({', '.join(facts['why'])})"
    return _check("database", facts["durable"], found, "ALTER SYSTEM SET … = on on the server, then restart it")


def _server() -> list[dict[str, Any]]:
    if not os.environ.get("GOVERN_URL") and not (home_path() / "govern.json").exists():
        return []
    try:
        with connect() as api:
            where = api.where
            ready = api.get("/readyz")
            checks = [_check("answers", ready.get("status") == "ready", f"{where}: {ready.get('status')}", "look at the server's log")]
            checks += [
                _check(
                    f"store {name}", bool(ok), "usable" if ok else "not usable", "look at the server's log, and at the disk's free space"
                )
                for name, ok in sorted((ready.get("checks") or {}).items())
            ]
            status = api.get("/api/v1/lineage/status")
            letters = int(status.get("dead_letters") or 0)
            checks.append(_check("api key", True, "accepted"))
            checks.append(
                _check("lineage", letters == 0, f"{status.get('events')} events, {letters} dead letters", "govern lineage dead-letters")
            )
            return checks
    except GovernError as error:
        return [_check("answers", False, error.message, error.hint)]


def _project(file: Path | None) -> list[dict[str, Any]]:
    from governance.cli.project import check_text, models_of

    path = file or Path("govern.yaml")
    if not path.exists():
        return [_check("govern.yaml", False, f"there is no {path}", "give the path of a govern.yaml")] if file else []
    document, faults = check_text(path.read_text(encoding="utf-8"))
    if faults:
        return [_check(path.name, False, f"{path}, {fault}", f"correct {path}, then: govern doctor {path}") for fault in faults]
    checks = [_check(path.name, True, ", ".join(models_of(document)))]
    from governance.policy import parse_policy

    for name in dict.fromkeys(str(section["policy"]) for section in models_of(document).values()):
        policy = path.parent / name
        try:
            parsed = parse_policy(policy.read_text(encoding="utf-8"))
            checks.append(_check(name, True, f"policy {parsed.name} {parsed.version}, {len(parsed.gates)} gates"))
        except OSError as error:
            checks.append(_check(name, False, f"cannot be read: {error.strerror}", f"correct `policy` in {path}"))
        except GovernError as error:
            checks.append(_check(name, False, error.message, f"govern policy check {policy}"))
    return checks
