"""Bulk data export: https://hl7.org/fhir/uv/bulkdata/STU2/export.html

Kick-off, status, cancelling and the files of `exports`. Whoever did not start an export is told that there is none.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlencode

import msgspec

from hawsepipe.api.call import Call
from hawsepipe.api.conditions import reader
from hawsepipe.api.exchange import Response
from hawsepipe.api.inputs import Inputs, inputs
from hawsepipe.api.negotiation import JSON, Format
from hawsepipe.api.rendering import COMMON, content, http_date, resource
from hawsepipe.consent.exports import Level
from hawsepipe.errors import Forbidden, HawsepipeError, InvalidRequest, NotFound
from hawsepipe.exports.job import Job, Order, State
from hawsepipe.exports.jobs import KEPT, Filters
from hawsepipe.fhir import definitions, links
from hawsepipe.fhir.compartment import ways
from hawsepipe.fhir.dates import instant_text, interval
from hawsepipe.fhir.outcome import outcome
from hawsepipe.fhir.parameters import Parameters
from hawsepipe.fhir.query import Query
from hawsepipe.model import Issue, Severity

NDJSON: Final = "application/fhir+ndjson"
_FORMATS: Final = frozenset({NDJSON, "application/ndjson", "ndjson", "application/fhir ndjson"})
_KNOWN: Final = frozenset({"_outputFormat", "_since", "_type", "_typeFilter"})
_BETWEEN: Final = re.compile(r",(?=[A-Z][A-Za-z]+\?)")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_AGAIN: Final = "2"
"""Seconds until a client should ask again."""


async def export_system(call: Call) -> Response:
    """Start to export everything that the requester may have, of every type within reach or of those in `_type`."""
    return await _started(call, Level.SYSTEM, "$export", sorted(definitions.load().resource_types))


async def export_patients(call: Call) -> Response:
    """Start to export what is about patients: they themselves and their compartments."""
    return await _started(call, Level.PATIENT, "Patient/$export", _of_patients())


async def export_group(call: Call) -> Response:
    """Start to export what is about the members of a visible Group of actual persons, as it is now."""
    members = await call.view.members(call.id)
    return await _started(call, Level.GROUP, f"Group/{call.id}/$export", _of_patients(), tuple(members))


async def export_status(call: Call) -> Response:
    """Answer 202 while an export is under way, with the manifest when it is done; what failed is 500."""
    job = call.services.exports.find(call.path["job"], call.view.principal)
    match job.state:
        case State.RUNNING:
            progress = f"{job.portion} of {len(job.order.types)} types, {job.count} resources"
            return Response(202, {**COMMON, "X-Progress": progress, "Retry-After": _AGAIN})
        case State.FAILED:
            raise HawsepipeError("the export failed")
    assert job.ended is not None, "a job that is complete has ended"
    expires = {"Expires": http_date(job.ended + KEPT)}
    return content(msgspec.json.encode(_manifest(call, job)), Format(JSON), headers=expires)


async def export_cancel(call: Call) -> Response:
    """Take an export and its files away, whether it is done or not: 202."""
    await call.services.exports.cancel(call.path["job"], call.view.principal)
    return Response(202, dict(COMMON))


async def export_file(call: Call) -> Response:
    """Answer with one file, as far as the requester may have what is in it now."""
    exports, principal = call.services.exports, call.view.principal
    job = exports.find(call.path["job"], principal)
    file = next((it for it in job.files if it.name == call.path["file"]), None)
    if file is None or job.state is not State.COMPLETE:
        raise NotFound("there is no such file")
    lines = exports.lines(job, file, principal)
    # The first part here: who may not have anything of the type any more is told by the status.
    first = await anext(lines, b"")
    return Response(200, {**COMMON, "Content-Type": NDJSON}, first, stream=lines)


def filters(parameters: Parameters) -> Filters:
    """Return what reads `_typeFilter`: criteria alone, each of them a search parameter that is supported."""
    read = reader(parameters)

    def query(kind: str, text: str) -> Query:
        return read(kind, links.pairs(text))

    return query


async def _started(call: Call, level: Level, target: str, kinds: list[str], members: tuple[str, ...] = ()) -> Response:
    if not call.preference.asynchronous:
        raise InvalidRequest("an export is asynchronous: it takes Prefer: respond-async", location="Prefer")
    given = inputs(call, None)
    unknown = [name for name, _ in given.texts if name not in _KNOWN] + [name for name, _ in given.values]
    if unknown and not call.preference.lenient:
        raise InvalidRequest("the export does not have this parameter", location=unknown[0][:64])
    if given.one("_outputFormat") not in {None, *_FORMATS}:
        raise InvalidRequest("files come as application/fhir+ndjson", location="_outputFormat")
    types = _types(call, given, kinds)
    narrowed = tuple(_filter(call, text, types) for text in _split(given.several("_typeFilter"), _BETWEEN))
    query = urlencode(call.request.query)
    request = f"{call.services.base_url}/{target}" + (f"?{query}" if query else "")
    order = Order(request, level, types, narrowed, members, _since(given.one("_since")))
    job = await call.services.exports.start(call.view.principal, order)
    told = outcome([Issue(Severity.INFORMATION, "informational", "", "the export has begun; ask at Content-Location")])
    return resource(told, call.format, 202, {"Content-Location": f"{call.services.base_url}/$export/{job.id}"})


def _types(call: Call, given: Inputs, kinds: list[str]) -> tuple[str, ...]:
    """Return the types to export: those asked for, or all that are within reach. Raises InvalidRequest, Forbidden."""
    asked = list(dict.fromkeys(_split(given.several("_type"), re.compile(","))))
    strange = [kind for kind in asked if kind not in kinds]
    if strange and not call.preference.lenient:
        raise InvalidRequest("this type is none that is exported here", location="_type")
    reached = call.view.within_reach("export", [kind for kind in asked if kind in kinds] or kinds)
    if not reached or (asked and len(reached) < len(asked) - len(strange)):
        raise Forbidden("the token does not cover an export of what is asked for")
    return reached


def _filter(call: Call, text: str, types: tuple[str, ...]) -> tuple[str, str]:
    kind, _, criteria = text.partition("?")
    if kind not in types:
        raise InvalidRequest("a filter is Type?criteria, of a type that is exported", location="_typeFilter")
    filters(call.services.parameters)(kind, criteria)
    return kind, criteria


def _split(values: tuple[str, ...], mark: re.Pattern[str]) -> list[str]:
    return [part.strip() for value in values for part in mark.split(value) if part.strip()]


def _since(text: str | None) -> datetime | None:
    try:
        return None if text is None else _EPOCH + timedelta(microseconds=interval(text)[0])
    except (ValueError, OverflowError):
        raise InvalidRequest("_since is an instant", location="_since") from None


def _of_patients() -> list[str]:
    return sorted({"Patient", *(kind for kind, _ in ways("Patient"))})


def _manifest(call: Call, job: Job) -> dict[str, Any]:
    base = f"{call.services.base_url}/$export/{job.id}"
    return {
        "transactionTime": instant_text(job.started),
        "request": job.order.request,
        "requiresAccessToken": True,
        "output": [{"type": it.type, "url": f"{base}/{it.name}", "count": it.count} for it in job.files],
        "error": [],
    }
