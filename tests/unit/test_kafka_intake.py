"""The loop from a message log to the ledger, over a log in memory that may lose its connection or a partition at any moment."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from governance.cli.kafka.intake import Intake, event_of
from governance.cli.kafka.messages import Message
from governance.cli.kafka.offsets import Offsets
from lineage.errors import Forbidden, StoreUnavailable
from tests.fakes.message_log import MemoryLog


class Door:
    """Keeps what it was sent; fails as often as it is told, before or after keeping it."""

    def __init__(self, failures: list[str] | None = None) -> None:
        self.kept: list[bytes] = []
        self.failures = failures or []

    def __call__(self, batch):
        how = self.failures.pop(0) if self.failures else ""
        if how == "before":
            raise StoreUnavailable("the server is away")
        good = [found for found in batch if not found.fault]
        for found in good:
            if found.raw not in self.kept:
                self.kept.append(found.raw)
        if how == "after":  # it was durable, and the answer was lost
            raise StoreUnavailable("the server is away")
        return [{"place": found.place, "reason": found.fault} for found in batch if found.fault]


def intake(log, door, **options):
    told: list[str] = []
    options = {"until_end": True, "stop": lambda: False, "tell": told.append} | options
    return Intake(log, door, **options), told


def event(number: int) -> bytes:
    return b'{"job": {"name": "%d"}}' % number


def test_everything_is_delivered_and_then_acknowledged():
    log, door = MemoryLog([event(1), None, b" ", b"{", event(2)]), Door()
    loop, told = intake(log, door)
    taken = loop.run()
    assert (taken.received, taken.accepted, taken.empty, taken.refused, taken.ended) == (5, 2, 2, 1, "end")
    assert told == ["refused: log[0]@3: it is not JSON"]
    assert taken.named == [{"place": "log[0]@3", "reason": "it is not JSON", "topic": "log", "partition": 0, "offset": 3}]
    assert log.committed == 5
    assert door.kept == [event(1), event(2)]


def test_a_topic_of_tombstones_asks_the_server_nothing():
    log, door = MemoryLog([None, b""]), Door(["before"])
    loop, _ = intake(log, door)
    assert loop.run().empty == 2
    assert (log.committed, door.failures) == (2, ["before"])


def test_nothing_is_acknowledged_that_the_server_did_not_answer():
    log, door = MemoryLog([event(1)]), Door(["before"] * 9)
    loop, told = intake(log, door, patience=0.0)
    with pytest.raises(StoreUnavailable):
        loop.run()
    assert (log.committed, log.settled) == (0, True)
    assert told == []


def test_a_server_that_is_away_is_told_once_and_waited_for():
    log, door = MemoryLog([event(1)]), Door(["before", "after", "before"])
    loop, told = intake(log, door)
    assert loop.run().accepted == 1
    assert told == ["waiting: the server is away; 1 events stay in the topic until it answers", "it answers again"]
    assert log.waited == [0.5, 1.0, 2.0]


def test_what_the_server_refuses_altogether_ends_it_with_nothing_acknowledged():
    def door(_batch):
        raise Forbidden("no such key")

    log = MemoryLog([event(1), event(2)])
    loop, told = intake(log, door)
    with pytest.raises(Forbidden):
        loop.run()
    assert log.committed == 0
    assert told == ["stopped at log[0]@0 to log[0]@1: it was not acknowledged"]


def test_asked_to_stop_while_the_server_is_away_it_leaves_the_batch_in_the_log():
    log = MemoryLog([event(1)])
    asked: list[bool] = []
    loop, _ = intake(log, Door(["before"] * 9), stop=lambda: len(log.waited) > 1 or bool(asked))
    taken = loop.run()
    assert (taken.received, taken.ended, log.committed) == (0, "stopped", 0)


def test_only_so_many_refused_messages_are_kept_and_all_are_counted():
    log = MemoryLog([b"{"] * 250)
    loop, told = intake(log, Door())
    taken = loop.run()
    assert (taken.refused, len(taken.named), len(told)) == (250, 100, 250)


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        (b"{", "it is not JSON"),
        (b"{} {}", "it is not JSON"),
        (b"\x00\x00\x00\x00\x07abc", "it is not JSON: it begins with a zero byte, as what a schema registry's serializer wrote does"),
        (b"x" * (64 * 1024 * 1024 + 1), "the message has 67108865 bytes, an event at most 67108864"),
        (b"[1, {}]", None),  # JSON, so the door says what is wrong with it
        (b"\xef\xbb\xbf {} \n", None),
    ],
)
def test_what_cannot_be_sent_has_a_fault(value, fault):
    assert event_of(Message("log", 0, 0, value)).fault == fault


# ── properties ──────────────────────────────────────────────────────────────────────────────────
@settings(max_examples=25, deadline=None)
@given(st.randoms(use_true_random=False))
def test_whatever_fails_and_whenever_it_is_killed_each_event_is_kept_and_no_offset_is_ahead(chance: random.Random):
    values = [chance.choice([event(number), event(number // 2), None, b"{"]) for number in range(30)]
    log, door = MemoryLog(values), Door()
    for _ in range(50):
        door.failures = [chance.choice(["", "", "before", "after"]) for _ in range(chance.randrange(4))]
        loop, _ = intake(log.rejoin(most=chance.randrange(1, 9)), door, patience=0.0 if chance.random() < 0.5 else 60.0)
        try:
            loop.run()
        except StoreUnavailable:  # as a kill: the next member begins where the log says
            kept = set(door.kept)
            assert all(value in kept for value in values[: log.committed] if value not in (None, b"{"))
        else:
            break
    else:
        door.failures = []
        intake(log.rejoin(most=5), door)[0].run()
    assert log.committed == len(values)
    assert Counter(door.kept) == Counter({value: 1 for value in values if value not in (None, b"{")})


KEYS = [("t", 0), ("t", 1)]
STEPS = st.lists(st.tuples(st.sampled_from(["take", "deliver", "end", "settle", "lose", "assign"]), st.sampled_from(KEYS)), max_size=40)


@settings(max_examples=100)
@given(STEPS)
def test_a_commit_is_never_ahead_of_what_is_durable_and_never_goes_back(steps):
    offsets = Offsets()
    offsets.ends = dict.fromkeys(KEYS, 1000)
    group: dict[tuple[str, int], int] = {}
    read: dict[tuple[str, int], list[int]] = {}
    durable = {key: set() for key in KEYS}
    for step, key in steps:
        if step == "assign" and key not in read:
            offsets.assign([key], group)
            read[key] = [group.get(key, 0)]
        elif step == "lose":
            offsets.forget([key])
            read.pop(key, None)
        elif key not in read:
            offsets.delivered(key, 7)  # of a partition that went away
        elif step == "take":
            offsets.took(key, read[key][-1])
            read[key].append(read[key][-1] + 1)
        elif step == "deliver":
            for at in read[key][:-1]:
                durable[key].add(at)
                offsets.delivered(key, at)
        elif step == "end":
            offsets.reached_end(key, read[key][-1])
        else:
            for part, offset in offsets.open().items():
                assert offset > group.get(part, 0)
                assert set(range(offset)) <= durable[part] | set(range(group.get(part, 0)))
                group[part] = offset
                offsets.settled(part, offset)
    assert all(offset > group.get(key, 0) for key, offset in offsets.open().items())


def test_an_offset_beyond_the_end_is_not_believed():
    offsets = Offsets()
    offsets.ends = {("t", 0): 5}
    offsets.assign([("t", 0)], {("t", 0): 100})  # the topic was deleted and made anew
    assert offsets.expected(("t", 0)) is None
    assert not offsets.done([("t", 0)])
    offsets.took(("t", 0), 0)
    offsets.delivered(("t", 0), 0)
    assert offsets.open() == {("t", 0): 1}
    assert offsets.lag({("t", 0): 5}) == 4


def test_the_lag_is_unknown_until_every_partition_has_said_something():
    offsets = Offsets()
    offsets.ends = {("t", 0): 5, ("t", 1): 0}
    offsets.assign(offsets.ends, {("t", 0): 2})
    assert offsets.lag({("t", 0): -1, ("t", 1): -1}) is None
    offsets.reached_end(("t", 1), 0)
    assert offsets.lag({("t", 0): -1, ("t", 1): -1}) == 3
    assert offsets.done([("t", 1)])
    assert not offsets.done([("t", 0), ("t", 1)])
    offsets.forget([("t", 0)])
    assert offsets.others() == {("t", 0): 5}
