"""Search everything for a subject's rows: datasets by the index, models by their committed row sets, records, cases, the graph."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

from governance.erasure.descent import Descent, Versions, descend
from governance.erasure.reach import Reach
from governance.plan import ForeignReach, Scope, SharedRows, VersionFacts
from governance.ports import PredictionStore
from governance.registry.datasets import Datasets
from governance.registry.deployments import Deployments
from governance.registry.find import bodies, must_find
from governance.registry.models import Models, spec_from_json
from governance.registry.references import steady
from governance.registry.subject_keys import shared_rule
from lineage.errors import NotFound
from lineage.model import SubjectRows
from lineage.ports import Ledger

__all__ = ["ScopeFiles", "Searcher", "suppressed_rows"]


def suppressed_rows(ledger: Ledger, datasets: Datasets, version: Mapping[str, Any]) -> int:
    """How many of a version's committed training rows were those of a subject whose erasure was approved.

    The rows themselves may be purged and their ids forgotten, so commitments are compared: those of the version's row sets with those of
    the rows that each request froze. A request whose commitments are not kept here still says how many rows it found in the version.
    """
    rows: dict[str, set[bytes]] = {}
    counted: dict[str, int] = {}
    name = f"model:{version['model']}@{version['version']}"
    for request in bodies(ledger, "erasure"):
        if not request.get("approved"):
            continue
        for asset in request["assets"]:
            digest = asset["detail"].get("row_set")
            if asset["kind"] == "dataset" and digest:
                try:
                    rows.setdefault(asset["detail"]["dataset"], set()).update(datasets.commitments(digest))
                except NotFound:
                    counted |= {request["id"]: next((item["found"] for item in request["assets"] if item["id"] == name), 0)}
    met: set[tuple[str, bytes]] = set()
    for given in version["spec"]["inputs"]:
        wanted = rows.get(given["dataset"])
        if given["role"] != "test" and wanted:
            met |= {(given["dataset"], item) for item in wanted.intersection(datasets.commitments(given["row_set"]))}
    return len(met) + sum(counted.values())


class ScopeFiles:
    """The frozen row ids of a running request, one private file each; removed when the request is over.

    They are not in the ledger, because a row id can tell who a person is where it follows from the source (a line number).
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, request: str, body: Mapping[str, Any]) -> None:
        """Replace the file, durably."""
        path = self._folder / f"{request}.json"
        scratch = path.with_suffix(".tmp")
        scratch.touch(mode=0o600)
        with scratch.open("w") as file:
            json.dump(body, file)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)

    def read(self, request: str) -> dict[str, Any] | None:
        """What was frozen, or ``None``."""
        path = self._folder / f"{request}.json"
        return json.loads(path.read_text()) if path.exists() else None

    def remove(self, request: str) -> None:
        """Forget it."""
        (self._folder / f"{request}.json").unlink(missing_ok=True)


class Searcher:
    """Finds what holds a subject.

    ``foreign`` asks the graph what lies downstream, and cannot be opened here, of versions of datasets: those that hold the rows, or held
    them before they were purged. ``reached`` asks it for the versions of our own datasets downstream of versions.
    """

    def __init__(
        self,
        ledger: Ledger,
        datasets: Datasets,
        models: Models,
        deployments: Deployments,
        predictions: PredictionStore,
        *,
        foreign: Callable[[Mapping[str, Sequence[str]]], Sequence[ForeignReach]],
        reached: Callable[[Versions], Versions],
    ) -> None:
        self._ledger = ledger
        self._datasets = datasets
        self._models = models
        self._reach = Reach(models, deployments)
        self._predictions = predictions
        self._foreign = foreign
        self._reached = reached

    def search_for(self, record: Mapping[str, Any], *, frozen: Mapping[str, Any] | None = None) -> tuple[Scope, dict[str, Any]]:
        """The search of a request: for what its order names, or for its person, under every reference that it knows when this ends."""
        if record.get("order"):
            return self.search_order(record["order"], frozen=frozen)
        return steady(lambda: self._references(record["id"]), lambda references: self.search(references, frozen=frozen))

    def must_have(self, order: Mapping[str, Any]) -> None:
        """Nothing, where the dataset and version of an order are here; ``NotFound`` otherwise."""
        if order["version"] is None:
            self._datasets.record(order["dataset"])
        else:
            self._datasets.version(order["dataset"], order["version"])

    def search_order(self, order: Mapping[str, Any], *, frozen: Mapping[str, Any] | None = None) -> tuple[Scope, dict[str, Any]]:
        """What descends from the dataset of an order now, together with what was frozen before (:mod:`governance.erasure.descent`).

        Returns:
            the scope, and what was searched: ``{datasets, indexes, models, order}``.
        """
        self.must_have(order)
        names = self._datasets.names()
        for name in names:
            self._datasets.refresh(name)
        found = descend(self._datasets, self._reached, dataset=order["dataset"], version=order["version"], frozen=frozen)
        rows = {name: tuple(sorted(found.rows.get(name, ()))) for name in sorted({*names, *found.rows})}
        holding = {name: sorted(listed) for name, listed in sorted(found.versions.items()) if listed}
        left = {name: self._left(name, found.rows.get(name, set())) for name in names}
        live = self._reach.live()
        versions = tuple(self._ordered(body, found, left, order, live) for body in self._models.all_versions())
        scope = Scope(
            rows=rows,
            row_sets={name: self._datasets.row_set_of(name, ids)["digest"] for name, ids in rows.items() if ids},
            predictions=None,
            cases=(),
            versions=versions,
            foreign=tuple(self._foreign(holding)),
        )
        searched = {
            "datasets": {name: len(self._datasets.infos(name)) for name in names},
            "indexes": ["rows"],
            "models": len(versions),
            "unknown": sorted(found.unknown),
            "scope": {
                "rows": {name: list(ids) for name, ids in rows.items() if ids},
                "versions": holding,
                "reached": {name: sorted(listed) for name, listed in sorted(found.reached.items())},
                "predictions": [],
            },
        }
        return scope, searched

    def _left(self, name: str, rows: AbstractSet[int]) -> bool:
        """Whether the latest version of a dataset keeps a row when these are purged."""
        infos = self._datasets.infos(name)
        if not infos or infos[-1].gone:
            return False
        return bool(set(self._datasets.row_ids(name, infos[-1].version)) - rows)

    def _ordered(
        self,
        version: Mapping[str, Any],
        found: Descent,
        left: Mapping[str, bool],
        order: Mapping[str, Any],
        live: Mapping[tuple[str, int], Sequence[str]],
    ) -> VersionFacts:
        """A model version against the commitments of an order. It is retired where an input would be left without rows to train on."""
        hits: dict[str, int] = {}
        unknown: list[str] = []
        for given in version["spec"]["inputs"]:
            if given["role"] == "test":
                continue
            name = f"{given['dataset']}@{given['version']}"
            wanted = found.commitments.get(given["dataset"], set())
            try:
                hits[name] = len(wanted.intersection(self._datasets.commitments(given["row_set"]))) if wanted else 0
            except NotFound:
                unknown.append(name)
                continue
            if not hits[name] and any(one.rpartition("@")[0] == given["dataset"] for one in found.unknown):
                unknown.append(name)  # rows were purged of which nothing is kept: the model may rest on them
        alone = any(hits.get(f"{one['dataset']}@{one['version']}") and not left.get(one["dataset"]) for one in version["spec"]["inputs"])
        return VersionFacts(
            model=version["model"],
            version=version["version"],
            hits=hits,
            environments=tuple(live.get((version["model"], version["version"]), ())),
            destroyed=version["destroyed_at"] is not None,
            spec=spec_from_json(version["spec"]),
            unknown=tuple(unknown),
            retire=order["models"] == "retire" or alone,
        )

    def search(self, subject_refs: Sequence[str], *, frozen: Mapping[str, Any] | None = None) -> tuple[Scope, dict[str, Any]]:
        """What holds the subject now, together with what was frozen before (a purge that was interrupted has unlinked some already).

        Returns:
            the scope, and what was searched: ``{datasets, indexes, predictions, models, versions}``.
        """
        return self.look(subject_refs, frozen=frozen)[:2]

    def look(
        self, subject_refs: Sequence[str], *, frozen: Mapping[str, Any] | None = None
    ) -> tuple[Scope, dict[str, Any], Mapping[str, SubjectRows]]:
        """:meth:`search`, and what the index itself says of the references: dataset → rows, and the versions that hold one of them."""
        names = self._datasets.names()
        for name in names:  # a changed landing file is scanned before it is searched
            self._datasets.refresh(name)
        known = {one.dataset: one for one in self._datasets.index.find(list(subject_refs))}
        found = {name: one.rows for name, one in known.items()}
        before = (frozen or {}).get("rows", {})
        rows = {name: tuple(sorted({*found.get(name, ()), *before.get(name, ())})) for name in sorted({*names, *before})}
        shared = {name: self._shared(name, ids, subject_refs, frozen or {}) for name, ids in rows.items() if ids and name in names}
        kept = {name: one for name, one in shared.items() if one is not None and one.rule == "retain"}
        rows |= {name: tuple(sorted({*rows[name]}.difference(one.rows))) for name, one in kept.items()}
        versions_of = (frozen or {}).get("versions", {})
        holding = {
            name: sorted({*self._holding(name, ids, known.get(name)), *versions_of.get(name, ())}) for name, ids in rows.items() if ids
        }
        predictions = sorted({*self._predictions.by_subject(list(subject_refs)), *(frozen or {}).get("predictions", ())})
        cases = tuple(
            sorted(body["id"] for body in bodies(self._ledger, "case") if body["prediction"] in predictions and body.get("void") is None)
        )
        versions = self._reach.facts(_Counted(self._datasets, rows))
        scope = Scope(
            rows=rows,
            row_sets={name: self._datasets.row_set_of(name, ids)["digest"] for name, ids in rows.items() if ids},
            predictions=len(predictions),
            cases=cases,
            versions=versions,
            foreign=tuple(self._foreign(holding)),
            shared={name: one for name, one in shared.items() if one is not None},
        )
        searched = {
            "datasets": {name: len(self._datasets.infos(name)) for name in names},
            "indexes": ["rows", "predictions"],
            "predictions": self._predictions.count(),
            "models": len(versions),
            "scope": {
                "rows": {name: list(ids) for name, ids in rows.items() if ids},
                "versions": holding,
                "predictions": predictions,
                "shared": {name: list(one.rows) for name, one in shared.items() if one is not None},
                "redacted": (frozen or {}).get("redacted", {}),
            },
        }
        return scope, searched, known

    def elsewhere(self, frozen: Mapping[str, Any] | None) -> Sequence[ForeignReach]:
        """What lies downstream of a frozen scope's dataset versions and cannot be opened here."""
        versions = (frozen or {}).get("versions", {})
        return tuple(self._foreign(versions)) if versions else ()

    def located(self, request: str) -> dict[str, list[int]]:
        """Dataset → the rows of the request's person that the index knows now."""
        return steady(lambda: self._references(request), self._datasets.index.lookup)

    def _references(self, request: str) -> list[str]:
        return list(must_find(self._ledger, "erasure", request, what="erasure request")["subject_refs"])

    def _holding(self, name: str, ids: Sequence[int], known: SubjectRows | None) -> Sequence[str]:
        """The versions that hold one of the rows: as they were found with the rows, unless other rows are asked for."""
        same = known is not None and known.rows == tuple(ids)
        return known.versions if known is not None and same else self._datasets.index.versions_with(name, list(ids))

    def _shared(self, name: str, ids: Sequence[int], subject_refs: Sequence[str], frozen: Mapping[str, Any]) -> SharedRows | None:
        """The rows that are about somebody else too, those included that were frozen and are purged."""
        rule = shared_rule(self._datasets.record(name))
        found = self._datasets.shared(name, ids, self._datasets.person(subject_refs))
        rows = tuple(sorted({*found, *(row for row in frozen.get("shared", {}).get(name, ()) if row in ids)}))
        return SharedRows(rule=rule.rule, ground=rule.ground, rows=rows) if rows else None


class _Counted:
    """How many of the rows a row set holds, told by commitments: the rows themselves may be purged."""

    def __init__(self, datasets: Datasets, rows: Mapping[str, Sequence[int]]) -> None:
        self._datasets = datasets
        self._rows = rows
        self._wanted: dict[str, Sequence[bytes]] = {}

    def __call__(self, dataset: str, row_set: str) -> int | None:
        """``None`` where the commitments are not kept here."""
        rows = self._rows.get(dataset)
        if not rows:
            return 0
        if dataset not in self._wanted:
            self._wanted[dataset] = self._datasets.commitments_of(dataset, rows)
        try:
            return self._datasets.committed_among(row_set, self._wanted[dataset])
        except NotFound:
            return None
