"""What a derivation may ask beyond its own facts: which names are one dataset, and which version was there at a time."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from lineage.graph.facts import Facts, value_of
from lineage.graph.keys import dataset_key, ident_id, version_key
from lineage.graph.state import parse, stamp
from lineage.model import Json
from lineage.ports import FoldState

__all__ = ["DEEPEST", "Context", "Identity", "Read"]

_FIRST = stamp(-(2**63))
DEEPEST = 32
"""So many views on top of one another, or earlier names, are followed; :class:`lineage.graph.fold.Fold` looks back as far."""
_AT_ONCE = 64
"""So many versions of one instant are looked at for who made them."""
_BASES = ("explicit", "column")
_NO_SOURCE: Facts = {"d": []}
_Place = tuple[str, int | str | None]


@dataclass(frozen=True, slots=True)
class Identity:
    """One dataset with all its names."""

    namespace: str
    name: str
    model: bool
    """Whether any of its names has ``datasetType`` MODEL."""
    members: tuple[tuple[str, str], ...]
    """Every (namespace, name), sorted."""

    @property
    def key(self) -> str:
        """Key of its Dataset or Model node."""
        return dataset_key(self.namespace, self.name)

    @property
    def label(self) -> str:
        """``Model`` or ``Dataset``."""
        return "Model" if self.model else "Dataset"

    def version_key(self, version: str | None) -> str:
        """Key of one of its versions."""
        return version_key(self.namespace, self.name, version)

    def owners(self) -> tuple[str, ...]:
        """The keys of the facts of all its names."""
        if len(self.members) == 1:
            return (f"ds/{ident_id(self.namespace, self.name)}",)
        return tuple(f"ds/{ident_id(*member)}" for member in self.members)


@dataclass(frozen=True, slots=True)
class Read:
    """A version that was read, and through which dataset where it was not read by its own name."""

    identity: Identity
    version: str | None
    through: Identity | None = None
    """The view that was named."""
    basis: str = "declared"
    """How it is known that the view is made of it."""


class Context:
    """Reads over the fold's state; identities are remembered until a link or a dataset's kind changes."""

    def __init__(self, state: FoldState) -> None:
        self._state = state
        self._identities: dict[str, Identity] = {}

    def forget(self) -> None:
        """Drop what is remembered: which names are one dataset, or what kind it is, changed."""
        self._identities.clear()

    def facts(self, key: str) -> Facts | None:
        """The facts under an owner's key; not to be changed."""
        facts: Facts | None = self._state.load(key)
        return facts

    def identity(self, name: Sequence[str]) -> Identity:
        """The dataset that a (namespace, name) means: symlinks are followed both ways, in any number of steps.

        The name it goes by is chosen by rule, so that it does not depend on the order of events: a ``govern://`` name, else one
        that a symlink calls a TABLE, else any but a LOCATION; among equals the smallest.
        """
        start = (name[0], name[1])
        ident = ident_id(*start)
        found = self._identities.get(ident)
        if found is not None:
            return found
        ranks: dict[tuple[str, str], int] = {}
        queue = [start]
        while queue:
            member = queue.pop()
            if member in ranks:
                continue
            link = self._state.load(f"sym/{ident_id(*member)}")
            named_by = list(link["in"].values()) if link else []
            ranks[member] = _rank(member, {kind for named in named_by for kind in named[2]})
            queue.extend((peer[0], peer[1]) for peer in [*named_by, *(link["out"] if link else [])])
        namespace, chosen = min(ranks, key=lambda member: (ranks[member], member))
        model = any(self._is_model(member) for member in ranks)
        found = Identity(namespace=namespace, name=chosen, model=model, members=tuple(sorted(ranks)))
        for member in found.members:
            self._identities[ident_id(*member)] = found
        return found

    def version_at(self, identity: Identity, when: int | None, reader: str | None) -> str | None:
        """The latest version that was there at ``when`` and was not made by ``reader`` (a run id) itself; ``None`` if unknown."""
        if when is None:
            return None
        best: tuple[str, str, str] | None = None
        for member in identity.members:
            prefix = f"prod/{ident_id(*member)}/"
            low, high = prefix + _FIRST, prefix + stamp(when) + "0"  # "0" sorts after the "/" that follows the time
            for limit in (4, None):
                entries = self._state.between(low, high, reverse=True, limit=limit)
                others = [(entry[0][len(prefix) :][:20], *parse(entry[1])) for entry in entries]
                others = [entry for entry in others if entry[2] != reader]
                if others:
                    top = max(others)
                    best = top if best is None else max(best, top)
                if others or len(entries) < 4:
                    break
        return None if best is None else best[1]

    def read_at(self, identity: Identity, when: int | None, reader: str | None) -> list[Read]:
        """What a reader at ``when`` read when it read this dataset without saying which version.

        The latest version that was there; else the versions of what it was called before it was renamed, as of the renaming; else
        its unknown version and, where DatasetEvents state what it is made of (a view), what is read through it.
        """
        return self._read_at(identity, when, reader, {}, 0)

    def _read_at(self, identity: Identity, when: int | None, reader: str | None, done: dict[_Place, list[Read]], depth: int) -> list[Read]:
        """``done`` holds the answers of this question, so that views over views, in circles too, are each followed once."""
        version = self.version_at(identity, when, reader)
        if version is not None:
            return [Read(identity, version)]
        place = (identity.key, when)
        known = [facts for facts in map(self.facts, identity.owners()) if facts and ("ren" in facts or "src" in facts)]
        if not known or place in done or depth >= DEEPEST:
            return done.get(place, [Read(identity, None)])
        done[place] = [Read(identity, None)]
        for since, *name in sorted((one for facts in known for one in facts.get("ren", ())), reverse=True):
            if when is not None and since <= when:
                before = self._read_at(self.identity(name), min(when, since) if since else when, reader, done, depth + 1)
                if before[0].version is not None:
                    done[place] = before
                    return before
        bases = {self.identity(name) for facts in known for name in (value_of(facts.get("src")) or _NO_SOURCE)["d"]}
        basis = min((value_of(facts["src"])["b"] for facts in known if "src" in facts), default="explicit", key=_BASES.index)
        through: dict[_Place, Read] = {}
        for base in sorted(bases, key=lambda one: one.key):
            for read in self._read_at(base, when, reader, done, depth + 1):
                through.setdefault((read.identity.key, read.version), Read(read.identity, read.version, identity, basis))
        done[place] = [Read(identity, None), *through.values()]
        return done[place]

    def run_at(self, job: Sequence[str], when: int | None, reader: str) -> str | None:
        """The run of a job that began last, at ``when`` at the latest, and is not ``reader`` itself; ``None`` if unknown."""
        if when is None:
            return None
        prefix = f"jt/{ident_id(job[0], job[1])}/"
        for key, _ in self._state.between(prefix + stamp(1), prefix + stamp(when) + "0", reverse=True, limit=4):
            run = key[len(prefix) + 21 :]
            if run != reader:
                return run
        return None

    def next_version_after(self, identity: Identity, when: str) -> tuple[str | None, set[str]]:
        """The stamp of the first version later than the stamp ``when``, and the ids of the runs that made what was there from then on.

        For a run that is among these alone its own version hides nothing, so it may read what lies before it. Where there are very
        many, some are left out: then each of them stands behind another's.
        """
        found: list[tuple[str, str]] = []
        for member in identity.members:
            prefix = f"prod/{ident_id(*member)}/"
            first = self._state.between(prefix + when + "0", prefix + ":", limit=1)
            if first:
                at = first[0][0][len(prefix) :][:20]
                entries = self._state.between(prefix + at, prefix + at + "0", limit=_AT_ONCE)
                found += [(at, parse(raw)[1]) for _, raw in entries]
        until = min(found, default=(None, ""))[0]
        return until, {run for at, run in found if at == until and run}

    def is_service(self, run: Facts) -> bool:
        """Whether the run is one of a SERVICE job: it says so, or else its job does."""
        said: Json = value_of(run.get("proc"))
        job = value_of(run.get("job"))
        if said is None and job is not None:
            facts = self.facts(f"job/{ident_id(*job)}")
            said = value_of(facts.get("proc")) if facts else None
        return bool(said == "SERVICE")

    def _is_model(self, member: tuple[str, str]) -> bool:
        facts = self.facts(f"ds/{ident_id(*member)}")
        return facts is not None and value_of(facts.get("kind")) == "MODEL"


def _rank(member: tuple[str, str], types: AbstractSet[str]) -> int:
    if member[0].startswith("govern://"):
        return 0
    if "TABLE" in types:
        return 1
    return 3 if "LOCATION" in types else 2
