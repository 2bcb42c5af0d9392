"""What was erased after a backup was made, erased again in the restored home, before it serves anybody.

Rows are found in three ways, for a backup can hold more than there was when a person was erased: by the references in the index of the
backup; by the commitments of the rows that were erased then; and by the suppression list itself: the person of every row is put under the
suppression key and looked up, so that a row nobody knew of is found too, whatever became of the epoch keys.

What a suppression that was lifted means for a backup is decided by the place of both in the ledger. A backup from before the lift holds the
person only as they were before the erasure: all of it goes, by every way. One from after it may hold what they gave since: there only the
rows and predictions go that the request erased, which are told one by one.

Every step can be repeated: a replay that was cut off is begun again and finds what is done. What was held, or retained with a ground, is
left alone here as it was there.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from governance.erasure.erased import CARRIED, RESTORED, SHREDDED
from governance.erasure.rekey import Rekey
from governance.erasure.rotation import MADE
from governance.model import ErasureState as S
from governance.ports import PredictionStore
from governance.registry.acts import SYSTEM, act
from governance.registry.asked import FIRST_EPOCH
from governance.registry.datasets import Datasets
from governance.registry.deployments import Deployments
from governance.registry.find import bodies
from governance.registry.models import Models
from governance.registry.subject_keys import shared_rule
from lineage.errors import BadInput, NotFound, Tampered
from lineage.ledger.entries import canonical_json, parse_redaction
from lineage.model import LedgerEntry, PurgeReport
from lineage.ports import Clock, KeyStore, Ledger
from lineage.rows import living_epochs, suppression_refs

__all__ = ["Replay"]

_LEFT_ALONE = ("held", "retained", "kept")
_OFF = (S.REFUSED, S.WITHDRAWN, S.EXPIRED)
_UNDER_WAY = (S.APPROVED, S.PARTIALLY_APPROVED, S.SUPPRESSED, S.QUEUED, S.EXECUTING, S.VERIFYING)
_PAGE = 1000
_LIFTED = "govern.erasure.lifted"


class _Redacting(Ledger, Protocol):
    def redact(self, index: int, *, actor: str, reason: str, replacement: bytes | None = None) -> LedgerEntry | None: ...


class Replay:
    """Replays a list (:mod:`governance.erasure.erased`) in a restored home that nobody is served from yet.

    ``announce`` emits a purge as a run, so that the graph knows the version that it made.
    """

    def __init__(
        self,
        *,
        ledger: _Redacting,
        keys: KeyStore,
        clock: Clock,
        datasets: Datasets,
        predictions: PredictionStore,
        models: Models,
        deployments: Deployments,
        rekey: Rekey,
        announce: Callable[[str, PurgeReport], None],
    ) -> None:
        self._ledger = ledger
        self._keys = keys
        self._clock = clock
        self._datasets = datasets
        self._predictions = predictions
        self._models = models
        self._deployments = deployments
        self._rekey = rekey
        self._announce = announce

    def run(self, listed: Mapping[str, Any], *, backup: Mapping[str, Any]) -> dict[str, Any]:
        """Erase again, and enter how the ledger goes on.

        Args:
            listed: the opened statement of a list.
            backup: ``{backup, made_at, size, root}`` of what was restored.

        Returns:
            ``{entry, requests, rows, predictions, versions, withdrawn, redactions, rekeyed, keys_revoked, epochs_destroyed, fork}``;
            ``rows`` by dataset; ``rekeyed``: rows that were brought under the newest epoch, by dataset; ``redactions``: the entries that
            are redacted, of which the graph must be made anew; ``withdrawn``: versions of which nobody can say whether they rest on an
            erased row, out of service;
            ``fork``: ``None``, or which entries of the former ledger the restored one lacks.

        Raises:
            BadInput: the list is older than the backup. Tampered: it is of another ledger. NotFound: an epoch key is missing.
        """
        self._must_fit(listed, backup)
        self._must_have_epochs(listed)
        active = [one for one in listed["requests"] if one.get("approved") and one["state"] not in _OFF]
        self._carry_over(listed)
        held = self._held(listed, active)
        before = self._lifted_before(backup["size"])
        whole = [one for one in active if one["id"] not in before]
        told = {
            "requests": len(active),
            "redactions": self._redact(listed["redactions"], backup["size"]),
            "rows": self._rows(listed, active, whole, held),
            "predictions": self._forget(listed, active, whole, held),
        }
        told |= self._destroy(listed, active, held) | {"rekeyed": self._rekeyed()} | self._keys_again(listed)
        fork = self._fork(listed, backup)
        detail = {
            "backup": dict(backup),
            "list": {"digest": listed["digest"], "made_at": listed["made_at"]},
            "replayed": told,
            "fork": fork,
        }
        identity = f"restored:{backup['backup']}:{listed['digest']}"
        (entry,) = self._ledger.append([act(RESTORED.removeprefix("govern."), actor=SYSTEM, detail=detail, identity=identity)])
        return told | {"fork": fork, "entry": entry.index}

    # ── the ledger ──────────────────────────────────────────────────────────────────────────────
    def _must_fit(self, listed: Mapping[str, Any], backup: Mapping[str, Any]) -> None:
        if listed["size"] < backup["size"]:
            raise BadInput(
                f"the list was made at entry {listed['size']}, the backup at {backup['size']}: what was erased in between is not in it",
                hint="take a newer list: govern erasure export-suppression FILE",
            )
        for point in listed["checkpoints"]:
            if point["size"] <= backup["size"] and self._ledger.root(point["size"]).hex() != point["root"]:
                raise Tampered(
                    f"the list is of another history: its checkpoint over {point['size']} entries is not that of the backup",
                    hint="take the list of the ledger that was backed up",
                )
        parted = [entry for entry in self._ledger.entries(kind=RESTORED) if entry.index < backup["size"]]
        here = {(entry.index, entry.leaf.hex()) for entry in parted}
        if here != {(index, leaf) for index, leaf in listed["restorations"] if index < backup["size"]}:
            raise Tampered(
                "the list is of another history: one of backup and list was made after a restore that the other knows nothing of",
                hint="take the list of the ledger that was backed up",
            )

    def _must_have_epochs(self, listed: Mapping[str, Any]) -> None:
        """Every epoch key that was made and not destroyed; without one, rows and requests refer to persons whom nobody finds."""
        made = {FIRST_EPOCH, *listed.get("epochs_made", ()), *self._epochs(MADE)}
        missing = made - {*listed["epochs_destroyed"], *self._epochs(SHREDDED)} - set(self._keys.living("epoch-"))
        if missing:
            raise NotFound(
                f"the keys lack {', '.join(sorted(missing))}: persons are referred to under it, and none would be found",
                hint="copy its file from the newest copy of the folder `keys` into the restored home's, then run it again",
            )

    def _epochs(self, kind: str) -> set[str]:
        return {json.loads(entry.payload)["detail"]["epoch"] for entry in self._entries(kind) if entry.payload is not None}

    def _lifted_before(self, size: int) -> set[str]:
        """The requests whose suppression was lifted before the backup was made."""
        listed = [entry for entry in self._entries(_LIFTED) if entry.index < size and entry.payload is not None]
        return {json.loads(entry.payload or b"")["detail"]["request"] for entry in listed}

    def _entries(self, kind: str) -> Iterator[LedgerEntry]:
        start = 0
        while page := self._ledger.entries(start, _PAGE, kind):
            yield from page
            start = page[-1].index + 1

    @staticmethod
    def _fork(listed: Mapping[str, Any], backup: Mapping[str, Any]) -> dict[str, Any] | None:
        """What the former ledger had and this one has not: from here on they are two histories with the same beginning."""
        if listed["size"] == backup["size"]:
            return None
        last = listed["checkpoints"][-1]
        return {"common": backup["size"], "lost": listed["size"] - backup["size"], "former": {"size": last["size"], "root": last["root"]}}

    def _carry_over(self, listed: Mapping[str, Any]) -> None:
        """The requests and what must be known beside them, as control records."""
        for kind in CARRIED:
            self._set({(kind, str(body.get("id", body.get("ref")))): body for body in listed["records"].get(kind, ())})
        for digest, kept in listed["row_sets"].items():
            self._datasets.take_row_set(kept["dataset"], digest, [bytes.fromhex(item) for item in kept["commitments"]])
        for body in sorted(listed["requests"], key=lambda one: one["created_at"]):
            self._set({("erasure", body["id"]): self._as_restored(body)})
        stays = {one["ref"] for one in listed["records"].get("suppression", ())}
        gone = [("suppression", one["ref"]) for one in bodies(self._ledger, "suppression") if one["ref"] not in stays]
        if gone:  # withdrawn or lifted since the backup was made
            self._ledger.append([act("record.restored", actor=SYSTEM, drop=gone)])
        for epoch in sorted(set(listed.get("epochs_made", ())) - self._epochs(MADE)):
            self._ledger.append([act("epoch.made", actor=SYSTEM, detail={"epoch": epoch})])
        self._datasets.references.unsettle()

    def _set(self, records: Mapping[tuple[str, str], Mapping[str, Any]]) -> None:
        changed = {name: body for name, body in records.items() if (self._ledger.record(*name) or (None,))[0] != body}
        if changed:
            self._ledger.append([act("record.restored", actor=SYSTEM, records=changed)])

    def _as_restored(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """A request as it goes on here: work under way is queued again; a paper that was lost with the former home is not promised."""
        before = self._ledger.record("erasure", body["id"])
        if before is not None and before[0]["history"][-1].get("reason") == _AGAIN:
            return dict(before[0])  # a replay before this one was cut off
        changed = dict(body)
        if changed.get("report") and self._ledger.record("report", changed["report"]) is None:
            changed["report"] = None
        if changed["state"] in _UNDER_WAY and changed.get("approved"):
            step = {"state": S.QUEUED, "at": self._clock.now(), "actor": SYSTEM, "reason": _AGAIN}
            changed |= {"state": S.QUEUED, "round": changed["round"] + 1, "history": [*changed["history"], step]}
        return changed

    def _redact(self, said: Sequence[Mapping[str, Any]], size: int) -> list[int]:
        """Redact what was redacted; the entries, also those that a replay before this one, or the backup, had redacted."""
        found = [parse_redaction(canonical_json(dict(body))) for body in said]
        found = [one for one in found if one.index < size]
        for one in found:
            if self._ledger.entry(one.index).payload is not None:
                self._ledger.redact(one.index, actor=SYSTEM, reason=one.reason, replacement=one.replacement)
        return sorted({one.index for one in found})

    # ── what holds them ─────────────────────────────────────────────────────────────────────────
    @staticmethod
    def _held(listed: Mapping[str, Any], active: Sequence[Mapping[str, Any]]) -> dict[str, set[str]]:
        """Request (or ``""`` for all) → the assets that are left alone."""
        held: dict[str, set[str]] = defaultdict(set)
        held[""] = {hold["asset"] for hold in listed["records"].get("hold", ()) if hold["released_at"] is None}
        for request in active:
            # of predictions single ones are held, by their own ids
            left = [
                one for one in request["assets"] if one["status"] in _LEFT_ALONE and (one["kind"], one["status"]) != ("predictions", "held")
            ]
            held[request["id"]] = {asset["id"] for asset in left}
        return held

    def _rows(
        self,
        listed: Mapping[str, Any],
        active: Sequence[Mapping[str, Any]],
        whole: Sequence[Mapping[str, Any]],
        held: Mapping[str, set[str]],
    ) -> dict[str, int]:
        """Purge; dataset → how many rows were found to be erased. ``whole``: the requests under which everything of the person goes."""
        known = {one["id"] for one in whole}
        by_reference = {one["suppression_ref"]: one["id"] for one in whole}
        by_reference |= {one["ref"]: one["request"] for one in listed["records"].get("suppression", ()) if one["request"] in known}
        erased: dict[str, int] = defaultdict(int)
        for _ in range(len(active) + 1):  # of a row without one person another row stays, with somebody who may be erased as well
            if not self._purged(active, held, by_reference, self._found(listed, active, whole, by_reference), erased):
                break
        return dict(erased)

    def _found(
        self,
        listed: Mapping[str, Any],
        active: Sequence[Mapping[str, Any]],
        whole: Sequence[Mapping[str, Any]],
        by_reference: Mapping[str, str],
    ) -> dict[tuple[str, str], set[int]]:
        """(dataset, request) → rows that it erased, or would have."""
        found: dict[tuple[str, str], set[int]] = defaultdict(set)
        for request in whole:
            for dataset, rows in self._datasets.index.lookup(request["subject_refs"]).items():
                found[dataset, request["id"]].update(rows)
        committed = self._committed(listed, active)
        for dataset in self._datasets.names():
            wanted = committed.get(dataset, {})
            for row in self._all_rows(dataset) if wanted else ():
                erased_by = wanted.get(self._datasets.commitment(dataset, row))
                if erased_by is not None:
                    found[dataset, erased_by].add(row)
            for row, canonical in self._datasets.rows_where(dataset, lambda one: self._suppressed(one, by_reference) is not None):
                found[dataset, self._suppressed(canonical, by_reference) or ""].add(row)
        return found

    def _purged(
        self,
        active: Sequence[Mapping[str, Any]],
        held: Mapping[str, set[str]],
        by_reference: Mapping[str, str],
        found: Mapping[tuple[str, str], set[int]],
        erased: dict[str, int],
    ) -> bool:
        """Whether something stays of one of the rows that were purged."""
        redacted = False
        references = {request["id"]: request["subject_refs"] for request in active}
        for (dataset, by), ids in sorted(found.items()):
            whose = self._whose(references[by], frozenset(ref for ref, one in by_reference.items() if one == by))
            if f"dataset:{dataset}" in held[""] | held[by]:
                continue
            if shared_rule(self._datasets.record(dataset)).rule == "retain":
                ids = ids.difference(self._datasets.shared(dataset, sorted(ids), whose))  # noqa: PLW2901 - what is retained is not erased
            if ids:
                report = self._datasets.purge(dataset, sorted(ids), request=by, whose=whose)
                self._announce(by, report)
                erased[dataset] += len(ids)
                redacted |= bool(report.redacted)
        return redacted

    def _whose(self, references: Sequence[str], suppressed: frozenset[str]) -> Callable[[str], bool]:
        """Whether an identifier is that of a request's person, whose references may be of an epoch that is destroyed by now."""
        living = self._datasets.person(references)
        return lambda canonical: living(canonical) or not suppressed.isdisjoint(suppression_refs(self._keys, canonical))

    def _suppressed(self, canonical: str, requests: Mapping[str, str]) -> str | None:
        """The request under which a person is to be erased, told by the suppression key, which has no epochs."""
        return next((requests[ref] for ref in suppression_refs(self._keys, canonical) if ref in requests), None)

    def _all_rows(self, dataset: str) -> set[int]:
        return {row for info in self._datasets.infos(dataset) if not info.gone for row in self._datasets.row_ids(dataset, info.version)}

    @staticmethod
    def _committed(listed: Mapping[str, Any], active: Sequence[Mapping[str, Any]]) -> dict[str, dict[bytes, str]]:
        """Dataset → commitment of an erased row → the request that erased it."""
        answer: dict[str, dict[bytes, str]] = defaultdict(dict)
        for request in active:
            for asset in request["assets"]:
                kept = listed["row_sets"].get(asset["detail"].get("row_set"))
                for item in kept["commitments"] if kept else ():
                    answer[kept["dataset"]][bytes.fromhex(item)] = request["id"]
        return answer

    def _forget(
        self,
        listed: Mapping[str, Any],
        active: Sequence[Mapping[str, Any]],
        whole: Sequence[Mapping[str, Any]],
        held: Mapping[str, set[str]],
    ) -> int:
        """Erase prediction records and void the regression cases made of them; how many records."""
        erased: set[str] = set()
        everything = {one["id"] for one in whole}
        for request in active:
            wanted = set(listed["predictions"].get(request["id"], ()))
            if request["id"] in everything:
                wanted.update(self._predictions.by_subject(request["subject_refs"]))
            kept = held[""] | held[request["id"]]
            wanted = {ident for ident in wanted if f"prediction:{ident}" not in kept and "predictions" not in held[request["id"]]}
            if wanted:
                self._predictions.forget(sorted(wanted), request=request["id"])
                erased |= wanted
        void = set(listed["cases"])
        for case in bodies(self._ledger, "case"):
            if case["void"] is None and (case["id"] in void or case["prediction"] in erased):
                self._ledger.append([act("case.void", actor=SYSTEM, records={("case", case["id"]): case | {"void": "restored"}})])
        return len(erased)

    def _destroy(self, listed: Mapping[str, Any], active: Sequence[Mapping[str, Any]], held: Mapping[str, set[str]]) -> dict[str, Any]:
        """Destroy the versions that were destroyed then, and every other that rests on a row erased since."""
        destroyed = {(one["model"], one["run_id"]): one["destroyed_by"] for one in listed["versions"]}
        committed = self._committed(listed, active)
        gone: list[str] = []
        withdrawn: list[str] = []
        for body in self._models.all_versions():
            name = f"{body['model']}@{body['version']}"
            if body["destroyed_at"] is not None or {f"model:{name}", f"model:{body['model']}"} & held[""]:
                continue
            by = destroyed.get((body["model"], body["run_id"]))
            certain = True
            if by is None:
                by, certain = self._rests_on(body, committed)
            if by is None or f"model:{name}" in held.get(by, set()):
                continue
            self._deployments.withdraw(body["model"], body["version"], reason=f"restored from a backup: erasure {by}")
            if certain:
                self._models.destroy(body["model"], body["version"], request=by)
            (gone if certain else withdrawn).append(name)
        return {"versions": gone, "withdrawn": withdrawn}

    def _rests_on(self, body: Mapping[str, Any], committed: Mapping[str, Mapping[bytes, str]]) -> tuple[str | None, bool]:
        """The request that erased a row of the version's training data, and whether that is certain."""
        for given in body["spec"]["inputs"]:
            wanted = committed.get(given["dataset"])
            if given["role"] == "test" or not wanted:
                continue
            try:
                met = next((wanted[item] for item in self._datasets.commitments(given["row_set"]) if item in wanted), None)
            except NotFound:
                return next(iter(wanted.values())), False
            if met is not None:
                return met, True
        return None, True

    def _rekeyed(self) -> dict[str, int]:
        """Bring rows and predictions under the newest epoch while the older keys still live; what no key is left for is indexed anew."""
        if living_epochs(self._keys)[0] == FIRST_EPOCH:
            return {}
        told = {name: self._rekey.dataset(name) for name in self._datasets.names()}
        return {name: int(one["moved"]) for name, one in told.items() if one["moved"]}

    # ── keys ────────────────────────────────────────────────────────────────────────────────────
    def _keys_again(self, listed: Mapping[str, Any]) -> dict[str, Any]:
        """Revoke the API keys that were revoked since, destroy the epoch keys that were destroyed since."""
        revoked, now = [], self._clock.now()
        for ident in listed["keys_revoked"]:
            found = self._ledger.record("key", ident)
            if found is not None and found[0]["revoked_at"] is None:
                records = {("key", ident): found[0] | {"revoked_at": now}}
                self._ledger.append([act("key.revoked", actor=SYSTEM, records=records)])
                revoked.append(ident)
        destroyed = []
        for name in listed["epochs_destroyed"]:
            said = act("epoch.destroyed", actor=SYSTEM, detail={"epoch": name}, identity=f"epoch-destroyed:{name}")
            self._ledger.append([said])
            if name in self._keys.living("epoch-"):
                self._predictions.unlink(name)
                self._keys.destroy(name)
                destroyed.append(name)
        return {"keys_revoked": revoked, "epochs_destroyed": destroyed}


_AGAIN = "restored from a backup: begun again"
