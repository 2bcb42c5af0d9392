"""A process that acts and tells, and ends itself with SIGKILL: ``python -m tests.support.posting_process FOLDER MOMENT COUNT ACTS``.

Moments: ``act`` (after the COUNT-th act is durable; nothing was sent), ``sent`` (the receiver has the COUNT-th message, the ledger does not
know), ``told`` (the ledger has just entered the COUNT-th group of deliveries).
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from governance.adapters.webhook_sender import WebhookSender, networks
from governance.registry import courier as couriers
from governance.registry.acts import act, reduce_entry
from governance.registry.outbox import Outbox
from governance.registry.webhooks import Webhooks
from lineage.adapters.sql_ledger import SqlLedger
from lineage.clock import SystemClock
from tests.conftest import MemoryKeys


class Post:
    """The pieces over a ledger in a folder."""

    def __init__(self, folder: Path) -> None:
        self.clock, keys = SystemClock(), MemoryKeys()
        self.ledger = SqlLedger(folder / "ledger.db", keys=keys, origin="govern.test/log", clock=self.clock, reducer=reduce_entry)
        self.sender = WebhookSender(networks("127.0.0.0/8"))
        self.webhooks = Webhooks(self.ledger, keys, self.clock, self.sender)
        self.outbox = Outbox(self.ledger, self.clock, chance=lambda: 0.0)
        self.courier = couriers.Courier(self.outbox, self.sender, self.webhooks.headers, self.clock)

    def act(self, number: int) -> None:
        body = {"id": f"er-{number}", "state": "approved"}
        self.ledger.append([act("erasure.approved", actor="key:a", records={("erasure", f"er-{number}"): body}, identity=f"act-{number}")])

    def close(self) -> None:
        self.courier.close()
        self.ledger.close()


def main() -> None:
    folder, moment, count, acts = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    post = Post(folder)
    left = count

    def die() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    if moment == "sent":
        plain = post.sender.post

        def posting(*args, **kwargs):
            answer = plain(*args, **kwargs)
            die()
            return answer

        post.sender.post = posting
    elif moment == "told":
        told = post.outbox.delivered

        def entering(*args):
            told(*args)
            die()

        post.outbox.delivered = entering
    if moment != "act":
        post.courier.start()
    for number in range(acts):
        post.act(number)
        if moment == "act":
            die()
    time.sleep(60)  # killed meanwhile


if __name__ == "__main__":
    main()
