"""The key files: wrapped, private, bound to their names, and gone once destroyed."""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import json
import shutil
import stat

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from lineage.adapters.file_keys import FileKeyStore
from lineage.errors import BadInput, Conflict, Gone, NotFound, StoreUnavailable, Tampered


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Keys made once (RSA takes a while); tests work on copies."""
    directory = tmp_path_factory.mktemp("home") / "keys"
    FileKeyStore.create(directory, name="acme-bank")
    return directory


@pytest.fixture
def keys(made, tmp_path):
    shutil.copytree(made, tmp_path / "keys")
    return tmp_path / "keys"


def test_everything_an_installation_needs_is_made(keys):
    store = FileKeyStore(keys)
    assert store.living("") == ["checkpoint", "epoch-1", "evidence", "pdf", "rowset", "sharding", "suppression"]
    for name in ("checkpoint", "evidence"):
        public = Ed25519PublicKey.from_public_bytes(store.public_ed25519(name))
        public.verify(store.sign_ed25519(name, b"message"), b"message")
    assert store.public_ed25519("checkpoint") != store.public_ed25519("evidence")
    assert store.hmac("epoch-1", b"x") == hmac.new(store.secret("epoch-1"), b"x", hashlib.sha256).digest()
    assert len({store.hmac(name, b"x") for name in ("epoch-1", "rowset", "suppression")}) == 3


def test_keys_are_the_same_after_opening_again(keys):
    one, two = FileKeyStore(keys), FileKeyStore(keys)
    for name in one.living(""):
        assert one.secret(name) == two.secret(name)


def test_no_secret_stands_in_a_file(keys):
    store = FileKeyStore(keys)
    content = b"".join(path.read_bytes() for path in keys.iterdir() if path.name != "master.key")
    for name in ("checkpoint", "epoch-1", "rowset"):
        assert store.secret(name) not in content
        assert store.secret(name).hex().encode() not in content
    assert b"PRIVATE" not in content


def test_folder_and_files_are_for_their_owner_only(keys):
    FileKeyStore(keys).rotate("epoch")
    assert stat.S_IMODE(keys.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in keys.iterdir()} == {0o600}


@pytest.mark.parametrize(("name", "mode"), [(".", 0o755), ("master.key", 0o640)])
def test_open_permissions_are_refused_with_the_command_that_closes_them(keys, name, mode):
    (keys / name).chmod(mode)
    with pytest.raises(StoreUnavailable, match=f"others may use it .mode {mode:04o}") as caught:
        FileKeyStore(keys)
    assert caught.value.hint.startswith("chmod ")


def test_an_open_key_file_is_refused_when_it_is_used(keys):
    (keys / "rowset.json").chmod(0o644)
    with pytest.raises(StoreUnavailable, match=r"rowset\.json holds secrets"):
        FileKeyStore(keys).hmac("rowset", b"x")


def test_a_wrong_master_key_is_told_from_an_altered_file(keys):
    (keys / "master.key").write_text("00" * 32)
    with pytest.raises(Tampered, match="is not the master key of these keys"):
        FileKeyStore(keys)


@pytest.mark.parametrize(("text", "message"), [("zz", "not hexadecimal"), ("00", "1 bytes, not 32"), ("", "0 bytes")])
def test_what_is_no_master_key_is_refused(keys, text, message):
    (keys / "master.key").write_text(text)
    with pytest.raises(Tampered, match=message):
        FileKeyStore(keys)


def test_a_missing_master_key_says_how_to_begin(tmp_path):
    with pytest.raises(NotFound) as caught:
        FileKeyStore(tmp_path)
    assert caught.value.hint == "govern init"


def test_a_missing_check_beside_keys_is_refused(keys):
    (keys / "check.json").unlink()
    with pytest.raises(Tampered, match=r"check\.json is missing"):
        FileKeyStore(keys)


def test_a_key_file_under_another_name_does_not_open(keys):
    shutil.copy(keys / "epoch-1.json", keys / "rowset.json")
    with pytest.raises(Tampered, match=r"rowset\.json was altered"):
        FileKeyStore(keys).hmac("rowset", b"x")


@pytest.mark.parametrize(
    ("field", "value"), [("algorithm", "ed25519"), ("nonce", "AAAAAAAAAAAAAAAA"), ("wrapped", "AAAA"), ("wrapped", "!")]
)
def test_an_altered_key_file_does_not_open(keys, field, value):
    document = json.loads((keys / "rowset.json").read_text())
    (keys / "rowset.json").write_text(json.dumps(document | {field: value}))
    with pytest.raises(Tampered, match="was altered"):
        FileKeyStore(keys).secret("rowset")


def test_a_key_file_that_is_no_json_or_of_a_later_format_is_named(keys):
    (keys / "rowset.json").write_text("{")
    with pytest.raises(Tampered, match="not JSON"):
        FileKeyStore(keys).secret("rowset")
    (keys / "rowset.json").write_text('{"format": 2}')
    with pytest.raises(StoreUnavailable, match="format 1"):
        FileKeyStore(keys).secret("rowset")


def test_epochs_rotate_and_the_newest_comes_first(keys):
    store = FileKeyStore(keys)
    assert [store.rotate("epoch") for _ in range(10)] == [f"epoch-{n}" for n in range(2, 12)]
    assert store.living("epoch") == [f"epoch-{n}" for n in range(11, 0, -1)]
    assert FileKeyStore(keys).living("epoch")[0] == "epoch-11"
    with pytest.raises(BadInput, match="not rotated"):
        store.rotate("checkpoint")


def test_a_destroyed_key_is_gone_for_ever(keys):
    store = FileKeyStore(keys)
    store.rotate("epoch")
    before = (keys / "epoch-2.json").read_bytes()
    store.hmac("epoch-2", b"x")
    store.destroy("epoch-2")
    store.destroy("epoch-2")
    for again in (store, FileKeyStore(keys)):
        assert again.living("epoch") == ["epoch-1"]
        with pytest.raises(Gone, match="was destroyed"):
            again.hmac("epoch-2", b"x")
    (keys / "epoch-2.json").write_bytes(before)  # a backup is put back
    (keys / "epoch-2.json").chmod(0o600)
    with pytest.raises(Gone):
        FileKeyStore(keys).hmac("epoch-2", b"x")
    assert FileKeyStore(keys).living("epoch") == ["epoch-1"]
    assert FileKeyStore(keys).rotate("epoch") == "epoch-3"


def test_a_destroyed_commitment_key_is_not_made_again_on_use(keys):
    store = FileKeyStore(keys)
    store.destroy("rowset")
    with pytest.raises(Gone):
        store.hmac("rowset", b"x")


def test_a_commitment_key_is_made_on_first_use_and_an_epoch_is_not(keys):
    (keys / "suppression.json").unlink()
    store = FileKeyStore(keys)
    assert store.hmac("suppression", b"x") == FileKeyStore(keys).hmac("suppression", b"x")
    with pytest.raises(NotFound, match="no key 'epoch-7'"):
        store.hmac("epoch-7", b"x")
    with pytest.raises(NotFound):
        store.destroy("epoch-7")


@pytest.mark.parametrize("name", ["", "../x", "Pdf", "a/b", "a.json", "x" * 64, "a\n"])
def test_what_is_no_key_name_is_bad_input(keys, name):
    with pytest.raises(BadInput, match="not a key name"):
        FileKeyStore(keys).secret(name)


def test_a_key_of_another_algorithm_is_not_used(keys):
    store = FileKeyStore(keys)
    with pytest.raises(BadInput, match="is ed25519, not hmac"):
        store.hmac("checkpoint", b"x")
    with pytest.raises(BadInput):
        store.sign_ed25519("epoch-1", b"x")
    with pytest.raises(NotFound, match="no certificate"):
        store.certificate("epoch-1")


def test_keys_are_not_made_twice(keys):
    before = {path.name: path.read_bytes() for path in keys.iterdir()}
    with pytest.raises(Conflict, match="already holds keys"):
        FileKeyStore.create(keys)
    assert {path.name: path.read_bytes() for path in keys.iterdir()} == before


def test_an_interrupted_creation_is_completed(keys):
    (keys / "pdf.json").unlink()
    (keys / "epoch-1.json").unlink()
    kept = FileKeyStore(keys).secret("checkpoint")
    store = FileKeyStore.create(keys)
    assert store.secret("checkpoint") == kept
    assert len(store.living("")) == 7


def test_the_certificate_fits_the_signing_of_papers(keys):
    store = FileKeyStore(keys)
    certificate = x509.load_pem_x509_certificate(store.certificate("pdf"))
    private = serialization.load_pem_private_key(store.secret("pdf"), None)
    assert private.key_size == 3072
    assert "acme-bank" in certificate.subject.rfc4514_string()
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    assert (usage.digital_signature, usage.content_commitment, usage.key_cert_sign) == (True, True, False)
    lifetime = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    assert dt.timedelta(days=3650) < lifetime < dt.timedelta(days=3660)
    signature = private.sign(b"paper", padding.PKCS1v15(), hashes.SHA256())
    certificate.public_key().verify(signature, b"paper", padding.PKCS1v15(), hashes.SHA256())
    certificate.verify_directly_issued_by(certificate)
