"""Primitive values in the spelling of another type."""

from __future__ import annotations

import re
from typing import Any

from hawsepipe import Severity
from hawsepipe_fhir import extensions, primitives
from hawsepipe_fhir.bench import Convert, Job, Json, Note, Place
from hawsepipe_fhir.definitions import Field
from hawsepipe_fhir.workshop import Workshop

_BARE = re.compile(r"<div(?![^>]*\bxmlns=)[\s>/]")
FHIR = "http://hl7.org/fhir/"
TERMINOLOGY = "http://terminology.hl7.org/CodeSystem/"


def reference(workshop: Workshop, field: Field, final: Field) -> Convert:
    """The string of a reference, with the names that types have in R4."""

    def reference(
        value: Any, twin: Json | None, at: str, place: Place, job: Job, source: str
    ) -> tuple[Any, Json | None]:
        if twin:
            twin = extensions.element(workshop, twin, at, place, job, source)
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


def system(workshop: Workshop, field: Field, final: Field) -> Convert:
    """The URI of a code system, with the name that the system has in R4."""
    systems = workshop.tables.codes["code-systems"]

    def system(value: Any, twin: Json | None, at: str, place: Place, job: Job, source: str) -> tuple[Any, Json | None]:
        if twin:
            twin = extensions.element(workshop, twin, at, place, job, source)
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


def date(workshop: Workshop, field: Field, final: Field) -> Convert:
    """The date of a time. The time itself is kept as an extension of the date."""
    url = f"http://hl7.org/fhir/{workshop.number}/StructureDefinition/extension-{field.owner}.{field.key}"

    def date(value: Any, twin: Json | None, at: str, place: Place, job: Job, source: str) -> tuple[Any, Json | None]:
        twin = extensions.element(workshop, twin, at, place, job, source)
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


def bare_oid(workshop: Workshop, field: Field, final: Field) -> Convert:
    """An OID without `urn:oid:`, as DICOM identifiers are written in R4."""

    def bare(value: Any, twin: Json | None, at: str, place: Place, job: Job, source: str) -> tuple[Any, Json | None]:
        twin = extensions.element(workshop, twin, at, place, job, source)
        if type(value) is not str:
            return None, twin
        new = value.removeprefix("urn:oid:")
        job.moved(source, at, exact=new == value)
        return new, twin

    return bare


def uid(workshop: Workshop, field: Field, final: Field) -> Convert:
    """A DICOM UID as an Identifier."""
    return _identified("urn:dicom:uid")


def urn(workshop: Workshop, field: Field, final: Field) -> Convert:
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


def uri_concept(workshop: Workshop, field: Field, final: Field) -> Convert:
    """A URI as a concept whose code it is."""

    def concept(value: Any, twin: Json | None, at: str, place: Place, job: Job, source: str) -> tuple[Any, Json | None]:
        if type(value) is not str:
            return None, None
        job.moved(source, f"{at}.coding[0].code")
        return {"coding": [{"system": "urn:ietf:rfc:3986", "code": value}]}, None

    return concept


def spelt(workshop: Workshop, field: Field, final: Field) -> Convert:
    """A number as a string."""
    inner = primitives.same(workshop)

    def spelt(value: Any, twin: Json | None, at: str, place: Place, job: Job, source: str) -> tuple[Any, Json | None]:
        return inner(value if value is None else str(value), twin, at, place, job, source)

    return spelt


def bare_coding(workshop: Workshop, field: Field, final: Field) -> Convert:
    """A code whose system is not known, as a Coding."""

    def bare(value: Any, twin: Json | None, at: str, place: Place, job: Job, source: str) -> tuple[Any, Json | None]:
        made: Json = {}
        if type(value) is str:
            made["code"] = value
            job.moved(source, f"{at}.code")
        if twin := extensions.element(workshop, twin, f"{at}.code", place, job, source):
            made["_code"] = twin
        return made or None, None

    return bare


def narrative(workshop: Workshop, field: Field, final: Field) -> Convert:
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


def whole_number(workshop: Workshop, field: Field, final: Field) -> Convert:
    """An integer64, which JSON has as a string, as a number; one that R4 cannot hold stays as an extension."""
    url = extensions.url(workshop.number, field.owner, field.element)

    def whole(value: Any, twin: Json | None, at: str, place: Place, job: Job, source: str) -> tuple[Any, Json | None]:
        twin = extensions.element(workshop, twin, at, place, job, source)
        new = int(value) if type(value) is str and value.isascii() and value.isdecimal() and len(value) < 20 else value
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


def this_version(workshop: Workshop, field: Field, final: Field) -> Convert:
    """The version that a definition is written for is R4 now; what it was stays as an extension."""
    url = extensions.url(workshop.number, field.owner, field.element)

    def version(value: Any, twin: Json | None, at: str, place: Place, job: Job, source: str) -> tuple[Any, Json | None]:
        job.moved(source, f"{at}.extension[0].valueString")
        return "4.0.1", {"extension": [{"url": url, "valueString": value}]}

    return version
