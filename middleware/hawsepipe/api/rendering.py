"""Versions, Bundles and outcomes as responses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from typing import Final

import msgspec

from hawsepipe.api.call import Call
from hawsepipe.api.exchange import Request, Response
from hawsepipe.api.negotiation import FHIR_XML, Format, check_resource_body
from hawsepipe.api.parts import cut, wanted
from hawsepipe.errors import InvalidRequest
from hawsepipe.fhir import xml_codec
from hawsepipe.fhir.bundle import etag
from hawsepipe.fhir.codec import decode, encode
from hawsepipe.fhir.subset import Summary
from hawsepipe.model import Resource, Version

COMMON: Final = {
    "Cache-Control": "no-store",
    "Vary": "Authorization, Accept, Prefer",
    "X-Content-Type-Options": "nosniff",
}
"""Headers of every answer: no cache may keep what was shown to one requester."""

_GENERAL: Final = frozenset({"_format", "_pretty"})


def resource(value: Resource, form: Format, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Answer with a resource of our own making (a Bundle, an OperationOutcome, a CapabilityStatement)."""
    return content(encode(value), form, status, headers)


def sent_resource(request: Request) -> Resource:
    """Return the resource in a body. Raises UnsupportedMediaType, InvalidRequest."""
    if request.resource is not None:
        return request.resource
    return xml_codec.decode(request.body) if check_resource_body(request) == FHIR_XML else decode(request.body)


def content(body: bytes, form: Format, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Answer with JSON as it is, or with the same in XML; `_pretty` changes white space and nothing else."""
    if form.xml:
        body = xml_codec.encode(decode(body), pretty=form.pretty)
    elif form.pretty:
        body = msgspec.json.format(body, indent=2)
    return Response(status, {**COMMON, "Content-Type": form.content_type, **(headers or {})}, body)


def validators(version: Version) -> dict[str, str]:
    """Return ETag and Last-Modified of a version."""
    return {"ETag": etag(version.version), "Last-Modified": http_date(version.last_updated)}


def fetched(version: Version, call: Call) -> Response:
    """Answer a read: the content byte for byte as stored (or the part that is wanted), or 304 when the client has it
    already.
    """
    headers = validators(version)
    if _unchanged(version, call):
        return Response(304, {**COMMON, **headers})
    subset = wanted(call.request.query)
    if subset.summary is Summary.COUNT:
        raise InvalidRequest("_summary=count is for searches", location="_summary")
    shown = cut((version,), subset)[0].content
    assert shown is not None, "a view raises Gone for a tombstone"
    return content(shown, call.format, 200, headers)


def http_date(instant: datetime) -> str:
    """Return an instant as an HTTP date (whole seconds, rounded down)."""
    return format_datetime(instant.astimezone(UTC).replace(microsecond=0), usegmt=True)


def refuse_unknown(call: Call, pairs: Iterable[tuple[str, str]]) -> None:
    """Raise InvalidRequest for a parameter that the interaction does not have, if handling is to be strict."""
    unknown = [name for name, _ in pairs if name not in _GENERAL]
    if unknown and call.preference.strict:
        raise InvalidRequest("the interaction does not have this parameter", location=unknown[0][:64])


def _unchanged(version: Version, call: Call) -> bool:
    """RFC 9110, 13.1.2 and 13.1.3.

    An ETag names the version exactly. An instant of whole seconds does not: 304 only if the version is older than it
    for certain.
    """
    tags = call.request.header("if-none-match")
    if tags is not None:
        return any(tag.strip() in {"*", etag(version.version), f'"{version.version}"'} for tag in tags.split(","))
    since = call.request.header("if-modified-since")
    if since is None:
        return False
    try:
        instant = parsedate_to_datetime(since)
    except ValueError:
        return False
    return instant.tzinfo is not None and version.last_updated <= instant
