"""ConceptMap/$translate: https://hl7.org/fhir/R4/conceptmap-operation-translate.html"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from hawsepipe.api.call import Call
from hawsepipe.api.coding import asked_about, part
from hawsepipe.api.exchange import Response
from hawsepipe.api.inputs import Inputs, inputs
from hawsepipe.api.rendering import resource
from hawsepipe.api.terminology import Terminology
from hawsepipe.errors import InvalidRequest, NotFound
from hawsepipe.fhir import codec
from hawsepipe.fhir.concept_maps import Match, Question, translate
from hawsepipe.model import Resource

_KNOWN: Final = frozenset(
    {
        "url",
        "conceptMap",
        "conceptMapVersion",
        "code",
        "system",
        "version",
        "source",
        "coding",
        "codeableConcept",
        "target",
        "targetsystem",
        "reverse",
    }
)


async def translate_code(call: Call) -> Response:
    """Answer with what a code is in other systems, by one map or by all that the requester sees.

    `result` is true when there is a counterpart; a map that says that there is none is told as a match without a code.
    """
    given = inputs(call, _KNOWN)
    codes = [(it.system, it.code) for it in asked_about(given)]
    question = Question(codes, given.one("targetsystem"), given.truth("reverse", default=False))
    found = [match for it in await _maps(call, given) for match in translate(it, question)]
    result = any(match.counts for match in found)
    parts: list[Mapping[str, Any]] = [part("result", "valueBoolean", result)]
    if not result:
        parts.append(part("message", "valueString", "no map that is known here has a counterpart"))
    parts += [_match(match) for match in found]
    return resource({"resourceType": "Parameters", "parameter": parts}, call.format)


async def _maps(call: Call, given: Inputs) -> list[Resource]:
    """Return the maps to ask. Raises NotFound for one that is named and is not there."""
    if "id" in call.path:
        return [codec.decode((await call.view.read("ConceptMap", call.id)).content or b"{}")]
    sent, url = given.resource("conceptMap"), given.one("url")
    if sent is not None:
        if sent.get("resourceType") != "ConceptMap":
            raise InvalidRequest("conceptMap is a ConceptMap", location="conceptMap")
        return [sent]
    terminology = Terminology(call)
    if url is not None:
        version = given.one("conceptMapVersion")
        found = await terminology.resource("ConceptMap", f"{url}|{version}" if version else url)
        if found is None:
            raise NotFound("there is no such map")
        return [found]
    maps = await terminology.resources("ConceptMap", None)
    source, target = given.one("source"), given.one("target")
    return [it for it in maps if _fits(it, "source", source) and _fits(it, "target", target)]


def _fits(concept_map: Resource, side: str, wanted: str | None) -> bool:
    stated = (concept_map.get(f"{side}Uri"), concept_map.get(f"{side}Canonical"))
    return wanted is None or wanted in {str(it).partition("|")[0] for it in stated if it is not None}


def _match(match: Match) -> Mapping[str, Any]:
    parts: list[Mapping[str, Any]] = [part("equivalence", "valueCode", match.equivalence)]
    if match.code is not None:
        coding = {"system": match.system, "code": match.code, "display": match.display}
        parts.append(part("concept", "valueCoding", {name: it for name, it in coding.items() if it is not None}))
    for product in match.products:
        held = [part("element", "valueUri", product.get("property"))]
        coding = {"system": product.get("system"), "code": product.get("value"), "display": product.get("display")}
        held.append(part("concept", "valueCoding", {name: it for name, it in coding.items() if it is not None}))
        parts.append({"name": "product", "part": held})
    parts.append(part("source", "valueUri", match.source))
    return {"name": "match", "part": parts}
