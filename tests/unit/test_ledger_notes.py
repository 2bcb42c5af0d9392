"""Signed notes and checkpoints of C2SP."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from lineage.errors import BadInput, Tampered
from lineage.ledger import notes

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = KEY.public_key().public_bytes_raw()
NAME = "govern.example/log"
ROOT = bytes(range(32))


def signed(name=NAME, size=7):
    return notes.sign_note(notes.checkpoint_text(name, size, ROOT), name=name, public=PUBLIC, sign=KEY.sign)


# The example of the Go package golang.org/x/mod/sumdb/note, which the C2SP format comes from.
PETER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
ESSAY = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
    "\n"
    "\N{EM DASH} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)


def test_a_note_of_another_implementation_verifies():
    name, public = notes.parse_verifier_key(PETER)
    assert notes.verify_note(ESSAY, name=name, public=public).startswith("If you think")
    assert notes.verifier_key(name, public) == PETER
    with pytest.raises(Tampered, match="does not fit"):
        notes.verify_note(ESSAY.replace("answer", "reason"), name=name, public=public)


def test_a_checkpoint_comes_back_as_it_was_signed():
    point = notes.verify_checkpoint(signed(), name=NAME, public=PUBLIC)
    assert (point.origin, point.size, point.root, point.note) == (NAME, 7, ROOT, signed())
    assert signed().split("\n")[:3] == [NAME, "7", base64.b64encode(ROOT).decode()]


def test_a_second_signature_and_extension_lines_are_allowed():
    text = notes.checkpoint_text(NAME, 7, ROOT) + "extension\n"
    note = notes.sign_note(text, name=NAME, public=PUBLIC, sign=KEY.sign)
    witness = base64.b64encode(b"\0" * 80).decode()
    assert notes.verify_checkpoint(note + f"\N{EM DASH} witness.example {witness}\n", name=NAME, public=PUBLIC).size == 7


@pytest.mark.parametrize(("old", "new"), [("\n7\n", "\n8\n"), (NAME + "\n", "other/log\n"), ("AAEC", "AAED")])
def test_an_altered_checkpoint_is_tampered(old, new):
    with pytest.raises(Tampered):
        notes.verify_checkpoint(signed().replace(old, new, 1), name=NAME, public=PUBLIC)


def test_a_checkpoint_by_another_key_or_of_another_origin_is_refused():
    other = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    with pytest.raises(Tampered, match="no signature by the key"):
        notes.verify_checkpoint(signed(), name=NAME, public=other)
    foreign = notes.sign_note(notes.checkpoint_text("other/log", 7, ROOT), name=NAME, public=PUBLIC, sign=KEY.sign)
    with pytest.raises(Tampered, match="other/log"):
        notes.verify_checkpoint(foreign, name=NAME, public=PUBLIC)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a\n",
        "a\n\n",
        "a\n\nno dash\n",
        "a\n\n\N{EM DASH} name !!!\n",
        "a\n\n\N{EM DASH} name AAAA\n",
        signed().rstrip("\n"),
        signed().replace("\n7\n", "\n07\n"),
        signed().replace("\n7\n", "\n-7\n"),
        signed().replace("\n7\n", "\n\u0667\n"),
        signed().replace(base64.b64encode(ROOT).decode(), "AAAA"),
    ],
)
def test_what_is_no_checkpoint_is_bad_input(text):
    with pytest.raises(BadInput):
        notes.parse_checkpoint(text)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\nb"])
def test_a_name_with_space_or_plus_is_refused(name):
    with pytest.raises(BadInput):
        notes.checkpoint_text(name, 1, ROOT)


@pytest.mark.parametrize("key", ["", "a+b", PETER.replace("c74f", "c74e"), "a+00000000+AAAA"])
def test_what_is_no_verifier_key_is_bad_input(key):
    with pytest.raises(BadInput):
        notes.parse_verifier_key(key)
