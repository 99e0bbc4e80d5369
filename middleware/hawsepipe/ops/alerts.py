"""`/ops/alerts`: what is wrong now, and what was, for operators. It names feeds and destinations alone."""

from __future__ import annotations

from aiohttp import web

from hawsepipe.auth.tokens import TokenVerifier
from hawsepipe.intake.alerts import Alerts
from hawsepipe.model import Principal
from hawsepipe.ops.authorisation import guarded


def routes(alerts: Alerts, verifier: TokenVerifier) -> list[web.RouteDef]:
    """Return the route."""

    async def listed(_request: web.Request, _operator: Principal) -> object:
        return alerts.list()

    return [web.get("/ops/alerts", guarded(verifier, listed))]
