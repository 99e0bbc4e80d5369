"""$validate-code of a value set and of a code system.

https://hl7.org/fhir/R4/valueset-operation-validate-code.html, codesystem-operation-validate-code.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from hawsepipe.api.call import Call
from hawsepipe.api.coding import Coded, asked_about, parameters
from hawsepipe.api.exchange import Response
from hawsepipe.api.expand import asked_for
from hawsepipe.api.inputs import inputs
from hawsepipe.api.terminology import Terminology
from hawsepipe.errors import InvalidRequest, NotFound
from hawsepipe.fhir import codec
from hawsepipe.fhir.code_systems import CodeSystem, Concept, code_system
from hawsepipe.fhir.value_sets import Member, expand

_CODES: Final = ("code", "display", "coding", "codeableConcept", "abstract", "displayLanguage")
_OF_VALUE_SET: Final = frozenset({*_CODES, "url", "valueSet", "valueSetVersion", "system", "systemVersion"})
_OF_SYSTEM: Final = frozenset({*_CODES, "url", "codeSystem", "version"})


async def validate_code_of_value_set(call: Call) -> Response:
    """Say whether a code is in a value set, with the display that it has there; of several codings one is enough."""
    given = inputs(call, _OF_VALUE_SET)
    asked = asked_about(given)
    terminology = Terminology(call)
    value_set = await asked_for(call, given, terminology)
    members = expand(value_set, await terminology.shelf(value_set))
    abstract = given.truth("abstract", default=False)
    verdicts = [_in_value_set(members, it, abstract=abstract) for it in asked]
    return _answered(call, verdicts)


async def validate_code_of_system(call: Call) -> Response:
    """Say whether a code is one of a code system, with its display; of several codings one is enough."""
    given = inputs(call, _OF_SYSTEM)
    asked = asked_about(given, system="url")
    terminology = Terminology(call)
    system: CodeSystem | None
    sent, url = given.resource("codeSystem"), given.one("url")
    if "id" in call.path:
        system = code_system(codec.decode((await call.view.read("CodeSystem", call.id)).content or b"{}"))
    elif sent is not None:
        system = code_system(sent)
    else:
        url = url or asked[0].system
        if url is None:
            raise InvalidRequest("the operation needs url", location="url")
        version = given.one("version")
        system = await terminology.code_system(f"{url}|{version}" if version else url)
    if system is None:
        raise NotFound("there is no such code system")
    own = system
    verdicts = [
        _verdict(own.find(it.code) if it.system in {None, own.url} else None, it, f"the code is none of {own.url}")
        for it in asked
    ]
    return _answered(call, verdicts)


class _Verdict:
    """What is said of one coding."""

    def __init__(self, result: bool, message: str | None, display: str | None) -> None:
        self.result = result
        self.message = message
        self.display = display


def _in_value_set(members: Iterable[Member], asked: Coded, *, abstract: bool) -> _Verdict:
    found = [it for it in members if _named(it, asked)]
    if asked.system is None and len({it.system for it in found}) > 1:
        return _Verdict(False, "the code is of several systems: say which", None)
    if not found:
        return _Verdict(False, "the code is not in the value set", None)
    member = found[0]
    if member.concept.abstract and not abstract:
        return _Verdict(False, "the code is there to hold others, not to be chosen", member.shown)
    return _verdict(member.concept, asked, "", shown=member.shown, more=member.designations)


def _named(member: Member, asked: Coded) -> bool:
    return member.concept.code == asked.code and asked.system in {None, member.system}


def _verdict(
    concept: Concept | None,
    asked: Coded,
    absent: str,
    shown: str | None = None,
    more: Iterable[Mapping[str, object]] = (),
) -> _Verdict:
    if concept is None:
        return _Verdict(False, absent, None)
    display = shown or concept.display
    names = {str(it.get("value", "")).casefold() for it in (*more, *concept.designations)}
    names |= {name.casefold() for name in (display, concept.display) if name is not None}
    if asked.display is not None and names and asked.display.casefold() not in names:
        return _Verdict(False, "the display is not one of the code", display)
    return _Verdict(True, "the code is inactive" if concept.inactive else None, display)


def _answered(call: Call, verdicts: list[_Verdict]) -> Response:
    best = next((it for it in verdicts if it.result), verdicts[0])
    return parameters(
        call,
        [
            ("result", "valueBoolean", best.result),
            ("message", "valueString", best.message),
            ("display", "valueString", best.display),
        ],
    )
