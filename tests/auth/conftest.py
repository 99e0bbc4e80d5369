"""A fixed instant, an issuer with its verifier, and a way to sign whatever a test wants to see refused."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from joserfc import jws
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

from hawsepipe.auth.issuer import Issuer, make_key
from hawsepipe.auth.keys import SignatureRegistry, VerificationKeys
from hawsepipe.auth.tokens import TokenVerifier

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
BASE = "https://fhir.example.org/fhir"
ISSUER = "https://fhir.example.org/auth"
PARTNER = "https://partner.example.org"

Sign = Callable[..., str]


class Forgery(SignatureRegistry):
    """Signs under any header: forging is the point."""

    def check_header(self, header: dict[str, Any]) -> None:
        """Let everything through."""


class Watch:
    """A clock that stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture(scope="session")
def keys() -> dict[str, Key]:
    """Private keys by kid. `partner` belongs to the other issuer, `stranger` to nobody."""
    return {
        "rsa": RSAKey.generate_key(2048),
        "ec": ECKey.generate_key("P-384"),
        "ed": OKPKey.generate_key("Ed25519"),
        "partner": ECKey.generate_key("P-384"),
        "stranger": ECKey.generate_key("P-384"),
    }


@pytest.fixture
def verifier(keys: dict[str, Key], watch: Watch) -> TokenVerifier:
    def public(*names: str) -> VerificationKeys:
        return VerificationKeys({"keys": [{**keys[n].as_dict(private=False), "kid": n} for n in names]}, setting="test")

    return TokenVerifier({ISSUER: public("rsa", "ec", "ed"), PARTNER: public("partner")}, BASE, watch)


@pytest.fixture
def good() -> dict[str, Any]:
    """The claims of a token that is accepted."""
    issued = int(NOW.timestamp())
    return {
        "iss": ISSUER,
        "aud": BASE,
        "sub": "Practitioner/1",
        "client_id": "app",
        "scope": "user/*.rs",
        "jti": "t-1",
        "iat": issued,
        "exp": issued + 300,
    }


@pytest.fixture
def sign(keys: dict[str, Key]) -> Sign:
    """Sign a payload (claims or bytes) under a header with a key named by `kid`."""

    def signed(claims: dict[str, Any] | bytes, *, kid: str = "ec", alg: str = "ES384", **header: Any) -> str:
        payload = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
        full = {"alg": alg, "kid": kid, "typ": "at+jwt", **header}
        key = keys[kid] if kid in keys else keys["ec"]
        return jws.serialize_compact({k: v for k, v in full.items() if v is not None}, payload, key, registry=Forgery())

    return signed


@pytest.fixture
def raw() -> Callable[..., str]:
    """Join header, payload and signature bytes without any signing."""

    def joined(*parts: bytes) -> str:
        return ".".join(urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)

    return joined


@pytest.fixture
def issuer(tmp_path: Path) -> Issuer:
    path = tmp_path / "issuer.jwk"
    make_key(path, lambda size: bytes(range(size)))
    return Issuer.read(path, ISSUER, BASE)
