"""$receipt on a version: the evidence by which anybody can verify it without us."""

from __future__ import annotations

import msgspec

from hawsepipe.api.call import Call
from hawsepipe.api.exchange import Response
from hawsepipe.api.negotiation import JSON, Format
from hawsepipe.api.rendering import content, refuse_unknown
from hawsepipe.api.versions import version_of
from hawsepipe.errors import Forbidden, LedgerError, Pushback
from hawsepipe.model import Version

RETRY_AFTER = 2.0
"""Seconds after which a version on its way to the ledger may have arrived."""


async def whole_version_of(call: Call) -> Version:
    """Return the version that the path names, as it is stored. Raises NotFound, Forbidden when a part is withheld."""
    version = await version_of(call)
    if version.opening is None and version.content is not None:
        # It would show, or let one try out, what this requester does not get of the version.
        raise Forbidden("a receipt is of a version as it is stored, and of this one you see a part")
    return version


async def receipt(call: Call) -> Response:
    """Answer with the evidence document of a visible version (application/json).

    Raises Pushback (503 with Retry-After) while the version is on its way to the ledger, Tampered (500) when what is
    stored allows no evidence.
    """
    refuse_unknown(call, call.request.query)
    version = await whole_version_of(call)
    try:
        document = await call.services.evidence(version)
    except Pushback:
        raise
    except LedgerError as error:
        raise Pushback(RETRY_AFTER) from error
    return content(msgspec.json.encode(document), Format(JSON, call.format.pretty))
