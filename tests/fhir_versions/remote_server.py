"""A small FHIR server for the polling feed to read: a history by pages, and whatever a server can do wrong."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web

BEGIN = datetime(2026, 11, 1, 8, 0, tzinfo=UTC)


@dataclass
class Server:
    """`entries` are versions, the oldest first; `faults` are taken one by one before a right answer is given."""

    entries: list[dict[str, Any]] = field(default_factory=list)
    faults: list[Callable[[], web.StreamResponse]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    media_type: str = "application/fhir+json; fhirVersion=4.0"
    rising: bool = False
    sorted: bool = True
    url: str = ""
    granted: int = 0
    allowed: str | None = None

    def put(self, type_: str, id_: str, seconds: float, **content: Any) -> None:
        version = str(1 + sum(entry["_place"] == f"{type_}/{id_}" for entry in self.entries))
        instant = _told(seconds)
        meta = {"versionId": version, "lastUpdated": instant}
        self.entries.append(
            {
                "_place": f"{type_}/{id_}",
                "_at": instant,
                "fullUrl": f"{self.url}/{type_}/{id_}",
                "resource": {"resourceType": type_, "id": id_, "meta": meta, **content},
                "request": {"method": "PUT" if version != "1" else "POST", "url": f"{type_}/{id_}"},
                "response": {"status": "200", "lastModified": instant, "etag": f'W/"{version}"'},
            }
        )

    def delete(self, type_: str, id_: str, seconds: float) -> None:
        instant = _told(seconds)
        self.entries.append(
            {
                "_place": f"{type_}/{id_}",
                "_at": instant,
                "fullUrl": f"{self.url}/{type_}/{id_}",
                "request": {"method": "DELETE", "url": f"{type_}/{id_}/_history/9"},
                "response": {"status": "204", "lastModified": instant, "etag": 'W/"9"'},
            }
        )

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path_qs)
        self.tokens.append(request.headers.get("Authorization", ""))
        if self.faults:
            return self.faults.pop(0)()
        if self.allowed is not None and self.tokens[-1] != f"Bearer {self.allowed}":
            return web.Response(status=401)
        if request.path.endswith("/metadata"):
            return self._json({"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1"})
        query = request.query
        if query.get("_summary") == "count":
            places = {entry["_place"] for entry in self.entries if entry["_place"].startswith(f"{request.path[6:]}/")}
            return self._json({"resourceType": "Bundle", "type": "searchset", "total": len(places)})
        size, offset = int(query["_count"]), int(query.get("offset", "0"))
        if request.path.endswith("/_history"):
            since = query.get("_since", "")
            found = [entry for entry in self.entries if entry["_at"] >= since]
            found = found if self.rising else found[::-1]
        else:
            type_ = request.path.rpartition("/")[2]
            since = query.get("_lastUpdated", "").removeprefix("ge")
            current = {entry["_place"]: entry for entry in self.entries}
            found = [entry for entry in current.values() if entry["_place"].startswith(f"{type_}/")]
            found = [entry for entry in found if entry["_at"] >= since and "resource" in entry]
            found.sort(key=lambda entry: str(entry["_at"]), reverse=not self.sorted)
        links = []
        if offset + size < len(found):
            onward = request.rel_url.update_query({"offset": str(offset + size)})
            links.append({"relation": "next", "url": f"{request.url.origin()}{onward}"})
        page = [
            {key: part for key, part in entry.items() if not key.startswith("_")}
            for entry in found[offset : offset + size]
        ]
        return self._json({"resourceType": "Bundle", "type": "history", "link": links, "entry": page})

    async def token(self, request: web.Request) -> web.StreamResponse:
        form = await request.post()
        if request.headers["Authorization"] != "Basic aGF3c2VwaXBlOnMzY3JldA==" or form["scope"] != "system/*.rs":
            return web.Response(status=401)
        self.granted += 1
        self.allowed = f"granted-{self.granted}"
        return web.json_response({"access_token": self.allowed, "expires_in": 3600})

    def _json(self, body: Any) -> web.Response:
        return web.Response(body=json.dumps(body).encode(), headers={"Content-Type": self.media_type})


def _told(seconds: float) -> str:
    return (BEGIN + timedelta(seconds=seconds)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@asynccontextmanager
async def running(port: int = 0) -> AsyncIterator[Server]:
    """A server on a port of this machine."""
    server = Server()
    app = web.Application()
    app.router.add_get("/fhir/{path:.*}", server.answer)
    app.router.add_post("/token", server.token)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/fhir"
    try:
        yield server
    finally:
        await runner.cleanup()
