"""From a downward trace to a dossier: what a dataset, or a column of it, reached."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from governance.dossier.completeness import completeness_blocks, times_in_words
from governance.dossier.facts import at, items, mapping, plural, short, text, when
from governance.dossier.picture import lineage_drawing
from reports.model import Block, Dossier, Note, Section, Table

__all__ = ["dataset_impact"]

_LIMITS = (
    "It shows what was reported to Govern as OpenLineage events and what Govern did itself. A reader that never reported is not in it.",
    "It shows where data flowed, not whether it mattered there: a model may hardly depend on a column it was trained on.",
    "It names no person. Which persons’ rows were used is a question to the row index, not to this paper.",
)
_MOST = 200


def dataset_impact(answer: Mapping[str, Any], *, now: int, installation: str, generator: str = "Govern") -> Dossier:
    """The paper on what a dataset reached, from a trace answer (``GET /api/v1/trace?namespace=…&name=…&direction=down``)."""
    subject = text(at(answer, "subject", "ref")) or "a dataset that is not named"
    numbers = {one.get("key"): one.get("version") for one in map(mapping, items(answer.get("models"))) if one.get("own")}
    nodes = [_numbered(mapping(node), numbers) for node in items(answer.get("nodes"))]
    found = {
        label: [node for node in nodes if node.get("label") == label] for label in ("ModelVersion", "Deployment", "DatasetVersion", "Run")
    }
    live = [node for node in found["Deployment"] if at(node, "props", "active_to") is None]
    stated = mapping(answer.get("completeness"))
    reach = f"It reached {plural(len(found['ModelVersion']), 'model version')} and {plural(len(live), 'live deployment')}."
    complete = stated.get("complete") is True
    return Dossier(
        kind="dataset-impact",
        title=f"What {subject} reached{times_in_words(answer)}",
        subject=subject,
        verdict=reach if complete else f"{reach} The trace is not complete: the reasons are listed at the end.",
        tone="good" if complete else "warn",
        as_of=now,
        installation=installation,
        generator=generator,
        sections=(
            Section(title="Where it serves", blocks=_deployments(found["Deployment"])),
            Section(title="Models", blocks=_models(found["ModelVersion"])),
            Section(title="Lineage", blocks=_lineage(answer)),
            Section(title="Data made from it", blocks=_datasets(found["DatasetVersion"])),
            Section(title="How complete this is", blocks=completeness_blocks(answer)),
        ),
        limits=_LIMITS,
        data={
            "subject": answer.get("subject"),
            "as_of": answer.get("as_of"),
            "known_at": answer.get("known_at"),
            "models": [_identity(node) for node in found["ModelVersion"]],
            "deployments": [_identity(node) for node in found["Deployment"]],
            "completeness": answer.get("completeness"),
        },
    )


def _numbered(node: Mapping[str, Any], numbers: Mapping[Any, Any]) -> Mapping[str, Any]:
    """The node, a model version of ours under its number."""
    key = node.get("key")
    return {**node, "props": {**mapping(node.get("props")), "version": numbers[key]}} if key in numbers else node


def _identity(node: Mapping[str, Any]) -> dict[str, Any]:
    props = mapping(node.get("props"))
    names = ("namespace", "name", "version", "run_id", "active_from", "active_to")
    return {"key": node.get("key")} | {name: props[name] for name in names if props.get(name) is not None}


def _deployments(found: list[Mapping[str, Any]]) -> tuple[Block, ...]:
    if not found:
        return (Note(text="No deployment of a model made from it is recorded.", tone="plain"),)
    rows = tuple(
        (
            text(at(node, "props", "name")) or "—",
            text(at(node, "props", "namespace")) or "—",
            when(at(node, "props", "active_from")) or "—",
            when(at(node, "props", "active_to")) or "now",
        )
        for node in found[:_MOST]
    )
    return (Table(columns=("Deployment", "Namespace", "From", "Until"), rows=rows, caption="Deployments reached.", total=len(found)),)


def _models(found: list[Mapping[str, Any]]) -> tuple[Block, ...]:
    if not found:
        return (Note(text="No model version made from it is recorded.", tone="plain"),)
    rows = tuple(
        (text(at(node, "props", "name")) or "—", short(at(node, "props", "version")), text(at(node, "props", "namespace")) or "—",
         when(at(node, "props", "created")) or "—", text(at(node, "props", "status")) or "—")
        for node in found[:_MOST]
    )  # fmt: skip
    columns = ("Model", "Version", "Namespace", "Made", "Output was")
    return (Table(columns=columns, rows=rows, caption="Model versions reached.", total=len(found)),)


def _datasets(found: list[Mapping[str, Any]]) -> tuple[Block, ...]:
    groups: dict[tuple[str, str], int] = {}
    for node in found:
        place = (text(at(node, "props", "namespace")) or "—", text(at(node, "props", "name")) or "—")
        groups[place] = groups.get(place, 0) + 1
    rows = tuple((name, namespace, count) for (namespace, name), count in sorted(groups.items())[:_MOST])
    caption = "Datasets reached, those asked about among them, and how many of their versions."
    return (Table(columns=("Dataset", "Namespace", "Versions"), rows=rows, caption=caption, total=len(groups)),)


def _lineage(answer: Mapping[str, Any]) -> tuple[Block, ...]:
    drawing = lineage_drawing(answer, "What data flowed through, from left to right.")
    return (drawing,) if drawing else (Note(text="Nothing read it, as far as any event told.", tone="plain"),)
