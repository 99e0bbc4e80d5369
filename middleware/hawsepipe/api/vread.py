"""vread: https://hl7.org/fhir/R4/http.html#vread"""

from __future__ import annotations

from hawsepipe.api.binary import answered
from hawsepipe.api.call import Call
from hawsepipe.api.exchange import Response
from hawsepipe.api.parts import NAMES
from hawsepipe.api.rendering import refuse_unknown
from hawsepipe.api.versions import version_of


async def vread(call: Call) -> Response:
    """Answer with one version, or 304."""
    refuse_unknown(call, [pair for pair in call.request.query if pair[0] not in NAMES])
    return await answered(await version_of(call), call)
