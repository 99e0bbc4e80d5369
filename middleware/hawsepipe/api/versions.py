"""The version that an address names: https://hl7.org/fhir/R4/http.html#vread"""

from __future__ import annotations

from hawsepipe.api.call import Call
from hawsepipe.errors import NotFound
from hawsepipe.model import Version

_LONGEST = 9


async def version_of(call: Call) -> Version:
    """Return the version that the path names. Raises NotFound also for a version id that we never give."""
    number = call.path["vid"]
    if not (number.isascii() and number.isdigit()) or number.startswith("0") or len(number) > _LONGEST:
        raise NotFound("no such version")
    return await call.view.vread(call.type, call.id, int(number))
