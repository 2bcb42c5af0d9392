"""From an erasure request to its certificate: what was searched, what was done, to which level, and what remains.

The certificate never says "proven" or "compliant". It names the lowest level over what was not retained, prints what was retained with its
ground, and prints as gaps what nobody recorded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from governance.dossier.copies import copies_blocks, copies_data
from governance.dossier.facts import at, computed, declared, gap, items, mapping, plural, short, text, when, whole
from governance.dossier.law import law_data, law_facts, law_rows
from governance.dossier.levels import AssetLevel, asset_levels, headline
from governance.dossier.meaning import levels_section
from governance.dossier.owners import owner_blocks, owner_tasks
from governance.dossier.proofs import frozen_rows, proof_files_table, successors_data
from governance.dossier.shared import shared_facts, shared_table
from reports.model import Basis, Block, Dossier, Fact, Facts, Note, Section, Table

__all__ = ["erasure_certificate"]

_LIMITS = (
    "The levels describe what Govern did and checked in the stores it knows. A copy that was never registered with Govern is not covered.",
    "They are not proof against an operator who controls the machine; a third party would have to repeat the run for that.",
    "Level L1 ends above the file system: what a disk, a snapshot of a volume or a backup still holds is stated under “What remains”.",
    "A model that excludes the rows was trained without them. It may still tell about people by what other rows have in common with them.",
    "A membership test, where one is attached, is a signal and no proof. Approximate unlearning is never called erasure here.",
)
_DONE = {"completed", "completed_partial"}
_REFUSED = {"refused", "withdrawn", "expired"}
_MOST = 200


def erasure_certificate(request: Mapping[str, Any], *, now: int, installation: str, generator: str = "Govern") -> Dossier:
    """The certificate on one erasure request, at any moment of its life.

    Args:
        request: the request as the API gives it; any key may be missing and is then a printed gap.
        now: UTC nanoseconds; the paper's date.
        installation: whose ledger it rests on.
        generator: name and version of what made it.
    """
    kind = text(request.get("subject_type")) or "person"
    levels = asset_levels(request)
    verdict, tone = _verdict(request, levels)
    sections = [
        Section(title="The request", blocks=(_request(request, kind),)),
        Section(title="What was searched, and what was found", blocks=_searched(request, levels)),
        Section(title="What was done, and to which level", blocks=_done(request, levels, kind)),
        Section(title="Models", blocks=_successors(request)),
        Section(title="What remains", blocks=_remains(request, levels)),
        Section(title="Who was told", blocks=(*_recipients(request), *owner_blocks(request))),
        levels_section(),
        Section(title="What this paper is evidence for", blocks=_law(request)),
        Section(title="History", blocks=_history(request, kind)),
    ]
    return Dossier(
        kind="erasure-certificate",
        title=f"Erasure of the data of one {kind}",
        subject=text(request.get("id")) or "a request that is not named",
        verdict=verdict,
        tone=tone,
        as_of=now,
        installation=installation,
        generator=generator,
        sections=tuple(sections),
        limits=_LIMITS,
        data=_data(request, levels),
    )


# ── the verdict ─────────────────────────────────────────────────────────────────────────────────
def _verdict(request: Mapping[str, Any], levels: Sequence[AssetLevel]) -> tuple[str, str]:
    state = text(request.get("state")) or "not recorded"
    if state in _REFUSED:
        return f"The request was {state}. Nothing was erased under it.", "plain"
    if state == "failed":
        return "The erasure failed. It is not certified; what was done so far is listed asset by asset.", "bad"
    if state == "awaiting_decision":
        return "The data were purged; the successor model failed its gate and a person must decide. The erasure is not finished.", "warn"
    if state not in _DONE:
        return f"The erasure is not finished: the request is {state.replace('_', ' ')}.", "warn"
    counted = [asset for asset in levels if asset.counts]
    kept = sum(asset.word in {"retained", "held"} for asset in levels)
    tail = f" {plural(kept, 'asset was', 'assets were')} retained or held, with the ground beside each." if kept else ""
    if not counted and not kept:
        return f"Nothing about this person was found in {plural(len(levels), 'place')} that {_were(len(levels))} searched.", "good"
    if not counted:
        return f"Nothing was erased.{tail}", "warn"
    lowest = headline(levels)
    if lowest is None:
        open_ = [asset for asset in counted if asset.level is None]
        return (
            f"No level over the whole can be stated: {plural(len(open_), 'asset has', 'assets have')} none (see section 3).{tail}",
            "warn",
        )
    over = f"the lowest over {plural(len(counted), 'asset')} that held the person’s data"
    return f"Erased at level L{lowest}, {over}.{tail}", "good" if lowest >= 1 and not kept and state == "completed" else "warn"


def _were(count: int) -> str:
    return "was" if count == 1 else "were"


# ── sections ────────────────────────────────────────────────────────────────────────────────────
def _request(request: Mapping[str, Any], kind: str) -> Facts:
    verified, approved = mapping(request.get("verified")), mapping(request.get("approved"))
    verifier = text(verified.get("verifier"), kind) or "a verifier who is not named"
    closed = _closed(request)
    due = whole(request.get("due_at"))
    facts = [
        computed("Request", text(request.get("id")), "ledger"),
        computed("State", (text(request.get("state")) or "").replace("_", " ") or None, "ledger"),
        declared("Law the request rests on", text(request.get("regulation")), "stated with the request"),
        *law_facts(request),
        declared("Ground", text(request.get("ground"), kind), "stated with the request"),
        computed("Kind of person", text(request.get("subject_type")), "stated with the request; the identifier itself is kept nowhere"),
        computed("Received", when(request.get("received_at") or request.get("created_at")), "ledger"),
        computed("Due", when(due), "from the law pack of the regulation"),
        declared(
            "Identity verified",
            text(verified.get("method"), kind),
            f"by {verifier}" + (f", {when(verified.get('at'))}" if when(verified.get("at")) else ""),
            missing="the identity was not verified, or nobody recorded how",
        ),
        declared(
            "Approved",
            text(approved.get("by"), kind),
            f"{when(approved.get('at'))}" if when(approved.get("at")) else "the time is not recorded",
            missing="the request was not approved, or nobody recorded by whom",
        ),
        computed("Scope frozen as", text(at(request, "plan", "digest")), "digest of the plan, before the first destructive step"),
        computed("Closed", when(closed), "ledger", missing="the request is not closed"),
    ]
    if closed is not None and due is not None:
        facts.append(computed("In time", closed <= due, "closed compared with due"))
    else:
        facts.append(gap("In time", "needs both the end and the due date"))
    if error := text(request.get("error"), kind):
        facts.append(computed("Error", error, "ledger"))
    return Facts(items=tuple(facts))


def _closed(request: Mapping[str, Any]) -> int | None:
    ends = [whole(step.get("at")) for step in map(mapping, items(request.get("history"))) if step.get("state") in _DONE | _REFUSED]
    return next((end for end in reversed(ends) if end is not None), None)


def _searched(request: Mapping[str, Any], levels: Sequence[AssetLevel]) -> tuple[Block, ...]:
    searched = mapping(request.get("searched"))
    facts = []
    for label, key, noun in (
        ("Datasets searched", "datasets", "dataset"),
        ("Indexes searched", "indexes", "index"),
        ("Models considered", "models", "model version"),
        ("Prediction records searched", "predictions", "record"),
    ):
        facts.append(computed(label, _extent(searched.get(key), noun), "scope, frozen before anything was changed", missing="not recorded"))
    unknown = whole(request.get("unknown_subject_predictions"))
    facts.append(
        computed(
            "Predictions of unknown persons",
            unknown,
            "their callers named no person, so it is not known whether any of them is about this one",
            missing="not counted",
        )
    )
    rows = tuple(
        (asset.id, asset.kind.replace("_", " "), asset.found, asset.action if asset.action != "none" else "nothing to do")
        for asset in levels[:_MOST]
    )
    table = Table(
        columns=("Asset", "Kind", "Found", "Planned"),
        rows=rows,
        caption="Every place that was searched, those without a find included. “Found” counts rows or records.",
        total=len(levels),
    )
    negatives = sum(asset.word == "nothing found" for asset in levels)
    note = Note(text=f"In {plural(negatives, 'place')} of {len(levels)} nothing was found.", tone="plain")
    return (Facts(items=tuple(facts)), table, note) if levels else (Facts(items=(*facts, gap("Assets", "no scope is recorded"))),)


def _extent(value: Any, noun: str) -> str | int | None:
    if isinstance(value, bool):
        return "yes" if value else None
    if whole(value) is not None:
        return value if isinstance(value, int) else None
    if isinstance(value, Mapping):
        return ", ".join(f"{text(key)}: {text(item) or '—'}" for key, item in sorted(value.items())) or None
    if isinstance(value, list | tuple):
        names = [text(one) or text(at(one, "name")) or text(at(one, "id")) or "—" for one in value]
        return f"{len(names)}: {', '.join(names[:20])}" + (" and others" if len(names) > 20 else "") if names else f"no {noun}"
    return text(value)


def _done(request: Mapping[str, Any], levels: Sequence[AssetLevel], kind: str) -> tuple[Block, ...]:
    blocks: list[Block] = []
    lowest = headline(levels)
    why = "the lowest level over the assets that held data and were not retained"
    if levels and not any(asset.counts for asset in levels):
        whole_level = computed("Level of the whole", "none applies", "nothing was erased: no asset held anything that was not retained")
    else:
        whole_level = computed("Level of the whole", None if lowest is None else f"L{lowest}", why, missing=_why_none(levels))
    blocks.append(Facts(items=(whole_level,)))
    blocks.append(
        Table(
            columns=("Asset", "Status", "Level", "Reason"),
            rows=tuple(
                (asset.id, asset.status, asset.word, asset.reason or "—") for asset in levels[:_MOST] if asset.word != "nothing found"
            ),
            caption="Assets in which something was found.",
        )
    )
    details = [(asset, mapping(asset.get("detail"))) for asset in map(mapping, items(request.get("assets")))]
    purged = [(asset, detail) for asset, detail in details if asset.get("kind") == "dataset" and asset.get("status") == "done" and detail]
    if purged:
        columns = ("Dataset", "Rows deleted", "Versions removed", "New version", "Files decoded", "Bytes rewritten", "Rows still found")
        keys = ("rows_deleted", "versions_removed", "new_version", "files_scanned", "bytes_rewritten", "residual_rows")
        rows = tuple(
            (text(detail.get("dataset")) or text(asset.get("id"), kind) or "—", *(_count(detail.get(key)) for key in keys))
            for asset, detail in purged
        )
        blocks.append(Table(columns=columns, rows=rows, caption="The purges. “Rows still found” is the scan of every file that remains."))
    return (*blocks, *shared_table([asset for asset, _ in details]))


def _why_none(levels: Sequence[AssetLevel]) -> str:
    if not levels:
        return "no scope is recorded"
    return "not every asset has one: " + ", ".join(f"{asset.id} ({asset.word})" for asset in levels if asset.counts and asset.level is None)


def _count(value: Any) -> str | int | None:
    if isinstance(value, list | tuple):
        return ", ".join(short(_version(one)) for one in value[:12]) + (f" and {len(value) - 12} more" if len(value) > 12 else "") or "none"
    return whole(value) if whole(value) is not None else text(_version(value))


def _version(value: Any) -> Any:
    return value.get("version") if isinstance(value, Mapping) else value


def _successors(request: Mapping[str, Any]) -> tuple[Block, ...]:
    successors = [mapping(one) for one in items(request.get("successors"))]
    if not successors:
        return (Note(text="No model had to be trained again, or none has been so far.", tone="plain"),)
    blocks: list[Block] = []
    for one in successors[:20]:
        model = text(one.get("model")) or "a model that is not named"
        name = f"{model}@{text(one.get('version')) or '?'}"
        before = text(one.get("predecessor"))
        before = before if before is None or "@" in before else f"{model}@{before}"
        decision = mapping(one.get("decision"))
        reproduced = one.get("reproduced")
        facts = [
            computed("Successor", name, f"in place of {before}" if before else "its predecessor is not named"),
            computed("Training run", text(one.get("run_id")), "ledger"),
            computed("Weights", text(one.get("artifact_digest")), "digest over the parts of the artifact"),
            computed("Rows it was trained on", text(at(one, "row_set", "digest")), _row_set(one)),
            _truth(
                "The person’s rows are not among them",
                one.get("excluded"),
                _non_membership(one),
                "it was not shown that the row set excludes them",
            ),
            _truth(
                "Reproduced bit for bit",
                reproduced,
                _again(one),
                "nobody has trained it a second time",
            ),
            *_shortcut(one),
            computed(
                "Gate", text(decision.get("outcome")), "the policy over the audits of the successor", missing="no decision is recorded"
            ),
            computed("Serves in", _places(one), "registry", missing="it is not deployed"),
            _truth(
                "Predecessor’s weights destroyed",
                one.get("predecessor_destroyed"),
                "files removed; metadata and papers stay"
                if one.get("predecessor_destroyed")
                else "they are kept; see the assets for the ground",
                "not recorded",
            ),
        ]
        blocks.append(Facts(items=tuple(facts)))
    if len(successors) > 20:
        blocks.append(Note(text=f"{len(successors) - 20} more successors stand in the evidence.", tone="warn"))
    return (*blocks, *proof_files_table(request))


def _truth(label: str, value: Any, source: str, missing: str) -> Fact:
    return computed(label, value, source) if isinstance(value, bool) else gap(label, missing)


def _again(successor: Mapping[str, Any]) -> str:
    if not successor.get("reproduced"):
        return "another worker made other weights"
    if mapping(successor.get("shortcut")):
        return "a second worker with an empty cache made the same weights from scratch, without the shortcut"
    return "a second worker with an empty cache made the same weights"


def _shortcut(successor: Mapping[str, Any]) -> list[Fact]:
    """How much of it was trained, where not all was."""
    taken = mapping(successor.get("shortcut"))
    if not taken:
        why = successor.get("from_scratch")
        return [computed("Strategy", "trained from scratch", f"no checkpoint could be used: {text(why)}")] if why else []
    if taken.get("strategy") == "replay":
        return _replayed(taken)
    constituents, kept = whole(taken.get("constituents")) or 0, whole(taken.get("taken_over")) or 0
    words = f"{text(taken.get('strategy'))}: {constituents - kept} of {plural(constituents, 'constituent')} trained again"
    rows = f"{plural(whole(taken.get('rows_trained')) or 0, 'row')} of {whole(taken.get('rows'))}"
    return [computed("Strategy", words, f"{rows}; the others were taken over, for their rows, code and seed were the same")]


def _replayed(taken: Mapping[str, Any]) -> list[Fact]:
    """From where a replayed training went on, and how much that was, beside what was to be expected."""
    position, uses = whole(taken.get("position")) or 0, (whole(taken.get("rows")) or 0) * (whole(taken.get("epochs")) or 0)
    share, expected, changed = (taken.get(name) for name in ("retrain_fraction", "expected", "changed"))
    words = f"replay: went on from the checkpoint after {plural(position, 'row')}; {share:.1%} of the training done again"
    carried = plural(whole(taken.get("carried")) or 0, "checkpoint")
    stood = f"{carried} before the first use of an erased row stood, the later ones were destroyed"
    told = computed("Strategy", words, f"{position} of {uses} uses of a row were not repeated; {stood}")
    if not isinstance(expected, int | float) or not isinstance(changed, int):
        return [told, gap("Expected share", "the rows of the version before are not known")]
    theory = f"for {plural(changed, 'row')} in which its training rows differ from the predecessor’s, at places drawn by a hash"
    return [told, computed("Expected share", f"{expected:.1%}", theory)]


def _row_set(successor: Mapping[str, Any]) -> str:
    count = whole(at(successor, "row_set", "count"))
    of = "the rows" if count is None else plural(count, "row")
    return f"Merkle root over the commitments of {of}, fixed before the training"


def _non_membership(successor: Mapping[str, Any]) -> str:
    if successor.get("excluded") is not True:
        return "a proof of non-membership failed"
    value = successor.get("non_membership")
    count = sum(whole(at(one, "erased", "count")) or 0 for one in map(mapping, items(value)))
    return f"{plural(count, 'proof')} of non-membership, by both neighbours in the sorted commitments" if count else "no proof is attached"


def _places(successor: Mapping[str, Any]) -> str | None:
    places = [text(one) or text(at(one, "environment")) or short(at(one, "id")) for one in items(successor.get("deployed"))]
    return ", ".join(places) or None


def _remains(request: Mapping[str, Any], levels: Sequence[AssetLevel]) -> tuple[Block, ...]:
    blocks: list[Block] = [
        Facts(
            items=(declared("Backups", text(request.get("backups")), "stated by the operator", missing="nobody stated what backups hold"),)
        ),
        *copies_blocks(request),
    ]
    kept = [asset for asset in levels if asset.word in {"retained", "held", "not reachable"}]
    if kept:
        blocks.append(
            Table(
                columns=("Asset", "Found", "Is", "Ground or reason"),
                rows=tuple((asset.id, asset.found, asset.word, asset.reason or "no ground is recorded") for asset in kept),
                caption="What still holds the person’s data.",
            )
        )
    stones = []
    for asset in map(mapping, items(request.get("assets"))):
        for version in items(at(asset, "detail", "versions_removed")):
            name = text(at(asset, "detail", "dataset")) or text(asset.get("id")) or "—"
            full = mapping(version)
            stones.append(
                (name, short(_version(version)), whole(full.get("rows")), short(at(full, "row_set", "digest") or full.get("row_set")))
            )
    if stones:
        blocks.append(
            Table(
                columns=("Dataset", "Version", "Rows it had", "Row set"),
                rows=tuple(stones[:_MOST]),
                total=len(stones),
                caption="Tombstones: of these versions only count and digests stay, so that a trace still answers; the rows are gone.",
            )
        )
    suppression = (
        "Where a keyed reference stands on the suppression list, it stays until its key expires, "
        "so that the person is not taken in again unnoticed."
    )
    blocks.append(Note(text=suppression, tone="plain"))
    return tuple(blocks)


def _recipients(request: Mapping[str, Any]) -> tuple[Block, ...]:
    """The recipients of what was erased, and whether they were told (GDPR Art. 19)."""
    if "recipients" not in request:
        return (Facts(items=(gap("Recipients told", "nobody recorded who was given the data"),)),)
    notices = [mapping(one) for one in items(request["recipients"])]
    if not notices:
        return (Note(text="No recipient is declared for what was erased, so nobody was told.", tone="plain"),)
    rows = tuple(
        (
            text(one.get("name")) or "—",
            text(one.get("asset")) or "—",
            (text(one.get("state")) or "not recorded").replace("_", " "),
            when(one.get("told_at")) or "—",
            when(one.get("acknowledged_at")) or "—",
            f"{text(one.get('excuse'))}: {text(one.get('ground'))}" if one.get("excuse") else text(one.get("error")) or "—",
        )
        for one in notices[:_MOST]
    )
    caption = "As it stood on the date of this paper. “Told” is a delivery; “acknowledged” is the recipient’s own word."
    columns = ("Recipient", "Asset", "State", "Told", "Acknowledged", "Ground or trouble")
    return (Table(columns=columns, rows=rows, total=len(notices), caption=caption),)


def _law(request: Mapping[str, Any]) -> tuple[Block, ...]:
    rows = law_rows(text(request.get("regulation")) or "")
    if not rows:
        return (Facts(items=(gap("Articles", "no law pack is known for this regulation"),)),)
    return (
        Table(
            columns=("Article", "What this paper is evidence for"),
            rows=rows,
            caption="Evidence for these duties, not a judgement on them.",
            basis=Basis.DECLARED,
        ),
        Note(
            text="The wording of the articles is ours, for orientation; the official text decides. This is not legal advice.",
            tone="plain",
        ),
    )


def _history(request: Mapping[str, Any], kind: str) -> tuple[Block, ...]:
    steps = [mapping(step) for step in items(request.get("history"))]
    if not steps:
        return (Facts(items=(gap("History", "no step is recorded"),)),)
    rows = tuple(
        (
            when(step.get("at")) or "—",
            (text(step.get("state")) or "—").replace("_", " "),
            short(text(step.get("actor"), kind)),
            text(step.get("reason"), kind) or "—",
        )
        for step in steps[:_MOST]
    )
    return (
        Table(columns=("When", "State", "By", "Reason"), rows=rows, caption="Steps of the request, from the ledger.", total=len(steps)),
    )


def _data(request: Mapping[str, Any], levels: Sequence[AssetLevel]) -> dict[str, Any]:
    """The machine-readable twin: levels, digests and counts in full; named keys only, so that nothing else slips in."""
    lowest = headline(levels)
    details = {str(asset.get("id")): mapping(asset.get("detail")) for asset in map(mapping, items(request.get("assets")))}
    return {
        "request": text(request.get("id")),
        "state": text(request.get("state")),
        "regulation": text(request.get("regulation")),
        "law": law_data(request),
        "created_at": request.get("created_at"),
        "due_at": request.get("due_at"),
        "level": None if lowest is None else f"L{lowest}",
        "plan": text(at(request, "plan", "digest")),
        "assets": [
            {"id": asset.id, "kind": asset.kind, "found": asset.found, "status": asset.status, "level": asset.word, "reason": asset.reason}
            | frozen_rows(asset, details.get(asset.id, {}))
            | shared_facts(details.get(asset.id, {}))
            for asset in levels
        ],
        "successors": successors_data(request),
        "recipients": [
            {key: one.get(key) for key in ("id", "recipient", "name", "role", "asset", "state", "told_at", "acknowledged_at", "excuse")}
            for one in map(mapping, items(request.get("recipients")))
        ],
        **({"tasks": tasks} if (tasks := owner_tasks(request)) else {}),
        "unknown_subject_predictions": whole(request.get("unknown_subject_predictions")),
        "backups": text(request.get("backups")),
        "copies": copies_data(request),
    }
