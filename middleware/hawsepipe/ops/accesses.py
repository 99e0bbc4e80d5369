"""The access record over HTTP, for `hawsepipe accesses`: who asked for what, and what was decided by which consents."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from hawsepipe.auth.tokens import TokenVerifier
from hawsepipe.model import Access, Principal
from hawsepipe.ops.authorisation import guarded, number
from hawsepipe.store.contract import Store

_PAGE = 1000


def routes(store: Store, verifier: TokenVerifier) -> list[web.RouteDef]:
    """Return `GET /ops/accesses?after=N`, at most a thousand entries, oldest first."""

    async def listed(request: web.Request, _operator: Principal) -> object:
        entries = await store.accesses(number(request.query.get("after", "0")), _PAGE)
        return [_entry(place, access) for place, access in entries]

    return [web.get("/ops/accesses", guarded(verifier, listed))]


def _entry(place: int, access: Access) -> dict[str, Any]:
    return {
        "number": place,
        "instant": access.instant.isoformat(),
        "subject": access.subject,
        "client": access.client,
        "purpose": access.purpose,
        "interaction": access.interaction,
        "target": access.target,
        "query": access.query,
        "patients": list(access.patients),
        "permit": access.permit,
        "reasons": list(access.reasons),
        "consents": list(access.consents),
    }
