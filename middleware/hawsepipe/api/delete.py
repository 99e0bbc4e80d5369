"""delete: https://hl7.org/fhir/R4/http.html#delete"""

from __future__ import annotations

from dataclasses import replace

from hawsepipe.api.call import Call
from hawsepipe.api.conditions import expected_version, in_address
from hawsepipe.api.exchange import Response
from hawsepipe.api.rendering import COMMON, refuse_unknown, resource, validators
from hawsepipe.api.writes import Write
from hawsepipe.consent.orders import Order, Written
from hawsepipe.fhir.outcome import outcome
from hawsepipe.model import Issue, Severity


def _order(call: Call) -> Order:
    """Delete a resource: 204, also when it was deleted before; 404 when there is none, or none to be seen.

    With If-Match only if that version is current (else 412). A deletion is a version like any other.
    """
    refuse_unknown(call, call.request.query)
    return Order("delete", call.type, call.id, if_match=expected_version(call.request))


def _conditional_order(call: Call) -> Order:
    """Delete the one resource that the criteria match: 204, also when none does; several are 412."""
    return Order("delete", call.type, criteria=in_address(call), if_match=expected_version(call.request))


def deleted(written: Written, call: Call) -> Response:
    """Answer a delete as Prefer asks; the ETag is the deletion's own version."""
    version = written.version
    headers = {} if version is None else validators(version)
    updated = None if version is None else version.last_updated
    if call.preference.returns != "OperationOutcome":
        return Response(204, {**COMMON, **headers}, updated=updated)
    text = "there is nothing to delete" if version is None else "deleted"
    done = outcome([Issue(Severity.INFORMATION, "informational", "", text)])
    return replace(resource(done, call.format, 200, headers), updated=updated)


delete = Write(_order, deleted)
"""The interaction by id."""

conditional_delete = Write(_conditional_order, deleted)
"""The interaction by criteria."""
