"""update: https://hl7.org/fhir/R4/http.html#update, #concurrency"""

from __future__ import annotations

import re
from typing import Final

from hawsepipe.api.call import Call
from hawsepipe.api.create import body, stored
from hawsepipe.api.exchange import Response
from hawsepipe.api.rendering import refuse_unknown
from hawsepipe.errors import InvalidRequest

_TAG: Final = re.compile(r'\s*W/"([1-9][0-9]{0,8})"\s*')


async def update(call: Call) -> Response:
    """Store new content under the id in the path; with If-Match only if that version is current (else 412)."""
    refuse_unknown(call, call.request.query)
    if call.request.header("if-none-match") is not None:
        raise InvalidRequest("If-None-Match is not supported on update", location="If-None-Match")
    expected = _expected(call.request.header("if-match"))
    sent = body(call)
    if sent.get("id") != call.id:
        raise InvalidRequest("the resource must have the id that is in the address", expression=f"{call.type}.id")
    return stored(await call.view.update(sent, expected), call)


def _expected(tag: str | None) -> int | None:
    if tag is None:
        return None
    match = _TAG.fullmatch(tag)
    if match is None:
        raise InvalidRequest('If-Match takes one weak ETag such as W/"3"', location="If-Match")
    return int(match[1])
