"""batch and transaction: https://hl7.org/fhir/R4/http.html#transaction

A transaction is one transaction of the store: its writes are planned over the state before, in the order DELETE, POST,
PUT and PATCH, and happen together or not at all; then its reads are answered. In a batch each entry is a request alone.
"""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as NotBase64
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import unquote

import msgspec

from hawsepipe.api.call import Call, Prepared
from hawsepipe.api.conditions import reader
from hawsepipe.api.exchange import Request, Response
from hawsepipe.api.forms import pairs
from hawsepipe.api.negotiation import FHIR_JSON, JSON_PATCH
from hawsepipe.api.rendering import refuse_unknown, resource, sent_resource
from hawsepipe.errors import HawsepipeError, InvalidRequest, InvalidResource, RequestError, TooLarge
from hawsepipe.fhir import codec, references
from hawsepipe.fhir.dates import instant_text
from hawsepipe.fhir.outcome import from_error
from hawsepipe.model import Issue, Resource

MOST: Final = 25_000
"""Entries of a Bundle that is processed."""

MOST_SEARCHES: Final = 200
"""Entries of one Bundle that search or call an operation: each may take long by itself."""

_READS: Final = frozenset({"GET", "HEAD"})
_HEADERS: Final = {
    "ifMatch": "if-match",
    "ifNoneMatch": "if-none-match",
    "ifNoneExist": "if-none-exist",
    "ifModifiedSince": "if-modified-since",
}


@dataclass(frozen=True, slots=True)
class _Entry:
    """One entry as the request that it stands for; `name` is its fullUrl."""

    place: int
    request: Request
    name: str | None


async def bundle(call: Call) -> Response:
    """Process a Bundle of type batch or transaction and answer with one entry for each, in the same order.

    An error of a transaction names the entry that it is about (`Bundle.entry[3]`), and nothing has happened.
    """
    refuse_unknown(call, call.request.query)
    sent = sent_resource(call.request)
    kind = sent.get("type")
    if sent.get("resourceType") != "Bundle" or kind not in {"batch", "transaction"}:
        raise InvalidRequest("only a Bundle of type batch or transaction is processed here", expression="Bundle.type")
    listed = sent.get("entry", [])
    if not isinstance(listed, list):
        raise InvalidRequest("the entries are not a list", expression="Bundle.entry")
    if len(listed) > MOST:
        raise TooLarge(f"a Bundle may have {MOST} entries", expression="Bundle.entry")
    if sum(map(_is_search, listed)) > MOST_SEARCHES:
        raise TooLarge(f"a Bundle may have {MOST_SEARCHES} searches and operations", expression="Bundle.entry")
    answers = await (_batch if kind == "batch" else _transaction)(call, listed)
    made: Resource = {"resourceType": "Bundle", "type": f"{kind}-response"}
    if answers:
        made["entry"] = answers
    return resource(made, call.format)


async def _batch(call: Call, listed: list[Any]) -> list[dict[str, Any]]:
    answers = []
    made = _made(listed)
    for place, entry in enumerate(listed):
        try:
            read = _read(call, place, entry)
            _check_alone(read, made)
        except RequestError as error:
            answers.append(_failed(about(error, place)))
            continue
        answers.append(_answered(await call.inside.answer(read.request), read.request, call))
    return answers


def _is_search(entry: Any) -> bool:
    asked = entry.get("request") if isinstance(entry, dict) else None
    url = asked.get("url") if isinstance(asked, dict) else None
    if not isinstance(asked, dict) or not isinstance(url, str):
        return False
    reads = asked.get("method") in _READS and ("?" in url or "/" not in url.strip("/"))
    return reads or "$" in url or "_search" in url


def _made(listed: list[Any]) -> frozenset[str]:
    """Return what the entries call the resources that they create."""
    creating = (it for it in listed if isinstance(it, dict) and isinstance(it.get("request"), dict))
    return frozenset(
        name for it in creating if it["request"].get("method") == "POST" and isinstance(name := it.get("fullUrl"), str)
    )


def _check_alone(entry: _Entry, made: frozenset[str]) -> None:
    """Refuse what refers to a resource that another entry of the batch creates: the specification has no such links."""
    if entry.request.resource is None:
        return
    for path, literal in references.walk(entry.request.resource):
        if literal in made and literal != entry.name:
            text = "the entries of a batch stand alone: to refer to one that another creates takes a transaction"
            raise InvalidRequest(text, expression=path)


async def _transaction(call: Call, listed: list[Any]) -> list[dict[str, Any]]:
    entries = [_read(call, place, entry) for place, entry in enumerate(listed)]
    _check_names(entries)
    prepared = {it.place: _prepared(call, it) for it in entries if it.request.method not in _READS}
    orders = [it.order for it in prepared.values()]
    places = list(prepared)
    try:
        written = await call.view.write(orders, reader(call.services.parameters)) if orders else ()
    except RequestError as error:
        raise about(error, places[error.part] if error.part is not None else None) from error
    made = {place: prepared[place].answer(it) for place, it in zip(places, written, strict=True)}
    answers = []
    for entry in entries:
        response = made.get(entry.place)
        if response is None:
            response = await call.inside.answer(entry.request)
        answers.append(_answered(response, entry.request, call))
    return answers


def _prepared(call: Call, entry: _Entry) -> Prepared:
    try:
        return call.inside.prepare(entry.request, entry.name)
    except RequestError as error:
        raise about(error, entry.place) from error


def _check_names(entries: list[_Entry]) -> None:
    seen: set[str] = set()
    for entry in entries:
        if entry.name in seen:
            raise InvalidRequest("two entries have this fullUrl", expression=f"Bundle.entry[{entry.place}].fullUrl")
        if entry.name is not None:
            seen.add(entry.name)


def _read(call: Call, place: int, entry: Any) -> _Entry:
    """Return an entry as a request. Raises InvalidRequest."""
    here = f"Bundle.entry[{place}]"
    asked = entry.get("request") if isinstance(entry, dict) else None
    if not isinstance(asked, dict):
        raise InvalidRequest("the entry has no request", expression=here)
    method, url = asked.get("method"), asked.get("url")
    if not isinstance(method, str) or not isinstance(url, str):
        raise InvalidRequest("the request needs a method and a url", expression=f"{here}.request")
    if method not in {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"}:
        raise InvalidRequest("the method is none of FHIR's", expression=f"{here}.request.method")
    name = entry.get("fullUrl")
    if name is not None and not isinstance(name, str):
        raise InvalidRequest("the fullUrl is not a text", expression=f"{here}.fullUrl")
    segments, query = _address(url.removeprefix(call.services.base_url), here)
    headers = {"accept": FHIR_JSON}
    headers |= {header: asked[key] for key, header in _HEADERS.items() if isinstance(asked.get(key), str)}
    preferred = call.request.header("prefer")
    if preferred is not None:
        headers["prefer"] = preferred
    body, held = b"", None
    if method in {"POST", "PUT", "PATCH"}:
        held = entry.get("resource")
        if not isinstance(held, dict):
            raise InvalidRequest("the entry has no resource", expression=f"{here}.resource")
        if method == "PATCH":
            body, headers["content-type"] = _patch(held, here)
    return _Entry(place, Request(method, segments, query, headers, body, held), name)


def _address(url: str, here: str) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]]:
    path, _, text = url.partition("?")
    try:
        segments = tuple(unquote(part, errors="strict") for part in path.strip("/").split("/")) if path else ()
        query = tuple(pairs(text.encode("ascii"))) if text else ()
    except (UnicodeError, InvalidRequest):
        raise InvalidRequest("the url is not UTF-8 in percent encoding", expression=f"{here}.request.url") from None
    if not segments or ":" in segments[0]:
        raise InvalidRequest("the url names nothing that is here", expression=f"{here}.request.url")
    return segments, query


def _patch(held: Resource, here: str) -> tuple[bytes, str]:
    """Return a patch and its type: Parameters, or a JSON Patch in a Binary."""
    if held.get("resourceType") != "Binary":
        return codec.encode(held), FHIR_JSON
    try:
        return b64decode(str(held.get("data", "")), validate=True), str(held.get("contentType", JSON_PATCH))
    except (NotBase64, ValueError):
        raise InvalidRequest("the data are not base64", expression=f"{here}.resource.data") from None


def _answered(response: Response, request: Request, call: Call) -> dict[str, Any]:
    """Return the entry that says what became of a request."""
    told: dict[str, Any] = {"status": f"{response.status} {HTTPStatus(response.status).phrase}"}
    for key, header in (("location", "Location"), ("etag", "ETag")):
        if header in response.headers:
            told[key] = response.headers[header]
    if response.updated is not None:
        told["lastModified"] = instant_text(response.updated)
    entry: dict[str, Any] = {}
    failed = response.status >= HTTPStatus.BAD_REQUEST
    reads = request.method in _READS
    if response.body and (failed or (call.preference.returns == "OperationOutcome" and not reads)):
        told["outcome"] = msgspec.Raw(response.body)
    elif response.body and (reads or call.preference.stated):
        entry["resource"] = msgspec.Raw(response.body)
    entry["response"] = told
    return entry


def _failed(error: HawsepipeError) -> dict[str, Any]:
    status = HTTPStatus(error.status)
    return {"response": {"status": f"{status.value} {status.phrase}", "outcome": from_error(error)}}


def about(error: RequestError, place: int | None) -> RequestError:
    """Return the error saying which entry it is about, without what it was about inside if that is not known."""
    if place is None:
        return error
    here = f"Bundle.entry[{place}]"
    if isinstance(error, InvalidResource):
        issues = [Issue(it.severity, it.cause, _below(here, it.location), it.text) for it in error.issues]
        return InvalidResource(issues)
    if not (error.expression or "").startswith("Bundle."):
        error.expression = _below(here, error.expression)
    return error


def _below(here: str, inner: str | None) -> str:
    kind, dot, rest = (inner or "").partition(".")
    return f"{here}.resource.{rest}" if dot and kind[:1].isupper() else here
