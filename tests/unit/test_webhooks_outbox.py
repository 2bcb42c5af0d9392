"""From an act to the receiver: the message is written with the act, signed, told in order, tried again, given up and told after all."""

from __future__ import annotations

import base64
import datetime as dt
import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from governance.adapters.webhook_sender import WebhookSender, networks
from governance.model import Sent
from governance.registry.acts import act, reduce_entry
from governance.registry.courier import Courier
from governance.registry.outbox import ATTEMPTS, TOGETHER, Outbox, pause
from governance.registry.posting import FAMILIES, checked_events, matches
from governance.registry.webhooks import Webhooks
from lineage.adapters.file_keys import FileKeyStore
from lineage.errors import BadInput, Conflict, NotFound
from tests.support.receiver import Receiver


def now() -> int:
    """The real time of this test: the reference library holds a message's time against its own clock, within five minutes."""
    return int(dt.datetime.now(dt.UTC).timestamp()) * 1_000_000_000


REFERENCE = "5d" * 16


class Post:
    """The pieces over one ledger, as a home joins them, with a clock of their own."""

    def __init__(self, open_ledger, keys, clock) -> None:
        self.clock, self.keys = clock, keys
        self.ledger = open_ledger(reducer=reduce_entry)
        self.sender = WebhookSender(networks("127.0.0.0/8"))
        self.webhooks = Webhooks(self.ledger, keys, clock, self.sender)
        self.outbox = Outbox(self.ledger, clock, chance=lambda: 0.5)
        self.courier = Courier(self.outbox, self.sender, self.webhooks.headers, clock)

    def add(self, url, *events, **more):
        return self.webhooks.add({"url": url, "events": list(events or ("erasure.*",))} | more, actor="key:admin")

    def act(self, number, kind="erasure.approved", **more):
        body = {"id": f"er-{number}", "state": "approved", "regulation": "GDPR", "subject_refs": [REFERENCE], "ground": "SENTINEL"}
        self.ledger.append([act(kind, actor="key:a", records={("erasure", f"er-{number}"): body | more})])

    def pass_seconds(self, seconds):
        self.clock.at += int(seconds * 1e9)


@pytest.fixture
def post(open_ledger, memory_keys, ticking_clock):
    ticking_clock.at = now()
    return Post(open_ledger, memory_keys, ticking_clock)


def changed(got):
    return [one.json["data"]["changes"][0]["id"] for one in got]


def verified(secret, got):
    return Webhook(secret).verify(got.body, got.headers)


# ── the message ─────────────────────────────────────────────────────────────────────────────────
def test_an_act_is_told_and_the_reference_library_verifies_it(post) -> None:
    with Receiver() as receiver:
        added = post.add(receiver.url)
        assert added["secret"].startswith("whsec_")
        post.act(1)
        assert post.courier.deliver(added["id"]) == 1
        (got,) = receiver.got
        told = verified(added["secret"], got)
        assert told["type"] == "erasure.approved"
        assert told["timestamp"].endswith("Z")
        assert told["data"] == {"entry": 1, "changes": [{"kind": "erasure", "id": "er-1", "state": "approved", "regulation": "GDPR"}]}
        assert REFERENCE not in got.body.decode()
        assert "SENTINEL" not in got.body.decode()
        assert post.outbox.waiting(added["id"]) == []


def test_a_message_that_was_altered_or_signed_with_another_secret_is_refused_by_the_receiver(post) -> None:
    with Receiver() as receiver:
        added, other = post.add(receiver.url), post.add("http://127.0.0.1:9/x", "gate.*")
        post.act(1)
        post.courier.deliver(added["id"])
        (got,) = receiver.got
        with pytest.raises(WebhookVerificationError, match="No matching"):
            verified(other["secret"], got)
        for change in (got.body.replace(b"approved", b"refused "), got.body + b" "):
            with pytest.raises(WebhookVerificationError, match="No matching"):
                Webhook(added["secret"]).verify(change, got.headers)
        for name, value in (("webhook-id", "another"), ("webhook-timestamp", str(int(got.headers["webhook-timestamp"]) - 1))):
            with pytest.raises(WebhookVerificationError, match="No matching"):
                Webhook(added["secret"]).verify(got.body, got.headers | {name: value})
        old = got.headers | {"webhook-timestamp": str(int(got.headers["webhook-timestamp"]) - 3600)}
        with pytest.raises(WebhookVerificationError, match="too old"):
            Webhook(added["secret"]).verify(got.body, old)


def test_an_endpoint_with_a_public_key_verifies_ed25519(post) -> None:
    with Receiver() as receiver:
        added = post.add(receiver.url, scheme="v1a")
        assert added["secret"].startswith("whpk_")
        post.act(1)
        post.courier.deliver(added["id"])
        (got,) = receiver.got
        kind, _, signature = got.headers["webhook-signature"].partition(",")
        assert kind == "v1a"
        content = f"{got.headers['webhook-id']}.{got.headers['webhook-timestamp']}.".encode() + got.body
        public = Ed25519PublicKey.from_public_bytes(base64.b64decode(added["secret"].removeprefix("whpk_")))
        public.verify(base64.b64decode(signature), content)
        with pytest.raises(Exception):  # noqa: B017 - cryptography's InvalidSignature has no words
            public.verify(base64.b64decode(signature), content + b" ")


def test_after_a_rotation_both_secrets_verify_for_a_day_and_then_the_new_one_alone(post) -> None:
    with Receiver() as receiver:
        added = post.add(receiver.url)
        secret = post.webhooks.rotate(added["id"], actor="key:admin")["secret"]
        post.act(1)
        post.courier.deliver(added["id"])
        for each in (added["secret"], secret):
            assert verified(each, receiver.got[0])["type"] == "erasure.approved"
        post.clock.at += 86_401 * 1_000_000_000
        headers = post.webhooks.headers(post.outbox.endpoint(added["id"]), {"id": "m"}, b"{}")
        assert headers["webhook-signature"].count("v1,") == 1


# ── what is told ────────────────────────────────────────────────────────────────────────────────
def test_only_what_was_subscribed_is_told_and_nothing_from_before(post) -> None:
    with Receiver() as receiver:
        post.act(0)
        erasures, gates = post.add(receiver.url), post.add(receiver.url, "gate.decided", "deployment.*")
        post.act(1)
        decision = {"model": "m", "version": "1", "at": 5, "decision": {"outcome": "fail", "gates": [{"reason": "SENTINEL"}]}}
        post.ledger.append([act("gate.decided", actor="system", records={("decision", "m@1"): decision})])
        post.ledger.append([act("key.created", actor="system", detail={"n": 1})])
        assert [row["type"] for _, row in post.outbox.waiting(erasures["id"])] == ["erasure.approved"]
        ((_, row),) = post.outbox.waiting(gates["id"])
        assert row["data"]["changes"] == [{"kind": "decision", "model": "m", "version": "1", "at": 5, "outcome": "fail"}]


def test_telling_is_not_told(post) -> None:
    with Receiver() as receiver:
        added = post.add(receiver.url, "*")
        post.act(1)
        post.courier.deliver(added["id"])
        post.courier.deliver(added["id"])
        assert len(receiver.got) == 1


def test_the_message_is_there_with_its_act_or_not_at_all(post) -> None:
    added = post.add("http://127.0.0.1:9/x")

    def work(tx):
        tx.append(act("erasure.approved", actor="key:a", records={("erasure", "er-1"): {"id": "er-1", "state": "approved"}}))
        raise BadInput("the work failed after the act")

    with pytest.raises(BadInput):
        post.ledger.transact(work)
    assert post.outbox.waiting(added["id"]) == []
    assert post.ledger.record("erasure", "er-1") is None


def test_a_rebuild_from_the_log_has_the_same_messages_waiting(post) -> None:
    with Receiver() as receiver:
        added = post.add(receiver.url)
        for number in range(3):
            post.act(number)
        receiver.answers += [204, 500]
        assert post.courier.deliver(added["id"]) == 1
        kinds = ("outbox", "webhook", "subscriptions", "dead")
        before = {kind: post.ledger.records(kind) for kind in kinds}
        assert len(before["outbox"]) == 2
        post.ledger.rebuild_records()
        assert {kind: post.ledger.records(kind) for kind in kinds} == before


# ── order, again and again, giving up ───────────────────────────────────────────────────────────
def test_a_receiver_that_is_down_for_a_while_gets_everything_in_order(post) -> None:
    with Receiver() as receiver:
        url, port = receiver.url, receiver.port
    added = post.add(url)
    for number in range(3):
        post.act(number)
    assert post.courier.deliver(added["id"]) == 0
    shown = post.webhooks.get(added["id"])
    assert (shown["state"], shown["attempts"], shown["waiting"]) == ("active", 1, 3)
    assert shown["error"] == "no connection can be made"
    assert shown["next_at"] - post.clock.at == pytest.approx(5e9, abs=1e7)
    with Receiver(port=port) as receiver:
        receiver.answers += [503]
        assert post.courier.deliver(added["id"]) == 0
        for number in range(3, 6):
            post.act(number)
        assert post.courier.deliver(added["id"]) == 6
        assert changed(receiver.taken) == [f"er-{number}" for number in range(6)]
        assert receiver.got[0].headers["webhook-id"] == receiver.got[1].headers["webhook-id"], "an attempt keeps the message's id"
    shown = post.webhooks.get(added["id"])
    assert (shown["attempts"], shown["error"], shown["waiting"]) == (0, None, 0)


def test_a_message_that_the_receiver_refuses_is_given_up_listed_and_told_again_when_asked(post) -> None:
    with Receiver() as receiver:
        added = post.add(receiver.url)
        post.act(1)
        post.act(2)
        receiver.answers += [422] * ATTEMPTS
        for _ in range(ATTEMPTS):
            post.courier.deliver(added["id"])
        shown = post.webhooks.get(added["id"])
        assert (shown["state"], shown["dead"], shown["waiting"]) == ("active", 1, 0)
        assert shown["dead_messages"][0]["error"] == "it answered 422"
        assert changed(receiver.taken) == ["er-2"], "the next one is not held up for ever"
        assert post.webhooks.replay(added["id"], actor="key:admin") == {"id": added["id"], "replayed": 1}
        post.courier.deliver(added["id"])
        assert changed(receiver.taken) == ["er-2", "er-1"]
        assert post.webhooks.get(added["id"])["dead"] == 0


@pytest.mark.parametrize(("answer", "attempts"), [(500, ATTEMPTS), (410, 1)])
def test_an_endpoint_that_stays_away_is_disabled_and_keeps_what_waits(post, answer: int, attempts: int) -> None:
    with Receiver() as receiver:
        added = post.add(receiver.url)
        post.act(1)
        post.act(2)
        receiver.answers += [answer] * attempts
        for _ in range(attempts + 2):
            post.courier.deliver(added["id"])
        assert len(receiver.got) == attempts
        shown = post.webhooks.get(added["id"])
        assert (shown["state"], shown["waiting"], shown["dead"]) == ("disabled", 2, 0)
        assert post.outbox.endpoints() == []
        post.act(3)
        post.webhooks.resume(added["id"], actor="key:admin")
        post.courier.deliver(added["id"])
        assert changed(receiver.taken) == ["er-1", "er-2", "er-3"]


def test_a_slow_or_dead_receiver_delays_no_other_and_the_courier_does_it_by_itself(post) -> None:
    with Receiver() as receiver, Receiver() as bad:
        away = post.add(bad.url)
        added = post.add(receiver.url)
        bad.answers += [500] * 100
        post.courier.start()
        try:
            for number in range(20):
                post.act(number)
            wait_for(lambda: len(receiver.taken) == 20)
        finally:
            post.courier.close()
        assert changed(receiver.taken) == [f"er-{number}" for number in range(20)]
        assert post.webhooks.get(away["id"])["waiting"] == 20
        assert post.webhooks.get(added["id"])["waiting"] == 0
        assert len(bad.got) == 1, "a failed message waits for its time"


def wait_for(condition, seconds=20.0):
    import time

    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def test_a_removed_endpoint_gets_nothing_and_its_key_is_gone(post) -> None:
    with Receiver() as receiver:
        added = post.add(receiver.url)
        post.act(1)
        post.webhooks.remove(added["id"], actor="key:admin")
        post.act(2)
        assert post.courier.deliver(added["id"]) == 0
        assert post.ledger.records("outbox") == []
        with pytest.raises(NotFound):
            post.keys.secret(f"webhook-{added['id']}-1")
        with pytest.raises(NotFound, match="webhook"):
            post.webhooks.get(added["id"])


def test_the_secret_is_told_once_and_stands_nowhere(post, tmp_path) -> None:
    with Receiver() as receiver:
        added = post.add(receiver.url)
        raw = base64.b64decode(added["secret"].removeprefix("whsec_"))
        assert "secret" not in json.dumps(post.webhooks.list())
        for path in tmp_path.rglob("*"):
            if path.is_file():
                assert raw not in path.read_bytes()
                assert added["secret"].removeprefix("whsec_").encode() not in path.read_bytes()


@pytest.mark.parametrize("events", [[], ["erasur.*"], ["erasure"], ["erasure."], ["erasure.*x"], ["Erasure.*"], ["*.*"], ["erasure.App"]])
def test_events_that_there_are_none_of_are_refused(post, events) -> None:
    with pytest.raises(BadInput, match="event"):
        post.webhooks.add({"url": "http://127.0.0.1:9/", "events": events}, actor="key:admin")
    assert post.webhooks.list() == {"webhooks": []}


def test_an_endpoint_of_another_owner_is_not_removed_here(post) -> None:
    record, secret = post.webhooks.prepared("recipient", "http://127.0.0.1:9/", actor="key:admin")
    assert secret.startswith("whsec_")
    post.ledger.append([act("recipient.added", actor="key:admin", records={("webhook", record["id"]): record})])
    with pytest.raises(Conflict, match="recipient"):
        post.webhooks.remove(record["id"], actor="key:admin")


# ── pure pieces ─────────────────────────────────────────────────────────────────────────────────
@settings(max_examples=50)
@given(st.integers(1, 50), st.floats(0, 1, exclude_max=True), st.floats(0, 1e7))
def test_a_pause_grows_and_is_never_longer_than_a_day_and_a_half(attempt: int, chance: float, asked: float) -> None:
    wait = pause(attempt, chance)
    assert 2.5 <= wait <= 129_600
    assert pause(attempt + 1, chance) >= wait
    assert min(asked, 86_400) <= pause(attempt, chance, asked=asked) <= 129_600


def test_the_attempts_span_two_days() -> None:
    assert sum(pause(attempt, 0.5) for attempt in range(1, ATTEMPTS)) > 1.2 * 86_400
    assert sum(pause(attempt, 0.0) for attempt in range(1, ATTEMPTS)) > 0.5 * 86_400


@settings(max_examples=50)
@given(st.sampled_from(FAMILIES), st.from_regex(r"[a-z]{1,8}(_[a-z]{1,8})?", fullmatch=True))
def test_patterns_match_what_they_say(family: str, word: str) -> None:
    event = f"{family}.{word}"
    assert checked_events(["*", f"{family}.*", event]) == list(dict.fromkeys(["*", f"{family}.*", event]))
    assert all(matches(pattern, event) for pattern in ("*", f"{family}.*", event))
    assert not matches(f"{family}.{word}x", event)
    assert not any(matches(f"{other}.*", event) for other in FAMILIES if other != family)


def test_what_counts_as_delivered() -> None:
    assert [Sent(status=status).delivered for status in (None, 199, 200, 204, 299, 300, 404, 500)] == [
        False, False, True, True, True, False, False, False,
    ]  # fmt: skip


def test_a_key_that_is_gone_is_not_made_anew_behind_the_receiver_s_back(tmp_path, open_ledger, ticking_clock) -> None:
    ticking_clock.at = now()
    keys = FileKeyStore.create(tmp_path / "keys", clock=ticking_clock)
    post = Post(open_ledger, keys, ticking_clock)
    with Receiver() as receiver:
        added, public = post.add(receiver.url), post.add(receiver.url, scheme="v1a")
        post.act(1)
        assert post.courier.deliver(added["id"]) == post.courier.deliver(public["id"]) == 1
        assert verified(added["secret"], receiver.got[0])
        for path in (tmp_path / "keys").glob("webhook*.json"):
            path.unlink()
        fresh = Post(lambda **_: post.ledger, FileKeyStore(tmp_path / "keys"), ticking_clock)
        post.act(2)
        for one in (added, public):
            assert fresh.courier.deliver(one["id"]) == 0
            assert "cannot be signed: no key" in fresh.webhooks.get(one["id"])["error"]
        assert len(receiver.got) == 2
        secret = fresh.webhooks.rotate(added["id"], actor="key:admin")["secret"]
        with pytest.raises(NotFound):
            fresh.keys.secret(f"webhook-{added['id']}-1")
        assert fresh.courier.deliver(added["id"]) == 1
        assert verified(secret, receiver.got[2])
        fresh.webhooks.remove(public["id"], actor="key:admin")


@pytest.mark.parametrize("name", ["webhook-x-1", "webhook-0123456789ab-0", "webhook-0123456789ab", "epoch-9", "webhook-0123456789ab-1x"])
def test_only_a_webhook_s_own_key_is_made_on_first_use(tmp_path_factory, name: str) -> None:
    folder = tmp_path_factory.getbasetemp() / "first-use-keys"
    keys = FileKeyStore(folder) if (folder / "pdf.json").exists() else FileKeyStore.create(folder)
    with pytest.raises(NotFound):
        keys.hmac(name, b"")


# ── much waits ──────────────────────────────────────────────────────────────────────────────────
class Counting:
    """A ledger that counts the rows of the outbox that were read."""

    def __init__(self, ledger) -> None:
        self._ledger = ledger
        self.read = 0

    def records(self, kind, **given):
        rows = self._ledger.records(kind, **given)
        self.read += len(rows) if kind == "outbox" else 0
        return rows

    def transact(self, work):
        def counted(tx):
            inner = Counting(tx)
            inner.append, inner.record = tx.append, tx.record
            answer = work(inner)
            self.read += inner.read
            return answer

        return self._ledger.transact(counted)

    def __getattr__(self, name):
        return getattr(self._ledger, name)


def rows_read_by_attempts(post, waiting: int, answers: list[int]) -> int:
    """How many rows attempts read that meet these answers while so many messages wait."""
    with Receiver() as receiver:
        added = post.add(receiver.url)
        have = post.ledger.count("outbox")
        bodies = [
            act("erasure.approved", actor="key:a", records={("erasure", f"er-{n}"): {"id": f"er-{n}", "state": "approved"}})
            for n in range(have, have + waiting)
        ]
        post.ledger.append(bodies)
        assert post.ledger.count("outbox", prefix=f"{added['id']}/") == waiting
        counting = Counting(post.ledger)
        courier = Courier(Outbox(counting, post.clock, chance=lambda: 0.5), post.sender, post.webhooks.headers, post.clock)
        receiver.answers += answers
        for _ in answers:
            courier.deliver(added["id"])
        post.webhooks.remove(added["id"], actor="key:admin")
        return counting.read


def test_an_attempt_reads_the_head_of_what_waits_however_much_that_is(post) -> None:
    few, many = (rows_read_by_attempts(post, waiting, [500] * ATTEMPTS) for waiting in (60, 1500))
    assert few == many == ATTEMPTS * TOGETHER


def test_all_that_waits_is_taken_in_pages_each_row_read_once(post) -> None:
    with Receiver() as receiver:
        added = post.add(receiver.url)
        for number in range(2 * TOGETHER + 7):
            post.act(number)
        counting = Counting(post.ledger)
        courier = Courier(Outbox(counting, post.clock, chance=lambda: 0.5), post.sender, post.webhooks.headers, post.clock)
        receiver.answers += [204] * 3 + [422]
        assert courier.deliver(added["id"]) == 3
        assert courier.deliver(added["id"]) == 2 * TOGETHER + 4
        assert changed(receiver.got) == [f"er-{n}" for n in (0, 1, 2, 3, *range(3, 2 * TOGETHER + 7))]
        assert counting.read == TOGETHER + 2 * TOGETHER + 4
        assert post.webhooks.list()["webhooks"][0]["waiting"] == 0


def test_a_message_that_is_set_aside_lets_all_behind_it_go_in_the_same_call(post) -> None:
    with Receiver() as receiver:
        added = post.add(receiver.url)
        for number in range(3):
            post.act(number)
        receiver.answers += [422] * ATTEMPTS
        for _ in range(ATTEMPTS):
            taken = post.courier.deliver(added["id"])
        assert taken == 2
        shown = post.webhooks.get(added["id"])
        assert (shown["waiting"], shown["dead"], shown["dead_messages"][0]["error"]) == (0, 1, "it answered 422")
