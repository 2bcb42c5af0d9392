"""kill -9 of the server at every moment of an erasure: after the restart there is one purge, one successor, one certificate.

What is counted is counted on disk and by a side file that the user's own ``train`` writes, not by asking Govern: the blank lines of the
landing file, the tombstones in the datasets' catalogs, the artifact folders, the papers, the records in a copy of the ledger's database.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from reports.verify import TrustedKeys, verify
from tests.support.river import EXAMPLE, GOVERN, River, clean_environment
from tests.support.scanner import scan

pytestmark = [pytest.mark.crash, pytest.mark.timeout(600)]

MODEL = "credit-risk"
PURGED = ("credit.raw", "credit.applicants", "credit.train")
PLANTED = range(1, 101)
TOLD_TRAIN = """

_train = train


def train(run):
    import os, time

    def tell(word):
        with open({side!r}, "a") as file:
            file.write(f"{{word}} {{os.getpid()}}\\n")

    tell("start")
    time.sleep({pause})
    trained = _train(run)
    tell("end")
    return trained
"""


def sentinel(applicant: int) -> str:
    return f"SENTINEL-{hashlib.sha256(str(applicant).encode()).hexdigest()[:20]}"


# ── what is on disk ─────────────────────────────────────────────────────────────────────────────
@dataclass
class Disk:
    """What lies in a home, read without Govern."""

    blank_lines: int
    tombstones: dict[str, int]
    versions: dict[str, int]
    purges: dict[str, int]
    artifacts: set[str]
    papers: set[str]
    records: dict[str, dict[str, dict[str, Any]]]

    def of(self, kind: str) -> dict[str, dict[str, Any]]:
        return self.records.get(kind, {})


def disk(home: Path, scratch: Path) -> Disk:
    catalogs = {name: json.loads((home / "datasets" / name / "catalog.json").read_text()) for name in PURGED}
    return Disk(
        blank_lines=sum(not line.strip() for line in (home / "landing" / "german.data").read_text().splitlines()),
        tombstones={name: sum(version["gone"] for version in catalog["versions"]) for name, catalog in catalogs.items()},
        versions={name: len(catalog["versions"]) for name, catalog in catalogs.items()},
        purges={name: len(catalog["purges"]) for name, catalog in catalogs.items()},
        artifacts={path.name for path in (home / "artifacts").iterdir()},
        papers={path.name for path in (home / "reports").iterdir()},
        records=records(home / "ledger.db", scratch),
    )


def records(database: Path, scratch: Path) -> dict[str, dict[str, dict[str, Any]]]:
    """The control records in a copy of the ledger's database, its log included, so that looking changes nothing."""
    scratch.mkdir(parents=True, exist_ok=True)
    for suffix in ("", "-wal"):
        side = database.with_name(database.name + suffix)
        copy = scratch / side.name
        copy.unlink(missing_ok=True)
        if side.exists():
            shutil.copyfile(side, copy)
    found: dict[str, dict[str, dict[str, Any]]] = {}
    connection = sqlite3.connect(scratch / database.name)
    try:
        for kind, ident, body in connection.execute("SELECT kind, ident, body FROM records"):
            found.setdefault(kind, {})[ident] = json.loads(body)
    finally:
        connection.close()
    return found


def unfinished(home: Path) -> list[tuple[str, str]]:
    """Workflows that are neither done nor failed."""
    connection = sqlite3.connect(home / "workflows.db", timeout=30)
    try:
        rows = connection.execute("SELECT workflow_uuid, status FROM workflow_status WHERE status <> 'SUCCESS'")
        return [(ident, status) for ident, status in rows]
    finally:
        connection.close()


# ── processes ───────────────────────────────────────────────────────────────────────────────────
def alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def squatters(home: Path) -> list[psutil.Process]:
    """Processes that work inside the home: they were started by its server, whoever their parent is now."""
    found = []
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()).is_relative_to(home) and alive(process):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
    return found


def end_and_look(river: River, *, kindly: bool = False) -> tuple[int, float]:
    """SIGKILL to the server alone (or SIGTERM, ``kindly``). None of its children may live five seconds later.

    Returns:
        how many it had, and how many seconds they outlived it.
    """
    assert river.server is not None
    assert river.server.stdout is not None
    if kindly:
        children = psutil.Process(river.server.pid).children(recursive=True)
        river.stop()
    else:
        river.server.send_signal(signal.SIGSTOP)  # so that no child is started between the listing and the kill
        children = psutil.Process(river.server.pid).children(recursive=True)
        river.kill()
        river.server.stdout.close()
    killed = time.monotonic()
    while (left := [one for one in children if alive(one)] + squatters(river.home)) and time.monotonic() < killed + 5:
        time.sleep(0.02)
    spared = time.monotonic() - killed
    told = [f"{one.pid} {one.name()} {one.cmdline()[-4:]}" for one in left if alive(one)]
    for one in left:
        if alive(one):
            one.kill()
    assert told == [], f"orphans 5 s after the kill: {told}"
    return len(children), spared


# ── the home ────────────────────────────────────────────────────────────────────────────────────
@dataclass
class Killed:
    """One server that is killed over and over, and what it went through."""

    river: River
    side: Path
    scratch: Path
    pause: float
    applicants: list[int] = field(default_factory=list)
    """Planted applicants of the training rows that are not erased yet."""
    erased: list[int] = field(default_factory=list)

    def said(self) -> list[tuple[str, int]]:
        """(word, pid) lines of the side file."""
        lines = self.side.read_text().splitlines() if self.side.exists() else []
        return [(line.split()[0], int(line.split()[1])) for line in lines]

    def disk(self) -> Disk:
        return disk(self.river.home, self.scratch)

    def state(self, request: str) -> str:
        return str(self.river.ask("GET", f"/api/v1/erasure-requests/{request}")["state"])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Killed]:
    """A serving model whose ``train`` tells a side file when it starts and ends; its policy keeps only what is quick."""
    root = tmp_path_factory.mktemp("killed")
    river = River(root)
    home = Killed(river=river, side=root / "side.txt", scratch=root / "looked", pause=1.5)
    with (river.project / "model.py").open("a") as code:
        code.write(TOLD_TRAIN.format(side=str(home.side), pause=home.pause))
    policy = river.project / "policies" / "credit.yaml"
    rules = yaml.safe_load(policy.read_text())
    quick = {"perf.noninferior", "regression.cases"}
    rules["audits"] = {name: given for name, given in rules["audits"].items() if name in quick}
    rules["gates"] = [gate for gate in rules["gates"] if gate["gate"] in ("floor.accuracy", "regression.cases")]
    rules["erasure"] |= {"reproduce": False}
    policy.write_text(yaml.safe_dump(rules, sort_keys=False))

    lines = (EXAMPLE / "german.data").read_text().splitlines()
    river.start()
    try:
        river.land("\n".join(f"{line.strip()} {sentinel(at)}" if at in PLANTED else line for at, line in enumerate(lines, 1)) + "\n")
        river.pipeline()
        trained = river.train()
        assert trained["state"] == "done", trained
        decision = river.audit_and_gate(MODEL, 1)
        assert decision["outcome"] == "pass", decision
        river.release(MODEL, 1)
        home.applicants = sorted({row["applicant"] for row in river.rows("credit.train")} & set(PLANTED))
        assert scan(river.home, [sentinel(home.applicants[0]).encode()]).hits, "the scanner must see what is to be erased"
        yield home
    finally:
        river.stop()


@pytest.fixture
def killed(made: Killed) -> Killed:
    """The same home for each test, served."""
    assert made.river.server is not None
    if made.river.server.poll() is not None:
        made.river.start()
    return made


# ── one round ───────────────────────────────────────────────────────────────────────────────────
@dataclass
class Round:
    """One erasure and one kill in it."""

    request: str
    killed_in: str
    """The request's state on disk when the server was dead."""
    seconds: float


def one_round(home: Killed, when: Callable[[str], None] | None, name: str, *, kindly: bool = False) -> Round:
    """Erase one applicant, kill the server once at the moment that ``when`` waits for, start it again, count."""
    river, applicant = home.river, home.applicants.pop(0)
    row = next(row for row in river.rows("credit.train") if row["applicant"] == applicant)
    receipt = river.predict(row, subject=f"applicant:{applicant}")["id"]
    before, said = home.disk(), len(home.said())
    began = time.monotonic()
    request = river.approve_erasure(applicant)
    killed_in, expected, processes = "", 1, ""
    if when is not None:
        when(request)
        children, spared = end_and_look(river, kindly=kindly)
        dead = home.disk()
        killed_in = dead.of("erasure")[request]["state"]
        # A version that was registered before the kill is never trained again; one that was not is trained once more.
        registered = len(dead.of("version")) - len(before.of("version"))
        at_kill = home.said()[said:]
        expected = [word for word, _ in at_kill].count("start") + (0 if registered else 1)
        processes = f", {children} children gone after {spared:.2f} s"
        river.start()
    done = river.wait_erasure(request)
    seconds = time.monotonic() - began
    assert done["state"] == "completed", done
    home.erased.append(applicant)
    one_purge(home, before, request, applicant, receipt)
    one_successor(home, before, request, home.said()[said:], expected)
    one_certificate(home, before, request)
    nothing_left(home, request)
    assert river.predict(row)["model_version"] == str(max(body["version"] for body in home.disk().of("version").values()))
    counted = time.monotonic() - began - seconds
    print(f"{name}: killed in {killed_in or 'nothing'}{processes}, ended after {seconds:.1f} s, counted in {counted:.1f} s")
    return Round(request=request, killed_in=killed_in, seconds=seconds)


def one_purge(home: Killed, before: Disk, request: str, applicant: int, receipt: str) -> None:
    """The row is in no file; each dataset that held it has one version more, one tombstone more, one purge more."""
    now = home.disk()
    assert now.blank_lines == before.blank_lines + 1
    for name in PURGED:
        assert now.purges[name] == before.purges[name] + 1, name
        assert now.versions[name] == before.versions[name] + 1, name
        assert now.tombstones[name] == before.tombstones[name] + 1, name
    home.river.ask("GET", f"/api/v1/predictions/{receipt}", expect=410)
    for asset in now.of("erasure")[request]["assets"]:
        if asset["kind"] == "dataset" and asset["action"] == "purge":
            assert asset["detail"]["rows_deleted"] == 1, asset
            assert len(asset["detail"]["versions_removed"]) == 1, asset
        if asset["kind"] == "predictions":
            assert asset["detail"]["forgotten"] == 1, asset
    nowhere(home, applicant)


def nowhere(home: Killed, *applicants: int) -> None:
    """No file that ever held rows holds these, decoded by its type; the end-to-end test looks through the whole home."""
    for folder in (*(home.river.home / name for name in ("datasets", "landing", "scopes", "scratch", "artifacts")), home.river.temp):
        report = scan(folder, [sentinel(applicant).encode() for applicant in applicants])
        assert not report.unknown, report.unknown
        assert not report.hits, report.hits


def one_successor(home: Killed, before: Disk, request: str, said: list[tuple[str, int]], expected: int) -> None:
    """One version more, its artifact alone on disk, and no training but those that a kill made necessary."""
    now = home.disk()
    new = [body for ident, body in now.of("version").items() if ident not in before.of("version")]
    assert len(new) == 1
    assert new[0]["operation"] == f"erasure:{request}"
    assert now.artifacts == {new[0]["artifact"]["digest"].removeprefix("sha256:")}
    assert [word for word, _ in said].count("start") == expected, said
    ended = [pid for word, pid in said if word == "end"]
    assert said[-1] == ("end", ended[-1]), said
    assert len(said) == len(set(said)), "each training is its own process"
    serving = [body for body in now.of("deployment").values() if body["active_to"] is None]
    assert [body["version"] for body in serving] == [new[0]["version"]]
    assert len(now.of("deployment")) == len(before.of("deployment")) + 1


def one_certificate(home: Killed, before: Disk, request: str) -> None:
    """One PDF more, which verifies; one report more in the ledger."""
    now = home.disk()
    new = now.papers - before.papers
    assert len(new) == 1, new
    assert set(now.of("report")) - set(before.of("report")) == {new.copy().pop().split(".")[0]}
    assert [name.split(".")[0] for name in new] == [now.of("erasure")[request]["report"]]
    keys = TrustedKeys.from_json(json.loads((home.river.home / "public" / "keys.json").read_text()))
    verified = verify((home.river.home / "reports" / new.pop()).read_bytes(), keys)
    assert verified.exit_code == 0, verified


def nothing_left(home: Killed, request: str) -> None:
    """No scope file, no workflow that waits, no draft, no scratch folder of a process that is not there."""
    river = home.river
    deadline = time.monotonic() + 5
    while ((left := list((river.home / "scopes").iterdir())) or unfinished(river.home)) and time.monotonic() < deadline:
        time.sleep(0.02)  # the state is told before the scope is removed and the step is ticked off
    assert left == []
    assert unfinished(river.home) == []
    assert list(river.temp.iterdir()) == []
    assert river.server is not None
    living = {str(river.server.pid)}
    for path in (river.home / "scratch").iterdir():
        assert path.name.startswith("govern-child-"), path
        assert path.name.split("-")[2] in living, f"{path.name} outlived its process"
    drafts = [path for path in river.home.rglob("*") if path.suffix == ".tmp" or ".draft-" in path.name]
    assert drafts == []


# ── the moments ─────────────────────────────────────────────────────────────────────────────────
def at_once(_request: str) -> None:
    """Right after the approval was answered."""


def in_training(home: Killed) -> Callable[[str], None]:
    """When ``train`` told its start and not its end."""
    known = len(home.said())

    def wait(_request: str) -> None:
        deadline = time.monotonic() + 120
        while len(home.said()) == known:
            assert time.monotonic() < deadline, "no training began"
            time.sleep(0.02)
        time.sleep(home.pause / 3)
        assert [word for word, _ in home.said()[known:]] == ["start"]

    return wait


def before_the_certificate(home: Killed) -> Callable[[str], None]:
    """When the work is verified and no paper is there yet."""

    def wait(request: str) -> None:
        deadline = time.monotonic() + 120
        with home.river.client() as client:
            while client.get(f"/api/v1/erasure-requests/{request}").json()["state"] != "verifying":
                assert time.monotonic() < deadline, "it was never verified"
                time.sleep(0.01)

    return wait


def after(home: Killed, seconds: float) -> Callable[[str], None]:
    """So long after the approval, or as soon as the erasure is over."""

    def wait(request: str) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and home.state(request) != "completed":
            time.sleep(min(0.05, max(0.0, deadline - time.monotonic())))

    return wait


def whole_home(home: Killed) -> None:
    """The ledger of the stopped home is whole, none of the erased came back, no process and no scratch folder is left."""
    home.river.stop()
    env = clean_environment(GOVERN_HOME=str(home.river.home))
    done = subprocess.run([*GOVERN, "ledger", "fsck"], env=env, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    nowhere(home, *home.erased)
    assert list((home.river.home / "scratch").iterdir()) == []
    assert squatters(home.river.home) == []


# ── two requests, one batch ─────────────────────────────────────────────────────────────────────
def verified(river: River, applicant: int) -> str:
    """A request that waits for approval."""
    request = river.request_erasure(applicant)["id"]
    river.ask("POST", f"/api/v1/erasure-requests/{request}/verify", json={"method": "identity document", "verifier": "service desk"})
    return str(request)


def one_batch(home: Killed, when: Callable[[str], None], name: str) -> None:
    """Erase two applicants at once and kill the server once: one training that counts, one version, two certificates."""
    river, pair = home.river, [home.applicants.pop(0), home.applicants.pop(0)]
    before, said = home.disk(), len(home.said())
    requests, key = [verified(river, applicant) for applicant in pair], river.new_key("privacy")
    for request in requests:
        river.ask("POST", f"/api/v1/erasure-requests/{request}/approve", json={}, key=key)
    when(requests[0])
    _children, spared = end_and_look(river)
    dead = home.disk()
    registered = len(dead.of("version")) - len(before.of("version"))
    expected = [word for word, _ in home.said()[said:]].count("start") + (0 if registered else 1)
    river.start()
    done = [river.wait_erasure(request) for request in requests]
    assert [request["state"] for request in done] == ["completed", "completed"], done
    home.erased += pair
    now = home.disk()
    batches = [body for ident, body in now.of("batch").items() if ident not in before.of("batch")]
    # Approved at once they share a batch; should the second come when the first one's has begun, its rows are left out all the same.
    assert [body["state"] for body in batches] == ["done"], batches
    assert set(batches[0]["requests"]) <= set(requests), batches
    new = [body for ident, body in now.of("version").items() if ident not in before.of("version")]
    assert len(new) == 1
    for request in requests:
        retrained = [one for one in now.of("erasure")[request]["successors"] if one["version"] == new[0]["version"]]
        assert [one["excluded"] for one in retrained] == ([True] if request in batches[0]["requests"] else [])
    assert now.artifacts == {new[0]["artifact"]["digest"].removeprefix("sha256:")}
    assert [word for word, _ in home.said()[said:]].count("start") == expected, home.said()[said:]
    assert len(now.of("deployment")) == len(before.of("deployment")) + 1
    assert len(now.papers - before.papers) == 2
    assert now.blank_lines == before.blank_lines + 2
    for dataset in PURGED:
        assert now.purges[dataset] == before.purges[dataset] + 2, dataset
    nowhere(home, *pair)
    for request in requests:
        nothing_left(home, request)
    print(f"{name}: killed in {dead.of('erasure')[requests[0]]['state']}, children gone after {spared:.2f} s, {expected} training(s)")


@pytest.mark.slow
def test_two_requests_killed_in_their_training_share_one_retrain(killed: Killed) -> None:
    one_batch(killed, in_training(killed), "two in the training")


@pytest.mark.slow
def test_two_requests_killed_at_each_step_share_one_retrain(killed: Killed) -> None:
    one_batch(killed, at_once, "two before the purge")
    one_batch(killed, before_the_certificate(killed), "two before the certificate")
    chance = random.Random(int(os.environ.get("CRASH_SEED") or random.SystemRandom().randrange(10**6)))
    for _ in range(3):
        one_batch(killed, after(killed, chance.uniform(0, 8)), "two at a random moment")
    whole_home(killed)


@pytest.mark.slow
def test_a_server_killed_in_the_training_ends_the_erasure_once(killed: Killed) -> None:
    assert one_round(killed, in_training(killed), "in the training").killed_in == "executing"
    whole_home(killed)


@pytest.mark.slow
def test_a_server_killed_at_each_step_ends_each_erasure_once(killed: Killed) -> None:
    assert one_round(killed, at_once, "before the purge").killed_in in ("queued", "executing")
    assert one_round(killed, in_training(killed), "in the training").killed_in == "executing"
    for _attempt in range(3):
        last = one_round(killed, before_the_certificate(killed), "before the certificate")
        if last.killed_in == "verifying":
            break
    assert last.killed_in == "verifying", "the moment before the certificate was missed three times"
    whole_home(killed)


@pytest.mark.slow
def test_a_server_killed_at_five_random_moments_ends_each_erasure_once(killed: Killed) -> None:
    at_random_moments(killed, 5)


@pytest.mark.slow
def test_a_server_that_is_told_to_stop_goes_on_where_it_was(killed: Killed) -> None:
    assert one_round(killed, in_training(killed), "stopped in the training", kindly=True).killed_in == "executing"
    whole_home(killed)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_server_killed_at_forty_random_moments_ends_each_erasure_once(killed: Killed) -> None:
    at_random_moments(killed, 40)


def at_random_moments(home: Killed, kills: int) -> None:
    """Erasures killed at moments drawn from the time that one takes; the seed is printed, and taken from CRASH_SEED where that is set."""
    seed = int(os.environ.get("CRASH_SEED") or random.SystemRandom().randrange(10**6))
    print(f"CRASH_SEED={seed}")
    chance = random.Random(seed)
    whole = one_round(home, None, "unkilled").seconds
    for at in range(kills):
        seconds = chance.uniform(0, whole)
        one_round(home, after(home, seconds), f"random {at + 1}, {seconds:.1f} of {whole:.1f} s after the approval")
    whole_home(home)
