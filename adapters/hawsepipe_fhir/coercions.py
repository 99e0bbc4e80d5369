"""Values of one type as values of another. A coercion records each leaf that it moves; what it leaves is counted lost.

`implied` is what a table need not say; `NAMED` is what a row asks for with `via`; `forced` is what a
row may do just by naming its target.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from hawsepipe import ConfigError, Severity
from hawsepipe_fhir import extensions, primitives
from hawsepipe_fhir.bench import Convert, Job, Json, Note, Place
from hawsepipe_fhir.definitions import Field

if TYPE_CHECKING:
    from hawsepipe_fhir.compiler import Compiler

_NARROWER = {
    ("string", "id"), ("string", "uri"), ("string", "canonical"), ("string", "url"),
    ("unsignedInt", "positiveInt"),
    ("uri", "oid"), ("string", "oid"), ("markdown", "code"),
}  # fmt: skip
"""Pairs where most values fit as they are; a row must say so, and validation judges the value."""

_BARE = re.compile(r"<div(?![^>]*\bxmlns=)[\s>/]")
FHIR = "http://hl7.org/fhir/"
TERMINOLOGY = "http://terminology.hl7.org/CodeSystem/"


def implied(compiler: Compiler, field: Field, final: Field) -> Convert | None:
    """Return the conversion between two types that says the same in the other's words, None when there is none."""
    pair = (field.type, final.type)
    if pair == ("Coding", "CodeableConcept"):
        return _concept(compiler, final)
    if final.primitive and field.type == "Reference" and final.type in ("canonical", "uri", "url"):
        return _address(compiler)
    return None


def forced(compiler: Compiler, field: Field, final: Field, row: Mapping[str, Any]) -> Convert | None:
    """Return the conversion that a row demands by naming its target."""
    pair = (field.type, final.type)
    if field.type in _NUMBERS and final.type == "string":
        return _spelt(compiler, field, final)
    if pair in _NARROWER or (field.primitive and final.type in ("string", "markdown")):
        return primitives.same(compiler)
    for name, (source, target) in _PAIRS.items():
        if field.type in source and final.type in target:
            return NAMED[name](compiler, field, final)
    return None


def _slot(compiler: Compiler, type: str, key: str) -> Field:
    return compiler.target.children(type, "")[key]


def _concept(compiler: Compiler, final: Field) -> Convert:
    """A Coding as the only coding of a CodeableConcept."""
    inner = compiler.complex("Coding", _slot(compiler, "CodeableConcept", "coding"))

    def concept(value: Any, twin: Json | None, at: str, place: Place, job: Job, source: str) -> tuple[Any, Json | None]:
        holder = Place({}, "CodeableConcept", "", "", at, place)
        made, _ = inner(value, None, f"{at}.coding[0]", holder, job, source)
        return ({"coding": [made]} if made else None), None

    return concept


def _coding(compiler: Compiler, field: Field, final: Field) -> Convert:
    """A CodeableConcept as its first coding; one with more stays as an extension of it as well."""
    whole = compiler.complex("CodeableConcept", _slot(compiler, "Extension", "valueCodeableConcept"))
    url = extensions.url(compiler.number, field.owner, field.element)
    inner = compiler.complex("Coding", _slot(compiler, "CodeableConcept", "coding"))

    def coding(value: Any, twin: Json | None, at: str, place: Place, job: Job, source: str) -> tuple[Any, Json | None]:
        codings = value.get("coding") if type(value) is dict else None
        if type(codings) is list and len(codings) == 1 and value.keys() == {"coding"}:
            return inner(codings[0], None, at, place, job, f"{source}.coding[0]")
        kept, _ = whole(value, None, f"{at}.extension[0].valueCodeableConcept", place, job, source)
        if not kept:
            return None, None
        first: Json = next(iter(kept.get("coding", ())), {})
        told = {key: held for key, held in first.items() if key not in ("id", "extension")}
        return {"extension": [{"url": url, "valueCodeableConcept": kept}], **told}, None

    return coding


def _address(compiler: Compiler) -> Convert:
    """A Reference as its address; its display stays as R4's extension for one."""

    def address(value: Any, twin: Json | None, at: str, place: Place, job: Job, source: str) -> tuple[Any, Json | None]:
        new: str | None = None
        if type(value) is not dict:
            job.lose(source, "is not an object in the source", Severity.ERROR)
            return None, None
        if type(value.get("reference")) is str:
            new = job.rename(value["reference"])
            job.moved(f"{source}.reference", at, exact=new == value["reference"])
        if type(value.get("display")) is str:
            url = "http://hl7.org/fhir/StructureDefinition/display"
            twin = {"extension": [{"url": url, "valueString": value["display"]}]}
            job.moved(f"{source}.display", f"{at}.extension[0].valueString")
        return new, twin

    return address


def _held(key: str, type: str) -> Callable[[Compiler, Field, Field], Convert]:
    """Put a value into one element of an object: {key: value}. `key` may be a list of the target (`coding`)."""

    def factory(compiler: Compiler, field: Field, final: Field) -> Convert:
        slot = _slot(compiler, type, key)
        inner = primitives.same(compiler) if field.primitive else compiler.complex(field.type, slot)

        def hold(
            value: Any, twin: Json | None, at: str, place: Place, job: Job, source: str
        ) -> tuple[Any, Json | None]:
            holder = Place({}, type, "", "", at, place)
            made, twin = inner(value, twin, holder.at(slot), holder, job, source)
            holder.put(slot, made, twin)
            return holder.target or None, None

        return hold

    return factory


def _taken(key: str, type: str) -> Callable[[Compiler, Field, Field], Convert]:
    """Take one primitive element of an object; an object with more stays as an extension of it as well."""

    def factory(compiler: Compiler, field: Field, final: Field) -> Convert:
        inner = primitives.same(compiler)
        whole = compiler.complex(type, _slot(compiler, "Extension", f"value{type}"))
        url = extensions.url(compiler.number, field.owner, field.element)

        def take(
            value: Any, twin: Json | None, at: str, place: Place, job: Job, source: str
        ) -> tuple[Any, Json | None]:
            if not isinstance(value, dict) or not value.keys() - {key}:
                held = value if isinstance(value, dict) else {}
                return inner(held.get(key), None, at, place, job, f"{source}.{key}")
            made, _ = whole(value, None, f"{at}.extension[0].value{type}", place, job, source)
            return (made or {}).get(key), {"extension": [{"url": url, f"value{type}": made}]}

        return take

    return factory


def _reference(compiler: Compiler, field: Field, final: Field) -> Convert:
    """The string of a reference, with the names that types have in R4."""

    def reference(
        value: Any, twin: Json | None, at: str, place: Place, job: Job, source: str
    ) -> tuple[Any, Json | None]:
        if twin:
            twin = extensions.element(compiler, twin, at, place, job, source)
        if type(value) is not str:
            if value is not None:
                job.lose(source, "is not a string in the source", Severity.ERROR)
            return None, twin
        if not value:
            job.lose(source, "is empty in the source", Severity.INFORMATION)
            return None, twin
        new = job.rename(value)
        job.moved(source, at, exact=new == value)
        return new, twin

    return reference


def _system(compiler: Compiler, field: Field, final: Field) -> Convert:
    """The URI of a code system, with the name that the system has in R4."""
    systems = compiler.tables.codes["code-systems"]

    def system(value: Any, twin: Json | None, at: str, place: Place, job: Job, source: str) -> tuple[Any, Json | None]:
        if twin:
            twin = extensions.element(compiler, twin, at, place, job, source)
        if type(value) is not str:
            if value is not None:
                job.lose(source, "is not a string in the source", Severity.ERROR)
            return None, twin
        new = value
        if value.startswith(FHIR):
            new = systems.get(value, value)
            for edition in ("v2", "v3"):
                if value.startswith(f"{FHIR}{edition}/"):
                    new = f"{TERMINOLOGY}{edition}-{value.removeprefix(f'{FHIR}{edition}/').replace('/', '-')}"
        job.moved(source, at, exact=new == value)
        return new, twin

    return system


def _date(compiler: Compiler, field: Field, final: Field) -> Convert:
    """The date of a time. The time itself is kept as an extension of the date."""
    url = f"http://hl7.org/fhir/{compiler.number}/StructureDefinition/extension-{field.owner}.{field.key}"

    def date(value: Any, twin: Json | None, at: str, place: Place, job: Job, source: str) -> tuple[Any, Json | None]:
        twin = extensions.element(compiler, twin, at, place, job, source)
        if type(value) is not str:
            return None, twin
        day, mark, _ = value.partition("T")
        if not mark:
            job.moved(source, at)
            return value, twin
        twin = dict(twin or {})
        kind = "Instant" if field.type == "instant" else "DateTime"
        held = twin["extension"] = [*twin.get("extension", ()), {"url": url, f"value{kind}": value}]
        job.moved(source, f"{at}.extension[{len(held) - 1}].value{kind}")
        return day, twin

    return date


def _bare_oid(compiler: Compiler, field: Field, final: Field) -> Convert:
    """An OID without `urn:oid:`, as DICOM identifiers are written in R4."""

    def bare(value: Any, twin: Json | None, at: str, place: Place, job: Job, source: str) -> tuple[Any, Json | None]:
        twin = extensions.element(compiler, twin, at, place, job, source)
        if type(value) is not str:
            return None, twin
        new = value.removeprefix("urn:oid:")
        job.moved(source, at, exact=new == value)
        return new, twin

    return bare


def _uid(compiler: Compiler, field: Field, final: Field) -> Convert:
    """A DICOM UID as an Identifier."""
    return _identified("urn:dicom:uid")


def _urn(compiler: Compiler, field: Field, final: Field) -> Convert:
    """A URI as an Identifier or a Coding: its system is that of URIs."""
    return _identified("urn:ietf:rfc:3986", "code" if final.type == "Coding" else "value")


def _identified(system: str, key: str = "value") -> Convert:
    def identified(
        value: Any, twin: Json | None, at: str, place: Place, job: Job, source: str
    ) -> tuple[Any, Json | None]:
        if type(value) is not str:
            return None, None
        job.moved(source, f"{at}.{key}")
        return {"system": system, key: value}, None

    return identified


def _uri_concept(compiler: Compiler, field: Field, final: Field) -> Convert:
    """A URI as a concept whose code it is."""

    def concept(value: Any, twin: Json | None, at: str, place: Place, job: Job, source: str) -> tuple[Any, Json | None]:
        if type(value) is not str:
            return None, None
        job.moved(source, f"{at}.coding[0].code")
        return {"coding": [{"system": "urn:ietf:rfc:3986", "code": value}]}, None

    return concept


def _code_of(compiler: Compiler, field: Field, final: Field) -> Convert:
    """The code of a CodeableConcept, if R4 knows it; the whole concept stays as an extension of the code."""
    slot = _slot(compiler, "Extension", "valueCodeableConcept")
    concept = compiler.complex("CodeableConcept", slot)
    url = extensions.url(compiler.number, field.owner, field.element)
    allowed = frozenset().union(*final.codes.values()) if final.codes else None

    def code_of(value: Any, twin: Json | None, at: str, place: Place, job: Job, source: str) -> tuple[Any, Json | None]:
        kept, _ = concept(value, None, f"{at}.extension[0].valueCodeableConcept", place, job, source)
        codes = [it.get("code") for it in (kept or {}).get("coding", ())]
        code = next((it for it in codes if type(it) is str and (allowed is None or it in allowed)), None)
        if code is None:
            job.notes.append(Note(at, "R4 has no such code; the source's is in an extension", Severity.WARNING))
        return code, {"extension": [{"url": url, "valueCodeableConcept": kept}]} if kept else None

    return code_of


def _spelt(compiler: Compiler, field: Field, final: Field) -> Convert:
    """A number as a string."""
    inner = primitives.same(compiler)

    def spelt(value: Any, twin: Json | None, at: str, place: Place, job: Job, source: str) -> tuple[Any, Json | None]:
        return inner(value if value is None else str(value), twin, at, place, job, source)

    return spelt


def _bare_coding(compiler: Compiler, field: Field, final: Field) -> Convert:
    """A code whose system is not known, as a Coding."""

    def bare(value: Any, twin: Json | None, at: str, place: Place, job: Job, source: str) -> tuple[Any, Json | None]:
        made: Json = {}
        if type(value) is str:
            made["code"] = value
            job.moved(source, f"{at}.code")
        if twin := extensions.element(compiler, twin, f"{at}.code", place, job, source):
            made["_code"] = twin
        return made or None, None

    return bare


def _narrative(compiler: Compiler, field: Field, final: Field) -> Convert:
    """The XHTML of a narrative; a div without a namespace gets the only one that it can have."""

    def narrative(
        value: Any, twin: Json | None, at: str, place: Place, job: Job, source: str
    ) -> tuple[Any, Json | None]:
        if type(value) is not str:
            return None, None
        new = value
        if _BARE.match(value):
            new = f'<div xmlns="http://www.w3.org/1999/xhtml"{value[4:]}'
            job.notes.append(Note(at, "the namespace of XHTML was missing"))
        job.moved(source, at, exact=new == value)
        return new, None

    return narrative


def _whole_number(compiler: Compiler, field: Field, final: Field) -> Convert:
    """An integer64, which JSON has as a string, as a number; one that R4 cannot hold stays as an extension."""
    url = extensions.url(compiler.number, field.owner, field.element)

    def whole(value: Any, twin: Json | None, at: str, place: Place, job: Job, source: str) -> tuple[Any, Json | None]:
        twin = extensions.element(compiler, twin, at, place, job, source)
        new = int(value) if type(value) is str and value.isdecimal() and len(value) < 20 else value
        if type(new) is not int:
            job.lose(source, "is not a whole number in the source", Severity.ERROR)
            return None, twin
        if new > 2147483647:
            twin = dict(twin or {})
            held = twin["extension"] = [*twin.get("extension", ()), {"url": url, "valueString": str(value)}]
            job.moved(source, f"{at}.extension[{len(held) - 1}].valueString")
            return None, twin
        job.moved(source, at, exact=new == value)
        return new, twin

    return whole


def _this_version(compiler: Compiler, field: Field, final: Field) -> Convert:
    """The version that a definition is written for is R4 now; what it was stays as an extension."""
    url = extensions.url(compiler.number, field.owner, field.element)

    def version(value: Any, twin: Json | None, at: str, place: Place, job: Job, source: str) -> tuple[Any, Json | None]:
        job.moved(source, f"{at}.extension[0].valueString")
        return "4.0.1", {"extension": [{"url": url, "valueString": value}]}

    return version


NAMED: Mapping[str, Callable[[Compiler, Field, Field], Convert]] = {
    "annotation": _held("text", "Annotation"),
    "bare-coding": _bare_coding,
    "bare-oid": _bare_oid,
    "code-of": _code_of,
    "coding": _coding,
    "concept-text": _held("text", "CodeableConcept"),
    "date": _date,
    "dicom-uid": _uid,
    "end": _held("end", "Period"),
    "logical": _held("identifier", "Reference"),
    "reference": _reference,
    "start": _held("start", "Period"),
    "start-of": _taken("start", "Period"),
    "spelt": _spelt,
    "system": _system,
    "text-of": _taken("text", "CodeableConcept"),
    "this-version": _this_version,
    "to-reference": _held("reference", "Reference"),
    "uri-concept": _uri_concept,
    "uri-identifier": _urn,
    "value-of": _taken("value", "Identifier"),
    "whole-number": _whole_number,
    "narrative": _narrative,
    "quantity": _held("value", "Quantity"),
    "display": _held("display", "Reference"),
}
"""Conversions by the name that a row gives them."""

_NUMBERS = frozenset({"decimal", "integer", "positiveInt", "unsignedInt"})
_STRINGS = frozenset({"string", "markdown"})
_PAIRS: Mapping[str, tuple[frozenset[str], frozenset[str]]] = {
    "annotation": (_STRINGS, frozenset({"Annotation"})),
    "concept-text": (_STRINGS, frozenset({"CodeableConcept"})),
    "coding": (frozenset({"CodeableConcept"}), frozenset({"Coding"})),
    "logical": (frozenset({"Identifier"}), frozenset({"Reference"})),
    "start": (frozenset({"dateTime", "date", "instant"}), frozenset({"Period"})),
    "start-of": (frozenset({"Period"}), frozenset({"dateTime"})),
    "date": (frozenset({"dateTime", "instant"}), frozenset({"date"})),
    "to-reference": (frozenset({"uri", "canonical"}), frozenset({"Reference"})),
    "uri-identifier": (frozenset({"uri", "oid"}), frozenset({"Identifier"})),
    "value-of": (frozenset({"Identifier"}), _STRINGS),
    "quantity": (frozenset({"decimal", "integer"}), frozenset({"Quantity", "SimpleQuantity"})),
}


def named(name: str) -> Callable[[Compiler, Field, Field], Convert]:
    """Return a conversion by its name. Raises ConfigError when nothing is called so."""
    try:
        return NAMED[name]
    except KeyError as error:
        raise ConfigError("via", f"nothing is called {name}") from error
