"""kill -9 between an act and its delivery: it is told all the same, in order; what comes twice comes under the same id."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from governance.registry.outbox import TOGETHER
from tests.support.kafka import ROOT, environment
from tests.support.posting_process import Post
from tests.support.receiver import Receiver

pytestmark = pytest.mark.crash

ACTS = 60


@pytest.mark.parametrize(
    ("moment", "count"), [("act", 7), ("sent", 33), *(pytest.param(*one, marks=pytest.mark.slow) for one in (("sent", 1), ("told", 1)))]
)
def test_what_was_acted_before_a_kill_is_told_after_it(tmp_path: Path, moment: str, count: int) -> None:
    with Receiver() as receiver:
        post = Post(tmp_path)
        added = post.webhooks.add({"url": receiver.url, "events": ["erasure.*"]}, actor="key:admin")
        post.close()
        command = [sys.executable, "-m", "tests.support.posting_process", str(tmp_path), moment, str(count), str(ACTS)]
        died = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=120, check=False)
        assert died.returncode == -9, died.stderr[-2000:]
        before = len(receiver.taken)
        assert before == 0 if moment == "act" else before >= 1

        post = Post(tmp_path)
        try:
            acted = len(post.ledger.records("erasure"))
            assert acted >= (count if moment == "act" else 1)
            for number in range(ACTS):
                post.act(number)  # those from before are known by their identity
            post.courier.start()
            end = time.monotonic() + 60
            while post.outbox.waiting(added["id"]):
                assert time.monotonic() < end
                time.sleep(0.02)
        finally:
            post.close()
        first: dict[str, str] = {}
        for got in receiver.taken:
            told = got.json["data"]["changes"][0]["id"]
            assert first.setdefault(got.headers["webhook-id"], told) == told
        assert list(first.values()) == [f"er-{number}" for number in range(ACTS)]
        assert len(receiver.taken) - ACTS <= TOGETHER, "only what the ledger did not know yet comes twice"
