"""The records of a document: lines of NDJSON, entries of Bundles, single resources, messages of HL7 v2. Nothing is
judged here: what cannot be read is a record too, and dies where everything is translated.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, NamedTuple
from uuid import UUID, uuid5

import msgspec

from hawsepipe.model import Piece

FHIR: Final = "fhir"
V2: Final = "hl7v2"
UNREADABLE: Final = "unreadable"
"""The type of a record that does not tell one."""

LARGEST: Final = 512 << 20
"""Bytes of a line or of a Bundle that is read as one."""

_BLOCK: Final = 1 << 20
_MADE: Final = UUID("0d0a6a52-4f0b-5a55-9f3c-0b6f0c6b9d55")
_ID: Final = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_URN: Final = re.compile(r"urn:(?:uuid|oid):([A-Za-z0-9\-.]{1,64})")
_PLACE: Final = re.compile(r"(?:.*/)?([A-Z][A-Za-z]+)/([A-Za-z0-9\-.]{1,64})(?:/_history/([A-Za-z0-9\-.]{1,64}))?")
_V2_STARTS: Final = (b"MSH", b"FHS", b"BHS", b"\x0b")
_NAMED: Final = frozenset({"Organization", "Practitioner", "PractitionerRole", "Location", "Patient", "Device"})
"""Types that references name by an identifier (`Practitioner?identifier=…`)."""

Split = Callable[[Iterable[bytes]], Iterator[Piece]]


class Record(NamedTuple):
    """A record: `offset` and `length` in its document (`body` where it is no stretch of it), `line` for people,
    `order` what sorts versions of one resource and messages, `address` under which others refer to it.
    """

    form: str
    offset: int
    length: int
    line: int
    digest: bytes
    type: str
    id: str
    version: str
    order: str
    address: str = ""
    bundle: int = 0
    identifiers: tuple[str, ...] = ()
    body: bytes | None = None


class _Meta(msgspec.Struct, rename="camel"):
    version_id: str | None = None
    last_updated: str | None = None


class _Head(msgspec.Struct, rename="camel"):
    resource_type: str = ""
    id: str | None = None
    meta: _Meta | None = None


class _Request(msgspec.Struct, rename="camel"):
    method: str | None = None
    url: str | None = None


class _Response(msgspec.Struct, rename="camel"):
    last_modified: str | None = None
    etag: str | None = None


class _Entry(msgspec.Struct, rename="camel"):
    full_url: str | None = None
    resource: _Head | None = None
    request: _Request | None = None
    response: _Response | None = None


class _Bundle(msgspec.Struct, rename="camel"):
    resource_type: str = ""
    entry: list[msgspec.Raw] = []


class _Identified(msgspec.Struct, rename="camel"):
    identifier: list[dict[str, Any]] = []


_HEAD = msgspec.json.Decoder(_Head)
_ENTRY = msgspec.json.Decoder(_Entry)
_BUNDLE = msgspec.json.Decoder(_Bundle)
_IDENTIFIED = msgspec.json.Decoder(_Identified)


def form(path: Path) -> str:
    """Return the form of a file by its first bytes, empty when it is neither."""
    with path.open("rb") as file:
        start = file.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith(b"{"):
        return FHIR
    return V2 if start.startswith(_V2_STARTS) else ""


def resources(path: Path) -> Iterator[Record]:
    """Yield the records of a JSON or NDJSON file; of NDJSON one line at a time is held."""
    with path.open("rb") as file:
        first = file.readline(LARGEST)
        offset = len(first) - len(first.removeprefix(b"\xef\xbb\xbf"))
        if not _whole(first[offset:]):
            rest = file.read(LARGEST)
            if _whole(first[offset:] + rest):
                yield from _record(first[offset:] + rest, offset, 1, 1)
                return
            file.seek(0)
            first = file.readline(LARGEST)
        line, start = 1, 0
        while first:
            body = first[offset:] if line == 1 else first
            if body.strip():
                yield from _record(body, start + (offset if line == 1 else 0), line, line)
            start += len(first)
            line += 1
            first = file.readline(LARGEST)


def messages(path: Path, split: Split) -> Iterator[Record]:
    """Yield the messages of a file of HL7 v2. What is wrong with a batch as a whole is for a report, not a record."""
    with path.open("rb") as file, path.open("rb") as again:
        line, counted = 1, 0
        for piece in split(iter(lambda: file.read(_BLOCK), b"")):
            if not piece.body:
                continue
            again.seek(counted)
            line, counted = line + _breaks(again.read(piece.offset - counted)), piece.offset
            again.seek(piece.offset)
            literal = again.read(len(piece.body)) == piece.body
            type_, id_, order = _header(piece.body)
            digest = sha256(piece.body).digest()
            kept = None if literal else piece.body
            yield Record(V2, piece.offset, len(piece.body), line, digest, type_, id_, "", order, body=kept)


def _breaks(text: bytes) -> int:
    return text.count(b"\r") if b"\n" not in text else text.count(b"\n")


def _whole(text: bytes) -> bool:
    try:
        _HEAD.decode(text)
    except msgspec.ValidationError:
        return True
    except msgspec.DecodeError:
        return False
    return True


def _record(text: bytes, offset: int, line: int, bundle: int) -> Iterator[Record]:
    lead = len(text) - len(text.lstrip())
    body = text.strip()
    offset += lead
    head = _head(body)
    if head is not None and head.resource_type == "Bundle":
        entries = _entries(body)
        if entries is not None:
            at = 0
            for raw in entries:
                found = body.index(raw, at)
                line += body.count(b"\n", at, found)
                at = found
                yield _entry(raw, offset + found, line, bundle)
            return
    digest = sha256(body).digest()
    if head is None:
        yield Record(FHIR, offset, len(body), line, digest, UNREADABLE, digest.hex()[:32], "", "")
        return
    id_ = head.id if head.id and _ID.fullmatch(head.id) else ""
    version, order = _version(head.meta, None)
    names = _identifiers(body, head.resource_type)
    type_ = head.resource_type or UNREADABLE
    yield Record(FHIR, offset, len(body), line, digest, type_, id_, version, order, identifiers=names)


def _head(body: bytes) -> _Head | None:
    try:
        return _HEAD.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return None


def _entries(body: bytes) -> list[bytes] | None:
    try:
        return [bytes(raw) for raw in _BUNDLE.decode(body).entry]
    except (msgspec.DecodeError, RecursionError):
        return None


def _entry(raw: bytes, offset: int, line: int, bundle: int) -> Record:
    digest = sha256(raw).digest()
    try:
        entry = _ENTRY.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return Record(FHIR, offset, len(raw), line, digest, UNREADABLE, digest.hex()[:32], "", "", bundle=bundle)
    head, address = entry.resource, entry.full_url or ""
    told = next(
        (m for url in (entry.request and entry.request.url, address) if url and (m := _PLACE.fullmatch(url))), None
    )
    type_ = (head.resource_type if head is not None else "") or (told[1] if told else "") or UNREADABLE
    id_ = head.id if head is not None and head.id and _ID.fullmatch(head.id) else ""
    if not id_ and told and told[1] == type_:
        id_ = told[2]
    if not id_:
        urn = _URN.fullmatch(address)
        id_ = urn[1] if urn else str(uuid5(_MADE, f"{type_}|{digest.hex()}"))
    version, order = _version(head.meta if head is not None else None, entry.response)
    names = _identifiers(raw, type_, "resource") if head is not None else ()
    return Record(FHIR, offset, len(raw), line, digest, type_, id_, version, order, address, bundle, names)


def _identifiers(raw: bytes, type_: str, below: str = "") -> tuple[str, ...]:
    if type_ not in _NAMED:
        return ()
    try:
        body = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])[below] if below else raw
        held = _IDENTIFIED.decode(body).identifier
    except (msgspec.DecodeError, KeyError):
        return ()
    return tuple(f"{it.get('system', '')}|{it['value']}" for it in held if isinstance(it.get("value"), str))


def _version(meta: _Meta | None, response: _Response | None) -> tuple[str, str]:
    """Return the version that the source gives, and what sorts it among those of its resource."""
    version = (meta.version_id if meta is not None else None) or ""
    updated = (meta.last_updated if meta is not None else None) or ""
    if response is not None:
        version = version or (response.etag or "").removeprefix("W/").strip('"')
        updated = updated or response.last_modified or ""
    number = f"{int(version):020d}" if version.isdecimal() and version.isascii() else version
    return version if _ID.fullmatch(version) else "", f"{_moment(updated)}|{number}"


def _moment(text: str) -> str:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return ""
    return moment.astimezone(UTC).isoformat(timespec="microseconds") if moment.tzinfo is not None else ""


_TIME: Final = re.compile(r"(\d{8})(\d{4,6})?(\.\d+)?([+-]\d{4})?")


def _header(body: bytes) -> tuple[str, str, str]:
    """Return the type of a message, its control id, and its time as text that sorts."""
    segment = body.lstrip().split(b"\r", 1)[0].split(b"\n", 1)[0]
    fields = segment.decode("latin-1").split(chr(segment[3])) if len(segment) > 8 else []
    parts = fields[8].split(fields[1][:1] or "^") if len(fields) > 8 else []
    type_ = "_".join(part for part in parts[:2] if part.isalnum() and part.isascii()) or UNREADABLE
    control = fields[9] if len(fields) > 9 else ""
    match = _TIME.match(fields[6]) if len(fields) > 6 else None
    if match is None:
        return type_, control[:199], ""
    text = match[1] + (match[2] or "0000").ljust(6, "0")
    try:
        moment = datetime.strptime(text + (match[4] or "+0000"), "%Y%m%d%H%M%S%z")
    except ValueError:
        return type_, control[:199], ""
    return type_, control[:199], moment.astimezone(UTC).isoformat(timespec="microseconds")
