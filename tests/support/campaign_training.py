"""The training process of the kill campaign: a real child on a real lifeline, whose weights are a digest, and which tells a side file."""

from __future__ import annotations

import hashlib
import json
import os
import time
from typing import Any

from trainers.child import serve_child


def main() -> None:
    """Serve one training."""
    serve_child(_train)


def _train(kind: str, header: dict[str, Any], body: bytes, _channel: Any) -> tuple[str, dict[str, Any], bytes] | None:
    def tell(word: str) -> None:
        with open(header["side"], "a") as side:  # noqa: PTH123 - one write, one line
            side.write(f"{word} {header['model']} {os.getpid()}\n")

    assert kind == "train", kind
    tell("start")
    time.sleep(header["pause"])
    weights = json.dumps({"rows": json.loads(body), "model": header["model"]}, sort_keys=True).encode()
    tell("end")
    return "trained", {"name": hashlib.sha256(weights).hexdigest()}, weights
