"""read: https://hl7.org/fhir/R4/http.html#read"""

from __future__ import annotations

from hawsepipe.api.call import Call
from hawsepipe.api.exchange import Response
from hawsepipe.api.rendering import fetched, refuse_unknown


async def read(call: Call) -> Response:
    """Answer with the current version, or 304."""
    refuse_unknown(call, call.request.query)
    return fetched(await call.view.read(call.type, call.id), call)
