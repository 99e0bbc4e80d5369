"""Primitive values: what fits as it is, and codes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from hawsepipe import Severity
from hawsepipe_fhir import extensions
from hawsepipe_fhir.bench import Convert, Job, Json, Note, Place
from hawsepipe_fhir.definitions import Field
from hawsepipe_fhir.workshop import Workshop

WIDER: Mapping[str, tuple[str, ...]] = {
    "string": ("markdown", "code"),
    "markdown": ("string",),
    "code": ("string", "uri"),
    "id": ("string",),
    "oid": ("uri",),
    "uuid": ("uri",),
    "uri": ("url", "canonical", "string"),
    "url": ("uri", "string"),
    "canonical": ("uri", "string"),
    "date": ("dateTime",),
    "instant": ("dateTime",),
    "positiveInt": ("unsignedInt", "integer", "decimal"),
    "unsignedInt": ("integer", "decimal"),
    "integer": ("decimal", "positiveInt", "unsignedInt"),
    "integer64": (),
}
"""Primitive types into which every value of a type fits as it is."""


def primitive(
    workshop: Workshop, field: Field, final: Field, codes: Mapping[str, str], url: str, system: str | None
) -> Convert | None:
    """Return the conversion of a primitive; `url` is that of the extension for codes that R4 does not have."""
    if final.type == "CodeableConcept":
        system = system or _only_system(final)
        return _concept_of(workshop, codes, system, final, url) if system and field.type == "code" else None
    if final.type == "Coding" and field.type == "code" and (system or _only_system(final)):
        return _coding_of(workshop, codes, system or _only_system(final) or "", url)
    if not final.primitive:
        return None
    if final.type == "code" and field.type in ("code", "string") and (codes or final.codes):
        return _code(workshop, codes, final, url)
    if codes and field.type in ("code", "string"):
        return _code(workshop, codes, final, url)
    if field.type == final.type or final.type in WIDER.get(field.type, ()):
        return same(workshop)
    return None


def same(workshop: Workshop) -> Convert:
    """Return the conversion of a primitive that stays as it is, with its id and extensions."""

    def same_(value: Any, twin: Json | None, at: str, place: Place, job: Job, source: str) -> tuple[Any, Json | None]:
        if value is not None:
            kind = type(value)
            if kind is dict or kind is list:
                job.lose(source, "is not a single value in the source", Severity.ERROR)
                return None, None
            if value == "":
                job.lose(source, "is empty in the source", Severity.INFORMATION)
                return None, twin and extensions.element(workshop, twin, at, place, job, source)
            job.moved(source, at)
        if twin:
            twin = extensions.element(workshop, twin, at, place, job, source)
        return value, twin

    return same_


def _code(workshop: Workshop, codes: Mapping[str, str], final: Field, url: str) -> Convert:
    allowed = frozenset().union(*final.codes.values()) if final.codes else None

    def code(value: Any, twin: Json | None, at: str, place: Place, job: Job, source: str) -> tuple[Any, Json | None]:
        twin = extensions.element(workshop, twin, at, place, job, source)
        if type(value) is not str:
            if value is not None:
                job.lose(source, "is not a code in the source", Severity.ERROR)
            return None, twin
        new = codes.get(value, value)
        if allowed is None or new in allowed:
            job.moved(source, at, exact=new == value)
            return new, twin
        return None, _kept(value, twin, url, at, job, source)

    return code


def _kept(value: str, twin: Json | None, url: str, at: str, job: Job, source: str) -> Json:
    """Keep a code that R4 does not have beside the place where a code would be."""
    twin = dict(twin or {})
    held = twin["extension"] = [*twin.get("extension", ()), {"url": url, "valueCode": value}]
    job.moved(source, f"{at}.extension[{len(held) - 1}].valueCode")
    job.notes.append(Note(at, "R4 has no such code; the source's is in an extension", Severity.WARNING))
    return twin


def _only_system(final: Field) -> str | None:
    return next(iter(final.codes)) if final.codes and len(final.codes) == 1 else None


def _coding_of(workshop: Workshop, codes: Mapping[str, str], system: str, url: str) -> Convert:
    def coding(value: Any, twin: Json | None, at: str, place: Place, job: Job, source: str) -> tuple[Any, Json | None]:
        result: Json = {}
        if value is not None and (type(value) is not str or not value):
            job.lose(source, "is not a code in the source", Severity.ERROR)
        elif value is not None:
            new = codes.get(value, value)
            result = {"system": system, "code": new}
            job.moved(source, f"{at}.code", exact=new == value)
        if twin := extensions.element(workshop, twin, f"{at}.code", place, job, source):
            result["_code"] = twin
        return result or None, None

    return coding


def _concept_of(workshop: Workshop, codes: Mapping[str, str], system: str, final: Field, url: str) -> Convert:
    coding = _coding_of(workshop, codes, system, url)
    allowed = frozenset().union(*final.codes.values()) if final.codes else None

    def concept(value: Any, twin: Json | None, at: str, place: Place, job: Job, source: str) -> tuple[Any, Json | None]:
        if allowed is not None and type(value) is str and codes.get(value, value) not in allowed:
            held = {"extension": [{"url": url, "valueCode": value}]}
            job.moved(source, f"{at}.extension[0].valueCode")
            job.notes.append(Note(at, "R4 has no such code; the source's is in an extension", Severity.WARNING))
            return held, None
        made, _ = coding(value, twin, f"{at}.coding[0]", place, job, source)
        return ({"coding": [made]} if made else None), None

    return concept


def known(convert: Convert, allowed: Mapping[str, frozenset[str]]) -> Convert:
    """Refuse concepts none of whose codes R4 takes at a place; one without a code, as text alone, is taken."""

    def known_(value: Any, twin: Json | None, at: str, place: Place, job: Job, source: str) -> tuple[Any, Json | None]:
        count = len(job.moves)
        made, made_twin = convert(value, twin, at, place, job, source)
        codings = [it for it in (made or {}).get("coding", ()) if "code" in it]
        if codings and not any(it["code"] in allowed.get(it.get("system", ""), ()) for it in codings):
            del job.moves[count:]
            job.notes.append(Note(at, "R4 has no such code; the source's is in an extension", Severity.WARNING))
            return NotImplemented, None
        return made, made_twin

    return known_


_SHAPES: Mapping[str, Callable[[Any], bool]] = {
    "id": lambda value: _matches(r"[A-Za-z0-9\-.]{1,64}", value),
    "oid": lambda value: _matches(r"urn:oid:[0-2](\.(0|[1-9][0-9]*))+", value),
    "code": lambda value: _matches(r"\S+( \S+)*", value),
    "uri": lambda value: _matches(r"\S+", value),
    "url": lambda value: _matches(r"\S+", value),
    "canonical": lambda value: _matches(r"\S+", value),
    "positiveInt": lambda value: type(value) is int and value > 0,
    "unsignedInt": lambda value: type(value) is int and value >= 0,
}
"""What a value of a wider type must look like to be one of a narrower."""


def _matches(pattern: str, value: Any) -> bool:
    return type(value) is str and re.fullmatch(pattern, value) is not None


def narrowed(convert: Convert, final: Field) -> Convert:
    """Refuse values that the narrower type of R4 cannot hold."""
    fits = _SHAPES.get(final.type)
    if fits is None:
        return convert

    def narrowed_(
        value: Any, twin: Json | None, at: str, place: Place, job: Job, source: str
    ) -> tuple[Any, Json | None]:
        count = len(job.moves)
        made, made_twin = convert(value, twin, at, place, job, source)
        if made is not None and made is not NotImplemented and not fits(made):
            del job.moves[count:]
            return NotImplemented, None
        return made, made_twin

    return narrowed_
