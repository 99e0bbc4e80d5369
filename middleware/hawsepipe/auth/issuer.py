"""The embedded issuer: an Ed25519 key in a file that only its owner can read, and the access tokens that it signs (RFC
9068).
"""

from __future__ import annotations

import json
import os
from base64 import urlsafe_b64encode
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from hawsepipe.auth.compact import MAX_LIFETIME
from hawsepipe.auth.keys import SignatureRegistry, VerificationKeys
from hawsepipe.errors import ConfigError

_ALGORITHM: Final = "EdDSA"
_ACTORS: Final = {"PractitionerRole": "practitioner_role", "Organization": "organization"}


def make_key(path: Path, random: Callable[[int], bytes]) -> None:
    """Write a new private key (JWK, mode 0600) unless the file exists. `random` gives secret random bytes.

    Raises ConfigError when the file exists: a key that was in use is never overwritten.
    """
    private = random(32)
    public = Ed25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()
    members = {"kty": "OKP", "crv": "Ed25519", "x": _encoded(public), "d": _encoded(private)}
    body = {**members, "kid": OKPKey.import_key(dict(members)).thumbprint(), "use": "sig", "alg": _ALGORITHM}
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise ConfigError("auth.key", "the key file exists already; nothing was changed") from error
    except OSError as error:
        raise ConfigError("auth.key", "the key file cannot be written") from error
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        json.dump(body, file)
        file.flush()
        os.fsync(file.fileno())


class Issuer:
    """Signs access tokens. Whoever holds one decides who somebody is."""

    def __init__(self, url: str, audience: str, key: Mapping[str, Any]) -> None:
        """`url` is what tokens say in `iss`, `audience` (the FHIR base) in `aud`; `key` is the private JWK."""
        try:
            self._key = OKPKey.import_key({name: key[name] for name in ("kty", "crv", "x", "d")})
            self._kid = str(key["kid"])
        except (JoseError, KeyError, ValueError, TypeError) as error:
            raise ConfigError("auth.key", "the issuer key cannot be read") from error
        self.url = url
        self.audience = audience

    @classmethod
    def read(cls, path: Path, url: str, audience: str) -> Issuer:
        """Read the key that `make_key` wrote. Raises ConfigError, also when others may read the file."""
        try:
            if path.stat().st_mode & 0o077:
                raise ConfigError("auth.key", "the issuer key can be read by others; set its mode to 0600")
            key = json.loads(path.read_bytes())
        except (OSError, ValueError) as error:
            raise ConfigError("auth.key", "the issuer key file is missing or cannot be read") from error
        if not isinstance(key, dict):
            raise ConfigError("auth.key", "the issuer key cannot be read")
        return cls(url, audience, key)

    def issue(
        self,
        *,
        subject: str,
        client: str,
        scopes: Collection[str],
        token_id: str,
        now: datetime,
        roles: Collection[str] = (),
        purpose: str | None = None,
        patient: str | None = None,
        actors: Collection[str] = (),
        tenant: str | None = None,
        lifetime: int = MAX_LIFETIME,
    ) -> str:
        """Return a signed access token.

        `subject` is a reference (`Practitioner/1`); `actors` at most one PractitionerRole and one Organization;
        `patient` an id; `lifetime` seconds, at most 300; `token_id` must not repeat. Raises ConfigError for what the
        verifier would refuse.
        """
        if not 0 < lifetime <= MAX_LIFETIME:
            raise ConfigError("lifetime", f"a token lives between 1 and {MAX_LIFETIME} seconds")
        issued = int(now.timestamp())
        claims: dict[str, Any] = {
            "iss": self.url,
            "aud": self.audience,
            "iat": issued,
            "exp": issued + lifetime,
            "jti": token_id,
            "sub": subject,
            "fhirUser": subject,
            "client_id": client,
            "scope": " ".join(sorted(scopes)),
        }
        if roles:
            claims["subject_role"] = sorted(roles)
        for name, value in (("purpose_of_use", purpose), ("patient", patient), ("tenant", tenant)):
            if value is not None:
                claims[name] = value
        for actor in actors:
            claim = _ACTORS.get(actor.partition("/")[0])
            if claim is None or claim in claims:
                raise ConfigError("actors", "a token asserts at most one PractitionerRole and one Organization")
            claims[claim] = actor
        header = {"alg": _ALGORITHM, "kid": self._kid, "typ": "at+jwt"}
        payload = json.dumps(claims, ensure_ascii=True, separators=(",", ":"))
        return jws.serialize_compact(header, payload, self._key, registry=SignatureRegistry())

    def jwks(self) -> dict[str, Any]:
        """Return the public JWK Set."""
        public = {name: self._key[name] for name in ("kty", "crv", "x")}
        return {"keys": [{**public, "kid": self._kid, "use": "sig", "alg": _ALGORITHM}]}

    def keys(self) -> VerificationKeys:
        """Return the public key as the verifier takes it."""
        return VerificationKeys(self.jwks(), setting="auth.key")


def _encoded(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode("ascii")
