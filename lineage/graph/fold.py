"""The fold: one event in, what changes in the graph out; commutative, associative and idempotent over events.

Two layers. Below, facts that only join (:mod:`lineage.graph.facts`). Above, claims that are a pure function of facts
(:mod:`lineage.graph.derive`). An event changes the facts of its run, job and datasets; then every owner whose claims read a
changed fact is derived anew, and no other:

1. the facts are joined and their index entries replaced;
2. affected are: the event's own owners · all that mention a dataset whose identity changed (a late symlink, a late
   ``datasetType``) · the runs of a job that became a SERVICE · those that read a dataset without stating a version while the
   version that was there changed (a late producer);
3. their claims are replaced, and the elements claimed are merged anew.

Because claims depend on facts alone and facts on the set of events alone, so does the graph.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial

from lineage.graph.claims import Changes, Claims
from lineage.graph.context import DEEPEST, Context, Identity
from lineage.graph.derive import derive_run
from lineage.graph.derive_static import dataset_says, derive_dataset, derive_job, job_says
from lineage.graph.facts import Blobs, Facts, add_dataset, add_job, add_run, dataset_again, job_again, value_of
from lineage.graph.keys import ident_id
from lineage.graph.state import dataset_index, dump, job_index, parse, run_index, stamp
from lineage.model import DatasetRef, GraphDelta, Json, RunEvent
from lineage.ports import FoldState

__all__ = ["Fold"]

Name = tuple[str, str]

_FIRST = stamp(-(2**63))
_UNKNOWN = 2**63 - 1
"""The first time of a namespace of which only events without a time spoke."""


class Fold:
    """Folds events into a graph whose facts lie in ``state``. Use it inside one transaction of the graph's store."""

    def __init__(self, state: FoldState) -> None:
        self._state = state
        self._context = Context(state)
        self._spaces: dict[str, int] = {}
        self._blobs: Blobs = {}

    def expect(self, events: Iterable[RunEvent]) -> None:
        """Say which events will be folded, so that what is known of their runs, jobs and datasets can be read together."""
        owners: dict[str, None] = {}
        for event in events:
            if event.run_id is not None:
                owners[f"run/{event.run_id}"] = None
            if event.job is not None:
                owners[f"job/{ident_id(event.job.namespace, event.job.name)}"] = None
            for ref in (*event.inputs, *event.outputs, *([event.dataset] if event.dataset else [])):
                owners[_owner((ref.namespace, ref.name))] = None
        links = [f"sym/{owner[3:]}" for owner in owners if owner.startswith("ds/")]
        self._state.preload([*owners, *(f"own/{owner}" for owner in owners), *links])

    def fold(self, event: RunEvent, *, recorded_at: int) -> GraphDelta:
        """What the event changes: full new values and what is gone; empty when everything was known."""
        affected: set[str] = set()
        refs = [*event.inputs, *event.outputs, *([event.dataset] if event.dataset else [])]
        moved: set[tuple[str, str]] = set()  # (dataset id, time stamp) where a version appeared or vanished
        names: dict[str, Name] = {ident_id(ref.namespace, ref.name): (ref.namespace, ref.name) for ref in refs}
        affected |= self._datasets(event, refs, names, moved)
        affected |= self._job(event)
        affected |= self._run(event, names, moved)
        self._namespaces(event, refs)
        for ident, when in sorted(moved):
            affected |= self._readers(self._context.identity(names[ident]), when)
        for digest in self._blobs:
            self._state.put(f"blob/{digest}", self._blobs[digest])
        self._blobs.clear()
        return self._derive(affected, recorded_at)

    def _datasets(self, event: RunEvent, refs: Iterable[DatasetRef], names: dict[str, Name], moved: set[tuple[str, str]]) -> set[str]:
        """Join what is said of datasets; returns the owners concerned."""
        refs = [ref for ref in refs if not self._again(event, ref)]
        if not refs:
            return set()
        held: dict[Name, list[list[str]]] = {}  # the other names that those stated until now which state some now
        for ref in refs:
            if ref.symlinks is not None:
                here = (ref.namespace, ref.name)
                held[here] = value_of((self._context.facts(_owner(here)) or {}).get("sym")) or []
        told = {(link[0], link[1]) for ref in refs for link in ref.symlinks or ()}
        told |= {(link[0], link[1]) for links in held.values() for link in links}
        involved = sorted({*((ref.namespace, ref.name) for ref in refs), *told})
        before = {name: self._context.identity(name) for name in involved}
        affected: set[str] = set()
        for ref in refs:
            owner = _owner((ref.namespace, ref.name))
            known = before[ref.namespace, ref.name]
            alone = self._alone(owner, known)
            join = partial(_with_dataset, event, ref, self._blobs)
            facts, changed = self._put(owner, join, dataset_index, moved, dataset_says if alone else None)
            if changed:
                affected.add(owner)
            if (value_of(facts.get("kind")) == "MODEL") != known.model:
                self._context.forget()
            if ref.symlinks is not None:
                here, links = (ref.namespace, ref.name), value_of(facts.get("sym")) or []
                if links != held[here]:
                    self._relink(here, held[here], links)
                    held[here] = links
        for name in involved:
            after = self._context.identity(name)
            if after != before[name]:
                affected |= {_owner(name)} | self._mentions(after) | self._mentions(before[name])
        names.update({ident_id(*name): name for name in involved})
        return affected

    def _again(self, event: RunEvent, ref: DatasetRef) -> bool:
        """Whether the event says of a dataset only what is known of it; then its facts know the event's time, and nothing else changes."""
        owner = _owner((ref.namespace, ref.name))
        facts = self._state.load(owner)
        if facts is None or not self._alone(owner, self._context.identity((ref.namespace, ref.name))):
            return False
        if not dataset_again(facts, event, ref):
            return False
        self._state.store(owner, facts)
        return True

    def _alone(self, owner: str, identity: Identity) -> bool:
        """Whether no other name of the dataset has facts: those of several are compared by time."""
        return len(identity.members) == 1 or all(other == owner or self._state.load(other) is None for other in identity.owners())

    def _relink(self, here: Name, before: list[list[str]], after: list[list[str]]) -> None:
        """Bring the index of names along when a dataset states other symlinks than before."""
        self._context.forget()
        ident = ident_id(*here)
        self._links(here, partial(_stated, [one for one in after if (one[0], one[1]) != here]))
        for peer in {(one[0], one[1]) for one in (*before, *after)} - {here}:
            kinds = sorted({one[2] for one in after if (one[0], one[1]) == peer})
            self._links(peer, partial(_named, ident, [*here, kinds] if kinds else None))

    def _links(self, name: Name, change: Callable[[Facts], object]) -> None:
        key = f"sym/{ident_id(*name)}"
        link = self._state.load(key) or {"n": list(name), "out": [], "in": {}}
        change(link)
        if link["out"] or link["in"]:
            self._state.store(key, link)
        else:
            self._state.delete(key)

    def _job(self, event: RunEvent) -> set[str]:
        if event.job is None:
            return set()
        ident = ident_id(event.job.namespace, event.job.name)
        before = self._state.load(f"job/{ident}")
        if before is not None and job_again(before, event):
            self._state.store(f"job/{ident}", before)
            return set()
        said_before = value_of(before.get("proc")) if before else None
        after, changed = self._put(f"job/{ident}", lambda old: add_job(old, event, self._blobs), job_index, set(), job_says)
        affected = {f"job/{ident}"} if changed else set()
        if said_before != value_of(after.get("proc")):
            prefix = f"jt/{ident}/"
            affected |= {f"run/{key[len(prefix) :].split('/', 1)[1]}" for key, _ in self._state.scan(prefix)}
        return affected

    def _run(self, event: RunEvent, names: dict[str, Name], moved: set[tuple[str, str]]) -> set[str]:
        if event.run_id is None:
            return set()
        owner = f"run/{event.run_id}"
        begun: set[tuple[str, str]] = set()  # (job id, time stamp) where a run of the job began or began no longer
        facts, changed = self._put(owner, lambda old: add_run(old, event, self._blobs), run_index, moved, begun=begun)
        names.update({ident: (entry["n"][0], entry["n"][1]) for ident, entry in facts["out"].items()})
        affected = {owner} if changed else set()
        for job, when in begun:  # who took data over from a run of this job that it does not name, until the next run
            prefix = f"jread/{job}/"
            if not self._state.between(prefix + when, prefix + ":", limit=1):
                continue
            later = self._state.between(f"jt/{job}/{when}0", f"jt/{job}/:", limit=1)
            high = f"{later[0][0][36:56]}0" if later else ":"
            affected |= {f"run/{key[57:]}" for key, _ in later}  # it may have taken over at a later attempt, when it is not behind itself
            affected |= {key[len(prefix) + len(when) + 1 :] for key, _ in self._state.between(prefix + when, prefix + high)}
        return affected

    def _namespaces(self, event: RunEvent, refs: Iterable[DatasetRef]) -> None:
        """Keep in which namespaces a dataset or a job was named, and when first; one that was seen stays."""
        names = {ref.namespace for ref in refs}
        for ref in refs:
            names |= {name[0] for name in (*(ref.column_sources or ()), *(ref.lineage_sources or ()), *(ref.symlinks or ()))}
        keys = {f"ns/d/{name}" for name in names} | ({f"ns/j/{event.job.namespace}"} if event.job else set())
        when = event.event_time or _UNKNOWN
        for key in keys:
            known = self._spaces.get(key)
            if known is None and (raw := self._state.get(key)) is not None:
                known = int(raw)
            if known is None or when < known:
                self._state.put(key, b"%d" % when)
                known = when
            self._spaces[key] = known

    def _put(
        self,
        key: str,
        join: Callable[[Facts | None], Facts],
        index: Callable[[Facts | None], dict[str, bytes]],
        moved: set[tuple[str, str]],
        says: Callable[[Facts], bytes] | None = None,
        *,
        begun: set[tuple[str, str]] | None = None,
    ) -> tuple[Facts, bool]:
        """Join into the facts under ``key`` and bring their index entries along; ``moved`` learns of versions.

        Returns:
            the facts, and whether the claims that follow from them can be others than before: with ``says``, whether what it gives
            changed (a facet that was said again is a newer fact, not another claim).
        """
        before = self._state.load(key)
        old, raw, said = index(before), b"", None
        if before is not None:
            raw, said = dump(before), says(before) if says is not None else None
        after = join(before)  # into the same object
        if before is not None and dump(after) == raw:
            return after, False
        self._state.store(key, after)
        entries = index(after)
        for gone in old.keys() - entries.keys():
            self._state.delete(gone)
        for name, value in entries.items():
            if name not in old:
                self._state.put(name, value)
        for name in old.keys() ^ entries.keys():
            if name.startswith("prod/"):
                _, ident, when, _ = name.split("/", 3)
                moved.add((ident, when))
            elif name.startswith("thr/"):  # what is read through it is another: all that read it before its first version
                moved.add((name.split("/", 3)[2], _FIRST))
            elif begun is not None and name.startswith("jt/"):
                begun.add((name[3:35], name[36:56]))
        return after, says is None or said != says(after)

    def _mentions(self, identity: Identity) -> set[str]:
        """Every owner whose claims name this dataset by any of its names, or read through to it, and the names themselves."""
        owners: set[str] = set()
        for one in self._over(identity):
            for member in one.members:
                prefix = f"men/{ident_id(*member)}/"
                owners |= {_owner(member), *(key[len(prefix) :] for key, _ in self._state.scan(prefix))}
        return owners

    def _over(self, identity: Identity) -> list[Identity]:
        """The dataset, and those that are read through to it in some steps: views of it, and what it was renamed to."""
        found, level = {identity.key: identity}, [identity]
        for _ in range(DEEPEST):
            fresh = {one.key: one for below in level for one in self._through(below) if one.key not in found}
            if not fresh:
                break
            found |= fresh
            level = [*fresh.values()]
        return list(found.values())

    def _through(self, identity: Identity) -> Iterator[Identity]:
        for member in identity.members:
            for _, raw in self._state.scan(f"thr/{ident_id(*member)}/"):
                yield self._context.identity(parse(raw))

    def _readers(self, identity: Identity, when: str) -> set[str]:
        """The owners that read the dataset, or through to it, from ``when`` until its next version, that version's time included."""
        owners: set[str] = set()
        for one in self._over(identity):
            prefixes = [f"read/{ident_id(*member)}/" for member in one.members]
            prefixes = [prefix for prefix in prefixes if self._state.between(prefix + when, prefix + ":", limit=1)]
            until, makers = self._context.next_version_after(one, when) if prefixes else (None, set())
            # A run of two attempts, or one that ended before it began, may have read after its own version: that hides none from it.
            owners |= {f"run/{run}" for run in makers}
            for prefix in prefixes:
                found = self._state.between(prefix + when, prefix + (until + "0" if until else ":"))
                owners |= {key[len(prefix) + len(when) + 1 :] for key, _ in found}
        return owners

    def _derive(self, affected: set[str], recorded_at: int) -> GraphDelta:
        changes = Changes(self._state, recorded_at)
        for owner in sorted(affected | {self._speaker(owner) for owner in affected if owner.startswith("ds/")}):
            changes.replace(self._claims(owner))
        return changes.delta()

    def _speaker(self, owner: str) -> str:
        """The owner that claims for a dataset under all its names, given any of them: the indexes name the one that was sent."""
        found = self._state.load(owner) or self._state.load("sym/" + owner[3:])
        if found is None:
            return owner
        identity = self._context.identity(found["n"])
        return _owner((identity.namespace, identity.name))

    def _claims(self, owner: str) -> Claims:
        """The claims that follow from an owner's facts; none where nothing is known of it."""
        kind = owner.split("/", 1)[0]
        facts = self._state.load(owner)
        if facts is None:
            link = self._state.load("sym/" + owner[3:]) if kind == "ds" else None
            return derive_dataset((link["n"][0], link["n"][1]), self._context) if link else Claims(owner)
        if kind == "run":
            return derive_run(facts, self._context)
        if kind == "job":
            return derive_job(facts, self._context)
        return derive_dataset((facts["n"][0], facts["n"][1]), self._context)


def _owner(name: Name) -> str:
    return f"ds/{ident_id(*name)}"


def _with_dataset(event: RunEvent, ref: DatasetRef, blobs: Blobs, old: Facts | None) -> Facts:
    return add_dataset(old, event, ref, blobs)


def _named(ident: str, named: list[Json] | None, link: Facts) -> None:
    """Note who calls a dataset another name of its own, or that it no longer does."""
    if named is None:
        link["in"].pop(ident, None)
    else:
        link["in"][ident] = named


def _stated(links: list[list[str]], link: Facts) -> None:
    link["out"] = links
