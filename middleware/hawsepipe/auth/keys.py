"""Public keys that may verify a signature: one closed list of algorithms, each tied to one type of key.

RFC 7517, RFC 7518, RFC 8037, RFC 9864. A key set is made when the service starts; nothing is fetched because a token
says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey, import_key
from joserfc.jws import JWSRegistry

from hawsepipe.errors import ConfigError

KEY_TYPES: Final[Mapping[str, tuple[str, str | None]]] = {
    "RS384": ("RSA", None),
    "PS384": ("RSA", None),
    "ES384": ("EC", "P-384"),
    "EdDSA": ("OKP", "Ed25519"),
    "Ed25519": ("OKP", "Ed25519"),
}
"""Every algorithm that is accepted, with the only type of key and curve that it goes with. `Ed25519` is RFC 9864's name
of `EdDSA`.
"""

_SHORTEST_RSA = 2048
_IMPORTED: Final = (RSAKey, ECKey, OKPKey)
_MEMBERS: Final = {"RSA": ("n", "e"), "EC": ("crv", "x", "y"), "OKP": ("crv", "x")}


class SignatureRegistry(JWSRegistry):
    """joserfc's registry, closed: our algorithms only, whatever the library would recommend."""

    def __init__(self) -> None:
        super().__init__(algorithms=list(KEY_TYPES))

    def get_alg(self, name: str) -> Any:
        """Return the algorithm's model.

        The library's own method also warns that RFC 9864 renames EdDSA; issuers still use the old name, and here it can
        only mean Ed25519.
        """
        if name not in KEY_TYPES:
            return super().get_alg("none")
        return self.algorithms[name]


class VerificationKeys:
    """An issuer's or a client's public keys by key id."""

    def __init__(self, jwks: Mapping[str, Any], *, setting: str) -> None:
        """Take a JWK Set. Raises ConfigError naming `setting` for a key that is private, symmetric, weak, unnamed or
        doubled.
        """
        entries = jwks.get("keys")
        if not isinstance(entries, list) or not entries:
            raise ConfigError(setting, "expected a JWK Set with at least one key")
        keys: dict[str, tuple[Key, frozenset[str]]] = {}
        for position, entry in enumerate(entries):
            place = f"{setting}.keys[{position}]"
            kid, key, algorithms = _checked(entry, place)
            if kid in keys:
                raise ConfigError(place, "the key id is there twice")
            keys[kid] = (key, algorithms)
        self._keys = keys

    def find(self, kid: str, algorithm: str) -> Key | None:
        """Return the key of this id if it goes with the algorithm, else None."""
        key, algorithms = self._keys.get(kid, (None, frozenset[str]()))
        return key if algorithm in algorithms else None


def _checked(entry: object, place: str) -> tuple[str, Key, frozenset[str]]:
    if not isinstance(entry, dict):
        raise ConfigError(place, "expected a JSON Web Key")
    kid = entry.get("kid")
    if not isinstance(kid, str) or not kid:
        raise ConfigError(place, "the key has no kid")
    kind = str(entry.get("kty"))
    algorithms = frozenset(
        name for name, (kty, curve) in KEY_TYPES.items() if kty == kind and curve in (None, entry.get("crv"))
    )
    if not algorithms:
        raise ConfigError(place, "expected an RSA key, an EC key on P-384 or an OKP key on Ed25519")
    if "d" in entry:
        raise ConfigError(place, "a private key does not belong here")
    if entry.get("use", "sig") != "sig":
        raise ConfigError(place, "the key is not for signatures")
    stated = entry.get("alg")
    if stated is not None:
        if stated not in algorithms:
            raise ConfigError(place, "the key's algorithm is not accepted here")
        algorithms = frozenset({"EdDSA", "Ed25519"}) if stated in {"EdDSA", "Ed25519"} else frozenset({stated})
    try:
        # Only what the key consists of: use, key_ops and alg are judged above and must not steer the library.
        key = import_key({"kty": kind, **{name: entry[name] for name in _MEMBERS[kind]}})
    except (JoseError, KeyError, ValueError, TypeError) as error:
        raise ConfigError(place, "the key cannot be read") from error
    assert isinstance(key, _IMPORTED)
    if isinstance(key, RSAKey) and key.public_key.key_size < _SHORTEST_RSA:
        raise ConfigError(place, f"an RSA key needs at least {_SHORTEST_RSA} bits")
    return kid, key, algorithms
