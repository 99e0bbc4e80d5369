"""Every way of forging a token that we know is refused, with a text that repeats nothing of it (RFC 8725)."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from joserfc.jwk import Key, RSAKey

from hawsepipe.auth.tokens import TokenVerifier
from hawsepipe.errors import Unauthorized

ISSUED = 1772366400  # the fixtures' instant
Claims = dict[str, Any]


def test_the_token_that_all_forgeries_start_from_is_accepted(
    verifier: TokenVerifier, good: Claims, sign: Callable[..., str]
) -> None:
    for kid, alg in (("ec", "ES384"), ("rsa", "RS384"), ("rsa", "PS384"), ("ed", "EdDSA"), ("ed", "Ed25519")):
        assert verifier.verify(sign({**good, "jti": f"{kid}-{alg}"}, kid=kid, alg=alg)).subject == "Practitioner/1"
    assert good["iat"] == ISSUED


BAD_CLAIMS: dict[str, Claims] = {
    "expired": {"iat": ISSUED - 400, "exp": ISSUED - 100},
    "issued in the future": {"iat": ISSUED + 60, "exp": ISSUED + 300},
    "not valid yet": {"nbf": ISSUED + 60},
    "lives too long": {"exp": ISSUED + 301},
    "lives for ever": {"exp": 2**60},
    "expires before it is issued": {"exp": ISSUED - 5},
    "expires at a text": {"exp": str(ISSUED + 300)},
    "expires at a fraction": {"exp": ISSUED + 299.5},
    "expires at true": {"exp": True},
    "wrong audience": {"aud": "https://other.example.org/fhir"},
    "audience with a trailing slash": {"aud": "https://fhir.example.org/fhir/"},
    "audience list without us": {"aud": ["https://other.example.org/fhir"]},
    "audience list with a number": {"aud": ["https://fhir.example.org/fhir", 1]},
    "unknown issuer": {"iss": "https://evil.example.org"},
    "issuer with a trailing slash": {"iss": "https://fhir.example.org/auth/"},
    "key of another issuer": {"iss": "https://partner.example.org"},
    "issuer as a list": {"iss": ["https://fhir.example.org/auth"]},
    "unknown purpose": {"purpose_of_use": "CURIOSITY"},
    "purpose of another system": {"purpose_of_use": "urn:oid:1.2.3#TREAT"},
    "two purposes": {"purpose_of_use": ["TREAT", "HRESCH"]},
    "purpose as a number": {"purpose_of_use": 1},
    "two purposes in two places": {"purpose_of_use": "TREAT", "extensions": {"hl7-b2b": {"purpose_of_use": ["BTG"]}}},
    "extensions that are no object": {"extensions": ["ihe_iua"]},
    "bound to a key": {"cnf": {"jkt": "x"}},
    "another tenant": {"tenant": "elsewhere"},
    "subject that is nobody": {"sub": "admin"},
    "subject of another type": {"sub": "Observation/1"},
    "subject with a path": {"sub": "Practitioner/../Patient/1"},
    "subject on another server": {"sub": "x", "fhirUser": "https://other.example.org/fhir/Practitioner/1"},
    "fhirUser and sub differ": {"fhirUser": "Practitioner/2"},
    "patient that is no id": {"patient": "1 or 1=1"},
    "patient of another type": {"patient": "Practitioner/1"},
    "role of another type": {"practitioner_role": "Practitioner/1"},
    "scope as a list": {"scope": ["user/*.rs"]},
    "empty scope": {"scope": ""},
    "scope with a double space": {"scope": "user/*.rs  system/*.cruds"},
    "scope with a line break": {"scope": "user/*.rs\nsystem/*.cruds"},
    "roles as an object list without code": {"subject_role": [{"system": "x"}]},
    "a lone surrogate": {"jti": "\ud800"},
    "an endless name": {"jti": "a" * 300},
}


@pytest.mark.parametrize("change", BAD_CLAIMS.values(), ids=BAD_CLAIMS.keys())
def test_a_well_signed_token_with_a_wrong_claim_is_refused(
    change: Claims, verifier: TokenVerifier, good: Claims, sign: Callable[..., str]
) -> None:
    with pytest.raises(Unauthorized) as caught:
        verifier.verify(sign({**good, **change}))
    assert caught.value.challenge == "invalid_token"


@pytest.mark.parametrize("name", ["iss", "aud", "exp", "iat", "jti", "sub", "client_id", "scope"])
def test_a_token_without_a_required_claim_is_refused(
    name: str, verifier: TokenVerifier, good: Claims, sign: Callable[..., str]
) -> None:
    del good[name]
    with pytest.raises(Unauthorized):
        verifier.verify(sign(good))


BAD_HEADERS: dict[str, dict[str, Any]] = {
    "no type": {"typ": None},
    "type JWT": {"typ": "JWT"},
    "type of an id token": {"typ": "id+jwt"},
    "no key id": {"kid": None},
    "key id of another issuer": {"kid": "partner"},
    "unknown key id": {"kid": "nobody"},
    "key id as a path": {"kid": "../../etc/passwd"},
    "key id as a number": {"kid": 1},
    "crit": {"crit": ["exp"], "exp": 1},
    "crit with b64": {"crit": ["b64"], "b64": True},
    "b64": {"b64": True},
    "embedded key": {"jwk": {"kty": "EC"}},
    "key address": {"jku": "https://evil.example.org/jwks"},
    "certificate address": {"x5u": "https://evil.example.org/cert"},
    "certificate chain": {"x5c": ["MIIB"]},
    "certificate thumbprint": {"x5t": "abc"},
    "nested": {"cty": "JWT"},
    "compressed": {"zip": "DEF"},
    "EC signature said to be RSA": {"alg": "ES384", "kid": "stranger"},
}


@pytest.mark.parametrize("change", BAD_HEADERS.values(), ids=BAD_HEADERS.keys())
def test_a_well_signed_token_with_a_wrong_header_is_refused(
    change: dict[str, Any], verifier: TokenVerifier, good: Claims, sign: Callable[..., str]
) -> None:
    with pytest.raises(Unauthorized):
        verifier.verify(sign(good, **change))


@pytest.mark.parametrize(
    "algorithm", ["none", "None", "NONE", "HS256", "HS384", "HS512", "RS256", "ES256", "dir", "", 1]
)
def test_no_other_algorithm_is_taken_whatever_the_key(
    algorithm: str, verifier: TokenVerifier, good: Claims, raw: Callable[..., str], keys: dict[str, Key]
) -> None:
    header = json.dumps({"alg": algorithm, "kid": "rsa", "typ": "at+jwt"}).encode()
    body = json.dumps(good).encode()
    signed = raw(header, body)
    public = keys["rsa"]
    assert isinstance(public, RSAKey)
    secret = public.as_pem(private=False)
    mac = hmac.new(secret, signed.encode(), hashlib.sha256).digest()
    for token in (f"{signed}.", raw(header, body, mac), raw(header, body, b"x" * 256)):
        with pytest.raises(Unauthorized):
            verifier.verify(token)


@pytest.mark.parametrize(("kid", "said"), [("ec", "RS384"), ("ec", "EdDSA"), ("rsa", "ES384"), ("ed", "ES384")])
def test_a_key_cannot_be_used_under_another_algorithm(
    kid: str, said: str, verifier: TokenVerifier, good: Claims, raw: Callable[..., str]
) -> None:
    header = json.dumps({"alg": said, "kid": kid, "typ": "at+jwt"}).encode()
    with pytest.raises(Unauthorized):
        verifier.verify(raw(header, json.dumps(good).encode(), b"x" * 96))


def test_a_key_that_is_not_the_issuers_is_refused_under_the_issuers_key_id(
    verifier: TokenVerifier, good: Claims, sign: Callable[..., str]
) -> None:
    header, payload, _ = sign(good).split(".")
    *_, signature = sign(good, kid="stranger").split(".")
    with pytest.raises(Unauthorized, match="signature"):
        verifier.verify(f"{header}.{payload}.{signature}")


def test_one_changed_claim_breaks_the_signature(
    verifier: TokenVerifier, good: Claims, sign: Callable[..., str], raw: Callable[..., str]
) -> None:
    header, _, signature = sign(good).split(".")
    payload = raw(json.dumps({**good, "scope": "system/*.cruds"}).encode())
    with pytest.raises(Unauthorized, match="signature"):
        verifier.verify(f"{header}.{payload}.{signature}")


def test_doubled_claims_are_refused_at_every_depth(
    verifier: TokenVerifier, good: Claims, sign: Callable[..., str]
) -> None:
    text = json.dumps(good)
    for doubled in (
        text[:-1] + ', "sub": "Practitioner/2"}',
        text[:-1] + ', "extensions": {"ihe_iua": {"purpose_of_use": "TREAT", "purpose_of_use": "BTG"}}}',
    ):
        with pytest.raises(Unauthorized, match="well-formed"):
            verifier.verify(sign(doubled.encode()))


def test_doubled_header_members_are_refused(
    verifier: TokenVerifier, good: Claims, raw: Callable[..., str], sign: Callable[..., str]
) -> None:
    _, payload, signature = sign(good).split(".")
    header = raw(b'{"alg":"ES384","alg":"ES384","kid":"ec","typ":"at+jwt"}')
    with pytest.raises(Unauthorized, match="well-formed"):
        verifier.verify(f"{header}.{payload}.{signature}")


BAD_PAYLOADS = {
    "empty": b"",
    "null": b"null",
    "list": b"[]",
    "text": b'"text"',
    "cut": b"{",
    "not UTF-8": b"\xff\xfe{}",
    "NaN": b'{"exp": NaN}',
    "deep": b'{"a":' * 3000 + b"1" + b"}" * 3000,
    "long number": b"9" * 5000,
}


@pytest.mark.parametrize("payload", BAD_PAYLOADS.values(), ids=BAD_PAYLOADS.keys())
def test_a_payload_that_is_no_plain_json_object_is_refused(
    payload: bytes, verifier: TokenVerifier, sign: Callable[..., str]
) -> None:
    with pytest.raises(Unauthorized):
        verifier.verify(sign(payload))


def test_a_token_inside_a_token_is_refused(verifier: TokenVerifier, good: Claims, sign: Callable[..., str]) -> None:
    with pytest.raises(Unauthorized):
        verifier.verify(sign(sign(good).encode()))


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "a.b",
        "a.b.c.d.e",
        "a.b.c",
        "a\n.b.c",
        "ä.b.c",
        "a.b.c" * 10_000,
        '{"payload":"","signatures":[]}',
        "\ud800.a.b",
    ],
)
def test_what_is_no_compact_token_is_refused(token: str, verifier: TokenVerifier) -> None:
    with pytest.raises(Unauthorized):
        verifier.verify(token)


def test_an_oversized_token_is_refused_though_it_is_well_signed(
    verifier: TokenVerifier, good: Claims, sign: Callable[..., str]
) -> None:
    with pytest.raises(Unauthorized, match="too long"):
        verifier.verify(sign({**good, "filler": "x" * 16_384}))


def test_padding_and_other_spellings_of_base64_are_refused(
    verifier: TokenVerifier, good: Claims, sign: Callable[..., str]
) -> None:
    header, payload, signature = sign(good).split(".")
    for token in (
        f"{header}=.{payload}.{signature}",
        f"{header}.{payload}.{signature}=",
        f" {header}.{payload}.{signature}",
        f"{header}.{payload}.{signature}+",
    ):
        with pytest.raises(Unauthorized):
            verifier.verify(token)


def test_no_text_of_a_refusal_repeats_the_token(
    verifier: TokenVerifier, good: Claims, sign: Callable[..., str]
) -> None:
    for change in BAD_CLAIMS.values():
        with pytest.raises(Unauthorized) as caught:
            verifier.verify(sign({**good, **change}))
        for value in change.values():
            assert len(str(value)) < 3 or str(value) not in str(caught.value)


def test_a_remembered_token_ends_when_it_expires(
    verifier: TokenVerifier, good: Claims, sign: Callable[..., str], watch: Any
) -> None:
    token = sign(good)
    assert verifier.verify(token) is verifier.verify(token)
    watch.now += timedelta(seconds=309)
    assert verifier.verify(token).subject == "Practitioner/1"
    watch.now += timedelta(seconds=1)
    with pytest.raises(Unauthorized, match="expired"):
        verifier.verify(token)
    watch.now -= timedelta(seconds=400)
    with pytest.raises(Unauthorized, match="not valid yet"):
        verifier.verify(token)
