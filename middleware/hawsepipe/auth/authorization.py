"""SMART Backend Services: a client proves itself with a signed assertion and gets an access token.

https://hl7.org/fhir/smart-app-launch/backend-services.html, RFC 6749 section 4.4, RFC 7523. No HTTP here: forms in,
values out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from hawsepipe.auth.clients import Client
from hawsepipe.auth.compact import SKEW, check_audience, check_times, parsed, refuse, text, verified
from hawsepipe.auth.issuer import Issuer
from hawsepipe.auth.principals import purpose
from hawsepipe.auth.replays import Replays
from hawsepipe.clock import Clock
from hawsepipe.errors import Unauthorized

ASSERTION: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

_ONCE: Final = ("grant_type", "scope", "client_assertion_type", "client_assertion", "client_id")


@dataclass(frozen=True, slots=True)
class Answer:
    """What the token endpoint says: an HTTP status and a JSON body (RFC 6749, sections 5.1 and 5.2)."""

    status: int
    body: Mapping[str, Any]


class AuthorizationServer:
    """Grants registered clients tokens inside their registration, and nothing else."""

    def __init__(
        self,
        issuer: Issuer,
        clients: Mapping[str, Client],
        replays: Replays,
        *,
        token_url: str,
        clock: Clock,
        token_ids: Callable[[], str],
        tenant: str | None = None,
        lifetime: int = 300,
    ) -> None:
        """`token_url` is the token endpoint's address as clients see it; `token_ids` gives ids that never repeat."""
        self.issuer = issuer
        self._clients = dict(clients)
        self._replays = replays
        self._token_url = token_url
        self._clock = clock
        self._token_ids = token_ids
        self._tenant = tenant
        self._lifetime = lifetime

    async def token(self, form: Mapping[str, list[str]]) -> Answer:
        """Answer a token request; `form` has every value of each field. Raises StoreError when a use cannot be
        recorded.
        """
        if any(len(form.get(name, ())) > 1 for name in _ONCE):
            return _error("invalid_request", "a field is there twice")
        fields = {name: form[name][0] for name in _ONCE if form.get(name)}
        if fields.get("grant_type") != "client_credentials":
            return _error("unsupported_grant_type", "grant_type must be client_credentials")
        if fields.get("client_assertion_type") != ASSERTION or "client_assertion" not in fields:
            return _error("invalid_client", "a client_assertion of type jwt-bearer is needed", 401)
        try:
            client, stated = await self._authenticated(fields["client_assertion"])
        except Unauthorized as error:
            return _error("invalid_client", error.text, 401)
        if fields.get("client_id", client.id) != client.id:
            return _error("invalid_client", "client_id and the assertion are not the same", 401)
        scopes = client.granted(fields.get("scope", "").split())
        if not scopes:
            return _error("invalid_scope", "the client is registered for none of the requested scopes")
        if stated is None and len(client.purposes) == 1:
            stated = next(iter(client.purposes))
        if stated not in client.purposes:
            return _error("invalid_grant", "the assertion must state one of the client's registered purposes of use")
        token = self.issuer.issue(
            subject=client.subject,
            client=client.id,
            scopes=scopes,
            token_id=self._token_ids(),
            now=self._clock(),
            roles=client.roles,
            purpose=stated,
            actors=() if client.organization is None else (client.organization,),
            tenant=self._tenant,
            lifetime=self._lifetime,
        )
        return Answer(
            200,
            {
                "access_token": token,
                "token_type": "bearer",
                "expires_in": self._lifetime,
                "scope": " ".join(scopes),
            },
        )

    async def _authenticated(self, assertion: str) -> tuple[Client, str | None]:
        """Return the client and the purpose that its assertion states. Raises Unauthorized."""
        now = self._clock()
        compact = parsed(assertion)
        if compact.type != "jwt":
            raise refuse("the assertion's typ must be JWT")
        client = self._clients.get(text(compact.claims, "iss"))
        if client is None:
            raise refuse("the client is not registered")
        claims = verified(compact, client.keys)
        if text(claims, "sub") != client.id:
            raise refuse("the assertion's iss and sub are not the same")
        check_audience(claims, self._token_url)
        check_times(claims, now, issued_required=False)
        token_id = text(claims, "jti")
        stated = purpose(claims)
        if not await self._replays.first_use(client.id, token_id, claims["exp"] + SKEW, int(now.timestamp())):
            raise refuse("the assertion was used before")
        return client, stated


def smart_configuration(*, issuer: str, jwks_url: str, token_url: str) -> dict[str, Any]:
    """Return what `.well-known/smart-configuration` says (SMART App Launch 2.2, Conformance)."""
    return {
        "issuer": issuer,
        "jwks_uri": jwks_url,
        "token_endpoint": token_url,
        "token_endpoint_auth_methods_supported": ["private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": ["RS384", "ES384", "PS384", "EdDSA"],
        "grant_types_supported": ["client_credentials"],
        "scopes_supported": ["system/*.cruds", "system/*.rs"],
        "code_challenge_methods_supported": ["S256"],
        "capabilities": ["client-confidential-asymmetric", "permission-v1", "permission-v2"],
    }


def _error(code: str, description: str, status: int = 400) -> Answer:
    return Answer(status, {"error": code, "error_description": description})
