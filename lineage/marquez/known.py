"""What is known of datasets, jobs and runs, read from the facts of the fold: no walk, and on a remote graph no round trip.

A :class:`Known` is made for one question; it reads the state as it was last committed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lineage.graph.context import Context, Identity
from lineage.graph.derive import reads_of, writes_of
from lineage.graph.facts import Facts, stated, value_of, visible
from lineage.graph.keys import canonical, ident_id
from lineage.graph.meaning import RunState, run_state
from lineage.graph.state import load, parse
from lineage.model import Json
from lineage.ports import FoldState

__all__ = ["DatasetFacts", "JobFacts", "Known", "Part", "RunFacts"]

Name = tuple[str, str]


@dataclass(frozen=True, slots=True)
class DatasetFacts:
    """A dataset as all events together say, under all its names."""

    identity: Identity
    first: int | None
    """When the first event spoke of it; ``None`` when none did by itself (it is only named as a source)."""
    last: int | None
    facets: Mapping[str, Json]
    kind: str | None
    """What ``datasetType`` says."""


@dataclass(frozen=True, slots=True)
class JobFacts:
    """A job as all events together say."""

    namespace: str
    name: str
    first: int | None
    last: int | None
    facets: Mapping[str, Json]
    processing: str | None

    @property
    def ident(self) -> str:
        """How the state names it."""
        return ident_id(self.namespace, self.name)


@dataclass(frozen=True, slots=True)
class Part:
    """One dataset version that a run read or wrote."""

    identity: Identity
    version: str | None
    facets: Mapping[str, Json]
    """Input or output facets."""

    @property
    def key(self) -> str:
        """Key of the version node."""
        return self.identity.version_key(self.version)


@dataclass(frozen=True, slots=True)
class RunFacts:
    """A run as all its events together say."""

    facts: Facts
    meaning: RunState
    inputs: tuple[Part, ...]
    outputs: tuple[Part, ...]

    @property
    def id(self) -> str:
        """The run id as it was sent."""
        return str(self.facts["id"])

    @property
    def job(self) -> Name | None:
        """(namespace, name) of its job."""
        found = value_of(self.facts.get("job"))
        return None if found is None else (found[0], found[1])

    @property
    def location(self) -> str | None:
        """URL of the code it ran."""
        found = value_of(self.facts.get("code"))
        url = found.get("url") if isinstance(found, dict) else None
        return url if isinstance(url, str) else None

    @property
    def parent(self) -> tuple[str, str, str] | None:
        """(run id, job namespace, job name) of the run that contains it."""
        found = value_of(self.facts.get("parent"))
        return None if found is None else (found[0], found[1], found[2])

    @property
    def facets(self) -> dict[str, Json]:
        """The run facets."""
        return stated(self.facts["f"])


class Known:
    """Reads facts out of the fold's state."""

    def __init__(self, state: FoldState) -> None:
        self.state = state
        self.context = Context(state)

    def dataset(self, namespace: str, name: str) -> DatasetFacts:
        """What is known of the dataset that goes by any of its names; all empty when nothing is."""
        identity = self.context.identity((namespace, name))
        parts = [facts for facts in (load(self.state, owner) for owner in identity.owners()) if facts is not None]
        cells: Facts = {}
        kinds = []
        for facts in parts:
            if "kind" in facts:
                kinds.append(facts["kind"])
            for facet, cell in facts["f"].items():
                old = cells.get(facet)
                cells[facet] = cell if old is None or (old[:2], canonical(old[2])) < (cell[:2], canonical(cell[2])) else old
        return DatasetFacts(
            identity=identity,
            first=min((facts["t"] for facts in parts if "t" in facts), default=None),
            last=max((facts["u"] for facts in parts if "u" in facts), default=None),
            facets=visible(cells),
            kind=value_of(max(kinds)) if kinds else None,
        )

    def job(self, namespace: str, name: str) -> JobFacts | None:
        """What is known of a job; ``None`` when no event spoke of it."""
        facts = load(self.state, f"job/{ident_id(namespace, name)}")
        if facts is None:
            return None
        return JobFacts(
            namespace=namespace,
            name=name,
            first=facts.get("t"),
            last=facts.get("u"),
            facets=visible(facts["f"]),
            processing=value_of(facts.get("proc")),
        )

    def run(self, run_id: str) -> RunFacts | None:
        """What is known of a run; ``None`` when no event of it came."""
        facts = load(self.state, f"run/{run_id}")
        if facts is None:
            return None
        return RunFacts(
            facts=facts,
            meaning=run_state(facts),
            inputs=_parts(reads_of(facts, self.context)),
            outputs=_parts(writes_of(facts, self.context)),
        )

    def runs(self, job: str, *, limit: int, offset: int = 0) -> list[RunFacts]:
        """The runs of a job (:attr:`JobFacts.ident`), the one that started last first."""
        prefix = f"jt/{job}/"
        found = self.state.between(prefix, prefix[:-1] + "0", reverse=True, limit=offset + limit)  # "0" follows "/"
        runs = (self.run(key[len(prefix) :].split("/", 1)[1]) for key, _ in found[offset:])
        return [run for run in runs if run is not None]

    def count_runs(self, job: str) -> int:
        """How many runs a job has."""
        return self.state.count(f"jt/{job}/", f"jt/{job}0")

    def latest_version(self, identity: Identity) -> tuple[str, str] | None:
        """(version, id of the run that wrote it or nothing) of the version that came last."""
        found = []
        for member in identity.members:
            prefix = f"prod/{ident_id(*member)}/"
            for key, raw in self.state.between(prefix, prefix[:-1] + "0", reverse=True, limit=1):
                version, run = parse(raw)
                found.append((key[len(prefix) :], version, run))
        return max(found)[1:] if found else None


def _parts(found: Iterable[tuple[Identity, str | None, Facts]]) -> tuple[Part, ...]:
    """The versions, each once, sorted by name."""
    parts: dict[str, Part] = {}
    for identity, version, cells in found:
        part = Part(identity, version, stated(cells))
        old = parts.get(part.key)
        parts[part.key] = part if old is None else Part(identity, version, {**old.facets, **part.facets})
    return tuple(sorted(parts.values(), key=lambda part: (part.identity.namespace, part.identity.name, part.version or "")))
