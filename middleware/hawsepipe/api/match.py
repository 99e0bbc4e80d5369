"""$match: https://hl7.org/fhir/R4/patient-operation-match.html"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import msgspec

from hawsepipe.api.call import Call
from hawsepipe.api.exchange import Response
from hawsepipe.api.inputs import inputs
from hawsepipe.api.rendering import resource
from hawsepipe.errors import InvalidRequest
from hawsepipe.fhir import codec
from hawsepipe.fhir.likeness import Grade, Likeness, criteria, likeness
from hawsepipe.fhir.query import Total
from hawsepipe.model import Resource, Version

_GRADE: Final = "http://hl7.org/fhir/StructureDefinition/match-grade"
_CANDIDATES: Final = 500
"""Patients that one search brings in to be compared."""

_SEARCHES: Final = 20
_COUNT: Final = 50


async def match(call: Call) -> Response:
    """Answer with the visible patients that may be the one sent, most likely first, each with its score and grade.

    The resource may be incomplete. Patients that are certainly not meant are left out; `onlyCertainMatches` leaves one
    in, and none when several are certain. `count` bounds the answer.
    """
    given = inputs(call, {"resource", "onlyCertainMatches", "count"}, alone="resource")
    sent = given.resource("resource")
    if sent is None or sent.get("resourceType") != "Patient":
        raise InvalidRequest("the operation takes a Patient as resource", location="resource")
    only = given.truth("onlyCertainMatches", default=False)
    most = given.number("count", least=1) or _COUNT
    found = [(likeness(sent, codec.decode(it.content or b"{}")), it) for it in (await _candidates(call, sent))]
    found = [(like, it) for like, it in found if like.grade is not Grade.CERTAINLY_NOT]
    if only:
        certain = [pair for pair in found if pair[0].grade is Grade.CERTAIN]
        found = certain if len(certain) == 1 else []
    found.sort(key=lambda pair: (-pair[0].score, pair[1].id))
    entries = [_entry(call, like, version) for like, version in found[:most]]
    made: dict[str, Any] = {"resourceType": "Bundle", "type": "searchset", "total": len(entries)}
    if entries:
        made["entry"] = entries
    return resource(made, call.format)


async def _candidates(call: Call, sent: Resource) -> list[Version]:
    found: dict[str, Version] = {}
    for pairs in list(criteria(sent))[:_SEARCHES]:
        query = call.services.parameters.parse("Patient", pairs, strict=True).query
        page = await call.view.search(replace(query, count=_CANDIDATES, total=Total.NONE))
        found.update((version.id, version) for version in page.versions)
    return list(found.values())


def _entry(call: Call, like: Likeness, version: Version) -> dict[str, Any]:
    return {
        "fullUrl": f"{call.services.base_url}/{version.reference}",
        "resource": msgspec.Raw(version.content or b"{}"),
        "search": {
            "extension": [{"url": _GRADE, "valueCode": str(like.grade)}],
            "mode": "match",
            "score": like.score,
        },
    }
