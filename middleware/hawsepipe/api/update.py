"""update, conditional update: https://hl7.org/fhir/R4/http.html#update, #cond-update, #concurrency"""

from __future__ import annotations

from hawsepipe.api.call import Call
from hawsepipe.api.conditions import expected_version, in_address, must_be_absent
from hawsepipe.api.create import body, stored
from hawsepipe.api.rendering import refuse_unknown
from hawsepipe.api.writes import Write
from hawsepipe.consent.orders import Order
from hawsepipe.errors import InvalidRequest, InvalidResource
from hawsepipe.fhir.subset import SUBSETTED
from hawsepipe.model import Issue, Resource, Severity


def _order(call: Call) -> Order:
    """Store new content under the id in the path; with If-Match only if that version is current (else 412).

    What was deleted comes back with 201.
    """
    refuse_unknown(call, call.request.query)
    expected, absent = expected_version(call.request), must_be_absent(call.request)
    sent = _whole(call)
    if sent.get("id") != call.id:
        raise InvalidRequest("the resource must have the id that is in the address", expression=f"{call.type}.id")
    return Order("update", call.type, call.id, sent, if_match=expected, if_absent=absent)


def _conditional_order(call: Call) -> Order:
    """Update the one resource that the criteria match, or create one when none does; several are 412.

    An id in the body must be that of the match; with one, nothing is created.
    """
    expected, absent = expected_version(call.request), must_be_absent(call.request)
    return Order(
        "update", call.type, resource=_whole(call), criteria=in_address(call), if_match=expected, if_absent=absent
    )


def _whole(call: Call) -> Resource:
    """Return the resource in the body. Raises InvalidResource for a part of one: it would take the rest away."""
    sent = body(call)
    meta = sent.get("meta")
    tags = meta.get("tag") if isinstance(meta, dict) else None
    if isinstance(tags, list) and SUBSETTED in tags:
        text = "the resource says that it is a part (SUBSETTED): an update takes the whole, a patch changes a part"
        raise InvalidResource((Issue(Severity.ERROR, "business-rule", f"{call.type}.meta.tag", text),))
    return sent


update = Write(_order, stored)
"""The interaction by id."""

conditional_update = Write(_conditional_order, stored)
"""The interaction by criteria."""
