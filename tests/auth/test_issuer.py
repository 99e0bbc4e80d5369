"""The embedded issuer's key stays with its owner, and what it signs is accepted by the verifier."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from hawsepipe.auth.issuer import Issuer, make_key
from hawsepipe.auth.keys import VerificationKeys
from hawsepipe.auth.tokens import TokenVerifier
from hawsepipe.errors import ConfigError


def test_an_issued_token_says_everything_that_was_put_in(issuer: Issuer, watch: Any) -> None:
    verifier = TokenVerifier({issuer.url: issuer.keys()}, issuer.audience, watch, tenants=frozenset({"main"}))
    token = issuer.issue(
        subject="Practitioner/1",
        client="cli",
        scopes={"user/*.rs", "user/Patient.cu"},
        roles={"physician"},
        purpose="TREAT",
        patient="p1",
        actors=("PractitionerRole/2", "Organization/3"),
        tenant="main",
        token_id="t-1",
        now=watch.now,
    )
    who = verifier.verify(token)
    assert (who.subject, who.client, who.purpose, who.patient) == ("Practitioner/1", "cli", "TREAT", "p1")
    assert who.actors == {"PractitionerRole/2", "Organization/3", "Device/cli"}
    assert who.roles == {"physician"}
    assert who.scopes == {"user/*.rs", "user/Patient.cu"}
    assert who.tenant == "main"


def test_the_key_file_is_for_its_owner_alone_and_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "issuer.jwk"
    make_key(path, os.urandom)
    assert path.stat().st_mode & 0o777 == 0o600
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="exists already"):
        make_key(path, os.urandom)
    assert path.read_bytes() == before


def test_a_key_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "issuer.jwk"
    make_key(path, os.urandom)
    path.chmod(0o640)
    with pytest.raises(ConfigError, match="0600"):
        Issuer.read(path, "https://a", "https://b")


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"kty":"OKP","crv":"Ed25519","x":"AA","d":"AA","kid":"1"}'])
def test_a_broken_key_file_is_a_configuration_error(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "issuer.jwk"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(ConfigError):
        Issuer.read(path, "https://a", "https://b")


def test_the_public_key_set_holds_no_private_part(issuer: Issuer) -> None:
    assert all(set(key) == {"kty", "crv", "x", "kid", "use", "alg"} for key in issuer.jwks()["keys"])


@pytest.mark.parametrize("lifetime", [0, 301])
def test_no_token_lives_longer_than_five_minutes(lifetime: int, issuer: Issuer, watch: Any) -> None:
    with pytest.raises(ConfigError, match="seconds"):
        issuer.issue(subject="Device/a", client="a", scopes={"s"}, token_id="1", now=watch.now, lifetime=lifetime)


@pytest.mark.parametrize(
    "key",
    [
        {"kty": "oct", "k": "c2VjcmV0", "kid": "1"},
        {"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "1"},
        {"kty": "EC", "crv": "P-256", "x": "a", "y": "b", "kid": "1"},
        {"kty": "OKP", "crv": "Ed448", "x": "a", "kid": "1"},
        {"kty": "OKP", "crv": "Ed25519", "x": "a"},
        {"kty": "OKP", "crv": "Ed25519", "x": "a", "d": "b", "kid": "1"},
        {"kty": "OKP", "crv": "Ed25519", "x": "a", "kid": "1", "use": "enc"},
        {"kty": "OKP", "crv": "Ed25519", "x": "a", "kid": "1", "alg": "HS256"},
        "key",
    ],
)
def test_a_key_that_could_weaken_the_list_is_refused_by_place(key: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        VerificationKeys({"keys": [key]}, setting="auth.issuers.x")
    assert caught.value.key == "auth.issuers.x.keys[0]"


def test_two_keys_of_one_id_are_refused(issuer: Issuer) -> None:
    with pytest.raises(ConfigError, match="twice"):
        VerificationKeys({"keys": issuer.jwks()["keys"] * 2}, setting="auth")
