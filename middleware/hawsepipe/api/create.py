"""create: https://hl7.org/fhir/R4/http.html#create"""

from __future__ import annotations

from hawsepipe.api.call import Call
from hawsepipe.api.exchange import Response
from hawsepipe.api.negotiation import check_json_body
from hawsepipe.api.rendering import COMMON, content, refuse_unknown, resource, validators
from hawsepipe.errors import InvalidRequest
from hawsepipe.fhir import codec
from hawsepipe.fhir.outcome import outcome
from hawsepipe.model import Issue, Operation, Resource, Severity, Version


async def create(call: Call) -> Response:
    """Store a new resource and answer 201 with its Location. The client's id is not used, as the specification says."""
    refuse_unknown(call, call.request.query)
    if call.request.header("if-none-exist") is not None:
        raise InvalidRequest("conditional create is not supported", location="If-None-Exist")
    sent = body(call)
    return stored(await call.view.create({name: value for name, value in sent.items() if name != "id"}), call)


def body(call: Call) -> Resource:
    """Return the resource in the body. Raises UnsupportedMediaType, or InvalidRequest when it is no resource of the
    path's type.
    """
    check_json_body(call.request)
    sent = codec.decode(call.request.body)
    if sent.get("resourceType") != call.type:
        raise InvalidRequest(f"resourceType must be {call.type}, as in the address", expression="resourceType")
    return sent


def stored(version: Version, call: Call) -> Response:
    """Answer a write as Prefer asks: 201 for a new resource, 200 for a new version or one that was there already."""
    created = version.operation is Operation.CREATE and version.changed
    headers = {**validators(version), "Location": f"{call.services.base_url}/{version.versioned_reference}"}
    status = 201 if created else 200
    match call.preference.returns:
        case "minimal":
            return Response(status, {**COMMON, **headers})
        case "OperationOutcome":
            text = (
                "created" if created else "updated" if version.changed else "unchanged: this content was there already"
            )
            done = outcome([Issue(Severity.INFORMATION, "informational", "", text)])
            return resource(done, call.format, status, headers)
        case _:
            assert version.content is not None, "a write of content has content"
            return content(version.content, call.format, status, headers)
