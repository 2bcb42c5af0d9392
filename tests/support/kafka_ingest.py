"""``govern ingest`` that ends itself with SIGKILL at a named moment: ``python -m tests.support.kafka_ingest MOMENT COUNT ingest URL …``.

Moments, each at its COUNT-th time: ``taken`` (messages were read, nothing was sent), ``delivered`` (the ledger has them, the topic's group
does not know), ``asked`` (a commit is on its way), ``committed`` (the broker has the offsets).
"""

from __future__ import annotations

import sys

from tests.support.ingest_server import Countdown, after, before

MOMENTS = ("taken", "delivered", "asked", "committed")


def main() -> None:
    """Arm, then the command."""
    moment, then = sys.argv[1], Countdown(int(sys.argv[2]))
    from governance.cli import main as govern
    from governance.cli.kafka.consumer import KafkaMessages
    from governance.cli.kafka.intake import Intake

    if moment == "taken":
        Intake._one = before(Intake._one, then)
    elif moment == "delivered":
        KafkaMessages.acknowledge = before(KafkaMessages.acknowledge, then)
    elif moment == "asked":
        KafkaMessages.acknowledge = after(KafkaMessages.acknowledge, then)
    elif moment == "committed":
        KafkaMessages._on_commit = after(KafkaMessages._on_commit, then)
    govern(sys.argv[3:])


if __name__ == "__main__":
    main()
