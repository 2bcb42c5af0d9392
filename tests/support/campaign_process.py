"""Processes of the kill campaign, forked from one that has everything imported: ``python -m tests.support.campaign_process``.

It reads one JSON object a line, forks, and answers the process's number; ``{"wait": PID}`` answers how it ended. Each process does one
thing: ``make`` a home, ``own`` it and approve the request, or ``stand`` by for it and end what the owner left. Results are written to a file.

An owner kills itself with SIGKILL where its ``kill`` says: ``{"boundary": N}`` at the N-th boundary of a step, the even ones before its work
and the odd ones between its work and its being remembered; ``{"inside": NAME, "after": SECONDS}`` so long after a step of that name began.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import pyhanko.pdf_utils.embed
import pyhanko.pdf_utils.reader
import pyhanko.pdf_utils.writer
import pyhanko.sign.fields
import pyhanko.sign.signers

import governance.adapters.dbos_engine as engines
import governance.adapters.predictions_postgres
import governance.dossier
import governance.wiring.ownership
import lineage.adapters.lance_dataset
import lineage.adapters.parquet_dataset
import lineage.adapters.postgres_lease
import lineage.adapters.postgres_rows
import lineage.adapters.sql_ledger_postgres_writer
import lineage.adapters.sql_ledger_sqlite
import lineage.adapters.sql_ledger_writer
import lineage.adapters.sql_rows_read
import lineage.adapters.sql_rows_write
import lineage.emit
import reports.evidence
import reports.issue
import reports.pdf
import reports.sign
import reports.typeface
from governance.wiring import init_home
from governance.wiring.home import describe
from lineage.ledger import fsck
from tests.support.campaign_home import PAUSE, CampaignHome, approve, ended, make, settings

_LOADED = (
    governance.adapters.predictions_postgres, governance.dossier, lineage.adapters.lance_dataset, lineage.adapters.parquet_dataset,
    lineage.adapters.postgres_lease, lineage.adapters.postgres_rows, lineage.adapters.sql_ledger_postgres_writer,
    lineage.adapters.sql_ledger_sqlite, lineage.adapters.sql_ledger_writer, lineage.adapters.sql_rows_read, lineage.adapters.sql_rows_write,
    lineage.emit, pyhanko.pdf_utils.embed, pyhanko.pdf_utils.reader, pyhanko.pdf_utils.writer, pyhanko.sign.fields, pyhanko.sign.signers,
    reports.evidence, reports.issue, reports.pdf, reports.sign,
)  # fmt: skip


class Killer:
    """Counts boundaries of steps and kills this process at one of them."""

    def __init__(self, kill: dict[str, Any]) -> None:
        self.names: list[str] = []
        self._kill = kill
        self._gate = threading.Lock()

    def steps(self) -> type:
        killer, plain = self, engines._DbosSteps

        class Steps(plain):  # type: ignore[misc, valid-type]
            def run(self, name: str, work: Any) -> Any:
                def counted() -> Any:
                    killer.pass_by(name)
                    done = work()
                    killer.pass_by(name)
                    return done

                return super().run(name, counted)

        return Steps

    def pass_by(self, name: str) -> None:
        with self._gate:
            at = len(self.names)
            self.names.append(name)
        if at == self._kill.get("boundary"):
            os.kill(os.getpid(), signal.SIGKILL)
        if at % 2 == 0 and name.startswith(self._kill.get("inside", "\0")):
            threading.Timer(self._kill["after"], os.kill, (os.getpid(), signal.SIGKILL)).start()


def own(job: dict[str, Any]) -> dict[str, Any]:
    """Own the home, approve, work, and stay until killed; without a ``kill`` end well."""
    killer = Killer(job["kill"] or {})
    engines._DbosSteps = killer.steps()  # type: ignore[misc]
    pause = 2.0 if "told" in (job["kill"] or {}) else PAUSE  # long enough to be seen and killed
    system = CampaignHome(Path(job["home"]), Path(job["side"]), pause=pause, settings=settings(job["database"]))
    began = time.monotonic()
    Path(job["result"]).with_suffix(".ready").write_text(str(time.time()))
    approve(system, job["request"])
    done = ended(system, job["request"])
    took = time.monotonic() - began
    if job["kill"] is not None:
        time.sleep(600)  # it is killed from outside, or here at a boundary that came only now
    _ticked_off(system)
    system.close()
    return {"state": done["state"], "seconds": took, "boundaries": killer.names}


def stand(job: dict[str, Any]) -> dict[str, Any]:
    """Stand by, take over, end what is left, hold the ledger against its own proofs."""
    home = Path(job["home"])
    given = settings(job["database"])

    def seen(_owner: Any) -> None:
        Path(job["result"]).with_suffix(".standing").touch()

    owned = governance.wiring.ownership.stand_by(given, home, describe(home), seen=seen, stopped=lambda: False)
    owns = time.time()
    system = CampaignHome(home, Path(job["side"]), settings=given, owned=owned)
    opened = time.time()
    approve(system, job["request"])
    done = ended(system, job["request"])
    _ticked_off(system)
    checked = fsck(system.log)
    system.close()
    return {"state": done["state"], "request": done, "owns": owns, "opened": opened, "fsck": checked.ok}


def _ticked_off(system: CampaignHome) -> None:
    """Wait for the batches, too: the request's state is told before the last step of a workflow is ticked off."""
    end = time.monotonic() + 20
    while any(batch["ended_at"] is None for _, batch, _ in system.log.records("batch")) or any((system.home / "scopes").iterdir()):
        assert time.monotonic() < end
        time.sleep(0.01)
    time.sleep(0.3)


def begin(job: dict[str, Any]) -> dict[str, Any]:
    """A new home with a request that waits for approval."""
    if job["database"]:
        os.environ["GOVERN_DATABASE"] = job["database"]
    init_home(Path(job["home"]))
    return {"request": make(Path(job["home"]), Path(job["side"]), job["database"], order=job["order"])}


def main() -> None:
    """Fork for each line."""
    reports.typeface.register()
    import_module("reports.flow")  # not before the typeface, whose import changes the defaults of what it uses
    print("ready", flush=True)
    for line in sys.stdin:
        job = json.loads(line)
        if "wait" in job:
            _, status = os.waitpid(job["wait"], 0)
            print(os.waitstatus_to_exitcode(status), flush=True)
            continue
        pid = os.fork()
        if pid:
            print(pid, flush=True)
            continue
        code = 1
        try:
            os.setsid()
            log = os.open(job["log"], os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
            null = os.open(os.devnull, os.O_RDONLY)
            for source, target in ((null, 0), (log, 1), (log, 2)):
                os.dup2(source, target)
            result = {"begin": begin, "own": own, "stand": stand}[job["do"]](job)
            Path(job["result"]).write_text(json.dumps(result))
            code = 0
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)


if __name__ == "__main__":
    main()
