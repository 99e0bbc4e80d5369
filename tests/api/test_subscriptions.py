"""Subscriptions with a real receiver: what is told, to whom, in which order, and what is not told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from aiohttp import web

from hawsepipe.model import Resource
from hawsepipe.service.resthooks import RestHooks, public
from hawsepipe.subscriptions.engine import Failed
from hawsepipe.subscriptions.record import Folder, State
from hawsepipe.subscriptions.topics import BUILT_IN

GUIDE = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/backport-"
V = {"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "V"}


@dataclass
class Receiver:
    """An endpoint that keeps what it gets; `answers` are the statuses of the next ones."""

    address: str = ""
    got: list[Any] = field(default_factory=list)
    headers: list[Any] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    more: asyncio.Event = field(default_factory=asyncio.Event)

    async def take(self, request: web.Request) -> web.Response:
        status = self.answers.pop(0) if self.answers else 200
        body = await request.json()
        if status < 300:
            self.got.append(body)
            self.headers.append(request.headers)
            self.more.set()
        return web.Response(status=status, headers={"Location": "http://127.0.0.1:1/"})

    async def until(self, count: int) -> list[Any]:
        """Return what came, once it is so many."""
        async with asyncio.timeout(10):
            while len(self.got) < count:
                self.more.clear()
                await self.more.wait()
        return self.got

    async def events(self, count: int) -> list[tuple[int, str | None]]:
        """Return number and focus of each event, once there are so many."""
        async with asyncio.timeout(10):
            while len(found := list(told(self.got))) < count:
                self.more.clear()
                await self.more.wait()
        return found


def told(bundles: Iterable[Any]) -> Iterable[tuple[int, str | None]]:
    for bundle in bundles:
        for part in bundle["entry"][0]["resource"]["parameter"]:
            if part["name"] == "notification-event":
                inner = {one["name"]: one for one in part["part"]}
                focus = inner["focus"]["valueReference"]["reference"] if "focus" in inner else None
                yield int(inner["event-number"]["valueString"]), focus and focus.split("/fhir/")[1]


def kind(bundle: Any) -> str:
    return str(next(it["valueCode"] for it in bundle["entry"][0]["resource"]["parameter"] if it["name"] == "type"))


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    found = Receiver()
    app = web.Application()
    app.router.add_post("/hook/{rest:.*}", found.take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.address = f"http://127.0.0.1:{runner.addresses[0][1]}/hook/"
    yield found
    await runner.cleanup()


@pytest.fixture
async def endpoints(receiver: Receiver) -> tuple[str, ...]:
    return (receiver.address,)


@asynccontextmanager
async def running(service: Any) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        task = asyncio.create_task(service.subscriptions.run())

        async def ended() -> None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        stack.push_async_callback(ended)
        yield


def subscription(receiver: Receiver, content: str = "id-only", query: str = "", **more: Any) -> Resource:
    found: Resource = {
        "resourceType": "Subscription",
        "meta": {"profile": [f"{GUIDE}subscription"]},
        "status": "requested",
        "reason": "test",
        "criteria": f"{BUILT_IN}Observation",
        "channel": {
            "type": "rest-hook",
            "endpoint": f"{receiver.address}a",
            "payload": "application/fhir+json",
            "_payload": {"extension": [{"url": f"{GUIDE}payload-content", "valueCode": content}]},
            "header": ["Authorization: Bearer secret"],
        },
    }
    if query:
        found["_criteria"] = {"extension": [{"url": f"{GUIDE}filter-criteria", "valueString": query}]}
    return found | more


def observation(id_: str, status: str = "final", **more: Any) -> Resource:
    code = {"coding": [{"system": "http://loinc.org", "code": "8867-4"}]}
    about = {"reference": "Patient/ann"}
    return {"resourceType": "Observation", "id": id_, "status": status, "code": code, "subject": about, **more}


async def made(service: Any, receiver: Receiver, **more: Any) -> str:
    answer = await service.ask("POST", "Subscription", subscription(receiver, **more))
    assert answer.status == 201, answer.body
    assert answer.json["status"] == "requested"
    assert "header" not in answer.json["channel"]
    return str(answer.json["id"])


async def test_what_happens_is_told_in_its_order_by_numbers(service: Any, ann: Resource, receiver: Receiver) -> None:
    await service.put(ann, observation("before"))
    async with running(service):
        id_ = await made(service, receiver)
        (handshake,) = await receiver.until(1)
        assert kind(handshake) == "handshake"
        assert receiver.headers[0]["Authorization"] == "Bearer secret"
        for number in range(30):
            await service.put(observation(f"o{number}"))
        await service.put(observation("o0", "amended"))
        service.subscriptions.wake()
        found = await receiver.events(31)
    expected = [f"Observation/o{number}" for number in range(30)] + ["Observation/o0"]
    assert found == list(enumerate(expected, 1))
    entry = receiver.got[1]["entry"][1]
    assert receiver.got[1]["type"] == "history"
    assert entry["request"] == {"method": "POST", "url": "Observation"}
    assert "resource" not in entry
    answer = await service.ask("GET", f"Subscription/{id_}")
    assert (answer.json["status"], answer.headers["ETag"]) == ("active", 'W/"2"')
    (one,) = (await service.ask("GET", f"Subscription/{id_}/$status")).json["entry"]
    parts = {it["name"]: it for it in one["resource"]["parameter"]}
    assert parts["events-since-subscription-start"]["valueString"] == "31"
    again = await service.ask("GET", f"Subscription/{id_}/$events?eventsSinceNumber=3&eventsUntilNumber=4")
    assert list(told([again.json])) == [(3, "Observation/o2"), (4, "Observation/o3")]
    assert kind(again.json) == "query-event"


async def test_a_full_payload_has_the_resource_as_its_subscriber_may_see_it(
    service: Any, ann: Resource, receiver: Receiver
) -> None:
    await service.put(ann)
    async with running(service):
        await made(service, receiver, content="full-resource", query="Observation?status=amended")
        await receiver.until(1)
        await service.put(observation("a"), observation("b", "amended"))
        service.subscriptions.wake()
        assert await receiver.events(1) == [(1, "Observation/b")]
    resource = receiver.got[1]["entry"][1]["resource"]
    assert (resource["id"], resource["status"], resource["meta"]["versionId"]) == ("b", "amended", "1")


async def test_what_the_subscriber_may_not_see_is_no_event(service: Any, ann: Resource, receiver: Receiver) -> None:
    await service.put(ann)
    async with running(service):
        await made(service, receiver)
        await receiver.until(1)
        await service.put(observation("hidden", meta={"security": [V]}), observation("seen"))
        service.subscriptions.wake()
        assert await receiver.events(1) == [(1, "Observation/seen")]


async def test_what_is_hidden_between_the_event_and_its_delivery_is_not_told(
    service: Any, ann: Resource, receiver: Receiver
) -> None:
    await service.put(ann)
    async with running(service):
        id_ = await made(service, receiver)
        await receiver.until(1)
        receiver.answers += [503] * 40
        await service.put(observation("soon"))
        service.subscriptions.wake()
        async with asyncio.timeout(10):
            while not service.subscriptions._records[id_].failures:
                await asyncio.sleep(0.01)
        await service.put(observation("soon", meta={"security": [V]}))
        receiver.answers.clear()
        assert await receiver.events(1) == [(1, None)]
        assert b"soon" not in msgspec.json.encode(receiver.got)


async def test_a_delivery_is_tried_again_and_keeps_its_order(service: Any, ann: Resource, receiver: Receiver) -> None:
    await service.put(ann)
    async with running(service):
        await made(service, receiver)
        await receiver.until(1)
        receiver.answers += [500, 302, 404]
        for number in range(3):
            await service.put(observation(f"o{number}"))
        service.subscriptions.wake()
        assert await receiver.events(3) == [(number + 1, f"Observation/o{number}") for number in range(3)]


async def test_a_restart_goes_on_where_it_was(service: Any, ann: Resource, receiver: Receiver, tmp_path: Any) -> None:
    await service.put(ann)
    async with running(service):
        await made(service, receiver)
        await receiver.until(1)
        await service.put(observation("one"))
        service.subscriptions.wake()
        await receiver.events(1)
    await service.put(observation("two"))
    # As another process would find it: nothing but what is on the disk.
    kept = Folder(tmp_path / "subscriptions").all()
    assert [record.count for record in kept] == [1]
    service.subscriptions._records = {record.id: record for record in kept}
    service.subscriptions._tasks.clear()
    async with running(service):
        async with asyncio.timeout(10):
            while not any(number == 2 for number, _ in told(receiver.got)):
                await asyncio.sleep(0.01)
    # One that was stopped before it was kept as delivered comes again, with its number.
    assert list(dict.fromkeys(told(receiver.got))) == [(1, "Observation/one"), (2, "Observation/two")]


async def test_a_heartbeat_comes_when_nothing_happens(service: Any, ann: Resource, receiver: Receiver) -> None:
    await service.put(ann)
    beat = {"url": f"{GUIDE}heartbeat-period", "valueUnsignedInt": 1}
    sent = subscription(receiver)
    sent["channel"]["extension"] = [beat]
    async with running(service):
        assert (await service.ask("POST", "Subscription", sent)).status == 201
        await receiver.until(1)
        while len(receiver.got) < 2:
            service.clock.now += timedelta(seconds=2)
            service.subscriptions.wake()
            await asyncio.sleep(0.02)
    found = receiver.got
    assert [kind(it) for it in found[:2]] == ["handshake", "heartbeat"]


async def test_an_endpoint_that_does_not_answer_the_handshake_ends_it(
    service: Any, ann: Resource, receiver: Receiver
) -> None:
    receiver.answers += [500] * 5
    async with running(service):
        id_ = await made(service, receiver)
        async with asyncio.timeout(10):
            while (found := (await service.ask("GET", f"Subscription/{id_}")).json)["status"] != "error":
                await asyncio.sleep(0.02)
        assert "handshake" in found["error"]
        # Its client asks for it again, without the headers that it was not shown.
        again = await service.ask("PUT", f"Subscription/{id_}", {**found, "status": "requested"})
        assert again.status == 200, again.body
        await receiver.until(1)
        assert receiver.headers[0]["Authorization"] == "Bearer secret"


async def test_a_subscription_is_its_client_s_alone(service: Any, receiver: Receiver) -> None:
    id_ = await made(service, receiver)
    other = service.token(subject="Practitioner/2")
    for method, path in (("GET", f"Subscription/{id_}"), ("GET", f"Subscription/{id_}/$status")):
        assert (await service.ask(method, path, token=other)).status == 404
        assert (await service.ask(method, path)).status == 200
    assert (await service.ask("GET", "Subscription", token=other)).json["total"] == 0
    assert (await service.ask("GET", "Subscription?status=requested")).json["total"] == 1
    changed = {**subscription(receiver), "id": id_}
    assert (await service.ask("PUT", f"Subscription/{id_}", changed, token=other)).status == 405
    assert (await service.ask("DELETE", f"Subscription/{id_}", token=other)).status == 204
    assert (await service.ask("GET", f"Subscription/{id_}", token=None)).status == 401
    reader = service.token(scopes=("user/*.rs",))
    assert (await service.ask("POST", "Subscription", subscription(receiver), token=reader)).status == 403
    assert (
        await service.ask("PUT", f"Subscription/{id_}", {**changed, "status": "off"}, If_Match='W/"7"')
    ).status == 412
    assert (await service.ask("PUT", f"Subscription/{id_}", {**changed, "status": "off"})).json["status"] == "off"
    assert (await service.ask("DELETE", f"Subscription/{id_}")).status == 204
    assert (await service.ask("GET", f"Subscription/{id_}")).status == 404


async def test_what_is_not_allowed_is_refused_with_its_place(service: Any, receiver: Receiver) -> None:
    sent = subscription(receiver)
    sent["channel"]["endpoint"] = "http://169.254.169.254/latest"
    refused = await service.ask("POST", "Subscription", sent)
    assert refused.status == 422
    assert refused.json["issue"][0]["expression"] == ["Subscription.channel.endpoint"]
    unknown = subscription(receiver, query="Observation?nonsense=1")
    assert (await service.ask("POST", "Subscription", unknown)).status == 400
    assert (await service.ask("GET", "Subscription/x/_history")).status == 404


PRIVATE = """
127.0.0.1 10.1.2.3 169.254.169.254 100.64.0.1 0.0.0.0 224.0.0.1 192.0.2.1 255.255.255.255 ::1 fe80::1%eth0
fd00::1 ::ffff:10.0.0.1 64:ff9b::a00:1 2002:a00:1:: 2001:0:4136:e378::
"""


@pytest.mark.parametrize("address", PRIVATE.split())
def test_addresses_that_are_not_public_are_known(address: str) -> None:
    assert not public(address)
    assert public("93.184.215.14")


async def test_the_network_of_the_house_is_not_called(receiver: Receiver) -> None:
    hooks = RestHooks()
    try:
        for url in (receiver.address, receiver.address.replace("127.0.0.1", "localhost")):
            with pytest.raises(Failed):
                await hooks.send(url, (), b"{}", 5.0)
    finally:
        await hooks.close()
    assert receiver.got == []


def test_states_are_those_of_r4() -> None:
    assert {it.value for it in State} == {"requested", "active", "error", "off"}
