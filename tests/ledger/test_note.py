from __future__ import annotations

import base64
import string
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hawsepipe import Cosigner, VerificationError, verify_cosignature
from hawsepipe.ledger import note
from hawsepipe.ledger.note import Signer, VerifierKey

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
INSTANT = datetime(2026, 3, 1, 12, 0, 0, 500000, tzinfo=UTC)
CHANNEL = "ledger.example/ward"


def test_a_verifier_key_of_another_implementation_is_read() -> None:
    # The key of Go's checksum database, https://sum.golang.org
    text = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"
    key = VerifierKey.parse(text)
    assert (key.name, key.algorithm, key.key_id.hex()) == ("sum.golang.org", note.ED25519, "033de0ae")
    assert str(key) == text


def test_a_verifier_key_with_a_wrong_part_is_refused() -> None:
    text = str(Signer(CHANNEL, KEY).vkey)
    for wrong in ("", "a", text[:-4], text.replace("+", "-", 1), f"x{text}", text + "A", "+00000000+AA=="):
        with pytest.raises(VerificationError):
            VerifierKey.parse(wrong)


def test_a_checkpoint_of_another_implementation_is_read() -> None:
    # The example of https://c2sp.org/tlog-cosignature
    root = base64.b64decode("CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=")
    log_line = (
        "— example.com/behind-the-sofa "
        "Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8="
    )
    text = note.body("example.com/behind-the-sofa", 20852163, root)
    found, signatures = note.split(text + b"\n" + log_line.encode() + b"\n")
    assert found == text
    assert [(name, key_id.hex(), len(rest)) for name, key_id, rest in signatures] == [
        ("example.com/behind-the-sofa", "033de0ae", 64)
    ]


def test_a_signed_checkpoint_verifies_with_its_key_only() -> None:
    signer = Signer(CHANNEL, KEY)
    checkpoint = signer.checkpoint(5, bytes(32))
    note.verify_checkpoint(checkpoint, signer.vkey)
    for other in (
        Signer(CHANNEL, Ed25519PrivateKey.generate()).vkey,
        Signer("ledger.example/other", KEY).vkey,
        Cosigner(CHANNEL, KEY).vkey,
    ):
        with pytest.raises(VerificationError) as raised:
            note.verify_checkpoint(checkpoint, other)
        assert raised.value.finding == "SIGNATURE_INVALID"


def test_a_note_with_one_changed_bit_does_not_verify() -> None:
    signer = Signer(CHANNEL, KEY)
    checkpoint = signer.checkpoint(5, bytes(32))
    for place in range(len(checkpoint.note)):
        for bit in range(8):
            mutant = bytearray(checkpoint.note)
            mutant[place] ^= 1 << bit
            with pytest.raises(VerificationError):
                note.verify_checkpoint(replace(checkpoint, note=bytes(mutant)), signer.vkey)


def test_a_checkpoint_must_say_what_its_note_says() -> None:
    signer = Signer(CHANNEL, KEY)
    checkpoint = signer.checkpoint(5, bytes(32))
    for wrong in (
        replace(checkpoint, size=6),
        replace(checkpoint, root=b"\x01" * 32),
        replace(checkpoint, channel="ledger.example/other"),
    ):
        with pytest.raises(VerificationError):
            note.verify_checkpoint(wrong, signer.vkey)
        with pytest.raises(VerificationError):
            Cosigner("witness.example", KEY).cosign(wrong, INSTANT)


def test_a_cosignature_binds_checkpoint_key_and_second() -> None:
    checkpoint = Signer(CHANNEL, KEY).checkpoint(5, bytes(32))
    cosigner = Cosigner("witness.example/w", KEY)
    line = cosigner.cosign(checkpoint, INSTANT)
    assert verify_cosignature(line, checkpoint, str(cosigner.vkey)) == int(INSTANT.timestamp())
    later = Signer(CHANNEL, KEY).checkpoint(6, bytes(32))
    other = Cosigner("witness.example/w", Ed25519PrivateKey.generate())
    for told, about, key in (
        (line, later, cosigner.vkey),
        (line, checkpoint, other.vkey),
        (line, checkpoint, Signer("witness.example/w", KEY).vkey),
        (line[:-4], checkpoint, cosigner.vkey),
        ("", checkpoint, cosigner.vkey),
    ):
        with pytest.raises(VerificationError):
            verify_cosignature(told, about, str(key))


def test_a_field_in_another_base64_form_of_the_same_bytes_is_refused() -> None:
    signer = Signer(CHANNEL, KEY)
    checkpoint = signer.checkpoint(5, bytes(32))
    other = respelt(checkpoint.note.decode())
    with pytest.raises(VerificationError, match="base64"):
        note.split(other.encode())


def respelt(text: str) -> str:
    """Return the note with unused bits of its signature's last character set."""
    alphabet = string.ascii_uppercase + string.ascii_lowercase + string.digits + "+/"
    head, last, tail = text[:-3], text[-3], text[-2:]
    assert tail == "=\n"
    other = head + alphabet[alphabet.index(last) | 1] + tail
    assert other != text
    return other


def test_names_that_cannot_stand_in_a_signature_line_are_refused() -> None:
    for name in ("", "a b", "a+b", "a\nb"):
        with pytest.raises(VerificationError):
            Signer(name, KEY)
