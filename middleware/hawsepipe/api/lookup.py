"""CodeSystem/$lookup and $subsumes.

https://hl7.org/fhir/R4/codesystem-operation-lookup.html, https://hl7.org/fhir/R4/codesystem-operation-subsumes.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from hawsepipe.api.call import Call
from hawsepipe.api.coding import asked_about, parameters, part
from hawsepipe.api.exchange import Response
from hawsepipe.api.inputs import Inputs, inputs
from hawsepipe.api.rendering import resource
from hawsepipe.api.terminology import Terminology
from hawsepipe.errors import InvalidRequest, NotFound
from hawsepipe.fhir.code_systems import CodeSystem, Concept

_LOOKUP: Final = frozenset({"code", "system", "version", "coding", "displayLanguage", "property", "date"})
_SUBSUMES: Final = frozenset({"codeA", "codeB", "system", "version", "codingA", "codingB"})


async def lookup(call: Call) -> Response:
    """Answer with what a code system says of a code; `property` chooses. A code without a display has itself as one."""
    given = inputs(call, _LOOKUP)
    asked = asked_about(given)[0]
    system = await _system(call, asked.system, asked.version)
    concept = None if system is None else system.find(asked.code)
    if system is None or concept is None:
        raise NotFound("there is no such code")
    wanted = {name for text in given.several("property") for name in text.split(",")}
    head: list[Mapping[str, Any]] = [part("name", "valueString", system.name or system.url)]
    if system.version is not None:
        head.append(part("version", "valueString", system.version))
    head.append(part("display", "valueString", _display(concept, given.one("displayLanguage"))))
    parts = [*head, *_designations(concept, wanted), *_properties(system, concept, wanted)]
    return resource({"resourceType": "Parameters", "parameter": parts}, call.format)


async def subsumes(call: Call) -> Response:
    """Say whether one code is a kind of another: equivalent, subsumes, subsumed-by or not-subsumed."""
    given = inputs(call, _SUBSUMES)
    one, other = _code(given, "A"), _code(given, "B")
    systems = {it for it in (one[0], other[0], given.one("system")) if it is not None}
    if len(systems) > 1:
        raise InvalidRequest("the two codes are of different systems", location="system")
    system = await _system(call, systems.pop() if systems else None, given.one("version"))
    if system is None:
        raise NotFound("there is no such code system")
    first, second = system.find(one[1]), system.find(other[1])
    if first is None or second is None:
        raise NotFound("there is no such code")
    if first.code == second.code:
        outcome = "equivalent"
    elif first.code in system.above(second.code):
        outcome = "subsumes"
    else:
        outcome = "subsumed-by" if second.code in system.above(first.code) else "not-subsumed"
    return parameters(call, [("outcome", "valueCode", outcome)])


async def _system(call: Call, url: str | None, version: str | None) -> CodeSystem | None:
    if "id" in call.path:
        shelved = call.services.shelved
        return await shelved.code_system(await shelved.resource(await call.view.read("CodeSystem", call.id)))
    if url is None:
        raise InvalidRequest("the operation needs the system", location="system")
    return await Terminology(call).code_system(f"{url}|{version}" if version else url)


def _code(given: Inputs, which: str) -> tuple[str | None, str]:
    text, coding = given.one(f"code{which}"), given.value(f"coding{which}")
    if text is not None:
        return given.one("system"), text
    if coding is not None and isinstance(coding.get("code"), str):
        return coding.get("system"), str(coding["code"])
    raise InvalidRequest(f"the operation needs code{which} or coding{which}", location=f"code{which}")


def _display(concept: Concept, language: str | None) -> str:
    for designation in concept.designations:
        if language is not None and str(designation.get("language", "")).lower().startswith(language.lower()):
            return str(designation.get("value", ""))
    return concept.display or concept.code


def _designations(concept: Concept, wanted: set[str]) -> Iterator[Mapping[str, Any]]:
    if wanted and "designation" not in wanted:
        return
    for it in concept.designations:
        keys = (("language", "valueCode"), ("use", "valueCoding"), ("value", "valueString"))
        parts = [part(name, key, it[name]) for name, key in keys if name in it]
        yield {"name": "designation", "part": parts}


def _properties(system: CodeSystem, concept: Concept, wanted: set[str]) -> Iterator[Mapping[str, Any]]:
    own: list[tuple[str, str, Any]] = [("inactive", "valueBoolean", concept.inactive)]
    if concept.definition is not None:
        own.append(("definition", "valueString", concept.definition))
    own += [("parent", "valueCode", code) for code in concept.parents]
    own += [("child", "valueCode", code) for code in system.children.get(concept.code, ())]
    for held in concept.properties:
        if held.get("code") not in {"parent", "child", "inactive"}:
            own += [(str(held["code"]), key, value) for key, value in held.items() if key.startswith("value")]
    for name, key, value in own:
        if not wanted or name in wanted:
            yield {"name": "property", "part": [part("code", "valueCode", name), part("value", key, value)]}
