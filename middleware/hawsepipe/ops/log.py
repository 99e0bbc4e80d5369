"""The log over HTTP, at the paths that C2SP names below /log (https://c2sp.org/tlog-tiles), for witnesses and monitors.

Leaves are hiding commitments: tiles tell how many there are and when they came, no more. Even that is for those alone
whom the operator gave the scope: counts tell FHIR clients of what they may not see.
"""

from __future__ import annotations

from typing import Final

from aiohttp import web

from hawsepipe.auth.tokens import TokenVerifier
from hawsepipe.errors import NotFound
from hawsepipe.ledger import tiles
from hawsepipe.ledger.log import Log
from hawsepipe.model import Principal
from hawsepipe.ops.authorisation import guarded

_TILE: Final = {"Cache-Control": "private, max-age=31536000, immutable"}
_HEAD: Final = {"Cache-Control": "no-store"}


def routes(log: Log, channel: str, verifier: TokenVerifier) -> list[web.RouteDef]:
    """Return `GET /log/checkpoint` and `/log/tile/<L>/<N>[.p/<W>]`. Entries are not given: tiles have their hashes."""

    async def checkpoint(_request: web.Request, _operator: Principal) -> web.Response:
        head = await log.checkpoint(channel)
        if head is None:
            raise NotFound("the log is empty")
        return web.Response(body=head.note, content_type="text/plain", charset="utf-8", headers=_HEAD)

    async def tile(request: web.Request, _operator: Principal) -> web.Response:
        head = await log.checkpoint(channel)
        found = tiles.parsed(request.match_info["path"])
        places = None if found is None or head is None else tiles.places(*found, head.size)
        if places is None:
            raise NotFound("there is no such tile")
        nodes = await log.nodes(places)
        if len(nodes) != len(places):
            raise NotFound("the log has lost hashes of this tile")
        body = b"".join(nodes[place] for place in places)
        return web.Response(body=body, content_type="application/octet-stream", headers=_TILE)

    return [
        web.get("/log/checkpoint", guarded(verifier, checkpoint)),
        web.get("/log/tile/{path:.+}", guarded(verifier, tile)),
    ]
