"""Subscriptions as their client has them: https://hl7.org/fhir/uv/subscriptions-backport/STU1.1/

They are no part of the record and have no history. Who asked for one has it, and nobody else learns that there is one.
"""

from __future__ import annotations

from typing import Any, Final

from hawsepipe.api.call import Call
from hawsepipe.api.conditions import expected_version
from hawsepipe.api.exchange import Response
from hawsepipe.api.inputs import inputs
from hawsepipe.api.negotiation import Format
from hawsepipe.api.rendering import COMMON, content, http_date, refuse_unknown, resource, sent_resource
from hawsepipe.errors import Forbidden, InvalidRequest, InvalidResource, MethodNotAllowed, NotFound, PreconditionFailed
from hawsepipe.fhir.bundle import etag
from hawsepipe.model import Resource, Severity
from hawsepipe.subscriptions.engine import Subscriptions
from hawsepipe.subscriptions.notifications import bundle, status
from hawsepipe.subscriptions.record import Record

_KIND: Final = "Subscription"
SEARCHED: Final = {"_id": "token", "criteria": "string", "status": "token", "type": "token", "url": "uri"}
"""What a client can look for among its own subscriptions; each is compared whole."""

_CONTENTS: Final = frozenset({"empty", "id-only", "full-resource"})


async def create_subscription(call: Call) -> Response:
    """Keep a subscription and answer 201; it is `requested` until its endpoint has answered a handshake."""
    kept = _kept(call, "create")
    made = await kept.create(_sent(call), call.view.principal)
    headers = {"Location": f"{call.services.base_url}/{_KIND}/{made.id}/_history/{made.version}"}
    return _answered(made, call, 201, headers)


async def read_subscription(call: Call) -> Response:
    """Answer with a subscription of the requester."""
    return _answered(_kept(call, "read").find(call.id, call.view.principal), call)


async def update_subscription(call: Call) -> Response:
    """Change a subscription of the requester; If-Match is kept."""
    kept = _kept(call, "update")
    sent, expected = _sent(call), expected_version(call.request)
    if sent.get("id") != call.id:
        raise InvalidRequest("the resource must have the id that is in the address", expression=f"{_KIND}.id")
    try:
        before = kept.find(call.id, call.view.principal)
    except NotFound:
        raise MethodNotAllowed("there is no such subscription to update") from None
    if expected is not None and expected != before.version:
        raise PreconditionFailed("the current version is not the one of If-Match")
    return _answered(await kept.update(call.id, sent, call.view.principal), call)


async def delete_subscription(call: Call) -> Response:
    """Take a subscription of the requester away: 204, whether there was one or not."""
    await _kept(call, "delete").delete(call.id, call.view.principal)
    return Response(204, dict(COMMON))


async def search_subscriptions(call: Call) -> Response:
    """Answer with the requester's own subscriptions, by `_id`, `status`, `url`, `criteria` or `type`."""
    kept = _kept(call, "search-type")
    refuse_unknown(call, [pair for pair in call.request.query if pair[0] not in SEARCHED])
    pairs = [pair for pair in call.request.query if pair[0] in SEARCHED]
    found = [it for it in kept.of(call.view.principal) if all(_meets(it, name, value) for name, value in pairs)]
    return resource(_listed(call, [it.shown() for it in found]), call.format)


async def subscription_status(call: Call) -> Response:
    """$status of one subscription, or of all that the requester has."""
    kept = _kept(call, "read")
    wanted = inputs(call, {"id", "status"})
    ids, states = wanted.several("id"), wanted.several("status")
    found = [kept.find(call.path["id"], call.view.principal)] if "id" in call.path else kept.of(call.view.principal)
    chosen = [it for it in found if (not ids or it.id in ids) and (not states or it.state.value in states)]
    told = [status(it, "query-status", call.services.base_url) for it in chosen]
    return resource(_listed(call, told), call.format)


async def subscription_events(call: Call) -> Response:
    """$events: notifications that were sent, or wait, by their numbers; what is not visible any more is left out."""
    kept = _kept(call, "read")
    wanted = inputs(call, {"eventsSinceNumber", "eventsUntilNumber", "content"})
    record = kept.find(call.id, call.view.principal)
    if wanted.one("content") not in {None, *_CONTENTS}:
        raise InvalidRequest("content is empty, id-only or full-resource", location="content")
    first, last = wanted.number("eventsSinceNumber"), wanted.number("eventsUntilNumber")
    told, shown = await kept.events(record, first, last, wanted.one("content"))
    return content(bundle(record, "query-event", shown, call.services.base_url, told), call.format)


def _kept(call: Call, interaction: str) -> Subscriptions:
    kept = call.services.subscriptions
    if kept is None:
        raise Forbidden("subscriptions are not open here")
    if not call.view.within_reach(interaction, [_KIND]):
        raise Forbidden(f"the token does not cover {interaction} of a {_KIND}")
    return kept


def _sent(call: Call) -> Resource:
    sent = sent_resource(call.request)
    if sent.get("resourceType") != _KIND:
        raise InvalidRequest(f"resourceType must be {_KIND}, as in the address", expression="resourceType")
    wrong = [it for it in call.services.check(sent) if it.severity in (Severity.ERROR, Severity.FATAL)]
    if wrong:
        raise InvalidResource(tuple(wrong))
    return sent


def _answered(record: Record, call: Call, code: int = 200, headers: dict[str, str] | None = None) -> Response:
    validators = {"ETag": etag(record.version), "Last-Modified": http_date(record.updated)}
    form: Format = call.format
    return resource(record.shown(), form, code, {**validators, **(headers or {})})


def _meets(record: Record, name: str, value: str) -> bool:
    channel: dict[str, Any] = record.resource["channel"]
    held = {
        "_id": record.id,
        "status": record.state.value,
        "url": channel.get("endpoint"),
        "criteria": record.resource.get("criteria"),
        "type": channel.get("type"),
    }
    return held[name] in value.split(",")


def _listed(call: Call, resources: list[Resource]) -> Resource:
    base = call.services.base_url
    entries = [
        {"fullUrl": f"{base}/{_KIND}/{it['id']}", "resource": it, "search": {"mode": "match"}} for it in resources
    ]
    made: Resource = {"resourceType": "Bundle", "type": "searchset", "total": len(entries)}
    return made | ({"entry": entries} if entries else {})
