"""$meta, $meta-add, $meta-delete: https://hl7.org/fhir/R4/resource-operation-meta.html"""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from hawsepipe.api.call import Call
from hawsepipe.api.conditions import expected_version
from hawsepipe.api.exchange import Response
from hawsepipe.api.rendering import refuse_unknown, resource, sent_resource, validators
from hawsepipe.api.writes import Write
from hawsepipe.consent.orders import Order, Written
from hawsepipe.errors import InvalidRequest, InvalidResource
from hawsepipe.fhir import codec
from hawsepipe.model import Issue, Resource, Severity

_LISTS: Final = ("profile", "tag", "security")


async def meta(call: Call) -> Response:
    """Answer with the profiles, tags and labels of a visible resource."""
    refuse_unknown(call, call.request.query)
    version = await call.view.read(call.type, call.id)
    assert version.content is not None, "a view raises Gone for a tombstone"
    return _told(codec.decode(version.content), call, validators(version))


def _adding(call: Call) -> Order:
    """Add profiles, tags and labels; those that are there stay. A new version, if anything is new."""
    refuse_unknown(call, call.request.query)
    alter = partial(_with, given=_meta_sent(call))
    return Order("patch", call.type, call.id, alter=alter, if_match=expected_version(call.request))


def _deleting(call: Call) -> Order:
    """Take profiles and tags away. A label stays: what was once labelled is not shown to more people by a client."""
    refuse_unknown(call, call.request.query)
    given = _meta_sent(call)
    if given.get("security"):
        text = "a security label is not taken away by a client"
        place = "Parameters.parameter[0].valueMeta.security"
        raise InvalidResource((Issue(Severity.ERROR, "business-rule", place, text),))
    alter = partial(_without, given=given)
    return Order("patch", call.type, call.id, alter=alter, if_match=expected_version(call.request))


def _meta_sent(call: Call) -> dict[str, Any]:
    sent = sent_resource(call.request)
    parameters = sent.get("parameter")
    found = [
        part.get("valueMeta")
        for part in (parameters if isinstance(parameters, list) else ())
        if isinstance(part, dict) and part.get("name") == "meta"
    ]
    if sent.get("resourceType") != "Parameters" or len(found) != 1 or not isinstance(found[0], dict):
        raise InvalidRequest("the operation takes one parameter, meta, a valueMeta", location="meta")
    given: dict[str, Any] = found[0]
    if any(not isinstance(given.get(name, []), list) for name in _LISTS):
        raise InvalidRequest("profile, tag and security are lists", location="meta")
    return given


def _with(held: Resource, given: dict[str, Any]) -> Resource:
    before = held.get("meta", {})
    joined = {
        name: [*before.get(name, []), *(it for it in given[name] if not _among(it, before.get(name, [])))]
        for name in _LISTS
        if given.get(name)
    }
    return {**held, "meta": {**before, **joined}}


def _without(held: Resource, given: dict[str, Any]) -> Resource:
    before = held.get("meta", {})
    left = {
        name: [it for it in before[name] if not _among(it, given.get(name, []))] for name in _LISTS if name in before
    }
    kept = {name: value for name, value in before.items() if name not in left}
    return {**held, "meta": {**kept, **{name: value for name, value in left.items() if value}}}


def _among(item: Any, items: list[Any]) -> bool:
    """Codings are one by system and code."""
    if not isinstance(item, dict):
        return item in items
    identity = (item.get("system"), item.get("code"))
    return any(isinstance(it, dict) and (it.get("system"), it.get("code")) == identity for it in items)


def _stored(written: Written, call: Call) -> Response:
    version = written.version
    assert version is not None, "a patch leaves a version"
    assert version.content is not None, "a patch leaves content"
    return _told(codec.decode(version.content), call, validators(version))


def _told(held: Resource, call: Call, headers: dict[str, str]) -> Response:
    value = held.get("meta", {})
    made = {"resourceType": "Parameters", "parameter": [{"name": "return", "valueMeta": value}]}
    return resource(made, call.format, 200, headers)


meta_add = Write(_adding, _stored)
"""$meta-add."""

meta_delete = Write(_deleting, _stored)
"""$meta-delete."""
