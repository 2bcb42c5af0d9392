"""From an order to its certificate: what descended from a dataset, what was done with each of it, and what remains (disgorgement)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from governance.dossier.facts import at, computed, declared, gap, items, mapping, plural, short, text, when, whole
from governance.dossier.levels import AssetLevel, asset_levels, headline
from governance.dossier.meaning import levels_section
from governance.dossier.owners import owner_blocks, owner_tasks
from governance.dossier.proofs import frozen_rows, proof_files_table, successors_data
from reports.model import Block, Dossier, Facts, Note, Section, Table

__all__ = ["KIND", "disgorgement_certificate"]

KIND = "disgorgement-certificate"
_LIMITS = (
    "What descends from the dataset is what events and row ids show. A copy or a model that was never reported to Govern is not covered.",
    "A dataset that was made from it counts with all its rows, whether or not each of them rests on it.",
    "Records of predictions that the models made are not part of this paper; neither are decisions that people took by them.",
    "The levels describe what Govern did and checked in the stores it knows. They are no evidence against an operator of the machine.",
    "Level L1 ends above the file system: what a disk, a snapshot of a volume or a backup still holds is stated under “What remains”.",
)
_DONE = {"completed", "completed_partial"}
_MOST = 200


def disgorgement_certificate(request: Mapping[str, Any], *, now: int, installation: str, generator: str = "Govern") -> Dossier:
    """The certificate on one order, at any moment of its life; a missing key is a printed gap.

    Args:
        request: the request as the API gives it, with its ``order``.
        now: UTC nanoseconds; the paper's date.
        installation: whose ledger it rests on.
        generator: name and version of what made it.
    """
    order = mapping(request.get("order"))
    levels = asset_levels(request)
    verdict, tone = _verdict(request, levels)
    dataset = text(order.get("dataset")) or "a dataset that is not named"
    version = text(order.get("version"))
    name = f"{dataset}@{version}" if version else dataset
    return Dossier(
        kind=KIND,
        title=f"Disgorgement of {name} and of all that descends from it",
        subject=text(request.get("id")) or "an order that is not named",
        verdict=verdict,
        tone=tone,
        as_of=now,
        installation=installation,
        generator=generator,
        sections=(
            Section(title="The order", blocks=(_order(request, order, name),)),
            Section(title="What was searched, and what descends from it", blocks=_searched(request, levels)),
            Section(title="What was done, and to which level", blocks=_done(request, levels)),
            Section(title="Models that were trained again", blocks=_successors(request)),
            Section(title="What remains", blocks=_remains(request, levels)),
            Section(title="Who was told", blocks=_told(request)),
            levels_section(),
            Section(title="History", blocks=_history(request)),
        ),
        limits=_LIMITS,
        data=_data(request, order, levels),
    )


def _verdict(request: Mapping[str, Any], levels: Sequence[AssetLevel]) -> tuple[str, str]:
    state = text(request.get("state")) or "not recorded"
    if state not in _DONE:
        bad = state in {"failed", "refused", "withdrawn"}
        return f"The order is not carried out: the request is {state.replace('_', ' ')}.", "bad" if bad else "warn"
    counted = [asset for asset in levels if asset.counts]
    kept = sum(asset.word in {"retained", "held"} for asset in levels)
    tail = f" {plural(kept, 'asset was', 'assets were')} retained or held, with the ground beside each." if kept else ""
    if not counted:
        return f"Nothing that descends from it was found to be erased.{tail}", "warn" if kept else "good"
    lowest = headline(levels)
    if lowest is None:
        open_ = sum(asset.level is None for asset in counted)
        return f"No level over the whole can be stated: {plural(open_, 'asset has', 'assets have')} none (see section 3).{tail}", "warn"
    tone = "good" if lowest >= 1 and not kept and state == "completed" else "warn"
    return f"Erased at level L{lowest}, the lowest over {plural(len(counted), 'asset')} that descended from it.{tail}", tone


def _order(request: Mapping[str, Any], order: Mapping[str, Any], name: str) -> Facts:
    closed = next((whole(step.get("at")) for step in reversed(_steps(request)) if step.get("state") in _DONE), None)
    due = whole(request.get("due_at"))
    retire = order.get("models") == "retire"
    done = [
        computed("Request", text(request.get("id")), "ledger"),
        computed("State", (text(request.get("state")) or "").replace("_", " ") or None, "ledger"),
        computed("Dataset", name, "one of its versions" if order.get("version") else "all its versions"),
        declared("Order", text(order.get("reference")), "stated by who entered it"),
        declared("Ground", text(order.get("ground")), "stated by who entered it"),
        computed("Models in service", "retired" if retire else "trained again where rows are left to train on, else retired", "the order"),
        declared("Entered", short(text(request.get("requested_by"))), when(request.get("created_at")) or "the time is not recorded"),
        declared("Approved", short(text(at(request, "approved", "by"))) if at(request, "approved", "by") else None,
                 when(at(request, "approved", "at")) or "the time is not recorded", missing="not approved, or nobody recorded by whom"),
        computed("Scope frozen as", text(at(request, "plan", "digest")), "digest of the plan, before the first destructive step"),
        computed("Due", when(due), "the day that the order states"),
        computed("Carried out", when(closed), "ledger", missing="it is not over"),
    ]  # fmt: skip
    if closed is not None and due is not None:
        done.append(computed("In time", closed <= due, "carried out compared with due"))
    return Facts(items=tuple(done))


def _steps(request: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [mapping(step) for step in items(request.get("history"))]


def _searched(request: Mapping[str, Any], levels: Sequence[AssetLevel]) -> tuple[Block, ...]:
    searched = mapping(request.get("searched"))
    unknown = [text(one) or "—" for one in items(searched.get("unknown"))]
    extent = Facts(
        items=(
            computed("Datasets searched", len(mapping(searched.get("datasets"))) or None, "scope", missing="not recorded"),
            computed("Model versions considered", whole(searched.get("models")), "scope", missing="not recorded"),
            gap("Versions of which nothing is kept", ", ".join(unknown))
            if unknown
            else computed("Versions of which nothing is kept", 0, "each version’s rows, or their commitments, are here"),
        )
    )
    rows = tuple((one.id, one.kind.replace("_", " "), one.found, "nothing to do" if one.action == "none" else one.action) for one in levels)
    caption = "Every place that was searched, those without a find included. “Found” counts rows."
    table = Table(columns=("Asset", "Kind", "Found", "Planned"), rows=rows[:_MOST], caption=caption, total=len(rows))
    negatives = sum(one.word == "nothing found" for one in levels)
    return (extent, table, Note(text=f"In {plural(negatives, 'place')} of {len(levels)} nothing was found.", tone="plain"))


def _done(request: Mapping[str, Any], levels: Sequence[AssetLevel]) -> tuple[Block, ...]:
    lowest = headline(levels)
    missing = ", ".join(f"{one.id} ({one.word})" for one in levels if one.counts and one.level is None) or "nothing was erased"
    whole_level = computed(
        "Level of the whole", None if lowest is None else f"L{lowest}", "the lowest over what held rows", missing=missing
    )
    rows = tuple((one.id, one.status, one.word, one.reason or "—") for one in levels if one.word != "nothing found")
    shown = Table(columns=("Asset", "Status", "Level", "Reason"), rows=rows[:_MOST], caption="What descends from it.", total=len(rows))
    purged = []
    for asset in map(mapping, items(request.get("assets"))):
        detail = mapping(asset.get("detail"))
        if asset.get("kind") == "dataset" and asset.get("status") == "done" and detail:
            removed = ", ".join(short(at(one, "version") or one) for one in items(detail.get("versions_removed"))[:12]) or "none"
            counts = [whole(detail.get(name)) for name in ("rows_deleted", "files_scanned", "residual_rows")]
            purged.append((text(detail.get("dataset")) or "—", counts[0], removed, short(detail.get("new_version")), counts[1], counts[2]))
    columns = ("Dataset", "Rows deleted", "Versions removed", "New version", "Files decoded", "Rows still found")
    return (Facts(items=(whole_level,)), shown, *((Table(columns=columns, rows=tuple(purged), caption="The purges."),) if purged else ()))


def _successors(request: Mapping[str, Any]) -> tuple[Block, ...]:
    listed = [mapping(one) for one in items(request.get("successors"))]
    if not listed:
        return (Note(text="No model was trained again.", tone="plain"),)
    rows = tuple(
        (
            f"{text(one.get('model'))}@{text(one.get('version'))}",
            f"{text(one.get('model'))}@{text(one.get('predecessor'))}",
            short(at(one, "row_set", "digest")),
            _said(one.get("excluded"), "none of them", "some of them", "not shown"),
            _said(one.get("reproduced"), "yes", "no", "not tried"),
            text(at(one, "decision", "outcome")) or "not recorded",
            "yes" if one.get("predecessor_destroyed") else "no",
        )
        for one in listed[:_MOST]
    )
    columns = ("Successor", "In place of", "Row set", "Holds the rows", "Reproduced", "Gate", "Predecessor destroyed")
    caption = "“None of them” rests on a proof of non-membership for each row of the dataset, by both neighbours in the sorted commitments."
    return (Table(columns=columns, rows=rows, caption=caption, total=len(listed)), *proof_files_table(request))


def _said(value: object, yes: str, no: str, unknown: str) -> str:
    """Three words for three values: what is not known is never a no, and never a yes."""
    return yes if value is True else no if value is False else unknown


def _remains(request: Mapping[str, Any], levels: Sequence[AssetLevel]) -> tuple[Block, ...]:
    backups = Facts(items=(declared("Backups", text(request.get("backups")), "stated by the operator", missing="nobody stated it"),))
    kept = tuple(
        (one.id, one.found, one.word, one.reason or "no ground is recorded")
        for one in levels
        if one.word in {"retained", "held", "not reachable"}
    )
    if not kept:
        return (backups,)
    return (backups, Table(columns=("Asset", "Found", "Is", "Ground or reason"), rows=kept[:_MOST], caption="What still rests on it."))


def _told(request: Mapping[str, Any]) -> tuple[Block, ...]:
    notices = [mapping(one) for one in items(request.get("recipients"))]
    if not notices:
        return (Note(text="No recipient is declared for what was erased.", tone="plain"), *owner_blocks(request))
    rows = tuple(
        (text(one.get("name")) or "—", text(one.get("asset")) or "—", (text(one.get("state")) or "—").replace("_", " "),
         when(one.get("told_at")) or "—")
        for one in notices[:_MOST]
    )  # fmt: skip
    return (Table(columns=("Recipient", "Asset", "State", "Told"), rows=rows, total=len(notices)), *owner_blocks(request))


def _history(request: Mapping[str, Any]) -> tuple[Block, ...]:
    rows = tuple(
        (when(step.get("at")) or "—", (text(step.get("state")) or "—").replace("_", " "), short(text(step.get("actor"))),
         text(step.get("reason")) or "—")
        for step in _steps(request)[:_MOST]
    )  # fmt: skip
    return (Table(columns=("When", "State", "By", "Reason"), rows=rows, caption="Steps of the request, from the ledger."),)


def _data(request: Mapping[str, Any], order: Mapping[str, Any], levels: Sequence[AssetLevel]) -> dict[str, Any]:
    """The machine-readable twin; named keys only. Its claims are checked like those of an erasure certificate."""
    lowest = headline(levels)
    details = {str(asset.get("id")): mapping(asset.get("detail")) for asset in map(mapping, items(request.get("assets")))}
    return {
        "request": text(request.get("id")),
        "order": {name: order.get(name) for name in ("dataset", "version", "reference", "models", "due_at")},
        "state": text(request.get("state")),
        "level": None if lowest is None else f"L{lowest}",
        "plan": text(at(request, "plan", "digest")),
        "assets": [
            {"id": one.id, "kind": one.kind, "found": one.found, "status": one.status, "level": one.word, "reason": one.reason}
            | frozen_rows(one, details.get(one.id, {}))
            for one in levels
        ],
        "successors": successors_data(request),
        "tasks": owner_tasks(request),
        "backups": text(request.get("backups")),
    }
