"""create, conditional create: https://hl7.org/fhir/R4/http.html#create, #ccreate"""

from __future__ import annotations

from dataclasses import replace

from hawsepipe.api import binary
from hawsepipe.api.call import Call
from hawsepipe.api.conditions import in_address, must_be_absent, unless_there
from hawsepipe.api.exchange import Response
from hawsepipe.api.rendering import COMMON, content, refuse_unknown, resource, sent_resource, validators
from hawsepipe.api.writes import Write
from hawsepipe.consent.orders import Order, Written
from hawsepipe.errors import InvalidRequest
from hawsepipe.fhir.outcome import outcome
from hawsepipe.model import Issue, Resource, Severity


def _order(call: Call) -> Order:
    """Store a new resource and answer 201 with its Location. The client's id is not used, as the specification says.

    With If-None-Exist only if nothing that the requester sees matches; one match is answered with 200, several with
    412. Some clients put these criteria into the address: to leave them out there would make a second resource. A new
    resource is never there already, so If-None-Match: * holds.
    """
    stated = in_address(call)
    criteria = unless_there(call.request)
    if criteria is not None:
        refuse_unknown(call, stated)
    must_be_absent(call.request)
    sent = {name: value for name, value in body(call).items() if name != "id"}
    return Order("create", call.type, resource=sent, criteria=criteria or stated or None)


def body(call: Call) -> Resource:
    """Return the resource in the body. Raises UnsupportedMediaType, or InvalidRequest when it is no resource of the
    path's type.
    """
    if binary.sent_raw(call.type, call.request):
        return binary.sent(call.request, call.path.get("id"))
    sent = sent_resource(call.request)
    if sent.get("resourceType") != call.type:
        raise InvalidRequest(f"resourceType must be {call.type}, as in the address", expression="resourceType")
    return sent


def stored(written: Written, call: Call) -> Response:
    """Answer a write as Prefer asks: 201 for a new resource, 200 for a new version or one that was there already."""
    version = written.version
    assert version is not None, "a write of content leaves a version"
    created = written.created and version.changed
    headers = {**validators(version), "Location": f"{call.services.base_url}/{version.versioned_reference}"}
    status = 201 if created else 200
    match call.preference.returns:
        case "minimal":
            return Response(status, {**COMMON, **headers}, updated=version.last_updated)
        case "OperationOutcome":
            text = (
                "created" if created else "updated" if version.changed else "unchanged: this content was there already"
            )
            done = outcome([Issue(Severity.INFORMATION, "informational", "", text)])
            return replace(resource(done, call.format, status, headers), updated=version.last_updated)
        case _:
            assert version.content is not None, "a write of content has content"
            return replace(content(version.content, call.format, status, headers), updated=version.last_updated)


create = Write(_order, stored)
"""The interaction."""
