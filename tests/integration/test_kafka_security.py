"""SASL over TLS, as the environment and a properties file give it: who is let in, and that no secret is said."""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from deploy.java_server import free_port
from governance.wiring import init_home
from tests import lineage_events as make
from tests.support.kafka import Topic, ingest, started

pytestmark = [pytest.mark.integration, pytest.mark.slow]

PASSWORD = "correct horse"
PROPERTIES = """
listeners=PLAINTEXT://127.0.0.1:{plain},SAFE://127.0.0.1:{safe},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{plain},SAFE://127.0.0.1:{safe}
controller.quorum.voters=1@127.0.0.1:{controller}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SAFE:SASL_SSL
listener.name.safe.ssl.keystore.type=PEM
listener.name.safe.ssl.keystore.location={keys}
listener.name.safe.sasl.enabled.mechanisms=PLAIN
listener.name.safe.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_ann="{password}" user_bob="b";
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS;User:ann
"""


def certificate(folder: Path, name: str) -> Path:
    """A key and the certificate that it signed for itself, for 127.0.0.1, in one PEM file; the certificate alone is beside it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    public = made.public_bytes(serialization.Encoding.PEM)
    (folder / f"{name}.crt").write_bytes(public)
    (folder / f"{name}.pem").write_bytes(private + public)
    return folder / f"{name}.pem"


@dataclass
class Safe:
    topic: Topic
    url: str
    authority: Path
    stranger: Path


@pytest.fixture(scope="module")
def safe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Safe]:
    """A broker with a second door, SASL PLAIN over TLS, for ann who may read all and bob who may read nothing."""
    folder = tmp_path_factory.mktemp("safe")
    ports = {name: free_port() for name in ("safe", "controller")}
    keys = certificate(folder, "broker")
    certificate(folder, "stranger")
    home = folder / "kafka"
    plain = free_port()
    text = PROPERTIES.format(plain=plain, keys=keys, password=PASSWORD, **ports)
    server = started(home, port=plain, properties=text)
    try:
        topic = Topic(server.brokers, "events")
        topic.send(make.run("one", "COMPLETE", 1, [make.ds("in")], [make.ds("out")]))
        yield Safe(topic, f"kafka://127.0.0.1:{ports['safe']}/events", folder / "broker.crt", folder / "stranger.crt")
    finally:
        server.kill()


def environment(safe: Safe, home: Path, **more: str) -> dict[str, str]:
    init_home(home)
    return {
        "GOVERN_HOME": str(home),
        "GOVERN_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "GOVERN_KAFKA_SASL_MECHANISM": "PLAIN",
        "GOVERN_KAFKA_SASL_USERNAME": "ann",
        "GOVERN_KAFKA_SASL_PASSWORD": PASSWORD,
        "GOVERN_KAFKA_SSL_CA_LOCATION": str(safe.authority),
        **more,
    }


def test_the_environment_opens_the_door(safe, tmp_path):
    done, said = ingest(f"{safe.url}?group=environment", "--until-end", **environment(safe, tmp_path / "home"))
    assert (done.returncode, said["accepted"], said["lag"]) == (0, 1, 0), done.stderr


def test_a_properties_file_opens_the_door(safe, tmp_path):
    init_home(tmp_path / "home")
    file = tmp_path / "kafka.properties"
    file.write_text(
        "# as the platform team hands it out\nsecurity.protocol=SASL_SSL\nsasl.mechanism=PLAIN\n"
        f"sasl.username=ann\nsasl.password={PASSWORD}\nssl.ca.location={safe.authority}\n"
    )
    where = {"GOVERN_HOME": str(tmp_path / "home"), "GOVERN_KAFKA_PROPERTIES": str(file)}
    done, said = ingest(f"{safe.url}?group=file", "--until-end", **where)
    assert (done.returncode, said["accepted"]) == (0, 1), done.stderr


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"GOVERN_KAFKA_SASL_PASSWORD": "guess"}, "does not let this user in"),
        ({"GOVERN_KAFKA_SASL_USERNAME": "bob", "GOVERN_KAFKA_SASL_PASSWORD": "b"}, "does not let this user read events"),
        ({"GOVERN_KAFKA_SSL_CA_LOCATION": "stranger"}, "certificate verify failed"),
        ({"GOVERN_KAFKA_SECURITY_PROTOCOL": "PLAINTEXT"}, "no Kafka broker answered"),
    ],
    ids=["password", "rights", "authority", "plain"],
)
def test_a_door_that_stays_shut_is_said_without_the_secret(safe, tmp_path, change, said):
    change = {name: str(safe.stranger) if value == "stranger" else value for name, value in change.items()}
    where = environment(safe, tmp_path / "home", **change)
    done, _ = ingest(f"{safe.url}?group=shut", "--until-end", "--patience", "4", **where)
    assert done.returncode == 1
    assert said in done.stderr
    assert PASSWORD not in done.stderr
    assert "guess" not in done.stderr
