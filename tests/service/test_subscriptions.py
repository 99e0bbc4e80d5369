"""A real service with a real endpoint, killed under way: every event is told, in order, under one number."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp import web
from tests.service.test_exports import _bundle

from hawsepipe.subscriptions.topics import BUILT_IN

if TYPE_CHECKING:
    from tests.service.conftest import Installation

CONTENT = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/backport-payload-content"
JSON = {"Content-Type": "application/fhir+json"}
ROUNDS = 3
EACH = 12


def _told(bundles: Iterable[Any]) -> Iterable[tuple[int, str]]:
    for bundle in bundles:
        for part in bundle["entry"][0]["resource"]["parameter"]:
            if part["name"] == "notification-event":
                inner = {one["name"]: one for one in part["part"]}
                yield int(inner["event-number"]["valueString"]), inner["focus"]["valueReference"]["reference"]


async def test_subscriptions_outlive_kills(installation: Installation) -> None:
    got: list[Any] = []

    async def take(request: web.Request) -> web.Response:
        got.append(await request.json())
        # Between what came and what the service learns of it there is time for a kill.
        await asyncio.sleep(0.02)
        return web.Response()

    app = web.Application()
    app.router.add_post("/hook", take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    hook = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    text = installation.config.path.read_text(encoding="utf-8")
    opened = f'[subscriptions]\nendpoints = ["{hook}"]\nprivate_addresses = true\n'
    installation.config.path.write_text(text.replace("[subscriptions]\n", opened), encoding="utf-8")
    await installation.start()
    base = installation.config.base_url
    made: list[str] = []
    payload = {"extension": [{"url": CONTENT, "valueCode": "id-only"}]}
    channel = {"type": "rest-hook", "endpoint": hook, "payload": "application/fhir+json", "_payload": payload}
    asked = {"resourceType": "Subscription", "status": "requested", "reason": "x", "channel": channel}
    try:
        headers = {"Authorization": f"Bearer {installation.token(role='privacy-officer')}", **JSON}
        async with aiohttp.ClientSession(headers=headers) as session:
            body = json.dumps({**asked, "criteria": f"{BUILT_IN}Observation"})
            async with session.post(f"{base}/Subscription", data=body) as answer:
                assert answer.status == 201, await answer.text()
            async with session.post(base, data=json.dumps(_bundle(1))) as answer:
                assert answer.status == 200, await answer.text()
                entries = (await answer.json())["entry"]
            made.append(entries[2]["response"]["location"])
            patient = entries[0]["response"]["location"].partition("/_history")[0].partition("/fhir/")[2]
            seen = {"resourceType": "Observation", "status": "final", "code": {"text": "x"}}
            for number in range(ROUNDS):
                for _ in range(EACH):
                    one = json.dumps({**seen, "subject": {"reference": patient or "Patient/x"}})
                    async with session.post(f"{base}/Observation", data=one) as answer:
                        assert answer.status == 201, await answer.text()
                        made.append(answer.headers["Location"])
                await asyncio.sleep(0.05 * number)
                await installation.kill()
                await installation.start()
            wanted = len(made)
            async with asyncio.timeout(40):
                while len({number for number, _ in _told(got)}) < wanted:
                    await asyncio.sleep(0.05)
    finally:
        await runner.cleanup()
    first = dict.fromkeys(_told(got))
    assert [number for number, _ in first] == list(range(1, wanted + 1))
    assert [focus.rsplit("/", 1)[1] for _, focus in first] == [
        place.split("/Observation/")[1].split("/")[0] for place in made
    ]
    assert await installation.stop() == 0, installation.stderr()
