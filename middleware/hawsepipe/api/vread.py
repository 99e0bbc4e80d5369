"""vread: https://hl7.org/fhir/R4/http.html#vread"""

from __future__ import annotations

from hawsepipe.api.binary import answered
from hawsepipe.api.call import Call
from hawsepipe.api.exchange import Response
from hawsepipe.api.parts import NAMES
from hawsepipe.api.rendering import refuse_unknown
from hawsepipe.errors import NotFound
from hawsepipe.model import Version

_LONGEST = 9


async def vread(call: Call) -> Response:
    """Answer with one version, or 304."""
    refuse_unknown(call, [pair for pair in call.request.query if pair[0] not in NAMES])
    return answered(await version_of(call), call)


async def version_of(call: Call) -> Version:
    """Return the version that the path names. Raises NotFound also for a version id that we never give."""
    number = call.path["vid"]
    if not (number.isascii() and number.isdigit()) or number.startswith("0") or len(number) > _LONGEST:
        raise NotFound("no such version")
    return await call.view.vread(call.type, call.id, int(number))
