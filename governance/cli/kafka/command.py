"""``govern ingest kafka://…``: the loop with a terminal, signals and an exit code around it."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

import typer

from governance.cli.client import Api
from governance.cli.exits import ERROR, GONE, Usage
from governance.cli.kafka.address import client_settings, parse_address
from governance.cli.kafka.intake import Intake, Taken
from governance.cli.output import emit_json, say
from governance.cli.progress import bar
from governance.cli.sending import deliver

if TYPE_CHECKING:
    from governance.cli.kafka.consumer import KafkaMessages

__all__ = ["follow"]


class Stop:
    """Whether SIGINT or SIGTERM came."""

    def __init__(self) -> None:
        self.asked = False

    def __call__(self) -> bool:
        return self.asked

    def ask(self, number: int, _frame: FrameType | None) -> None:
        """The first signal asks; a second Ctrl-C does not wait."""
        if self.asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.asked = True


@contextmanager
def _signals() -> Iterator[Stop]:
    stop = Stop()
    before = {number: signal.signal(number, stop.ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _tell(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def _client() -> type[KafkaMessages]:
    try:
        from governance.cli.kafka.consumer import KafkaMessages
    except ImportError as error:
        if (error.name or "").partition(".")[0] != "confluent_kafka":
            raise
        raise Usage(f"a kafka:// source needs the extra kafka: {error}", hint="pip install 'govern-ml[kafka]'") from error
    return KafkaMessages


def _report(taken: Taken, more: dict[str, Any], *, as_json: bool) -> None:
    if taken.unsettled:
        _tell(f"unsettled: the last offsets of {taken.unsettled} partitions could not be committed; the ledger will know what comes again")
    if as_json:
        counts = {"received": taken.received, "accepted": taken.accepted, "empty": taken.empty, "refused": taken.named}
        emit_json(counts | {"refused_count": taken.refused, "unsettled": taken.unsettled, "ended": taken.ended} | more)
        return
    lag = more["lag"]
    say(f"{taken.accepted} of {taken.received - taken.empty} events accepted from {more['topic']} as group {more['group']}")
    say(
        f"{'lag unknown' if lag is None else f'{lag} messages behind'}; {taken.empty} empty, {more['missed']} removed before they were read"
    )


def follow(source: str, api: Api, *, until_end: bool, patience: float, as_json: bool) -> None:
    """Take the events of a Kafka topic, until its present end or for ever.

    Raises:
        Usage: the address or a setting cannot be used, or the extra is not installed.
        StoreUnavailable: the brokers, or the server, were away for longer than ``patience`` seconds.
        typer.Exit: 1, messages were refused; 4, it was stopped before the end that ``until_end`` asks for.
    """
    address = parse_address(source)
    settings = client_settings(address, os.environ)
    make = _client()
    with _signals() as stop, make(address, settings, tell=_tell, patience=patience, stop=stop) as log, bar("ingest") as seen:

        def progress(taken: Taken) -> None:
            lag = log.lag()
            behind = "" if lag is None else f", {lag} behind"
            seen({"progress": {"done": taken.received, "what": f"{taken.received} messages{behind}"}})

        # An empty batch: a wrong key, address or home is said before the first message is taken.
        api.send("POST", "/api/v1/lineage/batch", b"[]", "application/json")
        intake = Intake(
            log, lambda found: deliver(api, found), until_end=until_end, stop=stop, tell=_tell, progress=progress, patience=patience
        )
        opened, lag = False, None
        try:
            opened = log.open()
            if opened:
                intake.run()
                lag = log.lag()
        finally:
            if opened or as_json:
                where = {"topic": address.topic, "group": settings["group.id"]}
                _report(intake.taken, where | {"missed": log.missed(), "lag": lag}, as_json=as_json)
    if until_end and intake.taken.ended != "end":
        raise typer.Exit(GONE)
    if until_end and intake.taken.refused:
        raise typer.Exit(ERROR)
