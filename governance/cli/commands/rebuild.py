"""``govern lineage rebuild``: the home's own graph made anew, or a whole ledger folded into a graph somewhere else."""

from __future__ import annotations

import base64
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from governance.cli.client import Api, connect, home_path
from governance.cli.output import emit_json, fields
from governance.cli.progress import bar
from lineage.errors import StoreUnavailable
from lineage.model import LedgerEntry
from lineage.ports import Ledger

__all__ = ["follow", "rebuild"]

_PAUSE = 0.2
_PATIENCE = 30.0
"""Seconds in which the graph does not move and says why, before that is the answer."""
_PAGE = 500


def rebuild(
    into: Annotated[
        str | None, typer.Option("--into", metavar="URI", help="An empty graph elsewhere: neo4j://HOST, bolt://HOST or sqlite:FILE.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Delete what is there, also what is not this home's.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Fold the whole ledger again: into the home's own graph, which is emptied first, or with --into into another one.

    Where events were retired it begins from the newest snapshot of the graph, and ends with an error when none can be used.
    With --into the home's graph stays as it is. The other graph's user and password are GOVERN_GRAPH_USER and GOVERN_GRAPH_PASSWORD.
    """
    with connect() as api, bar("rebuild") as seen:
        answer = _own(api, seen, force=force) if into is None else _elsewhere(api, seen, into, force=force)
    if as_json:
        emit_json(answer)
    else:
        fields((name.replace("_", " "), value) for name, value in answer.items())


def _own(api: Api, seen: Callable[[dict[str, Any]], None], *, force: bool) -> dict[str, Any]:
    """Ask for it and watch the lag; when this command ends early the server, or whoever opens the home next, goes on."""
    return follow(api, seen, api.post("/api/v1/lineage/rebuild?force=true" if force else "/api/v1/lineage/rebuild")["entries"])


def follow(api: Api, seen: Callable[[dict[str, Any]], None], total: int) -> dict[str, Any]:
    """Wait until a graph that is made anew from ``total`` entries has no lag; its counts and digest.

    Raises:
        StoreUnavailable: it does not get on; the message says why.
    """
    least, moved = total + 1, time.monotonic()
    while True:
        state = api.get("/api/v1/lineage/status", digest="false")
        lag = state["lag"]
        seen({"progress": {"done": max(total - lag, 0), "total": total, "what": "entries"}})
        if not lag:
            break
        if lag < least:
            least, moved = lag, time.monotonic()
        elif state["error"] and time.monotonic() - moved > _PATIENCE:
            raise StoreUnavailable(f"the graph does not get on: {state['error']}", hint="govern lineage status; it goes on by itself")
        time.sleep(_PAUSE)
    state = api.get("/api/v1/lineage/status", digest="true")
    return {name: state[name] for name in ("entries", "events", "dead_letters", "nodes", "edges", "graph_digest")}


def _elsewhere(api: Api, seen: Callable[[dict[str, Any]], None], where: str, *, force: bool) -> dict[str, Any]:
    """Read the ledger through the API and fold it here: the other graph's password stays on this machine."""
    from governance.settings import Settings
    from governance.wiring.stores import graph_at
    from lineage.clock import SystemClock
    from lineage.projection import Projector
    from lineage.retention import Archive

    public = api.get("/api/v1/keys/public")
    owner, key = public["installation"], public["checkpoint"]
    home = home_path()
    with ExitStack() as stack:
        folder = home if (home / "govern.json").exists() else Path(stack.enter_context(tempfile.TemporaryDirectory()))
        ledger = _Entries(api)
        archive = Archive(cast("Ledger", ledger), _Fetched(api), origin=key["name"], public=lambda: bytes.fromhex(key["key"]))
        if archive.needed():
            archive.newest()  # before --force empties a graph that this ledger could not fill again
        graph = graph_at(Settings.read(), where, folder, owner=owner, force=force)
        stack.callback(graph.close)
        projector = Projector(cast("Ledger", ledger), graph, SystemClock(), archive=archive)
        while projector.project():
            seen({"progress": {"done": graph.position(), "total": ledger.size(), "what": "entries"}})
        counts = graph.counts()
        digest = projector.digest()
        return {"entries": graph.position(), "nodes": counts["nodes"], "edges": counts["edges"], "graph_digest": digest, "into": where}


class _Entries:
    """The entries of a ledger behind the API, as a projector reads them."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._size: int | None = None

    def size(self) -> int:
        """How many there were when it was first asked: what is appended meanwhile is not waited for."""
        if self._size is None:
            self._size = int(self._api.get("/api/v1/ledger/entries", limit=1)["size"])
        return self._size

    def entries(self, start: int, limit: int, kind: str | None = None) -> list[LedgerEntry]:
        """From ``start`` on, of one kind where it is given."""
        some = min(limit, _PAGE, self.size() - start)
        if some <= 0:
            return []
        listed = self._api.get("/api/v1/ledger/entries", start=start, limit=some, kind=kind)["entries"]
        return [_entry(item) for item in listed if item["index"] < self.size()]

    def entry(self, index: int) -> LedgerEntry:
        """One of them."""
        return self.entries(index, 1)[0]

    def root(self, size: int) -> bytes:
        """The tree's root over the first ``size`` of them."""
        return bytes.fromhex(self._api.get("/api/v1/ledger/proof", first=size, second=self.size())["first_root"])


class _Fetched:
    """The snapshots of a home behind the API, to read."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def read(self, digest: str, start: int = 0) -> Iterator[bytes]:
        """The bytes in pieces."""
        while piece := self._api.bytes(f"/api/v1/lineage/snapshots/{digest}", **{"from": start}):
            yield piece
            start += len(piece)

    def names(self) -> set[str]:
        """Those that are there."""
        return {one["sha256"] for one in self._api.get("/api/v1/lineage/snapshots")["snapshots"] if one["there"]}

    def write(self, chunks: Iterable[bytes]) -> str:
        """Refused."""
        raise StoreUnavailable(f"snapshots at {self._api.where} are only read ({type(chunks).__name__})")

    def remove(self, digest: str) -> None:
        """Refused."""
        raise StoreUnavailable(f"snapshots at {self._api.where} are only read ({digest[:12]}…)")


def _entry(item: dict[str, Any]) -> LedgerEntry:
    text, coded = item.get("payload"), item.get("payload_base64")
    payload = text.encode() if text is not None else base64.b64decode(coded) if coded is not None else None
    return LedgerEntry(
        index=item["index"],
        kind=item["kind"],
        recorded_at=item["recorded_at"],
        actor=item["actor"],
        payload=payload,
        salt=None,
        leaf=bytes.fromhex(item["leaf"]),
        identity=item["identity"],
    )
