"""From a trace answer to a dossier: what made a model version, and what stood behind one prediction or one incident."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from governance.dossier.completeness import completeness_blocks, times_in_words
from governance.dossier.facts import at, computed, declared, gap, items, mapping, plural, scrub, short, text, when, whole
from governance.dossier.picture import lineage_drawing
from reports.model import Basis, Block, Dossier, Fact, Facts, Note, Section, Table

__all__ = ["incident_trace", "model_trace", "prediction_trace"]

_LIMITS = (
    "It shows what was reported to Govern as OpenLineage events and what Govern did itself. A job that never reported is not in it.",
    "It does not show that the data were lawful to use, correct, or representative.",
    "Audits measure what their names say, on the data named beside them; they are evidence for a decision, not the decision.",
)
_PREDICTION_LIMITS = (
    "It shows which model version answered and what made that version. It does not show why the model gave this answer.",
    "The inputs and the answer are the person’s data; they are not printed here.",
)
_MOST = 200
_GENERATOR = "Govern"


def model_trace(answer: Mapping[str, Any], *, now: int, installation: str, generator: str = _GENERATOR) -> Dossier:
    """The paper on what made a model version, from a trace answer (``GET /api/v1/trace?model=…&direction=up``).

    Args:
        answer: the trace answer; any key may be missing and is then a printed gap.
        now: UTC nanoseconds; the paper's date.
        installation: whose ledger it rests on.
        generator: name and version of what made it.
    """
    name = _model_name(answer)
    verdict, tone = _verdict(answer, name)
    return Dossier(
        kind="model-trace",
        title=f"What made {name}{times_in_words(answer)}",
        subject=name,
        verdict=verdict,
        tone=tone,
        as_of=now,
        installation=installation,
        generator=generator,
        sections=_trace_sections(answer),
        limits=_LIMITS,
        data=_data(answer),
    )


def prediction_trace(answer: Mapping[str, Any], *, now: int, installation: str, generator: str = _GENERATOR) -> Dossier:
    """The paper on what stood behind one prediction (``GET /api/v1/predictions/{id}/trace``)."""
    ident = _prediction_id(answer)
    name = _model_name(answer)
    verdict, tone = _verdict(answer, name)
    return Dossier(
        kind="prediction-trace",
        title="What stood behind one prediction",
        subject=ident,
        verdict=f"{name} answered. {verdict}",
        tone=tone,
        as_of=now,
        installation=installation,
        generator=generator,
        sections=(Section(title="The prediction", blocks=(_prediction_facts(answer, ident),)), *_trace_sections(answer)),
        limits=_PREDICTION_LIMITS + _LIMITS,
        data={"prediction": ident, **_data(answer)},
    )


def incident_trace(incident: Mapping[str, Any], *, now: int, installation: str, generator: str = _GENERATOR) -> Dossier:
    """The paper on an incident: what was reported, what stood behind the prediction, what is held, what will be checked from now on."""
    answer = mapping(incident.get("trace"))
    ident = text(incident.get("id")) or "not named"
    name = _model_name(answer)
    holds = items(incident.get("holds"))
    case = incident.get("case")
    opened = when(incident.get("created_at")) or when(incident.get("at"))
    by = text(at(incident, "opened_by")) or text(incident.get("actor"))
    said = f"by {by or 'whoever opened the incident'}" + (f", {opened}" if opened else "")
    report = Facts(
        items=(
            computed("Incident", ident, "ledger"),
            computed("State", text(incident.get("state")), "ledger", missing="the state was not in the answer"),
            computed("Opened", opened, "ledger", missing="the time was not in the answer"),
            declared("What happened", text(incident.get("summary")), said),
            declared("What was expected", text(incident.get("expect")), said),
            computed("Closed", when(incident.get("closed_at")), "ledger")
            if incident.get("closed_at")
            else computed("Closed", "not yet", "ledger"),
        )
    )
    holding: list[Block] = [
        Table(
            columns=("Asset", "Ground", "Until"),
            rows=tuple(
                (text(_one(hold, "asset", "id")) or "—", text(at(hold, "ground")) or "—", when(at(hold, "until")) or "—") for hold in holds
            ),
            caption="Not purged, retrained, redeployed or destroyed while the hold stands.",
        )
    ]
    if case:
        known = text(case) if not isinstance(case, Mapping) else text(_one(case, "id", "case"))
        holding.append(Facts(items=(computed("Regression case", known, "every later gate of this model runs it"),)))
    else:
        holding.append(Facts(items=(gap("Regression case", "no case was made; a later version may err in the same way"),)))
    verdict, tone = _verdict(answer, name)
    return Dossier(
        kind="incident-trace",
        title="What stood behind an incident",
        subject=ident,
        verdict=f"{plural(len(holds), 'asset is', 'assets are')} held. {verdict}",
        tone="warn" if tone == "good" else tone,
        as_of=now,
        installation=installation,
        generator=generator,
        sections=(
            Section(title="The incident", blocks=(report,)),
            Section(title="What is held, and what is checked from now on", blocks=tuple(holding)),
            Section(title="The prediction", blocks=(_prediction_facts(answer, _prediction_id(answer, incident)),)),
            *_trace_sections(answer),
        ),
        limits=(
            "It does not decide whether the incident is one that an authority must hear of (AI Act Art. 73).",
            *_PREDICTION_LIMITS,
            *_LIMITS,
        ),
        data={"incident": ident, "holds": [text(_one(hold, "asset", "id")) for hold in holds], **_data(answer)},
    )


# ── the parts of a trace ────────────────────────────────────────────────────────────────────────
def _trace_sections(answer: Mapping[str, Any]) -> tuple[Section, ...]:
    return (
        Section(title="The model version", blocks=(_identity(answer),)),
        Section(title="Lineage", blocks=_lineage(answer)),
        Section(title="Data", blocks=_datasets(answer)),
        Section(title="How it was trained", blocks=_training(answer)),
        Section(title="Audits and decision", blocks=_audits(answer)),
        Section(title="Where it serves", blocks=_deployments(answer)),
        Section(title="How complete this is", blocks=completeness_blocks(answer)),
    )


def _identity(answer: Mapping[str, Any]) -> Facts:
    model = mapping(answer.get("model"))
    source = "govern.yaml"
    return Facts(
        items=(
            computed("Model version", _model_name(answer), "registry"),
            computed(
                "Training run",
                text(_one(answer, "run_id")) or text(_one(answer.get("run"), "run_id", "id")) or text(model.get("run_id")),
                "ledger",
            ),
            computed("Weights", text(_one(model, "artifact_digest", "digest")), "digest over the parts of the artifact"),
            declared("Purpose", text(model.get("purpose")), source, missing="no purpose was declared in govern.yaml"),
            declared("Owner", text(model.get("owner")), source, missing="no owner was declared in govern.yaml"),
        )
    )


def _lineage(answer: Mapping[str, Any]) -> tuple[Block, ...]:
    drawing = lineage_drawing(answer, "What data flowed through, from left to right.")
    missing = Facts(items=(gap("Lineage", "the answer holds no edge that data flowed along"),))
    return (drawing,) if drawing else (missing,)


def _datasets(answer: Mapping[str, Any]) -> tuple[Block, ...]:
    found = [mapping(dataset) for dataset in items(answer.get("datasets"))]
    rows = tuple(
        (
            text(one.get("dataset")) or "—",
            short(one.get("version")),
            text(one.get("role")) or "—",
            whole(one.get("rows")),
            whole(one.get("recounted")),
            short(at(one, "row_set", "digest")),
            text(one.get("version_basis")) or "—",
            "erased" if one.get("gone") else "there",
        )
        for one in found[:_MOST]
    )
    facts = [_source_rows(answer)]
    missed = [
        f"{text(one.get('dataset'))}@{short(one.get('version'))}" for one in found if one.get("recounted") is None and not one.get("gone")
    ]
    if missed:
        facts.append(gap("Recounted from the store", f"not for {', '.join(missed[:8])}" + (" and others" if len(missed) > 8 else "")))
    table = Table(
        columns=("Dataset", "Version", "Role", "Rows", "Recounted", "Row set", "Version is", "Rows are"),
        rows=rows,
        caption="Dataset versions behind the model. “Recounted” was counted in the store’s files when this was asked.",
        total=len(found),
    )
    producers = [(one, mapping(one.get("producer"))) for one in found if one.get("producer")]
    made = Table(
        columns=("Dataset", "Made by", "Run", "Code"),
        rows=tuple(
            (
                f"{text(one.get('dataset')) or '—'} @ {short(one.get('version'))}",
                text(by.get("job")) or "—",
                short(by.get("run_id")),
                short(by.get("code")),
            )
            for one, by in producers[:_MOST]
        ),
        caption="The jobs that made them.",
        total=len(producers),
    )
    return (Facts(items=tuple(facts)), table, *((made,) if producers else ()))


def _source_rows(answer: Mapping[str, Any]) -> Fact:
    value = answer.get("source_rows")
    count = whole(value)
    if count is None:
        count = whole(_one(value, "count", "rows"))
    return computed(
        "Source rows", count, "rows of the files and tables that nothing else in the graph made", missing="they could not be counted"
    )


def _training(answer: Mapping[str, Any]) -> tuple[Block, ...]:
    environment = answer.get("environment")
    code = answer.get("code")
    facts = Facts(
        items=(
            computed(
                "Code",
                text(code) or text(_one(code, "revision", "digest", "code", "version")),
                "snapshot that the training process unpacked",
            ),
            computed("Seed", text(answer.get("seed")), "training run", missing="the run stated no seed (a private training keeps none)"),
            computed(
                "Environment",
                text(environment) or text(_one(environment, "digest")),
                "locked packages, torch build, CPU capability, thread count",
            ),
        )
    )
    params = answer.get("params")
    if not isinstance(params, Mapping) or not params:
        return facts, Facts(items=(gap("Parameters", "the run stated none"),))
    rows = tuple((str(key), _flat(params[key])) for key in sorted(params, key=str))
    return facts, Table(columns=("Parameter", "Value"), rows=rows, caption="Hyperparameters of the run.")


def _audits(answer: Mapping[str, Any]) -> tuple[Block, ...]:
    audits = [mapping(audit) for audit in items(answer.get("audits"))]
    decision = mapping(answer.get("decision"))
    blocks: list[Block] = []
    if audits:
        blocks.append(
            Table(
                columns=("Audit", "Verdict", "Measured", "Why"),
                rows=tuple(
                    (text(_one(audit, "audit", "name")) or "—", text(audit.get("verdict")) or "—", _metrics(audit), _reasons(audit))
                    for audit in audits[:_MOST]
                ),
                caption="What was measured on this version. Only PASS is a pass.",
                total=len(audits),
            )
        )
    else:
        blocks.append(Facts(items=(gap("Audits", "no audit of this version is recorded"),)))
    if decision:
        blocks.append(
            Facts(
                items=(
                    computed("Decision", text(decision.get("outcome")), "the policy’s gates over the findings"),
                    computed("Policy", text(decision.get("policy")), "name and version"),
                    computed("Policy text", text(decision.get("policy_digest")), "digest of the file that decided"),
                )
            )
        )
        gates = [mapping(gate) for gate in items(decision.get("gates"))]
        blocks.append(
            Table(
                columns=("Gate", "If not passed", "Outcome", "Reason"),
                rows=tuple(tuple(text(gate.get(key)) or "—" for key in ("gate", "severity", "outcome", "reason")) for gate in gates),
                caption="What each gate of the policy said.",
            )
        )
    else:
        blocks.append(Facts(items=(gap("Decision", "no gate has decided about this version"),)))
    return tuple(blocks)


def _deployments(answer: Mapping[str, Any]) -> tuple[Block, ...]:
    found = [mapping(one) for one in items(answer.get("deployments"))]
    if not found:
        return (Note(text="No deployment of this version is recorded.", tone="plain"),)
    rows = tuple(
        (
            text(one.get("environment")) or "—",
            short(_one(one, "id", "deployment")),
            when(one.get("active_from")) or "—",
            when(one.get("active_to")) or "now",
        )
        for one in found[:_MOST]
    )
    return (
        Table(columns=("Environment", "Deployment", "From", "Until"), rows=rows, caption="Deployments of this version.", total=len(found)),
    )


# ── small ones ──────────────────────────────────────────────────────────────────────────────────
def _verdict(answer: Mapping[str, Any], name: str) -> tuple[str, str]:
    stated = mapping(answer.get("completeness"))
    reasons = items(stated.get("reasons"))
    if stated.get("complete") is True and not reasons:
        rows = whole(answer.get("source_rows"))
        return f"Every step from {name} back to its sources is known" + (
            f": {plural(rows, 'source row')}." if rows is not None else "."
        ), "good"
    if not stated:
        return "Whether the trace is complete is not known.", "warn"
    return f"The trace is not complete: {plural(len(reasons), 'reason')}, listed under “How complete this is”.", "warn"


def _model_name(answer: Mapping[str, Any]) -> str:
    model = answer.get("model")
    if isinstance(model, Mapping):
        name, version = text(_one(model, "name", "model")), text(model.get("version"))
        if name:
            return f"{name}@{version}" if version and "@" not in name else name
    elif words := text(model):
        version = text(answer.get("version"))
        return f"{words}@{version}" if version and "@" not in words else words
    ref = text(at(answer, "subject", "ref"))
    return ref if ref and at(answer, "subject", "kind") == "model" else "a model that is not named"


def _prediction_id(answer: Mapping[str, Any], incident: Mapping[str, Any] | None = None) -> str:
    prediction = answer.get("prediction") or at(incident, "prediction")
    words = text(prediction) or text(_one(prediction, "id"))
    if words is None and at(answer, "subject", "kind") == "prediction":
        words = text(at(answer, "subject", "ref"))
    return words or "a prediction that is not named"


def _prediction_facts(answer: Mapping[str, Any], ident: str) -> Facts:
    prediction = mapping(answer.get("prediction")) or mapping(answer.get("subject"))
    known = prediction.get("subject_known")
    if known is None and "subject_ref" in prediction:
        known = prediction["subject_ref"] is not None
    return Facts(
        items=(
            computed("Receipt", ident, "prediction record"),
            computed("Answered at", when(prediction.get("at")), "prediction record", missing="the time was not in the answer"),
            computed("By", _model_name(answer), "the version that served at that moment"),
            computed("Deployment", text(prediction.get("deployment")), "prediction record", missing="the deployment was not in the answer"),
            computed(
                "Person",
                {True: "known to Govern by reference only", False: "the caller named no person"}.get(known)
                if isinstance(known, bool)
                else None,
                "parameters.govern_subject of the request",
                missing="whether the caller named a person was not in the answer",
            ),
        )
    )


def _one(value: Any, *keys: str) -> Any:
    """The first of several keys that is there."""
    found = mapping(value)
    return next((found[key] for key in keys if found.get(key) is not None), None if isinstance(value, Mapping) else value)


def _flat(value: Any) -> str | int | float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    return text(value) or json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)


def _metrics(audit: Mapping[str, Any]) -> str:
    parts = []
    for metric in map(mapping, items(audit.get("metrics"))):
        value, low, high = metric.get("value"), metric.get("low"), metric.get("high")
        words = f"{text(metric.get('name')) or 'metric'}"
        if metric.get("group"):
            words += f" ({text(metric['group'])})"
        words += " not measured" if not isinstance(value, int | float) else f" {value:.4g}"
        if isinstance(low, int | float) and isinstance(high, int | float):
            words += f" [{low:.4g}, {high:.4g}]"
        parts.append(words)
    return "\n".join(parts[:6]) + (f"\nand {len(parts) - 6} more" if len(parts) > 6 else "") or "—"


def _reasons(audit: Mapping[str, Any]) -> str:
    return " ".join(scrub(str(reason)) for reason in items(audit.get("reasons"))) or "—"


def _data(answer: Mapping[str, Any]) -> dict[str, Any]:
    """The machine-readable twin: identities and digests, in full."""
    keep = ("dataset", "version", "role", "rows", "recounted", "row_set", "digest", "gone", "version_basis", "basis")
    return {
        "model": _model_name(answer),
        "datasets": [{key: one[key] for key in keep if one.get(key) is not None} for one in map(mapping, items(answer.get("datasets")))],
        "source_rows": answer.get("source_rows"),
        "params": answer.get("params"),
        "seed": answer.get("seed"),
        "code": answer.get("code"),
        "environment": text(answer.get("environment")) or text(at(answer, "environment", "digest")),
        **{name: answer[name] for name in ("as_of", "known_at") if answer.get(name) is not None},
        "completeness": answer.get("completeness"),
        "basis": Basis.COMPUTED.value,
    }
