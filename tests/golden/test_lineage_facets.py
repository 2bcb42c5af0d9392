"""Our facets and their published schemas; and every facet that Govern sends, held against its schema."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
import re
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from openlineage.client.serde import Serde

from governance.registry.events import audit_event, deployment_event, purge_event
from lineage import emit
from lineage.model import DatasetVersionInfo, PurgeReport, RowSetInfo
from tests.support.facets import BASES, OURS, base_of, facets_of, problems, schemas
from trainers.events import training_event
from trainers.model import ArtifactInfo, InputSpec, PrivacySpec, PrivacySpend, TrainRecord, TrainSpec

RECORDED = Path(__file__).parents[1] / "data" / "river" / "events.jsonl"
DOCS = Path(__file__).parents[2] / "docs" / "reference" / "facets"
RUN, OTHER = "0193a1b2-0000-7000-8000-000000000001", "0193a1b2-0000-7000-8000-000000000002"
HEX = "ab" * 32

PUBLISHED = {
    "1-0-0/GovernEnvironmentRunFacet": "bc2f0405aac6db97d16e2181e74f1048526ddc75611c19081539e0d0d483c3d1",
    "1-0-0/GovernModelDatasetFacet": "32e96d5d4cc1145e5985cca341c896874829f4fbe41c65a9077fbe15f13e423b",
    "1-0-0/GovernPrivacyRunFacet": "6f06b5fa2bdf9311237cafb3e502d5758d03a45a76928d869cfa340230117e49",
    "1-0-0/GovernRowSetDatasetFacet": "4b7625aba38133fbe4a0f819f17292a48ef7b285aa380e1ad510f8474e3cdbe4",
    "1-0-0/GovernRowSetInputDatasetFacet": "a2fb973dcc00a7ba100b40d289db7a1a2ac71b3d8195435e39591a534523c27a",
    "1-0-0/GovernTrainingRunFacet": "1a9fa6976f71d78271fda13feb18a4a553faa575e23a2e5d099f6f4f6658dddb",
}
"""SHA-256 of each published schema. A published schema never changes: what changes gets the next version and a line here."""


def spec(**more) -> TrainSpec:
    whole = TrainSpec(
        model="credit-risk", entrypoint="pkg.model", code=f"snapshot:{HEX}", params={"lr": 0.1, "layers": [8, 4], "name": "adam"}, seed=7, threads=1,
        inputs=(
            InputSpec(role="train", dataset="credit.train", version="3", row_set=f"rs1:{HEX}", rows=686),
            InputSpec(role="test", dataset="credit.test", version="1", row_set=f"rs1:{HEX}", rows=314),
        ),
        environment=f"sha256:{HEX}", label="credit", features=("age",),
    )  # fmt: skip
    return dataclasses.replace(whole, **more)


def record(given: TrainSpec, **more) -> TrainRecord:
    whole = TrainRecord(run_id=RUN, spec=given, status="COMPLETE", started_at=1, ended_at=2)
    return dataclasses.replace(whole, **more)


def emitted() -> dict[str, dict]:
    """One event of each kind that Govern's own acts tell, as JSON."""
    plain, private = spec(), spec(privacy=PrivacySpec(epsilon=3.0, delta=1e-5))
    artifact = ArtifactInfo(digest=f"sha256:{HEX}", files={}, size=4096)
    spend = PrivacySpend(
        delta=1e-5, noise_multiplier=2.0, sample_rate=0.1, steps=90, epsilon_rdp=2.9, epsilon_pld=2.7, poisson=True, noise_source="os"
    )
    version = {"model": "credit-risk", "run_id": RUN, "spec": {"inputs": [dataclasses.asdict(one) for one in plain.inputs]}}
    deployment = {"model": "credit-risk", "environment": "production", "run_id": OTHER, "active_from": 10**18, "active_to": 2 * 10**18}
    info = DatasetVersionInfo(
        dataset="credit.train", version="4", rows=685, digest=f"d1:{HEX}", created_at=1, row_set=RowSetInfo(digest=f"rs1:{HEX}", count=685)
    )
    report = PurgeReport(
        dataset="credit.train",
        rows_deleted=1,
        versions_removed=("3",),
        new_version=info,
        bytes_rewritten=2,
        residual_rows=0,
        files_scanned=2,
    )
    findings = {
        "at": 10**18,
        "findings": [{"audit": name, "verdict": verdict} for name, verdict in (("a", "PASS"), ("b", "FAIL"), ("c", "ERROR"))],
    }
    told = {
        "training started": training_event(plain, run_id=RUN, event_type="START", at=10**18, installation="i1", policy_digest=f"sha256:{HEX}"),
        "training ended": training_event(
            plain, run_id=RUN, event_type="COMPLETE", at=10**18, installation="i1", record=record(plain, artifact=artifact, metrics={"accuracy": 0.7})
        ),
        "training failed": training_event(
            plain, run_id=RUN, event_type="FAIL", at=10**18, installation="i1", record=record(plain, status="FAIL", reason="ValueError in train")
        ),
        "private training": training_event(
            private, run_id=RUN, event_type="COMPLETE", at=10**18, installation="i1", record=record(private, artifact=artifact, spend=spend)
        ),
        "deployed": deployment_event("i1", deployment, version, "START"),
        "withdrawn": deployment_event("i1", deployment, version, "COMPLETE"),
        "purged": purge_event("i1", "request-1", "3", report, 10**18),
        "audited": audit_event("i1", version, findings),
    }  # fmt: skip
    return {name: json.loads(Serde.to_json(event)) for name, event in told.items()}


# ── the schemas ─────────────────────────────────────────────────────────────────────────────────
def published() -> dict[str, str]:
    return {f"{path.parent.name}/{path.stem}": hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(OURS.glob("*/*.json"))}


def test_a_published_schema_never_changes():
    assert published() == PUBLISHED


@pytest.mark.parametrize("name", sorted(published()))
def test_a_schema_follows_the_rules_for_custom_facets(name):
    version, _, cls = name.partition("/")
    body = emit.schema(name)
    Draft202012Validator.check_schema(body)
    assert re.fullmatch(r"\d+-\d+-\d+", version)
    assert body["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert body["$id"].endswith(f"/schemas/{version}/{cls}.json")
    ((key, reference),) = body["properties"].items()
    assert reference == {"$ref": f"#/$defs/{cls}"}
    prefix, _, short = key.partition("_")
    assert prefix == "govern"
    entity = base_of(body, cls)
    assert cls == f"Govern{short[0].upper()}{short[1:]}{entity}", "class rule {Prefix}{Name}{Entity}Facet"
    assert emit.SCHEMAS[BASES[entity], key] == name
    extra = body["$defs"][cls]["allOf"][1]
    assert extra["additionalProperties"] is True, "as every facet of the standard: a field more is no fault"
    assert all(field.get("description") or "$ref" in field for field in extra["properties"].values())


@pytest.mark.parametrize("place", sorted(emit.SCHEMAS), ids="-".join)
def test_a_class_and_its_schema_have_the_same_fields_and_address(place):
    _, _, name = emit.SCHEMAS[place].partition("/")
    cls = getattr(emit, name)
    body = emit.schema(emit.SCHEMAS[place])
    assert cls._get_schema() == f"{body['$id']}#/$defs/{name}"
    own = {field.name for field in cls.__attrs_attrs__ if not field.inherited}
    stated = body["$defs"][name]["allOf"][1]
    assert own == set(stated["properties"])
    required = {field.name for field in cls.__attrs_attrs__ if not field.inherited and field.default.__class__.__name__ == "_Nothing"}
    assert required == set(stated.get("required", []))


# ── what is sent ────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("name", sorted(emitted()))
def test_what_govern_tells_of_its_own_acts_is_as_the_schemas_say(name):
    assert problems(emitted()[name]) == []


def test_every_facet_of_ours_is_sent_by_some_act():
    sent = {(entity, key) for event in emitted().values() for entity, key, _ in facets_of(event) if key.startswith("govern_")}
    assert sent == set(emit.SCHEMAS)


def test_every_event_of_a_recorded_demo_is_as_the_schemas_say():
    events = [json.loads(line) for line in RECORDED.read_text().splitlines()]
    assert len(events) > 10
    assert [fault for event in events for fault in problems(event)] == []


def test_what_is_sent_names_no_row_and_no_person():
    """Our facets hold digests, counts and names of things; a list of identifiers has no place in them."""
    for event in emitted().values():
        for _, key, facet in facets_of(event):
            if key.startswith("govern_"):
                lists = [value for value in facet.values() if isinstance(value, list)]
                assert lists == []


def _first(kind: str, key: str) -> tuple[dict, dict]:
    """A fresh copy of an event that has the facet, and the facet in it."""
    for event in emitted().values():
        whole = copy.deepcopy(event)
        for entity, name, facet in facets_of(whole):
            if (entity, name) == (kind, key):
                return whole, facet
    raise AssertionError(f"no event has {kind} {key}")


@pytest.mark.parametrize(
    ("kind", "key", "change"),
    [
        ("input", "govern_rowSet", {"digest": "customer 17"}),
        ("input", "govern_rowSet", {"count": -1}),
        ("input", "govern_rowSet", {"count": None}),
        ("dataset", "govern_rowSet", {"digest": None}),
        ("run", "govern_environment", {"digest": "today"}),
        ("run", "govern_environment", {"threads": 0}),
        ("run", "govern_training", {"seed": "7"}),
        ("run", "govern_privacy", {"epsilon": 0}),
        ("run", "govern_privacy", {"delta": 1}),
        ("run", "govern_privacy", {"spent": {"epsilon_rdp": 1.0}}),
        ("dataset", "govern_model", {"metrics": {"accuracy": "high"}}),
        ("dataset", "govern_model", {"size": -1}),
        ("dataset", "version", {"datasetVersion": 3}),
        ("run", "test", {"tests": [{"name": "a"}]}),
        ("run", "executionParameters", {"parameters": [{"value": "1"}]}),
        ("job", "jobType", {"processingType": None}),
        ("run", "govern_training", {"_schemaURL": "https://example.org/facet.json"}),
        ("run", "govern_training", {"_producer": None}),
    ],
)  # fmt: skip
def test_a_wrong_facet_is_seen(kind, key, change):
    event, facet = _first(kind, key)
    assert problems(event) == []
    for name, value in change.items():
        if value is None:
            del facet[name]
        else:
            facet[name] = value
    assert problems(event) != []


def test_a_facet_without_a_schema_is_seen():
    event, _ = _first("run", "govern_training")
    event["run"]["facets"]["govern_unheard"] = {"_producer": "p", "_schemaURL": "s"}
    assert problems(event) == ["run facet govern_unheard: there is no schema of it"]


# ── the pages and the entry for the registry ────────────────────────────────────────────────────
def pages() -> dict[str, str]:
    return {path.stem: path.read_text() for path in sorted(DOCS.glob("Govern*.md"))}


def test_every_facet_has_its_page_by_the_template():
    template = [line for line in (DOCS / "template.md").read_text().splitlines() if line.startswith("## ")]
    assert len(template) >= 5
    assert set(pages()) == {name.partition("/")[2] for name in emit.SCHEMAS.values()}
    for name, text in pages().items():
        assert [line for line in text.splitlines() if line.startswith("## ")] == template, name


@pytest.mark.parametrize("place", sorted(emit.SCHEMAS), ids="-".join)
def test_a_page_shows_every_field_and_an_example_that_holds(place):
    version, _, name = emit.SCHEMAS[place].partition("/")
    text = pages()[name]
    for field in emit.schema(emit.SCHEMAS[place])["$defs"][name]["allOf"][1]["properties"]:
        assert f"`{field}`" in text, f"{name} does not explain {field}"
    (example,) = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    entity, key = place
    body = json.loads(example)
    assert set(body) == {key}
    holder = {"run": {"run": {"runId": RUN, "facets": body}}, "dataset": {"outputs": [{"namespace": "n", "name": "d", "facets": body}]}}
    holder["input"] = {"inputs": [{"namespace": "n", "name": "d", "inputFacets": body}]}
    event = {
        "eventTime": "2026-01-01T00:00:00Z", "producer": "https://example.org", "schemaURL": "https://example.org",
        "run": {"runId": RUN}, "job": {"namespace": "n", "name": "j"}, **holder[entity],
    }  # fmt: skip
    assert problems(event) == []
    assert f"| {version} |" in text, "the version's history"


def test_the_registry_entry_names_our_facets_and_only_facets_that_exist():
    entry = json.loads((DOCS / "registry" / "govern" / "registry.json").read_text())
    ours = {f"ol:govern:{name.partition('/')[2]}.json" for name in emit.SCHEMAS.values()}
    assert set(entry) == {"producer", "consumer"}
    assert entry["producer"]["root_doc_URL"].startswith("https://")
    assert {one for one in entry["producer"]["produced_facets"] if one.startswith("ol:govern:")} == ours
    assert {one for one in entry["consumer"]["consumed_facets"] if one.startswith("ol:govern:")} <= ours
    standard = {
        one.split(":")[2]
        for part in entry.values()
        for one in [*part.get("produced_facets", []), *part.get("consumed_facets", [])]
        if one.startswith("ol:core:")
    }
    sent = {reference.partition("#")[0].rpartition("/")[2] for place, reference in schemas()[1].items() if "openlineage.io" in reference
            for event in emitted().values() for entity, key, _ in facets_of(event) if (entity, key) == place}  # fmt: skip
    assert sent <= standard
    assert all(re.fullmatch(r"[A-Z][A-Za-z]+Facet\.json", one) for one in standard)
