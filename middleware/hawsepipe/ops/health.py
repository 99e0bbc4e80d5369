"""`/health/live`, `/health/ready` and `/metrics`, for orchestrators and Prometheus. They name no patient."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from hawsepipe.auth.tokens import TokenVerifier
from hawsepipe.errors import HawsepipeError
from hawsepipe.meters import Meters
from hawsepipe.ops.authorisation import near

Probe = Callable[[], Awaitable[None]]
"""Returns when a part can do its work, else raises HawsepipeError."""


def routes(
    meters: Meters,
    verifier: TokenVerifier,
    probes: Mapping[str, Probe],
    states: Mapping[str, Callable[[], str]] | None = None,
    refresh: Probe | None = None,
) -> list[web.RouteDef]:
    """Return the routes; metrics are for this machine and for operators.

    `probes` are asked for readiness; one that fails makes the answer 503 and is named.
    `states` are told as they are and make nothing unready: care does not wait for a ledger. `refresh` is called before
    metrics are told, for those that are read and not counted; if it fails they stay as they were.
    """

    async def live(_request: web.Request) -> web.Response:
        return web.json_response({"status": "live"})

    async def ready(_request: web.Request) -> web.Response:
        parts: dict[str, str] = {}
        for name, probe in probes.items():
            try:
                await probe()
                parts[name] = "ready"
            except HawsepipeError as error:
                parts[name] = type(error).__name__
        good = all(state == "ready" for state in parts.values())
        parts |= {name: state() for name, state in (states or {}).items()}
        return web.json_response(
            {"status": "ready" if good else "not ready", "parts": parts}, status=200 if good else 503
        )

    async def metrics(_request: web.Request) -> web.Response:
        if refresh is not None:
            with contextlib.suppress(HawsepipeError):
                await refresh()
        return web.Response(body=generate_latest(meters.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return [
        web.get("/health/live", live, allow_head=True),
        web.get("/health/ready", ready, allow_head=True),
        web.get("/metrics", near(verifier, metrics), allow_head=False),
    ]
