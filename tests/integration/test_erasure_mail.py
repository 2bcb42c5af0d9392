"""Messages to persons over a real SMTP server on this machine, with and without TLS, and into the spool folder."""

from __future__ import annotations

import datetime as dt
import email
import http.server
import json
import socket
import ssl
import threading
from email.policy import default
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from governance.adapters.mail import SmtpNotifier, SmtpPlace, SpoolNotifier
from governance.wiring.identity import IdentitySettings
from lineage.errors import BadInput, StoreUnavailable

pytestmark = pytest.mark.integration

ADDRESS, SENDER = "q7-sentinel@person.example", "privacy@example.org"
MESSAGE = {"address": ADDRESS, "subject": "Your code", "text": "Your code is 1234 5678.\nÜber 15 Minuten.\n", "reference": "019a-1"}


class Mailbox:
    """Keeps what the server was given; a handler of aiosmtpd."""

    def __init__(self, answer: str = "250 kept") -> None:
        self.answer = answer
        self.messages: list[email.message.EmailMessage] = []
        self.recipients: list[str] = []

    async def handle_RCPT(self, server, session, envelope, address, options):
        if self.answer.startswith("5"):
            return f"550 no such mailbox {address}"
        envelope.rcpt_tos.append(address)
        return "250 ok"

    async def handle_DATA(self, server, session, envelope):
        self.messages.append(email.message_from_bytes(envelope.content, policy=default))
        self.recipients += envelope.rcpt_tos
        return self.answer


def login(server, session, envelope, mechanism, data):
    right = isinstance(data, LoginPassword) and (data.login, data.password) == (b"govern", b"p@ss word")
    return AuthResult(success=right, handled=False)


@pytest.fixture
def serve():
    """Starts SMTP servers on free ports and stops them."""
    running = []

    def start(box: Mailbox, **options) -> int:
        with socket.socket() as probe:  # the controller wants to know its port before it has one
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        controller = Controller(box, hostname="127.0.0.1", port=port, ready_timeout=60, **options)
        controller.start()
        running.append(controller)
        return port

    yield start
    for controller in running:
        controller.stop()


@pytest.fixture(scope="module")
def tls(tmp_path_factory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """(the server's context, the client's that trusts it)."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
    made = made.not_valid_before(now - dt.timedelta(days=1)).not_valid_after(now + dt.timedelta(days=1))
    made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    made = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    certificate = made.sign(key, hashes.SHA256())
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return server, ssl.create_default_context(cafile=str(folder / "cert.pem"))


def test_a_message_arrives_as_it_was_written(serve) -> None:
    box = Mailbox()
    place = SmtpPlace.read(f"smtp://127.0.0.1:{serve(box)}?tls=none", SENDER)
    for _ in range(2):
        SmtpNotifier(place).send(**MESSAGE)
    first, second = box.messages
    assert box.recipients == [ADDRESS, ADDRESS]
    assert (first["From"], first["To"], first["Subject"], first["Auto-Submitted"]) == (SENDER, ADDRESS, "Your code", "auto-generated")
    assert first.get_content().replace("\r\n", "\n") == MESSAGE["text"]
    assert first["Message-ID"] == second["Message-ID"], "a message that is repeated says so"


def test_with_starttls_and_a_password(serve, tls) -> None:
    server, client = tls
    box = Mailbox()
    port = serve(box, tls_context=server, require_starttls=True, authenticator=login, auth_required=True)
    SmtpNotifier(SmtpPlace.read(f"smtp://govern:p%40ss%20word@localhost:{port}", SENDER), context=client).send(**MESSAGE)
    assert box.recipients == [ADDRESS]
    for url, context, said in (
        (f"smtp://govern:wrong@localhost:{port}", client, "answered 535"),
        (f"smtp://localhost:{port}", client, "answered 530"),
        (f"smtp://govern:p%40ss%20word@localhost:{port}", None, "SSLCertVerificationError"),
    ):
        with pytest.raises(StoreUnavailable, match=said) as refused:
            SmtpNotifier(SmtpPlace.read(url, SENDER), context=context).send(**MESSAGE)
        assert "p@ss" not in refused.value.message
    assert len(box.messages) == 1


def test_a_server_without_tls_is_sent_nothing(serve) -> None:
    box = Mailbox()
    with pytest.raises(StoreUnavailable, match="SMTPNotSupportedError"):
        SmtpNotifier(SmtpPlace.read(f"smtp://localhost:{serve(box)}", SENDER)).send(**MESSAGE)
    assert box.messages == []


@pytest.mark.parametrize("answer", ["550 no such mailbox", "451 try later"])
def test_a_refusal_is_told_without_the_address(serve, answer: str) -> None:
    port = serve(Mailbox(answer))
    with pytest.raises(StoreUnavailable) as refused:
        SmtpNotifier(SmtpPlace.read(f"smtp://127.0.0.1:{port}?tls=none", SENDER)).send(**MESSAGE)
    assert "sentinel" not in refused.value.message
    assert f":{port} did not take the message" in refused.value.message


def test_a_server_that_is_away(serve) -> None:
    with pytest.raises(StoreUnavailable, match="ConnectionRefusedError"):
        SmtpNotifier(SmtpPlace.read("smtp://127.0.0.1:9?tls=none", SENDER)).send(**MESSAGE)


@pytest.mark.parametrize(
    ("url", "sender", "said"),
    [
        ("http://localhost", SENDER, "no smtp://"),
        ("smtp://mail.example.org?tls=none", SENDER, "without TLS only"),
        ("smtps://mail.example.org", "nobody", "GOVERN_MAIL_FROM"),
        ("smtps://mail.example.org:port", SENDER, "no smtp://"),
    ],
)
def test_a_place_that_cannot_be(url: str, sender: str, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        SmtpPlace.read(url, sender)


def test_settings_choose_the_way() -> None:
    assert IdentitySettings.read({}).notifier() is None
    assert IdentitySettings.read({}).claims() is None
    mail = IdentitySettings.read({"GOVERN_SMTP_URL": "smtps://u:secret-7@mail.example.org", "GOVERN_MAIL_FROM": SENDER})
    assert isinstance(mail.notifier(), SmtpNotifier)
    assert "secret-7" not in repr(mail)
    for environment, said in (
        ({"GOVERN_SMTP_URL": "smtps://m", "GOVERN_SPOOL": "x"}, "two ways to send"),
        ({"GOVERN_OIDC_ISSUER": "https://login.example.org"}, "needs GOVERN_OIDC_ISSUER, GOVERN_OIDC_AUDIENCE and GOVERN_OIDC_JWKS"),
        (
            {"GOVERN_OIDC_ISSUER": "i", "GOVERN_OIDC_AUDIENCE": "a", "GOVERN_OIDC_JWKS": "http://login.example.org/keys"},
            "read over https://",
        ),
    ):
        with pytest.raises(BadInput, match=said):
            IdentitySettings.read(environment)


def test_the_spool_folder_takes_whole_messages_for_its_owner_only(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    notifier = IdentitySettings.read({"GOVERN_SPOOL": str(spool), "GOVERN_MAIL_FROM": SENDER}).notifier()
    assert isinstance(notifier, SpoolNotifier)
    for _ in range(2):
        notifier.send(**MESSAGE)
    files = list(spool.iterdir())
    assert len(files) == 2
    assert all(path.suffix == ".eml" and path.stat().st_mode & 0o077 == 0 and "sentinel" not in path.name for path in files)
    assert email.message_from_bytes(files[0].read_bytes(), policy=default)["To"] == ADDRESS
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailable, match="took no message"):
        SpoolNotifier(tmp_path / "file" / "spool").send(**MESSAGE)


def test_the_keys_of_a_provider_come_from_a_file_or_over_http(tmp_path: Path) -> None:
    class Keys(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path == "/keys" else 404)
            self.end_headers()
            self.wfile.write(b'{"keys": []}')

        def log_message(self, *_):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Keys)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    (tmp_path / "keys.json").write_bytes(b'{"keys": []}')
    place = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        for where, fault in (
            (str(tmp_path / "keys.json"), None),
            (f"{place}/keys", None),
            (f"{place}/elsewhere", "HTTPStatusError"),
            (str(tmp_path / "nothing.json"), "No such file"),
        ):
            environment = {"GOVERN_OIDC_ISSUER": "https://i", "GOVERN_OIDC_AUDIENCE": "a", "GOVERN_OIDC_JWKS": where}
            claims = IdentitySettings.read(environment).claims()
            if fault is None:
                assert json.loads(claims._read()) == {"keys": []}
            else:
                with pytest.raises(StoreUnavailable, match=fault):
                    claims._read()
    finally:
        server.shutdown()
        server.server_close()
