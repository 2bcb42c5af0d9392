"""The Open Inference Protocol v2 (REST) with raw named features."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from governance.api.call import MIB, OPEN, Call, Reply, Route, json_reply, roles
from governance.api.oip import inference_request
from lineage.errors import BadInput

__all__ = ["ROUTES"]

USERS: Final = roles("predict", "engineer")
LOOKERS: Final = roles("predict", "engineer", "auditor")
MODEL: Final = "/v2/models/{name}"
VERSION: Final = "/v2/models/{name}/versions/{version}"


def server(_system: Any, _call: Call) -> Reply:
    """Server metadata; there are no extensions."""
    from importlib.metadata import version

    return json_reply({"name": "govern", "version": version("govern-ml"), "extensions": []})


def live(_system: Any, _call: Call) -> Reply:
    """The server is alive."""
    return json_reply({"live": True})


def ready(system: Any, _call: Call) -> Reply:
    """The protocol asks for a status of 4xx when not ready; 400 is what other servers of it give."""
    is_ready = system.ready()["status"] == "ready"
    return json_reply({"ready": is_ready}, 200 if is_ready else 400)


def metadata(system: Any, call: Call) -> Reply:
    """Inputs, outputs and versions of a model."""
    return json_reply(system.serving.metadata(call.path["name"], call.path.get("version")))


def metadata_version(system: Any, call: Call) -> Reply:
    """The same, of one version."""
    return metadata(system, call)


def model_ready(system: Any, call: Call) -> Reply:
    """The model can answer now."""
    is_ready = system.serving.ready(call.path["name"], call.path.get("version"))
    return json_reply({"name": call.path["name"], "ready": is_ready}, 200 if is_ready else 400)


def model_ready_version(system: Any, call: Call) -> Reply:
    """The same, of one version."""
    return model_ready(system, call)


def infer(system: Any, call: Call) -> Reply:
    """One inference; the person, if named, is turned into a keyed reference behind the facade."""
    if "inference-header-content-length" in call.headers:
        raise BadInput("the binary tensor extension is not read here", hint="send the tensors' data as JSON (binary_data=False)")
    request = inference_request(call.value)
    answer = system.serving.infer(call.path["name"], call.path.get("version"), request, actor=call.actor)
    return replace(json_reply(answer), served=(str(answer["model_name"]), str(answer["model_version"])))


def infer_version(system: Any, call: Call) -> Reply:
    """The same, by one version."""
    return infer(system, call)


_INFER: dict[str, Any] = {"method": "POST", "takes": "json", "limit": 16 * MIB, "roles": USERS, "pool": "predict", "oip": True}
_LOOK: dict[str, Any] = {"method": "GET", "roles": LOOKERS, "oip": True}
_ABOUT = (
    "Named features as tensors of BYTES, FP64, FP32, INT64, INT32 or BOOL, all with the same first dimension (the batch). "
    '`parameters.govern_subject` ("applicant:17") says whom it is about; it is replaced by a keyed reference at once. '
    "The answer's `id` is the prediction's, for traces and incidents."
)

ROUTES = (
    Route(path="/v2", summary="Server metadata", handler=server, **_LOOK),
    Route(method="GET", path="/v2/health/live", summary="Is the server alive?", roles=OPEN, handler=live, pool="inline", oip=True),
    Route(method="GET", path="/v2/health/ready", summary="Is the server ready?", roles=OPEN, handler=ready, oip=True, status_also=(400,)),
    Route(path=MODEL, summary="Model metadata", handler=metadata, **_LOOK),
    Route(path=VERSION, summary="Metadata of one version", handler=metadata_version, **_LOOK),
    Route(path=f"{MODEL}/ready", summary="Can the model answer?", handler=model_ready, status_also=(400,), **_LOOK),
    Route(path=f"{VERSION}/ready", summary="Can this version answer?", handler=model_ready_version, status_also=(400,), **_LOOK),
    Route(path=f"{MODEL}/infer", summary="Predict with the version that serves", handler=infer, about=_ABOUT, **_INFER),
    Route(path=f"{VERSION}/infer", summary="Predict with one version", handler=infer_version, about=_ABOUT, **_INFER),
)
