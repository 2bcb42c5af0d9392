"""Four verdicts, from the file and the public keys alone; whatever is changed in the file is found."""

from __future__ import annotations

import asyncio
import hashlib
import io
import random
import re
from dataclasses import replace

import pytest

from lineage.errors import BadInput
from reports import TrustedKeys, Verification, verify
from reports.codec import evidence_bytes
from reports.evidence import ENVELOPE_NAME, EVIDENCE_NAME, parse_envelope, write_envelope
from reports.pdf import Seal, render_pdf, renderer
from reports.sign import sign_pdf
from tests.support.papers import office, other_office, paper, sample

pytestmark = pytest.mark.timeout(300)


def broken(pdf: bytes) -> bool:
    """Whether the file is refused: by its verdict, or as no PDF at all."""
    try:
        return verify(pdf, office().trusted()).exit_code == 3
    except BadInput:
        return not pdf.startswith(b"%PDF-")


def test_a_sound_paper_is_intact_complete_trusted_and_anchored() -> None:
    result = verify(paper(), office().trusted())
    assert (result.intact, result.complete, result.trusted, result.anchored, result.exit_code) == (True, True, True, True, 0)
    assert result.facts["subject"] == "credit-risk@2"
    assert result.to_json()["exit_code"] == 0


def test_it_says_what_it_did_not_check() -> None:
    words = " ".join(verify(paper(), office().trusted()).not_checked)
    assert "declared" in words
    assert "ledger" in words
    assert "timestamp" in words


def test_without_keys_a_sound_paper_is_valid_but_untrusted() -> None:
    result = verify(paper(), None)
    assert (result.intact, result.complete, result.trusted, result.anchored, result.exit_code) == (True, True, None, True, 5)


def test_with_the_keys_of_another_installation_it_is_untrusted() -> None:
    result = verify(paper(), other_office().trusted())
    assert (result.trusted, result.exit_code) == (False, 5)
    assert any("the file and the evidence and the checkpoint" in sentence for sentence in result.sentences)


def test_one_strange_key_is_enough_to_be_untrusted() -> None:
    for part in ("checkpoint", "evidence", "certificate"):
        keys = replace(office().trusted(), **{part: getattr(other_office().trusted(), part)})
        assert verify(paper(), keys).exit_code == 5, part


def test_an_unanchored_paper_is_said_to_be_so() -> None:
    result = verify(office().issue(sample(), anchored=False), office().trusted())
    assert (result.trusted, result.anchored, result.exit_code) == (True, None, 6)


def test_what_is_no_pdf_is_named() -> None:
    with pytest.raises(BadInput, match="not a PDF"):
        verify(b"PK\x03\x04 a zip", None)


def test_a_flipped_bit_anywhere_is_found() -> None:
    pdf = paper()
    chosen = random.Random(7)
    for _ in range(200):
        at = chosen.randrange(len(pdf))
        changed = bytearray(pdf)
        changed[at] ^= 1 << chosen.randrange(8)
        assert broken(bytes(changed)), f"bit flipped at {at} of {len(pdf)}"


def test_a_flipped_byte_in_each_structural_region_is_found() -> None:
    pdf = paper()
    regions = {
        name: pdf.index(mark)
        for name, mark in {
            "header": b"%PDF-",
            "catalogue": b"/Catalog",
            "pages": b"/Pages",
            "content stream": b"stream",
            "font": b"/FontFile2",
            "attachment": b"/EmbeddedFile",
            "attachment name": b"/Filespec",
            "signature field": b"/Sig",
            "byte range": b"/ByteRange",
            "cross references": b"xref",
            "trailer": b"trailer",
            "start": b"startxref",
            "end": b"%%EOF",
        }.items()
    }
    for name, at in regions.items():
        for distance in (0, 3):
            changed = bytearray(pdf)
            changed[at + distance] ^= 0x01
            assert broken(bytes(changed)), name


def test_every_byte_of_the_signature_container_counts() -> None:
    pdf = paper()
    start, end = contents(pdf)
    chosen = random.Random(3)
    places = [start, start + 1, end - 1, end - 2, end - 200, *(chosen.randrange(start, end) for _ in range(35))]
    for at in places:
        new = b"7" if pdf[at : at + 1] != b"7" else b"8"
        assert broken(pdf[:at] + new + pdf[at + 1 :]), f"digit {at - start} of {end - start}"
    assert broken(pdf[: end - 1] + b" " + pdf[end:])
    upper = pdf[start:end].swapcase()
    mixed = upper[:40] + pdf[start + 40 : end]
    if mixed != pdf[start:end]:
        assert broken(pdf[:start] + mixed + pdf[end:])


def contents(pdf: bytes) -> tuple[int, int]:
    a, b, c, d = map(int, re.search(rb"/ByteRange\s*\[(\d+) (\d+) (\d+) (\d+)\s*\]", pdf).groups())
    assert (a, c + d) == (0, len(pdf))
    return b + 1, c - 1


@pytest.mark.parametrize("tail", [b"\n", b" ", b"\x00", b"%%EOF\n", b"\n1 0 obj\n<<>>\nendobj\n"])
def test_appended_bytes_are_found(tail: bytes) -> None:
    result = verify(paper() + tail, office().trusted())
    assert (result.intact, result.exit_code) == (False, 3)


def test_a_cut_file_is_found() -> None:
    for keep in (10, 1000, len(paper()) // 2, len(paper()) - 1):
        assert broken(paper()[:keep])


def test_an_incremental_update_is_found() -> None:
    from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter

    writer = IncrementalPdfFileWriter(io.BytesIO(paper()))
    writer.root["/Lang"] = writer.root["/Lang"]
    writer.update_root()
    out = io.BytesIO()
    writer.write(out)
    result = verify(out.getvalue(), office().trusted())
    assert (result.intact, result.exit_code) == (False, 3)
    assert "revisions" in " ".join(result.sentences)


def test_a_second_signature_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
    from pyhanko.sign.signers import PdfSignatureMetadata, PdfSigner

    from reports.sign import _simple_signer

    writer = IncrementalPdfFileWriter(io.BytesIO(paper()))
    out = io.BytesIO()
    meta = PdfSignatureMetadata(field_name="Second", md_algorithm="sha256")
    # the paper forbids further signatures; a dishonest tool does not ask
    monkeypatch.setattr(PdfSigner, "_enforce_certification_constraints", lambda *_: None)
    PdfSigner(meta, _simple_signer(other_office().signers)).sign_pdf(writer, output=out, existing_fields_only=False)
    assert verify(out.getvalue(), office().trusted()).exit_code == 3


# ── a dishonest signer: the signature holds, the content does not ───────────────────────────────
def forged(*, pages: bytes | None = None, evidence: bytes | None = None, envelope: bytes | None = None) -> Verification:
    """A file whose signature holds, with some parts from elsewhere."""
    dossier = sample()
    own = evidence_bytes(dossier)
    sealed = office().issue(dossier)
    attached = attachments(sealed)
    parsed = parse_envelope(attached[ENVELOPE_NAME])
    seal = Seal(evidence_sha256=hashlib.sha256(own).digest(), keyid=parsed.keyid, anchor=parsed.anchor)
    files = {EVIDENCE_NAME: evidence or own, ENVELOPE_NAME: envelope or attached[ENVELOPE_NAME]}
    return verify(sign_pdf(pages or render_pdf(dossier, seal), files, office().signers), office().trusted())


def attachments(pdf: bytes) -> dict[str, bytes]:
    import pypdf

    return {name: data[0] for name, data in pypdf.PdfReader(io.BytesIO(pdf)).attachments.items()}


def test_a_forged_file_made_of_its_own_parts_is_sound() -> None:
    assert forged().exit_code == 0


def test_a_swapped_attachment_is_found() -> None:
    result = forged(evidence=evidence_bytes(sample(verdict="All is well.")))
    assert (result.intact, result.complete, result.exit_code) == (True, False, 3)


def test_evidence_and_envelope_of_another_paper_are_found() -> None:
    other = attachments(office().issue(sample(subject="credit-risk@3")))
    result = forged(evidence=other[EVIDENCE_NAME], envelope=other[ENVELOPE_NAME])
    assert (result.intact, result.complete, result.exit_code) == (True, False, 3)
    assert "other pages" in " ".join(result.sentences)


def test_pages_that_say_something_else_are_found() -> None:
    result = forged(pages=render_pdf(sample(verdict="All is well.")))
    assert (result.intact, result.complete, result.exit_code) == (True, False, 3)


def test_an_anchor_of_another_paper_is_found() -> None:
    own = evidence_bytes(sample())
    stolen = parse_envelope(attachments(office().issue(sample(subject="credit-risk@3")))[ENVELOPE_NAME]).anchor
    result = forged(envelope=write_envelope(own, signers=office().signers, anchor=stolen, renderer=renderer()))
    assert (result.anchored, result.exit_code) == (False, 3)
    assert "names other evidence" in " ".join(result.sentences)


@pytest.mark.parametrize("change", ["salt", "index", "proof", "note", "actor"])
def test_a_changed_anchor_is_found(change: str) -> None:
    own = evidence_bytes(sample())
    anchor = office().anchor(hashlib.sha256(own).digest())
    wrong = {
        "salt": {"salt": b"x" * 32},
        "index": {"index": anchor.index - 1},
        "proof": {"proof": anchor.proof[:-1]},
        "note": {"note": anchor.note.replace(f"\n{anchor.size}\n", f"\n{anchor.size + 1}\n")},
        "actor": {"actor": "key:somebody-else"},
    }[change]
    result = forged(envelope=write_envelope(own, signers=office().signers, anchor=replace(anchor, **wrong), renderer=renderer()))
    assert (result.anchored, result.exit_code) == (False, 3)


def test_a_forged_evidence_signature_is_found() -> None:
    mixed = replace(office().signers, sign_evidence=other_office().signers.sign_evidence)
    envelope = write_envelope(evidence_bytes(sample()), signers=mixed, anchor=None, renderer=renderer())
    result = forged(envelope=envelope)
    assert (result.complete, result.exit_code) == (False, 3)
    assert "does not hold" in " ".join(result.sentences)


def test_pages_of_another_renderer_are_not_compared_and_that_is_said() -> None:
    own = evidence_bytes(sample())
    anchor = office().anchor(hashlib.sha256(own).digest())
    envelope = write_envelope(own, signers=office().signers, anchor=anchor, renderer="govern-pages/0 reportlab/1")
    result = forged(envelope=envelope)
    assert (result.complete, result.exit_code) == (None, 4)
    assert "govern-pages/0" in " ".join(result.not_checked)


def test_extra_attachments_and_actions_are_found() -> None:
    dossier = sample()
    pages = render_pdf(dossier)
    files = {EVIDENCE_NAME: evidence_bytes(dossier), ENVELOPE_NAME: b"{}", "more.json": b"{}"}
    assert verify(sign_pdf(pages, files, office().signers), office().trusted()).exit_code == 3
    assert verify(sign_pdf(pages, {}, office().signers), office().trusted()).complete is False


# ── other verifiers, other callers ──────────────────────────────────────────────────────────────
def test_pyhanko_finds_the_signature_valid_too() -> None:
    from asn1crypto import pem, x509
    from pyhanko.pdf_utils.reader import PdfFileReader
    from pyhanko.sign.validation import validate_pdf_signature
    from pyhanko_certvalidator import ValidationContext

    _, _, der = pem.unarmor(office().keys.certificate("pdf"))
    signature = PdfFileReader(io.BytesIO(paper())).embedded_signatures[0]
    context = ValidationContext(trust_roots=[x509.Certificate.load(der)], allow_fetching=False)
    status = validate_pdf_signature(signature, signer_validation_context=context)
    assert status.intact
    assert status.valid
    assert status.coverage.name == "ENTIRE_FILE"


def test_a_paper_can_be_issued_inside_a_running_event_loop() -> None:
    async def inside() -> bytes:
        return office().issue(sample())

    assert verify(asyncio.run(inside()), office().trusted()).exit_code == 0


def test_keys_that_do_not_fit_are_refused_before_anything_is_signed() -> None:
    mixed = replace(office().signers, pdf_certificate_pem=other_office().signers.pdf_certificate_pem)
    with pytest.raises(BadInput, match="does not belong"):
        sign_pdf(render_pdf(sample()), {}, mixed)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("evidence", "key"), "not base64!", "neither base64 nor hex"),
        (("evidence", "key"), "AAAA", "not 32"),
        (("pdf", "certificate"), "no PEM", "not a PEM certificate"),
        (("checkpoint", "key"), "00" * 31, "evidence|checkpoint"),
    ],
)
def test_malformed_public_keys_are_named(path: tuple[str, str], value: str, message: str) -> None:
    keys = office().public()
    keys[path[0]][path[1]] = value
    with pytest.raises(BadInput, match=message):
        TrustedKeys.from_json(keys)


def test_public_keys_may_be_a_verifier_key_or_hex() -> None:
    from lineage.ledger.notes import verifier_key

    keys = office().public()
    name = keys["checkpoint"]["name"]
    keys["checkpoint"]["key"] = verifier_key(name, office().keys.public_ed25519("checkpoint"))
    keys["evidence"]["key"] = office().keys.public_ed25519("evidence").hex()
    assert TrustedKeys.from_json(keys) == office().trusted()
    with pytest.raises(BadInput, match="lack"):
        TrustedKeys.from_json({"installation": "x"})
