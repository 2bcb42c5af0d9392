"""The child of a served model version: answers ``predict`` with labels and scores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trainers.child import Channel, serve_child
from trainers.errors import BadModule
from trainers.frames import Message, from_ipc

__all__ = ["main"]


def main() -> None:
    """Load the model named by the first message, then answer."""
    loaded: Any = None

    def handle(kind: str, header: dict[str, Any], body: bytes, _channel: Channel) -> Message:
        nonlocal loaded
        if kind == "load":
            from trainers.determinism import pin
            from trainers.loading import load_model

            pin(header["threads"], 0)
            loaded = load_model(Path(header["artifact"]), Path(header["code"]))
            return "loaded", {"signature": dict(loaded.signature), "manifest": dict(loaded.manifest)}, b""
        if kind == "predict" and loaded is not None:
            labels, scores = loaded.predict(from_ipc(body))
            return "prediction", {"labels": labels, "scores": scores}, b""
        raise BadModule(f"a runner knows no message {kind!r} here")

    serve_child(handle)
