"""delete: https://hl7.org/fhir/R4/http.html#delete"""

from __future__ import annotations

from hawsepipe.api.call import Call
from hawsepipe.api.conditions import expected_version, in_address, reader
from hawsepipe.api.exchange import Response
from hawsepipe.api.rendering import COMMON, refuse_unknown, resource, validators
from hawsepipe.consent.orders import Order, Written
from hawsepipe.fhir.outcome import outcome
from hawsepipe.model import Issue, Severity


async def delete(call: Call) -> Response:
    """Delete a resource: 204, also when there is none, so that hidden and absent are one.

    With If-Match only if that version is current (else 412). A deletion is a version like any other.
    """
    refuse_unknown(call, call.request.query)
    order = Order("delete", call.type, call.id, if_match=expected_version(call.request))
    return deleted((await call.view.write([order]))[0], call)


async def conditional_delete(call: Call) -> Response:
    """Delete the one resource that the criteria match: 204, also when none does; several are 412."""
    order = Order("delete", call.type, criteria=in_address(call), if_match=expected_version(call.request))
    return deleted((await call.view.write([order], reader(call.services.parameters)))[0], call)


def deleted(written: Written, call: Call) -> Response:
    """Answer a delete as Prefer asks; the ETag is the deletion's own version."""
    version = written.version
    headers = {} if version is None else validators(version)
    if call.preference.returns != "OperationOutcome":
        return Response(204, {**COMMON, **headers})
    text = "there is nothing to delete" if version is None else "deleted"
    done = outcome([Issue(Severity.INFORMATION, "informational", "", text)])
    return resource(done, call.format, 200, headers)
