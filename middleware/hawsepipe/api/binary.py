"""Binary in its own form: https://hl7.org/fhir/R4/binary.html#rest

A read that does not ask for FHIR gets the content itself; a write that does not bring FHIR brings the content itself.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from http import HTTPStatus
from typing import Final

from hawsepipe.api import large
from hawsepipe.api.call import Call
from hawsepipe.api.exchange import Request, Response
from hawsepipe.api.negotiation import FHIR_JSON, FHIR_XML, JSON, XML
from hawsepipe.api.parts import NAMES
from hawsepipe.api.rendering import fetched, validators
from hawsepipe.errors import HawsepipeError, InvalidRequest
from hawsepipe.fhir import codec
from hawsepipe.fhir.contents import element_of, held_in
from hawsepipe.model import Resource, Version

_FHIR: Final = re.compile("|".join(re.escape(it) for it in (FHIR_JSON, FHIR_XML, JSON, XML, "text/xml", "text/json")))
_CONTEXT: Final = "x-security-context"


def read_raw(kind: str | None, request: Request) -> bool:
    """Say whether a request reads a Binary and asks for its content: it names no form of FHIR."""
    if kind != "Binary" or request.method not in {"GET", "HEAD"}:
        return False
    if any(name in {"_format", "_summary", "_elements"} for name, _ in request.query):
        return False
    return _FHIR.search((request.header("accept") or "").lower()) is None


def sent_raw(kind: str | None, request: Request) -> bool:
    """Say whether a request writes a Binary by its content."""
    if kind != "Binary" or request.method not in {"POST", "PUT"} or request.resource is not None:
        return False
    given = (request.header("content-type") or "").lower()
    return bool(given) and _FHIR.match(given) is None


async def answered(version: Version, call: Call) -> Response:
    """Answer a read: with the content of a Binary if that is what is asked for, else as FHIR; or 304."""
    response = fetched(version, call)
    if version.type != "Binary" or response.status != HTTPStatus.OK:
        return response
    stored = codec.decode(version.content or b"{}")
    held = held_in(stored)
    if read_raw("Binary", call.request):
        return await large.raw(
            version, str(stored.get("contentType", "")), _content(stored) if held is None else held, call
        )
    if held is None or any(name in NAMES for name, _ in call.request.query):
        return response
    return await large.whole(version, call.format, held, call, validators(version))


def _content(stored: Resource) -> bytes:
    try:
        return b64decode(str(stored.get("data", "")), validate=False)
    except (NotBase64, ValueError) as error:
        raise HawsepipeError("what is stored of a Binary is not base64") from error


def sent(request: Request, identity: str | None = None) -> Resource:
    """Return the Binary that a body is the content of. Raises InvalidRequest for a type that is none.

    `X-Security-Context` says by whose consents it is shown.
    """
    kind = (request.header("content-type") or "").strip()
    if not large.is_media_type(kind):
        raise InvalidRequest("the content has no media type", location="Content-Type")
    made: Resource = {"resourceType": "Binary"}
    if identity is not None:
        made["id"] = identity
    made["contentType"] = kind
    context = request.header(_CONTEXT)
    if context is not None:
        made["securityContext"] = {"reference": context.strip()}
    if request.held is not None:
        made["_data"] = element_of(request.held)
    elif request.body:
        made["data"] = b64encode(request.body).decode("ascii")
    return made
