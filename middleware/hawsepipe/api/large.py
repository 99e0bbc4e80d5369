"""Content that is kept beside its resource: sent part by part, whole or a range of it (RFC 9110, 14).

A Binary is asked for as https://hl7.org/fhir/R4/binary.html#rest says, an Attachment's content at the address that its
url names. Who may see the resource may have what it names, and nobody else.
"""

from __future__ import annotations

import asyncio
import re
from base64 import b64encode
from collections.abc import AsyncGenerator, Iterator
from dataclasses import replace
from typing import Final

from hawsepipe.api.call import Call
from hawsepipe.api.exchange import Response
from hawsepipe.api.negotiation import Format
from hawsepipe.api.rendering import COMMON, content, refuse_unknown, validators
from hawsepipe.api.versions import version_of
from hawsepipe.contents.taking import Taking
from hawsepipe.errors import HawsepipeError, InvalidRequest, NotFound, Tampered
from hawsepipe.fhir import codec
from hawsepipe.fhir import contents as marks
from hawsepipe.fhir.contents import Held
from hawsepipe.model import Resource, Version

_RANGE: Final = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_TYPE: Final = re.compile(
    r"[\w!#$&^.+-]+/[\w!#$&^.+-]+( ?; ?[\w!#$&^.+-]+=(\"[\w !#$&^.+:/-]*\"|[\w!#$&^.+-]+))*", re.ASCII
)
_UNKNOWN: Final = "application/octet-stream"
_HEX: Final = re.compile(r"[0-9a-f]{64}")
_GROUP: Final = 3 << 16
"""Bytes that are encoded at once: whole groups of three."""


def is_media_type(kind: str) -> bool:
    """Say whether a text is a media type, with parameters or without."""
    return _TYPE.fullmatch(kind) is not None


async def attachment(call: Call) -> Response:
    """Answer with a content that the current version names."""
    return await _named(await call.view.read(call.type, call.id), call)


async def attachment_of_version(call: Call) -> Response:
    """Answer with a content that one version names."""
    return await _named(await version_of(call), call)


async def _named(version: Version, call: Call) -> Response:
    digests = [value for name, value in call.request.query if name == "sha256"]
    refuse_unknown(call, [pair for pair in call.request.query if pair[0] != "sha256"])
    if len(digests) != 1 or _HEX.fullmatch(digests[0]) is None:
        raise InvalidRequest("sha256 names a content of the resource, in 64 hex digits", location="sha256")
    for element, held in marks.every(codec.decode(version.content or b"{}")):
        if held.sha256 == digests[0]:
            return await raw(version, str(element.get("contentType", "")), held, call)
    raise NotFound("the resource has no such content")


async def raw(version: Version, kind: str, content: bytes | Held, call: Call) -> Response:
    """Answer with a content in its own form, or the range of it that is asked for.

    It is a client's: a browser is told not to run it, nor to guess what it is.
    """
    size = len(content) if isinstance(content, bytes) else content.size
    headers = {
        **COMMON,
        **validators(version),
        "Content-Type": kind if is_media_type(kind) else _UNKNOWN,
        "Content-Security-Policy": "sandbox",
        "Accept-Ranges": "bytes",
    }
    asked = _asked(call, size, headers["ETag"])
    if asked is None:
        start, end, status = 0, size, 200
    else:
        start, end, status = *asked, 206
        if start >= end:
            return Response(416, {**headers, "Content-Range": f"bytes */{size}"})
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    if isinstance(content, bytes):
        return Response(status, headers, content[start:end])
    headers["Content-Length"] = str(end - start)
    return Response(status, headers, stream=await _opened(call.services.taking, content, start, end))


async def whole(version: Version, form: Format, held: Held, call: Call, headers: dict[str, str]) -> Response:
    """Answer a read of a Binary as FHIR, with its content as `data`."""
    stored: Resource = codec.decode(version.content or b"{}")
    # In its place first something that is nowhere else in it: letters and digits look alike in JSON and XML.
    place = f"here{held.sha256}{held.sha256}"
    filled = {name: value for name, value in stored.items() if name != "_data"} | {"data": place}
    made = content(codec.encode({**filled, "_data": stored["_data"]}), form, 200, headers)
    before, found, after = made.body.partition(place.encode())
    assert found, "what is encoded is there"
    length = len(before) + 4 * -(-held.size // 3) + len(after)
    parts = await _opened(call.services.taking, held, 0, held.size)
    stream = _encoded(parts, after)
    return replace(made, headers={**made.headers, "Content-Length": str(length)}, body=before, stream=stream)


async def _opened(taking: Taking | None, held: Held, start: int, end: int) -> AsyncGenerator[bytes, None]:
    """Return the parts of a content. Raises Tampered for one that is not what it was, before anything is answered."""
    if taking is None:
        raise HawsepipeError("large content is not kept here")
    if not taking.proved(held):
        raise Tampered("CONTENT_MISMATCH", "a resource names a content that was not sent here")
    parts = taking.contents.read(held.sha256, start, end)
    return _parts(await asyncio.to_thread(next, parts, b""), parts)


async def _parts(first: bytes, rest: Iterator[bytes]) -> AsyncGenerator[bytes, None]:
    part = first
    while part:
        yield part
        part = await asyncio.to_thread(next, rest, b"")


async def _encoded(parts: AsyncGenerator[bytes, None], after: bytes) -> AsyncGenerator[bytes, None]:
    """Yield the parts in base64, then what follows them."""
    left = b""
    async for part in parts:
        left += part
        cut = len(left) - len(left) % _GROUP
        if cut:
            yield b64encode(left[:cut])
            left = left[cut:]
    yield b64encode(left) + after


def _asked(call: Call, size: int, etag: str) -> tuple[int, int] | None:
    """Return the range that is asked for as [start, end), None for the whole. One that is no range of ours (several
    ranges, another unit) asks for the whole, and so does one of a version that is not this one.
    """
    match = _RANGE.fullmatch((call.request.header("range") or "").replace(" ", ""))
    if match is None or (call.request.header("if-range") or etag) != etag:
        return None
    first, last = match.groups()
    if not first:
        return (max(0, size - int(last)), size) if last else None
    if last and int(last) < int(first):
        return None
    return int(first), min(int(last) + 1, size) if last else size
