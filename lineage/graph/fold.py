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

from collections.abc import Callable, Iterable
from functools import partial

from lineage.graph.claims import Changes, Claims
from lineage.graph.context import Context, Identity
from lineage.graph.derive import derive_run
from lineage.graph.derive_static import derive_dataset, derive_job
from lineage.graph.facts import Facts, add_dataset, add_job, add_link, add_run, value_of
from lineage.graph.keys import ident_id
from lineage.graph.state import dataset_index, dump, job_index, load, parse, run_index
from lineage.model import DatasetRef, GraphDelta, Json, RunEvent
from lineage.ports import FoldState

__all__ = ["Fold"]

Name = tuple[str, str]

_UNKNOWN = 2**63 - 1
"""The first time of a namespace of which only events without a time spoke."""


class Fold:
    """Folds events into a graph whose facts lie in ``state``. Use it inside one transaction of the graph's store."""

    def __init__(self, state: FoldState) -> None:
        self._state = state
        self._context = Context(state)
        self._spaces: dict[str, int] = {}

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
        return self._derive(affected, recorded_at)

    def _datasets(self, event: RunEvent, refs: Iterable[DatasetRef], names: dict[str, Name], moved: set[tuple[str, str]]) -> set[str]:
        """Join what is said of datasets; returns the owners concerned."""
        linked = {name: [link[:2] for link in ref.symlinks] for ref in refs for name in [(ref.namespace, ref.name)]}
        involved = sorted({*linked, *(peer for peers in linked.values() for peer in peers)})
        before = {name: self._context.identity(name) for name in involved}
        affected: set[str] = set()
        for ref in refs:
            owner = _owner((ref.namespace, ref.name))
            known = before[ref.namespace, ref.name]
            alone = all(_owner(member) == owner or self._state.get(_owner(member)) is None for member in known.members)
            facts, changed = self._put(owner, partial(_with_dataset, event, ref), dataset_index, moved, _dataset_says if alone else None)
            if changed:
                affected |= {owner, _owner((known.namespace, known.name))}
            if (value_of(facts.get("kind")) == "MODEL") != known.model:
                self._context.forget()
            for *other, kind in ref.symlinks:
                here, there = (ref.namespace, ref.name), (other[0], other[1])
                if here != there:
                    self._link(here, there, None)
                    self._link(there, here, kind)
        for name in involved:
            after = self._context.identity(name)
            if after != before[name]:
                affected |= {_owner(name), _owner((after.namespace, after.name))} | self._mentions(after) | self._mentions(before[name])
        names.update({ident_id(*name): name for name in involved})
        return affected

    def _link(self, here: Name, there: Name, kind: str | None) -> None:
        key = f"sym/{ident_id(*here)}"
        raw = self._state.get(key)
        new = dump(add_link(load(self._state, key), here, there, kind))
        if raw != new:
            self._state.put(key, new)
            self._context.forget()

    def _job(self, event: RunEvent) -> set[str]:
        if event.job is None:
            return set()
        ident = ident_id(event.job.namespace, event.job.name)
        before = load(self._state, f"job/{ident}")
        after, changed = self._put(f"job/{ident}", lambda old: add_job(old, event), job_index, set(), _job_says)
        affected = {f"job/{ident}"} if changed else set()
        said = [facts.get("proc", [0, "", None])[2] if facts else None for facts in (before, after)]
        if said[0] != said[1]:
            prefix = f"jt/{ident}/"
            affected |= {f"run/{key[len(prefix) :].split('/', 1)[1]}" for key, _ in self._state.scan(prefix)}
        return affected

    def _run(self, event: RunEvent, names: dict[str, Name], moved: set[tuple[str, str]]) -> set[str]:
        if event.run_id is None:
            return set()
        owner = f"run/{event.run_id}"
        facts, changed = self._put(owner, lambda old: add_run(old, event), run_index, moved)
        names.update({ident: (entry["n"][0], entry["n"][1]) for ident, entry in facts["out"].items()})
        return {owner} if changed else set()

    def _namespaces(self, event: RunEvent, refs: Iterable[DatasetRef]) -> None:
        """Keep in which namespaces a dataset or a job was named, and when first; one that was seen stays."""
        names = {ref.namespace for ref in refs}
        for ref in refs:
            names |= {name[0] for name in (*(ref.column_sources or ()), *(ref.lineage_sources or ()), *ref.symlinks)}
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
    ) -> tuple[Facts, bool]:
        """Join into the facts under ``key`` and bring their index entries along; ``moved`` learns of versions.

        Returns:
            the facts, and whether the claims that follow from them can be others than before: with ``says``, whether what it gives
            changed (a facet that was said again is a newer fact, not another claim).
        """
        raw = self._state.get(key)
        before = None if raw is None else parse(raw)
        old = index(before)
        said = says(before) if says is not None and before is not None else None
        after = join(before)
        new = dump(after)
        if new == raw:
            return after, False
        self._state.put(key, new)
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
        return after, says is None or said != says(after)

    def _mentions(self, identity: Identity) -> set[str]:
        """Every owner whose claims name this dataset by any of its names, and the names themselves."""
        owners = {_owner(member) for member in identity.members}
        for member in identity.members:
            prefix = f"men/{ident_id(*member)}/"
            owners |= {key[len(prefix) :] for key, _ in self._state.scan(prefix)}
        return owners

    def _readers(self, identity: Identity, when: str) -> set[str]:
        """The owners that read the dataset from ``when`` until its next version, that version's own time included."""
        until = self._context.next_version_after(identity, when)
        owners: set[str] = set()
        for member in identity.members:
            prefix = f"read/{ident_id(*member)}/"
            high = prefix + (until + "0" if until else ":")
            found = self._state.between(prefix + when, high)
            owners |= {key[len(prefix) + len(when) + 1 :] for key, _ in found}
        return owners

    def _derive(self, affected: set[str], recorded_at: int) -> GraphDelta:
        changes = Changes(self._state, recorded_at)
        for owner in sorted(affected):
            changes.replace(self._claims(owner))
        return changes.delta()

    def _claims(self, owner: str) -> Claims:
        """The claims that follow from an owner's facts; none where nothing is known of it."""
        kind = owner.split("/", 1)[0]
        facts = load(self._state, owner)
        if facts is None:
            link = load(self._state, "sym/" + owner[3:]) if kind == "ds" else None
            return derive_dataset((link["n"][0], link["n"][1]), self._context) if link else Claims(owner)
        if kind == "run":
            return derive_run(facts, self._context)
        if kind == "job":
            return derive_job(facts, self._context)
        return derive_dataset((facts["n"][0], facts["n"][1]), self._context)


def _owner(name: Name) -> str:
    return f"ds/{ident_id(*name)}"


def _said(cells: Facts) -> dict[str, Json]:
    """The values in the cells, without when and by which event they were said."""
    return {name: found[2] for name, found in cells.items()}


def _dataset_says(facts: Facts) -> bytes:
    """All of a dataset's facts that its claims read, as long as one of its names has facts (those of several are compared by time)."""
    return dump([_said(facts["f"]), facts["v"], facts["w"], value_of(facts.get("kind"))])


def _job_says(facts: Facts) -> bytes:
    """All of a job's facts that its claims read."""
    return dump([_said(facts["f"]), value_of(facts.get("proc")), value_of(facts.get("io")), facts["w"]])


def _with_dataset(event: RunEvent, ref: DatasetRef, old: Facts | None) -> Facts:
    return add_dataset(old, event, ref)
