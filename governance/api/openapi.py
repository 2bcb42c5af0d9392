"""OpenAPI 3.1 of the route table: paths, parameters, bodies, answers, problems and who may."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any, Final

from governance.api.bodies import MODELS
from governance.api.call import ROLES, Param, Route
from governance.api.problems import PROBLEMS, UNEXPECTED
from governance.api.times import SCHEMA as TIME

__all__ = ["document"]

ABOUT: Final = (
    "Govern says which data rows, code, hyperparameters and approvals made a model or a prediction, and acts on the answer: "
    "erase, retrain, audit, release, certify. Send a key as `Authorization: Bearer KEY` or `X-API-Key: KEY`. "
    "Errors are RFC 9457 problem details with a `hint` that names the next step."
)
TAGS: Final = {
    "ops": "Health and metrics",
    "lineage": "OpenLineage events in",
    "marquez": "Marquez's reads: lineage, columns, runs, events, search, statistics",
    "marquez_names": "Marquez's reads: namespaces, datasets, jobs and their versions",
    "trace": "Where it came from, where it went",
    "export": "Lineage for other tools",
    "datasets": "Versioned rows and code snapshots",
    "models": "Trainings, registry, audits, gates",
    "deployments": "Release and rollback",
    "serving": "Open Inference Protocol v2",
    "predictions": "Receipts of predictions",
    "erasure": "Requests for erasure and their certificates",
    "intake": "Many requests at once",
    "opendsr": "OpenDSR: requests of other controllers",
    "recipients": "Recipients of data, and what they are told",
    "erasure_plans": "Plans of erasures",
    "erasure_tasks": "Tasks of owners of what lies elsewhere",
    "disgorgements": "Orders to erase a dataset and all that descends from it",
    "incidents": "Incidents and holds",
    "reports": "Signed papers",
    "ledger": "The append-only log",
    "keys": "API keys and public keys",
    "webhooks": "Webhooks",
}
_NAMES: Final = {
    "name": "name of the dataset or model",
    "version": "a version: number, alias or `latest`",
    "id": "the id that was given when it was made",
    "namespace": "an OpenLineage namespace, percent-encoded",
    "dataset": "name of a dataset, percent-encoded",
    "job": "name of a job, percent-encoded",
    "source": "name of a source, percent-encoded",
    "asset": "what is counted",
    "task": "the id of a task of the request",
    "sha256": "64 lower-case hexadecimal digits",
}
_PATTERNS: Final = {"sha256": "^[0-9a-f]{64}$"}


def document(routes: Sequence[Route]) -> dict[str, Any]:
    """The OpenAPI document as JSON."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Govern",
            "version": version("govern-ml"),
            "summary": "Lineage, erasure, audits, evidence.",
            "description": ABOUT,
        },
        "tags": [{"name": name, "description": about} for name, about in TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": _schemas(),
            "responses": {
                "Problem": {"description": "What went wrong", "content": {"application/problem+json": {"schema": _ref("Problem")}}},
                "OpenDsrError": {
                    "description": "What went wrong, as OpenDSR says it; about the key a problem",
                    "content": {
                        "application/json": {"schema": _ref("OpenDsrError")},
                        "application/problem+json": {"schema": _ref("Problem")},
                    },
                },
                "MarquezError": {
                    "description": "What went wrong, as Marquez says it; about the key a problem",
                    "content": {
                        "application/json": {"schema": _ref("MarquezError")},
                        "application/problem+json": {"schema": _ref("Problem")},
                    },
                },
            },
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "An API key"},
                "header": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The same key in its own header"},
            },
        },
    }


def _errors(route: Route) -> str:
    """The component that describes what the route answers when it refuses."""
    return "MarquezError" if route.marquez else "OpenDsrError" if route.opendsr else "Problem"


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _operation(route: Route) -> dict[str, Any]:
    who = "No key is needed." if not route.roles else f"Roles: {', '.join(role for role in ROLES if role in route.roles)}."
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": _path_schema(name), "description": _NAMES[name]}
        for name in re.findall(r"\{(\w+)\}", route.path)
    ]
    parameters += [_parameter(param, empty=route.marquez) for param in route.query]
    if route.idempotent:
        parameters.append(
            {
                "name": "Idempotency-Key",
                "in": "header",
                "schema": {"type": "string", "pattern": "^[\\x21-\\x7e]{1,255}$"},
                "description": "The same key again gives the first answer and does nothing twice.",
            }
        )
    operation: dict[str, Any] = {
        "operationId": route.ident,
        "tags": [route.tag],
        "summary": route.summary,
        "description": f"{route.about} {who}".strip(),
        "security": [{"bearer": []}, {"header": []}] if route.roles else [],
        "responses": {
            **{str(status): _answer(route) for status in (route.status, *route.status_also)},
            "default": {"$ref": f"#/components/responses/{_errors(route)}"},
        },
    }
    if parameters:
        operation["parameters"] = parameters
    if route.takes != "none":
        operation["requestBody"] = _body(route)
    return operation


def _path_schema(name: str) -> dict[str, Any]:
    return {"type": "string", "pattern": _PATTERNS[name]} if name in _PATTERNS else {"type": "string", "minLength": 1}


def _parameter(param: Param, *, empty: bool) -> dict[str, Any]:
    """``empty``: an empty value is as none."""
    kinds: dict[str, dict[str, Any]] = {"int": {"type": "integer"}, "bool": {"type": "boolean"}, "time": TIME, "list": {"type": "array"}}
    schema: dict[str, Any] = dict(kinds.get(param.kind, {"type": "string"}))
    if param.kind == "int":
        schema |= {"minimum": param.minimum, "maximum": param.maximum}
    if param.choices:
        schema["enum"] = list(param.choices)
    if param.default is not None:
        schema["default"] = list(param.default) if param.kind == "list" else param.default
    schema |= dict(param.schema)
    if empty and not param.required and ("enum" in schema or param.kind in ("int", "bool", "time")):
        schema = {"anyOf": [schema, {"const": ""}]}
    shown: dict[str, Any] = {"name": param.name, "in": "query", "schema": schema}
    if param.required:
        shown["required"] = True
    if param.about:
        shown["description"] = param.about
    return shown


def _body(route: Route) -> dict[str, Any]:
    limit = f"At most {route.limit // (1024 * 1024)} MiB."
    if route.takes == "binary":
        return {
            "description": limit,
            "required": True,
            "content": {media: _binary(route, media) for media in (route.media, *route.media_also)},
        }
    if route.takes == "event":
        return {"description": limit, "required": True, "content": _events(many=route.path.endswith("/batch"))}
    schema = _ref(route.body) if route.body else _ref("InferenceRequest") if route.oip else {"type": "object"}
    return {"description": limit, "required": True, "content": {"application/json": {"schema": schema}}}


def _binary(route: Route, media: str) -> dict[str, Any]:
    """A body whose bytes the handler reads itself; one that must be JSON of a form is described by it."""
    if route.body:
        return {"schema": _ref(route.body)}
    if media == "application/json":
        return {"schema": {"type": "array"}}
    return {"schema": {"type": "string", "contentMediaType": media}}


def _events(*, many: bool) -> dict[str, Any]:
    if not many:
        return {"application/json": {"schema": _ref("OpenLineageEvent")}}
    listed = {"type": "array", "description": "each is judged by itself: one that is no event is named in `failed_events`"}
    wrapped = {"type": "object", "required": ["events"], "properties": {"events": listed}, "maxProperties": 1}
    return {
        "application/json": {"schema": {"anyOf": [listed, wrapped]}},
        "application/x-ndjson": {"schema": {"type": "string", "description": "one event a line"}},
    }


def _answer(route: Route) -> dict[str, Any]:
    if not route.gives:
        return {"description": "Taken; the body is empty."}
    content = {
        media: {"schema": {"type": ("array" if route.lists else "object") if media == "application/json" else "string"}}
        for media in (route.gives, *route.gives_also)
    }
    return {"description": route.summary, "content": content}


def _schemas() -> dict[str, Any]:
    schemas: dict[str, Any] = {}
    for name, model in MODELS.items():
        schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas |= schema.pop("$defs", {})
        schemas[name] = schema
    schemas["InferenceRequest"] = _inference()
    schemas |= _openlineage()
    schemas["MarquezError"] = {
        "type": "object",
        "required": ["code", "message"],
        "properties": {"code": {"type": "integer"}, "message": {"type": "string"}, "hint": {"type": "string"}},
    }
    schemas["OpenDsrError"] = {
        "type": "object",
        "required": ["error"],
        "properties": {
            "error": {
                "type": "object",
                "required": ["code", "message"],
                "properties": {
                    "code": {"type": "integer"},
                    "message": {"type": "string"},
                    "errors": {"type": "array", "items": {"type": "object"}},
                },
            }
        },
    }
    schemas["Problem"] = {
        "type": "object",
        "required": ["type", "title", "status", "detail"],
        "properties": {
            "type": {
                "type": "string",
                "format": "uri",
                "description": "one of " + ", ".join(f"…/{kind.slug}" for kind in (*PROBLEMS, UNEXPECTED)),
            },
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string", "description": "names the thing and the place"},
            "hint": {"type": "string", "description": "the next step"},
            "instance": {"type": "string", "format": "uri", "description": "correlation id of an unexpected error"},
            "error": {"type": "string", "description": "the detail again, for clients of the Open Inference Protocol"},
            "errors": {
                "type": "array",
                "items": {"type": "object", "properties": {"field": {"type": "string"}, "reason": {"type": "string"}}},
            },
        },
    }
    return dict(sorted(schemas.items()))


def _openlineage() -> dict[str, Any]:
    """What an event must hold to be taken, and no more: an identity. The OpenLineage specification says what else it may say."""
    text = {"type": "string", "minLength": 1}
    named = {"type": "object", "required": ["namespace", "name"], "properties": {"namespace": text, "name": text}}
    datasets = {"type": ["array", "null"], "items": _ref("OpenLineageDataset")}
    run = {"type": "object", "required": ["runId"], "properties": {"runId": text}}
    flows = {"inputs": datasets, "outputs": datasets}
    null = {"type": "null"}
    return {
        "OpenLineageDataset": {**named, "description": "a dataset by its identity; facets beside it"},
        "OpenLineageEvent": {
            "type": "object",
            "description": "a RunEvent, JobEvent or DatasetEvent; unknown fields, facets, types and times are taken and kept",
            "externalDocs": {"url": "https://openlineage.io/spec/2-0-2/OpenLineage.json"},
            "anyOf": [
                {"title": "RunEvent", "required": ["run", "job"], "properties": {"run": run, "job": named, **flows}},
                {"title": "JobEvent", "required": ["job"], "properties": {"run": null, "job": named, **flows}},
                {
                    "title": "DatasetEvent",
                    "required": ["dataset"],
                    "properties": {"run": null, "job": null, "dataset": _ref("OpenLineageDataset")},
                },
            ],
        },
    }


def _inference() -> dict[str, Any]:
    from governance.api.oip import DATATYPES, MAX_BATCH

    tensor = {
        "type": "object",
        "required": ["name", "shape", "datatype", "data"],
        "additionalProperties": False,
        "properties": {
            "name": {"type": "string", "minLength": 1},
            "shape": {
                "type": "array",
                "prefixItems": [{"type": "integer", "minimum": 1, "maximum": MAX_BATCH}],
                "items": {"type": "integer", "minimum": 0},
                "minItems": 1,
                "description": "the batch first, the same in every tensor; `data` has as many values as the numbers multiplied",
            },
            "datatype": {"enum": list(DATATYPES)},
            "parameters": {"type": "object"},
            "data": {"type": "array"},
        },
    }
    return {
        "type": "object",
        "required": ["inputs"],
        "additionalProperties": False,
        "properties": {
            "id": {"type": "string"},
            "parameters": {
                "type": "object",
                "properties": {
                    "govern_subject": {"type": ["string", "null"], "pattern": "^[^:]+:[\\s\\S]+$", "examples": ["applicant:17"]}
                },
            },
            "inputs": {"type": "array", "items": tensor, "minItems": 1},
            "outputs": {"type": "array", "items": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}},
        },
    }
