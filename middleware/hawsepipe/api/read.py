"""read: https://hl7.org/fhir/R4/http.html#read"""

from __future__ import annotations

from hawsepipe.api.binary import answered
from hawsepipe.api.call import Call
from hawsepipe.api.exchange import Response
from hawsepipe.api.parts import NAMES
from hawsepipe.api.rendering import refuse_unknown


async def read(call: Call) -> Response:
    """Answer with the current version, or 304."""
    refuse_unknown(call, [pair for pair in call.request.query if pair[0] not in NAMES])
    return await answered(await call.view.read(call.type, call.id), call)
