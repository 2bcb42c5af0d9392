"""Where messages may go: over TLS to the name that was asked for, and nowhere inside that was not allowed."""

from __future__ import annotations

import socket

import pytest

from governance.adapters.webhook_sender import WebhookSender, networks
from governance.settings import Settings
from lineage.errors import BadInput
from tests.support.certificates import Authority
from tests.support.receiver import Receiver

LOOPBACK = networks("127.0.0.0/8")
PUBLIC = "93.184.216.34"


def to(*addresses: str):
    return lambda _host, _port: list(addresses)


@pytest.mark.parametrize(
    "url",
    [
        "", "hooks.example.com", "ftp://hooks.example.com/", "https://", "https:///x", "https://user@hooks.example.com/",
        "https://user:pw@hooks.example.com/", "https://hooks.example.com/#part", "https://hooks.example.com:70000/",
        "https://hooks.example.com:0/", "https://hooks.example.com/a b", "https://hooks.example.com/\r\nx-injected: 1", "https://[::1",
    ],
)  # fmt: skip
def test_what_is_no_https_url_is_refused(url: str) -> None:
    with pytest.raises(BadInput):
        WebhookSender(resolve=to(PUBLIC)).check(url)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.0.0.1", "172.16.3.4", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1", "240.0.0.1",
        "255.255.255.255", "192.0.2.1", "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
        "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2001:db8::1",
    ],
)  # fmt: skip
def test_a_name_that_leads_inside_is_refused_at_the_look_and_at_the_sending(address: str) -> None:
    sender = WebhookSender(resolve=to(PUBLIC, address))  # one of several is enough
    with pytest.raises(BadInput, match="leads inside"):
        sender.check("https://hooks.example.com/")
    sent = sender.post("https://hooks.example.com/", b"{}", {})
    assert not sent.delivered
    assert sent.status is None
    assert "leads inside" in sent.fault


@pytest.mark.parametrize(
    "url", ["https://127.0.0.1/", "https://[::1]/", "https://2130706433/", "https://0x7f.1/", "https://127.1/", "https://localhost/"]
)
def test_a_loopback_address_is_refused_in_every_spelling(url: str) -> None:
    with pytest.raises(BadInput):
        WebhookSender().check(url)


def test_public_addresses_are_allowed_over_https_alone() -> None:
    sender = WebhookSender(resolve=to(PUBLIC, "2606:2800:220:1::1"))
    sender.check("https://hooks.example.com/")
    with pytest.raises(BadInput, match="https"):
        sender.check("http://hooks.example.com/")


def test_a_name_without_an_address_is_refused_in_plain_words() -> None:
    def nowhere(_host, _port):
        raise socket.gaierror(-2, "Name or service not known")

    for resolve in (nowhere, to()):
        with pytest.raises(BadInput, match="has no address now"):
            WebhookSender(resolve=resolve).check("https://hooks.example.com/")
    assert not WebhookSender(resolve=nowhere).post("https://hooks.example.com/", b"", {}).delivered


@pytest.mark.parametrize("text", ["x", "10.0.0.0/33", "10.0.0.1/8", "10.0.0.0/8;::1"])
def test_a_network_that_is_none_is_named(text: str) -> None:
    with pytest.raises(BadInput, match="GOVERN_WEBHOOK_NETWORKS"):
        networks(Settings.read({"GOVERN_WEBHOOK_NETWORKS": text}).webhook_networks)


def test_a_message_arrives_as_it_was_given_and_redirects_are_not_followed() -> None:
    with Receiver() as receiver, Receiver() as elsewhere:
        sender = WebhookSender(LOOPBACK)
        assert sender.post(receiver.url, b'{"a":1}', {"webhook-id": "m", "content-type": "application/json"}).delivered
        (got,) = receiver.got
        assert (got.path, got.body, got.headers["webhook-id"]) == ("/hook", b'{"a":1}', "m")
        receiver.answers += [(302, {"location": elsewhere.url}), (500, {}), (429, {"retry-after": "17"}), (503, {"retry-after": "soon"})]
        faults = [sender.post(receiver.url, b"", {}) for _ in range(4)]
        assert [one.status for one in faults] == [302, 500, 429, 503]
        assert not any(one.delivered for one in faults)
        assert "redirects are not followed" in faults[0].fault
        assert [one.retry_after for one in faults] == [None, None, 17.0, None]
        assert elsewhere.got == []
        sender.close()


def test_a_receiver_that_is_away_is_a_value_with_its_reason() -> None:
    with Receiver() as receiver:
        url = receiver.url
    sent = WebhookSender(LOOPBACK).post(url, b"", {})
    assert (sent.status, sent.fault) == (None, "no connection can be made")


def test_tls_is_verified_for_the_name_though_the_connection_goes_to_the_address_that_was_looked_at(tmp_path) -> None:
    authority = Authority()
    with Receiver(tls=authority.server(tmp_path, "hooks.test")) as receiver:

        def sent(name: str, trust):
            sender = WebhookSender(LOOPBACK, trust=trust, resolve=to("127.0.0.1"))
            answer = sender.post(f"https://{name}:{receiver.port}/hook", b"{}", {})
            sender.close()
            return answer

        assert sent("hooks.test", authority.trust()).delivered
        assert receiver.got[0].headers["host"] == f"hooks.test:{receiver.port}"
        for name, trust in (("other.test", authority.trust()), ("hooks.test", Authority().trust()), ("hooks.test", None)):
            answer = sent(name, trust)
            assert (answer.status, answer.fault) == (None, "its certificate is not trusted for this name")
        assert len(receiver.got) == 1


def test_no_proxy_of_the_environment_is_used(monkeypatch) -> None:
    with Receiver() as receiver, Receiver() as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{proxy.port}")
        assert WebhookSender(LOOPBACK).post(receiver.url, b"", {}).delivered
        assert proxy.got == []
